//! What is known of a key beside its rows: which events are pending on it, and what was published of it.

use crate::pending::{NONE, Slab};
use crate::rungs::{At, Reach, Rungs};
use compact_str::CompactString;

/// No context was shown, or the names in it are no longer those.
pub(crate) const UNNAMED: u32 = NONE - 1;
/// No clock offset was measured.
pub(crate) const NO_SKEW: i64 = i64::MIN;

/// What is known of a key beside its rows. In order, so that it is two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Head {
    pub key: CompactString,
    pub hash: u64,
    /// Records before this offset are in the rows already (after a restart).
    pub as_of: u64,
    /// Event time of the last event in the rung above the settled row: once it is certain, that rung is the settled row.
    pub(super) rung_time: i64,
    /// Event time of the last pending event.
    pub(super) last_time: i64,
    /// Offset of the player's clock, measured at the key's first event that needed it.
    pub skew: i64,
    pub(super) scheduled: i64,
    /// Offset of the record that refreshed the key last.
    pub version: u64,
    /// Events up to this time settled early, because too many were pending.
    pub floor: i64,
    pub(super) first: u32,
    pub(super) last: u32,
    pub pending: u32,
    /// Lowest and highest rung, the same where there is only the settled row; none without pending events.
    pub(super) settled: u32,
    pub(super) highest: u32,
    /// Pending events since the highest rung.
    pub(super) tail: u32,
    /// Of a session the place of its viewer, of a viewer that of its session where it has one only.
    pub peer: u32,
    /// Of a session the place of the viewer its context names, of a viewer that of the session; [`UNNAMED`] where none was shown yet.
    pub named: u32,
    pub(super) reach: Reach,
    pub closed: bool,
    pub(super) dirty: bool,
    pub(super) live: bool,
    /// Its place is in [`Lane::unsettled`]; stays where the key is removed.
    pub(super) waits: bool,
}

const _: () = assert!(size_of::<Head>() == 128);

impl Head {
    /// Of a new key. `waits`: its place is in [`Lane::unsettled`](super::Lane::unsettled) still, for the key that was there before.
    pub(super) fn new(hash: u64, key: &str, waits: bool) -> Self {
        Head {
            key: key.into(),
            hash,
            first: NONE,
            last: NONE,
            rung_time: i64::MAX,
            last_time: i64::MIN,
            pending: 0,
            settled: NONE,
            highest: NONE,
            tail: 0,
            reach: Reach::default(),
            version: 0,
            as_of: 0,
            floor: i64::MIN,
            skew: NO_SKEW,
            peer: NONE,
            named: UNNAMED,
            scheduled: i64::MAX,
            closed: false,
            dirty: false,
            live: true,
            waits,
        }
    }

    pub(super) fn is(&self, hash: u64, key: &str) -> bool {
        self.hash == hash && self.key == key
    }

    /// It is published by the record at this offset. True where that record has published it before: then it has to be told all of it again.
    pub(crate) fn publish(&mut self, offset: u64) -> bool {
        let is_again = self.version == offset;
        if is_again {
            self.named = UNNAMED;
        }
        self.version = self.version.max(offset);
        is_again
    }

    /// The current row is the settled one from now on.
    pub(super) fn begin_rungs(&mut self, current: &[u64], rungs: &mut Rungs) {
        self.settled = rungs.take(current, At::LOWEST);
        (self.highest, self.rung_time) = (self.settled, i64::MAX);
    }

    /// Links a taken entry behind the last; true where the key now waits to be settled.
    #[must_use]
    pub(super) fn link_last(&mut self, entry: u32, time: i64, slab: &mut Slab) -> bool {
        let begins_to_wait = self.pending == 0 && !self.waits;
        if self.pending == 0 {
            self.first = entry;
            self.waits = true;
        } else {
            slab.set_next(self.last, entry);
        }
        (self.last, self.last_time) = (entry, time);
        self.pending += 1;
        self.tail += 1;
        begins_to_wait
    }

    /// Makes `row` the highest rung: what `current` was after the pending event `last` at `time`, `count` events above the rung below.
    pub(super) fn add_rung(&mut self, rungs: &mut Rungs, row: &[u64], last: u32, time: i64, count: u32) {
        let is_first = self.highest == self.settled;
        self.highest = rungs.take(row, At { lower: self.highest, upper: NONE, last, time, count });
        if is_first {
            self.rung_time = time;
        }
    }

    /// Takes the highest rung away; it is not the settled row.
    pub(super) fn drop_highest(&mut self, rungs: &mut Rungs) {
        let rung = rungs.drop_highest(self.highest);
        self.highest = rung.lower;
        self.tail += rung.count;
        if self.highest == self.settled {
            self.rung_time = i64::MAX;
        }
    }

    /// The rung above the settled row takes its place; gives where it was.
    pub(super) fn climb(&mut self, rungs: &mut Rungs) -> At {
        let (lowest, rung) = rungs.drop_lowest(self.settled);
        self.settled = lowest;
        self.rung_time = if rung.upper == NONE { i64::MAX } else { rungs.at(rung.upper).time };
        rung
    }
}
