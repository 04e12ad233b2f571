//! The files of the embedded log: a head, then entries one behind the other, each with a checksum.
//!
//! A **segment** is written from its beginning to its end and never changed. Its bytes have places in the whole log, `base` that of its
//! first. Head: [`MAGIC`], length (`u32`), a [`Head`] by `postcard`, checksum (`u64`). Entry: [`FRAME`] bytes, its bytes, zeros up to a
//! multiple of [`ALIGN`]. Numbers are little endian. A file that begins with zeros was made ahead and not begun.
//!
//! An entry that is not whole is the torn end of the log if it can have been written after the last fsync, and damage if not: each entry
//! says how far the log was known to be on the disk when it was written.

use crate::disk::{self, sync_directory};
use crate::log::free_bytes;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 8] = *b"saccade1";
/// Bytes that begin an entry: mark, length, first offset, how far the log was durable, partition, kind, checksum.
const FRAME: usize = 40;
const MARK: [u8; 4] = *b"\x5a\xcc\xad\xe1";
const ALIGN: usize = 8;
/// Bytes read from a file at once; where only its head is read.
pub(super) const READ_BYTES: usize = 256 << 10;
pub(super) const HEAD_READ_BYTES: usize = 4 << 10;
/// Bytes of a head, at most: there are at most 2^16 partitions.
const HEAD_BYTES_MAX: u32 = 4 << 20;

/// What is known of a partition where a segment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Mark {
    /// Offset of the very first record.
    pub origin: Option<u64>,
    /// Offset behind the last record.
    pub next: u64,
    /// Offsets below this may have been given out.
    pub reserved: u64,
}

/// What a segment begins with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    pub number: u64,
    pub base: u64,
    /// When it was begun, epoch ms: no record before it is younger.
    pub began_ms: i64,
    pub marks: Vec<Mark>,
}

impl Head {
    /// Whether it can be that of segment `number`, behind those before it, of the log that ends with `last`.
    pub fn fits(&self, last: &Head, number: u64, before: &[Head]) -> bool {
        let begin = before.last().map_or(0, |head| head.base);
        self.number == number && self.marks.len() == last.marks.len() && (begin..=last.base).contains(&self.base)
    }
}

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    /// A batch of records.
    Records = 1,
    /// No records: offsets below `first` may be given out from now on, those from it on are not.
    Reserved = 2,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub kind: Kind,
    pub partition: u16,
    pub first: u64,
    /// How far the log was known to be on the disk.
    pub durable: u64,
    pub bytes: &'a [u8],
}

/// Bytes that an entry takes.
pub(super) fn size(entry: &Entry<'_>) -> u64 {
    let len = entry.bytes.len();
    (FRAME + len + padding(len)) as u64
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(ALIGN) - len
}

/// The file of a segment.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.segment"))
}

/// Numbers of the segments in a directory, in order.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = vec![];
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".segment")?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes the file of a segment, not begun, with [room](make_room).
pub(super) fn make(directory: &Path, number: u64, bytes: u64, spare: u64) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).open(path(directory, number))?;
    make_room(directory, &file, bytes, spare);
    file.sync_all()?;
    sync_directory(directory)?;
    Ok(file)
}

/// Room for `bytes` in advance, where that leaves `spare` free: appending then changes no size, and the disk is not full in the middle. Without
/// it, the file grows with what is written.
pub(super) fn make_room(directory: &Path, file: &File, bytes: u64, spare: u64) {
    // Asked for more than there is, a file system takes all there is, and who writes meanwhile finds the disk full.
    if free_bytes(directory) < bytes.saturating_add(spare) {
        return;
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Writes the head into a file that was made; gives the bytes that it takes.
pub(super) fn begin(mut file: &File, head: &Head) -> io::Result<u64> {
    let head = postcard::to_allocvec(head).expect("memory takes a head");
    let len = u32::try_from(head.len()).expect("partitions are at most 2^16");
    let mut bytes = [&MAGIC[..], &len.to_le_bytes(), &head].concat();
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes.resize(bytes.len() + padding(bytes.len()), 0);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)?;
    Ok(bytes.len() as u64)
}

/// Writes an entry where the file stands; gives the bytes that it takes.
pub(super) fn write(file: &File, entry: &Entry<'_>) -> io::Result<u64> {
    let frame = frame(entry);
    let zeros = [0; ALIGN];
    let parts = [&frame[..], entry.bytes, &zeros[..padding(entry.bytes.len())]];
    disk::write_all(file, &mut parts.map(IoSlice::new))?;
    Ok(size(entry))
}

fn frame(entry: &Entry<'_>) -> [u8; FRAME] {
    let len = u32::try_from(entry.bytes.len()).expect("a batch is below 4 GiB");
    let mut frame = [0; FRAME];
    frame[..4].copy_from_slice(&MARK);
    frame[4..8].copy_from_slice(&len.to_le_bytes());
    frame[8..16].copy_from_slice(&entry.first.to_le_bytes());
    frame[16..24].copy_from_slice(&entry.durable.to_le_bytes());
    frame[24..26].copy_from_slice(&entry.partition.to_le_bytes());
    frame[26..28].copy_from_slice(&(entry.kind as u16).to_le_bytes());
    let sum = xxh3_64_with_seed(entry.bytes, xxh3_64(&frame[..FRAME - 8]));
    frame[FRAME - 8..].copy_from_slice(&sum.to_le_bytes());
    frame
}

fn word(frame: &[u8; FRAME], at: usize) -> u64 {
    frame[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What is at a place of a segment.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Entry(Entry<'a>),
    /// Nothing was written here, or the file ends.
    End,
    /// What is here is not an entry, and why.
    Broken(&'static str),
}

/// A segment that was opened, or what is wrong with its head; nothing where it was made and not begun.
pub(super) type Opened = Option<Result<(Head, Reader), &'static str>>;

/// Reads a segment from its beginning.
pub(super) struct Reader {
    file: BufReader<File>,
    /// Where in the file the next entry begins.
    pub at: u64,
    bytes: Vec<u8>,
}

impl Reader {
    /// Opens a segment.
    pub fn open(path: &Path, buffer: usize) -> io::Result<Opened> {
        let mut file = BufReader::with_capacity(buffer, File::open(path)?);
        let mut begin = [0; 12];
        match file.read_exact(&mut begin) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if begin == [0; 12] {
            return Ok(None);
        }
        let [magic @ .., a, b, c, d] = begin;
        let len = u32::from_le_bytes([a, b, c, d]);
        if magic != MAGIC {
            return Ok(Some(Err("it does not begin as a segment of this format does")));
        }
        if len > HEAD_BYTES_MAX {
            return Ok(Some(Err("the length of its head is wrong")));
        }
        let mut bytes = begin.to_vec();
        bytes.resize(begin.len() + len as usize, 0);
        let mut sum = [0; 8];
        let read = file.read_exact(&mut bytes[begin.len()..]).and_then(|()| file.read_exact(&mut sum));
        match read {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(Err("its head is cut off"))),
            read => read?,
        }
        if xxh3_64(&bytes) != u64::from_le_bytes(sum) {
            return Ok(Some(Err("the checksum of its head is wrong")));
        }
        let Ok(head) = postcard::from_bytes(&bytes[begin.len()..]) else {
            return Ok(Some(Err("its head is not one of this format")));
        };
        let at = bytes.len() + sum.len();
        file.seek_relative(padding(at) as i64)?;
        let at = (at + padding(at)) as u64;
        Ok(Some(Ok((head, Reader { file, at, bytes: vec![] }))))
    }

    /// The entry here; the reader stands behind it afterwards.
    pub fn next(&mut self) -> io::Result<Found<'_>> {
        // What is missing of a frame at the end of the file is read as zeros.
        let mut frame = [0; FRAME];
        let mut have = 0;
        while have < FRAME {
            match self.file.read(&mut frame[have..]) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if frame == [0; FRAME] {
            return Ok(Found::End);
        }
        let kind = match frame[26..28] {
            [1, 0] => Kind::Records,
            [2, 0] => Kind::Reserved,
            _ => return Ok(Found::Broken("what should be an entry does not begin as one")),
        };
        if frame[..4] != MARK || have < FRAME {
            return Ok(Found::Broken("what should be an entry does not begin as one"));
        }
        let len = word(&frame, 4) as u32 as usize;
        // No more memory than there is in the file, whatever the length says.
        self.bytes.clear();
        let wanted = (len + padding(len)) as u64;
        if (&mut self.file).take(wanted).read_to_end(&mut self.bytes)? < wanted as usize {
            return Ok(Found::Broken("an entry is cut off"));
        }
        let bytes = &self.bytes[..len];
        if xxh3_64_with_seed(bytes, xxh3_64(&frame[..FRAME - 8])) != word(&frame, FRAME - 8) {
            return Ok(Found::Broken("the checksum of an entry is wrong"));
        }
        self.at += FRAME as u64 + wanted;
        let partition = u16::from_le_bytes([frame[24], frame[25]]);
        Ok(Found::Entry(Entry { kind, partition, first: word(&frame, 8), durable: word(&frame, 16), bytes }))
    }
}

/// How far the log was durable, as the whole entries behind `from` say, wherever they begin; `base` is the segment's. What claims more
/// than is before it is none of ours.
pub(super) fn durable_behind(path: &Path, from: u64, base: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let Some(data) = data_from(&file, from)? else { return Ok(0) };
    let mut at = data.next_multiple_of(ALIGN as u64);
    let mut most = 0;
    let mut reader = Reader { file: BufReader::with_capacity(READ_BYTES, file), at, bytes: vec![] };
    loop {
        reader.file.seek(SeekFrom::Start(at))?;
        // On to the next place that begins as an entry does.
        loop {
            let here = reader.file.fill_buf()?;
            let Some(mark) = here.first_chunk::<4>() else { return Ok(most) };
            if *mark == MARK {
                break;
            }
            let step = ALIGN.min(here.len());
            reader.file.consume(step);
            at += step as u64;
        }
        reader.at = at;
        if let Found::Entry(entry) = reader.next()? {
            if entry.durable <= base.saturating_add(at) {
                most = most.max(entry.durable);
            }
            at = reader.at;
        } else {
            at += ALIGN as u64;
        }
    }
}

/// The first place from `from` on where a file may have data; none where nothing was written there.
fn data_from(file: &File, from: u64) -> io::Result<Option<u64>> {
    #[cfg(target_os = "linux")]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(from)) {
        Ok(at) => return Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // Not every file system knows where it has data.
        Err(_) => {}
    }
    Ok((file.metadata()?.len() > from).then_some(from))
}
