//! The embedded log on fjall: a keyspace per partition; key = first offset (big endian), value = one batch.
//!
//! Whole tables of old records are dropped by age and size (FIFO compaction); nothing is rewritten. Offsets are reserved in
//! blocks, synced ahead: after a power loss that took unsynced records along, the next offset is above all that were given out.
//!
//! `sync` does not use `Database::persist`, which holds the journal's lock during the fsync and so makes every append wait for
//! it: appends are flushed to the operating system as they come, and the journal file is synced through a handle of its own.
//! fjall itself syncs a journal file before it goes on to the next one, so the newest file is all there is to sync.

use super::{Bounds, Log, LogError, RecordBatch, Visit};
use crate::{aside, config};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use saccade_topology::Offset;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Offsets reserved at once; a restart without a proper stop skips at most this many.
pub const RESERVED: u64 = 1 << 18;

/// Bytes of records after which they go into a table. While it is put on the disk no fsync of the journal ends: with fjall's 64 MiB they
/// take 20 to 45 ms then, with these 10.
const TABLE_BYTES: u64 = 16 << 20;

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
        // The journal is not compressed: that is done where a partition waits for it. Tables are, by a thread of their own.
        let builder = Database::builder(&path).worker_threads(1).max_cached_files(Some(64));
        let builder = builder.journal_compression(CompressionType::None);
        let db = aside::open(|| builder.open()).map_err(store("opening"))?;
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
            let options = || {
                let options = KeyspaceCreateOptions::default().max_memtable_size(TABLE_BYTES);
                options.compaction_strategy(fifo.clone())
            };
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
        let (records, has_origin) = (self.records(partition), &self.has_origin[usize::from(partition)]);
        // One insert is one write to the journal, flushed to the operating system before it returns.
        let appended = match has_origin.load(Ordering::Relaxed) {
            true => records.insert(first.0.to_be_bytes(), batch.bytes()),
            false => {
                // As one: a note of a first record that is not there would say that it was dropped.
                let mut both = self.db.batch().durability(Some(PersistMode::Buffer));
                both.insert(&self.meta, format!("origin {partition}"), first.0.to_le_bytes());
                both.insert(records, first.0.to_be_bytes(), batch.bytes());
                both.commit().inspect(|()| has_origin.store(true, Ordering::Relaxed))
            }
        };
        appended.map_err(self.store_error("appending to"))
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
                if offset >= from.0 && visit(Offset(offset), record)?.is_break() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use saccade_topology::{Arrived, Event, EventTime, IngestTime, Record};
    use std::io::Read;
    use std::ops::Range;

    fn batch(id: &str) -> RecordBatch {
        let mut batch = RecordBatch::default();
        let record = Record::Event(Event { session: Some("s"), ..Event::new(id, "play", EventTime(7)) });
        batch.push(&Arrived { ingest_time: IngestTime(9), record });
        batch
    }

    fn open(data: &Path) -> EmbeddedLog {
        EmbeddedLog::open(data, &config::Log::default(), None).expect("the log opens")
    }

    fn ids(log: &EmbeddedLog) -> Vec<String> {
        let mut ids = vec![];
        let read = log.read(0, Offset(0), &mut |_, bytes| {
            if let Record::Event(event) = crate::log::decode(bytes).expect("a whole record").record {
                ids.push(event.id.to_string());
            }
            Ok(std::ops::ControlFlow::Continue(()))
        });
        read.expect("the log is whole");
        ids
    }

    /// What the journal holds; its file is made larger than that, of zeros.
    fn journal_bytes(log: &EmbeddedLog) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let mut file = File::open(log.journal().expect("there is a journal")).expect("it opens");
        file.read_exact(&mut bytes).expect("it is 64 MiB from the beginning");
        let len = bytes.iter().rposition(|b| *b != 0).expect("something was written") + 1;
        bytes.truncate(len);
        bytes
    }

    /// A copy of a data directory whose log is small, with another journal.
    fn with_journal(log: &EmbeddedLog, journal: &[u8]) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_files(&log.path, &copy.path().join("log"));
        let name = log.journal().expect("there is a journal");
        let name = name.file_name().expect("a file has a name");
        std::fs::write(copy.path().join("log").join(name), journal).expect("the copy can be written");
        copy
    }

    fn place_of(batch: &RecordBatch, file: &[u8]) -> Range<usize> {
        let len = batch.bytes().len();
        let at = file.windows(len).position(|bytes| bytes == batch.bytes()).expect("the batch is in the file");
        at..at + len
    }

    fn copy_files(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("the copy can be written");
        for entry in std::fs::read_dir(from).expect("the log can be read") {
            let entry = entry.expect("the log can be read");
            let (path, copy) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() {
                copy_files(&path, &copy);
            } else if path.extension().is_none_or(|e| e != "jnl") {
                std::fs::copy(path, copy).expect("the copy can be written");
            }
        }
    }

    #[test]
    fn a_journal_torn_anywhere_gives_the_batches_before_and_none_is_said_to_be_dropped() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let log = open(data.path());
        log.reserve(0, Offset(RESERVED)).expect("offsets are reserved");
        let empty = journal_bytes(&log).len();
        log.append(0, Offset(0), &batch("a")).expect("the log takes a batch");
        let one = journal_bytes(&log).len();
        log.append(0, Offset(1), &batch("b")).expect("the log takes a batch");
        let journal = journal_bytes(&log);
        let values = ["a", "b"].map(|id| place_of(&batch(id), &journal));
        let expected = |cut: usize| if cut < one { &[][..] } else { &["a"] };
        for cut in (empty..journal.len()).step_by(7) {
            // The file was made larger, of zeros. (fjall's debug assertions do not take lengths that are torn like that.)
            let in_value = values.iter().any(|value| value.contains(&cut));
            for padding in [0, 64].into_iter().filter(|padding| *padding == 0 || in_value) {
                let torn = with_journal(&log, &[&journal[..cut], &vec![0; padding]].concat());
                let log = open(torn.path());
                assert_eq!(ids(&log), expected(cut), "cut at {cut}");
                assert!(!log.bounds(0).expect("bounds").is_trimmed, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_record_that_changed_in_the_journal_is_not_read() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let log = open(data.path());
        log.append(0, Offset(0), &batch("a")).expect("the log takes a batch");
        log.append(0, Offset(1), &batch("b")).expect("the log takes a batch");
        let mut journal = journal_bytes(&log);
        for place in place_of(&batch("a"), &journal) {
            journal[place] ^= 1;
            let changed = with_journal(&log, &journal);
            let opened = EmbeddedLog::open(changed.path(), &config::Log::default(), None);
            assert!(matches!(opened, Err(LogError::Store { .. })), "byte {place}");
            journal[place] ^= 1;
        }
    }

    #[test]
    fn a_record_that_changed_in_a_table_is_not_read() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let log = open(data.path());
        log.append(0, Offset(0), &batch("a")).expect("the log takes a batch");
        log.records(0).rotate_memtable_and_wait().expect("the batch goes into a table");
        drop(log);
        let keyspaces = data.path().join("log/keyspaces");
        let tables = std::fs::read_dir(keyspaces).expect("a keyspace a directory");
        let tables =
            tables.flat_map(|k| std::fs::read_dir(k.expect("an entry").path().join("tables")).expect("tables"));
        let tables = tables.map(|entry| entry.expect("an entry").path());
        let mut tables = tables.map(|path| (std::fs::read(&path).expect("the table can be read"), path));
        let holds = |bytes: &[u8]| bytes.windows(batch("a").bytes().len()).any(|w| w == batch("a").bytes());
        let (whole, path) = tables.find(|(bytes, _)| holds(bytes)).expect("the batch is in a table");
        for place in place_of(&batch("a"), &whole) {
            let mut table = whole.clone();
            table[place] ^= 1;
            std::fs::write(&path, table).expect("the table can be written");
            let log = open(data.path());
            let read = log.read(0, Offset(0), &mut |_, _| panic!("byte {place} is not of a record"));
            assert!(matches!(read, Err(LogError::Store { .. })), "byte {place}");
        }
    }
}
