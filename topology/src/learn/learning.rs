//! How a model learns, and what it learns from.

use super::decay::{At, HalfLife};
use super::frame::Prior;
use super::provisional::Provisional;
use super::rung::Ladder;
use serde::{Deserialize, Serialize};

/// What shares what between actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Each action has its own weights on the context (disjoint LinUCB: Li, Chu, Langford and Schapire, WWW 2010, algorithm 1).
    #[default]
    PerAction,
    /// One vector of weights on joint features of context and action.
    Shared,
    /// Weights on joint features plus each action's own on the context: a new action starts from what is like it and departs as
    /// evidence comes (hybrid LinUCB, algorithm 2 of the same paper).
    Hybrid,
}

/// How a model learns. The defaults are meant to be left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learning {
    /// What shares what between actions.
    pub estimator: Estimator,
    /// Features of the context, for per-action weights.
    pub context: usize,
    /// Joint features of context and action, for shared weights.
    pub joint: usize,
    /// What is believed before anything is seen.
    pub prior: Prior,
    /// How fast old observations lose weight.
    pub half_life: HalfLife,
    /// The half-lives that `auto` chooses from.
    pub ladder: Ladder,
    /// What a decision counts before its reward is known.
    pub provisional: Provisional,
}

/// A decision as it is learnt from: all of it is in the decision's record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Position of the action. Positions are dense: sums are kept for all up to the greatest. None where its own sums were forgotten:
    /// then only shared ones learn.
    pub action: Option<u32>,
    /// Features of the context; empty for a shared estimator.
    pub context: &'a [f64],
    /// Joint features of context and this action; empty for a per-action estimator.
    pub joint: &'a [f64],
    /// When it was made.
    pub at: At,
    /// The reward the model expected of it.
    pub expected: f64,
    /// The part of `expected` that departs from the mean reward.
    pub deviation: f64,
}
