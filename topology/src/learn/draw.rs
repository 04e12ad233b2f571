//! Randomness keyed by decision: the same seed and decision id give the same numbers, in any order, on every machine.
//!
//! Counter-based (Salmon, Moraes, Dror and Shaw, SC 2011): number `i` of a stream is a hash of (key, stream, i), so nothing is
//! carried from one decision to the next. Not for secrets.

use crate::math;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What all randomness of one decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

/// What a number is for; streams are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which action is taken at a position of the slate.
    Choice,
    /// Draws from the posterior, for a position of the slate.
    Posterior,
}

/// One draw from a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// What was drawn.
    pub place: usize,
    /// The keyed number, in (0, 1).
    pub uniform: f64,
    /// Where the interval of what was drawn begins, when the probabilities are laid side by side.
    pub from: f64,
    /// Where it ends; the number is inside, to rounding.
    pub to: f64,
}

impl Key {
    /// The key of one decision.
    pub fn new(seed: u64, decision: &[u8]) -> Self {
        Key(xxh3_64_with_seed(decision, seed))
    }

    /// The key of one position of a slate.
    pub fn at_position(self, position: u32) -> Self {
        if position == 0 { self } else { Key(mix(self.0 ^ mix(u64::from(position)))) }
    }

    fn bits(self, stream: Stream, index: u64) -> u64 {
        let stream = self.0 ^ mix(stream as u64 + 1);
        mix(stream.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Uniform in (0, 1): odd multiples of 2⁻⁵³.
    pub fn uniform(self, stream: Stream, index: u64) -> f64 {
        ((self.bits(stream, index) >> 12) as f64 + 0.5) * (1.0 / (1_u64 << 52) as f64)
    }

    /// Standard normal.
    pub fn normal(self, stream: Stream, index: u64) -> f64 {
        normal_quantile(self.uniform(stream, index))
    }

    /// As [`Key::take`], with the number that was drawn and the interval it fell into.
    pub fn draw(self, distribution: &[f64]) -> Option<Drawn> {
        let (place, total) = (self.take(distribution)?, distribution.iter().sum::<f64>());
        let from = distribution[..place].iter().fold(0.0, |sum, p| sum + p) / total;
        let uniform = self.uniform(Stream::Choice, 0);
        Some(Drawn { place, uniform, from, to: from + distribution[place] / total })
    }

    /// Takes one position of a distribution; none where all probabilities are 0.
    pub fn take(self, distribution: &[f64]) -> Option<usize> {
        let mut left = self.uniform(Stream::Choice, 0) * distribution.iter().sum::<f64>();
        let possible = || distribution.iter().enumerate().filter(|(_, p)| **p > 0.0);
        possible()
            .find(|(_, p)| {
                left -= **p;
                left < 0.0
            })
            .or_else(|| possible().next_back())
            .map(|(i, _)| i)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Quantile of the standard normal for p in (0, 1), to about 16 digits (Wichura, algorithm AS 241, Applied Statistics 1988).
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * ratio(&CENTRE, r);
    }
    let r = (-math::ln(if q < 0.0 { p } else { 1.0 - p })).sqrt();
    let tail = if r <= 5.0 { ratio(&MIDDLE, r - 1.6) } else { ratio(&FAR, r - 5.0) };
    if q < 0.0 { -tail } else { tail }
}

/// Numerator and denominator, lowest power first.
type Rational = [[f64; 8]; 2];

fn ratio([numerator, denominator]: &Rational, r: f64) -> f64 {
    let polynomial = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * r + c);
    polynomial(numerator) / polynomial(denominator)
}

const CENTRE: Rational = [
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_545e3,
    ],
];

const MIDDLE: Rational = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

const FAR: Rational = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288e-7,
    ],
    [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        let table = [
            (0.5, 0.0),
            (0.3, -0.524_400_512_708_040_9),
            (0.93, 1.475_791_028_179_171),
            (0.975, 1.959_963_984_540_054),
            (0.001, -3.090_232_306_167_813),
            (1e-12, -7.034_483_825_301_131),
        ];
        for (p, quantile) in table {
            assert!((normal_quantile(p) - quantile).abs() < 1e-14, "{p}: {} not {quantile}", normal_quantile(p));
        }
    }

    #[test]
    fn the_last_possible_action_takes_what_rounding_leaves() {
        for id in 0..1000_u32 {
            let taken = Key::new(1, &id.to_le_bytes()).take(&[0.0, 0.3, 0.7, 0.0]);
            assert!(matches!(taken, Some(1 | 2)));
        }
        assert_eq!(Key::new(1, b"").take(&[0.0]), None);
    }
}
