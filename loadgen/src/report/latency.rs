//! A latency histogram in numbers: the percentiles people ask for, and enough of them to draw the curve.

use crate::slo::Value;
use crate::tally::Samples;
use serde::{Deserialize, Serialize};

/// Points of the curve per halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 8;

/// Fewer samples beyond a percentile make it a matter of luck.
const BEYOND: u64 = 10;

/// One percentile, for people.
pub struct Percentile {
    /// Milliseconds.
    pub ms: f64,
    /// Fewer than ten samples were longer, so that the next run may well have another.
    pub is_rough: bool,
}

/// Percentiles of a histogram in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Measured requests or events.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90 %.
    pub p90_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p999_ms: f64,
    /// 99.99 %.
    pub p9999_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// (quantile from 0 to 1, milliseconds), ascending, denser towards 1.
    pub curve: Vec<(f64, f64)>,
}

impl Latency {
    /// Of samples in nanoseconds.
    pub fn of(samples: &Samples) -> Self {
        let ms = |q| samples.value_at_quantile(q) as f64 / 1e6;
        let mut curve: Vec<(f64, f64)> = vec![];
        for step in samples.iter_quantiles(TICKS_PER_HALF) {
            let point = (step.quantile_iterated_to(), step.value_iterated_to().min(samples.max()) as f64 / 1e6);
            // The iterator repeats itself at the end.
            if curve.last() != Some(&point) {
                curve.push(point);
            }
        }
        Latency {
            count: samples.len(),
            mean_ms: samples.mean() / 1e6,
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            p9999_ms: ms(0.9999),
            max_ms: samples.max() as f64 / 1e6,
            curve,
        }
    }

    /// p50, p90, p99, p99.9, p99.99.
    pub fn percentiles(&self) -> [Percentile; 5] {
        let beyond_of_10_000 = [5_000, 1_000, 100, 10, 1];
        let values = [self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.p9999_ms];
        std::array::from_fn(|i| {
            let is_rough = self.count > 0 && self.count * beyond_of_10_000[i] < BEYOND * 10_000;
            Percentile { ms: values[i], is_rough }
        })
    }

    /// The curve as far as it was measured: up to the quantile that only the longest sample is above.
    pub fn measured_curve(&self) -> impl Iterator<Item = (f64, f64)> {
        let end = 1.0 - 1.0 / self.count.max(1) as f64;
        let before = self.curve.iter().copied().filter(move |(quantile, _)| *quantile < end);
        before.chain((self.count > 0).then_some((end, self.max_ms)))
    }

    /// From which quantile on fewer than ten samples were longer; none where nothing was measured.
    pub fn rough_from(&self) -> Option<f64> {
        (self.count > 0).then(|| 1.0 - BEYOND as f64 / self.count as f64)
    }

    /// By the names that objectives use.
    pub fn named(&self) -> [(&'static str, Value); 7] {
        let of = |value, is_rough| Value { value, samples: Some(self.count), is_rough };
        let [p50, p90, p99, p999, p9999] = self.percentiles().map(|percentile| of(percentile.ms, percentile.is_rough));
        [
            ("p50", p50),
            ("p90", p90),
            ("p99", p99),
            ("p999", p999),
            ("p9999", p9999),
            ("max", of(self.max_ms, false)),
            ("mean", of(self.mean_ms, false)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_the_curve_are_those_of_the_histogram() {
        let mut recorded = Samples::default();
        (1..=10_000).for_each(|us| recorded.saturating_record(us * 1_000));
        let latency = Latency::of(&recorded);
        let about = |ms: f64, expected: f64| (ms / expected - 1.0).abs() < 0.002;
        assert!(about(latency.p50_ms, 5.0) && about(latency.p99_ms, 9.9) && about(latency.max_ms, 10.0), "{latency:?}");
        assert!(latency.curve.len() > 50, "{}", latency.curve.len());
        assert!(latency.curve.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1));
        assert_eq!(latency.curve.last(), Some(&(1.0, latency.max_ms)));
        assert_eq!(latency.max_ms, 10.0, "not the end of its bucket");
    }

    #[test]
    fn percentiles_that_rest_on_fewer_than_ten_samples_are_rough() {
        let rough = |count| Latency { count, ..Latency::default() }.percentiles().map(|percentile| percentile.is_rough);
        assert_eq!(rough(0), [false; 5], "nothing was measured: there is nothing to doubt");
        assert_eq!(rough(19), [true; 5]);
        assert_eq!(rough(999), [false, false, true, true, true]);
        assert_eq!(rough(1_000), [false, false, false, true, true]);
        assert_eq!(rough(9_999), [false, false, false, true, true]);
        assert_eq!(rough(10_000), [false, false, false, false, true]);
        assert_eq!(rough(100_000), [false; 5]);
    }

    #[test]
    fn the_curve_ends_with_the_longest_sample_and_is_rough_where_fewer_than_ten_were_longer() {
        let of = |count: u64| {
            let mut recorded = Samples::default();
            (1..=count).for_each(|ms| recorded.saturating_record(ms * 1_000_000));
            let latency = Latency::of(&recorded);
            (latency.measured_curve().last().map(|(quantile, _)| quantile), latency.rough_from())
        };
        assert_eq!((of(0), of(1)), ((None, None), (Some(0.0), Some(-9.0))));
        assert!(matches!(of(3), (Some(end), Some(rough)) if (0.66..0.67).contains(&end) && rough < 0.0));
        assert_eq!(of(1_000), (Some(0.999), Some(0.99)));
    }

    #[test]
    fn nothing_measured_is_no_curve() {
        let latency = Latency::of(&Samples::default());
        assert_eq!((latency.count, latency.max_ms), (0, 0.0));
        assert!(latency.curve.len() <= 1);
    }
}
