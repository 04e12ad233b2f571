//! Opens what is in the directory of a log: finds its end, cuts off what was torn, makes it where there is none.

use super::segment::{self, Found, HEAD_READ_BYTES, Head, Kind, Mark, READ_BYTES, Reader};
use super::{Files, Settings, Tail, doing};
use crate::clock;
use crate::disk::sync_directory;
use crate::log::{LogError, RecordBatch};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const NOT_BEGUN: &str = "it was never begun";
const NOTHING: &str = "nothing is where an entry should be";

/// A segment as it was read.
struct Scanned {
    head: Head,
    /// What is known of partitions behind its last whole entry, and where in the file that is.
    marks: Vec<Mark>,
    /// Per partition, all limits of reserved offsets in it.
    limits: Vec<Vec<u64>>,
    at: u64,
    /// What is there instead of a further entry, if that is not nothing.
    broken: Option<&'static str>,
}

impl Scanned {
    /// Place in the log behind its last whole entry.
    fn end(&self) -> u64 {
        self.head.base + self.at
    }
}

/// Opens the log in `directory`, or makes it with so many partitions.
pub(super) fn open(directory: PathBuf, settings: Settings, partitions: u16) -> Result<Files, LogError> {
    std::fs::create_dir_all(&directory).map_err(doing("making directory", &directory))?;
    let tail = match recover(&directory)? {
        Some(tail) => tail,
        None => make(&directory, vec![Mark::default(); usize::from(partitions)])?,
    };
    Ok(Files { directory, settings, tail: Mutex::new(tail) })
}

/// Makes a log that begins with what is known of its partitions.
pub(super) fn make(directory: &Path, marks: Vec<Mark>) -> Result<Tail, LogError> {
    let error = doing("making the log in", directory);
    let head = Head { number: 1, base: 0, began_ms: clock::now().0, marks: marks.clone() };
    // It has its name once it is whole.
    let (made, path) = (directory.join("making"), segment::path(directory, head.number));
    let file = File::create(&made).map_err(&error)?;
    let at = segment::begin(&file, &head).and_then(|at| file.sync_all().map(|()| at)).map_err(&error)?;
    std::fs::rename(&made, &path).and_then(|()| sync_directory(directory)).map_err(&error)?;
    directory.parent().map_or(Ok(()), sync_directory).map_err(&error)?;
    let limits = limits_of(&marks);
    Ok(tail_of(vec![head], file, at, marks, limits, None))
}

/// Reads a segment to its end, or says why it cannot be one; and how far its entries, wherever they begin, say that the log was durable.
fn scan(path: &Path) -> io::Result<(Result<Scanned, &'static str>, u64)> {
    let (head, mut reader) = match Reader::open(path, READ_BYTES)? {
        Some(Ok(opened)) => opened,
        unread => {
            let what = unread.map_or(NOT_BEGUN, |read| read.map_or_else(|what| what, |_| NOTHING));
            return Ok((Err(what), segment::durable_behind(path, 0, u64::MAX)?));
        }
    };
    let (mut marks, mut durable) = (head.marks.clone(), 0);
    let mut limits = limits_of(&marks);
    let (at, broken) = loop {
        let at = reader.at;
        let entry = match reader.next()? {
            Found::Entry(entry) => entry,
            Found::End => break (at, None),
            Found::Broken(what) => break (at, Some(what)),
        };
        let Some(mark) = marks.get_mut(usize::from(entry.partition)) else {
            break (at, Some("an entry is of a partition that there is not"));
        };
        durable = durable.max(entry.durable);
        match entry.kind {
            Kind::Reserved => {
                mark.reserved = entry.first;
                limits[usize::from(entry.partition)].push(entry.first);
            }
            Kind::Records => {
                let next = entry.first.checked_add(RecordBatch::records(entry.bytes).count() as u64);
                let Some(next) = next else { break (at, Some("an offset is beyond all numbers")) };
                (mark.origin, mark.next) = (mark.origin.or(Some(entry.first)), next);
            }
        }
    };
    durable = durable.max(segment::durable_behind(path, at, head.base)?);
    Ok((Ok(Scanned { head, marks, limits, at, broken }), durable))
}

fn limits_of(marks: &[Mark]) -> Vec<Vec<u64>> {
    marks.iter().map(|mark| vec![mark.reserved]).collect()
}

/// Finds the end: of what may not have been on the disk, the entries before the first that is not whole. None where there is no log.
fn recover(directory: &Path) -> Result<Option<Tail>, LogError> {
    let mut seen = vec![];
    let mut durable = 0;
    for number in segment::numbers(directory).map_err(doing("opening", directory))?.into_iter().rev() {
        let path = segment::path(directory, number);
        let (scanned, says) = scan(&path).map_err(doing("reading", &path))?;
        durable = durable.max(says);
        // All before such a one was on the disk.
        let is_enough = scanned.as_ref().is_ok_and(|scanned| scanned.head.base <= durable);
        seen.push((path, scanned));
        if is_enough {
            break;
        }
    }
    let mut seen = seen.into_iter().rev();
    let mut last = match seen.next() {
        None => return Ok(None),
        Some((_, Ok(first))) => first,
        Some((path, Err(what))) => return Err(doing("reading", &path)(io::Error::other(what))),
    };
    let mut broken = last.broken;
    for (path, scanned) in seen {
        match scanned {
            Ok(next) if broken.is_none() && next.head.base == last.end() && next.head.marks == last.marks => {
                // Of a process that was killed: it is whole, but maybe not on the disk.
                let before = segment::path(directory, last.head.number);
                File::open(&before).and_then(|file| file.sync_all()).map_err(doing("syncing", &path))?;
                let limits = joined(last.limits, next.limits);
                (broken, last) = (next.broken, Scanned { limits, ..next });
            }
            scanned => {
                broken = broken.or(scanned.err());
                break;
            }
        }
    }
    let damage = (durable > last.end()).then(|| broken.unwrap_or(NOTHING));
    tail(directory, last, damage).map(Some)
}

/// Goes on behind what was read last.
fn tail(directory: &Path, last: Scanned, damage: Option<&'static str>) -> Result<Tail, LogError> {
    let path = segment::path(directory, last.head.number);
    let error = doing("opening", &path);
    let mut file = File::options().write(true).open(&path).map_err(&error)?;
    let mut segments = vec![];
    for number in segment::numbers(directory).map_err(doing("opening", directory))? {
        let path = segment::path(directory, number);
        if number < last.head.number {
            match Reader::open(&path, HEAD_READ_BYTES).map_err(doing("reading", &path))? {
                Some(Ok((head, _))) if head.fits(&last.head, number, &segments) => segments.push(head),
                opened => {
                    let what = opened.map_or(NOT_BEGUN, |opened| opened.err().unwrap_or("its head is of another log"));
                    // Whoever reads on behind the one before it is told at which offset.
                    if segments.is_empty() {
                        return Err(doing("reading", &path)(io::Error::other(what)));
                    }
                    tracing::warn!(path = %path.display(), what, "a segment of the log is damaged");
                }
            }
        } else if number > last.head.number && damage.is_none() {
            std::fs::remove_file(&path).map_err(doing("removing", &path))?;
        }
    }
    sync_directory(directory).map_err(doing("syncing", directory))?;
    if damage.is_none() {
        // What is behind the end may never be found again.
        file.set_len(last.at).and_then(|()| file.sync_all()).map_err(&error)?;
    }
    file.seek(SeekFrom::Start(last.at)).map_err(&error)?;
    segments.push(last.head);
    Ok(tail_of(segments, file, last.at, last.marks, last.limits, damage))
}

/// The limits of both, by partition.
fn joined(mut before: Vec<Vec<u64>>, behind: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    before.iter_mut().zip(behind).for_each(|(before, behind)| before.extend(behind));
    before
}

/// A log that is on the disk up to `at` in its last segment.
fn tail_of(
    segments: Vec<Head>,
    file: File,
    at: u64,
    marks: Vec<Mark>,
    limits: Vec<Vec<u64>>,
    damage: Option<&'static str>,
) -> Tail {
    let durable = segments.last().map_or(0, |head| head.base) + at;
    let durable_reserved = marks.iter().map(|mark| mark.reserved).collect();
    let (file, needed) = (Arc::new(file), vec![0; marks.len()]);
    Tail {
        segments,
        file,
        at,
        marks,
        limits,
        durable,
        durable_reserved,
        unsynced: vec![],
        damage,
        has_failed: false,
        needed,
    }
}
