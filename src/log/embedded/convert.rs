//! Logs of the first format, a fjall database, are written anew once, when they are opened: same records, same offsets.

use super::segment::Mark;
use super::{EmbeddedLog, SEGMENT_BYTES, doing, lock, recover};
use crate::config;
use crate::disk::sync_directory;
use crate::log::{Log, LogError, RecordBatch};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use saccade_topology::{Duration, Offset};
use std::path::Path;

/// Converts the log in the data directory where it is of that format, or finishes what an earlier attempt had begun.
pub(super) fn convert(data: &Path) -> Result<(), LogError> {
    let (log, made, before) = (data.join("log"), data.join("converting"), data.join("log.fjall"));
    if log.join("keyspaces").is_dir() {
        if made.exists() {
            std::fs::remove_dir_all(&made).map_err(doing("removing", &made))?;
        }
        tracing::info!(path = %log.display(), "the log is of an earlier format; it is converted once");
        rewrite(&log, &made)?;
        sync_directory(data).map_err(doing("syncing", data))?;
        std::fs::rename(&log, &before).map_err(doing("renaming", &log))?;
    }
    if before.is_dir() {
        if !log.is_dir() {
            std::fs::rename(made.join("log"), &log).map_err(doing("renaming", &made))?;
        }
        sync_directory(data).map_err(doing("syncing", data))?;
        for done in [&made, &before].into_iter().filter(|path| path.is_dir()) {
            std::fs::remove_dir_all(done).map_err(doing("removing", done))?;
        }
    }
    Ok(())
}

/// Writes the records of the database in `from` to a log in the data directory `to`.
fn rewrite(from: &Path, to: &Path) -> Result<(), LogError> {
    let error = |source| LogError::Store { doing: "converting", path: from.to_path_buf(), source };
    let db = Database::builder(from).worker_threads(1).open().map_err(error)?;
    let open = |name: &str| db.keyspace(name, KeyspaceCreateOptions::default).map_err(error);
    let meta = open("meta")?;
    let number = |name: &str| {
        let value = meta.get(name).map_err(error)?;
        Ok(value.and_then(|v| <[u8; 8]>::try_from(&*v).ok()).map(u64::from_le_bytes))
    };
    let partitions = number("partitions")?.unwrap_or(1) as u16;
    let mut records: Vec<(Keyspace, Mark)> = vec![];
    for partition in 0..partitions {
        let keyspace = open(&format!("records-{partition}"))?;
        let next = match keyspace.first_key_value() {
            Some(guard) => first_offset(&guard.key().map_err(error)?),
            None => 0,
        };
        let reserved = number(&format!("reserved {partition}"))?.unwrap_or(0);
        records.push((keyspace, Mark { origin: number(&format!("origin {partition}"))?, next, reserved }));
    }
    let (lock, marks) = (lock(to)?, records.iter().map(|(_, mark)| *mark).collect());
    let directory = to.join("log");
    std::fs::create_dir_all(&directory).map_err(doing("making directory", &directory))?;
    recover::make(&directory, marks)?;
    let all = config::Log { retention_age: Duration(i64::MAX), retention_bytes: u64::MAX, ..config::Log::default() };
    let log = EmbeddedLog::with(lock, to, &all, None, SEGMENT_BYTES)?;
    let mut batch = RecordBatch::default();
    for (partition, (keyspace, mark)) in (0..).zip(records) {
        for guard in keyspace.iter() {
            let (key, value) = guard.into_inner().map_err(error)?;
            let first = first_offset(&key);
            batch.clear();
            for (offset, record) in (first..).zip(RecordBatch::records(&value)) {
                batch.push_encoded(record.map_err(|what| damaged(from, partition, offset, &what))?);
            }
            log.append(partition, Offset(first), &batch)?;
        }
        log.reserve(partition, Offset(mark.reserved))?;
    }
    log.sync()
}

fn damaged(from: &Path, partition: u16, offset: u64, what: &str) -> LogError {
    let way_out = "export what is before it with the version that wrote it, and import that into a new data directory";
    let what = format!("partition {partition} is damaged at offset {offset}: {what}; {way_out}");
    doing("converting", from)(std::io::Error::other(what))
}

fn first_offset(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
