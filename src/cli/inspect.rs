//! `saccade inspect`: how something came about.
//!
//! Offline it reads the log of a data directory that no server has open; with `--url` the running server does the same and
//! answers with the same report.

mod ask;
mod dangling;
mod decision;
mod table;
#[cfg(test)]
mod tests;
mod text;

use super::replay::progress;
use super::{Failure, Format, print};
use crate::config::Config;
use crate::inspect::dangling::DanglingReport;
use crate::inspect::decision::DecisionReport;
use crate::inspect::{Found, Inspection, decision as decisions, inspect, percent_encoded};
use crate::log::{Bounds, EmbeddedLog, Log, LogError};
use clap::Subcommand;
use saccade_topology::Plan;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Subcommand)]
pub(crate) enum InspectCommand {
    /// A session: its events in event-time order, its vector, and what moved each number
    Session(SessionArgs),
    /// A decision: why it was made, made again from the log, and what followed
    Decision(DecisionArgs),
    /// Rewards that never found their decision
    Dangling(DanglingArgs),
}

/// Show how a session's vector came about.
///
/// Reads the whole log: of a data directory that no server has open, or, with --url, beside the loop of a running server.
#[derive(clap::Args)]
pub(crate) struct SessionArgs {
    /// Session id; `viewer:ID` for the events of a viewer that name no session
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    source: Source,
}

/// Explain a decision: what was asked and answered, what it was made from, and what followed.
///
/// Makes it again from the log and says whether it is the same, bit for bit. Reads the whole log: of a data directory that no
/// server has open, or, with --url, beside the loop of a running server. Offline, name the configuration it was made under.
#[derive(clap::Args)]
pub(crate) struct DecisionArgs {
    /// Decision id, as in the answer of POST /v1/rank
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    source: Source,
}

/// List the latest rewards that never found their decision, and what usually causes it.
///
/// Reads the whole log of a data directory that no server has open; with --url the running server says what is in its books.
#[derive(clap::Args)]
pub(crate) struct DanglingArgs {
    #[command(flatten)]
    source: Source,
}

/// Where to look, and how to show it.
#[derive(clap::Args)]
struct Source {
    /// Data directory to read; not looked at with --url
    #[arg(long, value_name = "DIR", env = "SACCADE_DATA", default_value = "data")]
    data: PathBuf,
    /// Ask the running server at this address instead
    #[arg(long, value_name = "URL", env = "SACCADE_URL")]
    url: Option<String>,
    /// With --url: the server's auth.read_token
    #[arg(long, value_name = "TOKEN", env = "SACCADE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Configuration file (TOML); the built-in default when absent
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// How results and errors are written
    #[arg(long, value_enum, default_value_t = Format::Text, env = "SACCADE_FORMAT")]
    format: Format,
}

impl InspectCommand {
    pub(crate) fn format(&self) -> Format {
        self.source().format
    }

    fn source(&self) -> &Source {
        match self {
            InspectCommand::Session(args) => &args.source,
            InspectCommand::Decision(args) => &args.source,
            InspectCommand::Dangling(args) => &args.source,
        }
    }
}

pub(crate) fn run(command: &InspectCommand) -> Result<(), Failure> {
    let Source { data, url, token, config, .. } = command.source();
    let (url, token) = (url.as_deref(), token.as_deref());
    let config = || Config::load(config.as_deref());
    let out = match command {
        InspectCommand::Session(args) => {
            let report = match url {
                Some(url) => ask::session(url, token, &args.id)?,
                None => read(&config()?, data, &args.id)?,
            };
            shown(command, &report, |report| text::render(report, url))
        }
        InspectCommand::Decision(args) => {
            let path = format!("/v1/inspect/decision/{}", percent_encoded(&args.id));
            let report = match url {
                Some(url) => ask::report(url, token, &path)?,
                None => read_decision(&config()?, data, &args.id)?,
            };
            shown(command, &report, decision::render)
        }
        InspectCommand::Dangling(_) => {
            let report = match url {
                Some(url) => ask::report(url, token, "/v1/inspect/dangling")?,
                None => read_dangling(&config()?, data)?,
            };
            shown(command, &report, dangling::render)
        }
    };
    print(&out)
}

fn shown<T: Serialize>(command: &InspectCommand, report: &T, render: impl Fn(&T) -> String) -> String {
    match command.format() {
        Format::Text => render(report),
        Format::Json => serde_json::to_string(report).expect("a report is plain data") + "\n",
    }
}

/// A session, from the log of a data directory.
fn read(config: &Config, data: &Path, id: &str) -> Result<Inspection, Failure> {
    let Opened { log, plan, records } = open(config, data, &format!("session {}", shell_word(id)))?;
    let found = with_progress(records, |step| inspect(&log, &plan, id, step))?;
    match found {
        Found::Session(inspection) => Ok(*inspection),
        Found::Unknown(why) => Err(Failure::Failed(why)),
        Found::Stopped => unreachable!("nothing here breaks off"),
    }
}

/// A decision, from the log of a data directory.
fn read_decision(config: &Config, data: &Path, id: &str) -> Result<DecisionReport, Failure> {
    let Opened { log, plan, records } = open(config, data, &format!("decision {}", shell_word(id)))?;
    let found = with_progress(2 * records, |step| decisions::inspect(&log, &plan, id, step))?;
    match found {
        decisions::Found::Decision(report) => Ok(*report),
        decisions::Found::Unknown(why) => Err(Failure::Failed(why)),
        decisions::Found::Stopped => unreachable!("nothing here breaks off"),
    }
}

/// Dangling rewards, from the log of a data directory.
fn read_dangling(config: &Config, data: &Path) -> Result<DanglingReport, Failure> {
    let Opened { log, plan, records } = open(config, data, "dangling")?;
    let report = with_progress(2 * records, |step| crate::inspect::dangling::inspect(&log, &plan, step))?;
    Ok(report.unwrap_or_default())
}

/// A log to read.
struct Opened {
    log: EmbeddedLog,
    plan: Arc<Plan>,
    records: u64,
}

/// Opens the log of a data directory; `what` is what a running server would be asked instead.
fn open(config: &Config, data: &Path, what: &str) -> Result<Opened, Failure> {
    let plan = Plan::compile(&config.spec()).map_err(|e| Failure::Usage(format!("configuration: {e}")))?;
    if !data.join("log").is_dir() {
        let rule = "name one with --data DIR, or a running server with --url http://HOST:PORT";
        return Err(Failure::Usage(format!("there is no log in the data directory {}; {rule}", data.display())));
    }
    let log = EmbeddedLog::open(data, &config.log, None).map_err(|error| match error {
        LogError::InUse { path } => Failure::Failed(format!(
            "the data directory {} is in use by a running server; ask it: saccade inspect {what} --url http://{}",
            path.display(),
            config.server.listen
        )),
        error => Failure::failed(error),
    })?;
    let mut records = 0;
    for partition in 0..log.partitions() {
        let Bounds { first, next, .. } = log.bounds(partition).map_err(Failure::failed)?;
        records += next.0 - first.0;
    }
    Ok(Opened { log, plan: Arc::new(plan), records })
}

/// Shows how far reading is.
fn with_progress<T>(
    records: u64,
    read: impl FnOnce(&mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<T, LogError>,
) -> Result<T, Failure> {
    let bar = progress(records);
    let found = read(&mut |read| {
        bar.set_position(read);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    found.map_err(Failure::failed)
}

/// As it is typed into a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
