//! Randomness keyed by (seed, stream, number): no state, so any event can be made again on its own.

use saccade_topology::math::{ln, pow, sin_cos_turns};

/// What a draw is for; draws of different streams are independent.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Stream {
    /// Sizes of batches.
    Batch = 1,
    /// Which session an event belongs to.
    Session = 2,
    /// What the event says.
    Body = 3,
    /// Gaps between arrivals.
    Arrival = 4,
    /// What a viewer is like, by viewer.
    Viewer = 5,
    /// What a viewer does, by viewer and step.
    Step = 6,
    /// What happens to an event or request on its way, by its number.
    Transit = 7,
    /// What an item is like, by item.
    Item = 8,
    /// Whose turn it is, by act.
    Turn = 9,
    /// What is asked and seen, by decision.
    Decision = 10,
    /// How a viewer's clock is, by viewer.
    Clock = 11,
    /// Which of many are kept.
    Sample = 12,
}

/// 64 random bits for number `n` of a stream (the finaliser of SplitMix64, Steele et al. 2014, applied twice).
pub fn keyed(seed: u64, stream: Stream, n: u64) -> u64 {
    mix(mix(seed ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(n))
}

/// Several draws that belong together: the first is [`keyed`], those after it follow from it.
#[derive(Clone, Copy, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The draws of number `n` of a stream.
    pub fn new(seed: u64, stream: Stream, n: u64) -> Draws {
        Draws(keyed(seed, stream, n))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let bits = self.0;
        self.0 = mix(bits);
        bits
    }

    /// A number in (0, 1].
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() <= probability
    }

    /// Exponential with this mean, at most ten times it.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        mean * (-ln(self.unit())).min(10.0)
    }

    /// Normal, mean 0, deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * ln(self.unit())).sqrt();
        radius * sin_cos_turns(self.unit()).1
    }

    /// Pareto: at least `least`, longer than x with probability (least/x)^tail; cut off at `most`.
    pub fn pareto(&mut self, least: f64, most: f64, tail: f64) -> f64 {
        (least * pow(self.unit(), -1.0 / tail)).min(most)
    }
}

/// The number in (0, 1] that 64 random bits stand for; never 0, so that it has a logarithm.
pub fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
}

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Which of `n` keys is drawn: all alike with exponent 0, key `k` with weight `1/(k+1)^exponent` otherwise.
pub struct Popularity {
    /// Upper ends of the keys' shares of `0..u64::MAX`; empty when all are alike.
    ends: Vec<u64>,
    /// Where to look for the bits that begin with these [`GUIDE_BITS`]: the first key that can be meant (Chen and Asau 1974).
    guide: Vec<u32>,
    keys: u64,
}

const GUIDE_BITS: u32 = 12;

impl Popularity {
    /// Popularity of keys `0..keys`; at most `u32::MAX` of them.
    pub fn new(keys: u64, exponent: f64) -> Self {
        if exponent == 0.0 {
            return Popularity { ends: Vec::new(), guide: Vec::new(), keys };
        }
        let weight = |k: u64| pow((k + 1) as f64, -exponent);
        let total: f64 = (0..keys).map(weight).sum();
        let mut sum = 0.0;
        let end = |k| {
            sum += weight(k);
            // Saturates at u64::MAX for the last key.
            (sum / total * u64::MAX as f64) as u64
        };
        let ends: Vec<u64> = (0..keys).map(end).collect();
        let first = |start: u64| ends.partition_point(|end| *end < start << (64 - GUIDE_BITS)) as u32;
        let guide = (0..1 << GUIDE_BITS).map(first).collect();
        Popularity { ends, guide, keys }
    }

    /// The key for 64 random bits.
    pub fn pick(&self, bits: u64) -> u64 {
        if self.ends.is_empty() {
            return ((u128::from(bits) * u128::from(self.keys)) >> 64) as u64;
        }
        let slot = (bits >> (64 - GUIDE_BITS)) as usize;
        let from = self.guide[slot] as usize;
        let to = self.guide.get(slot + 1).map_or(self.ends.len(), |next| (*next as usize + 1).min(self.ends.len()));
        ((from + self.ends[from..to].partition_point(|end| *end < bits)) as u64).min(self.keys - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: u64, exponent: f64) -> Vec<u32> {
        let popularity = Popularity::new(keys, exponent);
        let mut counts = vec![0; keys as usize];
        (0..100_000).for_each(|n| counts[popularity.pick(keyed(7, Stream::Session, n)) as usize] += 1);
        counts
    }

    #[test]
    fn without_an_exponent_all_keys_are_alike() {
        assert!(counts(10, 0.0).iter().all(|n| (9_500..10_500).contains(n)));
    }

    #[test]
    fn with_exponent_one_the_first_key_is_drawn_twice_as_often_as_the_second() {
        let counts = counts(100, 1.0);
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts[99] > 0);
    }

    #[test]
    fn the_ends_of_the_range_are_keys() {
        for exponent in [0.0, 1.0] {
            let popularity = Popularity::new(3, exponent);
            assert_eq!(popularity.pick(0), 0);
            assert_eq!(popularity.pick(u64::MAX), 2);
        }
    }

    #[test]
    fn the_guide_finds_what_a_search_of_all_finds() {
        for exponent in [0.3, 1.0, 3.0] {
            let popularity = Popularity::new(5_000, exponent);
            for n in 0..20_000 {
                let bits = keyed(3, Stream::Item, n);
                let all = popularity.ends.partition_point(|end| *end < bits) as u64;
                assert_eq!(popularity.pick(bits), all.min(4_999), "{bits:x}");
            }
        }
    }

    #[test]
    fn draws_have_the_distribution_they_are_named_after() {
        let mut draws = Draws::new(1, Stream::Step, 1);
        let n = 200_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || draws.exponential(2.0)) - 2.0).abs() < 0.03);
        assert!(mean(&mut || draws.normal()).abs() < 0.02);
        assert!((mean(&mut || draws.normal().abs()) - 0.797_9).abs() < 0.02);
        assert!((mean(&mut || f64::from(draws.chance(0.3))) - 0.3).abs() < 0.01);
        let above = mean(&mut || f64::from(draws.pareto(2.0, 1e9, 1.5) > 8.0));
        assert!((above - 0.125).abs() < 0.005, "{above}");
    }
}
