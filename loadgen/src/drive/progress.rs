//! How a run stands, for those who watch it.

use crate::check::Published;
use crate::tally::Tally;
use std::time::Duration;

/// How it stands at a moment.
pub struct Progress<'a> {
    /// What came of the requests so far.
    pub tally: &'a Tally,
    /// What is not answered.
    pub waiting: Waiting,
    /// What followers received, where there are any.
    pub published: Option<&'a Published>,
    /// Since the start.
    pub elapsed: Duration,
}

/// Requests that were due and are not answered, on their way or in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub requests: usize,
    /// For how long the oldest has been due.
    pub oldest: Duration,
    /// Where the run was told to end: how long answers are waited for at most.
    pub ends_within: Option<Duration>,
}
