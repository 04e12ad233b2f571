//! `saccade export`: the log as NDJSON, records of all partitions in the order in which they arrived.

use super::replay::progress;
use super::{Common, Failure};
use crate::engine::{EngineError, Store, decode_or_damaged};
use crate::log::{Bounds, EmbeddedLog, Log, LogError};
use crate::wire::write_record;
use clap::Args;
use crossbeam_channel::{Receiver, bounded};
use saccade_topology::{IngestTime, Offset};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread::Scope;

/// Bytes of lines that a partition's thread hands over at once.
const CHUNK_BYTES: usize = 1 << 16;

#[derive(Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub common: Common,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<u16>,
    /// From this offset on
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub from: u64,
    /// Up to, and without, this offset
    #[arg(long, value_name = "OFFSET", default_value_t = u64::MAX)]
    pub until: u64,
    /// Where lines go: a file, `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let config = args.common.config()?;
    let log = EmbeddedLog::open(args.common.existing_data()?, &config.log, None).map_err(Failure::failed)?;
    if let Some(partition) = args.partition.filter(|partition| *partition >= log.partitions()) {
        let last = log.partitions() - 1;
        return Err(Failure::Usage(format!("--partition is {partition}; the log has 0 to {last}")));
    }
    if args.from >= args.until {
        return Err(Failure::Usage(format!("--from {} is not before --until {}", args.from, args.until)));
    }
    let writing = |e| Failure::writing(&args.out, e);
    let out: Box<dyn Write> = match args.out.as_os_str() == "-" {
        true => Box::new(std::io::stdout()),
        false => Box::new(std::fs::File::create(&args.out).map_err(writing)?),
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let partitions: Vec<u16> = (0..log.partitions()).filter(|p| args.partition.is_none_or(|only| only == *p)).collect();
    let mut total = 0;
    for partition in &partitions {
        let Bounds { first, next, .. } = log.bounds(*partition).map_err(Failure::failed)?;
        total += next.0.min(args.until).saturating_sub(first.0.max(args.from));
    }
    let bar = progress(total);
    let read = std::thread::scope(|scope| {
        let read = |partition| Lines::of(scope, &log, partition, args.from, args.until);
        let mut all: Vec<Lines> = partitions.iter().copied().map(read).collect();
        let first = |all: &mut [Lines]| {
            let all = all.iter_mut().enumerate();
            all.filter_map(|(nth, lines)| Some((lines.arrived()?, nth))).min().map(|(_, nth)| nth)
        };
        while let Some(nth) = first(&mut all) {
            out.write_all(all[nth].take()).map_err(writing)?;
            bar.inc(1);
        }
        all.into_iter().try_for_each(|lines| lines.failed.map_or(Ok(()), Err)).map_err(Failure::failed)
    });
    bar.finish_and_clear();
    // What was whole before a damaged place is written out either way.
    out.flush().map_err(writing)?;
    read?;
    check_ends(&args.common.data, &log, partitions.into_iter(), Offset(args.until))
}

/// Lines of a partition that follow each other.
#[derive(Default)]
struct Chunk {
    text: Vec<u8>,
    /// When each arrived, and where it ends.
    ends: Vec<(IngestTime, usize)>,
}

/// The lines of a partition, read by a thread of its own, so that those of all partitions come in the order in which they arrived: that of a
/// log read anew in other partitions.
struct Lines {
    chunks: Receiver<Result<Chunk, LogError>>,
    chunk: Chunk,
    /// The next line of the chunk, and where it begins.
    next: (usize, usize),
    failed: Option<LogError>,
}

impl Lines {
    fn of<'s>(scope: &'s Scope<'s, '_>, log: &'s EmbeddedLog, partition: u16, from: u64, until: u64) -> Lines {
        let (sender, chunks) = bounded(1);
        scope.spawn(move || {
            let mut chunk = Chunk::default();
            // Who no longer takes them cannot write on.
            let send = |chunk: &mut Chunk| sender.send(Ok(std::mem::take(chunk))).is_ok();
            let read = log.read(partition, Offset(from), &mut |offset, bytes| {
                if offset.0 >= until {
                    return Ok(ControlFlow::Break(()));
                }
                let arrived = decode_or_damaged(partition, offset, bytes)?;
                write_record(&mut chunk.text, partition, offset, &arrived);
                chunk.ends.push((arrived.ingest_time, chunk.text.len()));
                let goes_on = chunk.text.len() < CHUNK_BYTES || send(&mut chunk);
                Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            });
            let _ = send(&mut chunk);
            if let Err(error) = read {
                let _ = sender.send(Err(error));
            }
        });
        Lines { chunks, chunk: Chunk::default(), next: (0, 0), failed: None }
    }

    /// When the next line arrived, if there is another; waits for it.
    fn arrived(&mut self) -> Option<IngestTime> {
        loop {
            if let Some((arrived, _)) = self.chunk.ends.get(self.next.0) {
                return Some(*arrived);
            }
            match self.chunks.recv().ok()? {
                Ok(chunk) => (self.chunk, self.next) = (chunk, (0, 0)),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// The next line, where there is another.
    fn take(&mut self) -> &[u8] {
        let (nth, begin) = self.next;
        let end = self.chunk.ends[nth].1;
        self.next = (nth + 1, end);
        &self.chunk.text[begin..end]
    }
}

/// An error where the log of one of the partitions ends before its checkpoint, and before `until`. What a checkpoint that cannot be read is of
/// is not known.
pub(super) fn check_ends(
    data: &Path,
    log: &dyn Log,
    mut partitions: impl Iterator<Item = u16>,
    until: Offset,
) -> Result<(), Failure> {
    let store = if Store::exists(data) { Store::open(data).ok() } else { None };
    let Some(store) = store else { return Ok(()) };
    let short = partitions.find_map(|partition| {
        let checkpoint = store.checkpoint(partition).ok()??.until().ok()?;
        let is_short = !log.reaches(partition, until.min(checkpoint));
        is_short.then_some(EngineError::Short { partition, checkpoint: checkpoint.0 })
    });
    match short {
        Some(short) => Err(Failure::Failed(format!("what is there was written, and it is not all: {short}"))),
        None => Ok(()),
    }
}
