//! The command line: one file per subcommand.

mod capacity;
mod compare;
mod fit;
mod jitter;
mod load;
mod report;
mod run;
mod sink;
mod values;
mod watching;

pub use load::Load;

#[cfg(test)]
pub use sink::serve as sink;

use crate::report::Verdict;
use clap::{Parser, Subcommand};

/// Puts a Saccade server under load at a fixed rate and reports latencies that can be trusted.
#[derive(Parser)]
#[command(name = "saccade-loadgen", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  saccade-loadgen run                                   20,000 events/s at a local server for 30 s
  saccade-loadgen run --rate 5000 --batch 1 --duration 2m --observe
  saccade-loadgen run --profile steady_evening --rate 50000    viewers instead of independent events
  saccade-loadgen run --profile bot_flood --write events.ndjson  a file instead of a server
  saccade-loadgen run --slo 'publish_p99<1ms,lost=0' --out run.json --html run.html
  saccade-loadgen capacity --slo 'publish_p99<5ms,lost=0' --from 5000
  saccade-loadgen compare before.json after.json --html compared.html

Exit codes: 0 every event acknowledged and every objective held; 1 something lost, refused or wrong, an objective missed, or the run
is invalid; 2 it could not be done: usage, a profile, a target that does not listen, a file that cannot be written.";

/// Subcommands.
#[derive(Subcommand)]
enum Command {
    /// Sends events for a while and prints a report.
    Run(Box<run::Run>),
    /// Searches for the highest rate that holds the objectives.
    Capacity(Box<capacity::Capacity>),
    /// Shows a report that was kept with --out, or makes its page again.
    Report(report::Again),
    /// Shows two kept runs side by side, with ratios.
    Compare(compare::Compare),
    /// Makes a profile that resembles a recorded log.
    Fit(fit::FitArgs),
    /// Watches how often and how long this machine stops a loop that does nothing, and what waiting costs: no server on it does better.
    Jitter(jitter::Jitter),
    /// Reads requests and answers them as Saccade would, to measure this program alone.
    #[command(hide = true)]
    Sink(sink::Sink),
}

impl Cli {
    /// Does what was asked and says how it ended.
    pub fn execute(self) -> Result<Verdict, String> {
        match self.command {
            Command::Run(run) => run.execute(),
            Command::Capacity(capacity) => capacity.execute(),
            Command::Report(again) => again.execute(),
            Command::Compare(compare) => compare.execute(),
            Command::Fit(fit) => fit.execute().map(|()| Verdict::Ok),
            Command::Jitter(jitter) => jitter.execute().map(|()| Verdict::Ok),
            Command::Sink(sink) => sink.execute().map(|()| Verdict::Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_search_whose_runs_would_measure_nothing_is_refused_as_a_run_is() {
        for command in ["run --duration 5s", "capacity --duration 5s"] {
            let words = format!("saccade-loadgen {command} --measure-from 5s --target http://127.0.0.1:9");
            let error = Cli::parse_from(words.split(' ')).execute().expect_err(command);
            assert_eq!(error, "--measure-from 5s is not before the end of the run, 5s", "{command}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
