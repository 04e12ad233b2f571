//! Asks, side by side, for the memory that the next records will look at. Changes nothing: a state folds the same records the same
//! way, warmed or not.

use super::{Topology, session_key};
use crate::dedup::Dedup;
use crate::pending::NONE;
use crate::plan::{Plan, input};
use crate::prefetch::prefetch;
use crate::record::{Arrived, Event, Record};
use crate::row::VIEWER;
use xxhash_rust::xxh3::xxh3_64;

/// Further sessions of a viewer that are warmed.
const OTHERS: usize = 4;

/// Records that are warmed side by side.
const WARM: usize = 64;

/// What is known of a record before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warmed {
    pub fingerprint: u64,
    /// Hash of the session.
    pub hash: u64,
    /// Hash of the viewer.
    pub viewer_hash: u64,
    /// Where the session was, and the viewer.
    pub place: u32,
    pub viewer_place: u32,
}

impl Warmed {
    const NOTHING: Warmed = Warmed { fingerprint: 0, hash: 0, viewer_hash: 0, place: NONE, viewer_place: NONE };

    pub(super) fn of(event: &Event<'_>, plan: &Plan, made: &mut String) -> Warmed {
        let hash = xxh3_64(session_key(event, made).as_bytes());
        let viewer = event.viewer.filter(|_| plan.spec.viewer.enabled);
        let viewer_hash = viewer.map_or(0, |viewer| input::hash(viewer.as_bytes()));
        Warmed { fingerprint: Dedup::fingerprint(event.id), hash, viewer_hash, ..Warmed::NOTHING }
    }
}

impl Topology {
    /// Asks, side by side, for the memory that applying these records will look at. Changes nothing.
    ///
    /// Each loop reads what the one before has asked for: places, then heads, then the other sessions of viewers.
    pub fn warm(&mut self, records: &[Arrived<'_>]) {
        self.warmed.clear();
        for records in records.chunks(WARM) {
            let first = self.warmed.len();
            self.warmed.extend(records.iter().map(|arrived| match &arrived.record {
                Record::Event(event) => Warmed::of(event, &self.plan, &mut self.key),
                _ => Warmed::NOTHING,
            }));
            let warmed = &mut self.warmed[first..];
            for warmed in &mut *warmed {
                self.dedup.prefetch(warmed.fingerprint);
                warmed.place = self.sessions.likely(warmed.hash).unwrap_or(NONE);
                if warmed.viewer_hash != 0 {
                    warmed.viewer_place = self.viewers.likely(warmed.viewer_hash).unwrap_or(NONE);
                }
            }
            let warmed = &self.warmed[first..];
            for warmed in warmed {
                self.prefetch_rows(*warmed);
                if let Some(others) = self.members.get(warmed.viewer_place as usize) {
                    prefetch(others);
                }
            }
            for warmed in warmed {
                self.sessions.prefetch_last(warmed.place);
                self.viewers.prefetch_last(warmed.viewer_place);
                self.prefetch_others(*warmed);
            }
            self.sessions.unsettled(records.len()).for_each(|i| self.sessions.prefetch_last(i));
        }
    }

    pub(super) fn prefetch_rows(&self, warmed: Warmed) {
        self.sessions.prefetch(warmed.place);
        self.viewers.prefetch(warmed.viewer_place);
    }

    /// The other sessions of the viewer are published too.
    pub(super) fn prefetch_others(&self, warmed: Warmed) {
        let viewer = warmed.viewer_place as usize;
        let sessions = match self.viewers.heads.get(viewer) {
            None => &[],
            // The list of a viewer with one session need not be read.
            Some(head) if head.peer != NONE => std::slice::from_ref(&head.peer),
            Some(_) => &self.members[viewer][..],
        };
        for other in sessions.iter().filter(|i| **i != warmed.place).take(OTHERS) {
            if self.keeps_contexts { self.sessions.prefetch_head(*other) } else { self.sessions.prefetch(*other) }
        }
    }

    /// Asks for what [`Topology::link`] will look at.
    pub(crate) fn prefetch_link(&self, session: u32) {
        let Some(viewer) = self.viewers.likely(self.sessions.current(session)[VIEWER]) else { return };
        self.viewers.prefetch_head(viewer);
        if let Some(members) = self.members.get(viewer as usize) {
            prefetch(members);
        }
    }
}
