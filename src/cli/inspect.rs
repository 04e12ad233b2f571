//! `saccade inspect`: how something came about.
//!
//! Offline it reads the log of a data directory that no server has open; with `--url` the running server does the same and
//! answers with the same report.

mod ask;
#[cfg(test)]
mod tests;
mod text;

use super::replay::progress;
use super::{Failure, Format};
use crate::config::Config;
use crate::inspect::{Found, Inspection, inspect};
use crate::log::{Bounds, EmbeddedLog, Log, LogError};
use clap::Subcommand;
use saccade_topology::Plan;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Subcommand)]
pub(crate) enum InspectCommand {
    /// A session: its events in event-time order, its vector, and what moved each number
    Session(SessionArgs),
}

/// Show how a session's vector came about.
///
/// Reads the whole log: of a data directory that no server has open, or, with --url, beside the loop of a running server.
#[derive(clap::Args)]
pub(crate) struct SessionArgs {
    /// Session id; `viewer:ID` for the events of a viewer that name no session
    #[arg(value_name = "ID")]
    id: String,
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
        let InspectCommand::Session(args) = self;
        args.format
    }
}

pub(crate) fn run(command: &InspectCommand) -> Result<(), Failure> {
    let InspectCommand::Session(args) = command;
    let inspection = match &args.url {
        Some(url) => ask::session(url, args.token.as_deref(), &args.id)?,
        None => read(&Config::load(args.config.as_deref())?, &args.data, &args.id)?,
    };
    let out = match args.format {
        Format::Text => text::render(&inspection, args.url.as_deref()),
        Format::Json => serde_json::to_string(&inspection).expect("a report is plain data") + "\n",
    };
    match std::io::stdout().write_all(out.as_bytes()) {
        // The reader has seen enough: `saccade inspect … | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Failure::Failed(format!("writing to standard output: {e}"))),
    }
}

/// Reads the log of a data directory.
fn read(config: &Config, data: &Path, id: &str) -> Result<Inspection, Failure> {
    let plan = Plan::compile(&config.spec()).map_err(|e| Failure::Usage(format!("configuration: {e}")))?;
    if !data.join("log").is_dir() {
        let rule = "name one with --data DIR, or a running server with --url http://HOST:PORT";
        return Err(Failure::Usage(format!("there is no log in the data directory {}; {rule}", data.display())));
    }
    let log = EmbeddedLog::open(data, &config.log, None).map_err(|error| match error {
        LogError::InUse { path } => Failure::Failed(format!(
            "the data directory {} is in use by a running server; ask it: saccade inspect session {} --url http://{}",
            path.display(),
            shell_word(id),
            config.server.listen
        )),
        error => Failure::failed(error),
    })?;
    let mut records = 0;
    for partition in 0..log.partitions() {
        let Bounds { first, next, .. } = log.bounds(partition).map_err(Failure::failed)?;
        records += next.0 - first.0;
    }
    let bar = progress(records);
    let found = inspect(&log, &Arc::new(plan), id, &mut |read| {
        bar.set_position(read);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    match found.map_err(Failure::failed)? {
        Found::Session(inspection) => Ok(*inspection),
        Found::Unknown(why) => Err(Failure::Failed(why)),
        Found::Stopped => unreachable!("nothing here breaks off"),
    }
}

/// As it is typed into a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
