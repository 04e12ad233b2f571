//! `saccade export` and `saccade import`: the log as NDJSON and back.

use super::files;
use super::replay::progress;
use super::{Common, Failure};
use crate::engine::{decode_or_damaged, partition_of};
use crate::log::{Bounds, EmbeddedLog, Log, RecordBatch};
use crate::wire::{EventReader, write_record};
use clap::Args;
use saccade_topology::{Offset, Record};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub common: Common,
    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u16>,
    /// From this offset on
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// Up to, and without, this offset
    #[arg(long, value_name = "OFFSET", default_value_t = u64::MAX)]
    until: u64,
    /// Where lines go: a file, `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let config = args.common.config()?;
    let log = EmbeddedLog::open(args.common.existing_data()?, &config.log, None).map_err(Failure::failed)?;
    let writing = |e| Failure::Failed(format!("writing {}: {e}", args.out.display()));
    let out: Box<dyn Write> = match args.out.as_os_str() == "-" {
        true => Box::new(std::io::stdout()),
        false => Box::new(std::fs::File::create(&args.out).map_err(writing)?),
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    for partition in (0..log.partitions()).filter(|p| args.partition.is_none_or(|only| only == *p)) {
        let Bounds { first, next, .. } = log.bounds(partition).map_err(Failure::failed)?;
        let bar = progress(next.0.min(args.until).saturating_sub(first.0.max(args.from)));
        let (mut line, mut failed) = (vec![], None);
        let read = log.read(partition, Offset(args.from), &mut |offset, bytes| {
            if offset.0 >= args.until {
                return ControlFlow::Break(());
            }
            bar.inc(1);
            line.clear();
            let wrote = decode_or_damaged(partition, offset, bytes).map_err(Failure::failed).and_then(|arrived| {
                write_record(&mut line, partition, offset, &arrived);
                out.write_all(&line).map_err(writing)
            });
            match wrote {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        bar.finish_and_clear();
        // What was whole before a damaged place is written out either way.
        out.flush().map_err(writing)?;
        read.map_err(Failure::failed)?;
        failed.map_or(Ok(()), Err)?;
    }
    out.flush().map_err(writing)
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub common: Common,
    /// Files of events, one a line, or exports; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Records appended as one.
const BATCH_RECORDS: u64 = 1000;

/// Appends to the log and leaves the folding to the next `serve`: duplicates are then counted once.
pub(crate) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let config = args.common.config()?;
    let reader = EventReader::new(&config.ingest).map_err(|e| Failure::Usage(format!("configuration: {e}")))?;
    let log =
        EmbeddedLog::open(&args.common.data, &config.log, Some(config.log.partitions)).map_err(Failure::failed)?;
    let partitions = usize::from(log.partitions());
    let mut ends = vec![];
    for partition in 0..log.partitions() {
        ends.push(log.bounds(partition).map_err(Failure::failed)?.next);
    }
    let mut batches = vec![RecordBatch::default(); partitions];
    let (mut imported, mut failed) = (0u64, None);
    let bar = progress(args.files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum());
    for path in &args.files {
        let input: Box<dyn std::io::Read> = match path.as_os_str() == "-" {
            true => Box::new(std::io::stdin()),
            false => Box::new(
                std::fs::File::open(path).map_err(|e| Failure::Failed(format!("opening {}: {e}", path.display())))?,
            ),
        };
        let rejected = files::read_records(path, input, &reader, &mut |n| bar.inc(n), &mut |group| {
            for arrived in &group.records {
                let Record::Event(event) = &arrived.record else { continue };
                let partition = partition_of(event, partitions);
                batches[partition].push(arrived);
                imported += 1;
                if batches[partition].count() == BATCH_RECORDS
                    && let Err(error) = flush(&log, partition as u16, &mut ends[partition], &mut batches[partition])
                {
                    failed.get_or_insert(error);
                }
            }
        })?;
        rejected.report();
    }
    bar.finish_and_clear();
    for (partition, batch) in batches.iter_mut().enumerate() {
        flush(&log, partition as u16, &mut ends[partition], batch)?;
        log.reserve(partition as u16, ends[partition]).map_err(Failure::failed)?;
    }
    log.sync().map_err(Failure::failed)?;
    failed.map_or(Ok(()), Err)?;
    eprintln!("{imported} events appended to the log in {}", args.common.data.display());
    Ok(())
}

fn flush(log: &EmbeddedLog, partition: u16, end: &mut Offset, batch: &mut RecordBatch) -> Result<(), Failure> {
    if batch.count() > 0 {
        log.append(partition, *end, batch).map_err(Failure::failed)?;
        end.0 += batch.count();
        batch.clear();
    }
    Ok(())
}
