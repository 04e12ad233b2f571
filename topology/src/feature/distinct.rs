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

/// Ones in all words. Bytes of up to 16 words are added up before they are summed: processors that are sure to be there count no bits.
#[inline]
fn ones(words: &[u64]) -> u32 {
    const PAIRS: u64 = 0x5555_5555_5555_5555;
    const FOURS: u64 = 0x3333_3333_3333_3333;
    const BYTES: u64 = 0x0F0F_0F0F_0F0F_0F0F;
    const SHORTS: u64 = 0x00FF_00FF_00FF_00FF;
    // At most 8 in each byte.
    let by_bytes = |word: &u64| {
        let pairs = word - ((word >> 1) & PAIRS);
        let fours = (pairs & FOURS) + ((pairs >> 2) & FOURS);
        (fours + (fours >> 4)) & BYTES
    };
    let ones = |words: &[u64]| {
        let bytes: u64 = words.iter().map(by_bytes).sum();
        let shorts = (bytes & SHORTS) + ((bytes >> 8) & SHORTS);
        (shorts.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
    };
    words.chunks(16).map(ones).sum()
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
        let Some(word) = step.word(self.value) else { return };
        let bit = if self.exact { word } else { word >> (64 - self.bits.trailing_zeros()) };
        state[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64]) -> f32 {
        let zeros = self.bits - ones(state);
        // `+ 0.0` turns the -0 of an empty set into 0.
        self.shown.slot(Some(self.estimates[zeros as usize] + 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_are_counted() {
        let words: Vec<u64> = (0..64u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).chain([u64::MAX; 5]).collect();
        for len in 0..=words.len() {
            let words = &words[words.len() - len..];
            assert_eq!(ones(words), words.iter().map(|word| word.count_ones()).sum::<u32>());
        }
    }
}
