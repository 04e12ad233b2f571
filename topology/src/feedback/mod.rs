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
mod store;
mod table;
mod view;

pub(crate) use open::decode;
pub use store::StoredFeedback;
pub use view::{DecisionView, PickView, RewardView};

use crate::dedup::Dedup;
use crate::map::{Map, Set};
use crate::model::{Books, Catalogue, ModelPlan, Registry};
use held::Queue;
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
    /// Event types that matter to any running spec; none where all do.
    kinds: Option<Set<Box<str>>>,
    /// Items changed since the last checkpoint.
    items_dirty: Set<Box<str>>,
    /// While catching up: decisions that are over, and the offsets their ends are contained in.
    over_as_of: Map<Box<str>, u64>,
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

impl Feedback {
    pub(crate) fn new(models: &[ModelPlan]) -> Self {
        Feedback {
            table: Table::new(models.len()),
            books: Books::new(models),
            registry: Registry::new(models.len()),
            catalogue: Catalogue::default(),
            waiting: Queue::default(),
            recent: Queue::default(),
            kinds: Some(Set::default()),
            items_dirty: Set::default(),
            over_as_of: Map::default(),
            items_as_of: Map::default(),
        }
    }

    /// Whether an event of this type can matter.
    fn cares(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    fn collect_kinds(&mut self) {
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

    /// While catching up: whether the state contains the decision's record at `offset` already, its end included.
    pub(crate) fn contains(&self, id: &str, offset: u64) -> bool {
        let as_of = self.table.find(id).map(|place| self.table.get(place).as_of);
        as_of.or(self.over_as_of.get(id).copied()).is_some_and(|as_of| offset < as_of)
    }

    /// While catching up: what waited for a contained decision is in its row.
    pub(crate) fn claimed(&mut self, id: &str) -> bool {
        self.claim(id);
        true
    }

    /// Rewards that wait for their decision.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of state, about; without what was learnt.
    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// What decision ids and reward ids are remembered by, among the events'.
pub(crate) fn fingerprints(decision: &str, reward: Option<&str>) -> u64 {
    match reward {
        None => Dedup::fingerprint_of(DECISION_IDS, decision),
        Some(reward) => Dedup::fingerprint_of(REWARD_IDS ^ Dedup::fingerprint(decision), reward),
    }
}
