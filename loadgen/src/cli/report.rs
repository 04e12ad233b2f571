//! `saccade-loadgen report`: every form of a report from the JSON that was kept.

use super::watching::Output;
use crate::report::{Report, Verdict};
use clap::Args;
use std::path::PathBuf;

/// Options of `report`.
#[derive(Args)]
#[command(after_help = "Exits as its run did: 0 where it passed, else 1; 2 where the report cannot be read.")]
pub struct Again {
    /// What `run --out` wrote
    #[arg(value_name = "RUN.json")]
    run: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Again {
    /// Shows the report; its verdict is that of the run.
    pub fn execute(self) -> Result<Verdict, String> {
        let report = Report::read(&self.run)?;
        self.output.give(&report, false)?;
        Ok(report.verdict().clone())
    }
}
