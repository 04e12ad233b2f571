//! Arrival → published, exactly: an HdrHistogram in microseconds, and the same as Prometheus metrics.
//!
//! The recorder of all other metrics keeps each sample until it is asked for: hundreds of thousands a second are counted here instead.

use crate::telemetry::SECONDS;
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Highest latency told apart from longer ones, microseconds.
const MAX_US: u64 = 600_000_000;

/// Name of the metric.
const FRESHNESS: &str = "saccade_context_freshness_seconds";

/// Latencies since the process began, and since they were last taken.
pub struct Latency {
    counts: Mutex<Counts>,
}

struct Counts {
    total: Histogram<u64>,
    sum_us: u64,
    since: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let new = || Histogram::new_with_max(MAX_US, 3).expect("the bounds of the histogram are valid");
        Latency { counts: Mutex::new(Counts { total: new(), sum_us: 0, since: new() }) }
    }
}

impl Latency {
    pub(crate) fn record(&self, latency: Duration, events: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(MAX_US).min(MAX_US);
        let mut counts = self.counts();
        counts.total.saturating_record_n(us, events);
        counts.since.saturating_record_n(us, events);
        counts.sum_us += us * events;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no thread panics while it holds the histogram")
    }

    /// The histogram since the process began, microseconds.
    pub fn total(&self) -> Histogram<u64> {
        self.counts().total.clone()
    }

    /// The histogram since the last call, microseconds.
    pub fn take(&self) -> Histogram<u64> {
        let mut counts = self.counts();
        let taken = counts.since.clone();
        counts.since.reset();
        taken
    }

    /// The histogram since the process began, as Prometheus text.
    pub(crate) fn write(&self, text: &mut String) {
        let (total, sum_us) = {
            let counts = self.counts();
            (counts.total.clone(), counts.sum_us)
        };
        let mut line = |rest: std::fmt::Arguments<'_>| writeln!(text, "{rest}").expect("memory takes any text");
        line(format_args!("# HELP {FRESHNESS} arrival to published, per event"));
        line(format_args!("# TYPE {FRESHNESS} histogram"));
        for bound in SECONDS {
            let below = total.count_between(0, (bound * 1e6) as u64);
            line(format_args!("{FRESHNESS}_bucket{{le=\"{bound}\"}} {below}"));
        }
        line(format_args!("{FRESHNESS}_bucket{{le=\"+Inf\"}} {}", total.len()));
        line(format_args!("{FRESHNESS}_sum {}", sum_us as f64 / 1e6));
        line(format_args!("{FRESHNESS}_count {}\n", total.len()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_by_event_and_shown_in_buckets() {
        let latency = Latency::default();
        latency.record(Duration::from_micros(300), 20);
        latency.record(Duration::from_millis(4), 3);
        latency.record(Duration::from_secs(1000), 1);
        let mut text = String::new();
        latency.write(&mut text);
        for line in [
            "_bucket{le=\"0.0002\"} 0",
            "_bucket{le=\"0.0003\"} 20",
            "_bucket{le=\"0.003\"} 20",
            "_bucket{le=\"0.005\"} 23",
            "_bucket{le=\"1\"} 23",
            "_bucket{le=\"+Inf\"} 24",
            "_sum 600.018",
            "_count 24",
        ] {
            assert!(text.contains(&format!("{FRESHNESS}{line}\n")), "{line} is not in\n{text}");
        }
    }
}
