//! Objectives: `publish_p99<1ms,lost=0,throughput>=50000`, parsed, and judged against what a run measured.
//!
//! An objective about something that was not measured is missed: silence is no success.

use crate::report::ROUGH;
use saccade::counted::counted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Written with us, ms or s; kept in milliseconds.
    Time,
    /// Written with B, KiB, MiB or GiB.
    Bytes,
    /// A bare number.
    Number,
}

/// Latencies, each with a `_` and a percentile behind it.
const LATENCIES: [&str; 7] = ["intended", "service", "publish", "rank", "reward", "cmcd", "lag"];
const PERCENTILES: [&str; 7] = ["p50", "p90", "p99", "p999", "p9999", "max", "mean"];
const NUMBERS: [&str; 13] = [
    "lost",
    "rejected",
    "duplicates",
    "late",
    "errors",
    "status_429",
    "resent",
    "unpublished",
    "backwards",
    "mismatches",
    "throughput",
    "accepted",
    "server_cpu",
];
const BYTES: &str = "server_rss";

/// What `--slo` takes, for those who ask.
pub const HELP: &str = "\
Objectives, separated by commas; a missed one fails the run: publish_p99<1ms,lost=0,intended_p99.9<5ms

Each is a metric, one of < <= = >= >, and a bound:
  intended service publish rank reward cmcd lag, each with _p50 _p90 _p99 _p99.9 _p99.99 _max or _mean: a time with us, ms or s
  lost rejected duplicates late: events
  errors: requests that were not acknowledged; status_429: those answered 429
  resent: requests that were sent again, once each, as the server closed their connections: it may have read them
  unpublished: accepted events in no context; backwards: versions that went back; mismatches: vectors that differ (--probes)
  accepted: events; throughput: events accepted, and CMCD records taken (204), per second
  server_cpu: seconds of processor time per second, so processors in use: 1.5
  server_rss: resident memory at the end, in B, KiB, MiB or GiB: 100MiB

What was not measured holds no objective.";

/// How a measured value is to stand to the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// Longer signs first, so that `<=` is not read as `<`.
const SIGNS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("=", Comparison::Equal),
];

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// As it was written.
    text: String,
    metric: String,
    comparison: Comparison,
    bound: f64,
}

/// What has to be asked for so that something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Sessions that are followed.
    Probes,
    /// Viewers who do more than send events.
    Profile,
}

/// What became of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub objective: String,
    /// Which metric.
    pub metric: String,
    /// What it was compared with, in the unit of what was measured.
    #[serde(default)]
    pub bound: Option<f64>,
    /// What was measured, milliseconds, bytes or a number; absent where it was not.
    pub measured: Option<f64>,
    /// Whether it holds.
    pub held: bool,
    /// How many samples a figure of latency rests on; absent for other figures.
    #[serde(default)]
    pub samples: Option<u64>,
    /// Fewer than ten of them are beyond the percentile.
    #[serde(default)]
    pub is_rough: bool,
    /// Why nothing was measured.
    #[serde(default)]
    pub why_not: Option<String>,
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Milliseconds, bytes or a number.
    pub value: f64,
    /// How many samples a figure of latency rests on.
    pub samples: Option<u64>,
    /// Fewer than ten of them are beyond the percentile.
    pub is_rough: bool,
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value { value, samples: None, is_rough: false }
    }
}

/// Measured values by metric name.
pub type Values = BTreeMap<String, Value>;

/// Reads one objective; the error says what there is.
pub fn objective(text: &str) -> Result<Objective, String> {
    let text = text.trim();
    let found = text.find(['<', '>', '=']).and_then(|at| {
        let (sign, comparison) = SIGNS.into_iter().find(|(sign, _)| text[at..].starts_with(sign))?;
        Some((text[..at].trim(), comparison, text[at + sign.len()..].trim()))
    });
    let Some((written, comparison, bound)) = found else {
        return Err(format!(
            "`{text}` is no objective: write METRIC, one of < <= = >= >, and a bound, for example lost=0"
        ));
    };
    // As people write them.
    let metric = written.replace("_p99.99", "_p9999").replace("_p99.9", "_p999");
    let Some(unit) = unit(&metric) else {
        return Err(format!("`{text}`: there is no metric `{written}`; there are {}", names()));
    };
    let bound = number(bound, unit).ok_or_else(|| format!("`{text}`: `{bound}` is no bound; {}", rule(unit)))?;
    if comparison == Comparison::Below && bound <= 0.0 {
        return Err(format!(
            "`{text}` can never hold, as nothing measured is below 0: write {written}=0 or a greater bound"
        ));
    }
    Ok(Objective { text: text.into(), metric, comparison, bound })
}

fn unit(metric: &str) -> Option<Unit> {
    let is_latency = metric
        .split_once('_')
        .is_some_and(|(latency, percentile)| LATENCIES.contains(&latency) && PERCENTILES.contains(&percentile));
    match metric {
        _ if is_latency => Some(Unit::Time),
        _ if NUMBERS.contains(&metric) => Some(Unit::Number),
        BYTES => Some(Unit::Bytes),
        _ => None,
    }
}

fn names() -> String {
    format!(
        "{} with {}; {}; {BYTES}",
        LATENCIES.join(", "),
        // One form, as in the help.
        PERCENTILES.map(|p| format!("_{}", p.replace("p999", "p99.9"))).join(" "),
        NUMBERS.join(", ")
    )
}

fn rule(unit: Unit) -> &'static str {
    match unit {
        Unit::Time => "write a time with us, ms or s, for example 1.5ms",
        Unit::Bytes => "write a size with B, KiB, MiB or GiB, for example 512MiB",
        Unit::Number => "write a number, for example 0",
    }
}

fn number(text: &str, unit: Unit) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match (unit, suffix.trim()) {
        (Unit::Time, "us" | "µs") => 1e-3,
        (Unit::Time, "ms") => 1.0,
        (Unit::Time, "s") => 1e3,
        (Unit::Bytes, "B") => 1.0,
        (Unit::Bytes, "KiB") => 1024.0,
        (Unit::Bytes, "MiB") => 1024.0 * 1024.0,
        (Unit::Bytes, "GiB") => 1024.0 * 1024.0 * 1024.0,
        (Unit::Number, "") => 1.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

impl Objective {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which option it is of that makes it possible to measure, where it is not always.
    pub fn needs(&self) -> Option<Needs> {
        match self.metric.split('_').next() {
            Some("publish" | "unpublished" | "backwards" | "mismatches") => Some(Needs::Probes),
            Some("rank" | "reward" | "cmcd") => Some(Needs::Profile),
            _ => None,
        }
    }

    /// Compares with what was measured.
    pub fn judge(&self, values: &Values) -> Judged {
        let measured = values.get(&self.metric).copied();
        let held = measured.is_some_and(|Value { value, .. }| match self.comparison {
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::Above => value > self.bound,
        });
        Judged {
            objective: self.text.clone(),
            metric: self.metric.clone(),
            bound: Some(self.bound),
            measured: measured.map(|measured| measured.value),
            held,
            samples: measured.and_then(|measured| measured.samples),
            is_rough: measured.is_some_and(|measured| measured.is_rough),
            why_not: None,
        }
    }
}

impl Judged {
    /// The measured value as people write it, with the number of its samples.
    pub fn measured_text(&self) -> String {
        let rough = if self.is_rough { ROUGH } else { "" };
        let samples = match self.samples {
            None => String::new(),
            Some(samples) => format!(", {}", counted(samples, "sample")),
        };
        format!("{rough}{}{samples}", self.value_text())
    }

    fn value_text(&self) -> String {
        match (self.measured, unit(&self.metric)) {
            (None, _) => match &self.why_not {
                Some(why) => format!("not measured: {why}"),
                None => "not measured".into(),
            },
            (Some(value), Some(Unit::Time)) => format!("{value:.3} ms"),
            (Some(value), Some(Unit::Bytes)) => format!("{:.1} MiB", value / f64::from(1 << 20)),
            (Some(value), _) if value.fract() == 0.0 => format!("{value}"),
            (Some(value), _) => format!("{value:.2}"),
        }
    }
}

impl Display for Judged {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = if self.held { "held" } else { "MISSED" };
        match self.measured {
            None => write!(f, "{verdict}: {} ({})", self.objective, self.measured_text()),
            Some(_) => write!(f, "{verdict}: {} (measured: {})", self.objective, self.measured_text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(objective: &str, metric: &str, value: f64) -> bool {
        super::objective(objective)
            .expect("an objective")
            .judge(&Values::from([(metric.to_owned(), value.into())]))
            .held
    }

    #[test]
    fn bounds_have_units_and_are_compared_as_written() {
        for (objective, metric, value, held) in [
            ("publish_p99<1ms", "publish_p99", 0.999, true),
            ("publish_p99<1ms", "publish_p99", 1.0, false),
            ("publish_p99 <= 1ms", "publish_p99", 1.0, true),
            ("intended_p999<500us", "intended_p999", 0.4, true),
            ("intended_p99.9<500us", "intended_p999", 0.4, true),
            ("intended_p99.99<500us", "intended_p9999", 0.5, false),
            ("server_rss<100MiB", "server_rss", 104_857_599.0, true),
            ("service_max<1.5s", "service_max", 1_499.0, true),
            ("lost=0", "lost", 0.0, true),
            ("lost=0", "lost", 1.0, false),
            ("throughput>=50000", "throughput", 50_000.0, true),
            ("throughput>50000", "throughput", 50_000.0, false),
            ("server_rss<1MiB", "server_rss", 1_048_575.0, true),
        ] {
            assert_eq!(judge(objective, metric, value), held, "{objective} at {value}");
        }
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let judged = objective("publish_p99<1ms").expect("an objective").judge(&Values::new());
        assert_eq!((judged.held, judged.measured), (false, None));
        assert_eq!(judged.to_string(), "MISSED: publish_p99<1ms (not measured)");
        let judged = Judged { why_not: Some("no context came".into()), ..judged };
        assert_eq!(judged.to_string(), "MISSED: publish_p99<1ms (not measured: no context came)");
    }

    #[test]
    fn a_measured_latency_says_how_many_samples_it_rests_on() {
        let value = Value { value: 0.5, samples: Some(54), is_rough: true };
        let values = Values::from([("publish_p99".to_owned(), value)]);
        let judged = objective("publish_p99<1ms").expect("an objective").judge(&values);
        assert_eq!(judged.to_string(), "held: publish_p99<1ms (measured: ~0.500 ms, 54 samples)");
    }

    #[test]
    fn the_help_names_every_metric() {
        let names = LATENCIES.iter().chain(&NUMBERS).chain([&BYTES]);
        for name in names.chain(&["p99.9", "p99.99", "_mean", "MiB"]) {
            assert!(HELP.contains(name), "{name}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_there_is() {
        for (text, expected) in [
            ("lost<0", "can never hold"),
            ("publish_p99<0.0ms", "can never hold"),
            ("publish_p98<1ms", "there are intended, service, publish, rank, reward, cmcd, lag with _p50 _p90"),
            ("losses=0", "lost, rejected"),
            ("lost", "is no objective"),
            ("lost<1ms", "write a number"),
            ("publish_p99<1", "us, ms or s"),
            ("publish_p99<", "us, ms or s"),
            ("publish_p99<fast", "us, ms or s"),
            ("server_rss<1GB", "MiB or GiB"),
            ("server_rss<100", "`100` is no bound; write a size with B, KiB, MiB or GiB, for example 512MiB"),
            ("intendet_p99.9<1ms", "there is no metric `intendet_p99.9`; there are"),
            ("intended_p98<1ms", "_p50 _p90 _p99 _p99.9 _p99.99 _max _mean"),
            ("intended_p99.99<0ms", "write intended_p99.99=0 or"),
        ] {
            let error = objective(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
