//! `saccade validate`: named checks of configuration and data, each PASS, FAIL or SKIP.
//!
//! It reads and reports; it repairs nothing. A data directory is opened as `serve` opens it, so only one of them can at a time.

mod config;
mod log;
mod state;
#[cfg(test)]
mod tests;

use super::{Failure, Format, print};
use crate::config::Config;
use crate::log::free_bytes;
use crate::log::{EmbeddedLog, LogError};
use clap::{Args, ValueEnum};
use saccade_topology::Plan;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Check configuration and data: named checks, PASS, FAIL or SKIP.
///
/// The checks of data are skipped where none is named and `data` is not there or in use. Exit code 1 where a check fails.
#[derive(Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub common: Subject,
    /// Only this check; may be given several times
    #[arg(long = "check", value_name = "NAME", value_enum)]
    checks: Vec<Check>,
}

/// What is checked. Unlike elsewhere it is told whether a data directory was named.
#[derive(Args)]
pub(crate) struct Subject {
    /// Configuration file (TOML); the built-in default when absent
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory; `data` where it exists
    #[arg(long, value_name = "DIR", env = "SACCADE_DATA")]
    data: Option<PathBuf>,
    /// How results and errors are written
    #[arg(long, value_enum, default_value_t = Format::Text, env = "SACCADE_FORMAT")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// It loads and compiles
    Config,
    /// Keys are set where other machines can reach the server
    ConfigSecurity,
    /// The data directory opens and no server has it in use
    DataOpen,
    /// Every record decodes
    LogReadable,
    /// Offsets only grow
    LogOffsets,
    /// No event id is there twice within dedup.events_max
    LogDuplicates,
    /// Arrivals are in order and no event is ahead of its arrival by more than time.max_future
    LogTimes,
    /// Which time zones of events are none: those count as not sent
    LogTimezones,
    /// The checkpoint is whole and of this configuration
    Checkpoint,
    /// Checkpoint and replay give the same state as the whole log
    State,
    /// The log is within log.retention_age and log.retention_bytes
    Retention,
    /// More is free on the disk than log.disk_reserve_bytes
    Disk,
}

impl Check {
    fn name(self) -> String {
        self.to_possible_value().expect("no check is hidden").get_name().to_string()
    }

    fn of_data(self) -> bool {
        !matches!(self, Check::Config | Check::ConfigSecurity)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    Pass,
    Fail,
    Skip,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct Verdict {
    outcome: Outcome,
    /// What was found.
    found: String,
    /// Ids or offsets.
    examples: Vec<String>,
    /// What to do about it.
    to_do: Option<String>,
}

impl Verdict {
    fn pass(found: impl Into<String>) -> Verdict {
        Verdict { outcome: Outcome::Pass, found: found.into(), examples: vec![], to_do: None }
    }

    fn skip(found: impl Into<String>) -> Verdict {
        Verdict { outcome: Outcome::Skip, ..Verdict::pass(found) }
    }

    fn fail(found: impl Into<String>, to_do: impl Into<String>) -> Verdict {
        Verdict { outcome: Outcome::Fail, to_do: Some(to_do.into()), ..Verdict::pass(found) }
    }

    fn examples(mut self, examples: Vec<String>) -> Verdict {
        self.examples = examples;
        self
    }
}

type Report = Vec<(Check, Verdict)>;

pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let report = validate(args);
    let printed = print(&match args.common.format {
        Format::Text => text(&report),
        Format::Json => json(&report) + "\n",
    });
    match report.iter().filter(|(_, v)| v.outcome == Outcome::Fail).count() {
        0 => printed,
        failed => Err(Failure::Failed(format!("{failed} of {} checks failed", report.len()))),
    }
}

fn validate(args: &ValidateArgs) -> Report {
    let wanted: Vec<Check> = Check::value_variants()
        .iter()
        .copied()
        .filter(|check| args.checks.is_empty() || args.checks.contains(check))
        .collect();
    let loaded = config::load(args.common.config.as_deref());
    let mut report = vec![];
    let (config, plan) = match &loaded {
        Ok((config, plan)) => (config, plan),
        Err(verdict) => {
            // The default is only there to go on with the list: nothing is checked against it.
            for check in wanted {
                let skipped = || Verdict::skip("the configuration cannot be used");
                report.push((check, if check == Check::Config { verdict.clone() } else { skipped() }));
            }
            if !report.iter().any(|(check, _)| *check == Check::Config) {
                report.insert(0, (Check::Config, verdict.clone()));
            }
            return report;
        }
    };
    for check in wanted.iter().copied().filter(|check| !check.of_data()) {
        report.push((
            check,
            if check == Check::Config { config::compiled(config, plan) } else { config::security(config) },
        ));
    }
    let of_data: Vec<Check> = wanted.into_iter().filter(|check| check.of_data()).collect();
    if !of_data.is_empty() {
        report.extend(data(config, plan, args, &of_data));
    }
    report
}

/// The checks of a data directory.
fn data(config: &Config, plan: &Arc<Plan>, args: &ValidateArgs, wanted: &[Check]) -> Report {
    let path = args.common.data.as_deref().unwrap_or(Path::new("data"));
    let is_asked_for = args.common.data.is_some() || !args.checks.is_empty();
    let all = |verdict: Verdict| wanted.iter().map(|check| (*check, verdict.clone())).collect();
    if !path.join("log").is_dir() {
        let found = format!("there is no log in {}", path.display());
        return match is_asked_for {
            true => all(Verdict::fail(
                found,
                "name a directory that `saccade serve` or `saccade import` has made (--data DIR)",
            )),
            false => all(Verdict::skip(format!("{found}; name a data directory with --data DIR"))),
        };
    }
    let log = match EmbeddedLog::open(path, &config.log, None) {
        Ok(log) => log,
        Err(error) => {
            let verdict = unopened(&error, is_asked_for);
            let unopened = wanted.iter().map(|check| match check {
                Check::DataOpen => (*check, verdict.clone()),
                Check::Disk => (*check, disk(config, path)),
                _ => (*check, Verdict::skip("the data directory cannot be opened; see data-open")),
            });
            let mut report: Report = unopened.collect();
            // A check that was asked for by name cannot pass unseen because of one that was not.
            if !wanted.contains(&Check::DataOpen) && wanted != [Check::Disk] {
                report.insert(0, (Check::DataOpen, verdict));
            }
            return report;
        }
    };
    let scanned = log::scan(&log, config, plan, wanted);
    let stored = || state::Stored::new(path, plan, &log, &scanned);
    let verdict = |check| match check {
        Check::DataOpen => log::opened(&log, config),
        Check::LogReadable => scanned.readable(),
        Check::LogOffsets => scanned.offsets(),
        Check::LogDuplicates => scanned.duplicates(config),
        Check::LogTimes => scanned.times(config),
        Check::LogTimezones => scanned.timezones(),
        Check::Checkpoint => stored().checkpoint(),
        Check::State => stored().state(),
        Check::Retention => scanned.retention(&log, config, crate::clock::now().0),
        Check::Disk => disk(config, path),
        Check::Config | Check::ConfigSecurity => unreachable!("they are not of data"),
    };
    wanted.iter().map(|check| (*check, verdict(*check))).collect()
}

/// A server that is running in the directory nobody named is what one would expect.
fn unopened(error: &LogError, is_asked_for: bool) -> Verdict {
    match error {
        LogError::InUse { path } if !is_asked_for => Verdict::skip(format!(
            "{} is in use by another process; name it with --data DIR to check it",
            path.display()
        )),
        LogError::InUse { path } => Verdict::fail(
            format!("{} is in use by another process", path.display()),
            "stop the server, or check a copy of the directory; of a running server, see /metrics and `saccade inspect --url`",
        ),
        error => Verdict::fail(
            error.to_string(),
            "look for errors of the disk; then start from a copy, or move the directory away and import an export",
        ),
    }
}

fn disk(config: &Config, path: &Path) -> Verdict {
    let (free, reserve) = (free_bytes(path), config.log.disk_reserve_bytes);
    match free >= reserve {
        true => Verdict::pass(format!("{} free; log.disk_reserve_bytes is {}", bytes(free), bytes(reserve))),
        false => Verdict::fail(
            format!(
                "{} free, less than log.disk_reserve_bytes, {}: events are refused with 507",
                bytes(free),
                bytes(reserve)
            ),
            "make room on the disk, or lower log.retention_bytes",
        ),
    }
}

fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let width = report.iter().map(|(check, _)| check.name().len()).max().unwrap_or(0);
    for (check, verdict) in report {
        let word = format!("{:?}", verdict.outcome).to_uppercase();
        let mut lines = verdict.found.lines();
        out.push_str(&format!("{word}  {:<width$}  {}\n", check.name(), lines.next().unwrap_or("")));
        let further = lines.map(str::to_string).chain(verdict.examples.iter().map(|e| format!("· {e}")));
        let to_do = verdict.to_do.iter().map(|to_do| format!("→ {to_do}"));
        for line in further.chain(to_do) {
            out.push_str(&format!("      {:<width$}  {line}\n", ""));
        }
    }
    out
}

fn json(report: &Report) -> String {
    let passed = report.iter().all(|(_, v)| v.outcome != Outcome::Fail);
    let checks: Vec<_> = report
        .iter()
        .map(|(check, verdict)| {
            let Verdict { outcome, found, examples, to_do } = verdict;
            serde_json::json!({
                "check": check.name(), "outcome": outcome, "found": found, "examples": examples, "to_do": to_do
            })
        })
        .collect();
    serde_json::json!({ "passed": passed, "checks": checks }).to_string()
}
