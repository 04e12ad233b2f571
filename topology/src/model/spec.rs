//! What configuration says about a model: what it looks at, how it chooses and learns, what it is held to.

use crate::decision::Served;
use crate::learn::{HalfLife, Ladder, Policy, Prior, Provisional};
use crate::reward::RewardSpec;
use crate::spec::Duration;
use serde::{Deserialize, Deserializer, Serialize};
use serde_untagged::UntaggedEnumVisitor;

/// One `[[models]]` table: one per surface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name, as in `POST /v1/rank/{model}`.
    pub name: String,
    /// Slots of the session's vector that it looks at.
    #[serde(default)]
    pub context: ContextSpec,
    /// Numbers of the request's `features` that it looks at, 0 where absent.
    #[serde(default)]
    pub features: Vec<String>,
    /// Features of items, from the request or the catalogue.
    #[serde(default)]
    pub items: Vec<ItemFeature>,
    /// How it chooses.
    #[serde(default)]
    pub policy: Policy,
    /// What shares what between actions; `hybrid` where there are features of items, else `per_action`.
    #[serde(default)]
    pub estimator: Option<crate::learn::Estimator>,
    /// How fast old observations lose weight.
    #[serde(default)]
    pub half_life: HalfLife,
    /// The half-lives that `auto` chooses from.
    #[serde(default)]
    pub ladder: Ladder,
    /// What is believed before anything is seen.
    #[serde(default)]
    pub prior: Prior,
    /// What a decision counts before its reward is known.
    #[serde(default)]
    pub provisional: Provisional,
    /// Which of several decisions an event without decision id belongs to.
    #[serde(default)]
    pub attribute: Attribute,
    /// How far before a decision such an event may be dated where no decision was made before it: the clock that dated it may be
    /// behind the one that dated the decision.
    #[serde(default = "attribution_tolerance")]
    pub attribution_tolerance: Duration,
    /// Who answers.
    #[serde(default)]
    pub mode: Mode,
    /// Share of viewers that are answered by the baseline and not learnt from.
    #[serde(default)]
    pub hold_out: f64,
    /// What answers them.
    #[serde(default)]
    pub baseline: Baseline,
    /// Of all its randomness.
    #[serde(default)]
    pub seed: u64,
    /// Candidates of a request.
    #[serde(default = "candidates_max")]
    pub candidates_max: u32,
    /// Items with estimates of their own; at the limit the one that was chosen least recently is forgotten.
    #[serde(default = "actions_max")]
    pub actions_max: u32,
    /// Open decisions per partition; at the limit the oldest is evicted.
    #[serde(default = "decisions_max")]
    pub decisions_max: u32,
    /// The first reward spec: a file beside the configuration, or the spec itself.
    pub reward: RewardSource,
}

impl ModelSpec {
    /// What answers decisions of this kind; none for those made elsewhere.
    pub fn answers(&self, served: Served) -> Option<Policy> {
        match (served, self.baseline) {
            (Served::Policy, _) => Some(self.policy),
            (Served::HeldOut, Baseline::Shuffle) => Some(Policy::Uniform),
            (Served::HeldOut | Served::Apprentice | Served::LoggingOnly | Served::OptedOut, _) => Some(Policy::Noop),
            (Served::Elsewhere, _) => None,
        }
    }
}

/// What clocks that are set over the network stay within; more would claim what viewers did on their own just before.
fn attribution_tolerance() -> Duration {
    Duration::from_secs(2)
}
fn candidates_max() -> u32 {
    500
}
fn actions_max() -> u32 {
    2_000
}
fn decisions_max() -> u32 {
    100_000
}

/// Where the features of the context come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`context` is \"request\", or a list of slots, as [\"events\", \"playback*\"]")]
pub enum ContextSpec {
    /// `"request"`: the request's `context`; without one, and without features, a single 1.
    Named(ContextName),
    /// Slots by name, `*` for any part of one; a constant 1 goes before them.
    Slots(Vec<String>),
}

impl Default for ContextSpec {
    fn default() -> Self {
        ContextSpec::Named(ContextName::Request)
    }
}

/// See [`ContextSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextName {
    /// The request brings it.
    Request,
}

/// One feature of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a feature of items as a table, { field = \"genre\" }")]
pub struct ItemFeature {
    /// Field of the item: a number or truth value; or with `values` a text or list of texts.
    pub field: String,
    /// One feature per listed value.
    #[serde(default)]
    pub values: Option<Vec<String>>,
    /// The number is multiplied by this.
    #[serde(default = "one")]
    pub scale: f64,
    /// Products with each feature of the context are features too.
    #[serde(default = "yes")]
    pub interact: bool,
}

fn one() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}

/// Which of several decisions an event belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// The latest before it.
    #[default]
    Last,
    /// The earliest whose window is open.
    Earliest,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The policy.
    #[default]
    Online,
    /// The caller's order; the model learns beside it and reports how often it agrees.
    Apprentice,
    /// The caller's order; decisions and rewards are logged, nothing is learnt.
    LoggingOnly,
}

/// What answers the hold-out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The caller's own order.
    #[default]
    Noop,
    /// Any order.
    #[serde(alias = "uniform")]
    Shuffle,
}

/// Where the first reward spec is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RewardSource {
    /// A file, relative to the configuration.
    File(String),
    /// Itself.
    Inline(Box<RewardSpec>),
}

impl<'de> Deserialize<'de> for RewardSource {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Derived, it would say that nothing matches, instead of what is wrong with the spec.
        UntaggedEnumVisitor::new()
            .expecting("a reward spec: a table, or the name of a file that holds it")
            .string(|file| Ok(RewardSource::File(file.to_owned())))
            .map(|spec| spec.deserialize().map(RewardSource::Inline))
            .deserialize(d)
    }
}
