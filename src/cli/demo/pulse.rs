//! What the server does, second by second: counted by its own metrics and its histogram of arrival → published.

use super::ledger::Tally;
use crate::engine::Engine;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Seconds that "lately" covers.
pub(super) const LATELY_S: usize = 10;
/// Seconds of the rate that are remembered, for wide terminals.
const RATES_MAX: usize = 300;

/// Quantiles of arrival → published, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Latencies {
    pub events: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl From<&Histogram<u64>> for Latencies {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let (events, max_us) = (histogram.len(), histogram.max());
        Latencies { events, p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us }
    }
}

/// The server at one moment.
#[derive(Clone, Default)]
pub(super) struct Pulse {
    /// Time since the demo began.
    pub elapsed: Duration,
    /// Events in each of the last seconds, the newest last.
    pub rates: VecDeque<u64>,
    pub lately: Latencies,
    pub overall: Latencies,
    /// Live contexts.
    pub sessions: usize,
    pub viewers: usize,
    /// Sessions that ended.
    pub closed: u64,
    /// Events of everyone, by what became of them; `sent` is their sum.
    pub events: Tally,
    /// The same for the CMCD players among them.
    pub players: Tally,
    pub watermark_lag_s: f64,
    pub state_bytes: u64,
    pub log_bytes: u64,
}

/// Takes the pulse.
pub(super) struct Observer {
    engine: Arc<Engine>,
    began: Instant,
    taken: Instant,
    windows: VecDeque<Histogram<u64>>,
    /// Counters at the beginning: they belong to the process, not to the demo.
    first: Counters,
    pulse: Pulse,
}

#[derive(Clone, Copy)]
struct Counters {
    events: Tally,
    players: Tally,
    closed: u64,
}

impl Observer {
    /// Begins to count.
    pub(super) fn new(engine: Arc<Engine>) -> Observer {
        engine.latency().take();
        let (now, first) = (Instant::now(), counters(&engine.metrics()));
        Observer { engine, began: now, taken: now, windows: VecDeque::new(), first, pulse: Pulse::default() }
    }

    /// The pulse as it was last taken.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Takes the pulse where a second has passed since it was last taken; true if so.
    pub(super) fn each_second(&mut self) -> bool {
        let due = self.taken.elapsed() >= Duration::from_secs(1);
        if due {
            self.take();
        }
        due
    }

    /// Takes the pulse now.
    pub(super) fn take(&mut self) {
        let passed = self.taken.elapsed().as_secs_f64();
        self.taken = Instant::now();
        let metrics = self.engine.metrics();
        let now = counters(&metrics);
        let pulse = &mut self.pulse;
        pulse.elapsed = self.began.elapsed();
        let events = now.events.since(self.first.events);
        let fresh = events.since(pulse.events).sent;
        pulse.rates.push_back((fresh as f64 / passed.max(0.001)).round() as u64);
        if pulse.rates.len() > RATES_MAX {
            pulse.rates.pop_front();
        }
        (pulse.events, pulse.players) = (events, now.players.since(self.first.players));
        pulse.closed = now.closed.saturating_sub(self.first.closed);
        (pulse.sessions, pulse.viewers) = self.engine.contexts().len();
        pulse.watermark_lag_s = sum(&metrics, "saccade_watermark_lag_seconds", "");
        pulse.state_bytes = sum(&metrics, "saccade_state_bytes", "") as u64;
        pulse.log_bytes = sum(&metrics, "saccade_log_bytes", "") as u64;
        self.take_latency();
    }

    fn take_latency(&mut self) {
        self.windows.push_back(self.engine.latency().take());
        if self.windows.len() > LATELY_S {
            self.windows.pop_front();
        }
        let mut lately = Histogram::new_from(&self.windows[0]);
        for window in &self.windows {
            lately.add(window).expect("windows have one shape");
        }
        self.pulse.lately = Latencies::from(&lately);
        self.pulse.overall = Latencies::from(&self.engine.latency().total());
    }
}

fn counters(metrics: &str) -> Counters {
    let tally = |name: &str, label: &str| {
        let of = |result: &str| sum_of(metrics, name, &[label, &format!("result=\"{result}\"")]) as u64;
        let (accepted, duplicates) = (of("accepted"), of("duplicate"));
        let (late, rejected) = (of("late"), of("rejected"));
        Tally { sent: accepted + duplicates + late + rejected, accepted, duplicates, late, rejected }
    };
    let from_events = tally("saccade_ingest_events_total", "source=\"events\"");
    let players = tally("saccade_ingest_events_total", "source=\"cmcd\"");
    Counters {
        events: from_events.and(players),
        players,
        closed: sum(metrics, "saccade_sessions_closed_total", "") as u64,
    }
}

fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    sum_of(metrics, name, &[label])
}

/// Sum of the samples of `name` whose labels hold all of `labels`, in Prometheus text.
fn sum_of(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (found, value) = rest.rsplit_once(' ')?;
        let is_name = found.is_empty() || found.starts_with('{');
        (is_name && labels.iter().all(|label| found.contains(label))).then(|| value.parse::<f64>().ok()).flatten()
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE saccade_ingest_events_total counter
saccade_ingest_events_total{source=\"events\",result=\"accepted\"} 90
saccade_ingest_events_total{source=\"events\",result=\"duplicate\"} 3
saccade_ingest_events_total{source=\"cmcd\",result=\"accepted\"} 7
saccade_ingest_events_total{source=\"cmcd\",result=\"rejected\"} 1
saccade_state_bytes{partition=\"0\"} 100
saccade_state_bytes{partition=\"1\"} 20
saccade_state_bytes_other 5
saccade_log_bytes 4096
";

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_asked_for() {
        let table = [
            ("saccade_state_bytes", "", 120.0),
            ("saccade_state_bytes", "partition=\"1\"", 20.0),
            ("saccade_log_bytes", "", 4096.0),
            ("saccade_absent", "", 0.0),
        ];
        for (name, label, expected) in table {
            assert_eq!(sum(METRICS, name, label), expected, "{name} {label}");
        }
    }

    #[test]
    fn counters_tell_players_from_everyone() {
        let Counters { events, players, .. } = counters(METRICS);
        let expected = Tally { sent: 8, accepted: 7, duplicates: 0, late: 0, rejected: 1 };
        assert_eq!(players, expected);
        assert_eq!((events.sent, events.accepted, events.duplicates), (101, 97, 3));
    }
}
