//! Checkpoints of the first format, a fjall database, are written anew once, as one full file per partition.

use super::file::Kind;
use super::{Extent, Rows, Store, StoreError, to_bytes};
use crate::disk::sync_directory;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use saccade_topology::model::Books;
use saccade_topology::{Globals, RowKind};
use std::path::Path;

/// Rows of a block.
const ROWS: usize = 64;

/// Converts what is of that format into `directory`, or finishes what an earlier attempt had begun.
pub(super) fn convert(data: &Path, directory: &Path) -> Result<(), StoreError> {
    let (before, made) = (data.join("state"), data.join("checkpoints.converting"));
    if !before.is_dir() {
        return Ok(());
    }
    if !directory.is_dir() {
        if made.is_dir() {
            std::fs::remove_dir_all(&made).map_err(StoreError::doing("removing", &made))?;
        }
        tracing::info!(path = %before.display(), "the checkpoints are of an earlier format; they are converted once");
        std::fs::create_dir_all(&made).map_err(StoreError::doing("making", &made))?;
        rewrite(&before, &Store { directory: made.clone() })?;
        std::fs::rename(&made, directory).map_err(StoreError::doing("renaming", &made))?;
        sync_directory(data).map_err(StoreError::doing("syncing", data))?;
    }
    std::fs::remove_dir_all(&before).map_err(StoreError::doing("removing", &before))
}

/// Is given key and value of each entry.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

struct Former<'a> {
    path: &'a Path,
    db: Database,
}

impl Former<'_> {
    fn error(&self) -> impl Fn(fjall::Error) -> StoreError {
        let path = self.path.to_path_buf();
        move |source| StoreError::Former { path: path.clone(), source }
    }

    fn keyspace(&self, name: &str) -> Result<Keyspace, StoreError> {
        self.db.keyspace(name, KeyspaceCreateOptions::default).map_err(self.error())
    }

    fn value(&self, keyspace: &str, partition: u16) -> Result<Option<fjall::UserValue>, StoreError> {
        self.keyspace(keyspace)?.get(partition.to_be_bytes()).map_err(self.error())
    }

    /// Visits what is stored under a prefix; keys without it.
    fn each(&self, keyspace: &str, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        for guard in self.keyspace(keyspace)?.prefix(prefix) {
            let (key, value) = guard.into_inner().map_err(self.error())?;
            visit(&key[prefix.len()..], &value)?;
        }
        Ok(())
    }
}

/// Keyspaces: `rows` (kind, partition, key → row, or the eight bytes of a tombstone), `ids` (partition, generation, place → fingerprints),
/// `over` (the same, of decisions that are over), `departures` (partition, number → pairs), `feedback` and `books` (partition →
/// `postcard`), `globals` (partition → JSON). Numbers in keys are big endian.
fn rewrite(path: &Path, to: &Store) -> Result<(), StoreError> {
    let opened = Database::builder(path).worker_threads(1).open();
    let from = Former { path, db: opened.map_err(|source| StoreError::Former { path: path.to_path_buf(), source })? };
    let mut partitions = vec![];
    from.each("globals", &[], &mut |key, globals| {
        partitions.extend(<[u8; 2]>::try_from(key).map(|number| (u16::from_be_bytes(number), globals.to_vec())));
        Ok(())
    })?;
    for (partition, globals) in partitions {
        let mut making = to.begin(partition, true)?;
        let number = partition.to_be_bytes();
        let (feedback, books) = (from.value("feedback", partition)?, from.value("books", partition)?);
        // A checkpoint that was not complete has added some that this one does not know of.
        let newest = serde_json::from_slice::<Globals>(&globals).map_or(u64::MAX, |globals| globals.ids.0);
        let over = books.as_deref().and_then(|bytes| postcard::from_bytes::<Books>(bytes).ok());
        let newest_over = over.map_or(u64::MAX, |books| books.over.0);
        for (name, kind, newest) in [("ids", Kind::Ids, newest), ("over", Kind::Over, newest_over)] {
            from.each(name, &number, &mut |key, ids| {
                let place: Vec<u64> = key.as_chunks::<8>().0.iter().map(|number| u64::from_be_bytes(*number)).collect();
                let is_known = place.first().is_some_and(|generation| *generation <= newest);
                if is_known { making.writer.put(kind, [&to_bytes(place), ids]) } else { Ok(()) }
            })?;
        }
        from.each("departures", &number, &mut |_, pairs| making.writer.put(Kind::Departures, [pairs, &[]]))?;
        let (mut rows, mut gone) = (Rows::default(), Rows::default());
        for kind in RowKind::ALL {
            from.each("rows", &[kind as u8, number[0], number[1]], &mut |key, value| {
                let list = if value.len() == 8 { &mut gone } else { &mut rows };
                list.value().extend_from_slice(value);
                list.close(kind, &String::from_utf8_lossy(key));
                if rows.len() >= ROWS {
                    making.rows(&std::mem::take(&mut rows))?;
                }
                Ok(())
            })?;
        }
        making.rows(&rows)?;
        making.gone(&gone)?;
        making.rest(feedback.as_deref(), books.as_deref(), &globals)?;
        making.writer.finish(&to.path(partition, making.number, Extent::Full))?;
    }
    Ok(())
}

/// Keyspace, key, value.
#[cfg(test)]
pub(in crate::engine) type Entry = (String, Vec<u8>, Vec<u8>);

/// Puts entries where that format had them.
#[cfg(test)]
pub(in crate::engine) fn write_former(data: &Path, entries: &[Entry]) {
    let db = Database::builder(data.join("state")).open().expect("a database");
    for (keyspace, key, value) in entries {
        let keyspace = db.keyspace(keyspace, KeyspaceCreateOptions::default).expect("a keyspace");
        keyspace.insert(key, value).expect("it takes an entry");
    }
}
