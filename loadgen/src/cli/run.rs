//! `saccade-loadgen run`: sends events for a while and prints a report.

use super::load::{Load, LoadArgs};
use super::values::{duration, wait};
use super::watching::{Format, Output, Watching, is_stdout};
use crate::drive::{self, Drive, Progress};
use crate::http::Target;
use crate::live::{Live, View};
use crate::measure;
use crate::out;
use crate::ready::{self, Patience};
use crate::report::{Report, Verdict};
use clap::Args;
use saccade::counted::counted;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const RUN_HELP: &str = "\
How it measures:
  With --shape constant and --arrivals even, event i is due i/rate seconds after the start, whatever the server does; a batch is due
  when its last event is.
  intended   from that due time to the acknowledgment: what a player would wait. Includes waiting for a free connection.
  service    from the sending of the request to the acknowledgment: what the server needed.
  refused    from the due time to an answer that acknowledges nothing, such as 429 or 503: those are in neither of the two above.
  own lag    how late this program began a request that could have begun. Where more than 1 in 100, and more than 3, began more than
             1 ms late the run is invalid.
  A server that stalls shows in intended (all requests that were due), hardly in service (the few that were under way).
  publish    from the due time of an event to the context that contains it, received by a follower of its session (--probes).
  published  comes from the server's own histogram in /metrics: arrival of a batch to its contexts published.

Ids are lSEED-NUMBER. Without --seed each run has its own; the same --seed twice against one server sends it duplicates.

Ctrl-C ends the run early, with a report, as do SIGTERM and a terminal that is closed; what was never answered counts in the latencies as
--timeout.";

/// Options of `run`.
#[derive(Args)]
#[command(after_help = RUN_HELP)]
pub struct Run {
    /// Server: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    target: String,
    #[command(flatten)]
    load: LoadArgs,
    /// Longest wait for an answer, and for stragglers after the last request
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Longest wait, before anything is sent, for a server that is not started yet or still reads its log; 0 for none
    #[arg(long, default_value = "1m", value_parser = wait)]
    wait: Duration,
    /// Latencies and processor time count from here on: what is due earlier makes the sessions and warms the server, with
    /// --shape spike:at=1ms,for=20s,times=3 faster than afterwards. Losses and vectors count from the start
    #[arg(long, value_parser = duration, value_name = "TIME")]
    measure_from: Option<Duration>,
    /// Key that may send events
    #[arg(long, env = "SACCADE_WRITE_KEY", hide_env_values = true)]
    write_key: Option<String>,
    /// Token that may read contexts and /metrics
    #[arg(long, env = "SACCADE_READ_TOKEN", hide_env_values = true)]
    read_token: Option<String>,
    /// Write a line `id TAB session TAB status` for every acknowledged event: 202, or `unsure` where rows of its batch were late or
    /// rejected and the answer does not say which; `-` as for --out
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Send nothing: write the events into a file, one JSON object a line, `-` for standard output. They are dated from
    /// 2026-01-15T19:00:00Z on, so that the same seed gives the same file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["observe", "record", "out", "html", "slo"])]
    write: Option<PathBuf>,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    output: Output,
}

impl Run {
    /// Runs, prints the report and returns its verdict.
    pub fn execute(self) -> Result<Verdict, String> {
        let load = self.load()?;
        load.warn();
        if let Some(file) = &self.write {
            let interrupt = Arc::default();
            interrupts(&interrupt)?;
            ends_with_terminal(&interrupt);
            let written = out::write(load.source(false), file, &interrupt)?;
            eprintln!(
                "{} written to {}; rank and CMCD calls are no events and are not in it",
                counted(written, "event"),
                file.display()
            );
            return Ok(Verdict::Ok);
        }
        self.output.check(self.record.as_deref())?;
        let watch = self.watching.watch(&load)?;
        let record: drive::Record = match &self.record {
            None => None,
            Some(path) if is_stdout(path) => Some(Box::new(BufWriter::new(std::io::stdout()))),
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("creating the record {}: {e}", path.display()))?;
                Some(Box::new(BufWriter::new(file)))
            }
        };
        let drive = self.drive(&load)?;
        interrupts(&drive.interrupt)?;
        self.wait(&drive.interrupt)?;
        let title = load.asked(&drive.target, load.plan.events, 0, drive.measure_from).to_string();
        let (duration, is_followed, is_quiet) = (load.duration, watch.probes > 0, self.watching.is_quiet());
        let view = View { title, duration, is_followed, is_quiet };
        let interrupt = Arc::clone(&drive.interrupt);
        let live = || {
            let mut live = Live::new(view);
            ends_with_terminal(&interrupt);
            move |progress: Progress<'_>| live.tick(&progress)
        };
        let report = measure::run(drive, &load, record, &watch, live)?;
        self.output.give(&report, self.record.as_deref().is_some_and(is_stdout))?;
        Ok(report.verdict().clone())
    }

    /// One run of a search: as asked, but for these; `nth` makes ids of its own. One of another length counts from its start.
    pub(super) fn measured(
        &self,
        rate: u64,
        duration: Option<Duration>,
        nth: u64,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Report, String> {
        let load = self.load.changed(rate, duration, nth).resolve()?;
        let mut drive = Drive { interrupt: Arc::clone(interrupt), ..self.drive(&load)? };
        if duration.is_some() {
            drive.measure_from = Duration::ZERO;
        }
        measure::run(drive, &load, None, &self.watching.watch(&load)?, || |_: Progress<'_>| ())
    }

    /// The load; of a search that of each run, but for its rate. An error where nothing of it would count.
    pub(super) fn load(&self) -> Result<Load, String> {
        let load = self.load.resolve()?;
        match self.measure_from.filter(|from| *from >= load.duration) {
            Some(from) => Err(format!("--measure-from {from:?} is not before the end of the run, {:?}", load.duration)),
            None => Ok(load),
        }
    }

    /// Waits for a server that is still coming.
    pub(super) fn wait(&self, interrupt: &AtomicBool) -> Result<(), String> {
        let patience = Patience { wait: self.wait, timeout: self.timeout };
        ready::wait(&self.target()?, patience, interrupt, |line| eprintln!("{line}"))
    }

    /// An error where nobody listens, or who does is not ready.
    pub(super) fn reach(&self) -> Result<(), String> {
        ready::why_not(&self.target()?, self.timeout).map_or(Ok(()), Err)
    }

    fn target(&self) -> Result<Target, String> {
        Target::new(&self.target, self.write_key.as_deref(), self.read_token.as_deref())
    }

    /// An option that is given and makes no sense in a search.
    pub(super) fn of_one_run(&self) -> Option<&'static str> {
        let files = self.output.has_files().then_some("--out or --html");
        let others = [
            (self.record.is_some(), "--record"),
            (self.write.is_some(), "--write"),
            (self.load.names_a_rate(), "--rate"),
        ];
        files.or_else(|| others.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option))
    }

    /// Target, seed and objectives of a search.
    pub(super) fn searched(&self) -> (String, u64, Vec<String>) {
        let objectives = self.watching.objectives().iter().map(|objective| objective.text().to_owned()).collect();
        (self.target.clone(), self.load.seed(), objectives)
    }

    pub(super) fn format(&self) -> Format {
        self.output.format
    }

    fn drive(&self, load: &Load) -> Result<Drive, String> {
        let target = self.target()?;
        let (connections, measure_from) = (load.connections.into(), self.measure_from.unwrap_or_default());
        Ok(Drive { target, connections, timeout: self.timeout, measure_from, interrupt: Arc::default() })
    }
}

/// The first Ctrl-C ends the run, whose report is given; the second one the program.
pub(super) fn interrupts(interrupt: &Arc<AtomicBool>) -> Result<(), String> {
    for signal in [SIGINT, SIGTERM] {
        let registered = flag::register_conditional_shutdown(signal, 130, Arc::clone(interrupt))
            .and_then(|_| flag::register(signal, Arc::clone(interrupt)));
        registered.map_err(|e| format!("listening for signal {signal}: {e}"))?;
    }
    Ok(())
}

/// A terminal that is closed ends the run, too, unless `nohup` keeps that away; it may say so twice. For when nothing is asked of the
/// terminal any more: to wait for its answer would have no end.
pub(super) fn ends_with_terminal(interrupt: &Arc<AtomicBool>) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !is_ignored(SIGHUP, &status) {
        // Where that fails, the program ends at once.
        let _ = flag::register(SIGHUP, Arc::clone(interrupt));
    }
}

/// Whether a process whose status reads so ignores a signal; where it does not say, nothing is to be changed.
fn is_ignored(signal: i32, status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_stays_so() {
        assert!(!is_ignored(SIGHUP, "Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(is_ignored(SIGHUP, "SigIgn:\t0000000000001001\n"));
        assert!(is_ignored(SIGHUP, ""), "it is not known");
    }

    #[test]
    fn a_terminal_that_is_closed_ends_a_run_as_an_interrupt_does() {
        let interrupt = Arc::<AtomicBool>::default();
        ends_with_terminal(&interrupt);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if !is_ignored(SIGHUP, &status) {
            signal_hook::low_level::raise(SIGHUP).expect("it is a signal");
            assert!(interrupt.load(std::sync::atomic::Ordering::Relaxed));
        }
    }
}
