//! Published decisions: those that something can still be joined to, as they were logged, and where those are that are over. Written by
//! the partitions, read by requests that ask again or tell an outcome.
//!
//! With several partitions it also says in which one each decision is, for as long as that partition remembers it. It is of this
//! process, and made anew from the partitions' state at each start: nothing depends on it but the way that is taken.

use super::Shared;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use saccade_topology::decision::Decision;
use saccade_topology::{Topology, decision_key};
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
pub struct Decisions {
    open: DashMap<Box<str>, OpenDecision>,
    /// Where each is that is open, over or asked for; none where there is one partition only.
    places: Option<DashMap<u64, Place>>,
}

#[derive(Clone, Copy)]
struct Place {
    partition: u16,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// A request to make it is on its way.
    Asked,
    Open,
    /// Over, in a generation of those that its partition remembers.
    Over(u64),
}

impl Decisions {
    pub(super) fn new(partitions: u16) -> Decisions {
        Decisions { open: DashMap::new(), places: (partitions > 1).then(DashMap::new) }
    }

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

    /// The partition of a decision by its key; none where nobody knows it, or there is one partition only.
    pub(super) fn place(&self, key: u64) -> Option<u16> {
        self.places.as_ref()?.get(&key).map(|place| place.partition)
    }

    /// What a partition remembers, at the start.
    pub(super) fn restored(&self, partition: u16, fold: &Topology) {
        if self.places.is_none() {
            return;
        }
        fold.over().for_each(|(generation, key)| self.put(partition, key, Stage::Over(generation)));
        fold.open_keys().for_each(|key| self.put(partition, key, Stage::Open));
    }

    /// Forgets what a partition has forgotten, whose latest generation is this one.
    pub(super) fn forget(&self, partition: u16, generation: u64) {
        let is_kept = |place: &Place| match place.stage {
            Stage::Over(of) => place.partition != partition || of + 1 >= generation,
            Stage::Asked | Stage::Open => true,
        };
        self.places.iter().for_each(|places| places.retain(|_, place| is_kept(place)));
    }

    fn put(&self, partition: u16, key: u64, stage: Stage) {
        if let Some(places) = &self.places {
            places.insert(key, Place { partition, stage });
        }
    }

    fn apply(&self, partition: u16, generation: u64, change: Change) {
        match change {
            Change::Made(id, record) => {
                self.put(partition, decision_key(&id), Stage::Open);
                self.open.insert(id, OpenDecision { partition, record });
            }
            Change::Over(id) => {
                self.put(partition, decision_key(&id), Stage::Over(generation));
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

/// Holds the id of a decision that is asked for, until its partition has taken it in or not: asked for twice at once, for two
/// viewers even, it is made in one partition.
pub(super) struct Claim {
    shared: Arc<Shared>,
    key: u64,
}

impl Claim {
    /// The partition where the decision of this id belongs, and the claim where it is new there.
    pub(super) fn of(shared: &Arc<Shared>, id: &str, partition: u16) -> (u16, Option<Claim>) {
        let Some(places) = &shared.decisions.places else { return (partition, None) };
        let key = decision_key(id);
        match places.entry(key) {
            Entry::Occupied(taken) => (taken.get().partition, None),
            Entry::Vacant(free) => {
                free.insert(Place { partition, stage: Stage::Asked });
                (partition, Some(Claim { shared: Arc::clone(shared), key }))
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(places) = &self.shared.decisions.places {
            places.remove_if(&self.key, |_, place| place.stage == Stage::Asked);
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

    pub(super) fn publish(&mut self, partition: u16, generation: u64, decisions: &Decisions) {
        self.0.drain(..).for_each(|change| decisions.apply(partition, generation, change));
    }
}
