//! Reads what is in the segments, in one pass, of as many partitions as are asked for.
//!
//! It begins with the segments as they are then. Those that are dropped before the first record is met are not missed: they were
//! before it. Behind a record that was met a missing one is a hole, and an error.

use super::segment::{self, Found, Kind, Reader};
use super::{Files, doing};
use crate::log::{LogError, RecordBatch, VisitEach};
use saccade_topology::Offset;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

/// A pass that has begun.
pub(super) struct Reading {
    /// Numbers of the segments, and how many bytes of each are written.
    segments: Vec<(u64, u64)>,
    damage: Option<&'static str>,
    /// By partition; none of those that are not asked for.
    parts: Vec<Option<Part>>,
}

/// How far a partition is read.
#[derive(Clone, Copy)]
struct Part {
    /// Its place among those that are asked for.
    nth: usize,
    from: Offset,
    /// The segment it begins in: what is before `from` is in this one and those before.
    segment: usize,
    /// Offset behind the last of its records that was met, and whether one was.
    next: u64,
    is_met: bool,
}

/// Why a segment was not read to its end.
enum Unread {
    Io(io::Error),
    Damaged(&'static str),
    Failed(LogError),
}

impl Reading {
    pub fn begin(files: &Files, from: &[(u16, Offset)]) -> Reading {
        let tail = files.tail();
        let mut parts = vec![None; tail.marks.len()];
        for (nth, &(partition, from)) in from.iter().enumerate() {
            let at = usize::from(partition);
            let segment = tail.segments.partition_point(|head| head.marks[at].next <= from.0).saturating_sub(1);
            let next = tail.segments[segment].marks[at].next;
            parts[at] = Some(Part { nth, from, segment, next, is_met: false });
        }
        let first = parts.iter().flatten().map(|part| part.segment).min().unwrap_or_default();
        let segments = (first..tail.segments.len()).map(|i| (tail.segments[i].number, tail.len(i))).collect();
        Reading { segments, damage: tail.damage, parts }
    }

    pub fn go_on(mut self, files: &Files, visit: VisitEach<'_>) -> Result<(), LogError> {
        for (number, len) in std::mem::take(&mut self.segments) {
            let path = segment::path(&files.directory, number);
            let error = doing("reading", &path);
            let mut reader = match Reader::open(&path, segment::READ_BYTES) {
                Ok(Some(Ok((_, reader)))) => reader,
                Ok(Some(Err(what))) => return Err(self.damaged(what)),
                Ok(None) => return Err(self.damaged("a segment is empty")),
                // Dropped by age or size meanwhile.
                Err(gone)
                    if gone.kind() == ErrorKind::NotFound
                        && !self.parts.iter().flatten().any(|part| part.is_met)
                        && number < files.tail().segments[0].number =>
                {
                    continue;
                }
                Err(source) => return Err(error(source)),
            };
            match self.segment(&mut reader, len, visit) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(Unread::Io(source)) => return Err(error(source)),
                Err(Unread::Damaged(what)) => return Err(self.damaged(what)),
                Err(Unread::Failed(failed)) => return Err(failed),
            }
        }
        self.damage.map_or(Ok(()), |what| Err(self.damaged(what)))
    }

    /// It is told of the partition that begins first: others may need nothing that is so far before.
    fn damaged(&self, what: &str) -> LogError {
        let all = (0..).zip(&self.parts).filter_map(|(partition, part)| part.map(|part| (partition, part)));
        let first = all.min_by_key(|(_, part)| part.segment);
        let (partition, Part { next: offset, .. }) = first.expect("a partition is read");
        LogError::Damaged { partition, offset, what: what.to_string() }
    }

    /// Visits the records of a segment up to `end` that are asked for.
    fn segment(&mut self, reader: &mut Reader, end: u64, visit: VisitEach<'_>) -> Result<ControlFlow<()>, Unread> {
        while reader.at < end {
            let entry = match reader.next().map_err(Unread::Io)? {
                Found::Entry(entry) => entry,
                Found::End => return Err(Unread::Damaged("nothing is where an entry should be")),
                Found::Broken(what) => return Err(Unread::Damaged(what)),
            };
            let partition = entry.partition;
            let part = self.parts.get_mut(usize::from(partition)).and_then(Option::as_mut);
            let Some(Part { nth, from, next, is_met, .. }) = part.filter(|_| entry.kind == Kind::Records) else {
                continue;
            };
            *is_met = true;
            for (offset, record) in (entry.first..).zip(RecordBatch::records(entry.bytes)) {
                let record = record.map_err(|what| Unread::Failed(LogError::Damaged { partition, offset, what }))?;
                *next = offset + 1;
                if offset >= from.0 && visit(*nth, Offset(offset), record).map_err(Unread::Failed)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
