//! The server's own measurements, read from its `/metrics` before, during and after a run.

mod follow;

pub use follow::{Follower, SILENT, ServerSecond};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for `/metrics`: where they do not come, neither a run nor its report waits for them.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);

const FRESHNESS: &str = "saccade_context_freshness_seconds_bucket";
const FRESHNESS_QUANTILE: &str = "saccade_context_freshness_quantile_seconds";
const CPU: &str = "process_cpu_seconds_total";
const STARTED: &str = "process_start_time_seconds";
const RSS: &str = "process_resident_memory_bytes";
const EVENTS: &str = "saccade_events_total";
const CONTEXTS: &str = "saccade_contexts_published_total";
const PROFILE_LATE: &str = "saccade_profile_late_total";

/// One reading of `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// When it came.
    at: Option<Instant>,
    /// Contexts published within a bound, over all label sets: bound in bits of an `f64` (positive, so in order), count.
    freshness: BTreeMap<u64, f64>,
    /// Quantile (as written) and seconds.
    quantiles: BTreeMap<String, f64>,
    cpu_seconds: Option<f64>,
    rss_bytes: Option<f64>,
    started: Option<f64>,
    /// Events by result, over all partitions.
    events: BTreeMap<String, f64>,
    contexts: Option<f64>,
    profile_late: Option<f64>,
}

/// What the server measured during a run. Absent where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Events whose contexts were published.
    pub published: Option<u64>,
    /// Contexts of sessions that were refreshed.
    pub contexts: Option<u64>,
    /// Events folded, whoever sent them.
    pub accepted: Option<u64>,
    /// Those of the time in which processor time was counted; older reports do not say.
    #[serde(default)]
    pub timed: Option<u64>,
    /// Length of that time, seconds; older reports do not say.
    #[serde(default)]
    pub timed_s: Option<f64>,
    /// Events folded into their session, but too late for their viewer's profile.
    pub profile_late: Option<u64>,
    /// Arrival to published, milliseconds; from a histogram, so each is the upper bound of its bucket. Absent above the last.
    pub freshness_ms_at_most: BTreeMap<String, f64>,
    /// The same as the server's own histogram has it since it began, milliseconds, by quantile.
    pub freshness_ms_since_start: BTreeMap<String, f64>,
    /// Processor time used during the run.
    pub cpu_seconds: Option<f64>,
    /// Resident memory at the end, bytes.
    pub rss_bytes: Option<u64>,
    /// It was started anew during the run: its counts began again, and are left out.
    #[serde(default)]
    pub restarted: bool,
}

impl Reading {
    /// Processor seconds since the server began, and its resident bytes.
    pub fn process(&self) -> (Option<f64>, Option<u64>) {
        (self.cpu_seconds, self.rss_bytes.map(|bytes| bytes as u64))
    }

    /// What came just now.
    pub fn now(body: &[u8]) -> Reading {
        Reading { at: Some(Instant::now()), ..Reading::parse(&String::from_utf8_lossy(body)) }
    }

    /// Reads the Prometheus text format; lines of other metrics are passed over.
    fn parse(text: &str) -> Reading {
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
                STARTED => reading.started = Some(value),
                RSS => reading.rss_bytes = Some(value),
                EVENTS => {
                    let Some(result) = label(labels, "result") else { continue };
                    *reading.events.entry(result.to_owned()).or_insert(0.0) += value;
                }
                CONTEXTS if label(labels, "kind") == Some("session") => reading.contexts = Some(value),
                PROFILE_LATE => *reading.profile_late.get_or_insert(0.0) += value,
                _ => {}
            }
        }
        reading
    }

    /// What happened between `before` and this reading; times since `warm`, and without it none; processor from there to `end`, when all was
    /// sent: what is read to check it costs the server, too.
    pub fn since(&self, before: &Reading, warm: Option<&Reading>, end: &Reading) -> Measured {
        if self.started.is_some() && self.started != before.started {
            return Measured { restarted: true, rss_bytes: self.process().1, ..Measured::default() };
        }
        let was = |warm: &Reading, bound| warm.freshness.get(bound).copied().unwrap_or(0.0);
        let counts: Vec<(f64, f64)> = warm.map_or(vec![], |warm| {
            self.freshness.iter().map(|(bound, n)| (f64::from_bits(*bound), n - was(warm, bound))).collect()
        });
        let published = counts.last().map(|(_, n)| *n);
        let within = |q: f64| counts.iter().find(|(_, n)| *n >= q * published.unwrap_or(0.0)).map(|(bound, _)| *bound);
        let quantiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
        let bound = |(name, q): (&str, f64)| {
            within(q).filter(|seconds| seconds.is_finite()).map(|seconds| (name.to_owned(), seconds * 1000.0))
        };
        let added = |now: Option<f64>, was: Option<f64>| now.map(|now| (now - was.unwrap_or(0.0)) as u64);
        let accepted = |reading: &Reading| reading.events.get("accepted").copied();
        Measured {
            published: published.map(|n| n as u64),
            contexts: added(self.contexts, before.contexts),
            accepted: added(accepted(self), accepted(before)),
            timed: warm.and_then(|warm| added(accepted(end), accepted(warm))),
            timed_s: warm.and_then(|warm| Some(end.at?.duration_since(warm.at?).as_secs_f64())),
            profile_late: added(self.profile_late, before.profile_late),
            freshness_ms_at_most: match published {
                Some(n) if n > 0.0 => quantiles.into_iter().filter_map(bound).collect(),
                _ => BTreeMap::new(),
            },
            freshness_ms_since_start: self.quantiles.iter().map(|(q, s)| (q.clone(), s * 1000.0)).collect(),
            cpu_seconds: end.cpu_seconds.zip(warm.and_then(|warm| warm.cpu_seconds)).map(|(now, was)| now - was),
            rss_bytes: self.process().1,
            restarted: false,
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
saccade_events_total{partition=\"0\",result=\"accepted\"} 10
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
process_resident_memory_bytes 1048576
saccade_events_total{partition=\"0\",result=\"accepted\"} 70
saccade_events_total{partition=\"1\",result=\"accepted\"} 40
saccade_events_total{partition=\"1\",result=\"late\"} 3
saccade_contexts_published_total{kind=\"viewer\"} 7
saccade_contexts_published_total{kind=\"session\"} 120
saccade_profile_late_total{partition=\"0\"} 2
saccade_profile_late_total{partition=\"1\"} 1
";

    #[test]
    fn percentiles_are_the_bounds_of_what_was_added_during_the_run() {
        let (after, before) = (Reading::parse(AFTER), Reading::parse(BEFORE));
        let measured = after.since(&before, Some(&before), &after);
        assert_eq!(measured.published, Some(100));
        // The slowest of 100 was above the last bound: no percentile is made up for it.
        let expected = BTreeMap::from([("p50", 1.0), ("p99", 10.0)].map(|(name, ms)| (name.to_owned(), ms)));
        assert_eq!(measured.freshness_ms_at_most, expected);
        assert_eq!(measured.freshness_ms_since_start, BTreeMap::from([("0.5".into(), 0.4), ("0.99".into(), 2.0)]));
        assert_eq!((measured.cpu_seconds, measured.rss_bytes), (Some(2.5), Some(1 << 20)));
        // Warm at the end: all was counted, nothing of it timed.
        let measured = after.since(&before, Some(&after), &after);
        assert_eq!((measured.accepted, measured.cpu_seconds, measured.published), (Some(100), Some(0.0), Some(0)));
    }

    #[test]
    fn without_a_reading_to_count_from_nothing_is_timed_and_all_is_counted() {
        let (after, before) = (Reading::parse(AFTER), Reading::parse(BEFORE));
        let measured = after.since(&before, None, &after);
        assert_eq!((measured.accepted, measured.contexts, measured.rss_bytes), (Some(100), Some(120), Some(1 << 20)));
        assert_eq!(
            (measured.cpu_seconds, measured.timed, measured.timed_s, measured.published),
            (None, None, None, None)
        );
        assert_eq!(measured.freshness_ms_at_most, BTreeMap::new());
        let start = Instant::now();
        let at = |reading: &Reading, ms| Reading {
            at: Some(start + std::time::Duration::from_millis(ms)),
            ..reading.clone()
        };
        let timed_s = after.since(&before, Some(&at(&before, 0)), &at(&after, 2_500)).timed_s;
        assert_eq!(timed_s, Some(2.5));
        // What was read to check it came after the end.
        let checked = Reading { cpu_seconds: Some(9.0), ..after.clone() };
        assert_eq!(checked.since(&before, Some(&before), &after).cpu_seconds, Some(2.5));
    }

    #[test]
    fn counts_of_a_server_that_was_started_anew_are_left_out() {
        let started = |at: u32| Reading::parse(&format!("{AFTER}process_start_time_seconds {at}\n"));
        assert_eq!(started(5).since(&started(5), Some(&started(5)), &started(5)).accepted, Some(0));
        let measured = started(9).since(&started(5), Some(&started(5)), &started(9));
        assert_eq!((measured.restarted, measured.accepted, measured.published), (true, None, None));
        assert_eq!(measured.rss_bytes, Some(1 << 20));
    }

    #[test]
    fn partitions_are_added_up() {
        let (after, before) = (Reading::parse(AFTER), Reading::parse(BEFORE));
        let measured = after.since(&before, Some(&before), &after);
        assert_eq!((measured.accepted, measured.contexts, measured.profile_late), (Some(100), Some(120), Some(3)));
    }

    #[test]
    fn a_server_that_says_nothing_is_not_given_numbers() {
        assert_eq!(
            Reading::parse("up 1\n\ngarbage\n").since(
                &Reading::default(),
                Some(&Reading::default()),
                &Reading::default()
            ),
            Measured::default()
        );
        let idle = Reading::parse(AFTER);
        assert_eq!(idle.since(&idle, Some(&idle), &idle).freshness_ms_at_most, BTreeMap::new());
    }
}
