//! A state put back from [its bytes](crate::snapshot): the rows of sessions beside all others, then the records that they wait for.

use crate::dedup::Dedup;
use crate::feedback::{Feedback, StoredFeedback};
use crate::fold::{Topology, moment};
use crate::lane::Lane;
use crate::model::{Books, Registry};
use crate::notes::{Kept, Note};
use crate::pending::IdWords;
use crate::plan::Plan;
use crate::record::{Arrived, Offset, Record};
use crate::sink::Kind;
use crate::snapshot::{FORMAT, Globals, RowKind, checksum, key_hash};
use crate::time::Progress;
use std::sync::Arc;

/// Sessions whose viewers' memory is asked for before the first of them is linked.
const LINKED_AT_ONCE: usize = 32;

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
    /// What was learnt of a model was learnt by another definition of it.
    #[error(
        "model `{0}` was learnt with another context, items, estimator, half-life, prior or provisional; under another name both can be kept"
    )]
    Model(String),
    /// A model was not configured when the state was folded, and the log knows it.
    #[error(
        "model `{0}` was left out of the configuration meanwhile, and the checkpoint knows nothing of it; under another name it begins anew"
    )]
    Lapsed(String),
    /// A row is torn or foreign.
    #[error("the row of {kind:?} {key:?} is damaged")]
    Row {
        /// What it is the state of.
        kind: RowKind,
        /// Its id.
        key: String,
    },
    /// An event that rows name is not in the log.
    #[error("the event at offset {0}, which is pending on a row, is not in the log")]
    Record(u64),
}

/// Puts a state back: rows, then the records that they wait for.
pub struct Restore {
    topology: Topology,
    offset: u64,
    sessions: Awaited,
    viewers: Awaited,
}

/// Where [rows of some kinds](Restore::rows) are put back.
pub struct RestoreRows<'a> {
    plan: &'a Plan,
    kind: Kind,
    lane: &'a mut Lane,
    awaited: &'a mut Awaited,
    /// For decisions and items; none where sessions are put back.
    feedback: Option<&'a mut Feedback>,
}

impl RestoreRows<'_> {
    /// Rows of this kind belong here.
    fn takes(&self, kind: RowKind) -> bool {
        match kind {
            RowKind::Session | RowKind::Viewer => kind == self.kind.into(),
            RowKind::Decision | RowKind::Item => self.feedback.is_some(),
        }
    }

    /// Adds a row. False where it belongs into the other half, or the key has one: the newest comes first.
    pub fn row(&mut self, kind: RowKind, key: &str, bytes: &[u8]) -> Result<bool, RestoreError> {
        if !self.takes(kind) || self.has(kind, key) {
            return Ok(false);
        }
        let damaged = || RestoreError::Row { kind, key: key.to_string() };
        let (bytes, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
        if u64::from_le_bytes(*sum) != checksum(kind, key, bytes) {
            return Err(damaged());
        }
        let (as_of, row) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let as_of = u64::from_le_bytes(*as_of);
        match (kind, &mut self.feedback) {
            (RowKind::Decision, Some(feedback)) => {
                let is_whole = feedback.import(row, as_of, |name| self.plan.model(name));
                return is_whole.then_some(true).ok_or_else(damaged);
            }
            (RowKind::Item, Some(feedback)) => {
                feedback.import_item(key, Some(row), as_of);
                return Ok(true);
            }
            _ => {}
        }
        let (hash, awaited) = (key_hash(self.kind, key), &mut self.awaited.entries);
        let place = self.lane.import(hash, key, row, awaited).ok_or_else(damaged)?;
        self.awaited.is_sorted = false;
        self.lane.heads[place as usize].as_of = as_of;
        Ok(true)
    }

    fn has(&self, kind: RowKind, key: &str) -> bool {
        match (kind, &self.feedback) {
            (RowKind::Decision, Some(feedback)) => feedback.is_open(key),
            (RowKind::Item, Some(feedback)) => feedback.catalogue.get(key).is_some(),
            _ => self.lane.find(key_hash(self.kind, key), key).is_some(),
        }
    }
}

/// Pending events of the rows of a lane, by offset.
#[derive(Default)]
struct Awaited {
    /// Offset, place in the lane; in order once all rows are there.
    entries: Vec<(u64, u32)>,
    is_sorted: bool,
    given: usize,
}

impl Awaited {
    fn next(&mut self) -> Option<u64> {
        if !self.is_sorted {
            self.entries.sort_unstable();
            self.is_sorted = true;
        }
        self.entries.get(self.given).map(|(offset, _)| *offset)
    }

    /// Takes one that waits for this record.
    fn take(&mut self, offset: u64) -> Option<u32> {
        let (_, entry) = self.entries.get(self.given).filter(|(awaited, _)| *awaited == offset)?;
        self.given += 1;
        Some(*entry)
    }
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
        let ids_max = topology.plan.spec.dedup.events_max;
        topology.dedup = Dedup::new(ids_max).restored(globals.ids, previous, current);
        let (sessions, viewers) = Default::default();
        Ok(Restore { topology, offset: globals.offset, sessions, viewers })
    }

    /// Puts back what is not per key of decisions and rewards, at the offset of the globals.
    pub fn feedback(&mut self, stored: &StoredFeedback) {
        let plan = Arc::clone(&self.topology.plan);
        self.topology.feedback.restore(stored, |name| plan.model(name));
    }

    /// Puts back what was learnt and counted, and the keys of decisions that are over, of two generations in order. Books of models
    /// that are not configured any more are dropped, and their names kept: gives them, with the decisions they were of.
    pub fn books(
        &mut self,
        mut books: Books,
        previous: &[u64],
        current: &[u64],
    ) -> Result<Vec<(String, u64)>, RestoreError> {
        let ids_max = self.topology.plan.spec.dedup.events_max;
        self.topology.feedback.over = Dedup::growing(ids_max).restored(books.over, previous, current);
        let feedback = &mut self.topology.feedback;
        let mut stored = std::mem::take(&mut books.models);
        books.models = Books::new(&self.topology.plan.models).models;
        for book in &mut books.models {
            let Some(place) = stored.iter().position(|stored| stored.name == book.name) else {
                match books.lapsed.contains(&book.name) {
                    true => return Err(RestoreError::Lapsed(book.name.clone())),
                    false => continue,
                }
            };
            if stored[place].hash != book.hash {
                return Err(RestoreError::Model(book.name.clone()));
            }
            *book = stored.swap_remove(place);
        }
        stored.iter().for_each(|left| books.lapse(&left.name));
        feedback.books = books;
        Ok(stored.into_iter().map(|left| (left.name, left.decisions)).collect())
    }

    /// The reward specs that run.
    pub fn registry(&self) -> &Registry {
        &self.topology.feedback.registry
    }

    /// Notes a removed key.
    pub fn tombstone(&mut self, kind: RowKind, key: &str, as_of: Offset) {
        let buried = |kind| (kind, key_hash(kind, key));
        match kind {
            RowKind::Session => drop(self.topology.tombstones.insert(buried(Kind::Session), as_of.0)),
            RowKind::Viewer => drop(self.topology.tombstones.insert(buried(Kind::Viewer), as_of.0)),
            RowKind::Decision => self.topology.feedback.bury(key, as_of.0),
            RowKind::Item => self.topology.feedback.import_item(key, None, as_of.0),
        }
    }

    /// Keeps notes from [`Topology::take_notes`]; those before the globals' offset are passed over.
    pub fn notes(&mut self, notes: &[Note]) {
        for note in notes.iter().filter(|note| note.offset >= self.offset) {
            self.topology.kept.keep(*note);
        }
    }

    /// Adds a row from [`Topology::export`]. False where the key has one: the newest comes first.
    pub fn row(&mut self, kind: RowKind, key: &str, bytes: &[u8]) -> Result<bool, RestoreError> {
        let [mut sessions, mut others] = self.rows();
        Ok(sessions.row(kind, key, bytes)? || others.row(kind, key, bytes)?)
    }

    /// The same in two halves, which know nothing of each other: rows of sessions, and all others.
    pub fn rows(&mut self) -> [RestoreRows<'_>; 2] {
        let Topology { plan, sessions, viewers, feedback, .. } = &mut self.topology;
        let plan = &**plan;
        let [of_sessions, of_viewers] = [&mut self.sessions, &mut self.viewers];
        [
            RestoreRows { plan, kind: Kind::Session, lane: sessions, awaited: of_sessions, feedback: None },
            RestoreRows { plan, kind: Kind::Viewer, lane: viewers, awaited: of_viewers, feedback: Some(feedback) },
        ]
    }

    /// After all rows: the first offset of which a row waits for the record.
    pub fn awaits(&mut self) -> Option<Offset> {
        let next = [self.sessions.next(), self.viewers.next()];
        next.into_iter().flatten().min().map(Offset)
    }

    /// Gives the rows that wait for it the record at `offset`.
    pub fn record(&mut self, offset: Offset, arrived: &Arrived<'_>) {
        let (t, Record::Event(event)) = (&mut self.topology, &arrived.record) else { return };
        let (kind, id) = (t.plan.kind_bit(event.kind), IdWords::new(event.id));
        while let Some(entry) = self.sessions.take(offset.0) {
            t.plan.session_inputs.extract(event, &mut t.inputs);
            t.sessions.fill(entry, kind, id, &t.inputs);
        }
        while let Some(entry) = self.viewers.take(offset.0) {
            t.plan.viewer_inputs.extract(event, &mut t.viewer_inputs);
            t.viewers.fill(entry, kind, id, &t.viewer_inputs);
        }
    }

    /// The state, ready for the records from the globals' offset on; an error where a row still waits for a record.
    pub fn finish(mut self) -> Result<Topology, RestoreError> {
        if let Some(Offset(missing)) = self.awaits() {
            return Err(RestoreError::Record(missing));
        }
        let t = &mut self.topology;
        t.make_members();
        for places in t.sessions.places().collect::<Vec<_>>().chunks(LINKED_AT_ONCE) {
            for i in places {
                t.sessions.refold(&t.plan.session, *i, &mut t.scratch);
                t.prefetch_link(*i);
            }
            for i in places {
                t.link(*i);
                t.sessions.schedule(*i, t.session_acts_at(*i));
                if t.sessions.heads[*i as usize].closed {
                    t.note_ended(*i);
                }
            }
        }
        for i in t.viewers.places().collect::<Vec<_>>() {
            t.viewers.refold(&t.plan.viewer, i, &mut t.scratch);
            t.viewers.schedule(i, t.viewer_gone_at(i));
        }
        t.feedback.schedule_all(moment(&t.plan, &t.progress, Offset(self.offset)));
        Ok(self.topology)
    }
}

impl Topology {
    /// Ends catching up: what was kept to skip records already contained is dropped.
    pub fn caught_up(&mut self) {
        self.tombstones.clear();
        self.kept = Kept::default();
        self.feedback.caught_up();
    }
}
