//! The embedded log: entries of all partitions in one row of [segments](segment), so that one fsync covers them all.
//!
//! `append` holds a lock while it writes, `sync` none while it waits for the disk: appending goes on meanwhile. Segments are made ahead, and
//! old ones dropped, by a thread that gives way ([`ahead`]). Nothing is written twice. Offsets are reserved in blocks, on the disk before they
//! are given out: after a power loss that took unsynced records along, the next offset is above all that were given out.

mod ahead;
mod convert;
mod read;
mod recover;
mod segment;
#[cfg(test)]
pub(super) mod tests;

use super::{Bounds, Log, LogError, RecordBatch, VisitEach};
use crate::{clock, config};
use read::Reading;
use saccade_topology::Offset;
use segment::{Entry, Head, Kind, Mark};
use std::fs::{File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// Offsets reserved at once; a restart without a proper stop skips at most this many.
const RESERVED: u64 = 1 << 18;
/// They are reserved again once fewer than this are left.
const RESERVE_BELOW: u64 = RESERVED / 4;
/// Bytes after which the next segment is begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Parts of `log.retention_age` after which the next is begun, however small this one is: what comes seldom goes not much later than it may.
const SEGMENTS_PER_AGE: u32 = 8;

/// The log of a data directory.
pub struct EmbeddedLog {
    files: Arc<Files>,
    /// Since something was appended or a checkpoint told what is needed: who only reads makes and drops nothing.
    ahead: OnceLock<ahead::Ahead>,
    /// Held while the disk is waited for: who comes meanwhile finds what it waits for done, or does it.
    syncing: Mutex<()>,
    partitions: u16,
    /// Locked while this process has the log.
    _lock: File,
}

/// The segments, and what is known of them.
struct Files {
    directory: PathBuf,
    settings: Settings,
    tail: Mutex<Tail>,
}

#[derive(Clone, Copy)]
struct Settings {
    segment_bytes: u64,
    bytes_max: u64,
    age_max: Duration,
    /// Bytes that stay free on the disk.
    spare: u64,
}

/// What there is, and where it ends.
struct Tail {
    /// Heads of all segments, in order; there is at least one.
    segments: Vec<Head>,
    /// The last segment, and how many bytes of it are written.
    file: Arc<File>,
    at: u64,
    marks: Vec<Mark>,
    /// Per partition, the limits of reserved offsets that were met when it was opened: a process began at one of them.
    limits: Vec<Vec<u64>>,
    /// What is on the disk for certain: how far the log, and limits of reserved offsets.
    durable: u64,
    durable_reserved: Vec<u64>,
    /// Segments before the last that may not be on the disk whole.
    unsynced: Vec<Arc<File>>,
    /// Why nothing can be read or written behind the last entry.
    damage: Option<&'static str>,
    /// A write or an fsync failed: what is on the disk is not known any more, and a second try may seem to succeed.
    has_failed: bool,
    /// Per partition, the offset from which on a restart needs the records.
    needed: Vec<u64>,
}

impl Tail {
    fn last(&self) -> &Head {
        self.segments.last().expect("there is at least one segment")
    }

    /// Place behind the last entry.
    fn end(&self) -> u64 {
        self.last().base + self.at
    }

    /// Whether it can still be written.
    fn check(&self) -> std::io::Result<()> {
        let failed = self.has_failed.then_some("writing it failed before; start again");
        self.damage.or(failed).map_or(Ok(()), |what| Err(std::io::Error::other(what)))
    }

    /// Whether a restart needs records of a partition that are before this segment.
    fn needs(&self, segment: &Head, partition: usize) -> bool {
        segment.marks[partition].next > self.needed[partition]
    }

    /// Bytes of a segment that are written.
    fn len(&self, nth: usize) -> u64 {
        self.segments.get(nth + 1).map_or(self.at, |next| next.base - self.segments[nth].base)
    }
}

impl Files {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("no thread panics while it holds the log")
    }

    fn error(&self, what: &'static str) -> impl Fn(std::io::Error) -> LogError + '_ {
        doing(what, &self.directory)
    }
}

/// What an error of the system was met at.
fn doing(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> LogError {
    move |source| LogError::Io { doing, path: path.to_path_buf(), source }
}

/// Takes the data directory for this process.
fn lock(data: &Path) -> Result<File, LogError> {
    let path = data.join("lock");
    let error = doing("locking", &path);
    if !data.is_dir() {
        std::fs::create_dir_all(data).map_err(doing("making the data directory", data))?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(&error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { path: data.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(error(source)),
    }
}

impl EmbeddedLog {
    /// Whether a data directory has one, of this program or one before.
    pub fn exists(data: &Path) -> bool {
        let is_there = |entry: std::fs::DirEntry| entry.file_name() != "making";
        let entries = std::fs::read_dir(data.join("log"));
        entries.is_ok_and(|entries| entries.filter_map(Result::ok).any(is_there))
    }

    /// Opens the log in `data`, or makes it. `wanted` is the number of partitions asked for, if any.
    pub fn open(data: &Path, settings: &config::Log, wanted: Option<u16>) -> Result<Self, LogError> {
        let lock = lock(data)?;
        convert::convert(data)?;
        Self::with(lock, data, settings, wanted, SEGMENT_BYTES)
    }

    fn with(
        lock: File,
        data: &Path,
        settings: &config::Log,
        wanted: Option<u16>,
        segment_bytes: u64,
    ) -> Result<Self, LogError> {
        let age_max = Duration::from_millis(settings.retention_age.0.unsigned_abs());
        let (bytes_max, spare) = (settings.retention_bytes, settings.disk_reserve_bytes);
        let sizes = Settings { segment_bytes, bytes_max, age_max, spare };
        let files = recover::open(data.join("log"), sizes, wanted.unwrap_or(settings.partitions))?;
        let found = files.tail().marks.len() as u16;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(LogError::Partitions { path: data.to_path_buf(), found, wanted });
        }
        let (files, syncing) = (Arc::new(files), Mutex::new(()));
        Ok(EmbeddedLog { files, ahead: OnceLock::new(), syncing, partitions: found, _lock: lock })
    }

    /// Begins the next segment.
    fn roll(&self, tail: &mut Tail) -> Result<(), LogError> {
        let (base, number) = (tail.end(), tail.last().number + 1);
        let file = self.ahead(tail).take().map_err(self.files.error("making a segment of the log in"))?;
        let head = Head { number, base, began_ms: clock::now().0, marks: tail.marks.clone() };
        tail.at = segment::begin(&file, &head).map_err(self.files.error("writing the log in"))?;
        tail.unsynced.push(std::mem::replace(&mut tail.file, Arc::new(file)));
        tail.segments.push(head);
        Ok(())
    }

    /// The thread that makes and drops segments.
    fn ahead(&self, tail: &Tail) -> &ahead::Ahead {
        self.ahead.get_or_init(|| {
            let Settings { segment_bytes, spare, .. } = self.files.settings;
            segment::make_room(&self.files.directory, &tail.file, segment_bytes, spare);
            ahead::Ahead::spawn(Arc::clone(&self.files), tail.last().number + 1)
        })
    }

    fn write(&self, tail: &mut Tail, entry: &Entry<'_>) -> Result<(), LogError> {
        tail.check().map_err(self.files.error("writing the log in"))?;
        self.try_write(tail, entry).inspect_err(|_| tail.has_failed = true)
    }

    fn try_write(&self, tail: &mut Tail, entry: &Entry<'_>) -> Result<(), LogError> {
        self.ahead(tail);
        let Settings { segment_bytes, age_max, .. } = self.files.settings;
        let age = clock::now().0.saturating_sub(tail.last().began_ms).max(0).unsigned_abs();
        if tail.at + segment::size(entry) > segment_bytes || Duration::from_millis(age) > age_max / SEGMENTS_PER_AGE {
            self.roll(tail)?;
        }
        tail.at += segment::write(&tail.file, entry).map_err(self.files.error("writing the log in"))?;
        Ok(())
    }

    /// Notes that offsets below `limit` may have been given out.
    fn note_reserved(&self, tail: &mut Tail, partition: u16, limit: u64) -> Result<(), LogError> {
        let entry = Entry { kind: Kind::Reserved, partition, first: limit, durable: tail.durable, bytes: &[] };
        self.write(tail, &entry)?;
        tail.marks[usize::from(partition)].reserved = limit;
        Ok(())
    }
}

impl Log for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn append(&self, partition: u16, first: Offset, batch: &RecordBatch) -> Result<(), LogError> {
        let (first, next, nth) = (first.0, first.0 + batch.count(), usize::from(partition));
        let mut tail = self.files.tail();
        if next + RESERVE_BELOW > tail.marks[nth].reserved {
            self.note_reserved(&mut tail, partition, next + RESERVED)?;
        }
        if next > tail.durable_reserved[nth] {
            drop(tail);
            self.sync()?;
            tail = self.files.tail();
        }
        let entry = Entry { kind: Kind::Records, partition, first, durable: tail.durable, bytes: batch.bytes() };
        self.write(&mut tail, &entry)?;
        let mark = &mut tail.marks[nth];
        mark.origin.get_or_insert(first);
        mark.next = next;
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        let _one = self.syncing.lock().expect("no thread panics while it syncs the log");
        let (sealed, last, end, reserved) = {
            let mut tail = self.files.tail();
            tail.check().map_err(self.files.error("syncing the log in"))?;
            if tail.durable == tail.end() {
                return Ok(());
            }
            let reserved: Vec<u64> = tail.marks.iter().map(|mark| mark.reserved).collect();
            (std::mem::take(&mut tail.unsynced), Arc::clone(&tail.file), tail.end(), reserved)
        };
        for file in sealed.iter().chain([&last]) {
            // The system tells of a failure once: whoever waits for the same may not be told that all is well.
            let synced = file.sync_data().inspect_err(|_| self.files.tail().has_failed = true);
            synced.map_err(self.files.error("syncing the log in"))?;
        }
        let mut tail = self.files.tail();
        (tail.durable, tail.durable_reserved) = (end, reserved);
        Ok(())
    }

    fn read_each(&self, from: &[(u16, Offset)], visit: VisitEach<'_>) -> Result<(), LogError> {
        Reading::begin(&self.files, from).go_on(&self.files, visit)
    }

    fn bounds(&self, partition: u16) -> Result<Bounds, LogError> {
        let (Mark { origin, next: end, reserved }, kept_from) = {
            let (tail, nth) = (self.files.tail(), usize::from(partition));
            (tail.marks[nth], Offset(tail.segments[0].marks[nth].next))
        };
        let next = end.max(reserved);
        let mut first = next;
        if kept_from.0 != end {
            self.read(partition, kept_from, &mut |offset, _| {
                first = offset.0;
                Ok(ControlFlow::Break(()))
            })?;
        }
        let is_trimmed = origin.is_some_and(|origin| origin < first);
        Ok(Bounds { first: Offset(first), kept_from, next: Offset(next), is_trimmed })
    }

    fn reaches(&self, partition: u16, offset: Offset) -> bool {
        let (tail, nth) = (self.files.tail(), usize::from(partition));
        offset.0 <= tail.marks[nth].next || tail.limits[nth].contains(&offset.0)
    }

    fn needs(&self, partition: u16, from: Offset) {
        let mut tail = self.files.tail();
        tail.needed[usize::from(partition)] = from.0;
        // A server that nothing arrives at drops what is too old all the same.
        self.ahead(&tail);
    }

    fn is_held_by(&self, partition: u16) -> bool {
        let tail = self.files.tail();
        tail.segments.get(1).is_some_and(|next| tail.needs(next, usize::from(partition)))
    }

    fn reserve(&self, partition: u16, limit: Offset) -> Result<(), LogError> {
        // So that the entry says of all before it that it is on the disk.
        self.sync()?;
        self.note_reserved(&mut self.files.tail(), partition, limit.0)?;
        self.sync()
    }

    fn bytes(&self) -> u64 {
        let tail = self.files.tail();
        tail.end() - tail.segments[0].base
    }
}

impl Drop for EmbeddedLog {
    /// Gives back the room that was made ahead.
    fn drop(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            drop(ahead);
            // What is left of it costs room only.
            let _ = self.files.tail.lock().map(|tail| tail.file.set_len(tail.at));
        }
    }
}
