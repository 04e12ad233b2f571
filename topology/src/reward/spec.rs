//! What configuration says about a reward: signals folded from the events after a decision, and an expression over them.
//!
//! # The expression
//!
//! The syntax is that of CEL, the Common Expression Language (<https://cel.dev>, parsed by the crate `cel`). It sees every signal by
//! its name, `default_reward`, and `item`: what is known of the item that was picked.
//!
//! - **Numbers are doubles**, however they are written, so `clicked * 2 + watched_s / 60` is a number. (CEL proper refuses
//!   `clicked * 2`, where one is a double and the other an int. Here `7 / 2` is 3.5 and `5.5 % 2` is 1.5.)
//! - Operators: `+ - * / %`, `== != < <= > >=`, `&& || !`, `condition ? a : b`, `x in list`, `list[0]`. Truth values are no
//!   numbers: `clicked > 0 ? 1 : 0`. As a result, true is 1.
//! - `item.genre`, `item["genre"]`: a number, truth value, text, or list of texts. A field that the item lacks fails the expression;
//!   `has(item.genre)` or `"genre" in item` asks first. `&&` and `||` do not fail where their other side decides.
//! - Functions: `min max abs sign floor ceil round trunc sqrt exp ln pow double int`, `math.least` and `math.greatest` as in CEL's
//!   extension; `size`, `startsWith`, `endsWith`, `contains`.
//! - Lists: `[1, 2]`, `+`, `all`, `exists`, `exists_one`, `filter`, `map`: `item.tags.exists(t, t == "new")`.
//!
//! Not offered: maps, bytes, `null`, durations, timestamps, regular expressions, messages. An expression has at most 4,096 bytes,
//! brackets 64 deep and 512 operators; an evaluation takes at most 10,000 steps, lists have at most 1,024 elements, and where it
//! takes more it fails.

use super::RewardError;
use crate::spec::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A reward spec: one TOML file, or the JSON of it in a control record. Not for `postcard`, which has no keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSpec {
    /// Names it within its model; a changed spec has another version.
    pub version: u32,
    /// What it is meant to reward, for people.
    #[serde(default)]
    pub description: String,
    /// CEL over the signals and `item`, the item's fields, up to 4,096 bytes. Gives a number or a truth value.
    pub expression: String,
    /// The reward of a decision after which nothing was observed.
    #[serde(default)]
    pub default_reward: f64,
    /// Rewards are held within these, explicit ones too; the default reward must be within.
    #[serde(default)]
    pub clip: Option<[f64; 2]>,
    /// Event time after the decision from which events count.
    #[serde(default)]
    pub start_after: Duration,
    /// Event time after the decision until which events count: more than `start_after`, up to 90 days.
    #[serde(default = "wait")]
    pub wait: Duration,
    /// What several explicit rewards make together.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Signals by name, up to 32.
    #[serde(default)]
    pub signals: BTreeMap<String, SignalSpec>,
}

impl RewardSpec {
    /// Reads the JSON of a control record; what does not fit is an error at its line and column.
    pub fn from_json(json: &str) -> Result<RewardSpec, RewardError> {
        serde_json::from_str(json).map_err(|error| RewardError {
            key: "spec".into(),
            found: format!("not a reward spec: {error}"),
            allowed: "JSON with version, expression, and what else a reward spec has".into(),
        })
    }
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
    /// The middle one; of an even number the mean of the two in the middle. Of the first 64 by event time.
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
    /// The event's number that is summed or kept: `value`, `playhead_s`, `duration_s`, `position`, `fields.NAME`. An event
    /// without it, or with one that is not finite, does not count.
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
    /// Seconds of the content that were watched, each counted once, from `playhead_s`: what lies between two successive playheads
    /// counts where the playhead advanced by at most twice the time that passed and a second; else it was a seek.
    UniqueSeconds,
    /// Seconds from the decision to the first; `wait` where there was none.
    TimeUntil,
}
