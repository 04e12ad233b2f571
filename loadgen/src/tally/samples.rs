//! Latencies as a histogram that also keeps the longest as it was: a histogram only knows in which of its buckets that is.

use super::histogram;
use hdrhistogram::Histogram;
use std::ops::Deref;

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub struct Samples {
    histogram: Histogram<u64>,
    max: u64,
}

impl Samples {
    /// Those of a histogram, none longer than `longest`.
    pub fn of(histogram: Histogram<u64>, longest: u64) -> Samples {
        let max = histogram.max().min(longest);
        Samples { histogram, max }
    }

    /// Adds one; what is longer than the histogram goes counts there as its longest.
    pub fn saturating_record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Samples) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
        self.max = self.max.max(other.max);
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What this share is no longer than, as near as the histogram knows.
    pub fn value_at_quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).min(self.max)
    }
}

impl Default for Samples {
    fn default() -> Self {
        Samples { histogram: histogram(), max: 0 }
    }
}

/// What is only read is that of the histogram.
impl Deref for Samples {
    type Target = Histogram<u64>;

    fn deref(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_kept_as_it_was_and_nothing_is_longer() {
        let mut samples = Samples::default();
        for nanos in [1_000, 42_687_065] {
            samples.saturating_record(nanos);
        }
        assert!(samples.deref().max() > 42_687_065, "the histogram's is the end of a bucket");
        assert_eq!((samples.max(), samples.value_at_quantile(1.0), samples.len()), (42_687_065, 42_687_065, 2));
        let mut both = Samples::default();
        both.add(&samples);
        assert_eq!((both.max(), both.len()), (42_687_065, 2));
        let histogram = samples.deref().clone();
        assert_eq!(Samples::of(histogram.clone(), 42_690_000).max(), 42_690_000);
        assert_eq!(Samples::of(histogram.clone(), u64::MAX).max(), histogram.max());
    }
}
