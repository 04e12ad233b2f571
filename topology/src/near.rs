//! Near rows: for keys with many pending events, the fold of all but the latest of them.
//!
//! An event that arrives out of order is nearly always late by little. It is folded again from here, over a few events, and not
//! from the settled row over all that are pending. Only keys whose events come out of order have one, as far behind as theirs
//! have come; what it holds is not visible outside.

/// Events left behind a near row when it moves on, at least and at most. It moves on when twice as many have come behind it.
const TAIL: std::ops::RangeInclusive<u32> = 8..=32;

/// How many events have come before which one still arrived: the greatest so far, up to the longest tail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach(u8);

impl Reach {
    pub(crate) fn note(&mut self, events_after: u32) {
        self.0 = self.0.max(events_after.min(*TAIL.end()) as u8);
    }

    /// Events left behind the near row.
    pub(crate) fn tail(self) -> u32 {
        (2 * u32::from(self.0)).clamp(*TAIL.start(), *TAIL.end())
    }
}

/// The near rows of a lane.
#[derive(Debug)]
pub(crate) struct NearRows {
    words: usize,
    rows: Vec<Box<[u64]>>,
    free: Vec<u32>,
}

impl NearRows {
    pub(crate) fn new(words: usize) -> Self {
        NearRows { words, rows: vec![], free: vec![] }
    }

    /// A row with any contents.
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.rows.push(vec![0; self.words].into());
            (self.rows.len() - 1) as u32
        })
    }

    pub(crate) fn give(&mut self, i: u32) {
        self.free.push(i);
    }

    pub(crate) fn row(&self, i: u32) -> &[u64] {
        &self.rows[i as usize]
    }

    pub(crate) fn row_mut(&mut self, i: u32) -> &mut [u64] {
        &mut self.rows[i as usize]
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.rows.len() - self.free.len()) * 8 * self.words
    }
}
