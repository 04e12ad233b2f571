//! Seeded randomness for simulated viewers: the same seed, the same viewers. Not for anything that must be unpredictable.

/// SplitMix64 (Steele et al. 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `0..n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number of `from..=to`.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// A number from 0 up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1u64 << 53) as f64
    }

    /// True this many times in a hundred.
    pub(super) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of `all`.
    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Item `k` of a catalogue is drawn with weight `1/(k+1)`: few are seen by many, many by few.
pub(super) struct Zipf {
    /// Running sums of the weights, ending with 1.
    ends: Vec<f64>,
}

impl Zipf {
    pub(super) fn new(items: u32) -> Zipf {
        let total: f64 = (1..=items).map(|k| 1.0 / f64::from(k)).sum();
        let mut sum = 0.0;
        let end = |k| {
            sum += 1.0 / f64::from(k) / total;
            sum
        };
        Zipf { ends: (1..=items).map(end).collect() }
    }

    /// An item's number, from 0.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.ends.partition_point(|end| *end < at).min(self.ends.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_item_is_drawn_twice_as_often_as_the_second_and_the_last_is_drawn_too() {
        let (zipf, mut random) = (Zipf::new(100), Random::new(7));
        let mut counts = [0u32; 100];
        (0..100_000).for_each(|_| counts[zipf.draw(&mut random)] += 1);
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts[99] > 0);
    }
}
