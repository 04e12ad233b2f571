//! Decayed count, sum, mean and rate, by groups and half-lives.
//!
//! Each contribution is worth 2^(-age / half_life): exponential decay in the forward form of Cormode, Shkapenyuk, Srivastava and
//! Xu (ICDE 2009), carried to the latest event. Since events come in event-time order, the sums are the same for any arrival order.

use super::{Filter, Groups, Moment, Shown, Step, add};

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
        if self.figure == Figure::Mean { 2 * self.slots() } else { self.slots() }
    }

    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        let stride = self.words() / self.half_lives.len();
        if step.elapsed > 0 {
            for (group, (half_life, _)) in state.chunks_exact_mut(stride).zip(&self.half_lives) {
                let factor = step.decay[*half_life];
                for word in group {
                    *word = (f64::from_bits(*word) * factor).to_bits();
                }
            }
        }
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
        for sums in state.chunks_exact_mut(stride) {
            add(&mut sums[group], value);
            if self.figure == Figure::Mean {
                add(&mut sums[self.groups.count + group], 1.0);
            }
        }
    }

    pub(crate) fn read(&self, state: &[u64], at: &Moment<'_>, out: &mut [f32]) {
        let stride = self.words() / self.half_lives.len();
        let slots = out.chunks_exact_mut(self.groups.count);
        for ((sums, (half_life, per_s)), slots) in state.chunks_exact(stride).zip(&self.half_lives).zip(slots) {
            let decay = at.decay[*half_life];
            for (group, slot) in slots.iter_mut().enumerate() {
                let sum = f64::from_bits(sums[group]);
                *slot = self.shown.slot(match self.figure {
                    Figure::Count | Figure::Sum => Some(sum * decay),
                    Figure::Rate => Some(sum * decay * per_s),
                    Figure::Mean => {
                        let weight = f64::from_bits(sums[self.groups.count + group]);
                        (weight > 0.0).then(|| sum / weight)
                    }
                });
            }
        }
    }
}
