//! Who acts next: a calendar queue (Brown 1988) of two levels, over viewers numbered from 0, each of whom is in it at most once.
//!
//! A bucket is a list through the viewers themselves, so nothing is allocated once it is made, and taking a bucket touches just those
//! who act next. Equal times come in the order of numbers.

/// Buckets of the near level, and of the far level, of which each covers the whole near one.
const NEAR: u64 = 1 << 14;
const FAR: u64 = 1 << 12;
const NOBODY: u32 = u32::MAX;

/// The calendar. Times in microseconds.
pub(super) struct Calendar {
    /// Time that a near bucket covers.
    width: u64,
    near: Vec<u32>,
    far: Vec<u32>,
    /// The next viewer in the same bucket, by viewer.
    next: Vec<u32>,
    time: Vec<u64>,
    /// Number of the bucket that was taken last, since time 0.
    bucket: u64,
    /// What is left of that bucket, the earliest last.
    current: Vec<(u64, u32)>,
    len: usize,
}

impl Calendar {
    /// For `viewers` of whom one acts every `gap_us` on average.
    pub(super) fn new(viewers: usize, gap_us: f64) -> Calendar {
        /// Entries of a bucket on average: few enough to sort, enough to pay for looking at it.
        const BUCKET_LEN: f64 = 16.0;
        Calendar {
            width: (gap_us * BUCKET_LEN).clamp(1.0, 1e9) as u64,
            near: vec![NOBODY; NEAR as usize],
            far: vec![NOBODY; FAR as usize],
            next: vec![NOBODY; viewers],
            time: vec![0; viewers],
            bucket: 0,
            current: Vec::new(),
            len: 0,
        }
    }

    /// Enters a viewer, who is not in it, to act at `time`; a time that has passed is now.
    pub(super) fn push(&mut self, viewer: u32, time: u64) {
        self.len += 1;
        self.time[viewer as usize] = time;
        self.enter(viewer, time);
    }

    fn enter(&mut self, viewer: u32, time: u64) {
        let bucket = time / self.width;
        if bucket <= self.bucket {
            let place = self.current.partition_point(|entry| *entry > (time, viewer));
            self.current.insert(place, (time, viewer));
            return;
        }
        let (epoch, now) = (bucket / NEAR, self.bucket / NEAR);
        let head = if epoch == now {
            &mut self.near[(bucket % NEAR) as usize]
        } else {
            // What is further than the far level reaches waits in its last bucket, and is entered again from there.
            &mut self.far[(epoch.min(now + FAR - 1) % FAR) as usize]
        };
        self.next[viewer as usize] = *head;
        *head = viewer;
    }

    /// Takes out whoever acts next, and when.
    pub(super) fn pop(&mut self) -> Option<(u64, u32)> {
        if self.len == 0 {
            return None;
        }
        while self.current.is_empty() {
            self.advance();
        }
        self.len -= 1;
        self.current.pop()
    }

    fn advance(&mut self) {
        self.bucket += 1;
        if self.bucket.is_multiple_of(NEAR) {
            let mut viewer = std::mem::replace(&mut self.far[(self.bucket / NEAR % FAR) as usize], NOBODY);
            while viewer != NOBODY {
                let next = self.next[viewer as usize];
                self.enter(viewer, self.time[viewer as usize]);
                viewer = next;
            }
        }
        let mut viewer = std::mem::replace(&mut self.near[(self.bucket % NEAR) as usize], NOBODY);
        while viewer != NOBODY {
            self.current.push((self.time[viewer as usize], viewer));
            viewer = self.next[viewer as usize];
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
            let (mut calendar, mut heap) = (Calendar::new(500, gap_us), BinaryHeap::new());
            // From the same bucket to beyond the far level.
            let reach = [1, 1_000, 100_000, (gap_us * 1e5) as u64 + 1, (gap_us * 16.0 * 1e8) as u64 + 1];
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
        let mut calendar = Calendar::new(1, 1.0);
        calendar.push(0, 70);
        assert_eq!((calendar.pop(), calendar.pop()), (Some((70, 0)), None));
    }
}
