//! The checkpoint store: files in the directory `checkpoints`, a new one with each checkpoint of a partition.
//!
//! A file is *full*: it has all that is alive; or it has what *changed* since the file before it. A checkpoint is the newest file, those it
//! goes on from, and the full one at their end. Of each key the entry with the greatest `as_of` counts, be it a row or a tombstone; a row and
//! a tombstone of one `as_of` are of what ended while the checkpoint was made, and in later ones of nothing. Ids go on from those of the
//! files before. What is not per key, and the notes, are those of the newest file. A file names the one it goes on from, so that none can be
//! taken out of between unseen.
//!
//! While it is written a file is named `PARTITION-NUMBER.making`; whole and on the disk, `.full` or `.changes`. So it is there or not, all of
//! it. What a full one makes superfluous is then removed. It is due when the files that go on from one are as large as that.

mod convert;
mod file;
mod rows;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use convert::write_former;
pub use rows::Rows;
use rows::read_key;
pub(super) use rows::{Giver, spare};

use crate::disk::sync_directory;
use crate::log::free_bytes;
use file::{Block, Kind, Reader, Writer};
use saccade_topology::model::Books;
use saccade_topology::{
    CHECKPOINT_FORMAT, Globals, Note, Offset, Plan, Restore, RestoreError, RowKind, StoredFeedback,
};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Files that may go on from a full one.
const CHANGES_MAX: usize = 64;
/// Bytes that a removed key counts for, when it is decided whether a full file is due: a restart keeps each in memory.
const GONE_BYTES: u64 = 256;

/// Bytes read at once of a file, and where most of it is passed over.
const READ_BYTES: usize = 1 << 20;
const SKIM_BYTES: usize = 4 << 10;

/// Where checkpoints are put that could not be gone on from, in the directory of the others.
const ASIDE: &str = "set-aside";

/// What is done to files that are there.
const READING: &str = "reading";

/// A checkpoint store that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be written or read.
    #[error("{doing} {path}: {source}{}", to_do(doing, path, source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Checkpoints of an earlier format cannot be read.
    #[error(
        "converting the checkpoints in {path}: {source}; the log is whole without them: move {path} away and start again, the state is then rebuilt from the log"
    )]
    Former {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: fjall::Error,
    },
    /// The disk has to keep what is left for the log.
    #[error("the disk of {path} has {free} bytes free, and {needed} have to be")]
    NoRoom {
        /// The directory of the files.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that would not be taken, with those that are to be written.
        needed: u64,
    },
    /// A file is not what was written.
    #[error(
        "the checkpoint in {path} is damaged: {what}; move {path} away and start again: the state is then rebuilt from the log, where that has all records"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What helps where a file cannot be read; one that cannot be written would not be written after a start without it either.
fn to_do(doing: &str, path: &Path, source: &std::io::Error) -> String {
    match doing == READING {
        true if source.kind() == std::io::ErrorKind::PermissionDenied => {
            "; give the user that runs the server access to it".into()
        }
        true => {
            let path = path.display();
            format!(
                "; move {path} away and start again: the state is then rebuilt from the log, where that has all records"
            )
        }
        false => String::new(),
    }
}

impl StoreError {
    fn doing(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StoreError {
        move |source| StoreError::Io { doing, path: path.to_path_buf(), source }
    }

    /// Whether this process may not read or write it.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
    }

    /// Whether it is for want of room: what was written before is as it was, and there may be room later.
    pub(super) fn is_for_room(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            StoreError::NoRoom { .. } => true,
            StoreError::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge),
            StoreError::Former { .. } | StoreError::Damaged { .. } => false,
        }
    }
}

/// The store of a data directory.
pub struct Store {
    directory: PathBuf,
}

/// What a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All that is alive.
    Full,
    /// What changed since the one before.
    Changes,
    /// It is not whole.
    Making,
}

impl Extent {
    fn suffix(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Changes => "changes",
            Extent::Making => "making",
        }
    }
}

/// The files of a checkpoint, by what they take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    /// Bytes of the full one.
    full: u64,
    /// Bytes of those that go on from it, how many they are, and what removed keys add.
    changes: u64,
    count: usize,
    gone: u64,
    /// The newest: its number, and the hash of its globals.
    newest: Option<[u64; 2]>,
}

impl Chain {
    /// Bytes that a full file takes, as far as is known.
    pub(super) fn full_bytes(&self) -> u64 {
        self.full
    }

    /// Whether the next file has to be full.
    pub fn is_full_due(&self) -> bool {
        self.changes + self.gone >= self.full || self.count >= CHANGES_MAX
    }
}

impl Store {
    /// Opens the store in `data`, or makes it.
    pub fn open(data: &Path) -> Result<Store, StoreError> {
        let directory = data.join("checkpoints");
        convert::convert(data, &directory)?;
        if !directory.is_dir() {
            std::fs::create_dir_all(&directory).map_err(StoreError::doing("making", &directory))?;
            sync_directory(data).map_err(StoreError::doing("syncing", data))?;
        }
        Ok(Store { directory })
    }

    /// Whether a data directory has one.
    pub fn exists(data: &Path) -> bool {
        data.join("checkpoints").is_dir() || data.join("state").is_dir()
    }

    fn path(&self, partition: u16, number: u64, extent: Extent) -> PathBuf {
        self.directory.join(format!("{partition:05}-{number:012}.{}", extent.suffix()))
    }

    /// All files of a partition, in order.
    fn files(&self, partition: u16) -> Result<Vec<(u64, Extent)>, StoreError> {
        let error = StoreError::doing(READING, &self.directory);
        let mut files = vec![];
        for entry in std::fs::read_dir(&self.directory).map_err(&error)? {
            let name = entry.map_err(&error)?.file_name();
            files.extend(
                name.to_str().and_then(read_name).filter(|(of, ..)| *of == partition).map(|(_, n, extent)| (n, extent)),
            );
        }
        files.sort_unstable_by_key(|(number, _)| *number);
        Ok(files)
    }

    /// The last checkpoint of a partition: all of it but the rows is read.
    pub fn checkpoint(&self, partition: u16) -> Result<Option<Stored>, StoreError> {
        let files = self.files(partition)?.into_iter().filter(|(_, extent)| *extent != Extent::Making);
        let mut files: Vec<_> = files.collect();
        let Some(full) = files.iter().rposition(|(_, extent)| *extent == Extent::Full) else { return Ok(None) };
        files.drain(..full);
        let mut stored = Stored::default();
        for (number, extent) in files {
            let path = self.path(partition, number, extent);
            stored.add(number, extent, &path)?;
            stored.files.push(path);
        }
        stored.chain.gone = GONE_BYTES * stored.gone.len() as u64;
        Ok(Some(stored))
    }

    /// Begins a file.
    pub fn begin(&self, partition: u16, is_full: bool) -> Result<Making, StoreError> {
        let number = self.files(partition)?.last().map_or(0, |(number, _)| number + 1);
        self.remove_unfinished(partition)?;
        let writer = Writer::create(self.path(partition, number, Extent::Making))?;
        let extent = if is_full { Extent::Full } else { Extent::Changes };
        Ok(Making { partition, number, extent, writer, gone: 0 })
    }

    /// Whether the disk has so many bytes free.
    pub fn check_room(&self, needed: u64) -> Result<(), StoreError> {
        let free = free_bytes(&self.directory);
        if free < needed { Err(StoreError::NoRoom { path: self.directory.clone(), free, needed }) } else { Ok(()) }
    }

    /// Removes what was begun and not completed.
    pub fn remove_unfinished(&self, partition: u16) -> Result<(), StoreError> {
        let mut files = self.files(partition)?.into_iter().filter(|(_, extent)| *extent == Extent::Making);
        files.try_for_each(|(number, _)| self.remove(partition, number, Extent::Making))
    }

    fn remove(&self, partition: u16, number: u64, extent: Extent) -> Result<(), StoreError> {
        let path = self.path(partition, number, extent);
        std::fs::remove_file(&path).map_err(StoreError::doing("removing", &path))
    }

    /// Completes a checkpoint: once it returns, a restart has it. `chain` are the files it goes on from; gives those there are now.
    pub fn complete(
        &self,
        mut made: Making,
        globals: &Globals,
        feedback: &StoredFeedback,
        books: &Books,
        chain: Chain,
    ) -> Result<Chain, StoreError> {
        let globals = serde_json::to_vec(globals).expect("globals are plain data");
        let newest = Some([made.number, xxh3_64(&globals)]);
        if let Some(before) = chain.newest.filter(|_| made.extent == Extent::Changes) {
            made.writer.put(Kind::Follows, [&to_bytes(before), &[]])?;
        }
        let books = postcard::to_allocvec(books).expect("memory takes any state");
        made.rest(Some(feedback.bytes()), Some(&books), &globals)?;
        let Making { partition, number, extent, writer, gone } = made;
        let bytes = writer.bytes;
        writer.finish(&self.path(partition, number, extent))?;
        if extent == Extent::Changes {
            return Ok(Chain {
                changes: chain.changes + bytes,
                count: chain.count + 1,
                gone: chain.gone + gone,
                newest,
                ..chain
            });
        }
        for (before, extent) in self.files(partition)?.into_iter().filter(|(before, _)| *before < number) {
            self.remove(partition, before, extent)?;
        }
        Ok(Chain { full: bytes, gone, newest, ..Chain::default() })
    }

    /// Puts everything of a partition aside, in place of what was before: its state is rebuilt from the log. The oldest goes first: what a full
    /// one is missing of is none, and an older checkpoint may need records that the log has dropped since.
    pub fn set_aside(&self, partition: u16) -> Result<(), StoreError> {
        self.remove_unfinished(partition)?;
        let files = self.files(partition)?;
        if files.is_empty() {
            return Ok(());
        }
        let aside = Store { directory: self.directory.join(ASIDE) };
        let error = StoreError::doing("setting aside the checkpoint in", &self.directory);
        std::fs::create_dir_all(&aside.directory).map_err(&error)?;
        for (number, extent) in aside.files(partition)? {
            aside.remove(partition, number, extent)?;
        }
        for (number, extent) in files {
            let to = aside.path(partition, number, extent);
            std::fs::rename(self.path(partition, number, extent), to).map_err(&error)?;
        }
        Ok(())
    }

    /// Whether there is a whole checkpoint of a partition, of whatever program.
    pub fn has(&self, partition: u16) -> Result<bool, StoreError> {
        Ok(self.files(partition)?.iter().any(|(_, extent)| *extent == Extent::Full))
    }
}

/// Partition, number and extent of a file.
fn read_name(name: &str) -> Option<(u16, u64, Extent)> {
    let (numbers, suffix) = name.split_once('.')?;
    let (partition, number) = numbers.split_once('-')?;
    let extent =
        [Extent::Full, Extent::Changes, Extent::Making].into_iter().find(|extent| extent.suffix() == suffix)?;
    Some((partition.parse().ok()?, number.parse().ok()?, extent))
}

/// A file that is being written.
pub struct Making {
    partition: u16,
    number: u64,
    extent: Extent,
    writer: Writer,
    /// What its removed keys count for.
    gone: u64,
}

impl Making {
    /// Puts remembered ids, and where they begin.
    pub fn ids(&mut self, generation: u64, at: u64, ids: &[u64]) -> Result<(), StoreError> {
        self.writer.put(Kind::Ids, [&to_bytes([generation, at]), &to_bytes(ids.iter().copied())])
    }

    /// Puts keys of decisions that are over.
    pub fn over(&mut self, generation: u64, at: u64, keys: &[u64]) -> Result<(), StoreError> {
        self.writer.put(Kind::Over, [&to_bytes([generation, at]), &to_bytes(keys.iter().copied())])
    }

    /// Puts notes.
    pub fn notes(&mut self, notes: &[Note]) -> Result<(), StoreError> {
        self.writer.put(Kind::Notes, [&to_bytes(notes.iter().flat_map(|note| note.words())), &[]])
    }

    /// Puts rows.
    pub fn rows(&mut self, rows: &Rows) -> Result<(), StoreError> {
        let (bytes, places) = rows.parts();
        self.writer.put(Kind::Rows, [bytes, &places])
    }

    /// Puts tombstones: rows whose values are offsets.
    pub fn gone(&mut self, rows: &Rows) -> Result<(), StoreError> {
        self.gone += GONE_BYTES * rows.len() as u64;
        let (bytes, places) = rows.parts();
        self.writer.put(Kind::Gone, [bytes, &places])
    }

    fn rest(&mut self, feedback: Option<&[u8]>, books: Option<&[u8]>, globals: &[u8]) -> Result<(), StoreError> {
        for (kind, bytes) in [(Kind::Feedback, feedback), (Kind::Books, books), (Kind::Globals, Some(globals))] {
            bytes.map_or(Ok(()), |bytes| self.writer.put(kind, [bytes, &[]]))?;
        }
        Ok(())
    }
}

fn to_bytes(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn to_words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b))
}

/// Fingerprints of the last two generations that have any, by their numbers.
#[derive(Default)]
struct Generations([(u64, Vec<u64>); 2]);

impl Generations {
    /// Adds what goes on from those before; `None` where something between is missing.
    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let mut words = to_words(bytes);
        let (generation, at) = (words.next()?, words.next()? as usize);
        if generation > self.0[1].0 {
            self.0.swap(0, 1);
            self.0[1] = (generation, vec![]);
        }
        let (newest, ids) = &mut self.0[1];
        if generation != *newest || at > ids.len() {
            return None;
        }
        ids.truncate(at);
        ids.extend(words);
        Some(())
    }

    fn of(&self, generation: u64) -> &[u64] {
        self.0.iter().rev().find(|(number, _)| *number == generation).map_or(&[], |(_, ids)| ids)
    }

    /// Those of the generation before this one, and of this.
    fn until(&self, generation: u64) -> [&[u64]; 2] {
        [generation.checked_sub(1).map_or(&[], |before| self.of(before)), self.of(generation)]
    }
}

/// A checkpoint that is there.
#[derive(Default)]
pub struct Stored {
    /// Its files, oldest first.
    files: Vec<PathBuf>,
    /// What they take.
    pub chain: Chain,
    globals: Option<Globals>,
    feedback: Vec<u8>,
    books: Vec<u8>,
    ids: Generations,
    over: Generations,
    notes: Vec<Note>,
    /// Kind and key of what was removed, and the offset its removal is contained in.
    gone: HashMap<Box<[u8]>, u64>,
}

impl Stored {
    /// What the file adds, but for its rows.
    fn add(&mut self, number: u64, extent: Extent, path: &Path) -> Result<(), StoreError> {
        let mut reader = Reader::open(path, SKIM_BYTES)?;
        (self.globals, self.feedback, self.books) = Default::default();
        let mut newest = None;
        self.notes.clear();
        while let Some(Block { kind, bytes }) = reader.next(|kind| kind != Kind::Rows)? {
            let damaged = |what: &str| reader.damaged(what);
            match kind {
                Kind::Ids => self.ids.add(&bytes).ok_or_else(|| damaged("event ids are missing"))?,
                Kind::Over => self.over.add(&bytes).ok_or_else(|| damaged("keys of decisions are missing"))?,
                Kind::Notes => {
                    let words: Vec<u64> = to_words(&bytes).collect();
                    let notes: Option<Vec<Note>> =
                        words.as_chunks::<4>().0.iter().map(|words| Note::of(*words)).collect();
                    self.notes.extend(notes.ok_or_else(|| damaged("a note is none"))?);
                }
                Kind::Gone => {
                    let rows = Rows::from_bytes(bytes).ok_or_else(|| damaged("tombstones are none"))?;
                    for (key, value) in rows.entries() {
                        let as_of = as_of(value).ok_or_else(|| damaged("a tombstone is none"))?;
                        let known = self.gone.entry(key.into()).or_default();
                        *known = as_of.max(*known);
                    }
                }
                Kind::Rows | Kind::Departures => {}
                // Files of before have none.
                Kind::Follows if self.chain.newest.is_none_or(|newest| bytes != to_bytes(newest)) => {
                    return Err(damaged("the file that it goes on from is missing, or is another"));
                }
                Kind::Follows => {}
                Kind::Feedback => self.feedback = bytes,
                Kind::Books => self.books = bytes,
                Kind::Globals => {
                    newest = Some([number, xxh3_64(&bytes)]);
                    self.globals = Some(serde_json::from_slice(&bytes).map_err(|e| damaged(&e.to_string()))?);
                }
            }
        }
        match &self.globals {
            None => return Err(reader.damaged("its end is missing")),
            // What is of a newer format is told as that, once the state is put back.
            Some(globals) if globals.format <= CHECKPOINT_FORMAT => reader.check_kinds()?,
            Some(_) => {}
        }
        self.chain.newest = newest;
        let bytes = std::fs::metadata(path).map_err(StoreError::doing(READING, path))?.len();
        match extent {
            Extent::Full => self.chain.full = bytes,
            _ => (self.chain.changes, self.chain.count) = (self.chain.changes + bytes, self.chain.count + 1),
        }
        Ok(())
    }

    /// What is not per key.
    pub fn globals(&self) -> &Globals {
        self.globals.as_ref().expect("each file has them")
    }

    /// How many of the event ids that it should have are not there.
    pub fn missing_ids(&self) -> u64 {
        let (generation, count) = self.globals().ids;
        count.saturating_sub(self.ids.of(generation).len() as u64)
    }

    /// Begins to put the state back, up to the rows. The inner error is where it is of another configuration or format.
    pub(crate) fn restore(&self, plan: &Arc<Plan>) -> Result<Result<Begun, RestoreError>, StoreError> {
        let globals = self.globals();
        let [previous, current] = self.ids.until(globals.ids.0);
        let mut restore = match Restore::new(Arc::clone(plan), globals, previous, current) {
            Ok(restore) => restore,
            Err(why) => return Ok(Err(why)),
        };
        if !self.feedback.is_empty() {
            let feedback =
                StoredFeedback::from_bytes(self.feedback.clone()).map_err(|e| self.damaged(e.to_string()))?;
            restore.feedback(&feedback);
        }
        let books = self.books()?;
        let until = self.end(&books);
        let over = books.over;
        let [previous, current] = self.over.until(over.0);
        let dropped = match restore.books(books, previous, current) {
            Ok(dropped) => dropped,
            Err(why) => return Ok(Err(why)),
        };
        restore.notes(&self.notes);
        Ok(Ok(Begun { restore, over, until, dropped }))
    }

    fn books(&self) -> Result<Books, StoreError> {
        match &self.books[..] {
            [] => Ok(Books::default()),
            bytes => postcard::from_bytes(bytes).map_err(|e| self.damaged(e.to_string())),
        }
    }

    /// Nothing in it knows of records from here on: its globals are as it began, its books as late as any of its rows. Of another format only
    /// the globals are known.
    pub fn until(&self) -> Result<Offset, StoreError> {
        let Globals { format, offset, .. } = *self.globals();
        if format == CHECKPOINT_FORMAT { Ok(self.end(&self.books()?)) } else { Ok(Offset(offset)) }
    }

    fn end(&self, books: &Books) -> Offset {
        Offset(books.as_of.max(self.globals().offset))
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.files.last().cloned().unwrap_or_default(), what }
    }

    /// Visits the rows, newest files first, and gives the tombstones that catching up has to know: kind and key, and the offset. Of a key
    /// that is in several files the first row counts.
    pub fn rows(self, visit: &mut dyn FnMut(Rows)) -> Result<Vec<(RowKind, String, u64)>, StoreError> {
        let from = self.globals().offset;
        let mut came_back: HashSet<Box<[u8]>> = HashSet::new();
        for path in self.files.iter().rev() {
            let mut reader = Reader::open(path, READ_BYTES)?;
            while let Some(Block { bytes, .. }) = reader.next(|kind| kind == Kind::Rows)? {
                let mut rows = Rows::from_bytes(bytes).ok_or_else(|| reader.damaged("rows are none"))?;
                if !self.gone.is_empty() {
                    rows.retain(|key, value| match (self.gone.get(key), as_of(value)) {
                        (Some(gone), Some(as_of)) if *gone > as_of => false,
                        // Its last row, of a decision that ended while the checkpoint was made, or one before it.
                        (Some(gone), Some(as_of)) if *gone == as_of => as_of > from,
                        (Some(_), _) => {
                            came_back.insert(key.into());
                            true
                        }
                        (None, _) => true,
                    });
                }
                visit(rows);
            }
            reader.check_kinds()?;
        }
        let gone = self.gone.iter().filter(|(key, as_of)| **as_of > from && !came_back.contains(*key));
        Ok(gone.filter_map(|(key, as_of)| read_key(key).map(|(kind, key)| (kind, key.to_string(), *as_of))).collect())
    }
}

/// A state that waits for its rows.
pub(crate) struct Begun {
    pub restore: Restore,
    /// Where the stored keys of decisions that are over stand.
    pub over: (u64, u64),
    /// Nothing that is stored knows of records from here on.
    pub until: Offset,
    /// Models that are not configured any more, and their decisions.
    pub dropped: Vec<(String, u64)>,
}

/// A row or tombstone begins with the offset up to which it contains the log.
fn as_of(value: &[u8]) -> Option<u64> {
    value.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Writes other rows where `change` gives some, in all files of a partition.
#[cfg(test)]
pub(crate) fn edit(data: &Path, partition: u16, change: impl Fn(RowKind, &[u8]) -> Option<Vec<u8>>) {
    let store = Store::open(data).expect("the store opens");
    let mut count = 0;
    for (number, extent) in store.files(partition).expect("it is read") {
        let path = store.path(partition, number, extent);
        let mut reader = Reader::open(&path, READ_BYTES).expect("it is there");
        let mut writer = Writer::create(path.with_extension("making")).expect("there is room");
        while let Some(Block { kind, bytes }) = reader.next(|_| true).expect("it is whole") {
            let mut rows = Rows::default();
            if kind == Kind::Rows {
                for (kind, key, value) in Rows::from_bytes(bytes.clone()).expect("rows").iter() {
                    let changed = change(kind, value);
                    count += u64::from(changed.is_some());
                    rows.value().extend_from_slice(changed.as_deref().unwrap_or(value));
                    rows.close(kind, key);
                }
            }
            let (values, places) = rows.parts();
            let parts: [&[u8]; 2] = if kind == Kind::Rows { [values, &places] } else { [&bytes, &[]] };
            writer.put(kind, parts).expect("there is room");
        }
        writer.finish(&path).expect("there is room");
    }
    assert!(count > 0, "there is a row to change");
}
