//! What came of the requests: counts by outcome, latency histograms in nanoseconds, and both by second.

mod samples;
mod series;

pub use samples::Samples;
pub use series::{Brief, Newest, Second, Series, Window, Windows};

use crate::http::write_hint;
use hdrhistogram::Histogram;
use saccade::counted::counted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest latency told apart; longer ones count as this.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// How much is kept of what a server says to a request it refuses.
const SAID_BYTES_MAX: usize = 200;
/// What is counted as rejected without a code.
const UNLISTED: &str = "unlisted";

/// The server's answer to a batch, as far as it is counted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// In the log and folded.
    pub accepted: u64,
    /// Known before.
    #[serde(default)]
    pub duplicates: u64,
    /// In the log, set aside.
    #[serde(default)]
    pub late: u64,
    /// Refused rows, as far as they are listed.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// All refused rows.
    #[serde(default)]
    pub rejected_total: u64,
}

impl Answer {
    /// Refused rows, listed or not; a server that does not count them lists all.
    pub fn refused(&self) -> u64 {
        self.rejected_total.max(self.rejected.len() as u64)
    }

    /// Refused rows of which is not said which they are: a server lists the first of many, and none that it refused as it took them in.
    pub fn unlisted(&self) -> u64 {
        self.refused() - self.rejected.len() as u64
    }
}

/// A refused row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rejected {
    /// Place in the batch.
    pub index: usize,
    /// Which rule.
    pub code: String,
}

/// How one request ended.
#[derive(Debug)]
pub enum Outcome {
    /// 202 with an answer that accounts for every event.
    Acknowledged(Answer),
    /// 202, but the answer does not say what became of every event.
    Unaccounted(String),
    /// Another status, and how its body begins.
    Refused(u16, String),
    /// No answer within the time-out.
    TimedOut,
    /// The connection broke, or there was none.
    Broken(String),
}

/// Times of one request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was to be sent, from the start of the schedule.
    pub due: Duration,
    /// From the intended time to the answer.
    pub intended: Duration,
    /// From the first attempt to send to the answer.
    pub service: Duration,
    /// How much later than possible the generator began: after the intended time, or after a connection was free if that was later.
    pub lag: Duration,
    /// Whether it counts: what was due before the time to measure from only shows in its second.
    pub is_measured: bool,
}

/// Of a request that was never answered: how long anybody would have waited for it.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// When it was to be sent, from the start of the schedule.
    pub due: Duration,
    /// From the intended time on.
    pub intended: Duration,
    /// Whether it counts.
    pub is_measured: bool,
}

/// Running totals.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Counts.
    pub counts: Counts,
    /// Latency from the intended time, of what was acknowledged or never answered.
    pub intended: Samples,
    /// Latency of the server and the network alone, of the same.
    pub service: Samples,
    /// Latency from the intended time of what was answered, but not acknowledged: a server that sheds is quick at that.
    pub refused: Samples,
    /// The generator's own lateness.
    pub lag: Samples,
    /// The same by second.
    pub series: Series,
    /// Requests, of whatever kind, that were sent once more because the server closed a connection that had been used before.
    pub resent: u64,
}

/// Every scheduled event ends in exactly one of accepted, duplicates, late, rejected, lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events handed to connections.
    pub sent: u64,
    /// Requests handed to connections.
    pub requests: u64,
    /// Events in the log and folded.
    pub accepted: u64,
    /// Events the server had seen before.
    pub duplicates: u64,
    /// Events set aside as late.
    pub late: u64,
    /// Events refused, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Events without an acknowledgment: other statuses, broken connections, time-outs, never sent.
    pub lost: u64,
    /// Events among them that were never sent.
    #[serde(default)]
    pub unsent: u64,
    /// Requests not acknowledged, by status or cause.
    pub http_errors: BTreeMap<String, u64>,
    /// First unexpected thing, in words.
    pub first_error: Option<String>,
    /// First of what was not acknowledged, in words.
    #[serde(default)]
    pub first_lost: Option<String>,
    /// First of what was rejected, in words.
    #[serde(default)]
    pub first_rejected: Option<String>,
}

/// Why a request was not acknowledged, in words: `cause` is a key of [`Counts::http_errors`].
pub fn in_words(cause: &str) -> String {
    match cause {
        "unaccounted" => "neither acknowledged nor refused".into(),
        "unsent" => "not sent before the end (more --connections may help)".into(),
        "timeout" => "no answer within --timeout".into(),
        "connection" => "the connection broke, or what came was no answer".into(),
        status => format!("answered {status}"),
    }
}

impl Counts {
    /// Events refused, in all.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// The most frequent cause for which requests were not acknowledged.
    pub fn main_cause(&self) -> Option<&str> {
        self.http_errors.iter().max_by_key(|(_, n)| **n).map(|(cause, _)| cause.as_str())
    }

    fn error(&mut self, cause: String, events: u64, in_words: String) {
        self.lost += events;
        *self.http_errors.entry(cause).or_insert(0) += 1;
        self.first_lost.get_or_insert_with(|| in_words.clone());
        self.first_error.get_or_insert(in_words);
    }

    fn rejected(&mut self, code: &str, rows: u64, in_words: impl Fn() -> String) {
        *self.rejected.entry(code.into()).or_insert(0) += rows;
        self.first_rejected.get_or_insert_with(&in_words);
        self.first_error.get_or_insert_with(in_words);
    }
}

/// An empty histogram of latencies, three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3).expect("bounds and digits are in range")
}

impl Tally {
    /// Counts the outcome of a request of `events` events. The times of one that was never answered are to be as long as anybody would have
    /// waited for it: a refused connection is quick, and would flatter the histogram.
    pub fn add(&mut self, events: u64, outcome: &Outcome, times: Times) {
        self.counts.sent += events;
        self.counts.requests += 1;
        self.series.add(events, outcome, times);
        if times.is_measured {
            self.lag.saturating_record(nanos(times.lag));
            if outcome.is_refusal() {
                self.refused.saturating_record(nanos(times.intended));
            } else {
                self.intended.saturating_record(nanos(times.intended));
                self.service.saturating_record(nanos(times.service));
            }
        }
        match outcome {
            Outcome::Acknowledged(answer) => self.acknowledge(answer),
            Outcome::Unaccounted(why) => self.counts.error("unaccounted".into(), events, why.clone()),
            Outcome::Refused(status, said) => {
                self.counts.error(status.to_string(), events, refusal(*status, 202, said));
            }
            Outcome::TimedOut => self.counts.error("timeout".into(), events, "no answer within --timeout".into()),
            Outcome::Broken(why) => self.counts.error("connection".into(), events, why.clone()),
        }
    }

    /// Counts events that could not be handed to a connection at all.
    pub fn unsent(&mut self, events: u64, waited: Waited) {
        self.series.unsent(events, waited);
        if waited.is_measured {
            self.intended.saturating_record(nanos(waited.intended));
        }
        self.counts.lost += events;
        self.counts.unsent += events;
        *self.counts.http_errors.entry("unsent".into()).or_insert(0) += 1;
    }

    /// Counts how late a call beside events was begun.
    pub fn begun(&mut self, times: Times) {
        if times.is_measured {
            self.lag.saturating_record(nanos(times.lag));
        }
    }

    fn acknowledge(&mut self, answer: &Answer) {
        let counts = &mut self.counts;
        counts.accepted += answer.accepted;
        counts.duplicates += answer.duplicates;
        counts.late += answer.late;
        for row in &answer.rejected {
            counts.rejected(&row.code, 1, || format!("row {} was rejected: {}", row.index, row.code));
        }
        let unlisted = answer.unlisted();
        if unlisted > 0 {
            counts.rejected(UNLISTED, unlisted, || format!("{} rejected, not said which", counted(unlisted, "row")));
        }
    }
}

/// An answer that was not the expected one, in words, with what may help.
pub fn refusal(status: u16, expected: u16, said: &str) -> String {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    format!("the server answered {status}, not {expected}{said}{}", write_hint(status))
}

/// How a body begins, on one line, at most 200 bytes of it.
pub fn begins(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES_MAX)]);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|s| !s.is_empty()).collect();
    let cut = if body.len() > SAID_BYTES_MAX { " …" } else { "" };
    format!("{}{cut}", words.join(" "))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Outcome {
    /// Reads the answer to a request of `events` events.
    pub fn read(status: u16, body: &[u8], events: u64) -> Outcome {
        if status != 202 {
            return Outcome::Refused(status, begins(body));
        }
        let answer: Answer = match serde_json::from_slice(body) {
            Ok(answer) => answer,
            Err(e) => return Outcome::Unaccounted(format!("the body of a 202 is not the expected JSON: {e}")),
        };
        let named = answer.accepted + answer.duplicates + answer.late + answer.refused();
        if named != events {
            return Outcome::Unaccounted(format!(
                "a batch of {} was answered with {}",
                counted(events, "event"),
                counted(named, "outcome")
            ));
        }
        Outcome::Acknowledged(answer)
    }

    /// It was answered, but not acknowledged.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Outcome::Refused(..) | Outcome::Unaccounted(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: u64) -> Times {
        let (due, intended) = (Duration::ZERO, Duration::from_millis(ms));
        Times { due, intended, service: Duration::from_millis(1), lag: Duration::ZERO, is_measured: true }
    }

    #[test]
    fn an_answer_must_account_for_every_event() {
        let body = br#"{"accepted":3,"duplicates":1,"late":0,"rejected":[{"index":4,"code":"future","message":"m"}]}"#;
        assert!(matches!(Outcome::read(202, body, 5), Outcome::Acknowledged(_)));
        assert!(matches!(Outcome::read(202, body, 6), Outcome::Unaccounted(_)));
        assert!(matches!(Outcome::read(202, b"ok", 5), Outcome::Unaccounted(_)));
        // Not all that were rejected are listed.
        let body = br#"{"accepted":3,"rejected":[{"index":4,"code":"future","message":"m"}],"rejected_total":3}"#;
        assert!(matches!(Outcome::read(202, body, 6), Outcome::Acknowledged(answer) if answer.unlisted() == 2));
        assert!(matches!(Outcome::read(202, body, 4), Outcome::Unaccounted(_)));
        assert!(matches!(Outcome::read(200, body, 5), Outcome::Refused(200, _)));
        assert!(matches!(Outcome::read(429, b"", 5), Outcome::Refused(429, _)));
    }

    #[test]
    fn every_event_ends_in_exactly_one_bucket() {
        let mut tally = Tally::default();
        let answer =
            br#"{"accepted":2,"duplicates":1,"late":1,"rejected":[{"index":4,"code":"future","message":"m"}]}"#;
        tally.add(5, &Outcome::read(202, answer, 5), times(1));
        tally.add(7, &Outcome::Refused(503, String::new()), times(1));
        tally.add(3, &Outcome::TimedOut, times(10_000));
        tally.add(2, &Outcome::Broken("reset".into()), times(0));
        tally.unsent(4, Waited { due: Duration::ZERO, intended: Duration::from_secs(10), is_measured: true });
        let c = &tally.counts;
        assert_eq!((c.accepted, c.duplicates, c.late, c.rejected_total(), c.lost), (2, 1, 1, 1, 16));
        assert_eq!((c.sent, c.requests), (17, 4));
        assert_eq!(c.http_errors.values().sum::<u64>(), 4);
    }

    #[test]
    fn what_is_never_answered_is_in_the_latencies() {
        let mut tally = Tally::default();
        tally.add(1, &Outcome::TimedOut, times(10_000));
        tally.add(1, &Outcome::Broken("refused".into()), times(10_000));
        tally.unsent(1, Waited { due: Duration::ZERO, intended: Duration::from_secs(10), is_measured: true });
        tally.unsent(1, Waited { due: Duration::ZERO, intended: Duration::from_secs(10), is_measured: false });
        assert_eq!((tally.intended.len(), tally.service.len(), tally.lag.len()), (3, 2, 2));
        assert!(tally.intended.min() >= 9_900_000_000);
        let seconds = tally.series.finish(BTreeMap::new());
        assert_eq!(seconds[0].intended.map(|brief| brief.p50_ms > 9_900.0), Some(true));
    }

    #[test]
    fn what_is_refused_does_not_make_a_server_look_quick() {
        let mut tally = Tally::default();
        let answer = Outcome::Acknowledged(Answer { accepted: 1, ..Answer::default() });
        tally.add(1, &answer, times(80));
        for outcome in [Outcome::Refused(429, String::new()), Outcome::read(202, b"<html>", 1)] {
            tally.add(1, &outcome, times(1));
        }
        assert_eq!((tally.intended.len(), tally.service.len(), tally.refused.len(), tally.lag.len()), (1, 1, 2, 3));
        assert!(tally.intended.min() >= 79_000_000 && tally.refused.max() < 2_000_000);
        let second = &tally.series.finish(BTreeMap::new())[0];
        assert!(second.intended.is_some_and(|brief| brief.p50_ms > 79.0) && second.errors == 2, "{second:?}");
    }

    #[test]
    fn the_first_refusal_is_told_with_what_the_server_said_and_what_may_help() {
        let first = |status, body: &[u8]| {
            let mut tally = Tally::default();
            tally.add(1, &Outcome::read(status, body, 1), times(1));
            tally.counts.first_error.unwrap_or_default()
        };
        assert_eq!(first(200, b"<html>\n  <b>hi</b>\0"), "the server answered 200, not 202: <html> <b>hi</b>");
        assert_eq!(first(401, b""), "the server answered 401, not 202; see --write-key");
        let long = first(503, &[b'x'; 300]);
        assert!(long.ends_with(&format!("{} …", "x".repeat(200))), "{long}");
    }

    #[test]
    fn what_is_due_too_early_to_be_measured_is_counted_all_the_same() {
        let mut tally = Tally::default();
        tally.add(3, &Outcome::TimedOut, Times { is_measured: false, ..times(7) });
        assert_eq!((tally.counts.lost, tally.counts.requests), (3, 1));
        assert_eq!((tally.intended.len(), tally.service.len(), tally.lag.len()), (0, 0, 0));
        let seconds = tally.series.finish(BTreeMap::new());
        assert_eq!((seconds[0].lost, seconds[0].intended.map(|brief| brief.max_ms.round())), (3, Some(7.0)));
    }
}
