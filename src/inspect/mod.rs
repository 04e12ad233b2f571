//! How a session's vector or a decision came about, from the log: what `saccade inspect` and `GET /v1/inspect/…` answer.
//!
//! It reads a log from its beginning through folds of its own and changes nothing. How the answer is asked for, carried and shown
//! is not its business.

mod alike;
pub(crate) mod dangling;
pub(crate) mod decision;
pub(crate) mod report;
mod scan;
#[cfg(test)]
pub(crate) mod tests;
mod why;

pub(crate) use report::Inspection;
#[cfg(test)]
pub(crate) use scan::EVENTS_MAX;
pub(crate) use scan::{Found, Step, inspect, percent_encoded};
