//! What the inspection of a decision says: the body of `GET /v1/inspect/decision/{id}`, and what the command line shows.

use crate::inspect::report::At;
use saccade_topology::decision::Served;
use saccade_topology::learn::Policy;
use serde::{Deserialize, Serialize};

/// A decision, from the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionReport {
    pub decision: String,
    /// The whole of it in sentences, for people.
    pub in_words: Vec<String>,
    pub asked: Asked,
    pub answered: Answered,
    pub made_from: MadeFrom,
    /// What each group of features adds to the score of the first pick and of the candidate it is compared with.
    pub compared: Option<Compared>,
    pub reproduction: Reproduction,
    pub followed: Followed,
}

/// What was asked, and where it is in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub partition: u16,
    pub offset: u64,
    pub ingest_time: At,
    pub event_time: At,
    pub model: String,
    pub session: Option<String>,
    pub viewer: Option<String>,
    /// It counts only once it is activated.
    pub deferred: bool,
    /// Offsets per partition before which the log was learnt.
    pub model_version: Vec<u64>,
    pub reward_version: u32,
    /// Decisions of the model before it, as the model version counted them.
    pub decisions_before: u64,
    /// Partitions whose older records were dropped, and the offset where their log begins now.
    pub trimmed: Vec<(u16, u64)>,
}

/// How the answer came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Whose choice it was.
    pub served: Served,
    /// What chose, as configured now; none for decisions made elsewhere.
    pub policy: Option<Policy>,
    /// Probability that is spread evenly over all candidates, where the policy has such a floor.
    pub floor: Option<f64>,
    /// What the policy would have put first, where it did not answer itself.
    pub preferred: Option<String>,
    /// In the caller's order.
    pub candidates: Vec<CandidateReport>,
    /// By position.
    pub picks: Vec<PickReport>,
}

/// Something that could have been answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CandidateReport {
    pub item: String,
    /// Of the first position; none for decisions made elsewhere.
    pub probability: Option<f64>,
    /// Expected reward; none where the model version could not be made again and the item was not picked.
    pub score: Option<f64>,
    /// Standard error of the expectation.
    pub uncertainty: Option<f64>,
}

/// One position of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PickReport {
    pub item: String,
    /// Place in the caller's order, from 0.
    pub candidate: u32,
    /// Given the positions before.
    pub propensity: f64,
    pub score: f64,
    /// None for decisions made elsewhere, and for later positions where the model version could not be made again.
    pub draw: Option<Draw>,
}

/// The keyed number, and the interval it fell into when the probabilities are laid side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draw {
    pub number: f64,
    pub from: f64,
    pub to: f64,
}

/// What it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MadeFrom {
    /// Offset of the record that caused the context; none where the request brought its own, or nothing was known.
    pub context_version: Option<u64>,
    pub features: Vec<FeatureReport>,
    pub check: ContextCheck,
}

/// A feature of the context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeatureReport {
    pub name: String,
    pub value: f64,
}

/// Whether the recorded features are those of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContextCheck {
    /// The log gives the recorded features, to the bit.
    Matches,
    Differs,
    /// The request brought the features, or its session was not known.
    NotFromLog,
    /// The log gives no context of this version to this session or viewer.
    NotFound,
}

/// Contributions to two scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub pick: String,
    /// The best other one.
    pub other: String,
    /// Group of features, what it adds to the score of the pick, and of the other.
    pub groups: Vec<(String, f64, f64)>,
}

/// Whether the decision is made again from the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reproduction {
    pub status: Status,
    /// The same, as a sentence.
    pub says: String,
    pub difference: Option<Difference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// The log gives the same record, to the bit.
    Reproduced,
    /// It was made elsewhere: what the model expected of it is the same, to the bit.
    ReproducedBeliefs,
    Different,
    /// What is needed is not there.
    Impossible,
}

/// The first field that is another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub field: String,
    pub recorded: String,
    pub reproduced: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Followed {
    /// `open`, or where it ended: `joined`, `default`, `late`, `evicted`, `held_out`, `opted_out`, `not_activated`, `unfit`;
    /// `refused` where it was never taken in.
    pub outcome: String,
    /// Event time from which windows are counted; none before it is activated.
    pub since: Option<At>,
    /// The last moment of its windows.
    pub until: Option<At>,
    /// Event time that the partition has reached, or had reached when the decision was over.
    pub watermark: Option<At>,
    /// Reward specs are those of the configuration: the records that put them in force are no longer in the log.
    pub specs_from_configuration: bool,
    /// As it stands, or stood when it was over. By position.
    pub picks: Vec<Observed>,
    /// Records that touched it, in order; the newest where there are too many.
    pub history: Vec<Touch>,
    /// Older ones that are left out.
    pub left_out: u64,
}

/// What was observed of one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Observed {
    pub item: String,
    pub rewards: Vec<RewardReport>,
}

/// One position under one reward spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RewardReport {
    pub version: u32,
    pub description: String,
    /// Whether it was in force when the decision was made; else in shadow.
    pub in_force: bool,
    pub signals: Vec<(String, f64)>,
    /// None where none is known yet.
    pub reward: Option<f64>,
    /// The expression failed: that is the default reward.
    #[serde(default)]
    pub has_failed: bool,
    pub is_closed: bool,
    pub until: At,
    /// From the window's beginning to what was observed first, ms.
    pub delay_ms: Option<i64>,
}

/// A record that touched the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Touch {
    pub partition: u16,
    pub offset: u64,
    pub ingest_time: At,
    /// As it was told.
    pub event_time: Option<At>,
    /// `decision`, `activation`, `reward`, an event's type, or `time` where another record only let time pass.
    pub what: String,
    /// The event's or reward's id.
    pub id: Option<String>,
    pub item: Option<String>,
    pub value: Option<f64>,
    /// `decided`, `activated`, `joined`, `late`, `waiting`, `dangling`, `duplicate`, `rejected`, `refused`, `ignored`, `closed`,
    /// or `over` where the decision ended.
    pub became: String,
    pub changes: Vec<Change>,
}

/// What a record changed under one reward spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub position: usize,
    pub version: u32,
    /// Signals that changed: before and after.
    pub signals: Vec<(String, f64, f64)>,
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// The window closed.
    pub closed: bool,
}
