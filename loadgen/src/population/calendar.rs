//! Who acts next: a calendar queue (Brown 1988) of two levels, over viewers by their numbers.
//!
//! Buckets are lists that keep their room, so nothing is allocated once each has been full. Entering is one write that nobody waits for,
//! and all of a bucket is known before the first of it acts: what they need can be fetched at once instead of one after the other.
//! Equal times come in the order of numbers.

use std::mem::{swap, take};

/// Buckets of the near level, and of the far level, of which each covers the whole near one. Few near ones, because a far one is
/// entered into them at once, while something may be due.
const NEAR: u64 = 1 << 8;
const FAR: u64 = 1 << 16;
/// Entries of a near bucket on average.
const BUCKET_LEN: f64 = 64.0;

type Entry = (u64, u32);

/// The calendar. Times in microseconds.
pub(super) struct Calendar {
    /// Time that a near bucket covers.
    width: u64,
    near: Vec<Vec<Entry>>,
    far: Vec<Vec<Entry>>,
    /// Number of the bucket that was taken last, since time 0.
    bucket: u64,
    /// What is left of that bucket, the earliest last.
    current: Vec<Entry>,
    len: usize,
}

impl Calendar {
    /// For viewers of whom one acts every `gap_us` on average.
    pub(super) fn new(gap_us: f64) -> Calendar {
        Calendar {
            width: (gap_us * BUCKET_LEN).clamp(1.0, 1e9) as u64,
            near: vec![Vec::new(); NEAR as usize],
            far: vec![Vec::new(); FAR as usize],
            bucket: 0,
            current: Vec::new(),
            len: 0,
        }
    }

    /// Enters a viewer to act at `time`; a time that has passed is now.
    pub(super) fn push(&mut self, viewer: u32, time: u64) {
        self.len += 1;
        self.enter((time, viewer));
    }

    fn enter(&mut self, entry: Entry) {
        let bucket = entry.0 / self.width;
        if bucket <= self.bucket {
            let place = self.current.partition_point(|other| *other > entry);
            self.current.insert(place, entry);
            return;
        }
        let (epoch, now) = (bucket / NEAR, self.bucket / NEAR);
        if epoch == now {
            self.near[(bucket % NEAR) as usize].push(entry);
        } else {
            // What is further than the far level reaches waits in its last bucket, and is entered again from there.
            self.far[(epoch.min(now + FAR - 1) % FAR) as usize].push(entry);
        }
    }

    /// Takes the next bucket where nothing is left of the last: those who act next, if there are any.
    pub(super) fn refill(&mut self) -> Option<&[Entry]> {
        if !self.current.is_empty() || self.len == 0 {
            return None;
        }
        while self.current.is_empty() {
            self.advance();
        }
        Some(&self.current)
    }

    /// Takes out whoever acts next, and when.
    pub(super) fn pop(&mut self) -> Option<(u64, u32)> {
        self.refill();
        let entry = self.current.pop()?;
        self.len -= 1;
        Some(entry)
    }

    fn advance(&mut self) {
        self.bucket += 1;
        if self.bucket.is_multiple_of(NEAR) {
            let place = (self.bucket / NEAR % FAR) as usize;
            let mut entries = take(&mut self.far[place]);
            entries.drain(..).for_each(|entry| self.enter(entry));
            if self.far[place].is_empty() {
                self.far[place] = entries;
            }
        }
        let bucket = &mut self.near[(self.bucket % NEAR) as usize];
        match self.current.is_empty() {
            true => swap(&mut self.current, bucket),
            false => self.current.append(bucket),
        }
        self.current.sort_unstable_by(|a, b| b.cmp(a));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Stream, keyed};
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    #[test]
    fn it_gives_what_a_heap_gives_over_all_levels() {
        for gap_us in [0.01, 3.0, 1_000.0] {
            let (mut calendar, mut heap) = (Calendar::new(gap_us), BinaryHeap::new());
            // From the same bucket to beyond the far level.
            let reach = [1, 1_000, 100_000, (gap_us * 1e5) as u64 + 1, (gap_us * BUCKET_LEN * 2e7) as u64 + 1];
            let mut draws = (0..).map(|n| keyed(5, Stream::Step, n));
            let mut later = |now: u64| {
                let bits = draws.next().expect("endless");
                now + (bits >> 8) % reach[(bits % 5) as usize]
            };
            for viewer in 0..500 {
                let time = later(0);
                calendar.push(viewer, time);
                heap.push(Reverse((time, viewer)));
            }
            for _ in 0..20_000 {
                let Reverse(expected) = heap.pop().expect("everyone is in it");
                assert_eq!(calendar.pop(), Some(expected));
                let time = later(expected.0);
                calendar.push(expected.1, time);
                heap.push(Reverse((time, expected.1)));
            }
        }
    }

    #[test]
    fn an_empty_calendar_gives_nobody() {
        let mut calendar = Calendar::new(1.0);
        calendar.push(0, 70);
        assert_eq!((calendar.pop(), calendar.pop()), (Some((70, 0)), None));
    }
}
