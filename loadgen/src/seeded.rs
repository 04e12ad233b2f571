//! Randomness keyed by (seed, stream, number): no state, so any event can be made again on its own.

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
}

/// 64 random bits for number `n` of a stream (the finaliser of SplitMix64, Steele et al. 2014, applied twice).
pub fn keyed(seed: u64, stream: Stream, n: u64) -> u64 {
    mix(mix(seed ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(n))
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
    keys: u64,
}

impl Popularity {
    /// Popularity of keys `0..keys`.
    pub fn new(keys: u64, exponent: f64) -> Self {
        if exponent == 0.0 {
            return Popularity { ends: Vec::new(), keys };
        }
        let weight = |k: u64| ((k + 1) as f64).powf(-exponent);
        let total: f64 = (0..keys).map(weight).sum();
        let mut sum = 0.0;
        let end = |k| {
            sum += weight(k);
            // Saturates at u64::MAX for the last key.
            (sum / total * u64::MAX as f64) as u64
        };
        Popularity { ends: (0..keys).map(end).collect(), keys }
    }

    /// The key for 64 random bits.
    pub fn pick(&self, bits: u64) -> u64 {
        if self.ends.is_empty() {
            return ((u128::from(bits) * u128::from(self.keys)) >> 64) as u64;
        }
        (self.ends.partition_point(|end| *end < bits) as u64).min(self.keys - 1)
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
}
