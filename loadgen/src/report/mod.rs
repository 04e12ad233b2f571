//! The verdict and the numbers of a run: kept as JSON, from which every other form is made.

mod axis;
mod chart;
mod compare;
mod html;
mod judge;
mod latency;
mod page;
mod server;
mod text;

pub use compare::Comparison;
pub use latency::Latency;

use crate::beside::{Beside, Counted};
use crate::check::{Checked, Findings};
use crate::observe::Observed;
use crate::schedule::{Arrivals, Shape};
use crate::scrape::{Measured, ServerSecond};
use crate::slo::{Judged, Objective, Values};
use crate::span::Span;
use crate::tally::{Counts, Samples, Second, Tally};
use saccade::counted::{counted, either};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::time::Duration;

/// Stands before percentiles that rest on few samples.
pub const ROUGH: &str = "~";
/// What it means.
const ROUGH_NOTE: &str = "fewer than 10 samples were longer: another run may well have another value";

/// What counts as taken, and so for the throughput.
const WITH_CMCD: &str = "events and CMCD records taken";
/// The same where there are no CMCD records.
const WITHOUT_CMCD: &str = "events accepted";

/// Why there are fewer samples of publish than contexts; their number stands before it.
const FEWER_SAMPLES: &str = "measured (publish); other contexts came of events before the stream was open or --measure-from, or of others' events, as of the viewer's other session";

/// What it means for an objective.
const ROUGH_OBJECTIVES: &str =
    "~ rests on fewer than 10 samples beyond the percentile: a longer run may well decide otherwise";

/// Why nothing is checked of such a run.
const SENT_BY_OTHERS: &str =
    "others send the same events, as duplicates show that nobody asked for, and contexts may be of theirs";

/// Shape of the JSON; grows when a field changes its meaning.
const FORMAT: u32 = 2;

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
    /// How events are spread; older reports do not say.
    #[serde(default)]
    pub arrivals: Option<Arrivals>,
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
    /// Longest wait for an answer, seconds; older reports do not say, here and below.
    #[serde(default)]
    pub timeout_s: Option<f64>,
    /// Viewers that are followed at a time.
    #[serde(default)]
    pub probes: Option<usize>,
    /// Whether the stream of all contexts is followed.
    #[serde(default)]
    pub observe: Option<bool>,
    /// Names what the profile says of viewers and network, as what it is called does not.
    #[serde(default)]
    pub profile_hash: Option<String>,
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
    /// Requests, of whatever kind, that were sent once more as the server closed their connections; older reports do not say.
    #[serde(default)]
    resent: Option<u64>,
    /// From the intended time of a request to its acknowledgment.
    intended: Latency,
    /// From the sending of a request to its acknowledgment.
    service: Latency,
    /// From the intended time of a request, of whatever kind, to an answer that did not acknowledge it.
    refused: Latency,
    /// From the intended time of an event to the context that contains it, of followed sessions.
    publish: Option<Latency>,
    /// How late the generator itself began requests.
    lag: Latency,
    /// Requests that it began more than a millisecond late.
    lag_late: u64,
    /// Share of the time in which the generator had nothing to do.
    #[serde(default = "all")]
    idle: f64,
    /// When it was told to end early, seconds from the start.
    #[serde(default)]
    interrupted_s: Option<f64>,
    /// Why what `--record` asked for is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unrecorded: Option<String>,
    /// When the last acknowledgment came, seconds from the start; older reports do not say.
    #[serde(default)]
    answered_s: Option<f64>,
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

/// Of reports that do not say.
fn all() -> f64 {
    1.0
}

/// What a run left behind, to be judged.
pub struct Run {
    /// What was asked for.
    pub asked: Asked,
    /// When it began, epoch milliseconds.
    pub began_ms: u64,
    /// What came of the requests.
    pub tally: Tally,
    /// Share of the time in which the generator had nothing to do.
    pub idle: f64,
    /// When it was told to end early.
    pub interrupted: Option<Duration>,
    /// Why what `--record` asked for is not whole.
    pub unrecorded: Option<String>,
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
        let Run {
            asked,
            began_ms,
            tally,
            idle,
            interrupted,
            unrecorded,
            server,
            server_seconds,
            observed,
            findings,
            beside,
        } = run;
        let (checked, publish, by_second) = match findings {
            None => (None, None, BTreeMap::new()),
            Some(found) if judge::is_sent_by_others(&tally.counts, asked.repeated) => {
                (Some(found.checked.not(SENT_BY_OTHERS)), Some(Latency::default()), BTreeMap::new())
            }
            Some(found) => {
                // The histogram has the bucket of the longest, seconds have the longest itself.
                let from = asked.measure_from_s as u64;
                let longest = found.by_second.range(from..).map(|(_, brief)| brief.max_ms).reduce(f64::max);
                let longest = longest.map_or(u64::MAX, |ms| (ms * 1e6).round() as u64);
                let publish = Latency::of(&Samples::of(found.publish, longest));
                (Some(found.checked), Some(publish), found.by_second)
            }
        };
        let mut report = Report {
            format: FORMAT,
            verdict: Verdict::Ok,
            objectives: vec![],
            asked,
            began_ms,
            intended: Latency::of(&tally.intended),
            service: Latency::of(&tally.service),
            refused: Latency::of(&tally.refused),
            publish,
            lag: Latency::of(&tally.lag),
            lag_late: tally.lag.len() - tally.lag.count_between(0, judge::LAG_MAX.as_nanos() as u64),
            idle,
            interrupted_s: interrupted.map(|at| at.as_secs_f64()),
            unrecorded,
            counts: tally.counts,
            resent: Some(tally.resent),
            answered_s: Some(tally.series.answered_by().as_secs_f64()),
            seconds: tally.series.finish(by_second),
            server,
            server_seconds,
            observed,
            checked,
            beside,
        };
        let values = report.values();
        report.objectives = objectives.iter().map(|objective| report.judged(objective, &values)).collect();
        let without_lag = report.without_lag(values);
        report.verdict = report.judge(objectives.iter().all(|objective| objective.judge(&without_lag).held));
        report
    }

    /// Reads a report that was written with `--out`.
    pub fn read(path: &Path) -> Result<Report, String> {
        let text = std::fs::read(path).map_err(|e| format!("reading the report {}: {e}", path.display()))?;
        let shape = |e| format!("{} is no report of this version, as --out writes it: {e}", path.display());
        // Says what is wrong, and goes only so deep; but it reads some numbers with another last digit. Its feature against that would change
        // how the server reads numbers where both are built together, so they are read by what the server reads events with.
        serde_json::from_slice::<Report>(&text).map_err(|e| shape(e.to_string()))?;
        let report: Report = sonic_rs::from_slice(&text).map_err(|e| shape(e.to_string()))?;
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

    /// What became of each objective.
    pub fn objectives(&self) -> &[Judged] {
        &self.objectives
    }

    /// When it was told to end early, seconds from the start.
    pub fn interrupted(&self) -> Option<f64> {
        self.interrupted_s
    }

    /// Share of the scheduled events that were not acknowledged, from 0 to 1.
    pub fn lost_share(&self) -> f64 {
        self.counts.lost as f64 / self.asked.events.max(1) as f64
    }

    /// The run in a line.
    pub fn in_short(&self) -> String {
        let latency = |(name, latency): (&str, &Latency)| {
            let [_, _, p99, ..] = latency.percentiles();
            match p99.is_rough {
                true => format!("{name} p99 {ROUGH}{:.3} ms of {}", p99.ms, counted(latency.count, "sample")),
                false => format!("{name} p99 {:.3} ms", p99.ms),
            }
        };
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
        let refused = Some(("refused", &self.refused)).filter(|(_, refused)| refused.count > 0);
        sent.into_iter().chain(publish).chain(calls).chain(refused).chain([("own lag", &self.lag)])
    }

    /// Percentiles among them that rest on too few samples.
    fn has_rough(&self) -> bool {
        self.latencies().any(|(_, latency)| latency.percentiles().iter().any(|percentile| percentile.is_rough))
    }

    /// Since when the server's processor time and histogram count, in words; empty where that is the whole run.
    fn measured_from(&self) -> String {
        match self.asked.measure_from_s {
            0.0 => String::new(),
            from => format!(" from {from} s on"),
        }
    }

    /// Why the server's processor time and histogram are not there, where a reading of them is missing.
    fn untimed(&self) -> Option<String> {
        let server = self.server.as_ref().filter(|s| !s.restarted && s.cpu_seconds.is_none() && s.timed_s.is_none())?;
        let is_wanted = self.asked.measure_from_s > 0.0 && server.rss_bytes.is_some();
        is_wanted.then(|| format!("no reading of /metrics came{} to count from", self.measured_from()))
    }

    /// The server's processor seconds per million events of the time in which they were counted.
    fn cpu_per_million(&self) -> Option<f64> {
        let server = self.server.as_ref()?;
        let counted = self.seconds.iter().filter(|second| second.second as f64 >= self.asked.measure_from_s);
        // Others may have sent events too: the server knows what it folded. Older reports do not.
        let folded = server.timed.unwrap_or_else(|| counted.map(|second| second.accepted).sum());
        server.cpu_seconds.filter(|_| folded > 0).map(|s| s / folded as f64 * 1e6)
    }

    /// Events and CMCD records that the server took.
    fn taken(&self) -> u64 {
        self.counts.accepted + self.beside.calls.get("cmcd").map_or(0, |cmcd| cmcd.answered)
    }

    /// What they are, in words.
    fn taken_text(&self) -> &'static str {
        if self.taken() > self.counts.accepted { WITH_CMCD } else { WITHOUT_CMCD }
    }

    /// Events that the server folded and this run did not send, where there are any. What was sent and not acknowledged may be there.
    fn of_others(&self) -> Option<u64> {
        let c = &self.counts;
        let cmcd = self.beside.calls.get("cmcd").map_or(0, Counted::begun);
        let sent = c.accepted + (c.lost - c.unsent) + cmcd;
        self.server.as_ref()?.accepted?.checked_sub(sent).filter(|others| *others > 0)
    }

    /// What was to be checked and was not, in words: nothing was found wrong with it because nobody looked.
    fn unchecked(&self) -> Vec<String> {
        let unseen = self.observed.as_ref().and_then(Observed::unseen);
        let Some(checked) = self.checked.as_ref().filter(|checked| checked.sessions > 0) else {
            return unseen.into_iter().collect();
        };
        let broken = (checked.broken > 0).then(|| {
            let first = checked.first_broken.as_deref().unwrap_or_default();
            format!(
                "{} of {} broke or could not be opened ({first})",
                checked.broken,
                counted(checked.sessions, "stream")
            )
        });
        let [measured, accepted, _] = self.publish_seconds();
        let publish = checked.not_counted().or_else(|| self.publish_seconds_text().filter(|_| 2 * measured < accepted));
        broken.into_iter().chain(checked.vectors.not_all()).chain(publish).chain(unseen).collect()
    }

    /// What the publish latencies rest on, in words.
    fn publish_notes(&self) -> Vec<String> {
        let Some(checked) = &self.checked else { return vec![] };
        if let Some(why) = checked.not_counted() {
            return vec![why];
        }
        let fewer = self.publish.iter().filter(|publish| publish.count < checked.contexts);
        let fewer = fewer.map(|publish| format!("{} {FEWER_SAMPLES}", counted(publish.count, "event")));
        fewer.chain(self.publish_seconds_text()).collect()
    }

    /// Seconds that count in which events were due: with a publish latency, in which events were accepted, and all.
    fn publish_seconds(&self) -> [usize; 3] {
        let from = self.asked.measure_from_s.floor();
        let due = self.seconds.iter().filter(|s| s.second as f64 >= from && s.due() > s.cmcd);
        let count = |is_one: fn(&Second) -> bool| due.clone().filter(|s| is_one(s)).count();
        [count(|s| s.publish.is_some()), count(|s| s.accepted > 0), count(|_| true)]
    }

    /// The same in words, where there are any.
    fn publish_seconds_text(&self) -> Option<String> {
        let [measured, accepted, all] = self.publish_seconds();
        let silent = (accepted < all).then(|| format!("; in {} nothing was accepted", all - accepted));
        let measured = format!("publish was measured in {measured} of {}", counted(all as u64, "second"));
        (all > 0).then(|| measured + &silent.unwrap_or_default())
    }

    /// Requests that were sent once more, in words, where there are any.
    fn resent_text(&self) -> Option<String> {
        let resent = self.resent.filter(|resent| *resent > 0)?;
        let were = either(resent, "request was", "requests were");
        let connections = either(resent, "its connection", "their connections");
        Some(format!("{resent} {were} sent again: the server closed {connections}"))
    }

    /// The verdict in words, with what it rests on less than it seems.
    fn verdict_text(&self) -> String {
        match (&self.verdict, self.unchecked()) {
            (Verdict::Ok, unchecked) if !unchecked.is_empty() => {
                format!("ok, but not all was checked: {}", unchecked.join("; "))
            }
            (verdict, _) => verdict.to_string(),
        }
    }

    /// Seconds in which was sent: the schedule, where nobody ended it early.
    fn sent_s(&self) -> f64 {
        self.interrupted_s.unwrap_or(self.asked.duration_s)
    }

    /// Seconds until everything was answered: longer than the schedule where a backlog was left at its end.
    pub fn took_s(&self) -> f64 {
        let last =
            || self.seconds.iter().rfind(|second| second.answered > 0).map_or(0.0, |second| second.second as f64);
        self.sent_s().max(self.answered_s.unwrap_or_else(last))
    }

    /// Events and CMCD records taken per second; none of a run that was over before it began.
    fn throughput(&self) -> Option<f64> {
        let took_s = self.took_s();
        (took_s > 0.0).then(|| self.taken() as f64 / took_s)
    }

    /// Measured values by the names that objectives use.
    pub fn values(&self) -> Values {
        let c = &self.counts;
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
        .map(|(name, count)| (name.to_owned(), (count as f64).into()))
        .collect();
        values.extend(self.resent.map(|resent| ("resent".to_owned(), (resent as f64).into())));
        values.extend(self.throughput().map(|rate| ("throughput".to_owned(), rate.into())));
        for (name, latency) in self.latencies().filter(|(_, latency)| latency.count > 0) {
            let name = if name == "own lag" { "lag" } else { name };
            values.extend(latency.named().map(|(percentile, value)| (format!("{name}_{percentile}"), value)));
        }
        if let Some(checked) = &self.checked {
            let unpublished = checked.uncounted.is_none().then_some(("unpublished", checked.unpublished));
            let counts = unpublished.into_iter().chain([("backwards", checked.backwards)]);
            values.extend(counts.map(|(name, count)| (name.to_owned(), (count as f64).into())));
            let mismatches = checked.vectors.mismatches();
            values.extend(mismatches.map(|different| ("mismatches".to_owned(), (different as f64).into())));
        }
        let server = self.server.as_ref();
        let timed_s = server.and_then(|s| s.timed_s).unwrap_or(self.took_s() - self.asked.measure_from_s);
        let cpu_seconds = server.and_then(|s| s.cpu_seconds).filter(|_| timed_s > 0.0);
        values.extend(cpu_seconds.map(|s| ("server_cpu".into(), (s / timed_s).into())));
        values.extend(server.and_then(|s| s.rss_bytes).map(|bytes| ("server_rss".into(), (bytes as f64).into())));
        values
    }
}

impl Asked {
    /// What of the shape did not come about, in words.
    fn shape_beyond(&self) -> Option<String> {
        let duration = Duration::try_from_secs_f64(self.duration_s).ok()?;
        Shape::parse(&self.shape).ok()?.beyond(Span(duration))
    }

    /// Events in a batch.
    fn batches(&self) -> String {
        match self.batch {
            [low, high] if low == high => low.to_string(),
            [low, high] => format!("{low} to {high}"),
        }
    }
}

/// Characters of a shape in a line of text.
const SHAPE_CHARS: usize = 80;

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} events/s", self.target, self.rate)?;
        // A course of many levels is whole in the report's JSON and on its page.
        match self.shape.get(..SHAPE_CHARS) {
            Some(begin) if begin.len() < self.shape.len() => write!(f, " ({begin}…)")?,
            _ if self.shape != "constant" => write!(f, " ({})", self.shape)?,
            _ => {}
        }
        if self.arrivals == Some(Arrivals::Poisson) {
            write!(f, ", poisson arrivals,")?;
        }
        write!(f, " for {} s, batches of {}", self.duration_s, self.batches())?;
        if self.measure_from_s > 0.0 {
            write!(f, ", measured from {} s on", self.measure_from_s)?;
        }
        match &self.profile {
            Some(profile) => write!(f, ", profile {profile}")?,
            None => write!(f, ", {}", counted(self.sessions, "session"))?,
        }
        write!(f, ", {}, seed {}", counted(self.connections as u64, "connection"), self.seed)
    }
}

#[cfg(test)]
mod figures_tests;
#[cfg(test)]
pub(crate) mod tests;
