//! The records that close the loop: decisions, their activation and rewards, the catalogue, reward specs.
//!
//! A decision's record is all that learning needs of it: features, propensities, what the model believed. Nothing of it is looked
//! up again later, so a change of the catalogue, of features or of the model does not change what was learnt from it.

use crate::record::{Event, EventTime, Fields};
use serde::{Deserialize, Serialize};

/// What was asked, what was answered, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// Its key, 1 to 128 bytes: asked again, the answer is the same.
    pub id: &'a str,
    /// Name of the model that was asked.
    pub model: &'a str,
    /// When it was made; windows are counted from here, or from its activation.
    pub event_time: EventTime,
    /// Who it was made for: at least one of the two, or neither where rewards come by decision id alone.
    pub session: Option<&'a str>,
    /// See `session`.
    pub viewer: Option<&'a str>,
    /// Whose choice it was.
    pub served: Served,
    /// It counts only once it is activated.
    pub deferred: bool,
    /// Decisions of the model before it, as the model version counted them.
    pub ordinal: u64,
    /// Version of the context it was made from; none where the request brought its own.
    pub context_version: Option<u64>,
    /// The model version: the offset, per partition, before which the log was learnt.
    pub model_version: Vec<u64>,
    /// Version of the reward spec in force.
    pub reward_version: u32,
    /// Features of the context, as the model takes them.
    pub context: Vec<f64>,
    /// What was to choose from, in the caller's order, without what was excluded.
    #[serde(borrow)]
    pub candidates: Vec<Candidate<'a>>,
    /// The policy's probability of each candidate for the first position.
    pub distribution: Vec<f64>,
    /// What was answered, by position.
    #[serde(borrow)]
    pub picks: Vec<Pick<'a>>,
    /// What the policy would have put first, where it did not answer itself (`apprentice`).
    pub preferred: Option<u32>,
}

/// Whose choice a decision was, and whether it is learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// The policy's.
    Policy,
    /// The caller's order; the model learns beside it.
    Apprentice,
    /// The caller's order; nothing is learnt.
    LoggingOnly,
    /// The hold-out's: the baseline's choice, nothing is learnt.
    HeldOut,
    /// The caller's order, because the viewer does not want to be learnt from.
    OptedOut,
    /// Made elsewhere, with its propensities; learnt from.
    Elsewhere,
}

impl Served {
    /// All of them.
    pub const ALL: [Served; 6] =
        [Served::Policy, Served::Apprentice, Served::LoggingOnly, Served::HeldOut, Served::OptedOut, Served::Elsewhere];

    /// Its name, as in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Served::Policy => "policy",
            Served::Apprentice => "apprentice",
            Served::LoggingOnly => "logging_only",
            Served::HeldOut => "held_out",
            Served::OptedOut => "opted_out",
            Served::Elsewhere => "elsewhere",
        }
    }

    /// Whether the model learns from it.
    pub fn is_learnt(self) -> bool {
        matches!(self, Served::Policy | Served::Apprentice | Served::Elsewhere)
    }
}

/// Something that could have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate<'a> {
    /// The item.
    pub item: &'a str,
    /// What the request said of it; goes before what the catalogue says.
    #[serde(borrow)]
    pub features: Fields<'a>,
}

/// One position of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pick<'a> {
    /// Place in `candidates`.
    pub candidate: u32,
    /// Probability with which it was drawn for this position, given the positions before.
    pub propensity: f64,
    /// Its score: the expected reward.
    pub score: f64,
    /// Joint features of the context and this item; empty for per-action estimators.
    pub joint: Vec<f64>,
    /// The item's fields as they were known: of the request, else of the catalogue. For reward expressions.
    #[serde(borrow)]
    pub fields: Fields<'a>,
    /// What each reward spec's model expected; none for decisions made elsewhere.
    pub beliefs: Vec<Belief>,
}

/// What the model under one reward spec expected of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// Version of the reward spec.
    pub spec: u32,
    /// Expected reward.
    pub expected: f64,
    /// Its departure from the mean reward.
    pub deviation: f64,
}

/// A deferred decision was shown: it counts from now on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activation<'a> {
    /// The decision.
    pub decision: &'a str,
    /// When; none is now, in the stream's time.
    pub event_time: Option<EventTime>,
}

/// An outcome that was told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplicitReward<'a> {
    /// The decision.
    pub decision: &'a str,
    /// Key against telling it twice; without one every call counts.
    pub id: Option<&'a str>,
    /// Which item of a slate; without item and position, the first position.
    pub item: Option<&'a str>,
    /// Which position of a slate.
    pub position: Option<u32>,
    /// The reward; finite.
    pub value: f64,
    /// When it happened; none is now, in the stream's time.
    pub event_time: Option<EventTime>,
}

/// What waits in this partition for a decision belongs to another partition, where the decision is: it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaving<'a> {
    /// The decision.
    pub decision: &'a str,
    /// Its partition.
    pub to: u16,
}

/// Something that names a decision, come from the partition where it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passed<'a> {
    /// The partition it arrived in.
    pub from: u16,
    /// Its offset there: with `from`, the key against taking it in twice.
    pub offset: u64,
    /// Its event time, as that partition corrected it.
    pub event_time: EventTime,
    /// What it is.
    #[serde(borrow)]
    pub told: Told<'a>,
}

/// What can be told of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told<'a> {
    /// An event that names it.
    #[serde(borrow)]
    Event(Event<'a>),
    /// An explicit reward.
    #[serde(borrow)]
    Reward(ExplicitReward<'a>),
}

impl<'a> Told<'a> {
    /// The decision it names.
    pub fn decision(&self) -> &'a str {
        match self {
            Told::Event(event) => event.decision.unwrap_or(""),
            Told::Reward(reward) => reward.decision,
        }
    }
}

/// What left this partition has been taken in where it went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Landed {
    /// All that left by records up to this offset.
    pub until: u64,
}

/// A thing of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Its id, 1 to 256 bytes.
    pub id: &'a str,
    /// All its fields; replaces what was known. None removes it.
    #[serde(borrow)]
    pub fields: Option<Fields<'a>>,
}

/// A change of what is rewarded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control<'a> {
    /// The model.
    pub model: &'a str,
    /// What is done.
    pub action: Act,
    /// Version of the reward spec.
    pub version: u32,
    /// The spec as JSON, where it is proposed.
    pub spec: &'a str,
    /// Who did it.
    pub by: &'a str,
}

/// What is done with a reward spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It runs in shadow from now on.
    Propose,
    /// It is in force from now on; the one before stays in shadow.
    Activate,
    /// It no longer runs; its sums are dropped.
    Retire,
}
