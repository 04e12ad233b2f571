//! What came of requests that carry no events: decisions, rewards, CMCD records.

use crate::source::Call;
use crate::tally::{Outcome, Samples, Times, Waited, begins, refusal};
use std::collections::BTreeMap;

/// Calls of one kind.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Handed to connections, or lost before.
    pub sent: u64,
    /// Answered as they should be.
    pub answered: u64,
    /// Others by cause.
    pub errors: BTreeMap<String, u64>,
    /// The first of these, in words.
    pub first_error: Option<String>,
    /// Latency from the intended time, nanoseconds, of what was answered as it should be or never answered.
    pub intended: Samples,
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
    /// Latency from the intended time of what was answered otherwise, nanoseconds.
    pub refused: Samples,
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

    /// Counts a call that was answered; true where as it should be.
    pub(super) fn answered(&mut self, call: Call, status: u16, body: &[u8], times: Times) -> bool {
        let expected = match call {
            Call::Rank { .. } => 200,
            Call::Reward | Call::Events => 202,
            Call::Cmcd => 204,
        };
        let latency = times.is_measured.then_some(times.intended.as_nanos() as u64);
        if status != expected {
            latency.into_iter().for_each(|latency| self.refused.saturating_record(latency));
        }
        let Some(kept) = self.of(call) else { return status == expected };
        kept.sent += 1;
        if status == expected {
            latency.into_iter().for_each(|latency| kept.intended.saturating_record(latency));
            kept.answered += 1;
        } else {
            *kept.errors.entry(status.to_string()).or_insert(0) += 1;
            kept.first_error.get_or_insert_with(|| refusal(status, expected, &begins(body)));
        }
        status == expected
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_call_that_is_refused_is_no_quick_answer() {
        let mut calls = Calls::default();
        let call = Call::Rank { slot: 0, decision: 0 };
        let (due, is_measured) = (Duration::ZERO, true);
        let times = |ms| {
            let took = Duration::from_millis(ms);
            Times { due, intended: took, service: took, lag: Duration::ZERO, is_measured }
        };
        calls.answered(call, 200, b"{}", times(50));
        calls.answered(call, 404, b"no such\nmodel", times(1));
        assert_eq!(
            (calls.rank.sent, calls.rank.answered, calls.rank.intended.len(), calls.refused.len()),
            (2, 1, 1, 1)
        );
        assert_eq!(calls.rank.first_error.as_deref(), Some("the server answered 404, not 200: no such model"));
    }
}
