//! State as bytes and back: rows, globals, remembered ids.
//!
//! A checkpoint is *fuzzy*: every row names the offset up to which it contains the log (`as_of`), and may be written at any
//! moment. Catching up starts at the offset of the globals; records before a row's `as_of` are skipped for that row alone. A
//! removed key leaves a tombstone with its `as_of` until the next checkpoint, so that catching up does not raise it again. A decision
//! that ends while a checkpoint is made leaves its row with it: until then what it claims is no other's.
//! Events that are pending on a row are also in the log: a row on which many are pending names them by offset, and is
//! [given them](crate::Restore::record) before anything is folded into it.
//! The bytes belong to one specification ([`Globals::spec`]) and one [`FORMAT`]. A row ends in a checksum over its key and its
//! bytes, so that whatever is put back was a state once: no operator has to expect words that none has written.

use crate::feedback::{Ended, StoredFeedback};
use crate::fold::{Counters, Topology};
use crate::lane::{Pending, Tombstone};
use crate::model::{Books, Catalogue};
use crate::notes::Note;
use crate::pending::NONE;
use crate::pieces::Pieces;
use crate::plan::Plan;
use crate::plan::input;
use crate::record::Offset;
use crate::sink::{Kind, Sink};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Version of the bytes.
///
/// What is of another version is set aside, and the state is rebuilt from the log. `tests/data/checkpoint/format-N.*` holds a
/// checkpoint of each version; it is never changed nor deleted. For a new one: raise this, run the tests, commit the file that
/// they name, and expect of those before that they are set aside.
pub const FORMAT: u32 = 10;

/// Keys that are gone, where nobody wants to know of them: then they are forgotten.
const REMOVED_MAX: usize = 4096;

/// What a row is the state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// A session.
    Session,
    /// A viewer.
    Viewer,
    /// An open decision.
    Decision,
    /// An item of the catalogue.
    Item,
}

impl RowKind {
    /// All of them, in order of their numbers.
    pub const ALL: [RowKind; 4] = [RowKind::Session, RowKind::Viewer, RowKind::Decision, RowKind::Item];
}

impl From<Kind> for RowKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Session => RowKind::Session,
            Kind::Viewer => RowKind::Viewer,
        }
    }
}

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

/// Keys changed and removed since the last call of [`Topology::take_changes`], or [all](Topology::all_of) there are.
///
/// The lists are those of the state itself: taking a million changes costs no more than taking one.
#[derive(Debug)]
pub struct Changes {
    places: [(RowKind, Pieces<u32>); 3],
    /// Places all of which are asked for.
    all: [(RowKind, Range<u32>); 3],
    items: Vec<Box<str>>,
    /// Parts of the catalogue all of whose items are, and how many those are about.
    parts: Range<usize>,
    part_len: usize,
    removed: [(RowKind, Pieces<Tombstone>); 3],
    ended: Pieces<Ended>,
    /// Of which kind the last place was.
    turn: usize,
}

impl Changes {
    /// How many are left; of all items about so many.
    pub fn len(&self) -> usize {
        let places: usize = self.places.iter().map(|(_, list)| list.len()).sum();
        let all: usize = self.all.iter().map(|(_, places)| places.len()).sum();
        let removed: usize = self.removed.iter().map(|(_, list)| list.len()).sum();
        places + all + self.items.len() + self.parts.len() * self.part_len + removed + self.ended.len()
    }

    /// True where nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a place to give to [`Topology::export`], of another kind than the last where there is one: rows of different kinds are put
    /// back side by side.
    pub fn next_place(&mut self) -> Option<(RowKind, u32)> {
        let kinds = self.places.len();
        let turns = (1..=kinds).map(|step| (self.turn + step) % kinds);
        let (turn, place) = turns.into_iter().find_map(|turn| {
            let place = self.places[turn].1.pop().or_else(|| self.all[turn].1.next());
            place.map(|place| (turn, place))
        })?;
        self.turn = turn;
        Some((self.places[turn].0, place))
    }

    /// Takes an item to give to [`Topology::export_item`].
    pub fn next_item(&mut self, topology: &Topology) -> Option<Box<str>> {
        while self.items.is_empty() {
            let part = self.parts.next()?;
            self.items.extend(topology.feedback.catalogue.items_of(part).map(Box::from));
        }
        self.items.pop()
    }

    /// Takes a decision that ended since, and appends its last row to `bytes`. It has a tombstone of the same offset too.
    pub fn next_ended(&mut self, bytes: &mut Vec<u8>) -> Option<Box<str>> {
        let Ended { open, as_of } = self.ended.pop()?;
        sealed(RowKind::Decision, as_of, bytes, |bytes| {
            open.export(bytes);
            Some(&*open.id)
        });
        Some(open.id)
    }

    /// Takes a key that is gone.
    pub fn next_removed(&mut self) -> Option<(RowKind, Tombstone)> {
        self.removed.iter_mut().find_map(|(kind, list)| list.pop().map(|tombstone| (*kind, tombstone)))
    }
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
            ids: self.ids_mark(),
        }
    }

    /// Where the remembered ids stand: generation and ids in it.
    pub fn ids_mark(&self) -> (u64, u64) {
        self.dedup.mark()
    }

    /// Event ids remembered since `mark`: (generation, place of the first, fingerprints).
    pub fn ids_since(&self, mark: (u64, u64)) -> Vec<(u64, u64, &[u64])> {
        self.dedup.since(mark)
    }

    /// Takes the list of keys changed since the last call. From now on decisions that are open now leave their rows
    /// when they end, until [`Topology::end_changes`]: catching up from here, what they claimed is no other's.
    pub fn take_changes(&mut self) -> Changes {
        self.feedback.table.keep_ended();
        self.taking.turn(true);
        let places = [
            (RowKind::Session, self.sessions.take_dirty()),
            (RowKind::Viewer, self.viewers.take_dirty()),
            (RowKind::Decision, self.feedback.table.take_dirty()),
        ];
        let all = RowKind::ALL[..3].first_chunk().expect("there are four kinds").map(|kind| (kind, 0..0));
        let (items, removed) = (self.feedback.take_items(), self.take_removed());
        let ended = std::mem::take(&mut self.feedback.table.ended);
        Changes { places, all, items, parts: 0..0, part_len: 0, removed, ended, turn: 0 }
    }

    /// All changes are handed out, or given up.
    pub fn end_changes(&mut self) {
        self.taking.turn(false);
        self.feedback.table.forget_ended();
    }

    /// Empty state of which no checkpoint is made: what changes and what goes is not kept for one.
    pub fn without_changes(plan: Arc<Plan>) -> Topology {
        let mut topology = Topology::new(plan);
        topology.keeps_changes = false;
        topology
    }

    /// From now on it is: the first checkpoint has to be of [all there is](Topology::all_of), without any before it.
    pub fn keep_changes(&mut self) {
        self.keeps_changes = true;
    }

    /// Once there are many.
    pub(crate) fn forget_changes(&mut self) {
        let removed = [self.sessions.removed.len(), self.viewers.removed.len(), self.feedback.table.removed.len()];
        if removed.iter().sum::<usize>() >= REMOVED_MAX {
            self.take_changes();
            self.end_changes();
        }
    }

    fn take_removed(&mut self) -> [(RowKind, Pieces<Tombstone>); 3] {
        [
            (RowKind::Session, std::mem::take(&mut self.sessions.removed)),
            (RowKind::Viewer, std::mem::take(&mut self.viewers.removed)),
            (RowKind::Decision, std::mem::take(&mut self.feedback.table.removed)),
        ]
    }

    /// All that is alive, in place of what changed.
    pub fn all_of(&self, changes: Changes) -> Changes {
        let ends = [self.sessions.end(), self.viewers.end(), self.feedback.table.end()];
        let mut all = changes.all;
        all.iter_mut().zip(ends).for_each(|((_, places), end)| *places = 0..end);
        let places = changes.places.map(|(kind, _)| (kind, Pieces::default()));
        let part_len = self.feedback.catalogue.len().div_ceil(Catalogue::PARTS);
        Changes { places, all, items: vec![], parts: 0..Catalogue::PARTS, part_len, ..changes }
    }

    /// Adds the keys that were removed since: a checkpoint has to hold those that go while it is made, or catching up would go on
    /// from rows they had before it.
    pub fn add_removed(&mut self, changes: &mut Changes) {
        for ((_, list), (_, removed)) in changes.removed.iter_mut().zip(self.take_removed()) {
            list.extend(removed);
        }
        changes.ended.extend(std::mem::take(&mut self.feedback.table.ended));
    }

    /// What is neither per key nor in the books, for the offset of the globals.
    pub fn stored_feedback(&self) -> StoredFeedback {
        self.feedback.stored(self.plan.models.iter().map(|model| model.spec.name.clone()))
    }

    /// What was learnt and counted, for a state that contains the records before `offset`: a cheap copy. It has to be as late as
    /// any row of the checkpoint.
    pub fn books(&self, offset: Offset) -> Books {
        Books { as_of: offset.0, over: self.feedback.over.mark(), ..self.feedback.books.clone() }
    }

    /// Keys of decisions that ended since `mark`, as [`Topology::ids_since`] gives ids. In a checkpoint they are as late as the
    /// books, whose `over` is where they stand.
    pub fn over_since(&self, mark: (u64, u64)) -> Vec<(u64, u64, &[u64])> {
        self.feedback.over.since(mark)
    }

    /// Appends the row of an item; false where it is gone.
    pub fn export_item(&self, item: &str, as_of: Offset, bytes: &mut Vec<u8>) -> bool {
        let Some(fields) = self.feedback.catalogue.get(item) else { return false };
        sealed(RowKind::Item, as_of.0, bytes, |bytes| {
            bytes.extend_from_slice(fields.as_bytes());
            Some(item)
        });
        true
    }

    /// Takes the notes since the last call. They go into the checkpoint with, or before, any row exported after them.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.taking.take()
    }

    /// Appends the row at `place` to `bytes` and gives its key; `None` where the key is gone. `as_of`: the state contains the
    /// records before it.
    pub fn export(
        &mut self,
        kind: RowKind,
        place: u32,
        as_of: Offset,
        pending: Pending,
        bytes: &mut Vec<u8>,
    ) -> Option<&str> {
        let horizon = self.progress.horizon(&self.plan.spec.time);
        let lane = match kind {
            RowKind::Session => Some((&mut self.sessions, &self.plan.session)),
            RowKind::Viewer => Some((&mut self.viewers, &self.plan.viewer)),
            RowKind::Decision | RowKind::Item => None,
        };
        sealed(kind, as_of.0, bytes, |bytes| match lane {
            Some((lane, plan)) => {
                if !lane.is_live(place) {
                    return None;
                }
                lane.settle_for(pending, plan, place, horizon, &mut self.scratch);
                lane.export(place, pending, bytes);
                Some(&*lane.heads[place as usize].key)
            }
            None => self.feedback.export(place, horizon, bytes),
        })
    }

    /// The lowest offset of an event that rows exported since the last call name; none where they name none. The log has to keep records
    /// from there on for as long as the rows may be put back.
    pub fn take_named_from(&mut self) -> Option<Offset> {
        let lowest = [self.sessions.take_named_from(), self.viewers.take_named_from()];
        lowest.into_iter().flatten().min().map(Offset)
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
                found.inspect(|i| self.emit_session(*i, NONE, false, sink)).is_some()
            }
            Kind::Viewer => {
                let found = self.viewers.find(key_hash(kind, key), key);
                found.inspect(|i| self.emit_viewer(*i, false, sink)).is_some()
            }
        }
    }

    /// Places of all live keys, to give to [`Topology::emit_places`].
    pub fn live_places(&self) -> Vec<(Kind, u32)> {
        let sessions = self.sessions.places().map(|place| (Kind::Session, place));
        sessions.chain(self.viewers.places().map(|place| (Kind::Viewer, place))).collect()
    }

    /// Gives the contexts of the keys at these places to the sink.
    pub fn emit_places(&mut self, places: &[(Kind, u32)], sink: &mut dyn Sink) {
        for (kind, place) in places {
            match kind {
                Kind::Session => self.emit_session(*place, NONE, false, sink),
                Kind::Viewer => self.emit_viewer(*place, false, sink),
            }
        }
    }

    /// Gives all open decisions to the sink.
    pub fn emit_decisions(&mut self, sink: &mut dyn Sink) {
        self.feedback.emit_all(sink);
    }

    /// All rows in order of kind and key, as [`Topology::export`] writes them, whole.
    pub fn rows(&mut self) -> Vec<(RowKind, String, Vec<u8>)> {
        let mut places: Vec<(RowKind, u32)> = vec![];
        places.extend(self.sessions.places().map(|place| (RowKind::Session, place)));
        places.extend(self.viewers.places().map(|place| (RowKind::Viewer, place)));
        places.extend(self.feedback.table.places().into_iter().map(|place| (RowKind::Decision, place)));
        let mut rows = vec![];
        for (kind, place) in places {
            let mut bytes = vec![];
            let key = self.export(kind, place, Offset(0), Pending::Whole, &mut bytes);
            let key = key.expect("a listed place is live").to_string();
            rows.push((kind, key, bytes));
        }
        for item in self.feedback.catalogue.iter().map(|(item, _)| item.to_string()).collect::<Vec<_>>() {
            let mut bytes = vec![];
            self.export_item(&item, Offset(0), &mut bytes);
            rows.push((RowKind::Item, item, bytes));
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
        hash.update(self.stored_feedback().bytes());
        hash.update(&postcard::to_extend(&self.books(Offset(0)), vec![]).expect("memory takes any state"));
        hash.digest128()
    }
}

/// Appends a row: the offset before which it contains the log, what `write` writes, and a checksum. Gives its key; none where there is
/// no row.
fn sealed<'k>(
    kind: RowKind,
    as_of: u64,
    bytes: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Option<&'k str>,
) -> Option<&'k str> {
    let begin = bytes.len();
    bytes.extend_from_slice(&as_of.to_le_bytes());
    let key = write(bytes)?;
    let sum = checksum(kind, key, &bytes[begin..]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Some(key)
}

/// Of a row; the same bytes under another key have another one.
pub(crate) fn checksum(kind: RowKind, key: &str, bytes: &[u8]) -> u64 {
    let hash = match kind {
        RowKind::Viewer => key_hash(Kind::Viewer, key),
        _ => key_hash(Kind::Session, key).wrapping_add(kind as u64),
    };
    xxh3_64_with_seed(bytes, hash)
}

/// The hash a key is found by. A viewer's is the plan's input word, so that sessions can name their viewer by it.
pub(crate) fn key_hash(kind: Kind, key: &str) -> u64 {
    match kind {
        Kind::Session => xxh3_64(key.as_bytes()),
        Kind::Viewer => input::hash(key.as_bytes()),
    }
}
