//! A file of a checkpoint: [`MAGIC`], then blocks one behind the other. Block: [`FRAME`] bytes, which are kind (`u32`), zeros (`u32`),
//! length (`u64`) and checksum (`u64`), then its bytes. Numbers are little endian.

use super::{READING, StoreError};
use crate::disk;
use std::fs::File;
use std::io::{BufReader, ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: [u8; 8] = *b"sacchk01";
const FRAME: usize = 24;
/// Bytes that may wait to be written to the disk: an fsync of the log that comes meanwhile has to wait for these only.
const UNSYNCED_MAX: u64 = 1 << 20;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// Remembered event ids: generation, place of the first, fingerprints.
    Ids = 1,
    /// Keys of decisions that are over, the same way.
    Over = 2,
    /// Of formats before 9: sessions and the viewers they left.
    Departures = 3,
    /// [`super::rows::Rows`] whose values are offsets.
    Gone = 4,
    /// [`super::rows::Rows`] of state.
    Rows = 5,
    /// What is not per decision, by `postcard`.
    Feedback = 6,
    /// What was learnt, by `postcard`.
    Books = 7,
    /// What is not per key, as JSON: the last block.
    Globals = 8,
    /// [`saccade_topology::Note`]s, in words.
    Notes = 9,
    /// Which file it goes on from: its number, and the hash of its globals.
    Follows = 10,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        use Kind::*;
        [Ids, Over, Departures, Gone, Rows, Feedback, Books, Globals, Notes, Follows]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

fn checksum(kind: u32, parts: &[&[u8]]) -> u64 {
    let mut sum = Xxh3::with_seed(u64::from(kind));
    parts.iter().for_each(|part| sum.update(part));
    sum.digest()
}

/// A file that is being written.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    unsynced: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Writer {
    pub fn create(path: PathBuf) -> Result<Writer, StoreError> {
        let error = StoreError::doing("making", &path);
        let mut file = File::create(&path).map_err(&error)?;
        file.write_all(&MAGIC).map_err(&error)?;
        drop(error);
        Ok(Writer { file, path, unsynced: 0, bytes: MAGIC.len() as u64 })
    }

    /// Appends a block that has these parts.
    pub fn put(&mut self, kind: Kind, parts: [&[u8]; 2]) -> Result<(), StoreError> {
        let error = StoreError::doing("writing", &self.path);
        let (kind, len) = (kind as u32, parts.iter().map(|part| part.len() as u64).sum::<u64>());
        let mut frame = [0; FRAME];
        frame[..4].copy_from_slice(&kind.to_le_bytes());
        frame[8..16].copy_from_slice(&len.to_le_bytes());
        frame[16..].copy_from_slice(&checksum(kind, &parts).to_le_bytes());
        disk::write_all(&self.file, &mut [&frame, parts[0], parts[1]].map(IoSlice::new)).map_err(&error)?;
        self.bytes += FRAME as u64 + len;
        self.unsynced += FRAME as u64 + len;
        if self.unsynced >= UNSYNCED_MAX {
            self.file.sync_data().map_err(error)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// The file is whole, and on the disk under its name.
    pub fn finish(self, name: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::doing("syncing", &self.path))?;
        std::fs::rename(&self.path, name).map_err(StoreError::doing("renaming", &self.path))?;
        name.parent().map_or(Ok(()), |directory| {
            disk::sync_directory(directory).map_err(StoreError::doing("syncing", directory))
        })
    }
}

/// What was found.
pub(super) struct Block {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

/// Reads a file from its beginning.
pub(super) struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    /// Bytes behind this place.
    left: u64,
    /// Kind of the first block that was passed over because it is of none.
    unknown: Option<u32>,
}

impl Reader {
    pub fn open(path: &Path, buffer: usize) -> Result<Reader, StoreError> {
        let error = StoreError::doing(READING, path);
        let file = File::open(path).map_err(&error)?;
        let left = file.metadata().map_err(&error)?.len();
        let mut reader =
            Reader { file: BufReader::with_capacity(buffer, file), path: path.to_path_buf(), left, unknown: None };
        let mut magic = [0; MAGIC.len()];
        reader.fill(&mut magic)?;
        if magic == MAGIC {
            Ok(reader)
        } else {
            Err(reader.damaged("it does not begin as a checkpoint of this format does"))
        }
    }

    pub fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into() }
    }

    /// Damage where a block was passed over that is of no kind: only a newer program writes others.
    pub fn check_kinds(&self) -> Result<(), StoreError> {
        match self.unknown {
            Some(number) => Err(self.damaged(format!("a block is of an unknown kind ({number})"))),
            None => Ok(()),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        match self.file.read_exact(bytes) {
            Ok(()) => self.left = self.left.saturating_sub(bytes.len() as u64),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(self.damaged("it is cut off")),
            Err(error) => return Err(StoreError::doing(READING, &self.path)(error)),
        }
        Ok(())
    }

    /// The next block of a kind that is wanted; none where the file ends. Blocks of other kinds are passed over, unread.
    pub fn next(&mut self, is_wanted: impl Fn(Kind) -> bool) -> Result<Option<Block>, StoreError> {
        while self.left > 0 {
            let mut frame = [0; FRAME];
            self.fill(&mut frame)?;
            let number = |at: usize| frame[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let (len, number_of_kind) = (number(8), number(0) as u32);
            // No more memory than there is in the file, whatever the length says.
            if len > self.left {
                return Err(self.damaged("what should be a block does not begin as one"));
            }
            let kind = Kind::of(number_of_kind);
            if kind.is_none() {
                self.unknown.get_or_insert(number_of_kind);
            }
            if let Some(kind) = kind.filter(|kind| is_wanted(*kind)) {
                let mut bytes = vec![0; len as usize];
                self.fill(&mut bytes)?;
                if checksum(kind as u32, &[&bytes]) != number(16) {
                    return Err(self.damaged(format!("the checksum of a block ({kind:?}) is wrong")));
                }
                return Ok(Some(Block { kind, bytes }));
            }
            self.file.seek_relative(len as i64).map_err(StoreError::doing(READING, &self.path))?;
            self.left -= len;
        }
        Ok(None)
    }
}
