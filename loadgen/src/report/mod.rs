//! The verdict and the numbers of a run: kept as JSON, from which every other form is made.

mod axis;
mod chart;
mod compare;
mod html;
mod latency;
mod page;
mod text;

pub use compare::Comparison;
pub use latency::Latency;

use crate::beside::Beside;
use crate::check::{Checked, Findings};
use crate::observe::Observed;
use crate::scrape::{Measured, ServerSecond};
use crate::slo::{Judged, Objective, Values};
use crate::tally::{Counts, Second, Tally};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// Shape of the JSON; grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// Above this the generator itself was too slow for the numbers to mean anything.
const LAG_P99_MS_MAX: f64 = 1.0;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every event acknowledged, as intended.
    Ok,
    /// The server lost, refused or misreported something.
    Failed(String),
    /// The generator fell behind: the numbers say nothing about the server.
    Invalid(String),
}

impl Verdict {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Ok => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::Invalid(_) => "invalid",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Seconds that do not count for latencies and the server's processor time.
    #[serde(default)]
    pub measure_from_s: f64,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Shape of this document.
    format: u32,
    verdict: Verdict,
    /// One for each objective that was asked for.
    objectives: Vec<Judged>,
    asked: Asked,
    /// When it began, epoch milliseconds.
    began_ms: u64,
    counts: Counts,
    /// From the intended time of a request to its answer.
    intended: Latency,
    /// From the sending of a request to its answer.
    service: Latency,
    /// From the intended time of an event to the context that contains it, of followed sessions.
    publish: Option<Latency>,
    /// How late the generator itself began requests.
    lag: Latency,
    /// Each second of the schedule.
    seconds: Vec<Second>,
    server: Option<Measured>,
    /// The server's processor and memory over time.
    server_seconds: Vec<ServerSecond>,
    observed: Option<Observed>,
    /// What followed sessions and compared vectors showed.
    checked: Option<Checked>,
    /// Calls that carry no events.
    #[serde(flatten)]
    beside: Beside,
}

/// What a run left behind, to be judged.
pub struct Run {
    /// What was asked for.
    pub asked: Asked,
    /// When it began, epoch milliseconds.
    pub began_ms: u64,
    /// What came of the requests.
    pub tally: Tally,
    /// What the server measured.
    pub server: Option<Measured>,
    /// And over time.
    pub server_seconds: Vec<ServerSecond>,
    /// What the stream of all contexts showed.
    pub observed: Option<Observed>,
    /// What the checks found.
    pub findings: Option<Findings>,
    /// What came of calls that carry no events.
    pub beside: Beside,
}

impl Report {
    /// Judges a run.
    pub fn new(run: Run, objectives: &[Objective]) -> Self {
        let Run { asked, began_ms, tally, server, server_seconds, observed, findings, beside } = run;
        let (checked, publish, by_second) = match findings {
            None => (None, None, BTreeMap::new()),
            Some(found) => (Some(found.checked), Some(Latency::of(&found.publish)), found.by_second),
        };
        let mut report = Report {
            format: FORMAT,
            verdict: Verdict::Ok,
            objectives: vec![],
            asked,
            began_ms,
            intended: Latency::of(&tally.intended),
            service: Latency::of(&tally.service),
            publish,
            lag: Latency::of(&tally.lag),
            counts: tally.counts,
            seconds: tally.series.finish(by_second),
            server,
            server_seconds,
            observed,
            checked,
            beside,
        };
        let values = report.values();
        report.objectives = objectives.iter().map(|objective| objective.judge(&values)).collect();
        report.verdict = report.judge();
        report
    }

    /// Reads a report that was written with `--out`.
    pub fn read(path: &Path) -> Result<Report, String> {
        let text = std::fs::read(path).map_err(|e| format!("reading the report {}: {e}", path.display()))?;
        let shape = |e| format!("{} is no report of this version, as --out writes it: {e}", path.display());
        let report: Report = serde_json::from_slice(&text).map_err(|e| shape(e.to_string()))?;
        match report.format {
            FORMAT => Ok(report),
            other => Err(shape(format!("its format is {other}, expected {FORMAT}"))),
        }
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }

    /// How it ended.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The run in a line.
    pub fn in_short(&self) -> String {
        let latency = |(name, latency): (&str, &Latency)| format!("{name} p99 {:.3} ms", latency.p99_ms);
        let latencies: Vec<String> = self.latencies().map(latency).collect();
        let verdict = match &self.verdict {
            Verdict::Ok => String::new(),
            Verdict::Failed(why) | Verdict::Invalid(why) => format!("; {why}"),
        };
        format!("{}, lost {}{verdict}", latencies.join(", "), self.counts.lost)
    }

    /// Every latency that was measured, by name.
    pub fn latencies(&self) -> impl Iterator<Item = (&str, &Latency)> {
        let publish = self.publish.as_ref().filter(|publish| publish.count > 0).map(|publish| ("publish", publish));
        let sent = [("intended", &self.intended), ("service", &self.service)];
        let calls = self.beside.calls.iter().map(|(name, counted)| (name.as_str(), &counted.intended));
        sent.into_iter().chain(publish).chain(calls).chain([("own lag", &self.lag)])
    }

    /// Seconds until everything was answered: longer than the schedule where a backlog was left at its end.
    pub fn took_s(&self) -> f64 {
        let last = self.seconds.iter().rfind(|second| second.answered > 0).map_or(0, |second| second.second);
        // What was on its way at the end comes a moment later.
        if last as f64 > self.asked.duration_s { last as f64 + 1.0 } else { self.asked.duration_s }
    }

    /// Measured values by the names that objectives use.
    pub fn values(&self) -> Values {
        let c = &self.counts;
        let took_s = self.took_s();
        let status_429 = c.http_errors.get("429").copied().unwrap_or(0);
        let mut values: Values = [
            ("lost", c.lost),
            ("rejected", c.rejected_total()),
            ("duplicates", c.duplicates),
            ("late", c.late),
            ("errors", c.http_errors.values().sum()),
            ("status_429", status_429),
            ("accepted", c.accepted),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count as f64))
        .collect();
        values.insert("throughput".into(), c.accepted as f64 / took_s);
        for (name, latency) in self.latencies().filter(|(_, latency)| latency.count > 0) {
            let name = if name == "own lag" { "lag" } else { name };
            values.extend(latency.named().map(|(percentile, ms)| (format!("{name}_{percentile}"), ms)));
        }
        if let Some(checked) = &self.checked {
            let counts = [("unpublished", checked.unpublished), ("backwards", checked.backwards)];
            values.extend(counts.map(|(name, count)| (name.to_owned(), count as f64)));
            let compared = checked.vectors.not_compared.is_none().then_some(checked.vectors.different);
            values.extend(compared.map(|different| ("mismatches".to_owned(), different as f64)));
        }
        let server = self.server.as_ref();
        values.extend(
            server.and_then(|s| s.cpu_seconds).map(|s| ("server_cpu".into(), s / (took_s - self.asked.measure_from_s))),
        );
        values.extend(server.and_then(|s| s.rss_bytes).map(|bytes| ("server_rss".into(), bytes as f64)));
        values
    }
}

impl Report {
    /// A failure of the server is told even when the generator fell behind: a lost event is lost either way.
    fn judge(&self) -> Verdict {
        let c = &self.counts;
        let accounted = c.accepted + c.duplicates + c.late + c.rejected_total() + c.lost;
        assert_eq!(accounted, self.asked.events, "every scheduled event ends in exactly one bucket");
        let mut failures = self.failures_of_counts();
        if let Some(seen) = self.observed.as_ref().filter(|s| s.backwards + s.unreadable > 0 || s.ended_early) {
            failures.push(format!(
                "the context stream is wrong: {} versions went back, {} contexts unreadable, ended early: {}",
                seen.backwards, seen.unreadable, seen.ended_early
            ));
        }
        failures.extend(self.checked.iter().flat_map(Checked::failures));
        failures.extend(self.failure_of_the_server());
        failures.extend(self.beside.failures());
        let missed: Vec<&str> = self.objectives.iter().filter(|o| !o.held).map(|o| o.objective.as_str()).collect();
        if !missed.is_empty() {
            failures.push(format!("missed {}", missed.join(", ")));
        }
        if !failures.is_empty() {
            return Verdict::Failed(failures.join("; "));
        }
        if self.lag.p99_ms > LAG_P99_MS_MAX {
            return Verdict::Invalid(format!(
                "generator fell behind (p99 {:.3} ms late, allowed {LAG_P99_MS_MAX} ms); lower --rate or give it a processor of its own",
                self.lag.p99_ms
            ));
        }
        Verdict::Ok
    }

    fn failures_of_counts(&self) -> Vec<String> {
        let c = &self.counts;
        let error = || c.first_error.clone().unwrap_or_default();
        let mut failures = vec![];
        if c.lost > 0 {
            failures.push(format!("{} events were not acknowledged; first: {}", c.lost, error()));
        }
        if c.rejected_total() > 0 {
            failures.push(format!("{} events were rejected; first: {}", c.rejected_total(), error()));
        }
        if c.duplicates > self.asked.repeated {
            failures.push(format!(
                "{} events were called duplicates, but {} were sent twice; if this server has seen --seed {} before, give another",
                c.duplicates, self.asked.repeated, self.asked.seed
            ));
        }
        failures
    }

    /// What was acknowledged has to be in the server's own counts; others may have sent more.
    fn failure_of_the_server(&self) -> Option<String> {
        let (server, acknowledged) = (self.server.as_ref()?, self.counts.accepted);
        let lacks = |counted: Option<u64>, what: &str| {
            let counted = counted.filter(|counted| *counted < acknowledged)?;
            Some(format!("{acknowledged} events were acknowledged as accepted, but the server {what} only {counted}"))
        };
        lacks(server.accepted, "folded").or_else(|| lacks(server.contexts, "published contexts for"))
    }

    /// Whether the generator was late itself.
    pub fn is_generator_late(&self) -> bool {
        self.lag.p99_ms > LAG_P99_MS_MAX
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} events/s", self.target, self.rate)?;
        if self.shape != "constant" {
            write!(f, " ({})", self.shape)?;
        }
        write!(f, " for {} s, batches of {} to {}", self.duration_s, self.batch[0], self.batch[1])?;
        if self.measure_from_s > 0.0 {
            write!(f, ", measured from {} s on", self.measure_from_s)?;
        }
        match &self.profile {
            Some(profile) => write!(f, ", profile {profile}")?,
            None => write!(f, ", {} sessions", self.sessions)?,
        }
        write!(f, ", {} connections, seed {}", self.connections, self.seed)
    }
}

#[cfg(test)]
mod tests;
