//! Feedback: decisions come in, what follows them is joined to them, and what it is worth goes into the books.
//!
//! ```text
//! Decision ─► open (table) ─► enters the books with what the model expected of it
//! Event, Reward ─► which decision, which pick ─► observed, per reward spec ─► worth ─► books: learnt, or corrected by the difference
//! watermark ─► window closes: what was not observed gets the default reward ─► over: counted in one bucket, forgotten
//! ```
//!
//! An event belongs to the decision it names, else, per model, to the latest (or earliest) one made for its viewer or session that
//! has its item and whose window it is in. What was observed is folded in event-time order, so that arrival within the lateness
//! changes no reward; a decision that comes after events that belong to it claims them.

mod close;
mod held;
mod join;
mod learn;
mod open;
mod pass;
mod records;
mod store;
mod table;
mod view;

pub(crate) use open::decode;
pub use pass::Away;
pub use store::StoredFeedback;
pub(crate) use table::Ended;
pub use view::{DecisionView, PickView, RewardView};

use crate::dedup::Dedup;
use crate::map::{Map, Set};
use crate::model::{Books, Catalogue, ModelPlan, Registry};
use held::Queue;
use join::RunningSpec;
use pass::Gone;
use std::collections::{BTreeSet, VecDeque};
use table::Table;

/// Everything about decisions in one partition.
#[derive(Debug)]
pub(crate) struct Feedback {
    pub table: Table,
    pub books: Books,
    pub registry: Registry,
    pub catalogue: Catalogue,
    /// Rewards whose decision is not known, or not activated.
    waiting: Queue,
    /// Events that a decision yet to come may claim.
    recent: Queue,
    /// What is on its way to other partitions.
    away: VecDeque<Gone>,
    /// Of their records.
    away_bytes: usize,
    /// Keys of decisions that are over. As the books, it contains the log before one offset.
    pub over: Dedup,
    /// Grows with each reward that begins to wait.
    pub waited: u64,
    /// Event types that matter to any running spec; none where all do.
    kinds: Option<Set<Box<str>>>,
    /// The specs that run, of all models.
    running: Vec<RunningSpec>,
    /// Items changed since the last checkpoint.
    items_dirty: Set<Box<str>>,
    /// While catching up: decisions that ended after the globals, and the offsets before which records contain that.
    over_as_of: Map<Box<str>, u64>,
    /// The same by that offset.
    ending: BTreeSet<(u64, Box<str>)>,
    /// While catching up: offsets that items contain the log up to.
    items_as_of: Map<Box<str>, u64>,
}

/// The place of a record in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub models: &'a [ModelPlan],
    pub offset: u64,
    /// Greatest event time so far.
    pub now: i64,
    pub watermark: i64,
    pub horizon: i64,
    pub lateness: i64,
}

/// Seeds of fingerprints: the id of a decision is not that of an event or of a reward.
const DECISION_IDS: u64 = 0xdec1_5105;
const REWARD_IDS: u64 = 0x4e3a_4d01;
const PASSED: u64 = 0x9a55_ed01;

impl Feedback {
    pub(crate) fn new(models: &[ModelPlan], ids_max: u32) -> Self {
        Feedback {
            table: Table::new(models.len()),
            books: Books::new(models),
            registry: Registry::new(models.len()),
            catalogue: Catalogue::default(),
            waiting: Queue::default(),
            recent: Queue::default(),
            away: VecDeque::new(),
            away_bytes: 0,
            over: Dedup::growing(ids_max),
            waited: 0,
            kinds: Some(Set::default()),
            running: vec![],
            items_dirty: Set::default(),
            over_as_of: Map::default(),
            ending: BTreeSet::new(),
            items_as_of: Map::default(),
        }
    }

    /// Whether an event of this type can matter.
    fn cares(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    fn collect_kinds(&mut self) {
        self.running.clear();
        for (model, rewards) in self.registry.models.iter().enumerate() {
            self.running
                .extend(rewards.running.iter().map(|r| RunningSpec { model, version: r.reward.spec().version }));
        }
        let mut kinds = Some(Set::default());
        for running in self.registry.models.iter().flat_map(|rewards| &rewards.running) {
            match running.reward.kinds() {
                None => kinds = None,
                Some(more) => kinds.iter_mut().for_each(|kinds| kinds.extend(more.iter().map(|k| Box::from(*k)))),
            }
        }
        self.kinds = kinds;
    }

    /// Whether something can still be joined to the decision.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.table.find(id).is_some()
    }

    /// While catching up: whether the decision's record at `offset` is contained in its row.
    pub(crate) fn contains(&self, id: &str, offset: u64) -> bool {
        self.table.find(id).is_some_and(|place| offset < self.table.get(place).as_of)
    }

    /// Rewards that wait for their decision.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a decision of this id is over, as far as is remembered. While catching up, what is remembered contains ends that are
    /// yet to come.
    pub(crate) fn is_over(&self, id: &str, offset: u64) -> bool {
        match self.over_as_of.get(id) {
            Some(as_of) if offset < self.books.as_of => *as_of <= offset,
            _ => self.over.contains(decision_key(id)),
        }
    }

    /// Bytes of state, about; without what was learnt.
    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.over.bytes() + self.waiting.bytes() + self.recent.bytes() + self.away_bytes
    }
}

/// What a decision is known by where its id would take too much room.
pub fn decision_key(id: &str) -> u64 {
    Dedup::fingerprint_of(DECISION_IDS, id)
}

/// What a record that came from another partition is remembered by, among the events' ids.
pub(crate) fn passed_fingerprint(from: u16, offset: u64) -> u64 {
    Dedup::fingerprint_of(PASSED ^ u64::from(from).rotate_left(48), &offset.to_string())
}

/// What decision ids and reward ids are remembered by, among the events'.
pub(crate) fn fingerprints(decision: &str, reward: Option<&str>) -> u64 {
    match reward {
        None => decision_key(decision),
        Some(reward) => Dedup::fingerprint_of(REWARD_IDS ^ Dedup::fingerprint(decision), reward),
    }
}
