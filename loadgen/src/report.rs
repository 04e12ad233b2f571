//! The verdict and the numbers of a run, as a table for people and as JSON for programs.

use crate::observe::Observed;
use crate::scrape::Measured;
use crate::tally::{Counts, Tally};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Above this the generator itself was too slow for the numbers to mean anything.
const LAG_P99_MS_MAX: f64 = 1.0;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every event acknowledged, as intended.
    Ok,
    /// The server lost, refused or misreported something.
    Failed(String),
    /// The generator fell behind: the numbers say nothing about the server.
    Invalid(String),
}

/// Percentiles of a histogram in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// `host:port`.
    pub target: String,
    /// Name of the profile, if there is one.
    pub profile: Option<String>,
    /// How the rate changes.
    pub shape: String,
    /// Events per second.
    pub rate: u64,
    /// Smallest and largest batch.
    pub batch: [u32; 2],
    /// Seconds.
    pub duration_s: f64,
    /// Sessions.
    pub sessions: u64,
    /// Zipf exponent.
    pub skew: f64,
    /// Connections.
    pub connections: usize,
    /// Seed.
    pub seed: u64,
    /// Events in the schedule.
    pub events: u64,
    /// Events among them that were sent once more on purpose.
    pub repeated: u64,
}

/// Everything there is to say about a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    verdict: Verdict,
    asked: Asked,
    counts: Counts,
    /// From the intended time of a request to its answer.
    intended: Latency,
    /// From the sending of a request to its answer.
    service: Latency,
    /// How late the generator itself began requests.
    lag: Latency,
    server: Option<Measured>,
    observed: Option<Observed>,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |q| histogram.value_at_quantile(q) as f64 / 1e6;
        Latency { p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999), max_ms: histogram.max() as f64 / 1e6 }
    }
}

impl Report {
    /// Judges a run.
    pub fn new(asked: Asked, tally: Tally, server: Option<Measured>, observed: Option<Observed>) -> Self {
        let lag = Latency::of(&tally.lag);
        let verdict = judge(&asked, &tally.counts, &lag, observed.as_ref());
        Report {
            verdict,
            asked,
            intended: Latency::of(&tally.intended),
            service: Latency::of(&tally.service),
            lag,
            counts: tally.counts,
            server,
            observed,
        }
    }

    /// How it ended.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// A failure of the server is told even when the generator fell behind: a lost event is lost either way.
fn judge(asked: &Asked, counts: &Counts, lag: &Latency, observed: Option<&Observed>) -> Verdict {
    let accounted = counts.accepted + counts.duplicates + counts.late + counts.rejected_total() + counts.lost;
    assert_eq!(accounted, asked.events, "every scheduled event ends in exactly one bucket");
    let error = || counts.first_error.clone().unwrap_or_default();
    if counts.lost > 0 {
        return Verdict::Failed(format!("{} events were not acknowledged; first: {}", counts.lost, error()));
    }
    if counts.rejected_total() > 0 {
        return Verdict::Failed(format!("{} events were rejected; first: {}", counts.rejected_total(), error()));
    }
    if counts.duplicates > asked.repeated {
        return Verdict::Failed(format!(
            "{} events were called duplicates, but {} were sent twice; if this server has seen --seed {} before, give another",
            counts.duplicates, asked.repeated, asked.seed
        ));
    }
    if let Some(seen) = observed.filter(|seen| seen.backwards + seen.unreadable > 0 || seen.ended_early) {
        return Verdict::Failed(format!(
            "the context stream is wrong: {} versions went back, {} contexts unreadable, ended early: {}",
            seen.backwards, seen.unreadable, seen.ended_early
        ));
    }
    if lag.p99_ms > LAG_P99_MS_MAX {
        return Verdict::Invalid(format!(
            "generator fell behind (p99 {:.3} ms late, allowed {LAG_P99_MS_MAX} ms); lower --rate or give it a processor of its own",
            lag.p99_ms
        ));
    }
    Verdict::Ok
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Ok => write!(f, "ok"),
            Verdict::Failed(why) => write!(f, "FAILED: {why}"),
            Verdict::Invalid(why) => write!(f, "invalid: {why}"),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (a, c) = (&self.asked, &self.counts);
        writeln!(
            f,
            "{} at {} events/s for {} s, batches of {} to {}, {} sessions, {} connections, seed {}",
            a.target, a.rate, a.duration_s, a.batch[0], a.batch[1], a.sessions, a.connections, a.seed
        )?;
        writeln!(f, "\nevents     sent {} in {} requests of {} scheduled", c.sent, c.requests, a.events)?;
        writeln!(
            f,
            "           accepted {}  duplicates {}  late {}  rejected {}  lost {}",
            c.accepted,
            c.duplicates,
            c.late,
            c.rejected_total(),
            c.lost
        )?;
        for (code, n) in &c.rejected {
            writeln!(f, "           rejected as {code}: {n}")?;
        }
        for (cause, n) in &c.http_errors {
            writeln!(f, "           requests not acknowledged, {cause}: {n}")?;
        }
        writeln!(f, "\nms            {:>10} {:>10} {:>10} {:>10}", "p50", "p99", "p99.9", "max")?;
        self.intended.row(f, "intended")?;
        self.service.row(f, "service")?;
        self.lag.row(f, "own lag")?;
        if let Some(server) = &self.server {
            write_server(f, server)?;
        }
        if let Some(seen) = &self.observed {
            writeln!(
                f,
                "\nstream     {} contexts of {} sessions, {} notices, {} backwards, {} unreadable",
                seen.contexts, seen.sessions, seen.notices, seen.backwards, seen.unreadable
            )?;
        }
        writeln!(f, "\n{}", self.verdict)
    }
}

impl Latency {
    fn row(&self, f: &mut Formatter<'_>, name: &str) -> fmt::Result {
        writeln!(
            f,
            "{name:<13} {:>10.3} {:>10.3} {:>10.3} {:>10.3}",
            self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms
        )
    }
}

fn write_server(f: &mut Formatter<'_>, server: &Measured) -> fmt::Result {
    writeln!(f)?;
    if let Some(n) = server.published {
        write!(f, "server     published {n} contexts")?;
        for (name, ms) in &server.freshness_ms_at_most {
            write!(f, "  {name} ≤ {ms} ms")?;
        }
        writeln!(f, " (arrival → published, this run)")?;
    }
    if !server.freshness_ms_since_start.is_empty() {
        write!(f, "          ")?;
        for (quantile, ms) in &server.freshness_ms_since_start {
            write!(f, " {quantile}: {ms:.3} ms ")?;
        }
        writeln!(f, " (arrival → published, the server's own quantiles)")?;
    }
    match server.cpu_seconds {
        Some(seconds) => writeln!(f, "           processor time {seconds:.2} s"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(events: u64) -> Asked {
        let target = "127.0.0.1:1".into();
        Asked {
            target,
            profile: None,
            shape: "constant".into(),
            rate: 1,
            batch: [1, 1],
            duration_s: 1.0,
            sessions: 1,
            skew: 0.0,
            connections: 1,
            seed: 1,
            events,
            repeated: 0,
        }
    }

    fn verdict(change: impl FnOnce(&mut Tally)) -> Verdict {
        let mut tally = Tally::default();
        tally.counts.accepted = 10;
        change(&mut tally);
        let c = &tally.counts;
        let events = c.accepted + c.duplicates + c.late + c.rejected_total() + c.lost;
        Report::new(asked(events), tally, None, None).verdict().clone()
    }

    #[test]
    fn verdicts_tell_lost_rejected_duplicate_and_late_apart() {
        assert_eq!(verdict(|_| ()), Verdict::Ok);
        assert_eq!(verdict(|t| t.counts.late = 1), Verdict::Ok);
        assert!(matches!(verdict(|t| t.counts.lost = 1), Verdict::Failed(_)));
        assert!(matches!(verdict(|t| t.counts.duplicates = 1), Verdict::Failed(_)));
        assert!(matches!(verdict(|t| _ = t.counts.rejected.insert("future".into(), 1)), Verdict::Failed(_)));
    }

    #[test]
    fn a_generator_that_fell_behind_makes_the_run_invalid_just_above_a_millisecond() {
        let lag = |nanos| move |t: &mut Tally| t.lag.saturating_record(nanos);
        assert_eq!(verdict(lag(999_000)), Verdict::Ok);
        assert!(matches!(verdict(lag(1_002_000)), Verdict::Invalid(_)));
    }

    #[test]
    fn a_stream_that_goes_back_fails_the_run() {
        let mut tally = Tally::default();
        tally.counts.accepted = 1;
        let seen = Observed { backwards: 1, ..Observed::default() };
        assert!(matches!(Report::new(asked(1), tally, None, Some(seen)).verdict(), Verdict::Failed(_)));
    }

    #[test]
    #[should_panic(expected = "exactly one bucket")]
    fn an_event_in_no_bucket_is_a_bug() {
        Report::new(asked(11), Tally::default(), None, None);
    }
}
