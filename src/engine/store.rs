//! The checkpoint store: rows of state by key, and what is not per key, in a fjall database of its own.
//!
//! Keyspaces: `rows` (kind, partition, key → row, or the eight bytes of a tombstone), `ids` (partition, generation, place →
//! fingerprints), `over` (the same, of decisions that are over), `departures` (partition, number → pairs), `feedback` and `books` (partition → `postcard`), `globals` (partition →
//! JSON). A checkpoint is complete when its
//! globals are in; before that, the globals before it hold, and rows written meanwhile say so themselves (`as_of`).

use crate::aside;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, UserValue};
use saccade_topology::model::Books;
use saccade_topology::{Globals, Restore, RestoreError, RowKind, StoredFeedback};
use std::path::{Path, PathBuf};

/// A checkpoint store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened, read or written.
    #[error(
        "{doing} the checkpoints in {path}: {source}; the log is whole without them: move {path} away and start again, the state is then rebuilt from the log"
    )]
    Store {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: fjall::Error,
    },
    /// What is not per key cannot be read.
    #[error(
        "the checkpoint in {path} is damaged: {what}; the log is whole without it: move {path} away and start again, the state is then rebuilt from the log"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The store of a data directory.
pub struct Store {
    path: PathBuf,
    db: Database,
    rows: Keyspace,
    ids: Keyspace,
    over: Keyspace,
    departures: Keyspace,
    feedback: Keyspace,
    books: Keyspace,
    globals: Keyspace,
}

/// One stored row.
pub enum StoredRow {
    /// A live key's state.
    Row(RowKind, String, UserValue),
    /// A removed key and the offset its removal is contained in.
    Tombstone(RowKind, String, u64),
}

/// Keyspace, key, value.
#[cfg(test)]
pub(super) type Entry = (&'static str, Vec<u8>, Vec<u8>);

/// Changes that go in as one.
pub struct Changes<'a> {
    store: &'a Store,
    batch: OwnedWriteBatch,
}

fn row_prefix(kind: RowKind, partition: u16) -> [u8; 3] {
    let [a, b] = partition.to_be_bytes();
    [kind as u8, a, b]
}

pub(super) fn row_key(kind: RowKind, partition: u16, key: &str) -> Vec<u8> {
    let mut bytes = vec![];
    put_row_key(kind, partition, key, &mut bytes);
    bytes
}

pub(super) fn put_row_key(kind: RowKind, partition: u16, key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&row_prefix(kind, partition));
    out.extend_from_slice(key.as_bytes());
}

fn number_key(partition: u16, numbers: &[u64]) -> Vec<u8> {
    let mut key = partition.to_be_bytes().to_vec();
    numbers.iter().for_each(|n| key.extend_from_slice(&n.to_be_bytes()));
    key
}

fn to_bytes(words: impl Iterator<Item = u64>) -> Vec<u8> {
    words.flat_map(u64::to_le_bytes).collect()
}

fn to_words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b))
}

impl Store {
    /// Opens the store in `data`, or makes it.
    pub fn open(data: &Path) -> Result<Store, StoreError> {
        let path = data.join("state");
        let error = |source| StoreError::Store { doing: "opening", path: path.clone(), source };
        let db = aside::open(|| Database::builder(&path).worker_threads(1).open()).map_err(error)?;
        let open = |name| db.keyspace(name, KeyspaceCreateOptions::default).map_err(error);
        let (rows, ids, departures, globals) = (open("rows")?, open("ids")?, open("departures")?, open("globals")?);
        let (feedback, books, over) = (open("feedback")?, open("books")?, open("over")?);
        Ok(Store { path: path.clone(), rows, ids, over, departures, feedback, books, globals, db })
    }

    fn error(&self, doing: &'static str) -> impl Fn(fjall::Error) -> StoreError + '_ {
        move |source| StoreError::Store { doing, path: self.path.clone(), source }
    }

    /// What is not per key, of the last complete checkpoint.
    pub fn globals(&self, partition: u16) -> Result<Option<Globals>, StoreError> {
        let value = self.globals.get(partition.to_be_bytes()).map_err(self.error("reading"))?;
        let Some(value) = value else { return Ok(None) };
        let damaged = |e: serde_json::Error| StoreError::Damaged { path: self.path.clone(), what: e.to_string() };
        serde_json::from_slice(&value).map(Some).map_err(damaged)
    }

    /// What is not per decision, and what was learnt, of the last complete checkpoint.
    pub fn learnt(&self, partition: u16) -> Result<(StoredFeedback, Books), StoreError> {
        let key = partition.to_be_bytes();
        let damaged = |e: postcard::Error| StoreError::Damaged { path: self.path.clone(), what: e.to_string() };
        let feedback = self.feedback.get(key).map_err(self.error("reading"))?;
        let books = self.books.get(key).map_err(self.error("reading"))?;
        let feedback =
            feedback.map_or(Ok(StoredFeedback::default()), |bytes| StoredFeedback::from_bytes(bytes.to_vec()));
        let books = books.map_or(Ok(Books::default()), |bytes| postcard::from_bytes(&bytes));
        Ok((feedback.map_err(damaged)?, books.map_err(damaged)?))
    }

    /// Visits all rows of a partition.
    pub fn rows(&self, partition: u16, visit: &mut dyn FnMut(StoredRow)) -> Result<(), StoreError> {
        for kind in RowKind::ALL {
            for guard in self.rows.prefix(row_prefix(kind, partition)) {
                let (key, value) = guard.into_inner().map_err(self.error("reading"))?;
                let name = String::from_utf8_lossy(&key[3..]).into_owned();
                visit(match <[u8; 8]>::try_from(&*value) {
                    Ok(as_of) => StoredRow::Tombstone(kind, name, u64::from_le_bytes(as_of)),
                    Err(_) => StoredRow::Row(kind, name, value),
                });
            }
        }
        Ok(())
    }

    /// Remembered ids of one generation, in order, as far as they follow each other.
    pub fn ids(&self, partition: u16, generation: u64) -> Result<Vec<u64>, StoreError> {
        self.generation(&self.ids, partition, generation)
    }

    /// Keys of decisions that are over, as [`Store::ids`].
    pub fn over(&self, partition: u16, generation: u64) -> Result<Vec<u64>, StoreError> {
        self.generation(&self.over, partition, generation)
    }

    fn generation(&self, keyspace: &Keyspace, partition: u16, generation: u64) -> Result<Vec<u64>, StoreError> {
        let mut ids: Vec<u64> = vec![];
        for guard in keyspace.prefix(number_key(partition, &[generation])) {
            let (key, value) = guard.into_inner().map_err(self.error("reading"))?;
            let at = key.last_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b)) as usize;
            if at > ids.len() {
                break;
            }
            ids.truncate(at);
            ids.extend(to_words(&value));
        }
        Ok(ids)
    }

    /// All departures noted: (offset, viewer by hash).
    pub fn departures(&self, partition: u16) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut pairs = vec![];
        for guard in self.departures.prefix(partition.to_be_bytes()) {
            let value = guard.value().map_err(self.error("reading"))?;
            let words: Vec<u64> = to_words(&value).collect();
            pairs.extend(words.as_chunks::<2>().0.iter().map(|[offset, viewer]| (*offset, *viewer)));
        }
        Ok(pairs)
    }

    /// What was learnt goes back into a state, with the decisions that are over. The outer error is the store's.
    pub(crate) fn restore_books(
        &self,
        partition: u16,
        books: Books,
        restore: &mut Restore,
    ) -> Result<Result<(), RestoreError>, StoreError> {
        let generation = books.over.0;
        let previous = generation.checked_sub(1).map_or(Ok(vec![]), |before| self.over(partition, before))?;
        let current = self.over(partition, generation)?;
        Ok(restore.books(books, &previous, &current))
    }

    /// Begins a set of changes.
    pub fn change(&self) -> Changes<'_> {
        Changes { store: self, batch: self.db.batch() }
    }

    /// Forgets everything of a partition: its state will be rebuilt from the log.
    pub fn clear(&self, partition: u16) -> Result<(), StoreError> {
        let mut changes = self.change();
        let prefixes = RowKind::ALL.map(|kind| row_prefix(kind, partition));
        for guard in prefixes.iter().flat_map(|p| self.rows.prefix(p)) {
            changes.batch.remove(&self.rows, guard.key().map_err(self.error("reading"))?);
        }
        for keyspace in [&self.ids, &self.over, &self.departures, &self.feedback, &self.books, &self.globals] {
            for guard in keyspace.prefix(partition.to_be_bytes()) {
                changes.batch.remove(keyspace, guard.key().map_err(self.error("reading"))?);
            }
        }
        changes.commit(true)
    }

    #[cfg(test)]
    fn keyspaces(&self) -> [(&'static str, &Keyspace); 7] {
        [
            ("rows", &self.rows),
            ("ids", &self.ids),
            ("over", &self.over),
            ("departures", &self.departures),
            ("feedback", &self.feedback),
            ("books", &self.books),
            ("globals", &self.globals),
        ]
    }

    /// Everything that is stored.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![];
        for (name, keyspace) in self.keyspaces() {
            for guard in keyspace.iter() {
                let (key, value) = guard.into_inner().expect("the store is whole");
                entries.push((name, key.to_vec(), value.to_vec()));
            }
        }
        entries
    }

    /// Puts one entry as it is.
    #[cfg(test)]
    pub(super) fn put(&self, keyspace: &str, key: &[u8], value: &[u8]) {
        let keyspaces = self.keyspaces();
        let (_, keyspace) = keyspaces.iter().find(|(name, _)| *name == keyspace).expect("a keyspace");
        keyspace.insert(key, value).expect("the store takes an entry");
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.db.disk_space().unwrap_or(0)
    }
}

impl Changes<'_> {
    /// Puts a row, or a tombstone's eight bytes.
    pub fn row(&mut self, key: &[u8], bytes: &[u8]) {
        self.batch.insert(&self.store.rows, key, bytes);
    }

    /// Removes a row or tombstone.
    pub fn remove_row(&mut self, key: &[u8]) {
        self.batch.remove(&self.store.rows, key);
    }

    /// Puts remembered ids.
    pub fn ids(&mut self, partition: u16, generation: u64, at: u64, ids: &[u64]) {
        let key = number_key(partition, &[generation, at]);
        self.batch.insert(&self.store.ids, key, to_bytes(ids.iter().copied()));
    }

    /// Puts keys of decisions that are over.
    pub fn over(&mut self, partition: u16, generation: u64, at: u64, keys: &[u64]) {
        let key = number_key(partition, &[generation, at]);
        self.batch.insert(&self.store.over, key, to_bytes(keys.iter().copied()));
    }

    /// Removes a generation of ids.
    pub fn remove_ids(&mut self, partition: u16, generation: u64) -> Result<(), StoreError> {
        self.remove_generation(&self.store.ids, partition, generation)
    }

    /// Removes a generation of keys of decisions that are over.
    pub fn remove_over(&mut self, partition: u16, generation: u64) -> Result<(), StoreError> {
        self.remove_generation(&self.store.over, partition, generation)
    }

    fn remove_generation(&mut self, keyspace: &Keyspace, partition: u16, generation: u64) -> Result<(), StoreError> {
        for guard in keyspace.prefix(number_key(partition, &[generation])) {
            let key = guard.key().map_err(self.store.error("reading"))?;
            self.batch.remove(keyspace, key);
        }
        Ok(())
    }

    /// Puts departures under a number.
    pub fn departures(&mut self, partition: u16, number: u64, pairs: &[(u64, u64)]) {
        let value = to_bytes(pairs.iter().flat_map(|(offset, viewer)| [*offset, *viewer]));
        self.batch.insert(&self.store.departures, number_key(partition, &[number]), value);
    }

    /// Removes the departures whose number is below `end`.
    pub fn remove_departures(&mut self, partition: u16, end: u64) -> Result<(), StoreError> {
        for guard in self.store.departures.range(number_key(partition, &[0])..number_key(partition, &[end])) {
            let key = guard.key().map_err(self.store.error("reading"))?;
            self.batch.remove(&self.store.departures, key);
        }
        Ok(())
    }

    /// Completes a checkpoint.
    pub fn complete(&mut self, partition: u16, globals: &Globals, feedback: &StoredFeedback, books: &Books) {
        let key = partition.to_be_bytes();
        let memory = "memory takes any state";
        self.batch.insert(&self.store.feedback, key, feedback.bytes());
        self.batch.insert(&self.store.books, key, postcard::to_extend(books, vec![]).expect(memory));
        self.batch.insert(&self.store.globals, key, serde_json::to_vec(globals).expect("globals are plain data"));
    }

    /// Puts the changes in as one; on the disk before it returns where `durable`.
    pub fn commit(self, durable: bool) -> Result<(), StoreError> {
        let mode = if durable { PersistMode::SyncAll } else { PersistMode::Buffer };
        self.batch.durability(Some(mode)).commit().map_err(self.store.error("writing"))
    }
}
