//! The command line: one file per command. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod demo;
mod export;
mod files;
mod import;
mod inspect;
mod replay;
mod serve;
mod validate;

use crate::config::{Config, ConfigError};
use crate::wire::EventReader;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Real-time feedback for media products: player events in, a fresh context vector out after every event.
#[derive(Parser)]
#[command(name = "saccade", version, about, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  saccade demo                                   see it work on recorded and simulated players
  saccade serve --data ./data                    take events on 127.0.0.1:8080
  saccade replay events.ndjson                   what contexts would these events have given?
  saccade inspect session s1 --data ./data       how a session's vector came about
  saccade inspect decision d1 --data ./data      why a decision was made, and what followed
  saccade validate --config my.toml              check a configuration before it goes live

Every key of the configuration can be set from the environment: SACCADE_LOG__DURABILITY=buffered, SACCADE_AUTH__WRITE_KEYS='[\"k1\"]'.
RUST_LOG chooses what is logged (debug, saccade=debug, …).";

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    /// Take events over HTTP, keep state, publish contexts
    Serve(serve::ServeArgs),
    /// Fold a file or a data directory offline and write every context
    Replay(replay::ReplayArgs),
    /// Check configuration and data: named checks, PASS or FAIL
    Validate(validate::ValidateArgs),
    /// Show how something came about
    #[command(subcommand)]
    Inspect(inspect::InspectCommand),
    /// Write the log as NDJSON, for ordinary tools and for import elsewhere
    Export(export::ExportArgs),
    /// Append an export or raw events to the log of a data directory
    Import(import::ImportArgs),
}

/// What every command takes.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// Configuration file (TOML); the built-in default when absent
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory: log and checkpoints
    #[arg(long, value_name = "DIR", env = "SACCADE_DATA", default_value = "data")]
    data: PathBuf,
    /// How results and errors are written
    #[arg(long, value_enum, default_value_t = Format::Text, env = "SACCADE_FORMAT")]
    format: Format,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object (or one a line), for programs
    Json,
}

/// Why a command ended without its result.
pub(crate) enum Failure {
    /// Exit code 2: what was asked for cannot be done as asked.
    Usage(String),
    /// Exit code 1.
    Failed(String),
    /// Exit code 0: who reads what is written has seen enough, as in `saccade export | head`.
    Closed,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl Failure {
    pub(crate) fn failed(error: impl ToString) -> Self {
        Failure::Failed(error.to_string())
    }

    /// Of a write to `path`, where `-` is standard output.
    fn writing(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Failed(format!("writing {}: {error}", path.display())),
        }
    }
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Failure::writing(Path::new("-"), e))
}

impl Common {
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load(self.config.as_deref())?)
    }

    /// The data directory, which must be there.
    pub(crate) fn existing_data(&self) -> Result<&Path, Failure> {
        existing(&self.data)
    }
}

/// A data directory, which must be there.
fn existing(data: &Path) -> Result<&Path, Failure> {
    if data.join("log").is_dir() {
        return Ok(data);
    }
    let rule = "name one that `saccade serve` or `saccade import` has made (--data DIR)";
    Err(Failure::Usage(format!("there is no log in the data directory {}; {rule}", data.display())))
}

/// What reads events as `[ingest]` says.
fn reader(config: &Config) -> Result<EventReader, Failure> {
    EventReader::new(&config.ingest).map_err(|e| Failure::Usage(format!("configuration: {e}")))
}

/// Parses the arguments and does what they say.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let (format, result) = match cli.command {
        Command::Demo(args) => (args.format(), demo::run(&args)),
        Command::Serve(args) => (args.common.format, serve::run(&args)),
        Command::Replay(args) => (args.errors(), replay::run(&args)),
        Command::Validate(args) => (args.common.format, validate::run(&args)),
        Command::Inspect(command) => (command.format(), inspect::run(&command)),
        Command::Export(args) => (args.common.format, export::run(&args)),
        Command::Import(args) => (args.common.format, import::run(&args)),
    };
    let (code, message) = match result {
        Ok(()) | Err(Failure::Closed) => return ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => (2, message),
        Err(Failure::Failed(message)) => (1, message),
    };
    match format {
        Format::Json => eprintln!("{}", serde_json::json!({ "error": { "code": code, "message": message } })),
        Format::Text => eprintln!("error: {message}"),
    }
    ExitCode::from(code)
}
