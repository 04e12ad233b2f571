//! A question: what a decision is made from, and why none is made.

use crate::decision::{Candidate, Decision, Served};
use crate::record::EventTime;

/// What is asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The decision's id, 1 to 128 bytes.
    pub id: &'a str,
    /// For whom.
    pub session: Option<&'a str>,
    /// For whom.
    pub viewer: Option<&'a str>,
    /// When.
    pub event_time: EventTime,
    /// What it is made from.
    pub context: Given<'a>,
    /// The request's own features.
    pub features: &'a dyn Fn(&str) -> Option<f64>,
    /// What to choose from, in the caller's order.
    pub candidates: &'a [Candidate<'a>],
    /// Positions to fill; at most all candidates are placed.
    pub k: usize,
    /// It counts only once it is activated.
    pub deferred: bool,
    /// The viewer does not want to be learnt from.
    pub opt_out: bool,
}

/// What a decision is made from.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// Nothing: the session is not known.
    Nothing,
    /// A published context.
    Vector(&'a [f32], u64),
    /// Numbers of the request. For a model that looks at slots: all features as it takes them, the constant first.
    Numbers(&'a [f64]),
    /// Features as an earlier decision was made from, with the version of its context.
    Features(&'a [f64], Option<u64>),
}

impl<'a> Ask<'a> {
    /// What was asked when a decision was made; asked of the version that it names, the answer is the same.
    pub fn again(decision: &'a Decision<'a>) -> Ask<'a> {
        Ask {
            id: decision.id,
            session: decision.session,
            viewer: decision.viewer,
            event_time: decision.event_time,
            context: Given::Features(&decision.context, decision.context_version),
            features: &|_| None,
            candidates: &decision.candidates,
            k: decision.picks.len(),
            deferred: decision.deferred,
            opt_out: decision.served == Served::OptedOut,
        }
    }
}

/// Why nothing is decided.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RankError {
    /// Nothing to choose from.
    #[error("`items` is empty, or `exclude` names all of them; allowed: at least 1")]
    Empty,
    /// Too many candidates.
    #[error("`items` has {found} candidates; allowed: {allowed} (candidates_max of the model)")]
    TooMany {
        /// Asked for.
        found: usize,
        /// As configured.
        allowed: u32,
    },
    /// No position.
    #[error("`k` is 0; allowed: at least 1")]
    NoPosition,
    /// Features of the context.
    #[error(
        "`context` has {found} numbers with the constant and the request's features; allowed: {allowed}, where requests bring their own as many as in the model's first decision"
    )]
    Dimension {
        /// Found.
        found: usize,
        /// As configured, or as in the model's first decision.
        allowed: usize,
    },
    /// A number that cannot be learnt from.
    #[error("`context` or `features` has the number {0}; allowed: -1e30 to 1e30")]
    Value(f64),
}
