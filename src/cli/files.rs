//! Files of events, line by line: raw events under `ingest.map`, envelopes, or what `saccade export` wrote.
//!
//! A row of type `item` becomes a thing of the catalogue, as when it is sent. One of type `decision` is not taken: what it is worth to
//! its model is known by a running server alone.

use super::Failure;
use crate::wire::{EventReader, OtherRow, RowError, Scratch, read_record};
use bumpalo::Bump;
use saccade_topology::{Arrived, Event, EventTime, IngestTime, Offset, Record};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Rejected lines that are named; all are counted.
const NAMED_MAX: usize = 10;

/// What was not taken from a file.
#[derive(Default)]
pub(crate) struct Rejected {
    /// Lines or rows.
    pub count: u64,
    named: Vec<String>,
}

impl Rejected {
    fn note(&mut self, path: &Path, line: u64, error: &RowError) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{}:{line}: {}: {}", path.display(), error.code, error.message));
        }
    }

    /// Says on standard error what was not taken.
    pub(crate) fn report(&self) {
        for line in &self.named {
            eprintln!("rejected {line}");
        }
        if self.count > self.named.len() as u64 {
            eprintln!("rejected {} rows in all; the first {} are named", self.count, self.named.len());
        }
    }
}

/// Bytes read at once: few enough to be in a near cache still when they are parsed.
const READ_BYTES: usize = 1 << 17;
/// Lines whose records are handed on together.
const GROUP_LINES: usize = 64;

/// A file to read; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    let opened = |e| Failure::Failed(format!("opening {}: {e}", path.display()));
    Ok(match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).map_err(opened)?),
    })
}

/// Records of a file that follow each other. Raw events arrive when they happened, or with the latest before them, and are
/// counted by their offsets.
#[derive(Default)]
pub(crate) struct Group<'a> {
    pub offsets: Vec<Offset>,
    /// Where a record of an export was; none of raw events.
    pub partitions: Vec<Option<u16>>,
    pub records: Vec<Arrived<'a>>,
}

/// Reads `input` to its end; `take` gets every record, `read` the bytes read so far.
pub(crate) fn read_records(
    path: &Path,
    input: impl Read,
    reader: &EventReader,
    read: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(&Group<'_>),
) -> Result<Rejected, Failure> {
    let mut input = BufReader::with_capacity(READ_BYTES, input);
    let (mut arena, mut carry) = (Bump::new(), vec![]);
    let mut lines = Lines {
        path,
        reader,
        scratch: Scratch::default(),
        number: 0,
        next: 0,
        clock: i64::MIN,
        rejected: Rejected::default(),
    };
    loop {
        let buffer = input.fill_buf().map_err(|e| Failure::Failed(format!("reading {}: {e}", path.display())))?;
        if buffer.is_empty() {
            break;
        }
        let whole = memchr::memrchr(b'\n', buffer).map_or(0, |end| end + 1);
        let mut rest = &buffer[..whole];
        if let Some(end) = memchr::memchr(b'\n', rest).filter(|_| !carry.is_empty()) {
            carry.extend_from_slice(&rest[..end]);
            lines.take(std::iter::once(str::from_utf8(&carry).ok()), &arena, take);
            rest = &rest[end + 1..];
            carry.clear();
        }
        // Nearly always the whole is text, which is cheaper to see at once.
        let text = str::from_utf8(rest).ok();
        let mut ends = memchr::memchr_iter(b'\n', rest);
        let mut begin = 0;
        while begin < rest.len() {
            let cut = |end: usize| {
                let line = std::mem::replace(&mut begin, end + 1)..end;
                text.map_or_else(|| str::from_utf8(&rest[line.clone()]).ok(), |text| Some(&text[line.clone()]))
            };
            lines.take(ends.by_ref().take(GROUP_LINES).map(cut), &arena, take);
            arena.reset();
        }
        carry.extend_from_slice(&buffer[whole..]);
        let used = buffer.len();
        input.consume(used);
        read(used as u64);
    }
    lines.take(std::iter::once(str::from_utf8(&carry).ok()), &arena, take);
    Ok(lines.rejected)
}

struct Lines<'p> {
    path: &'p Path,
    reader: &'p EventReader,
    scratch: Scratch,
    number: u64,
    next: u64,
    clock: i64,
    rejected: Rejected,
}

impl Lines<'_> {
    fn take<'l: 'a, 'a>(
        &mut self,
        lines: impl Iterator<Item = Option<&'l str>>,
        arena: &'a Bump,
        take: &mut dyn FnMut(&Group<'_>),
    ) {
        let mut group = Group {
            offsets: Vec::with_capacity(GROUP_LINES),
            partitions: Vec::with_capacity(GROUP_LINES),
            records: Vec::with_capacity(GROUP_LINES),
        };
        for line in lines {
            self.line(line, arena, &mut group);
        }
        debug_assert_eq!((group.offsets.len(), group.partitions.len()), (group.records.len(), group.records.len()));
        take(&group);
    }

    /// `None` is a line that is no text.
    fn line<'a>(&mut self, line: Option<&'a str>, arena: &'a Bump, group: &mut Group<'a>) {
        self.number += 1;
        let Some(text) = line else {
            let error = RowError { index: 0, code: "invalid_utf8", message: "the line is not UTF-8".into() };
            return self.rejected.note(self.path, self.number, &error);
        };
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        // Read where it stays: an event is too large to be moved without need.
        let record = Record::Event(Event::new("", "", EventTime(0)));
        group.records.push(Arrived { ingest_time: IngestTime(0), record });
        let Some(Arrived { ingest_time, record: Record::Event(event) }) = group.records.last_mut() else {
            unreachable!("an event was put there");
        };
        match self.reader.read_next(text, arena, &mut self.scratch, event) {
            Ok(()) => match OtherRow::of(event, arena) {
                None => {
                    let (time, offset) = self.next(event.event_time);
                    *ingest_time = time;
                    group.offsets.push(offset);
                    group.partitions.push(None);
                }
                Some(other) => {
                    let event_time = event.event_time;
                    group.records.pop();
                    self.take_other(event_time, other, group);
                }
            },
            Err(error) => {
                group.records.pop();
                self.other(text, error, arena, group);
            }
        }
    }

    /// When and as which a raw row of `event_time` arrives.
    fn next(&mut self, event_time: EventTime) -> (IngestTime, Offset) {
        self.clock = self.clock.max(event_time.0);
        self.next += 1;
        (IngestTime(self.clock), Offset(self.next - 1))
    }

    fn push<'a>(&mut self, event_time: EventTime, record: Record<'a>, group: &mut Group<'a>) {
        let (ingest_time, offset) = self.next(event_time);
        group.records.push(Arrived { ingest_time, record });
        group.offsets.push(offset);
        group.partitions.push(None);
    }

    fn take_other<'a>(&mut self, event_time: EventTime, other: Result<OtherRow<'a>, RowError>, group: &mut Group<'a>) {
        match other {
            Ok(OtherRow::Item(item)) => self.push(event_time, Record::Item(item), group),
            Ok(OtherRow::Decision(_)) => {
                let rule =
                    "`type` is \"decision\"; send decisions made elsewhere to a running server (POST /v1/events)";
                self.rejected.note(self.path, self.number, &RowError::new("bad_value", rule.into()));
            }
            Err(error) => self.rejected.note(self.path, self.number, &error),
        }
    }

    /// A line that is no event may be a record of an export, or hold several events.
    fn other<'a>(&mut self, text: &'a str, error: RowError, arena: &'a Bump, group: &mut Group<'a>) {
        if text.contains("\"ingest_time\"") {
            match read_record(self.reader, text, arena) {
                Ok((partition, offset, arrived)) => {
                    self.next = offset.0 + 1;
                    group.records.push(arrived);
                    group.partitions.push(Some(partition));
                    return group.offsets.push(offset);
                }
                // As `export` writes it, and nobody else.
                Err(error) if text.starts_with("{\"offset\":") => {
                    return self.rejected.note(self.path, self.number, &error);
                }
                Err(_) => {}
            }
        }
        let mut rows = vec![];
        let whole = self.reader.read_body(text.as_bytes(), arena, &mut |row| rows.push(row));
        if whole.is_err() || (rows.len() == 1 && rows[0].is_err()) {
            return self.rejected.note(self.path, self.number, &error);
        }
        for row in rows {
            match row {
                Ok(event) => match OtherRow::of(&event, arena) {
                    None => self.push(event.event_time, Record::Event(event), group),
                    Some(other) => self.take_other(event.event_time, other, group),
                },
                Err(error) => self.rejected.note(self.path, self.number, &error),
            }
        }
    }
}
