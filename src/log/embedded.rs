//! The embedded log on fjall: a keyspace per partition; key = first offset (big endian), value = one batch.
//!
//! Whole tables of old records are dropped by age and size (FIFO compaction); nothing is rewritten. Offsets are reserved in
//! blocks, synced ahead: after a power loss that took unsynced records along, the next offset is above all that were given out.
//!
//! `sync` does not use `Database::persist`, which holds the journal's lock during the fsync and so makes every append wait for
//! it: appends are flushed to the operating system as they come, and the journal file is synced through a handle of its own.
//! fjall itself syncs a journal file before it goes on to the next one, so the newest file is all there is to sync.

use super::{Bounds, Log, LogError, RecordBatch, Visit};
use crate::config;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use saccade_topology::Offset;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Offsets reserved at once; a restart without a proper stop skips at most this many.
pub const RESERVED: u64 = 1 << 18;

/// The log of a data directory.
pub struct EmbeddedLog {
    path: PathBuf,
    db: Database,
    records: Vec<Keyspace>,
    /// The offset of the very first record is noted.
    has_origin: Vec<AtomicBool>,
    meta: Keyspace,
}

impl EmbeddedLog {
    /// Opens the log in `data`, or makes it. `wanted` is the number of partitions asked for, if any.
    pub fn open(data: &Path, settings: &config::Log, wanted: Option<u16>) -> Result<Self, LogError> {
        let path = data.join("log");
        std::fs::create_dir_all(&path).map_err(|source| LogError::Io {
            doing: "making directory",
            path: path.clone(),
            source,
        })?;
        let store = |doing| {
            let (path, data) = (path.clone(), data.to_path_buf());
            move |source| match source {
                fjall::Error::Locked => LogError::InUse { path: data },
                source => LogError::Store { doing, path, source },
            }
        };
        let db =
            Database::builder(&path).worker_threads(1).max_cached_files(Some(64)).open().map_err(store("opening"))?;
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default).map_err(store("opening"))?;
        let mut log = EmbeddedLog { path: path.clone(), db, records: vec![], has_origin: vec![], meta };
        let partitions = match log.meta_number("partitions")? {
            Some(found) => {
                let found = found as u16;
                if let Some(wanted) = wanted.filter(|w| *w != found) {
                    return Err(LogError::Partitions { path: data.to_path_buf(), found, wanted });
                }
                found
            }
            None => {
                let made = wanted.unwrap_or(settings.partitions);
                log.set_meta("partitions", u64::from(made))?;
                log.db.persist(PersistMode::SyncAll).map_err(store("making"))?;
                made
            }
        };
        // Keys of one keyspace only grow, so its tables never overlap: what dropping whole tables by age and size relies on.
        // fjall keeps these settings from when a keyspace is made.
        let age_s = settings.retention_age.0 as u64 / 1000;
        let bytes = settings.retention_bytes / u64::from(partitions);
        let fifo = Arc::new(fjall::compaction::Fifo::new(bytes, Some(age_s)));
        for partition in 0..partitions {
            let options = || KeyspaceCreateOptions::default().compaction_strategy(fifo.clone());
            let records = log.db.keyspace(&format!("records-{partition}"), options).map_err(store("opening"))?;
            log.records.push(records);
            let origin = log.meta_number(&format!("origin {partition}"))?;
            log.has_origin.push(AtomicBool::new(origin.is_some()));
        }
        Ok(log)
    }

    fn records(&self, partition: u16) -> &Keyspace {
        &self.records[usize::from(partition)]
    }

    fn store_error(&self, doing: &'static str) -> impl Fn(fjall::Error) -> LogError + '_ {
        move |source| LogError::Store { doing, path: self.path.clone(), source }
    }

    fn meta_number(&self, name: &str) -> Result<Option<u64>, LogError> {
        let value = self.meta.get(name).map_err(self.store_error("reading"))?;
        Ok(value.and_then(|v| <[u8; 8]>::try_from(&*v).ok()).map(u64::from_le_bytes))
    }

    fn set_meta(&self, name: &str, value: u64) -> Result<(), LogError> {
        self.meta.insert(name, value.to_le_bytes()).map_err(self.store_error("writing"))
    }

    fn journal(&self) -> Result<PathBuf, std::io::Error> {
        let mut newest: Option<(u64, PathBuf)> = None;
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".jnl"));
            if let Some(number) = number.and_then(|n| n.parse().ok())
                && newest.as_ref().is_none_or(|(n, _)| number > *n)
            {
                newest = Some((number, path));
            }
        }
        newest.map(|(_, path)| path).ok_or_else(|| std::io::Error::other("no journal file"))
    }

    /// First offset behind the last record of a partition; `None` where there is none.
    fn last(&self, partition: u16) -> Result<Option<u64>, LogError> {
        let Some(guard) = self.records(partition).last_key_value() else { return Ok(None) };
        let (key, value) = guard.into_inner().map_err(self.store_error("reading"))?;
        Ok(Some(first_offset(&key) + RecordBatch::records(&value).count() as u64))
    }
}

fn first_offset(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.records.len() as u16
    }

    fn append(&self, partition: u16, first: Offset, batch: &RecordBatch) -> Result<(), LogError> {
        let has_origin = &self.has_origin[usize::from(partition)];
        if !has_origin.load(Ordering::Relaxed) {
            self.set_meta(&format!("origin {partition}"), first.0)?;
            has_origin.store(true, Ordering::Relaxed);
        }
        // One insert is one write to the journal, flushed to the operating system before it returns.
        self.records(partition).insert(first.0.to_be_bytes(), batch.bytes()).map_err(self.store_error("appending to"))
    }

    fn sync(&self) -> Result<(), LogError> {
        let newest = self.journal().and_then(|path| File::open(path)?.sync_data());
        newest.map_err(|source| LogError::Io { doing: "syncing", path: self.path.clone(), source })
    }

    fn read(&self, partition: u16, from: Offset, visit: Visit<'_>) -> Result<(), LogError> {
        // The batch that holds `from` may begin before it.
        let records = self.records(partition);
        let before = records.range(..=from.0.to_be_bytes()).next_back();
        let begin = match before {
            Some(guard) => first_offset(&guard.key().map_err(self.store_error("reading"))?),
            None => 0,
        };
        for guard in records.range(begin.to_be_bytes()..) {
            let (key, value) = guard.into_inner().map_err(self.store_error("reading"))?;
            for (offset, record) in (first_offset(&key)..).zip(RecordBatch::records(&value)) {
                let record = record.map_err(|what| LogError::Damaged { partition, offset, what })?;
                if offset >= from.0 && visit(Offset(offset), record).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, partition: u16) -> Result<Bounds, LogError> {
        let last = self.last(partition)?;
        let reserved = self.meta_number(&format!("reserved {partition}"))?.unwrap_or(0);
        let next = last.unwrap_or(0).max(reserved);
        let first = match self.records(partition).first_key_value() {
            Some(guard) => first_offset(&guard.key().map_err(self.store_error("reading"))?),
            None => next,
        };
        let origin = self.meta_number(&format!("origin {partition}"))?;
        Ok(Bounds { first: Offset(first), next: Offset(next), is_trimmed: origin.is_some_and(|o| o < first) })
    }

    fn reserve(&self, partition: u16, limit: Offset) -> Result<(), LogError> {
        self.set_meta(&format!("reserved {partition}"), limit.0)?;
        self.db.persist(PersistMode::SyncAll).map_err(self.store_error("reserving offsets in"))
    }

    fn bytes(&self) -> u64 {
        self.records.iter().map(Keyspace::disk_space).sum::<u64>() + self.db.journal_disk_space().unwrap_or(0)
    }
}
