//! The exponent of a Zipf distribution, from counts.

use saccade_topology::math::{ln, pow};

/// Maximum likelihood (Clauset, Shalizi and Newman 2009, for a known number of keys), by golden section: the log-likelihood
/// −s·Σ cᵢ ln i − n·ln H(s) is concave in s. Ranks are those of the counts themselves, so where most keys were seen a few times only it is a
/// little too high. `counts` in any order; None with fewer than two keys.
pub(super) fn exponent(mut counts: Vec<u64>) -> Option<f64> {
    if counts.len() < 2 {
        return None;
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let logs: Vec<f64> = (1..=counts.len()).map(|rank| ln(rank as f64)).collect();
    let total: u64 = counts.iter().sum();
    let weighted: f64 = counts.iter().zip(&logs).map(|(n, log)| *n as f64 * log).sum();
    let likelihood = |s: f64| {
        let harmonic: f64 = (1..=counts.len()).map(|rank| pow(rank as f64, -s)).sum();
        -s * weighted - total as f64 * ln(harmonic)
    };
    let golden = 0.618_033_988_749_895;
    let (mut low, mut high) = (0.0, 5.0);
    while high - low > 1e-3 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if likelihood(a) > likelihood(b) { high = b } else { low = a }
    }
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Popularity, Stream, keyed};

    #[test]
    fn the_exponent_of_draws_is_found() {
        for expected in [0.0, 0.6, 1.0, 1.8] {
            let popularity = Popularity::new(500, expected);
            let mut counts = vec![0; 500];
            (0..200_000).for_each(|n| counts[popularity.pick(keyed(1, Stream::Item, n)) as usize] += 1);
            counts.retain(|n| *n > 0);
            let found = exponent(counts).expect("there are keys");
            assert!((found - expected).abs() < 0.05, "{found} for {expected}");
        }
        assert_eq!(exponent(vec![5]), None);
    }
}
