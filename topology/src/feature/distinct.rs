//! Different values of a field: exact over listed values, else by linear counting.
//!
//! Linear counting (Whang, Vander-Zanden, Taylor 1990): with m bits and z of them zero, the estimate is -m·ln(z/m). Its relative
//! error is near 0.8/√m while the count is below m; beyond about m·ln m it saturates at m·ln m.

use super::{Filter, Shown, Step};
use crate::math;

#[derive(Debug)]
pub(crate) struct Distinct {
    pub filter: Filter,
    /// Input of the hash, or of the code where values are listed.
    pub value: usize,
    /// Values are listed: the count is exact.
    pub exact: bool,
    /// Bits, a power of two from 64 to 4,096; 64 where exact.
    pub bits: u32,
    pub shown: Shown,
    /// Estimate for each number of zero bits, so that `read` needs no logarithm.
    pub estimates: Vec<f64>,
}

impl Distinct {
    pub(crate) fn new(filter: Filter, value: usize, exact: bool, bits: u32, shown: Shown) -> Self {
        let m = f64::from(bits);
        let estimate = |zeros: u32| -m * math::ln(f64::from(zeros.max(1)) / m);
        let estimates = (0..=bits).map(|zeros| if exact { m - f64::from(zeros) } else { estimate(zeros) }).collect();
        Distinct { filter, value, exact, bits, shown, estimates }
    }

    pub(crate) fn words(&self) -> usize {
        self.bits as usize / 64
    }

    #[inline]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if !self.filter.passes(step) {
            return;
        }
        let Some(word) = step.word(self.value) else { return };
        let bit = if self.exact { word } else { word >> (64 - self.bits.trailing_zeros()) };
        state[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64]) -> f32 {
        let zeros: u32 = match state {
            [word] => word.count_zeros(),
            words => words.iter().map(|word| word.count_zeros()).sum(),
        };
        // `+ 0.0` turns the -0 of an empty set into 0.
        self.shown.slot(Some(self.estimates[zeros as usize] + 0.0))
    }
}
