//! When what is sent: a pure function of rate, batch sizes, seed and number of events.
//!
//! Event `i` is due at `i·10⁹/rate` nanoseconds after the start, in exact integers. A batch is due when its last event is. Nothing
//! here knows the clock or the server, so a slow server cannot stretch the schedule (no coordinated omission).

use crate::seeded::{Stream, keyed};
use std::ops::RangeInclusive;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What is asked for on the command line, as far as the schedule depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Events per second, at least 1.
    pub rate: u64,
    /// Events per request, at least 1.
    pub batch: RangeInclusive<u32>,
    /// Events in all.
    pub events: u64,
    /// Same seed, same batches.
    pub seed: u64,
}

/// One request of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Number of its first event, from 0.
    pub first: u64,
    /// How many events it carries.
    pub len: u32,
    /// Nanoseconds from the start at which it is to be sent.
    pub due_ns: u64,
}

impl Plan {
    /// Events that fit into `duration_ns` at `rate` per second.
    pub fn events_in(rate: u64, duration_ns: u64) -> u64 {
        let events = u128::from(rate) * u128::from(duration_ns) / NANOS_PER_SECOND;
        u64::try_from(events).expect("the command line limits rate and duration")
    }

    /// Nanoseconds from the start at which event `i` is due.
    pub fn event_due_ns(&self, i: u64) -> u64 {
        let due = u128::from(i) * NANOS_PER_SECOND / u128::from(self.rate);
        u64::try_from(due).expect("the command line limits rate and duration")
    }

    /// All requests, in order.
    pub fn requests(&self) -> impl Iterator<Item = Due> + '_ {
        let mut first = 0;
        std::iter::from_fn(move || {
            let left = self.events.checked_sub(first).filter(|left| *left > 0)?;
            let len = u64::from(self.batch_len(first)).min(left);
            let due = Due { first, len: len as u32, due_ns: self.event_due_ns(first + len - 1) };
            first += len;
            Some(due)
        })
    }

    fn batch_len(&self, first: u64) -> u32 {
        let sizes = self.batch.end() - self.batch.start() + 1;
        self.batch.start() + (keyed(self.seed, Stream::Batch, first) % u64::from(sizes)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: u64, batch: RangeInclusive<u32>, events: u64) -> Plan {
        Plan { rate, batch, events, seed: 1 }
    }

    #[test]
    fn single_events_are_due_at_exact_integer_times() {
        let due: Vec<u64> = plan(3, 1..=1, 7).requests().map(|d| d.due_ns).collect();
        assert_eq!(due, [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333, 1_666_666_666, 2_000_000_000]);
    }

    #[test]
    fn the_rate_does_not_drift_in_a_year() {
        let plan = plan(20_000, 1..=1, u64::MAX);
        let year = 31_536_000;
        assert_eq!(plan.event_due_ns(20_000 * year), year * 1_000_000_000);
    }

    #[test]
    fn batches_cover_every_event_once_and_are_due_with_their_last_event() {
        for events in [0, 1, 19, 20, 21, 10_000] {
            let plan = plan(20_000, 1..=20, events);
            let mut next = 0;
            for due in plan.requests() {
                assert_eq!(due.first, next);
                assert!((1..=20).contains(&due.len));
                next += u64::from(due.len);
                assert_eq!(due.due_ns, plan.event_due_ns(next - 1));
            }
            assert_eq!(next, events);
        }
    }

    #[test]
    fn batch_sizes_are_spread_over_their_range() {
        let mut seen = [0u32; 21];
        plan(1, 1..=20, 100_000).requests().for_each(|d| seen[d.len as usize] += 1);
        let requests: u32 = seen.iter().sum();
        for (len, n) in seen.iter().enumerate().skip(1) {
            assert!((requests / 30..requests / 13).contains(n), "{n} of {requests} batches have {len} events");
        }
    }

    #[test]
    fn the_seed_decides_the_schedule() {
        let one: Vec<Due> = plan(1000, 1..=20, 1000).requests().collect();
        let again: Vec<Due> = plan(1000, 1..=20, 1000).requests().collect();
        let other: Vec<Due> = Plan { seed: 2, ..plan(1000, 1..=20, 1000) }.requests().collect();
        assert_eq!(one, again);
        assert_ne!(one, other);
    }
}
