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
        self.half_lives.len() * self.stride()
    }

    /// Words of one half-life: the sums of the groups, and for a mean their weights.
    fn stride(&self) -> usize {
        if self.figure == Figure::Mean { 2 * self.groups.count } else { self.groups.count }
    }

    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if step.elapsed > 0 {
            self.decay(state, step);
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
        let stride = self.stride();
        for at in 0..self.half_lives.len() {
            add(&mut state[at * stride + group], value);
            if self.figure == Figure::Mean {
                add(&mut state[at * stride + self.groups.count + group], 1.0);
            }
        }
    }

    #[inline]
    fn decay(&self, mut state: &mut [u64], step: &Step<'_>) {
        for (half_life, _) in &self.half_lives {
            let (sums, rest) = state.split_at_mut(self.stride());
            let factor = step.decay[*half_life];
            let decay = |word: &mut u64| *word = (f64::from_bits(*word) * factor).to_bits();
            // By pairs, so that two are multiplied at once.
            let (pairs, odd) = sums.as_chunks_mut::<2>();
            pairs.iter_mut().for_each(|pair| pair.iter_mut().for_each(decay));
            odd.iter_mut().for_each(decay);
            state = rest;
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
