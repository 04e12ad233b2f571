//! The server's own measurements, read from its `/metrics` before and after a run.

use serde::Serialize;
use std::collections::BTreeMap;

const FRESHNESS: &str = "saccade_context_freshness_seconds_bucket";
const FRESHNESS_QUANTILE: &str = "saccade_context_freshness_quantile_seconds";
const CPU: &str = "process_cpu_seconds_total";

/// One reading of `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Contexts published within a bound, over all label sets: bound in bits of an `f64` (positive, so in order), count.
    freshness: BTreeMap<u64, f64>,
    /// Quantile (as written) and seconds.
    quantiles: BTreeMap<String, f64>,
    cpu_seconds: Option<f64>,
}

/// What the server measured during a run. Absent where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Contexts published.
    pub published: Option<u64>,
    /// Arrival to published, milliseconds; from a histogram, so each is the upper bound of its bucket.
    pub freshness_ms_at_most: BTreeMap<&'static str, f64>,
    /// The same as the server's own histogram has it since it began, milliseconds, by quantile.
    pub freshness_ms_since_start: BTreeMap<String, f64>,
    /// Processor time used during the run.
    pub cpu_seconds: Option<f64>,
}

impl Reading {
    /// Reads the Prometheus text format; lines of other metrics are passed over.
    pub fn parse(text: &str) -> Reading {
        let mut reading = Reading::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, labels, value)) = sample(line) else { continue };
            match name {
                FRESHNESS => {
                    let Some(bound) = label(labels, "le").and_then(|le| le.parse::<f64>().ok()) else { continue };
                    *reading.freshness.entry(bound.to_bits()).or_insert(0.0) += value;
                }
                FRESHNESS_QUANTILE => {
                    let Some(quantile) = label(labels, "quantile") else { continue };
                    // Over partitions, the slowest counts.
                    let slowest = reading.quantiles.entry(quantile.to_owned()).or_insert(value);
                    *slowest = slowest.max(value);
                }
                CPU => reading.cpu_seconds = Some(value),
                _ => {}
            }
        }
        reading
    }

    /// What happened between `before` and this reading.
    pub fn since(&self, before: &Reading) -> Measured {
        let was = |bound: &u64| before.freshness.get(bound).copied().unwrap_or(0.0);
        let counts: Vec<(f64, f64)> =
            self.freshness.iter().map(|(bound, n)| (f64::from_bits(*bound), n - was(bound))).collect();
        let published = counts.last().map(|(_, n)| *n);
        let within = |q: f64| counts.iter().find(|(_, n)| *n >= q * published.unwrap_or(0.0)).map(|(bound, _)| *bound);
        let quantiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
        let bound = |(name, q)| within(q).map(|seconds| (name, seconds * 1000.0));
        Measured {
            published: published.map(|n| n as u64),
            freshness_ms_at_most: match published {
                Some(n) if n > 0.0 => quantiles.into_iter().filter_map(bound).collect(),
                _ => BTreeMap::new(),
            },
            freshness_ms_since_start: self.quantiles.iter().map(|(q, s)| (q.clone(), s * 1000.0)).collect(),
            cpu_seconds: self.cpu_seconds.zip(before.cpu_seconds).map(|(after, before)| after - before),
        }
    }
}

/// Name, labels without braces, value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, rest) = match line.find('}') {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| label.trim().strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE saccade_context_freshness_seconds histogram
saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"0.001\"} 10
saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"0.01\"} 10
saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"+Inf\"} 10
saccade_context_freshness_seconds_sum{partition=\"0\"} 0.001
process_cpu_seconds_total 1.5
";
    const AFTER: &str = "saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"0.001\"} 60
saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"0.01\"} 109
saccade_context_freshness_seconds_bucket{partition=\"0\",le=\"+Inf\"} 110
saccade_context_freshness_seconds_bucket{partition=\"1\",le=\"0.001\"} 0
saccade_context_freshness_seconds_bucket{partition=\"1\",le=\"0.01\"} 0
saccade_context_freshness_seconds_bucket{partition=\"1\",le=\"+Inf\"} 0
saccade_context_freshness_quantile_seconds{quantile=\"0.5\"} 0.0004 1700000000000
saccade_context_freshness_quantile_seconds{quantile=\"0.99\"} 0.002
process_cpu_seconds_total 4
";

    #[test]
    fn percentiles_are_the_bounds_of_what_was_added_during_the_run() {
        let measured = Reading::parse(AFTER).since(&Reading::parse(BEFORE));
        assert_eq!(measured.published, Some(100));
        let expected = BTreeMap::from([("p50", 1.0), ("p99", 10.0), ("p99.9", f64::INFINITY)]);
        assert_eq!(measured.freshness_ms_at_most, expected);
        assert_eq!(measured.freshness_ms_since_start, BTreeMap::from([("0.5".into(), 0.4), ("0.99".into(), 2.0)]));
        assert_eq!(measured.cpu_seconds, Some(2.5));
    }

    #[test]
    fn a_server_that_says_nothing_is_not_given_numbers() {
        assert_eq!(Reading::parse("up 1\n\ngarbage\n").since(&Reading::default()), Measured::default());
        let idle = Reading::parse(AFTER);
        assert_eq!(idle.since(&idle).freshness_ms_at_most, BTreeMap::new());
    }
}
