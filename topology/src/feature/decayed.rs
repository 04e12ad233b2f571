//! Decayed count, sum, mean and rate, by groups and half-lives.
//!
//! Each contribution is worth 2^(-age / half_life): exponential decay in the forward form of Cormode, Shkapenyuk, Srivastava and
//! Xu (ICDE 2009), carried to the latest event. Since events come in event-time order, the sums are the same for any arrival order.

use super::{Filter, Groups, Moment, Shown, Step, add};
use std::ops::Range;

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
    fn stride(&self) -> usize {
        if self.figure == Figure::Mean { 2 * self.groups.count } else { self.groups.count }
    }

    /// Words from `first` on, with the half-life they decay by.
    pub(crate) fn decays(&self, first: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
        let at = move |nth: usize| first + nth * self.stride();
        self.half_lives.iter().enumerate().map(move |(nth, (half_life, _))| (at(nth)..at(nth + 1), *half_life))
    }

    /// Adds the event to sums that have decayed to its time.
    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if !self.filter.passes(step) {
            return;
        }
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

    #[inline]
    pub(crate) fn read(&self, mut state: &[u64], at: &Moment<'_>, mut out: &mut [f32]) {
        for (half_life, per_s) in &self.half_lives {
            let (sums, other_sums) = state.split_at(self.stride());
            let (slots, other_slots) = out.split_at_mut(self.groups.count);
            let (sums, weights) = sums.split_at(self.groups.count);
            let factor = match self.figure {
                Figure::Rate => self.shown.scale * at.decay[*half_life] * per_s,
                _ => self.shown.scale * at.decay[*half_life],
            };
            if self.figure == Figure::Mean {
                for ((slot, sum), weight) in slots.iter_mut().zip(sums).zip(weights) {
                    let (sum, weight) = (f64::from_bits(*sum), f64::from_bits(*weight));
                    *slot = self.shown.slot((weight > 0.0).then(|| sum / weight));
                }
            } else {
                for (slot, sum) in slots.iter_mut().zip(sums) {
                    *slot = (f64::from_bits(*sum) * factor) as f32;
                }
            }
            (state, out) = (other_sums, other_slots);
        }
    }
}
