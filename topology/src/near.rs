//! Near rows: for keys with many pending events, the fold of all but the latest of them.
//!
//! An event that arrives out of order is nearly always late by little. It is folded again from here, over a few dozen events,
//! and not from the settled row over all that are pending. Only busy keys have one; what it holds is not visible outside.

/// A key gets a near row when more events than this come behind it, or behind its settled row.
pub(crate) const TAIL_MAX: u32 = 64;
/// Events left behind the near row when it moves on.
pub(crate) const TAIL_MIN: u32 = 32;

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
