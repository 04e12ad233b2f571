//! Checkpoints as a writer gathers them.

use crate::common::{generations, generations_of};
use saccade_topology::model::Books;
use saccade_topology::*;
use std::collections::BTreeMap;
use std::iter::from_fn;
use std::sync::Arc;

/// Ids of two generations.
type Generations = (Vec<u64>, Vec<u64>);

/// What it begins with: globals, remembered ids, and what of decisions and rewards is not per key.
type Begun = (Globals, Generations, StoredFeedback);

#[derive(Default)]
pub struct Checkpoint {
    begun: Option<Begun>,
    rows: BTreeMap<(RowKind, String), Vec<u8>>,
    tombstones: BTreeMap<(RowKind, String), u64>,
    pub notes: Vec<Note>,
    /// What was learnt, and decisions that are over.
    complete: Option<(Books, Generations)>,
}

impl Checkpoint {
    pub fn begin(&mut self, t: &Topology, offset: u64) {
        self.begun = Some((t.globals(Offset(offset)), generations(t), t.stored_feedback()));
    }

    pub fn row(&mut self, t: &mut Topology, kind: RowKind, place: u32, as_of: u64) {
        let mut bytes = vec![];
        if let Some(key) = t.export(kind, place, Offset(as_of), Pending::Whole, &mut bytes) {
            self.tombstones.remove(&(kind, key.to_string()));
            self.rows.insert((kind, key.to_string()), bytes);
        }
    }

    /// What changed, as it is now; what left before is noted.
    pub fn rows(&mut self, t: &mut Topology, changes: &mut Changes, as_of: u64) {
        self.left(changes);
        from_fn(|| changes.next_place()).for_each(|(kind, place)| self.row(t, kind, place, as_of));
        self.items(t, changes, as_of);
    }

    pub fn items(&mut self, t: &Topology, changes: &mut Changes, as_of: u64) {
        while let Some(item) = changes.next_item(t) {
            let (key, mut bytes) = ((RowKind::Item, item.to_string()), vec![]);
            if t.export_item(&item, Offset(as_of), &mut bytes) {
                self.rows.insert(key, bytes);
            } else {
                self.rows.remove(&key);
                self.tombstones.insert(key, as_of);
            }
        }
    }

    /// What left while it was made.
    pub fn left(&mut self, changes: &mut Changes) {
        for (kind, tombstone) in from_fn(|| changes.next_removed()) {
            let key = (kind, tombstone.key.to_string());
            self.rows.remove(&key);
            self.tombstones.insert(key, tombstone.as_of);
        }
        let mut bytes = vec![];
        while let Some(id) = changes.next_ended(&mut bytes) {
            self.rows.insert((RowKind::Decision, id.into()), std::mem::take(&mut bytes));
        }
    }

    pub fn complete(&mut self, t: &mut Topology, offset: u64) {
        let books = t.books(Offset(offset));
        let over = generations_of(books.over, t.over_since((0, 0)));
        self.complete = Some((books, over));
        t.end_changes();
    }

    /// The state, which has to catch up from the offset it begins at.
    pub fn restore(&self, plan: &Arc<Plan>) -> (Topology, u64) {
        let (globals, ids, feedback) = self.begun.as_ref().expect("it was begun");
        let (books, over) = self.complete.as_ref().expect("it is complete");
        let mut restore = Restore::new(Arc::clone(plan), globals, &ids.0, &ids.1).expect("the same plan");
        // As the store keeps them.
        let bytes = postcard::to_extend(books, vec![]).expect("memory takes any state");
        let books: Books = postcard::from_bytes(&bytes).expect("as written");
        restore.feedback(&StoredFeedback::from_bytes(feedback.bytes().to_vec()).expect("as written"));
        restore.books(books, &over.0, &over.1).expect("the same models");
        restore.notes(&self.notes);
        for ((kind, key), bytes) in &self.rows {
            restore.row(*kind, key, bytes).expect("a whole row");
        }
        for ((kind, key), as_of) in &self.tombstones {
            restore.tombstone(*kind, key, Offset(*as_of));
        }
        (restore.finish().expect("its rows are whole"), globals.offset)
    }
}

/// What a partition is after a restart from a checkpoint of all of it.
pub fn restart(topology: &mut Topology, offset: u64) -> Topology {
    let mut checkpoint = Checkpoint::default();
    checkpoint.begin(topology, offset);
    let changes = topology.take_changes();
    checkpoint.rows(topology, &mut topology.all_of(changes), offset);
    checkpoint.complete(topology, offset);
    let mut restarted = checkpoint.restore(topology.plan()).0;
    restarted.caught_up();
    restarted
}
