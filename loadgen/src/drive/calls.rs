//! What came of requests that carry no events: decisions, rewards, CMCD records.

use crate::source::Call;
use crate::tally::{Outcome, Times, Waited};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Calls of one kind.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Handed to connections, or lost before.
    pub sent: u64,
    /// Answered as they should be.
    pub answered: u64,
    /// Others by cause.
    pub errors: BTreeMap<String, u64>,
    /// Latency from the intended time, nanoseconds.
    pub intended: Histogram<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        let intended = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("bounds and digits are in range");
        Kept { sent: 0, answered: 0, errors: BTreeMap::new(), intended }
    }
}

/// Calls of all kinds.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Decisions.
    pub rank: Kept,
    /// Explicit rewards.
    pub reward: Kept,
    /// CMCD records.
    pub cmcd: Kept,
}

impl Calls {
    fn of(&mut self, call: Call) -> Option<&mut Kept> {
        match call {
            Call::Events => None,
            Call::Rank { .. } => Some(&mut self.rank),
            Call::Reward => Some(&mut self.reward),
            Call::Cmcd => Some(&mut self.cmcd),
        }
    }

    /// Counts a call that was answered.
    pub(super) fn answered(&mut self, call: Call, status: u16, times: Times) {
        let Some(kept) = self.of(call) else { return };
        kept.sent += 1;
        if times.is_measured {
            kept.intended.saturating_record(times.intended.as_nanos() as u64);
        }
        let expected = match call {
            Call::Rank { .. } => 200,
            Call::Reward | Call::Events => 202,
            Call::Cmcd => 204,
        };
        if status == expected {
            kept.answered += 1;
        } else {
            *kept.errors.entry(status.to_string()).or_insert(0) += 1;
        }
    }

    /// Counts a call that was not answered.
    pub(super) fn unanswered(&mut self, call: Call, outcome: &Outcome, waited: Waited) {
        let Some(kept) = self.of(call) else { return };
        kept.sent += 1;
        if waited.is_measured {
            kept.intended.saturating_record(waited.intended.as_nanos() as u64);
        }
        let cause = match outcome {
            Outcome::TimedOut => "timeout",
            Outcome::Broken(_) => "connection",
            _ => "unsent",
        };
        *kept.errors.entry(cause.to_owned()).or_insert(0) += 1;
    }
}
