//! What decisions were worth, beside what chance and perfect knowledge would have been; before and after the drift.

use super::earnings::{Learning, Server};
use super::pulse::Latencies;
use super::tastes::Outcome;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Decisions that are added up together.
pub(super) const BUCKET: u64 = 50;
/// Buckets of a running average.
pub(super) const RUNNING: usize = 10;
/// Share of the level before the drift that counts as recovered.
const RECOVERED: f64 = 0.9;
/// Points of the chart.
const POINTS_MAX: usize = 600;

/// Average reward of some decisions, and of chance and of the best title for the same viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Average {
    pub decisions: u64,
    pub reward: f64,
    pub uniform: f64,
    pub best: f64,
    /// Share of what could be gained over chance: (reward − uniform) / (best − uniform).
    pub captured: f64,
}

/// Sums of a few decisions in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    decisions: u64,
    sums: [f64; 3],
}

fn average<'a>(buckets: impl IntoIterator<Item = &'a Bucket>) -> Option<Average> {
    let mut total = Bucket::default();
    for bucket in buckets {
        total.decisions += bucket.decisions;
        total.sums.iter_mut().zip(bucket.sums).for_each(|(sum, more)| *sum += more);
    }
    let [reward, uniform, best] = total.sums.map(|sum| sum / total.decisions as f64);
    let captured = (reward - uniform) / (best - uniform);
    (total.decisions > 0).then_some(Average { decisions: total.decisions, reward, uniform, best, captured })
}

/// What became of the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub asked: u64,
    pub played: u64,
    pub clicked: u64,
    pub sent_away: u64,
    pub ignored: u64,
    /// Nothing was decided.
    pub refused: u64,
}

impl Counts {
    pub(super) fn decisions(&self) -> u64 {
        self.played + self.clicked + self.sent_away + self.ignored
    }
}

struct Inner {
    counts: Counts,
    /// Before the drift, and after it.
    halves: [Vec<Bucket>; 2],
    total: f64,
    rank: Histogram<u64>,
    learnt: Histogram<u64>,
    last: String,
    /// Decisions at moments of the last second.
    lately: VecDeque<(Instant, u64)>,
}

/// All of it, filled by the traffic and read by the picture.
pub(super) struct Scores(Mutex<Inner>);

/// For the picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    /// Running averages, oldest first.
    pub points: Vec<Average>,
    /// The first point after the drift.
    pub drift: Option<usize>,
    pub decisions: u64,
    pub per_second: u64,
    pub rank_p99_us: u64,
    /// Reward → model version; 0 before the first.
    pub learnt_p50_us: u64,
    /// The last decision, in words.
    pub last: String,
}

impl Default for Scores {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds and digits are valid");
        Scores(Mutex::new(Inner {
            counts: Counts::default(),
            halves: [vec![], vec![]],
            total: 0.0,
            rank: histogram(),
            learnt: histogram(),
            last: String::new(),
            lately: VecDeque::new(),
        }))
    }
}

impl Scores {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().expect("nothing panics while it counts"))
    }

    /// A question is sent.
    pub(super) fn asked(&self) {
        self.with(|inner| inner.counts.asked += 1);
    }

    /// It was refused, or there was no answer.
    pub(super) fn refused(&self) {
        self.with(|inner| inner.counts.refused += 1);
    }

    /// It was answered after this long.
    pub(super) fn answered(&self, after: Duration) {
        self.with(|inner| inner.rank.saturating_record(after.as_micros().max(1) as u64));
    }

    /// A reward was in a model version this long after it was sent.
    pub(super) fn learnt(&self, after: Duration) {
        self.with(|inner| inner.learnt.saturating_record(after.as_micros().max(1) as u64));
    }

    /// What a decision came to; `bounds` are what chance and the best title are worth.
    pub(super) fn ended(&self, outcome: Outcome, bounds: (f64, f64), drifted: bool, words: String) {
        self.with(|inner| {
            let counts = &mut inner.counts;
            match outcome {
                Outcome::Played => counts.played += 1,
                Outcome::Clicked => counts.clicked += 1,
                Outcome::SentAway => counts.sent_away += 1,
                Outcome::Ignored => counts.ignored += 1,
            }
            let half = &mut inner.halves[usize::from(drifted)];
            if half.last().is_none_or(|bucket| bucket.decisions == BUCKET) {
                half.push(Bucket::default());
            }
            let bucket = half.last_mut().expect("one was just pushed");
            bucket.decisions += 1;
            let more = [outcome.reward(), bounds.0, bounds.1];
            bucket.sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            inner.total += outcome.reward();
            inner.last = words;
        });
    }

    /// For the picture.
    pub(super) fn chart(&self) -> Chart {
        self.with(|inner| {
            let (now, decisions) = (Instant::now(), inner.counts.decisions());
            inner.lately.push_back((now, decisions));
            while inner.lately.len() > 2 && now.duration_since(inner.lately[1].0) >= Duration::from_secs(1) {
                inner.lately.pop_front();
            }
            let (since, before) = inner.lately[0];
            let seconds = now.duration_since(since).as_secs_f64().max(0.2);
            let [early, late] = &inner.halves;
            let all: Vec<&Bucket> = early.iter().chain(late).filter(|bucket| bucket.decisions == BUCKET).collect();
            let first = all.len().saturating_sub(POINTS_MAX);
            let running = |end: usize| average(all[(end + 1).saturating_sub(RUNNING)..=end].iter().copied());
            let drift = early.iter().filter(|bucket| bucket.decisions == BUCKET).count();
            Chart {
                points: (first..all.len()).filter_map(running).collect(),
                drift: (!late.is_empty() && drift >= first).then(|| drift - first),
                decisions,
                per_second: ((decisions - before) as f64 / seconds).round() as u64,
                rank_p99_us: inner.rank.value_at_quantile(0.99),
                learnt_p50_us: inner.learnt.value_at_quantile(0.5),
                last: inner.last.clone(),
            }
        })
    }

    /// For the summary; nothing where nothing was asked.
    pub(super) fn sum_up(&self) -> Option<Learning> {
        self.with(|inner| {
            let [early, late] = &inner.halves;
            // Half of the decisions before the drift: a quarter of a run that drifts in its middle.
            let settled = &early[early.len() / 2..];
            let quarter = (early.len() + late.len()).div_ceil(4);
            let closing = if late.is_empty() { early } else { late };
            (inner.counts.asked > 0).then(|| Learning {
                counts: inner.counts,
                average: inner.total / inner.counts.decisions().max(1) as f64,
                beginning: average(early.iter().take(RUNNING)),
                before_drift: average(settled),
                after_drift: average(late.iter().take(RUNNING)),
                last_quarter: average(&closing[closing.len().saturating_sub(quarter)..]),
                recovered_after: average(settled).and_then(|level| recovered(late, level.reward)),
                rank: Latencies::from(&inner.rank),
                reward_to_model: Latencies::from(&inner.learnt),
                server: Server::default(),
            })
        })
    }
}

/// Decisions after the drift until the running average is near `level` again.
fn recovered(late: &[Bucket], level: f64) -> Option<u64> {
    let reached = |window: &[Bucket]| average(window).is_some_and(|average| average.reward >= RECOVERED * level);
    let at = late.windows(RUNNING).position(reached)?;
    Some((at + RUNNING) as u64 * BUCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(scores: &Scores, outcomes: impl Iterator<Item = Outcome>, drifted: bool) {
        for outcome in outcomes {
            scores.asked();
            scores.ended(outcome, (0.2, 1.0), drifted, String::new());
        }
    }

    #[test]
    fn each_part_of_the_run_has_its_average_and_recovery_is_counted_from_the_drift() {
        let scores = Scores::default();
        play(&scores, (0..2000).map(|_| Outcome::Played), false);
        play(&scores, (0..1000).map(|_| Outcome::Ignored), true);
        play(&scores, (0..1000).map(|_| Outcome::Played), true);
        let learning = scores.sum_up().expect("something was asked");
        let captured = |average: Option<Average>| average.map(|average| (average.decisions, average.captured));
        assert_eq!(captured(learning.before_drift), Some((1000, 1.0)));
        assert_eq!(captured(learning.last_quarter), Some((1000, 1.0)));
        assert_eq!(learning.after_drift.map(|average| average.reward), Some(0.0));
        // 450 of the last 500 are played.
        assert_eq!(learning.recovered_after, Some(1450));
        assert_eq!((learning.counts.played, learning.counts.ignored), (3000, 1000));
        let chart = scores.chart();
        assert_eq!((chart.points.len(), chart.drift), (80, Some(40)));
    }

    #[test]
    fn a_run_that_ends_before_the_drift_has_no_second_half() {
        let scores = Scores::default();
        assert!(scores.sum_up().is_none());
        play(&scores, (0..10).map(|_| Outcome::Played), false);
        let learning = scores.sum_up().expect("something was asked");
        assert_eq!((learning.after_drift, learning.recovered_after), (None, None));
        assert_eq!(learning.last_quarter.map(|average| average.decisions), Some(10));
    }
}
