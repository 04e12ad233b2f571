//! What happened in each second of the schedule.
//!
//! Whatever becomes of a request is told of the second in which it was due: a server that is silent for two seconds shows there,
//! not where its answers came. Memory does not grow with latencies: histograms are kept of the newest seconds only.

use super::{LATENCY_MAX, Outcome, Times, Waited, nanos};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds whose histograms are kept open; older ones are summed up, and only their maximum still grows.
const OPEN_MAX: usize = 64;

/// Latency of one second, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// One second of the schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the start, from 0.
    pub second: u64,
    /// Events handed to connections.
    pub sent: u64,
    /// Events in the log and folded.
    pub accepted: u64,
    /// Events the server had seen before.
    pub duplicates: u64,
    /// Events set aside as late.
    pub late: u64,
    /// Events refused one by one.
    pub rejected: u64,
    /// Events without an acknowledgment.
    pub lost: u64,
    /// CMCD records, each an event to the server.
    #[serde(default)]
    pub cmcd: u64,
    /// Events of requests that were acknowledged within this second, CMCD records with them, whenever they were due.
    pub answered: u64,
    /// Events accepted, and CMCD records taken, by answers that came within this second; older reports do not say.
    #[serde(default)]
    pub taken: Option<u64>,
    /// Requests answered 429.
    pub status_429: u64,
    /// Requests not acknowledged, 429 among them.
    pub errors: u64,
    /// From the intended time to the acknowledgment; absent where nothing was due or all was refused.
    pub intended: Option<Brief>,
    /// From the sending to the acknowledgment.
    pub service: Option<Brief>,
    /// From the intended time to the refreshed context, of sampled sessions.
    pub publish: Option<Brief>,
}

impl Second {
    fn begin(second: u64) -> Second {
        Second { second, taken: Some(0), ..Second::default() }
    }

    /// Events that were due, CMCD records with them.
    pub fn due(&self) -> u64 {
        self.accepted + self.duplicates + self.late + self.rejected + self.lost + self.cmcd
    }
}

/// What those see who watch: a second of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Newest {
    /// Since the start, from 0.
    pub second: u64,
    /// Events of requests that were acknowledged in it, whenever they were due.
    pub answered: u64,
    /// Latency of those, from the intended time: what ends a stall shows all of it.
    pub intended: Option<Brief>,
}

/// Latencies by second.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    open: BTreeMap<u64, Window>,
    closed: BTreeMap<u64, Brief>,
}

/// The latencies of a while; its histogram rounds them up.
#[derive(Clone, Debug)]
pub struct Window {
    histogram: Histogram<u64>,
    max: Duration,
}

impl Window {
    /// Nothing yet.
    pub fn new() -> Window {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 2);
        Window { histogram: histogram.expect("bounds and digits are in range"), max: Duration::ZERO }
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record(nanos(latency));
        self.max = self.max.max(latency);
    }

    /// The figures, where there is a latency.
    pub fn brief(&self) -> Option<Brief> {
        let max_ms = nanos(self.max) as f64 / 1e6;
        let ms = |q| (self.histogram.value_at_quantile(q) as f64 / 1e6).min(max_ms);
        (!self.histogram.is_empty()).then(|| Brief { p50_ms: ms(0.5), p99_ms: ms(0.99), max_ms })
    }
}

impl Windows {
    /// Adds a latency to the second in which it began.
    pub fn record(&mut self, second: u64, latency: Duration) {
        if let Some(brief) = self.closed.get_mut(&second) {
            brief.max_ms = brief.max_ms.max(nanos(latency) as f64 / 1e6);
            return;
        }
        self.open.entry(second).or_insert_with(Window::new).record(latency);
        if self.open.len() > OPEN_MAX {
            self.close_oldest();
        }
    }

    /// Latency of a second, as far as it is known.
    pub fn so_far(&self, second: u64) -> Option<Brief> {
        self.closed.get(&second).copied().or_else(|| self.open.get(&second).and_then(Window::brief))
    }

    /// Latency of each second that had any.
    pub fn finish(mut self) -> BTreeMap<u64, Brief> {
        while !self.open.is_empty() {
            self.close_oldest();
        }
        self.closed
    }

    fn close_oldest(&mut self) {
        let Some((second, open)) = self.open.pop_first() else { return };
        self.closed.extend(open.brief().map(|brief| (second, brief)));
    }
}

/// All seconds of a run.
#[derive(Clone, Debug, Default)]
pub struct Series {
    seconds: BTreeMap<u64, Second>,
    intended: Windows,
    service: Windows,
    /// Intended latency by the second in which the answer came.
    came: Windows,
    /// When the last answer came that counts as such, from the start.
    answered_by: Duration,
}

impl Series {
    /// Counts the outcome of a request of `events` events.
    pub fn add(&mut self, events: u64, outcome: &Outcome, times: Times) {
        let second = times.due.as_secs();
        if !outcome.is_refusal() {
            self.intended.record(second, times.intended);
            self.service.record(second, times.service);
        }
        let counts = self.at(second);
        counts.sent += events;
        match outcome {
            Outcome::Acknowledged(answer) => {
                let came = self.comes(times.due + times.intended);
                self.came.record(came, times.intended);
                self.answers(came, events, answer.accepted);
                let counts = self.at(second);
                counts.accepted += answer.accepted;
                counts.duplicates += answer.duplicates;
                counts.late += answer.late;
                counts.rejected += answer.refused();
            }
            other => {
                counts.lost += events;
                counts.errors += 1;
                counts.status_429 += u64::from(matches!(other, Outcome::Refused(429, _)));
            }
        }
    }

    /// Counts events that were never handed to a connection.
    pub fn unsent(&mut self, events: u64, waited: Waited) {
        let second = waited.due.as_secs();
        self.intended.record(second, waited.intended);
        let counts = self.at(second);
        counts.lost += events;
        counts.errors += 1;
    }

    /// Counts a CMCD record that was due, and answered `after` that, if it was.
    pub fn cmcd(&mut self, due: Duration, after: Option<Duration>) {
        self.at(due.as_secs()).cmcd += 1;
        if let Some(after) = after {
            let came = self.comes(due + after);
            self.answers(came, 1, 1);
        }
    }

    fn answers(&mut self, came: u64, events: u64, taken: u64) {
        let second = self.at(came);
        second.answered += events;
        second.taken = second.taken.map(|before| before + taken);
    }

    /// When the last answer came, from the start.
    pub fn answered_by(&self) -> Duration {
        self.answered_by
    }

    /// An answer came then; its second.
    fn comes(&mut self, at: Duration) -> u64 {
        self.answered_by = self.answered_by.max(at);
        at.as_secs()
    }

    /// Every second from the first to the last, with `publish` latencies where there are any.
    pub fn finish(mut self, mut publish: BTreeMap<u64, Brief>) -> Vec<Second> {
        let last = self.seconds.last_key_value().map(|(second, _)| *second);
        let (mut intended, mut service) = (self.intended.finish(), self.service.finish());
        let row = |second| Second {
            intended: intended.remove(&second),
            service: service.remove(&second),
            publish: publish.remove(&second),
            ..self.seconds.remove(&second).unwrap_or(Second::begin(second))
        };
        last.map_or(vec![], |last| (0..=last).map(row).collect())
    }

    /// The newest second that is over at `elapsed`, for those who watch.
    pub fn newest(&self, elapsed: Duration) -> Option<Newest> {
        let second = elapsed.as_secs().checked_sub(1)?;
        let answered = self.seconds.get(&second).map_or(0, |second| second.answered);
        Some(Newest { second, answered, intended: self.came.so_far(second) })
    }

    fn at(&mut self, second: u64) -> &mut Second {
        self.seconds.entry(second).or_insert_with(|| Second::begin(second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Answer;

    fn times(due_ms: u64, intended_ms: u64) -> Times {
        Times {
            is_measured: true,
            due: Duration::from_millis(due_ms),
            intended: Duration::from_millis(intended_ms),
            service: Duration::from_millis(1),
            lag: Duration::ZERO,
        }
    }

    fn accepted(n: u64) -> Outcome {
        Outcome::Acknowledged(Answer { accepted: n, ..Answer::default() })
    }

    #[test]
    fn a_stall_is_told_of_the_seconds_in_which_requests_were_due() {
        let mut series = Series::default();
        series.add(5, &accepted(5), times(900, 1));
        // Due in second 1, answered in second 3.
        series.add(5, &accepted(5), times(1_100, 2_000));
        series.add(5, &accepted(5), times(3_100, 1));
        let seconds = series.finish(BTreeMap::new());
        // Percentiles keep two digits, the longest all.
        let max = |i: usize| seconds[i].intended.map(|brief| brief.max_ms);
        assert_eq!([max(0), max(1), max(2), max(3)], [Some(1.0), Some(2_000.0), None, Some(1.0)]);
        assert!(seconds[1].service.expect("a request was due").max_ms < 1.1);
        assert_eq!(seconds.iter().map(|s| s.accepted).collect::<Vec<_>>(), [5, 5, 0, 5]);
        assert_eq!(seconds.iter().map(|s| s.answered).collect::<Vec<_>>(), [5, 0, 0, 10]);
    }

    #[test]
    fn a_duplicate_is_answered_and_not_taken() {
        let mut series = Series::default();
        let answer = Answer { accepted: 3, duplicates: 2, ..Answer::default() };
        series.add(5, &Outcome::Acknowledged(answer), times(1_100, 1));
        series.cmcd(Duration::from_millis(1_200), Some(Duration::from_millis(1)));
        let seconds = series.finish(BTreeMap::new());
        let of = |i: usize| (seconds[i].answered, seconds[i].taken);
        assert_eq!([of(0), of(1)], [(0, Some(0)), (6, Some(4))]);
    }

    #[test]
    fn every_event_is_in_one_bucket_of_one_second() {
        let mut series = Series::default();
        series.add(7, &Outcome::Refused(429, String::new()), times(0, 1));
        series.add(2, &Outcome::Refused(503, String::new()), times(0, 1));
        series.add(3, &Outcome::Broken("reset".into()), times(0, 1));
        let (due, intended) = (Duration::from_millis(1_500), Duration::from_secs(10));
        series.unsent(4, Waited { due, intended, is_measured: true });
        let seconds = series.finish(BTreeMap::new());
        assert_eq!((seconds[0].sent, seconds[0].lost, seconds[0].errors, seconds[0].status_429), (12, 12, 3, 1));
        assert_eq!((seconds[1].sent, seconds[1].lost, seconds[1].service), (0, 4, None));
        assert!(seconds[1].intended.is_some_and(|brief| brief.p50_ms > 9_900.0));
    }

    #[test]
    fn a_straggler_of_a_second_that_was_summed_up_still_counts_in_its_maximum() {
        let mut windows = Windows::default();
        for second in 0..=OPEN_MAX as u64 {
            windows.record(second, Duration::from_millis(1));
        }
        assert_eq!((windows.open.len(), windows.closed.len()), (OPEN_MAX, 1));
        windows.record(0, Duration::from_secs(65));
        let briefs = windows.finish();
        assert_eq!((briefs.len(), briefs[&0].max_ms, briefs[&0].p50_ms.round()), (OPEN_MAX + 1, 65_000.0, 1.0));
    }

    #[test]
    fn the_newest_second_is_one_that_is_over() {
        let mut series = Series::default();
        series.add(1, &accepted(1), times(100, 1));
        assert_eq!(series.newest(Duration::from_millis(900)), None);
        let newest = series.newest(Duration::from_millis(1_100)).expect("a second is over");
        assert_eq!((newest.answered, newest.intended.is_some()), (1, true));
        let silent = series.newest(Duration::from_millis(2_100)).expect("another is over");
        assert_eq!((silent.second, silent.answered, silent.intended), (1, 0, None), "nothing came: that is news too");
    }

    #[test]
    fn those_who_watch_see_a_stall_in_the_second_in_which_its_answers_come() {
        let mut series = Series::default();
        series.add(1, &accepted(1), times(900, 1));
        series.add(7, &accepted(7), times(1_100, 2_000));
        let max = |elapsed_s| {
            let newest = series.newest(Duration::from_secs(elapsed_s)).expect("a second is over");
            (newest.answered, newest.intended.map(|brief| brief.max_ms))
        };
        assert_eq!([max(1).0, max(2).0, max(3).0, max(4).0], [1, 0, 0, 7]);
        assert_eq!((max(2).1, max(3).1, max(4).1), (None, None, Some(2_000.0)));
    }
}
