//! State as bytes and back: rows, globals, remembered ids.
//!
//! A checkpoint is *fuzzy*: every row names the offset up to which it contains the log (`as_of`), and may be written at any
//! moment. Catching up starts at the offset of the globals; records before a row's `as_of` are skipped for that row alone. A
//! removed key leaves a tombstone with its `as_of` until the next checkpoint, so that catching up does not raise it again.
//! The bytes belong to one specification ([`Globals::spec`]) and one [`FORMAT`]. A row ends in a checksum over its key and its
//! bytes, so that whatever is put back was a state once: no operator has to expect words that none has written.

use crate::dedup::Dedup;
use crate::fold::{Counters, Topology};
use crate::lane::Tombstone;
use crate::plan::Plan;
use crate::plan::input;
use crate::record::Offset;
use crate::sink::{Kind, Sink};
use crate::time::Progress;
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Version of the bytes.
///
/// What is of another version is set aside, and the state is rebuilt from the log. `tests/data/checkpoint/format-N.txt` holds a
/// checkpoint of each version; it is never changed nor deleted. For a new one: raise this, run the tests, commit the file that
/// they name, and expect of those before that they are set aside.
pub const FORMAT: u32 = 1;

/// What is not per key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Globals {
    /// [`FORMAT`] of the bytes.
    pub format: u32,
    /// Hash of the specification the state was folded by.
    pub spec: u64,
    /// Records before this offset are in the state.
    pub offset: u64,
    /// Progress of event time.
    pub event_time_max: i64,
    /// Arrival that moved it.
    pub ingest_time: i64,
    /// Events by bucket.
    pub counters: Counters,
    /// Where the remembered ids stand: generation and ids in it.
    pub ids: (u64, u64),
}

/// Keys changed and removed since the last call of [`Topology::take_changes`].
#[derive(Debug, Default)]
pub struct Changes {
    /// Places to give to [`Topology::export`].
    pub places: Vec<(Kind, u32)>,
    /// Keys that are gone.
    pub removed: Vec<(Kind, Tombstone)>,
}

/// Bytes that are not a state of this plan.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version of the program.
    #[error("the checkpoint has format {found}, this program reads {FORMAT}")]
    Format {
        /// The checkpoint's.
        found: u32,
    },
    /// Written under another specification.
    #[error("the checkpoint was written under another configuration of time, sessions, viewers or features")]
    Spec,
    /// A row is torn or foreign.
    #[error("the row of {kind:?} {key:?} is damaged")]
    Row {
        /// Session or viewer.
        kind: Kind,
        /// Its id.
        key: String,
    },
}

impl Plan {
    /// Hash of the specification but for its models: state of one hash can be continued under a plan with the same.
    pub fn spec_hash(&self) -> u64 {
        let spec = &self.spec;
        let parts = (&spec.time, &spec.session, &spec.viewer, &spec.dedup, &spec.features);
        xxh3_64(format!("{parts:?}").as_bytes())
    }
}

impl Topology {
    /// What is not per key, for a state that contains the records before `offset`.
    pub fn globals(&self, offset: Offset) -> Globals {
        Globals {
            format: FORMAT,
            spec: self.plan.spec_hash(),
            offset: offset.0,
            event_time_max: self.progress.event_time_max,
            ingest_time: self.progress.ingest_time,
            counters: self.counters,
            ids: self.dedup.mark(),
        }
    }

    /// Event ids remembered since `mark`: (generation, place of the first, fingerprints).
    pub fn ids_since(&self, mark: (u64, u64)) -> Vec<(u64, u64, &[u64])> {
        self.dedup.since(mark)
    }

    /// Takes the list of keys changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        let places = [(Kind::Session, self.sessions.take_dirty()), (Kind::Viewer, self.viewers.take_dirty())];
        let removed = [
            (Kind::Session, std::mem::take(&mut self.sessions.removed)),
            (Kind::Viewer, std::mem::take(&mut self.viewers.removed)),
        ];
        Changes {
            places: places.into_iter().flat_map(|(kind, list)| list.into_iter().map(move |i| (kind, i))).collect(),
            removed: removed
                .into_iter()
                .flat_map(|(kind, list)| list.into_iter().map(move |tombstone| (kind, tombstone)))
                .collect(),
        }
    }

    /// Takes the departures since the last call. They go into the checkpoint with, or before, any row exported after them.
    pub fn take_departures(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.departures)
    }

    /// Appends the row at `place` to `bytes` and gives its key; `None` where the key is gone. `as_of`: the state contains the
    /// records before it.
    pub fn export(&mut self, kind: Kind, place: u32, as_of: Offset, bytes: &mut Vec<u8>) -> Option<&str> {
        let horizon = self.progress.horizon(&self.plan.spec.time);
        let (lane, plan) = match kind {
            Kind::Session => (&mut self.sessions, &self.plan.session),
            Kind::Viewer => (&mut self.viewers, &self.plan.viewer),
        };
        if !lane.is_live(place) {
            return None;
        }
        let begin = bytes.len();
        bytes.extend_from_slice(&as_of.0.to_le_bytes());
        lane.export(plan, place, horizon, &mut self.scratch, bytes);
        let key = &lane.heads[place as usize].key;
        let sum = checksum(kind, key, &bytes[begin..]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Some(key)
    }

    /// True where the key is alive.
    pub fn has(&self, kind: Kind, key: &str) -> bool {
        match kind {
            Kind::Session => self.sessions.find(key_hash(kind, key), key).is_some(),
            Kind::Viewer => self.viewers.find(key_hash(kind, key), key).is_some(),
        }
    }

    /// Gives the context of one key to the sink; false where the key is not alive.
    pub fn emit(&mut self, kind: Kind, key: &str, sink: &mut dyn Sink) -> bool {
        match kind {
            Kind::Session => {
                let found = self.sessions.find(key_hash(kind, key), key);
                found.inspect(|i| self.emit_session(*i, sink)).is_some()
            }
            Kind::Viewer => {
                let found = self.viewers.find(key_hash(kind, key), key);
                found.inspect(|i| self.emit_viewer(*i, sink)).is_some()
            }
        }
    }

    /// Gives the contexts of all live keys to the sink.
    pub fn emit_all(&mut self, sink: &mut dyn Sink) {
        for i in self.sessions.places().collect::<Vec<_>>() {
            self.emit_session(i, sink);
        }
        for i in self.viewers.places().collect::<Vec<_>>() {
            self.emit_viewer(i, sink);
        }
    }

    /// All rows in order of kind and key, as [`Topology::export`] writes them.
    pub fn rows(&mut self) -> Vec<(Kind, String, Vec<u8>)> {
        let mut rows = vec![];
        for kind in [Kind::Session, Kind::Viewer] {
            let lane = if kind == Kind::Session { &self.sessions } else { &self.viewers };
            for place in lane.places().collect::<Vec<_>>() {
                let mut bytes = vec![];
                let key = self.export(kind, place, Offset(0), &mut bytes).expect("a listed place is live").to_string();
                rows.push((kind, key, bytes));
            }
        }
        rows.sort();
        rows
    }

    /// Hash of the whole state: equal for equal states, however they came about.
    pub fn digest(&mut self) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(format!("{:?}", self.globals(Offset(0))).as_bytes());
        for (kind, key, bytes) in self.rows() {
            hash.update(format!("{kind:?} {key}").as_bytes());
            hash.update(&bytes);
        }
        hash.digest128()
    }
}

/// Of a row; the same bytes under another key have another one.
fn checksum(kind: Kind, key: &str, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, key_hash(kind, key))
}

/// The hash a key is found by. A viewer's is the plan's input word, so that sessions can name their viewer by it.
pub(crate) fn key_hash(kind: Kind, key: &str) -> u64 {
    match kind {
        Kind::Session => xxh3_64(key.as_bytes()),
        Kind::Viewer => input::hash(key.as_bytes()),
    }
}

/// Puts a state back, row by row.
pub struct Restore {
    topology: Topology,
    offset: u64,
}

impl Restore {
    /// Begins with what is not per key; `previous` and `current` are the remembered ids of the two generations in order.
    pub fn new(plan: Arc<Plan>, globals: &Globals, previous: &[u64], current: &[u64]) -> Result<Restore, RestoreError> {
        if globals.format != FORMAT {
            return Err(RestoreError::Format { found: globals.format });
        }
        if globals.spec != plan.spec_hash() {
            return Err(RestoreError::Spec);
        }
        let mut topology = Topology::new(plan);
        topology.progress = Progress { event_time_max: globals.event_time_max, ingest_time: globals.ingest_time };
        topology.counters = globals.counters;
        topology.dedup = Dedup::restore(topology.plan.spec.dedup.events_max, globals.ids, previous, current);
        Ok(Restore { topology, offset: globals.offset })
    }

    /// Notes a removed key.
    pub fn tombstone(&mut self, kind: Kind, key: &str, as_of: Offset) {
        self.topology.tombstones.insert((kind, key_hash(kind, key)), as_of.0);
    }

    /// Notes departures from [`Topology::take_departures`]; those before the globals' offset are passed over.
    pub fn departures(&mut self, departures: &[(u64, u64)]) {
        for (offset, viewer) in departures.iter().filter(|(offset, _)| *offset >= self.offset) {
            self.topology.departed.entry(*offset).or_default().push(*viewer);
        }
    }

    /// Adds a row from [`Topology::export`].
    pub fn row(&mut self, kind: Kind, key: &str, bytes: &[u8]) -> Result<(), RestoreError> {
        let damaged = || RestoreError::Row { kind, key: key.to_string() };
        let (bytes, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
        if u64::from_le_bytes(*sum) != checksum(kind, key, bytes) {
            return Err(damaged());
        }
        let (as_of, row) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let as_of = u64::from_le_bytes(*as_of);
        let t = &mut self.topology;
        let hash = key_hash(kind, key);
        let (lane, plan) = match kind {
            Kind::Session => (&mut t.sessions, &t.plan.session),
            Kind::Viewer => (&mut t.viewers, &t.plan.viewer),
        };
        let place = lane.import(plan, hash, key, row, &mut t.scratch).ok_or_else(damaged)?;
        lane.heads[place as usize].as_of = as_of;
        if kind == Kind::Viewer && t.members.len() <= place as usize {
            t.members.resize_with(place as usize + 1, Vec::new);
        }
        Ok(())
    }

    /// The state, ready for the records from the globals' offset on.
    pub fn finish(mut self) -> Topology {
        let t = &mut self.topology;
        let lateness = t.plan.spec.time.allowed_lateness.0;
        for i in t.sessions.places().collect::<Vec<_>>() {
            t.link(i);
            let due = t.plan.session.due(t.sessions.current(i));
            let closed = t.sessions.heads[i as usize].closed;
            t.sessions.schedule(i, if closed { due + lateness } else { due });
        }
        for i in t.viewers.places().collect::<Vec<_>>() {
            let due = t.plan.viewer.due(t.viewers.current(i));
            t.viewers.schedule(i, due.saturating_add(lateness));
        }
        self.topology
    }
}

impl Topology {
    /// Ends catching up: what was kept to skip records already contained is dropped.
    pub fn caught_up(&mut self) {
        self.tombstones.clear();
        self.departed.clear();
    }
}
