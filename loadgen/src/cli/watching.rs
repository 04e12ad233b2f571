//! Options of what is watched during a run, and of what becomes of its report.

use crate::measure::Watch;
use crate::report::Report;
use crate::slo::{self, Objective};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What is watched.
#[derive(Args, Clone)]
pub(super) struct Watching {
    /// Objectives; a missed one fails the run: publish_p99<1ms,lost=0,intended_p999<5ms
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = slo::objective)]
    slo: Vec<Objective>,
    /// Viewers that are followed from the sending of each event to its context, and whose vectors are compared with the fold of
    /// what was acknowledged; 0 for none
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(..=1000))]
    probes: u16,
    /// Configuration of the server, for the comparison of vectors; its built-in default without
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// Also follow the stream of all contexts and check that versions never go back
    #[arg(long)]
    observe: bool,
    /// Show nothing while it runs
    #[arg(long, short)]
    quiet: bool,
}

/// What becomes of the report.
#[derive(Args, Clone)]
pub(super) struct Output {
    /// Form of the report on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Also keep it as JSON, for `report` and `compare`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write it as one page with charts, without anything outside of it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Form of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    pub(super) fn print(self, found: &(impl Display + Serialize)) {
        match self {
            Format::Text => print!("{found}"),
            Format::Json => println!("{}", serde_json::to_string_pretty(found).expect("plain data")),
        }
    }
}

impl Watching {
    pub(super) fn watch(&self) -> Watch {
        let (probes, config, objectives) = (self.probes.into(), self.config.clone(), self.slo.clone());
        Watch { observe: self.observe, probes, config, objectives }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl Output {
    /// Prints the report, and writes the files that were asked for.
    pub(super) fn give(&self, report: &Report) -> Result<(), String> {
        self.format.print(report);
        if let Some(path) = &self.out {
            write(path, &report.to_json())?;
        }
        if let Some(path) = &self.html {
            write(path, &report.to_html())?;
        }
        Ok(())
    }
}

/// Writes a whole file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("writing {}: {e}", path.display()))
}
