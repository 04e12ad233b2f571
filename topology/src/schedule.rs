//! Timers of a lane's keys, taken in order of time, then hash, then place.
//!
//! Most are far ahead, and nearly all are set anew when their time comes. They lie in buckets by time, as they came; only the
//! bucket whose time has come is put in order, a heap small enough to stay in the near caches.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Time, hash of the key, its place.
type Timer = (i64, u64, u32);

/// A key's usual delay takes this many buckets.
const BUCKETS: i64 = 256;

#[derive(Debug)]
pub(crate) struct Schedule {
    /// No timer is before this time.
    earliest: i64,
    /// Timers of the buckets before `open`.
    near: BinaryHeap<Reverse<Timer>>,
    open: i64,
    /// By time, shifted.
    far: BTreeMap<i64, Vec<Timer>>,
    shift: u32,
}

impl Schedule {
    /// For timers that are usually set `delay` ahead.
    pub(crate) fn new(delay: i64) -> Self {
        let shift = (delay / BUCKETS).max(1).ilog2();
        Schedule { earliest: i64::MAX, near: BinaryHeap::new(), open: i64::MIN, far: BTreeMap::new(), shift }
    }

    /// No timer is before this time.
    pub(crate) fn earliest(&self) -> i64 {
        self.earliest
    }

    pub(crate) fn push(&mut self, timer: Timer) {
        let bucket = timer.0 >> self.shift;
        self.earliest = self.earliest.min(timer.0);
        if bucket < self.open {
            self.near.push(Reverse(timer));
        } else {
            self.far.entry(bucket).or_default().push(timer);
        }
    }

    /// Takes the first timer, if it is before `time`. `prefetch` asks for what is needed of the places whose time comes soon.
    pub(crate) fn pop_before(&mut self, time: i64, prefetch: impl Fn(u32)) -> Option<Timer> {
        while self.earliest < time {
            if let Some(Reverse(timer)) = self.near.peek() {
                self.earliest = timer.0;
                return if self.earliest < time { self.near.pop().map(|Reverse(timer)| timer) } else { None };
            }
            let Some(bucket) = self.far.first_entry() else {
                self.earliest = i64::MAX;
                return None;
            };
            self.earliest = bucket.key() << self.shift;
            if self.earliest < time {
                self.open = bucket.key() + 1;
                let timers = bucket.remove();
                timers.iter().for_each(|(.., place)| prefetch(*place));
                self.near.extend(timers.into_iter().map(Reverse));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn timers_come_as_from_one_heap(
            delay in 0_i64..5000,
            steps in prop::collection::vec((-3000_i64..9000, 0_u64..3, 0_i64..400), 1..200),
        ) {
            let (mut schedule, mut heap, mut now) = (Schedule::new(delay), BinaryHeap::new(), 0);
            for (i, (ahead, hash, passed)) in steps.into_iter().enumerate() {
                let timer = (now + ahead, hash, i as u32);
                schedule.push(timer);
                heap.push(Reverse(timer));
                now += passed;
                // Now and then all that there are.
                let until = if i % 50 == 49 { i64::MAX } else { now };
                while let Some(Reverse(timer)) = heap.peek().copied().filter(|Reverse(timer)| timer.0 < until) {
                    heap.pop();
                    prop_assert_eq!(schedule.pop_before(until, drop), Some(timer));
                }
                prop_assert_eq!(schedule.pop_before(until, drop), None);
            }
        }
    }
}
