//! Arrival → published, exactly: an HdrHistogram in microseconds, and the same as Prometheus metrics.

use hdrhistogram::Histogram;
use std::sync::Mutex;
use std::time::Duration;

/// Highest latency told apart from longer ones, microseconds.
const MAX_US: u64 = 600_000_000;

/// Latencies since the process began, and since they were last taken.
pub struct Latency {
    both: Mutex<(Histogram<u64>, Histogram<u64>)>,
}

impl Default for Latency {
    fn default() -> Self {
        let new = || Histogram::new_with_max(MAX_US, 3).expect("the bounds of the histogram are valid");
        Latency { both: Mutex::new((new(), new())) }
    }
}

impl Latency {
    pub(crate) fn record(&self, latency: Duration, events: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(MAX_US).min(MAX_US);
        let mut both = self.both.lock().expect("no thread panics while it holds the histogram");
        both.0.saturating_record_n(us, events);
        both.1.saturating_record_n(us, events);
    }

    /// The histogram since the process began, microseconds.
    pub fn total(&self) -> Histogram<u64> {
        self.both.lock().expect("no thread panics while it holds the histogram").0.clone()
    }

    /// The histogram since the last call, microseconds.
    pub fn take(&self) -> Histogram<u64> {
        let mut both = self.both.lock().expect("no thread panics while it holds the histogram");
        let taken = both.1.clone();
        both.1.reset();
        taken
    }

    /// Sets the gauges of exact quantiles.
    pub(crate) fn export(&self) {
        let total = self.total();
        for (name, quantile) in [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999)] {
            let seconds = total.value_at_quantile(quantile) as f64 / 1e6;
            metrics::gauge!("saccade_context_freshness_quantile_seconds", "quantile" => name).set(seconds);
        }
    }
}
