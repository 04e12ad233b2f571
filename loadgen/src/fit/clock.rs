//! What the time is by the newest events, of which any may be wrong.

use super::order::RIGHT_MS;
use std::collections::VecDeque;

/// Newest events from which it is told what the time is.
const NEWEST: usize = 65;
/// One in so many is ahead of it: what a few are alone with is an error.
const AHEAD: usize = 10;

/// The times of the newest events, epoch milliseconds.
pub(super) struct Clock {
    /// As they came.
    newest: VecDeque<i64>,
    /// The same in order.
    sorted: Vec<i64>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { newest: VecDeque::with_capacity(NEWEST + 1), sorted: Vec::with_capacity(NEWEST + 1) }
    }

    /// Takes the time of an event, and forgets the oldest.
    pub(super) fn push(&mut self, time: i64) {
        self.newest.push_back(time);
        self.sorted.insert(self.sorted.partition_point(|other| *other < time), time);
        if self.newest.len() > NEWEST
            && let Some(oldest) = self.newest.pop_front()
        {
            self.sorted.remove(self.sorted.partition_point(|other| *other < oldest));
        }
    }

    /// True where as many are known as are looked at.
    pub(super) fn is_set(&self) -> bool {
        self.newest.len() == NEWEST
    }

    /// The middle of them.
    pub(super) fn median(&self) -> i64 {
        self.sorted.get(self.sorted.len() / 2).copied().unwrap_or(i64::MIN / 4)
    }

    /// What the time is: what one in ten is ahead of, of those that are not much further ahead of the middle than others are behind it.
    /// Right while fewer than half are wrong. Long before everything where nothing is known.
    pub(super) fn latest(&self) -> i64 {
        let median = self.median();
        let quarter = self.sorted.get(self.sorted.len() / 4).copied().unwrap_or(median);
        let limit = median + RIGHT_MS.max(3 * (median - quarter));
        let believed = self.sorted.partition_point(|time| *time <= limit);
        self.sorted.get(believed.saturating_sub(1 + believed / AHEAD)).copied().unwrap_or(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(times: impl Iterator<Item = i64>) -> Clock {
        let mut clock = Clock::new();
        times.for_each(|time| clock.push(time));
        clock
    }

    #[test]
    fn a_third_of_wrong_clocks_does_not_move_it_and_a_gap_does() {
        let right = |n: i64| 1_000_000 + 10 * n;
        let all_right = clock((0..100).map(right)).latest();
        assert!((1_000_900..1_000_990).contains(&all_right), "{all_right}");
        for off in [-1_200_000, 5_000, 1_200_000] {
            let some_wrong = clock((0..100).map(|n| right(n) + if n % 3 == 0 { off } else { 0 })).latest();
            assert!((some_wrong - all_right).abs() < 100, "{some_wrong} with a third off by {off}");
        }
        let after_a_gap = clock((0..100).map(|n| right(n) + if n > 60 { 3_600_000 } else { 0 })).latest();
        assert!(after_a_gap > 4_600_000, "{after_a_gap}");
    }

    #[test]
    fn it_comes_back_from_a_burst_of_wrong_clocks() {
        let times = (0..300).map(|n| 10 * n + if (100..180).contains(&n) { 1_200_000 } else { 0 });
        let latest = clock(times).latest();
        assert!((2_900..3_000).contains(&latest), "{latest}");
    }
}
