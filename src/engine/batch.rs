//! What is handed to the engine at once, and what became of it.

use super::decisions::Claim;
use super::{Engine, Shared};
use crate::log::RecordBatch;
use saccade_topology::decision::{Control, Decision, Item};
use saccade_topology::model::RewardEnd;
use saccade_topology::{Arrived, Event, IngestTime, Record};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of one request, encoded for their partitions.
pub struct Batch {
    /// When the request arrived.
    pub ingest_time: IngestTime,
    pub(super) arrived: Instant,
    pub(super) waited: Duration,
    pub(super) sync: bool,
    pub(super) is_urgent: bool,
    pub(super) parts: Vec<RecordBatch>,
    pub(super) claims: Vec<(usize, Claim)>,
    shared: Arc<Shared>,
}

impl Batch {
    /// An empty batch for the engine's partitions; its events arrived now.
    pub fn new(engine: &Engine, ingest_time: IngestTime) -> Batch {
        let parts = vec![RecordBatch::default(); engine.inboxes.len()];
        let shared = Arc::clone(&engine.shared);
        let (arrived, waited) = (Instant::now(), Duration::ZERO);
        Batch { ingest_time, arrived, waited, sync: false, is_urgent: false, parts, claims: vec![], shared }
    }

    /// Asks for memory for records of about so many bytes in all.
    pub fn reserve(&mut self, bytes: usize) {
        let each = bytes / self.parts.len();
        self.parts.iter_mut().for_each(|part| part.reserve(each));
    }

    /// Counts the time to publication from `arrived` instead of from when the batch was made.
    pub fn arrived_at(mut self, arrived: Instant) -> Batch {
        self.arrived = arrived;
        self
    }

    /// It had waited for so long before it was read: part of what it may wait in all (`ingest.queue_wait_max`).
    pub fn waited(mut self, waited: Duration) -> Batch {
        self.waited = waited;
        self
    }

    /// What is learnt from it is cut into a model version at once; see [`Engine::learnt`].
    pub fn at_once(mut self) -> Batch {
        self.sync = true;
        self.urgent()
    }

    /// Somebody is waiting for it: it is not held back so that one turn, or one fsync, does for more of them.
    pub fn urgent(mut self) -> Batch {
        self.is_urgent = true;
        self
    }

    /// Adds one event that [`Engine::admit`] passed.
    pub fn push(&mut self, event: &Event<'_>) {
        let partition = partition_of(event, self.parts.len());
        self.push_to(partition, Record::Event(*event));
    }

    /// Adds a decision: to the partition where its id is known, else that of its viewer, else of its session, else of its id.
    pub fn push_decision(&mut self, decision: Decision<'_>) {
        let partition = partition_of_decision(&decision, self.parts.len());
        let (partition, claim) = Claim::of(&self.shared, decision.id, partition as u16);
        let partition = usize::from(partition);
        self.claims.extend(claim.map(|claim| (partition, claim)));
        self.push_to(partition, Record::Decision(Box::new(decision)));
    }

    /// Adds a thing of the catalogue.
    pub fn push_item(&mut self, item: Item<'_>) {
        self.push_to(0, Record::Item(item));
    }

    /// Adds a change of what is rewarded, to all partitions: [`Engine::change`] sees to their order.
    pub(super) fn push_control(&mut self, control: Control<'_>) {
        for partition in 0..self.parts.len() {
            self.push_to(partition, Record::Control(control));
        }
    }

    /// Adds a record to a partition: what is told of a decision goes to [`Engine::partition_of_decision`].
    pub fn push_to(&mut self, partition: usize, record: Record<'_>) {
        self.parts[partition].push(&Arrived { ingest_time: self.ingest_time, record });
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|p| p.count() as usize).sum()
    }

    /// No records so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The partition of an event among `count`: by hash of the viewer, or of the session where there is no viewer.
pub fn partition_of(event: &Event<'_>, count: usize) -> usize {
    partition_of_key(event.routing_key(), count)
}

/// The partition of a decision among `count`: where the events of its viewer or session are, else by hash of its id.
pub fn partition_of_decision(decision: &Decision<'_>, count: usize) -> usize {
    partition_of_key(decision.viewer.or(decision.session).unwrap_or(decision.id), count)
}

/// The partition of a key among `count`.
pub fn partition_of_key(key: &str, count: usize) -> usize {
    (xxhash_rust::xxh3::xxh3_64(key.as_bytes()) % count as u64) as usize
}

/// How many records of a batch ended in which bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// In the log and folded.
    pub accepted: u64,
    /// Seen before; nothing changed.
    pub duplicates: u64,
    /// In the log, set aside, state unchanged.
    pub late: u64,
    /// Refused by the fold after all: too far ahead of their arrival.
    pub rejected: u64,
    /// Things of the catalogue that there is no room for.
    pub no_room: u64,
    /// What became of the last explicit reward; `Some(None)` where it waits for its decision.
    pub rewarded: Option<Option<RewardEnd>>,
    /// Where the last record of the batch stands that is in the log: in the last partition that has any, and of events only where it has no other.
    pub last: Option<Place>,
}

/// Place of a record in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Partition.
    pub partition: u16,
    /// Offset.
    pub offset: u64,
}

impl Receipt {
    pub(super) fn add(&mut self, other: Receipt) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.rejected += other.rejected;
        self.no_room += other.no_room;
        self.rewarded = other.rewarded.or(self.rewarded);
        self.last = other.last.or(self.last);
    }
}
