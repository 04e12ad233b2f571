//! `saccade export`: the log as NDJSON.

use super::replay::progress;
use super::{Common, Failure};
use crate::engine::{EngineError, Store, decode_or_damaged};
use crate::log::{Bounds, EmbeddedLog, Log};
use crate::wire::write_record;
use clap::Args;
use saccade_topology::Offset;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

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
    let writing = |e| Failure::writing(&args.out, e);
    let out: Box<dyn Write> = match args.out.as_os_str() == "-" {
        true => Box::new(std::io::stdout()),
        false => Box::new(std::fs::File::create(&args.out).map_err(writing)?),
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let partitions = (0..log.partitions()).filter(|p| args.partition.is_none_or(|only| only == *p));
    for partition in partitions.clone() {
        let Bounds { first, next, .. } = log.bounds(partition).map_err(Failure::failed)?;
        let bar = progress(next.0.min(args.until).saturating_sub(first.0.max(args.from)));
        let (mut line, mut failed) = (vec![], None);
        let read = log.read(partition, Offset(args.from), &mut |offset, bytes| {
            if offset.0 >= args.until {
                return Ok(ControlFlow::Break(()));
            }
            bar.inc(1);
            line.clear();
            let wrote = decode_or_damaged(partition, offset, bytes).map_err(Failure::failed).and_then(|arrived| {
                write_record(&mut line, partition, offset, &arrived);
                out.write_all(&line).map_err(writing)
            });
            Ok(match wrote {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })
        });
        bar.finish_and_clear();
        // What was whole before a damaged place is written out either way.
        out.flush().map_err(writing)?;
        read.map_err(Failure::failed)?;
        failed.map_or(Ok(()), Err)?;
    }
    out.flush().map_err(writing)?;
    check_ends(&args.common.data, &log, partitions, Offset(args.until))
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
