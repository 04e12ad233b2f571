//! Undecayed count, sum, maximum and minimum by groups, and the ratio of two counts.

use super::{Filter, Groups, Shown, Step, add, keep, kept};

/// Which figure is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Count,
    Sum,
    Max,
    Min,
}

#[derive(Debug)]
pub(crate) struct Tally {
    pub figure: Figure,
    pub filter: Filter,
    pub groups: Groups,
    /// Input of the value; none for a count.
    pub value: Option<usize>,
    pub shown: Shown,
}

impl Tally {
    pub(crate) fn words(&self) -> usize {
        self.groups.count
    }

    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        let Some(group) = self.groups.of(step) else { return };
        let value = match self.value {
            None => 1.0,
            Some(input) => match step.number(input) {
                Some(x) => x,
                None => return,
            },
        };
        let word = &mut state[group];
        match self.figure {
            Figure::Count | Figure::Sum => add(word, value),
            Figure::Max => *word = keep(kept(*word).map_or(value, |x| x.max(value))),
            Figure::Min => *word = keep(kept(*word).map_or(value, |x| x.min(value))),
        }
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        for (slot, word) in out.iter_mut().zip(state) {
            *slot = self.shown.slot(match self.figure {
                Figure::Count | Figure::Sum => Some(f64::from_bits(*word)),
                Figure::Max | Figure::Min => kept(*word),
            });
        }
    }
}

/// Matching events over base events; absent where no base event was seen.
#[derive(Debug)]
pub(crate) struct Ratio {
    pub filter: Filter,
    pub over: Filter,
    pub shown: Shown,
}

impl Ratio {
    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        state[0] += u64::from(self.filter.passes(step));
        state[1] += u64::from(self.over.passes(step));
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        out[0] = self.shown.slot((state[1] > 0).then(|| state[0] as f64 / state[1] as f64));
    }
}
