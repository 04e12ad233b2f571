//! `saccade import`: exports and raw events into the log of a data directory.
//!
//! An export goes back as it was, each record into the partition it came from, where log and export have as many partitions. Where they
//! have not, records are spread anew: events and decisions by viewer or session; activations and rewards to their decision, if this
//! import has it, else by the decision's id; items to partition 0; reward specs of partition 0 to all partitions. The ticks, the reward
//! specs of other partitions, and what partitions told each other are then left out, and said to be. Offsets are given anew: model versions, which name offsets, are kept as
//! they stood and are only those of the log where it began at offset 0 and had no gaps.

use super::files::{self, Group};
use super::replay::progress;
use super::{Common, Failure, Format, print, reader};
use crate::config::Config;
use crate::counted::counted;
use crate::engine::{Configured, partition_of, partition_of_decision, partition_of_key};
use crate::log::{EmbeddedLog, Log, RecordBatch};
use clap::Args;
use indicatif::ProgressBar;
use saccade_topology::{Arrived, Offset, Record};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

#[derive(Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub common: Common,
    /// Files of events, one a line, or exports; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Records appended as one, and their bytes, about: a record has no bound of its own.
const BATCH_RECORDS: u64 = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// Appends to the log and leaves the folding to the next `serve`: duplicates are then counted once.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let config = args.common.config()?;
    let reader = reader(&config)?;
    // All of them, before the log is touched: a name with a slip in it leaves no half of an import.
    let inputs = args.files.iter().map(|path| opened(path)).collect::<Result<Vec<_>, _>>()?;
    let log =
        EmbeddedLog::open(&args.common.data, &config.log, Some(config.log.partitions)).map_err(Failure::failed)?;
    // Files are looked through before they are read.
    let bar = progress(2 * args.files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum::<u64>());
    let mut writer = Writer::new(&log, &config, exported_partitions(&args.files, &bar))?;
    let mut rejected = 0;
    let read: Result<(), Failure> = args.files.iter().zip(inputs).try_for_each(|(path, input)| {
        let input = input.map_or_else(|| files::open(path), Ok)?;
        let of_file = files::read_records(path, input, &reader, &mut |n| bar.inc(n), &mut |group| writer.take(group))?;
        of_file.report();
        rejected += of_file.count;
        Ok(())
    });
    bar.finish_and_clear();
    // What came before a file that cannot be read on is taken, and said to be.
    let (imported, left_out) = writer.finish()?;
    let said = say(args, imported, left_out, rejected);
    read.and(said)?;
    match imported + left_out == 0 && rejected > 0 {
        true => Err(Failure::Failed("no row was taken; see above why the first were rejected".into())),
        false => Ok(()),
    }
}

/// What is read from there; none of a plain file, which can be opened and is opened again: there may be more of them than can be open at once.
fn opened(path: &Path) -> Result<Option<Box<dyn Read>>, Failure> {
    let input = files::open(path)?;
    Ok(if path.is_file() { None } else { Some(input) })
}

fn say(args: &ImportArgs, imported: u64, left_out: u64, rejected: u64) -> Result<(), Failure> {
    if args.common.format == Format::Json {
        let counts = serde_json::json!({ "imported": imported, "left_out": left_out, "rejected": rejected });
        return print(&format!("{counts}\n"));
    }
    if left_out > 0 {
        eprintln!(
            "{} left out, of ticks, reward specs and what is between partitions: the log has another number of these than the export",
            counted(left_out, "record")
        );
    }
    eprintln!("{} appended to the log in {}", counted(imported, "record"), args.common.data.display());
    Ok(())
}

/// Batches on their way to the log.
struct Writer<'l> {
    log: &'l EmbeddedLog,
    ends: Vec<Offset>,
    batches: Vec<RecordBatch>,
    spread: Spread,
    imported: u64,
    left_out: u64,
    failed: Option<Failure>,
    /// Specs of models of which the log has none yet.
    specs: Vec<Configured<'l>>,
    /// Those that were put in force here.
    ruled: Vec<Configured<'l>>,
    /// The first record was not the first of its log.
    is_trimmed: bool,
}

impl<'l> Writer<'l> {
    fn new(log: &'l EmbeddedLog, config: &'l Config, exported: Option<u16>) -> Result<Self, Failure> {
        let count = log.partitions();
        let ends: Result<Vec<Offset>, _> = (0..count).map(|p| log.bounds(p).map(|bounds| bounds.next)).collect();
        let ends = ends.map_err(Failure::failed)?;
        let spread =
            Spread { count: usize::from(count), as_it_was: exported == Some(count), decisions: HashMap::new() };
        let specs = config.models.iter().filter_map(|model| Configured::of(model).ok());
        let specs = if ends.iter().all(|end| end.0 == 0) { specs.collect() } else { vec![] };
        Ok(Writer {
            log,
            ends,
            specs,
            ruled: vec![],
            is_trimmed: false,
            batches: vec![RecordBatch::default(); usize::from(count)],
            spread,
            imported: 0,
            left_out: 0,
            failed: None,
        })
    }

    fn take(&mut self, group: &Group<'_>) {
        if (self.imported, self.left_out) == (0, 0) {
            self.is_trimmed = group.offsets.first().is_some_and(|offset| offset.0 > 0);
        }
        for (from, arrived) in group.partitions.iter().zip(&group.records) {
            let places = self.spread.places(*from, &arrived.record);
            match places.is_empty() {
                true => self.left_out += 1,
                false => {
                    self.imported += 1;
                    self.rule(arrived);
                }
            }
            places.for_each(|place| self.push(place, arrived));
        }
    }

    /// An export whose first records are not there, as they were dropped or left out, may have decisions without the spec that was in force. It
    /// is the one of the configuration then, as where a log begins; put in force behind them it would count for none of them.
    fn rule(&mut self, arrived: &Arrived<'_>) {
        let (model, control) = match &arrived.record {
            Record::Decision(decision) => (decision.model, None),
            Record::Control(control) => (control.model, Some(control)),
            _ => return,
        };
        if control.is_some_and(|control| self.ruled.iter().any(|spec| spec.is_contradicted(control))) {
            let why = format!(
                "{model}: the configuration has another reward spec of a version that the export proposes; configure the one that was in force before the export begins"
            );
            self.ruled.retain(|ruled| ruled.model != model);
            self.failed.get_or_insert(Failure::Failed(why));
            return;
        }
        let Some(nth) = self.specs.iter().position(|spec| spec.model == model) else { return };
        let spec = self.specs.swap_remove(nth);
        if control.is_some_and(|control| !self.is_trimmed || spec.proposes(control)) {
            return;
        }
        eprintln!("{model}: what put its reward spec in force is not there; that of the configuration is");
        for control in spec.controls() {
            let put = Arrived { ingest_time: arrived.ingest_time, record: Record::Control(control) };
            (0..self.batches.len()).for_each(|place| self.push(place, &put));
        }
        self.ruled.push(spec);
    }

    fn push(&mut self, place: usize, arrived: &Arrived<'_>) {
        self.batches[place].push(arrived);
        let batch = &self.batches[place];
        if (batch.count() == BATCH_RECORDS || batch.bytes().len() >= BATCH_BYTES)
            && let Err(error) = self.flush(place)
        {
            self.failed.get_or_insert(error);
        }
    }

    fn flush(&mut self, place: usize) -> Result<(), Failure> {
        let batch = &mut self.batches[place];
        if batch.count() > 0 {
            self.log.append(place as u16, self.ends[place], batch).map_err(Failure::failed)?;
            self.ends[place].0 += batch.count();
            batch.clear();
        }
        Ok(())
    }

    /// Gives how many records were taken and left out.
    fn finish(mut self) -> Result<(u64, u64), Failure> {
        for place in 0..self.batches.len() {
            self.flush(place)?;
            self.log.reserve(place as u16, self.ends[place]).map_err(Failure::failed)?;
        }
        self.log.sync().map_err(Failure::failed)?;
        self.failed.map_or(Ok((self.imported, self.left_out)), Err)
    }
}

/// Which partitions a record goes to.
struct Spread {
    count: usize,
    /// The export has as many partitions as the log.
    as_it_was: bool,
    /// Where decisions of this import went, by the hash of their ids.
    decisions: HashMap<u128, usize>,
}

impl Spread {
    fn places(&mut self, from: Option<u16>, record: &Record<'_>) -> Range<usize> {
        let one = |place: usize| place..place + 1;
        if let Some(from) = from.map(usize::from).filter(|from| self.as_it_was && *from < self.count) {
            return one(from);
        }
        match record {
            Record::Event(event) => one(partition_of(event, self.count)),
            Record::Decision(decision) => {
                let place = partition_of_decision(decision, self.count);
                // With one partition there is nothing to look up.
                if self.count > 1 {
                    self.decisions.insert(xxh3_128(decision.id.as_bytes()), place);
                }
                one(place)
            }
            Record::Activation(activation) => one(self.decided(activation.decision)),
            Record::Reward(reward) => one(self.decided(reward.decision)),
            Record::Item(_) => one(0),
            Record::Control(_) if from == Some(0) => 0..self.count,
            // Between partitions there is nothing to tell any more: what is told of a decision goes where it is.
            Record::Leaving(_) | Record::Passed(_) | Record::Landed(_) => 0..0,
            Record::Control(_) | Record::Tick => 0..0,
        }
    }

    fn decided(&self, decision: &str) -> usize {
        let known = self.decisions.get(&xxh3_128(decision.as_bytes()));
        known.copied().unwrap_or_else(|| partition_of_key(decision, self.count))
    }
}

/// How many partitions the log had that was exported to these files; `None` where none of them is an export that can be read twice.
fn exported_partitions(files: &[PathBuf], bar: &ProgressBar) -> Option<u16> {
    files.iter().filter(|path| path.is_file()).filter_map(|path| last_partition(path, bar)).max()?.checked_add(1)
}

/// The greatest partition that the records of an export name. It ends with the first that cannot be read: taking in what is there says why.
fn last_partition(path: &Path, bar: &ProgressBar) -> Option<u16> {
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path).ok()?);
    let (mut line, mut last) = (vec![], None);
    while let Ok(bytes @ 1..) = lines.read_until(b'\n', &mut line) {
        bar.inc(bytes as u64);
        last = last.max(partition_of_line(&line));
        line.clear();
    }
    last
}

/// Where `export` has written it.
fn partition_of_line(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"{\"offset\":")?;
    let rest = rest[rest.iter().position(|byte| *byte == b',')?..].strip_prefix(b",\"partition\":")?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
