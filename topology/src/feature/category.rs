//! The latest value of a field that is not a number: one slot per listed value, one per hash bucket, or its place in a list.

use super::{Filter, Shown, Step};

/// How the value becomes slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `count` slots, 1 in the value's own; a value that is not listed leaves all at `absent`.
    OneHot { count: usize },
    /// `count` slots, 1 in the one the value's hash falls into.
    Hashed { count: usize },
    /// One slot: the place of the value in the list of `count`, from 0; `absent` for a value that is not listed.
    Index { count: usize },
}

#[derive(Debug)]
pub(crate) struct Category {
    pub encoding: Encoding,
    pub filter: Filter,
    /// Input of the code or hash.
    pub value: usize,
    pub shown: Shown,
}

impl Category {
    pub(crate) fn slots(&self) -> usize {
        match self.encoding {
            Encoding::OneHot { count } | Encoding::Hashed { count } => count,
            Encoding::Index { .. } => 1,
        }
    }

    #[inline]
    pub(crate) fn update(&self, state: &mut u64, step: &Step<'_>) {
        if let Some(word) = step.word(self.value) {
            *state = match self.encoding {
                Encoding::OneHot { count } | Encoding::Index { count } if word == count as u64 => 0,
                Encoding::OneHot { .. } | Encoding::Index { .. } => 1 + word,
                Encoding::Hashed { count } => 1 + word % count as u64,
            };
        }
    }

    #[inline]
    pub(crate) fn read(&self, state: u64, out: &mut [f32]) {
        let code = state.checked_sub(1);
        if matches!(self.encoding, Encoding::Index { .. }) {
            out[0] = self.shown.slot(code.map(|c| c as f64));
            return;
        }
        out.fill(self.shown.absent as f32);
        if let Some(code) = code {
            out[code as usize] = self.shown.scale as f32;
        }
    }
}
