//! Rewards: what was observed of a decision, and what it is worth.
//!
//! A [`RewardSpec`] is compiled to a [`Reward`]. Each pick of a decision has one [`Observed`] per spec that runs: signals, folded in
//! event-time order whatever the order of arrival, and explicit rewards. [`Observed::value`] is a pure function of the two.

mod spec;

pub use spec::{Aggregation, RewardSpec, SignalFold, SignalSpec};

use crate::record::{Event, Fields};
use serde::{Deserialize, Serialize};

/// A compiled reward spec.
#[derive(Debug)]
pub struct Reward {
    spec: RewardSpec,
}

/// A spec that cannot be used: which key, what was found, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}; allowed: {allowed}")]
pub struct RewardError {
    /// Key within the spec: `expression`, `signals.clicked.field`.
    pub key: String,
    /// What was found; for an expression with line and column.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl Reward {
    /// Compiles a spec, or says what is wrong with it.
    pub fn compile(spec: &RewardSpec) -> Result<Reward, RewardError> {
        Ok(Reward { spec: spec.clone() })
    }

    /// The spec it was compiled from.
    pub fn spec(&self) -> &RewardSpec {
        &self.spec
    }

    /// Whether events of this type change a signal.
    pub fn takes(&self, _kind: &str) -> bool {
        false
    }

    /// The event types that change a signal; none where any does.
    pub fn kinds(&self) -> Option<Vec<&str>> {
        Some(vec![])
    }
}

/// What was observed of one pick under one spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {}

/// What a pick is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// The reward.
    pub reward: f64,
    /// The expression failed or gave no finite number: this is the default reward.
    pub failed: bool,
}

impl Observed {
    /// Whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Takes an event in, at its corrected `time`; `since` is when the window is counted from. False where it does not matter to
    /// any signal. Events may come in any order; those before a horizon given to [`Observed::settle`] may not.
    pub fn event(&mut self, _reward: &Reward, _since: i64, _time: i64, _event: &Event<'_>) -> bool {
        false
    }

    /// Takes an explicit reward in; `ordinal` (the offset) orders those of equal time.
    pub fn tell(&mut self, _time: i64, _ordinal: u64, _value: f64) {}

    /// Takes an event out again. False where it was not in, or is folded already.
    pub fn retract(&mut self, _time: i64, _id: &str) -> bool {
        false
    }

    /// Nothing before `horizon` will come any more: what is before it may be kept folded. Invisible from outside.
    pub fn settle(&mut self, _reward: &Reward, _since: i64, _horizon: i64) {}

    /// What the pick is worth; none where nothing was observed.
    pub fn value(&self, _reward: &Reward, _since: i64, _fields: Fields<'_>) -> Option<Worth> {
        None
    }

    /// The signals by name, for people.
    pub fn signals(&self, _reward: &Reward, _since: i64) -> Vec<(String, f64)> {
        vec![]
    }
}

impl RewardSpec {
    /// Reads a spec as control records carry it.
    pub fn from_json(_json: &str) -> Result<RewardSpec, String> {
        Err(String::new())
    }
}
