//! Seconds of content that were watched, each counted once, from the playheads of successive events.
//!
//! Between two events the content from one playhead to the next counts as watched where the playhead advanced no faster than
//! a player plays: at most twice the time that passed, and a second. A jump further ahead, or back, is a seek and counts
//! nothing. Spans that touch are one.

use serde::{Deserialize, Serialize};

/// Spans kept apart; with one more, the two that are nearest to each other become one, and what lies between them counts as
/// watched.
pub(super) const SPANS_MAX: usize = 64;
/// Seconds of content per second at most, and the seconds that clocks and heartbeats may be off.
const RATE_MAX: f64 = 2.0;
const SLACK_S: f64 = 1.0;
/// Between two that came late something that came in time may lie; not between two that are as near as this, ms, but for seeks.
const LATE_APART_MAX: i64 = 60_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Event time in ms and playhead in seconds of the latest event.
    latest: Option<(i64, f64)>,
    /// The same of the latest that came late.
    late: Option<(i64, f64)>,
    /// Begin and end in seconds of content, ascending, apart from each other.
    spans: Vec<(f64, f64)>,
}

impl Watched {
    /// Takes the next event in; times do not go back.
    pub(super) fn add(&mut self, time: i64, playhead_s: f64) {
        let before = self.latest.replace((time, playhead_s));
        self.play(before, (time, playhead_s));
    }

    /// Takes one in that comes when later ones are known: it follows the one that came so before it, as a player sends what it kept,
    /// where that is at most a minute before.
    pub(super) fn add_late(&mut self, time: i64, playhead_s: f64) {
        let before = self.late.replace((time, playhead_s));
        let is_next = |(before, _): &(i64, f64)| (0..=LATE_APART_MAX).contains(&time.saturating_sub(*before));
        self.play(before.filter(is_next), (time, playhead_s));
    }

    fn play(&mut self, before: Option<(i64, f64)>, (time, playhead_s): (i64, f64)) {
        let Some((before, from)) = before else { return };
        let passed_s = time.saturating_sub(before) as f64 / 1000.0;
        let advanced_s = playhead_s - from;
        if advanced_s > 0.0 && advanced_s <= RATE_MAX * passed_s + SLACK_S {
            self.cover(from, playhead_s);
        }
    }

    fn cover(&mut self, from: f64, to: f64) {
        let first = self.spans.partition_point(|(_, end)| *end < from);
        let past = self.spans.partition_point(|(begin, _)| *begin <= to);
        if first < past {
            let merged = (from.min(self.spans[first].0), to.max(self.spans[past - 1].1));
            self.spans[first] = merged;
            self.spans.drain(first + 1..past);
            return;
        }
        self.spans.insert(first, (from, to));
        if self.spans.len() > SPANS_MAX {
            self.merge_nearest();
        }
    }

    fn merge_nearest(&mut self) {
        let mut nearest = 0;
        let gap = |i: usize| self.spans[i + 1].0 - self.spans[i].1;
        for i in 1..self.spans.len() - 1 {
            if gap(i) < gap(nearest) {
                nearest = i;
            }
        }
        self.spans[nearest].1 = self.spans[nearest + 1].1;
        self.spans.remove(nearest + 1);
    }

    /// Seconds, each counted once.
    pub(super) fn seconds(&self) -> f64 {
        self.spans.iter().map(|(begin, end)| end - begin).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(points: &[(i64, f64)]) -> f64 {
        let mut watched = Watched::default();
        points.iter().for_each(|(s, playhead)| watched.add(s * 1000, *playhead));
        watched.seconds()
    }

    #[test]
    fn seeks_count_nothing_and_repeats_count_once() {
        assert_eq!(watched(&[(0, 0.0)]), 0.0);
        assert_eq!(watched(&[(0, 0.0), (10, 10.0)]), 10.0);
        assert_eq!(watched(&[(0, 0.0), (10, 21.0)]), 21.0, "double speed and a second");
        assert_eq!(watched(&[(0, 0.0), (10, 21.1)]), 0.0, "a seek");
        assert_eq!(watched(&[(0, 0.0), (10, 10.0), (11, 0.0), (26, 15.0)]), 15.0, "watched again");
        assert_eq!(watched(&[(0, 100.0), (10, 110.0), (11, 0.0), (21, 10.0), (22, 105.0), (32, 115.0)]), 25.0);
    }

    #[test]
    fn beyond_the_limit_the_nearest_two_spans_merge() {
        let mut points = vec![];
        for i in 0..SPANS_MAX as i64 {
            points.extend([(100 * i, 1000.0 * i as f64), (100 * i + 10, 1000.0 * i as f64 + 10.0)]);
        }
        let apart = 10.0 * SPANS_MAX as f64;
        assert_eq!(watched(&points), apart);
        points.extend([(90_000, 5500.0), (90_010, 5510.0)]);
        assert_eq!(watched(&points), apart + 10.0 + 490.0, "510 to 5500 lies between them");
    }
}
