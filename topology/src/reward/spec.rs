//! What configuration says about a reward: signals folded from the events after a decision, and an expression over them.

use crate::spec::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A reward spec: one TOML file, or the JSON of it in a control record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSpec {
    /// Names it within its model; a changed spec has another version.
    pub version: u32,
    /// What it is meant to reward, for people.
    #[serde(default)]
    pub description: String,
    /// CEL over the signals and `item`, the item's fields. Gives a number or a truth value.
    pub expression: String,
    /// The reward of a decision after which nothing was observed.
    #[serde(default)]
    pub default_reward: f64,
    /// Rewards are held within these, explicit ones too.
    #[serde(default)]
    pub clip: Option<[f64; 2]>,
    /// Event time after the decision from which events count.
    #[serde(default)]
    pub start_after: Duration,
    /// Event time after the decision until which events count.
    #[serde(default = "wait")]
    pub wait: Duration,
    /// What several explicit rewards make together.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Signals by name.
    #[serde(default)]
    pub signals: BTreeMap<String, SignalSpec>,
}

fn wait() -> Duration {
    Duration::from_secs(1800)
}

/// What several explicit rewards of one pick make together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The one with the least event time.
    #[default]
    Earliest,
    /// Their mean.
    Average,
    /// The middle one; of an even number the mean of the two in the middle.
    Median,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest; of negative ones too.
    Max,
}

/// One signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSpec {
    /// How events become one number.
    pub fold: SignalFold,
    /// Event types that count; all when absent.
    #[serde(default)]
    pub on: Option<Vec<String>>,
    /// The event's number that is summed or kept: `value`, `playhead_s`, `duration_s`, `position`, `fields.NAME`.
    #[serde(default)]
    pub field: Option<String>,
}

/// How events become one number, in event-time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalFold {
    /// 1 where there was one, else 0.
    Any,
    /// How many.
    Count,
    /// Sum of a field.
    Sum,
    /// Greatest value of a field; 0 where there was none.
    Max,
    /// Least value of a field; 0 where there was none.
    Min,
    /// Value of a field at the least event time; 0 where there was none.
    First,
    /// Value of a field at the greatest event time; 0 where there was none.
    Last,
    /// Seconds of the content that were watched, each counted once, from `playhead_s`.
    UniqueSeconds,
    /// Seconds from the decision to the first; the window's length where there was none.
    TimeUntil,
}
