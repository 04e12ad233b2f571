//! `saccade-loadgen compare`: two runs side by side.

use super::watching::{print, write};
use crate::report::{Comparison, Report, Verdict};
use clap::Args;
use std::path::PathBuf;

/// Options of `compare`.
#[derive(Args)]
#[command(
    after_help = "Exits with 0 whatever differs and whatever the verdicts were; 2 where a report cannot be read."
)]
pub struct Compare {
    /// The run to compare with, as `run --out` wrote it
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The run that is compared: ratios are B over A
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// Also write it as one page with charts, without anything outside of it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Compare {
    /// Shows both; it passes whatever their verdicts are, because they were told when they ran.
    pub fn execute(self) -> Result<Verdict, String> {
        let (a, b) = (Report::read(&self.a)?, Report::read(&self.b)?);
        let comparison = Comparison { a: &a, b: &b };
        let page = self.html.as_deref().map_or(Ok(()), |path| write(path, &comparison.to_html()));
        print(&comparison.to_string()).and(page)?;
        Ok(Verdict::Ok)
    }
}
