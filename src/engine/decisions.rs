//! Published decisions: those that something can still be joined to, as they were logged. Written by the partitions, read by
//! requests that ask again or tell an outcome.

use dashmap::DashMap;
use saccade_topology::decision::Decision;
use std::sync::Arc;

/// A decision that is not over.
#[derive(Clone, Debug)]
pub struct OpenDecision {
    /// Its partition.
    pub partition: u16,
    record: Arc<[u8]>,
}

impl OpenDecision {
    /// The record, as it was logged.
    pub fn decision(&self) -> Decision<'_> {
        postcard::from_bytes(&self.record).expect("the fold hands out what it has read")
    }
}

/// Read side: every decision that is not over, by id.
#[derive(Default)]
pub struct Decisions {
    open: DashMap<Box<str>, OpenDecision>,
}

impl Decisions {
    /// The decision of this id; none where it was never made, or is over.
    pub fn get(&self, id: &str) -> Option<OpenDecision> {
        self.open.get(id).map(|decision| decision.clone())
    }

    /// Decisions that are not over.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn apply(&self, partition: u16, change: Change) {
        match change {
            Change::Made(id, record) => {
                self.open.insert(id, OpenDecision { partition, record });
            }
            Change::Over(id) => {
                self.open.remove(&id);
            }
        }
    }

    /// Gives back memory that a past peak left behind.
    pub(super) fn tidy(&self) {
        if self.open.capacity() > 65_536 && self.open.len() * 8 < self.open.capacity() {
            self.open.shrink_to_fit();
        }
    }
}

enum Change {
    Made(Box<str>, Arc<[u8]>),
    Over(Box<str>),
}

/// Decisions of a turn, held back until its records are in the log.
#[derive(Default)]
pub(super) struct StagedDecisions(Vec<Change>);

impl StagedDecisions {
    pub(super) fn made(&mut self, id: &str, record: &Arc<[u8]>) {
        self.0.push(Change::Made(id.into(), Arc::clone(record)));
    }

    pub(super) fn over(&mut self, id: &str) {
        self.0.push(Change::Over(id.into()));
    }

    pub(super) fn publish(&mut self, partition: u16, decisions: &Decisions) {
        self.0.drain(..).for_each(|change| decisions.apply(partition, change));
    }
}
