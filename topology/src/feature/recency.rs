//! What came first, what came last, and how long ago: all by event time.

use super::{Filter, Groups, Moment, Shown, Step, keep, kept};

/// Seconds between the latest matching event and the latest event, by groups.
#[derive(Debug)]
pub(crate) struct TimeSince {
    pub filter: Filter,
    pub groups: Groups,
    pub shown: Shown,
}

impl TimeSince {
    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if let Some(group) = self.groups.of(step) {
            state[group] = step.time as u64;
        }
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64], at: &Moment<'_>, out: &mut [f32]) {
        for (slot, word) in out.iter_mut().zip(state) {
            *slot = self.shown.slot((*word != 0).then(|| (at.time - *word as i64) as f64 / 1000.0));
        }
    }
}

/// Which value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    First,
    Last,
}

/// A number at the least or greatest event time that has it.
#[derive(Debug)]
pub(crate) struct Recency {
    pub kept: Kept,
    pub filter: Filter,
    pub value: usize,
    pub shown: Shown,
}

impl Recency {
    #[inline]
    pub(crate) fn update(&self, state: &mut u64, step: &Step<'_>) {
        if let Some(value) = step.number(self.value)
            && (self.kept == Kept::Last || *state == 0)
        {
            *state = keep(value);
        }
    }

    #[inline]
    pub(crate) fn read(&self, state: u64) -> f32 {
        self.shown.slot(kept(state))
    }
}
