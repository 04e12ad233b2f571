//! Lengths whose begin is kept, so that they can be told in another time than the log's: of viewers who hurry where the rate is high.
//!
//! Of many, a part is kept that does not depend on their order.

use super::course::Seen;
use super::order::histogram;
use crate::seeded::{Stream, keyed};
use hdrhistogram::Histogram;
use saccade_topology::math::ln;

/// Most that are kept.
const KEPT: usize = 1 << 16;

/// Lengths, with when they began.
#[derive(Default)]
pub(super) struct Lengths {
    n: u64,
    /// Those are kept whose key has this many zeros at its end.
    zeros: u32,
    kept: Vec<Length>,
}

#[derive(Clone, Copy)]
struct Length {
    key: u64,
    /// Epoch milliseconds.
    begin: i64,
    end: i64,
}

impl Lengths {
    /// From an event until so many epoch milliseconds.
    pub(super) fn take(&mut self, first: Seen, end: i64) {
        self.n += 1;
        self.keep(Length { key: keyed(first.session, Stream::Sample, first.time as u64), begin: first.time, end });
    }

    pub(super) fn add(&mut self, other: Lengths) {
        self.n += other.n;
        other.kept.into_iter().for_each(|length| self.keep(length));
    }

    fn keep(&mut self, length: Length) {
        if length.key.trailing_zeros() >= self.zeros {
            self.kept.push(length);
        }
        if self.kept.len() > KEPT {
            self.zeros += 1;
            self.kept.retain(|length| length.key.trailing_zeros() >= self.zeros);
        }
    }

    /// How many there were.
    pub(super) fn len(&self) -> u64 {
        self.n
    }

    /// How many there were for one that is kept.
    pub(super) fn weight(&self) -> f64 {
        self.n as f64 / self.kept.len().max(1) as f64
    }

    /// Those that are kept, milliseconds of a time that is `time` where the log's is so many epoch milliseconds.
    pub(super) fn in_time(&self, time: impl Fn(i64) -> f64) -> Histogram<u64> {
        let mut lengths = histogram();
        self.kept.iter().for_each(|length| lengths.saturating_record(length.ms(&time).round() as u64));
        lengths
    }

    /// How unlike one another they are in that time: mean distance of their logarithms from the middle one.
    pub(super) fn spread(&self, time: impl Fn(i64) -> f64) -> f64 {
        let mut logs: Vec<f64> = self.kept.iter().map(|length| ln(length.ms(&time).max(1.0))).collect();
        logs.sort_by(f64::total_cmp);
        let Some(middle) = logs.get(logs.len() / 2) else { return 0.0 };
        logs.iter().map(|log| (log - middle).abs()).sum::<f64>() / logs.len() as f64
    }
}

impl Length {
    fn ms(&self, time: impl Fn(i64) -> f64) -> f64 {
        (time(self.end) - time(self.begin)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::Kind;

    fn seen(n: u64) -> Seen {
        Seen { time: n as i64, kind: Kind::Play, session: n % 7, is_at_end: false }
    }

    #[test]
    fn what_is_kept_of_many_is_a_fair_part_in_whatever_order_they_come() {
        let (mut one, mut other) = (Lengths::default(), Lengths::default());
        let n = 3 * KEPT as u64;
        (0..n).for_each(|n| one.take(seen(n), n as i64 + 1 + n as i64 % 1_000));
        (0..n).rev().for_each(|n| other.take(seen(n), n as i64 + 1 + n as i64 % 1_000));
        assert_eq!((one.len(), one.kept.len()), (n, other.kept.len()));
        assert!((one.weight() - 4.0).abs() < 0.1, "{}", one.weight());
        let lengths = one.in_time(|ms| ms as f64);
        assert_eq!(lengths, other.in_time(|ms| ms as f64));
        assert!((lengths.mean() - 500.0).abs() < 10.0, "{}", lengths.mean());
    }

    #[test]
    fn in_the_time_in_which_they_are_alike_their_spread_is_nothing() {
        let mut lengths = Lengths::default();
        // Ten seconds, half of them at twice the speed.
        (0..100).for_each(|n| lengths.take(seen(n), n as i64 + if n % 2 == 0 { 10_000 } else { 5_000 }));
        assert!(lengths.spread(|ms| ms as f64) > 0.3);
        let twice =
            Lengths { kept: lengths.kept.iter().filter(|l| l.end - l.begin == 5_000).copied().collect(), ..lengths };
        assert_eq!(twice.spread(|ms| 2.0 * ms as f64), 0.0);
        assert_eq!(twice.in_time(|ms| 2.0 * ms as f64).max() / 10, 1_000);
    }
}
