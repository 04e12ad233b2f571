//! What decisions brought, and how sure that is.
//!
//! A decision without a signal so far is no decision without reward: an average of what is known while windows are open is too high.
//! So averages are of picks whose windows are over. Nor are the picks of one viewer, or of one slate, independent of each other:
//! sums are kept by group of viewers, and how far averages without one group are from the average says how sure it is (the
//! *delete-a-group jackknife*: Kott, Journal of Official Statistics 17, 2001; groups of a stream: Chamandy et al., "Estimating
//! uncertainty for massive data streams", 2012). It is as many sums however many viewers there are, and a reward that changes is
//! corrected exactly. With few groups the quantile that goes with it is Student's, of one degree of freedom less than groups.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Groups of viewers: where they are of one size, the standard error is itself known to 9 %. Checkpoints hold as many.
const GROUPS: u64 = 64;

/// What decisions of one kind brought under one reward spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Earned {
    /// Decisions made.
    pub decisions: u64,
    /// Of picks whose reward is known, also while their windows are open.
    pub so_far: Brought,
    /// Of picks whose windows are over, by group of viewers; empty before the first.
    groups: Arc<Vec<Brought>>,
}

/// A number of picks and the sum of their rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Brought {
    /// Picks.
    pub picks: u64,
    sum: f64,
    /// What additions lost: a great reward that is corrected takes nothing of the others with it.
    lost: f64,
}

/// An average, or the difference of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimated {
    /// It.
    pub value: f64,
    /// Its standard error; none of one group of viewers, or where all rewards are the same. Of a difference, none where either has none.
    pub standard_error: Option<f64>,
}

impl Brought {
    fn correct(&mut self, from: Option<f64>, to: Option<f64>) {
        self.picks = self.picks + u64::from(to.is_some()) - u64::from(from.is_some());
        self.plus(-from.unwrap_or(0.0));
        self.plus(to.unwrap_or(0.0));
    }

    /// Knuth, The Art of Computer Programming 2, 4.2.2: the error of an addition is a number.
    fn plus(&mut self, x: f64) {
        let sum = self.sum + x;
        let added = sum - self.sum;
        self.lost += (self.sum - (sum - added)) + (x - added);
        self.sum = sum;
    }

    fn add(&mut self, other: Brought) {
        self.picks += other.picks;
        self.plus(other.sum);
        self.lost += other.lost;
    }

    /// So many picks, and the sum of their rewards.
    pub fn new(picks: u64, sum: f64) -> Brought {
        Brought { picks, sum, lost: 0.0 }
    }

    /// Sum of their rewards.
    pub fn sum(self) -> f64 {
        self.sum + self.lost
    }

    /// Their average; none of none.
    pub fn average(self) -> Option<f64> {
        (self.picks > 0).then(|| self.sum() / self.picks as f64)
    }
}

impl Earned {
    /// A reward becomes known, or another, or unknown again.
    pub(crate) fn correct_so_far(&mut self, from: Option<f64>, to: Option<f64>) {
        self.so_far.correct(from, to);
    }

    /// The same of a pick whose window is over; `whose` is a hash of who it was for.
    pub(crate) fn correct_matured(&mut self, whose: u64, from: Option<f64>, to: Option<f64>) {
        let groups = Arc::make_mut(&mut self.groups);
        if groups.is_empty() {
            groups.resize(GROUPS as usize, Brought::default());
        }
        groups[(whose % GROUPS) as usize].correct(from, to);
    }

    /// Adds what another partition has.
    pub(crate) fn add(&mut self, other: &Earned) {
        self.decisions += other.decisions;
        self.so_far.add(other.so_far);
        if self.groups.is_empty() {
            self.groups = Arc::clone(&other.groups);
        } else if !other.groups.is_empty() {
            Arc::make_mut(&mut self.groups).iter_mut().zip(&*other.groups).for_each(|(all, one)| all.add(*one));
        }
    }

    /// Of all picks whose windows are over.
    pub fn matured(&self) -> Brought {
        self.groups.iter().fold(Brought::default(), |mut all, one| {
            all.add(*one);
            all
        })
    }

    /// The average reward of picks whose windows are over.
    pub fn average(&self) -> Option<Estimated> {
        let (value, moves) = self.moves()?;
        Some(Estimated { value, standard_error: moves.map(|moves| root(moves.iter().map(|by| by * by))) })
    }

    /// What the average is above that of another.
    pub fn lift(&self, other: &Earned) -> Option<Estimated> {
        let ((own, moves), (theirs, others)) = (self.moves()?, other.moves()?);
        // By groups together: who is in both is in the same group of both.
        let differences = moves.zip(others).map(|(moves, others)| {
            root(moves.into_iter().zip(others).map(|(own, other)| (own - other) * (own - other)))
        });
        Some(Estimated { value: own - theirs, standard_error: differences.filter(|error| *error > 0.0) })
    }

    /// The average, and what each group moves it by, so that the sum of their squares is its variance; none where nothing tells.
    fn moves(&self) -> Option<(f64, Option<Vec<f64>>)> {
        let all = self.matured();
        let (average, picks) = (all.average()?, all.picks as f64);
        let n = self.groups.iter().filter(|group| group.picks > 0).count() as f64;
        let scale = ((n - 1.0) / n).sqrt();
        let moves = |group: &Brought| match group.picks {
            0 => 0.0,
            own => scale * (group.sum() - average * own as f64) / (picks - own as f64),
        };
        let moves: Vec<f64> = self.groups.iter().filter(|_| n > 1.0).map(moves).collect();
        // What is left of sums of equal rewards is their rounding.
        let rounding = picks * f64::EPSILON * average.abs();
        let differs = moves.iter().any(|by| by.abs() > rounding);
        Some((average, differs.then_some(moves)))
    }
}

fn root(squares: impl Iterator<Item = f64>) -> f64 {
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Key, Stream};

    /// Viewers with tastes of their own, who are asked for several slates of three items each: as many as `slates` says by a number
    /// from 0 to 1.
    fn audience(seed: u64, viewers: u64, slates: impl Fn(f64) -> u64) -> Earned {
        let key = Key::new(seed, b"audience");
        let mut earned = Earned::default();
        for viewer in 0..viewers {
            let number = |of: u64| key.uniform(Stream::Choice, 1000 * viewer + of);
            let (taste, whose) = (number(0), (number(1) * 1e9) as u64);
            for slate in 0..slates(number(2)) {
                let is_there = number(3 + slate) < taste;
                (0..3).for_each(|_| earned.correct_matured(whose, None, Some(f64::from(u8::from(is_there)))));
            }
        }
        earned
    }

    /// Told errors by how much the values differ from audience to audience, and in how many of 100 the true value is within two of
    /// them.
    fn calibration(truth: f64, estimates: &[Estimated]) -> (f64, f64) {
        let n = estimates.len() as f64;
        let spread = (estimates.iter().map(|e| (e.value - truth) * (e.value - truth)).sum::<f64>() / n).sqrt();
        let error = |e: &Estimated| e.standard_error.expect("they differ");
        let covered = estimates.iter().filter(|e| (e.value - truth).abs() < 2.0 * error(e)).count();
        (estimates.iter().map(error).sum::<f64>() / n / spread, 100.0 * covered as f64 / n)
    }

    /// A tenth of the viewers ask for most.
    fn skewed(number: f64) -> u64 {
        if number < 0.9 { 1 } else { 40 }
    }

    #[test]
    fn the_standard_error_is_how_much_averages_differ_from_audience_to_audience() {
        let even = |_: f64| 10_u64;
        for (viewers, slates) in [(300, &even as &dyn Fn(f64) -> u64), (300, &skewed), (40, &skewed)] {
            let averages = (0..400).map(|seed| audience(seed, viewers, slates).average().expect("there are picks"));
            let (told, covered) = calibration(0.5, &averages.collect::<Vec<_>>());
            assert!((0.85..1.2).contains(&told) && covered > 85.0, "{viewers}: {told}, {covered} %");
        }
    }

    #[test]
    fn the_error_of_a_lift_is_mostly_that_of_a_small_hold_out() {
        for (viewers, held_out) in [(400, 400), (300, 12)] {
            let lifts = (0..400).map(|seed| {
                let lift = audience(seed, viewers, skewed).lift(&audience(seed + 1000, held_out, |_| 5));
                lift.expect("both have picks")
            });
            let (told, covered) = calibration(0.0, &lifts.collect::<Vec<_>>());
            assert!((0.85..1.2).contains(&told) && covered > 90.0, "{held_out}: {told}, {covered} %");
        }
        let (policy, alone) = (audience(1, 50, |_| 5), audience(2, 1, |_| 5));
        assert!(
            policy.lift(&alone).is_some_and(|lift| lift.standard_error.is_none()),
            "of one viewer nothing is known"
        );
        assert_eq!(policy.lift(&policy).map(|lift| (lift.value, lift.standard_error)), Some((0.0, None)));
        assert_eq!(policy.lift(&Earned::default()), None);
    }

    #[test]
    fn corrections_and_partitions_add_up_to_what_was_known_last() {
        let (mut whole, mut parts) = (Earned::default(), [Earned::default(), Earned::default()]);
        for pick in 0..100u64 {
            let reward = (pick % 7) as f64;
            whole.correct_matured(pick, None, Some(reward));
            let part = &mut parts[(pick % 2) as usize];
            part.correct_matured(pick, None, Some(1.0));
            part.correct_matured(pick, Some(1.0), Some(reward));
        }
        parts[0].correct_matured(2, None, Some(5.0));
        parts[0].correct_matured(2, Some(5.0), None);
        let mut sum = Earned::default();
        parts.iter().for_each(|part| sum.add(part));
        assert_eq!(sum, whole);
        assert_eq!(whole.matured().picks, 100);
    }

    #[test]
    fn a_great_reward_that_is_corrected_takes_nothing_with_it() {
        let mut earned = Earned::default();
        for viewer in 0..3 {
            earned.correct_matured(0, None, Some(1.0));
            earned.correct_so_far(None, Some(1.0 + f64::from(viewer)));
        }
        for (from, to) in [(1.0, 1e30), (1e30, -1e30), (-1e30, 0.0)] {
            earned.correct_matured(0, Some(from), Some(to));
            earned.correct_so_far(Some(from), Some(to));
        }
        assert_eq!((earned.matured().sum(), earned.so_far.sum()), (2.0, 5.0));
    }

    #[test]
    fn of_one_viewer_or_of_equal_rewards_nothing_is_known_of_the_error() {
        let mut earned = Earned::default();
        assert_eq!(earned.average(), None);
        (0..5).for_each(|reward| earned.correct_matured(9, None, Some(f64::from(reward))));
        assert_eq!(earned.average(), Some(Estimated { value: 2.0, standard_error: None }));
        for reward in [1.0, 0.1, 0.3, -0.7] {
            let mut equal = Earned::default();
            (0..50).for_each(|viewer| equal.correct_matured(viewer, None, Some(reward)));
            assert!(equal.average().is_some_and(|average| average.standard_error.is_none()), "{reward}");
        }
    }
}
