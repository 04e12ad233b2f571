//! The account of what was sent: every event ends in one bucket, or the demo fails.
//!
//! `POST /v1/events` answers with its buckets. A CMCD player is told nothing, so for these the server's own counters are asked.

use serde::Serialize;
use std::sync::Mutex;

/// Events and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub sent: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub late: u64,
    pub rejected: u64,
}

impl Tally {
    /// Events whose end is known.
    pub(super) fn settled(&self) -> u64 {
        self.accepted + self.duplicates + self.late + self.rejected
    }

    /// Events that were sent and whose end nobody knows; none, unless something is wrong.
    pub(super) fn unaccounted(&self) -> u64 {
        self.sent.saturating_sub(self.settled())
    }

    /// Both together.
    pub(super) fn and(self, other: Tally) -> Tally {
        Tally {
            sent: self.sent + other.sent,
            accepted: self.accepted + other.accepted,
            duplicates: self.duplicates + other.duplicates,
            late: self.late + other.late,
            rejected: self.rejected + other.rejected,
        }
    }

    /// What came since `earlier`.
    pub(super) fn since(self, earlier: Tally) -> Tally {
        Tally {
            sent: self.sent.saturating_sub(earlier.sent),
            accepted: self.accepted.saturating_sub(earlier.accepted),
            duplicates: self.duplicates.saturating_sub(earlier.duplicates),
            late: self.late.saturating_sub(earlier.late),
            rejected: self.rejected.saturating_sub(earlier.rejected),
        }
    }
}

/// What the traffic has sent so far, and the answers to it.
#[derive(Default)]
pub(super) struct Ledger {
    /// Simulated viewers, with what became of their events; and recorded players, of which only `sent` is known here.
    both: Mutex<(Tally, Tally)>,
}

impl Ledger {
    fn with<T>(&self, change: impl FnOnce(&mut (Tally, Tally)) -> T) -> T {
        change(&mut self.both.lock().expect("nothing panics while it counts"))
    }

    /// A recorded player sends `records`.
    pub(super) fn player_sends(&self, records: u64) {
        self.with(|both| both.1.sent += records);
    }

    /// Simulated viewers send `events`.
    pub(super) fn viewers_send(&self, events: u64) {
        self.with(|both| both.0.sent += events);
    }

    /// What the server answered to simulated viewers.
    pub(super) fn answered(&self, answer: Tally) {
        self.with(|both| both.0 = both.0.and(answer));
    }

    /// Simulated viewers.
    pub(super) fn viewers(&self) -> Tally {
        self.with(|both| both.0)
    }

    /// Records that players sent.
    pub(super) fn players_sent(&self) -> u64 {
        self.with(|both| both.1.sent)
    }
}

/// The buckets in an answer of `POST /v1/events` to a batch of `events`.
pub(super) fn read_answer(status: u16, body: &[u8], events: u64) -> Tally {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let count = |key: &str| json[key].as_u64().unwrap_or(0);
    match status {
        202 => Tally {
            sent: 0,
            accepted: count("accepted"),
            duplicates: count("duplicates"),
            late: count("late"),
            rejected: count("rejected_total"),
        },
        // The batch was refused as a whole, and its sender was told.
        400..=599 if json["error"]["code"].is_string() => Tally { rejected: events, ..Tally::default() },
        _ => Tally::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_puts_the_events_of_its_batch_into_buckets() {
        let mixed = br#"{"accepted":5,"duplicates":2,"late":1,"rejected":[],"rejected_total":3}"#;
        let refused = br#"{"error":{"code":"overloaded","message":"..."}}"#;
        let table = [
            (202, &mixed[..], [5, 2, 1, 3], 0),
            (429, &refused[..], [0, 0, 0, 11], 0),
            (202, &b"{}"[..], [0, 0, 0, 0], 11),
            (200, &b"<html>"[..], [0, 0, 0, 0], 11),
        ];
        for (status, body, buckets, unaccounted) in table {
            let ledger = Ledger::default();
            ledger.viewers_send(11);
            ledger.answered(read_answer(status, body, 11));
            let tally = ledger.viewers();
            assert_eq!([tally.accepted, tally.duplicates, tally.late, tally.rejected], buckets, "{status}");
            assert_eq!((tally.sent, tally.unaccounted()), (11, unaccounted), "{status}");
        }
    }

    #[test]
    fn a_batch_without_an_answer_is_not_accounted_for() {
        let ledger = Ledger::default();
        ledger.viewers_send(7);
        assert_eq!(ledger.viewers().unaccounted(), 7);
    }
}
