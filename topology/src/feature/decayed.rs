//! Decayed count, sum, mean and rate, by groups and half-lives.
//!
//! Each contribution is worth 2^(-age / half_life): exponential decay in the forward form of Cormode, Shkapenyuk, Srivastava and
//! Xu (ICDE 2009), carried to the latest event. Since events come in event-time order, the sums are the same for any arrival order.

use super::{Filter, Groups, Shown, Step, add};

/// Which figure of the decayed sums is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Σ w
    Count,
    /// Σ w·x
    Sum,
    /// Σ w·x / Σ w; absent where no event carried the field
    Mean,
    /// Σ w · ln 2 / half_life, per second
    Rate,
}

#[derive(Debug)]
pub(crate) struct Decayed {
    pub figure: Figure,
    pub filter: Filter,
    pub groups: Groups,
    /// Input of the value; none for counts and rates.
    pub value: Option<usize>,
    /// Positions in the plan's half-lives, with ln 2 per half-life in seconds.
    pub half_lives: Vec<(usize, f64)>,
    pub shown: Shown,
}

impl Decayed {
    pub(crate) fn slots(&self) -> usize {
        self.half_lives.len() * self.groups.count
    }

    pub(crate) fn words(&self) -> usize {
        self.half_lives.len() * self.stride()
    }

    /// Words of one half-life: the sums of the groups, and for a mean their weights.
    pub(crate) fn stride(&self) -> usize {
        if self.figure == Figure::Mean { 2 * self.groups.count } else { self.groups.count }
    }

    /// How the words of one half-life are shown, where that is a mean.
    pub(crate) fn mean(&self) -> Option<Mean> {
        (self.figure == Figure::Mean).then_some(Mean { shown: self.shown })
    }

    /// Adds an event that passes the filter to sums that have decayed to its time.
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
        let stride = self.stride();
        let mut at = group;
        for _ in &self.half_lives {
            add(&mut state[at], value);
            if self.figure == Figure::Mean {
                add(&mut state[at + self.groups.count], 1.0);
            }
            at += stride;
        }
    }
}

/// Decayed means by groups, for one half-life: the sums of the groups, then their weights.
#[derive(Debug)]
pub(crate) struct Mean {
    shown: Shown,
}

impl Mean {
    #[inline]
    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        let (sums, weights) = state.split_at(out.len());
        for ((slot, sum), weight) in out.iter_mut().zip(sums).zip(weights) {
            let (sum, weight) = (f64::from_bits(*sum), f64::from_bits(*weight));
            *slot = self.shown.slot((weight > 0.0).then(|| sum / weight));
        }
    }
}
