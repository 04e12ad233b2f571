//! `saccade-loadgen compare`: two runs side by side.

use super::watching::{is_stdout, print, write};
use crate::report::{Comparison, Report, Verdict};
use clap::Args;
use std::path::PathBuf;

const HELP: &str = "\
How it is decided:
  Runs of one server differ by more than their seconds do, as the machine is not what it was a minute before. So `better` and `worse` take
  three runs a side: they are said where the ranges of the two sides do not meet and the medians differ by more than 5 %. Of three runs a
  side and no difference at all, a row does so by luck once in ten; of four, once in 35. Make them in turn, one of A, one of B.
  Of one run a side, ranges are those of its seconds, and `apart` says that no second of one run was as in the other.
  What is not to be at all (lost, rejected, unpublished, mismatches, errors) is worse where there was none, however few runs there are.
  There is no word where a run is invalid, and of latencies, throughput, errors and processors none where the loads were not the same.

  saccade-loadgen compare before.json after.json
  saccade-loadgen compare a1.json a2.json a3.json -- b1.json b2.json b3.json

Exits with 0 whatever differs and whatever the verdicts were; 2 where a report cannot be read.";

/// Options of `compare`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Compare {
    /// The run to compare with and the one that is compared, as `run --out` wrote them: ratios are B over A. Or all runs of A
    #[arg(value_name = "A.json B.json", required = true)]
    runs: Vec<PathBuf>,
    /// All runs of B, where there are several of a side
    #[arg(value_name = "B.json", last = true)]
    b: Vec<PathBuf>,
    /// Also write it as one page with charts, without anything outside of it; `-` for standard output, and the table on standard error
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Compare {
    /// Shows both; it passes whatever their verdicts are, because they were told when they ran.
    pub fn execute(self) -> Result<Verdict, String> {
        let (a, b) = self.sides()?;
        let read = |side: &[PathBuf]| side.iter().map(|path| Report::read(path)).collect::<Result<Vec<_>, _>>();
        let (a, b) = (read(a)?, read(b)?);
        let comparison = Comparison { a: &a, b: &b };
        if self.html.as_deref().is_some_and(is_stdout) {
            print(&comparison.to_html())?;
            eprint!("{comparison}");
            return Ok(Verdict::Ok);
        }
        let page = self.html.as_deref().map_or(Ok(()), |path| write(path, &comparison.to_html()));
        print(&comparison.to_string()).and(page)?;
        Ok(Verdict::Ok)
    }

    fn sides(&self) -> Result<(&[PathBuf], &[PathBuf]), String> {
        match (self.runs.as_slice(), self.b.as_slice()) {
            ([_, _], []) => Ok(self.runs.split_at(1)),
            (_, []) => Err("give two runs, A.json B.json, or those of each side with -- between".into()),
            sides => Ok(sides),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn two_runs_need_nothing_between_and_more_have_their_sides_told() {
        let error = |words: &str| {
            let words = format!("saccade-loadgen compare {words}");
            Cli::parse_from(words.split(' ')).execute().expect_err("there are no such files")
        };
        assert!(error("/none/a /none/b").starts_with("reading the report /none/a"));
        assert!(error("/none/a /none/b /none/c").contains("with -- between"));
        assert!(error("/none/a").contains("with -- between"));
        assert!(error("/none/a /none/b -- /none/c").starts_with("reading the report /none/a"));
    }
}
