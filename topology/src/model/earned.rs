//! What decisions brought, and how sure that is.
//!
//! A decision without a signal so far is no decision without reward: an average of what is known while windows are open is too high.
//! So averages are of picks whose windows are over. Nor are the picks of one viewer, or of one slate, independent of each other:
//! sums are kept by group of viewers, and how much the groups differ says how much the average does (the *bucket* or *delete-a-group*
//! variance: Chamandy et al., "Estimating uncertainty for massive data streams", 2012). It is as many sums however many viewers
//! there are, and a reward that changes is corrected exactly.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Groups of viewers: the standard error is itself known to 9 %.
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
    /// Sum of their rewards.
    pub sum: f64,
}

/// An average, or the difference of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimated {
    /// It.
    pub value: f64,
    /// Its standard error; none of one group of viewers, or where all rewards are the same.
    pub standard_error: Option<f64>,
}

impl Brought {
    fn correct(&mut self, from: Option<f64>, to: Option<f64>) {
        self.picks = self.picks + u64::from(to.is_some()) - u64::from(from.is_some());
        self.sum += to.unwrap_or(0.0) - from.unwrap_or(0.0);
    }

    fn add(&mut self, other: Brought) {
        self.picks += other.picks;
        self.sum += other.sum;
    }

    /// Their average; none of none.
    pub fn average(self) -> Option<f64> {
        (self.picks > 0).then(|| self.sum / self.picks as f64)
    }
}

impl Earned {
    /// A reward becomes known, or another, or unknown again.
    pub(crate) fn correct(&mut self, from: Option<f64>, to: Option<f64>) {
        self.so_far.correct(from, to);
    }

    /// The same of a pick whose window is over; `whose` is a hash of who it was for.
    pub(crate) fn mature(&mut self, whose: u64, from: Option<f64>, to: Option<f64>) {
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
        let (value, shares) = self.shares()?;
        Some(Estimated { value, standard_error: error_of(&shares, |group| self.has(group)) })
    }

    /// What the average is above that of another.
    pub fn lift(&self, other: &Earned) -> Option<Estimated> {
        let ((own, shares), (theirs, others)) = (self.shares()?, other.shares()?);
        let differences: Vec<f64> = shares.iter().zip(others).map(|(own, other)| own - other).collect();
        // By groups together: who is in both is in the same group of both.
        let standard_error = error_of(&differences, |group| self.has(group) || other.has(group));
        Some(Estimated { value: own - theirs, standard_error })
    }

    fn has(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|group| group.picks > 0)
    }

    /// The average, and what each group moves it by.
    fn shares(&self) -> Option<(f64, Vec<f64>)> {
        let all = self.matured();
        let average = all.average()?;
        let share = |group: &Brought| (group.sum - average * group.picks as f64) / all.picks as f64;
        Some((average, self.groups.iter().map(share).collect()))
    }
}

fn error_of(shares: &[f64], is_there: impl Fn(usize) -> bool) -> Option<f64> {
    let n = (0..shares.len()).filter(|group| is_there(*group)).count() as f64;
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (n > 1.0 && squares > 0.0).then(|| (squares * n / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Key, Stream};

    /// Viewers with tastes of their own, who are asked for several slates of several items each.
    fn audience(seed: u64, viewers: u64, slates: u64) -> (Earned, f64) {
        let key = Key::new(seed, b"audience");
        let mut earned = Earned::default();
        for viewer in 0..viewers {
            let taste = key.uniform(Stream::Choice, viewer);
            let whose = (key.uniform(Stream::Choice, 2_000_000 + viewer) * 1e6) as u64;
            for slate in 0..slates {
                let is_there = key.uniform(Stream::Choice, 1_000_000 + viewer * slates + slate) < taste;
                (0..3).for_each(|_| earned.mature(whose, None, Some(f64::from(u8::from(is_there)))));
            }
        }
        let average = earned.average().expect("there are picks");
        (earned, average.value)
    }

    #[test]
    fn the_standard_error_is_how_much_averages_differ_from_audience_to_audience() {
        let runs: Vec<(Earned, f64)> = (0..200).map(|seed| audience(seed, 300, 10)).collect();
        let spread = (runs.iter().map(|(_, average)| (average - 0.5) * (average - 0.5)).sum::<f64>() / 200.0).sqrt();
        let told = |earned: &Earned| earned.average().and_then(|average| average.standard_error).expect("they differ");
        let mean = runs.iter().map(|(earned, _)| told(earned)).sum::<f64>() / 200.0;
        assert!((mean / spread - 1.0).abs() < 0.12, "told {mean}, they differ by {spread}");
        // As if 9,000 picks of 300 viewers were independent: a quarter of it.
        assert!((0.25f64 / 9_000.0).sqrt() < 0.35 * spread);
        let covered = runs.iter().filter(|(e, average)| (average - 0.5).abs() < 1.96 * told(e)).count();
        assert!((180..=199).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn a_lift_of_two_audiences_has_the_errors_of_both_and_one_within_an_audience_less() {
        let ((one, _), (other, _)) = (audience(1, 400, 5), audience(2, 400, 5));
        let error = |estimated: Option<Estimated>| estimated.and_then(|e| e.standard_error);
        let [a, b] = [&one, &other].map(|earned| error(earned.average()).expect("they differ"));
        let lift = one.lift(&other).expect("both have picks");
        let own = one.average().expect("picks").value - other.average().expect("picks").value;
        assert!((lift.value - own).abs() < 1e-12);
        assert!((lift.standard_error.expect("they differ") / (a * a + b * b).sqrt() - 1.0).abs() < 0.25);
        assert_eq!(one.lift(&one).map(|lift| (lift.value, lift.standard_error)), Some((0.0, None)));
        assert_eq!(one.lift(&Earned::default()), None);
    }

    #[test]
    fn corrections_and_partitions_add_up_to_what_was_known_last() {
        let (mut whole, mut parts) = (Earned::default(), [Earned::default(), Earned::default()]);
        for pick in 0..100u64 {
            let reward = (pick % 7) as f64;
            whole.mature(pick, None, Some(reward));
            let part = &mut parts[(pick % 2) as usize];
            part.mature(pick, None, Some(1.0));
            part.mature(pick, Some(1.0), Some(reward));
        }
        parts[0].mature(2, None, Some(5.0));
        parts[0].mature(2, Some(5.0), None);
        let mut sum = Earned::default();
        parts.iter().for_each(|part| sum.add(part));
        assert_eq!(sum, whole);
        assert_eq!(whole.matured().picks, 100);
    }

    #[test]
    fn of_one_viewer_or_of_equal_rewards_nothing_is_known_of_the_error() {
        let mut earned = Earned::default();
        assert_eq!(earned.average(), None);
        (0..5).for_each(|reward| earned.mature(9, None, Some(f64::from(reward))));
        assert_eq!(earned.average(), Some(Estimated { value: 2.0, standard_error: None }));
        let mut equal = Earned::default();
        (0..50).for_each(|viewer| equal.mature(viewer, None, Some(1.0)));
        assert_eq!(equal.average(), Some(Estimated { value: 1.0, standard_error: None }));
    }
}
