//! What catching up from a checkpoint has to know of records that rows contain, where the rows do not show it any more.
//!
//! Taken while the checkpoint is made, by offset.

use crate::map::{Map, Set};
use std::collections::BTreeMap;

/// Of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its offset.
    pub offset: u64,
    /// Whom it is about, by hash.
    pub key: u64,
    /// What it did.
    pub what: Noted,
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A session left this viewer, by removal or for another viewer.
    Left,
    /// This viewer was forgotten while sessions of theirs live.
    Forgotten,
    /// This session's clock was measured anew, or it was removed: until then it was off by so much, ms.
    Clock(i64),
    /// It came too late for this session, as what it would have amended had settled early.
    SettledEarly,
}

impl Note {
    /// As checkpoints hold it.
    pub fn words(self) -> [u64; 4] {
        let (what, value) = match self.what {
            Noted::Left => (0, 0),
            Noted::Forgotten => (1, 0),
            Noted::Clock(off) => (2, off as u64),
            Noted::SettledEarly => (3, 0),
        };
        [self.offset, self.key, what, value]
    }

    /// From such words; none where they are no note.
    pub fn of([offset, key, what, value]: [u64; 4]) -> Option<Note> {
        let what = match what {
            0 => Noted::Left,
            1 => Noted::Forgotten,
            2 => Noted::Clock(value as i64),
            3 => Noted::SettledEarly,
            _ => return None,
        };
        Some(Note { offset, key, what })
    }
}

/// Notes that are taken.
#[derive(Debug, Default)]
pub(crate) struct Taking {
    notes: Vec<Note>,
    /// A checkpoint is being made.
    is_on: bool,
}

impl Taking {
    pub(crate) fn note(&mut self, offset: u64, key: u64, what: Noted) {
        if self.is_on {
            self.notes.push(Note { offset, key, what });
        }
    }

    /// Those since the last call.
    pub(crate) fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// A checkpoint begins, or is over.
    pub(crate) fn turn(&mut self, is_on: bool) {
        self.is_on = is_on;
        self.notes.clear();
    }
}

/// Notes while catching up.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Of viewers and their sessions, by offset.
    parted: BTreeMap<u64, Vec<Note>>,
    /// By session: when its clock was measured anew, and how far off it was held to be before.
    clocks: Map<u64, BTreeMap<u64, i64>>,
    settled_early: Set<u64>,
}

impl Kept {
    pub(crate) fn keep(&mut self, note: Note) {
        match note.what {
            Noted::Left | Noted::Forgotten => self.parted.entry(note.offset).or_default().push(note),
            Noted::Clock(off) => _ = self.clocks.entry(note.key).or_default().insert(note.offset, off),
            Noted::SettledEarly => _ = self.settled_early.insert(note.offset),
        }
    }

    /// Takes those of viewers and their sessions of the first offset up to this one.
    pub(crate) fn next_parted(&mut self, until: u64) -> Option<Vec<Note>> {
        self.parted.first_entry().filter(|first| *first.key() <= until).map(|first| first.remove())
    }

    /// How far off a session's clock was held to be before the record at this offset; none where that was not changed since.
    pub(crate) fn clock(&self, session: u64, offset: u64) -> Option<i64> {
        self.clocks.get(&session)?.range(offset..).next().map(|(_, off)| *off)
    }

    pub(crate) fn is_settled_early(&self, offset: u64) -> bool {
        self.settled_early.contains(&offset)
    }
}
