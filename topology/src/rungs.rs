//! Rungs: rows that only keys with pending events have, beside *current*.
//!
//! The lowest rung of a key is its settled row. Each rung above it is what *current* was after one of the pending events, so that
//! it becomes the settled row when that event has, and an event that arrives out of order is folded again from the rung before it:
//! over a few events, not over all that are pending. Where a key has rungs is not visible outside.
//!
//! A row that was given back is taken again first, so that few rows serve many keys and those stay in the processor's caches.

use crate::pending::NONE;

/// Unused rows that are kept, beyond as many as are used.
const FREE_MAX: usize = 1024;

/// Events between two rungs, at least, where some come out of order.
pub(crate) const STEP: u32 = 16;
/// The same where all came in order: what rungs and events that are not let go yet take is least.
const STEP_IN_ORDER: u32 = 32;

/// Where a rung is among the pending events of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// Rungs below and above.
    pub lower: u32,
    pub upper: u32,
    /// The last pending event folded into it, and its time. Of the settled row nothing: that event is gone.
    pub last: u32,
    pub time: i64,
    /// Events since the rung below.
    pub count: u32,
}

impl At {
    /// Of the settled row.
    pub(crate) const LOWEST: At = At { lower: NONE, upper: NONE, last: NONE, time: i64::MAX, count: 0 };
}

/// How many events have come before which one still arrived: the greatest so far, up to a limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach(u8);

impl Reach {
    const MAX: u32 = 32;

    pub(crate) fn note(&mut self, events_after: u32) {
        self.0 = self.0.max(events_after.min(Self::MAX) as u8);
    }

    /// Latest events before which another may well arrive, so that no rung is worth its copy there; 0 where all came in order.
    pub(crate) fn unsure(self) -> u32 {
        (2 * u32::from(self.0)).min(Self::MAX)
    }

    /// Events since the highest rung after which there is another.
    pub(crate) fn step(self) -> u32 {
        if self.unsure() == 0 { STEP_IN_ORDER } else { STEP + self.unsure() }
    }
}

/// Rows by number.
#[derive(Debug)]
pub(crate) struct Rungs {
    words: usize,
    rows: Vec<Box<[u64]>>,
    at: Vec<At>,
    free: Vec<u32>,
    /// Numbers whose memory was given back.
    empty: Vec<u32>,
}

impl Rungs {
    pub(crate) fn new(words: usize) -> Self {
        Rungs { words, rows: vec![], at: vec![], free: vec![], empty: vec![] }
    }

    fn used(&self) -> usize {
        self.rows.len() - self.free.len() - self.empty.len()
    }

    fn place(&mut self) -> u32 {
        if let Some(i) = self.free.pop() {
            return i;
        }
        let row = vec![0; self.words].into();
        if let Some(i) = self.empty.pop() {
            self.rows[i as usize] = row;
            return i;
        }
        self.rows.push(row);
        self.at.push(At::LOWEST);
        (self.rows.len() - 1) as u32
    }

    /// A rung with the contents of `words`, above `at.lower`.
    pub(crate) fn take(&mut self, words: &[u64], at: At) -> u32 {
        let i = self.place();
        self.rows[i as usize].copy_from_slice(words);
        self.at[i as usize] = at;
        if at.lower != NONE {
            self.at[at.lower as usize].upper = i;
        }
        i
    }

    /// Takes a key's highest rung away; gives where it was.
    pub(crate) fn drop_highest(&mut self, i: u32) -> At {
        let at = self.at[i as usize];
        if at.lower != NONE {
            self.at[at.lower as usize].upper = NONE;
        }
        self.give(i);
        at
    }

    /// Takes a key's settled row away; gives the rung that is settled now, and where it was.
    pub(crate) fn drop_lowest(&mut self, i: u32) -> (u32, At) {
        let upper = self.at[i as usize].upper;
        self.give(i);
        let at = &mut self.at[upper as usize];
        at.lower = NONE;
        (upper, *at)
    }

    fn give(&mut self, i: u32) {
        self.free.push(i);
        while self.free.len() > FREE_MAX + self.used()
            && let Some(i) = self.free.pop()
        {
            self.rows[i as usize] = Box::default();
            self.empty.push(i);
        }
    }

    pub(crate) fn at(&self, i: u32) -> At {
        self.at[i as usize]
    }

    /// One event fewer between the rung and the one below it; gives how many are left.
    pub(crate) fn shorten(&mut self, i: u32) -> u32 {
        self.at[i as usize].count -= 1;
        self.at[i as usize].count
    }

    pub(crate) fn row(&self, i: u32) -> &[u64] {
        &self.rows[i as usize]
    }

    pub(crate) fn row_mut(&mut self, i: u32) -> &mut [u64] {
        &mut self.rows[i as usize]
    }

    /// Bytes of the rows in use.
    pub(crate) fn bytes(&self) -> usize {
        self.used() * (8 * self.words + size_of::<At>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_keep_their_contents_and_memory_follows_use() {
        let each = 16 + size_of::<At>();
        let mut rungs = Rungs::new(2);
        let taken: Vec<u32> = (0..5000).map(|i| rungs.take(&[i, i + 1], At::LOWEST)).collect();
        assert_eq!((rungs.row(taken[9]), rungs.bytes()), (&[9, 10][..], 5000 * each));
        taken.iter().skip(1).for_each(|i| _ = rungs.drop_highest(*i));
        assert_eq!((rungs.bytes(), rungs.free.len()), (each, FREE_MAX + 1));
        assert_eq!(rungs.row(taken[0]), [0, 1]);
        let again: Vec<u32> = (0..5000).map(|i| rungs.take(&[i, 0], At::LOWEST)).collect();
        assert!(again.iter().zip(0..).all(|(i, x)| rungs.row(*i) == [x, 0]));
        assert_eq!(rungs.bytes(), 5001 * each);
    }

    #[test]
    fn a_ladder_is_climbed_from_below_and_shortened_from_above() {
        let mut rungs = Rungs::new(1);
        let settled = rungs.take(&[0], At::LOWEST);
        let first = rungs.take(&[1], At { lower: settled, last: 7, time: 70, count: 16, ..At::LOWEST });
        let second = rungs.take(&[2], At { lower: first, last: 9, time: 90, count: 16, ..At::LOWEST });
        let (lowest, at) = rungs.drop_lowest(settled);
        assert_eq!((lowest, at.last, at.upper, at.lower), (first, 7, second, NONE));
        assert_eq!(rungs.drop_highest(second).lower, first);
        assert_eq!(rungs.at(first).upper, NONE);
    }
}
