//! `saccade replay`: the fold of `serve`, offline. A file is a partition; several run side by side.

mod output;
mod parquet;

use super::export::check_ends;
use super::files::{self, Rejected};
use super::{Failure, Format, existing, reader};
use crate::config::Config;
use crate::counted::counted;
use crate::engine::decode_or_damaged;
use crate::log::{Bounds, EmbeddedLog, Log};
use crate::wire::Layout;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use output::Output;
use saccade_topology::{Arrived, Ignore, Offset, Outcome, Plan, Record, Sink, Topology};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Fold a file or a data directory offline and write every context.
///
/// Files hold one JSON event a line (names as in ingest.map), or what `saccade export` wrote. Each file is one partition. Events
/// of a raw file arrive in the order of its lines, at the time they happened.
#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Files of events, one partition each; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "data")]
    files: Vec<PathBuf>,
    /// Replay the log of a data directory instead of files
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    data: Option<PathBuf>,
    /// Configuration file (TOML); the built-in default when absent
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// ndjson: one context a line as from GET; packed: u8 length, session, i64 event time, f32 vector, little endian; parquet
    #[arg(long, value_enum, default_value_t = Kind::Ndjson)]
    format: Kind,
    /// Where contexts go: a file, `-` for standard output; further partitions get .1, .2, …
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Write only the last context of every session that is alive at the end
    #[arg(long = "final")]
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Ndjson,
    Packed,
    Parquet,
}

impl ReplayArgs {
    pub(crate) fn errors(&self) -> Format {
        Format::Text
    }
}

/// Records by what became of them.
#[derive(Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    late: u64,
    future: u64,
    contexts: u64,
    /// Alive at the end, and the bytes of their state.
    sessions: usize,
    session_bytes: usize,
    rejected: Rejected,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let config = Config::load(args.config.as_deref())?;
    let plan = Arc::new(Plan::compile(&config.spec()).map_err(|e| Failure::Usage(format!("configuration: {e}")))?);
    let begin = std::time::Instant::now();
    let tallies = match &args.data {
        Some(data) => replay_log(args, &config, &plan, data)?,
        None => replay_files(args, &config, &plan)?,
    };
    let mut total = Tally::default();
    for tally in tallies {
        tally.rejected.report();
        total.accepted += tally.accepted;
        total.duplicates += tally.duplicates;
        total.late += tally.late;
        total.future += tally.future;
        total.contexts += tally.contexts;
        total.sessions += tally.sessions;
        total.session_bytes += tally.session_bytes;
        total.rejected.count += tally.rejected.count;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let Tally { accepted, duplicates, late, future, contexts, sessions, session_bytes, rejected } = total;
    let rows = accepted + duplicates + late + future + rejected.count;
    eprintln!(
        "{} in {seconds:.2} s ({:.0}/s): {accepted} accepted, {}, {late} late, {future} too far ahead, {} rejected; {} written",
        counted(rows, "row"),
        rows as f64 / seconds,
        counted(duplicates, "duplicate"),
        rejected.count,
        counted(contexts, "context")
    );
    if let Some(bytes) = session_bytes.checked_div(sessions) {
        eprintln!("{} alive at the end, {bytes} bytes of state each", counted(sessions as u64, "session"));
    }
    Ok(())
}

fn replay_files(args: &ReplayArgs, config: &Config, plan: &Arc<Plan>) -> Result<Vec<Tally>, Failure> {
    let reader = reader(config)?;
    let progress = progress(args.files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum());
    let one = |i: usize, path: &PathBuf| -> Result<Tally, Failure> {
        let mut partition = Partition::new(args, plan, i as u16)?;
        let input = files::open(path)?;
        let rejected = files::read_records(path, input, &reader, &mut |n| progress.inc(n), &mut |group| {
            partition.fold.warm(&group.records);
            for (nth, (offset, arrived)) in group.offsets.iter().zip(&group.records).enumerate() {
                partition.apply(arrived, |fold, sink| fold.apply_warmed(nth, *offset, arrived, sink));
            }
        })?;
        partition.finish(rejected)
    };
    let results: Vec<Result<Tally, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            args.files.iter().enumerate().map(|(i, path)| scope.spawn(move || one(i, path))).collect();
        threads.into_iter().map(|t| t.join().expect("a replaying thread does not panic")).collect()
    });
    progress.finish_and_clear();
    results.into_iter().collect()
}

fn replay_log(
    args: &ReplayArgs,
    config: &Config,
    plan: &Arc<Plan>,
    data: &std::path::Path,
) -> Result<Vec<Tally>, Failure> {
    let log = EmbeddedLog::open(existing(data)?, &config.log, None).map_err(Failure::failed)?;
    let mut tallies = vec![];
    for number in 0..log.partitions() {
        let Bounds { first, next, .. } = log.bounds(number).map_err(Failure::failed)?;
        let progress = progress(next.0 - first.0);
        let mut partition = Partition::new(args, plan, number)?;
        let read = log.read(number, first, &mut |offset, bytes| {
            progress.inc(1);
            let arrived = decode_or_damaged(number, offset, bytes)?;
            partition.apply(&arrived, |fold, sink| fold.apply(offset, &arrived, sink));
            Ok(ControlFlow::Continue(()))
        });
        progress.finish_and_clear();
        read.map_err(Failure::failed)?;
        tallies.push(partition.finish(Rejected::default())?);
    }
    check_ends(data, &log, 0..log.partitions(), Offset(u64::MAX))?;
    Ok(tallies)
}

/// Shown on standard error while it takes longer than a moment; nothing where that is not a terminal.
pub(crate) fn progress(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent}% {eta} left").expect("the template is valid");
    ProgressBar::new(length).with_style(style)
}

/// One partition's fold and output.
struct Partition {
    fold: Topology,
    output: Output,
    last: bool,
    tally: Tally,
}

impl Partition {
    fn new(args: &ReplayArgs, plan: &Arc<Plan>, number: u16) -> Result<Self, Failure> {
        let output = Output::create(args.format, &args.out, number, Layout::of(plan))?;
        let fold = Topology::without_changes(Arc::clone(plan));
        Ok(Partition { fold, output, last: args.last, tally: Tally::default() })
    }

    fn apply(&mut self, arrived: &Arrived<'_>, apply: impl FnOnce(&mut Topology, &mut dyn Sink) -> Outcome) {
        if let Record::Event(event) = &arrived.record {
            self.output.triggered_by(event.event_time.0);
        }
        let outcome = match self.last {
            true => apply(&mut self.fold, &mut Ignore),
            false => apply(&mut self.fold, &mut self.output),
        };
        match outcome {
            Outcome::Accepted => self.tally.accepted += 1,
            Outcome::Duplicate => self.tally.duplicates += 1,
            Outcome::Late(_) => self.tally.late += 1,
            Outcome::Rejected(_) => self.tally.future += 1,
            Outcome::Ticked | Outcome::Refused => {}
        }
    }

    fn finish(mut self, rejected: Rejected) -> Result<Tally, Failure> {
        if self.last {
            let places = self.fold.live_places();
            self.fold.emit_places(&places, &mut self.output);
        }
        (self.tally.sessions, self.tally.session_bytes) = (self.fold.live().0, self.fold.session_bytes());
        self.tally.contexts = self.output.finish()?;
        self.tally.rejected = rejected;
        Ok(self.tally)
    }
}
