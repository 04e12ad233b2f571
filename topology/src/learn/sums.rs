//! What is known of one action, or of all through joint features: additive sums in forward decay.
//!
//! A posterior is derived from them when a model is cut; they know no prior, centre or regularisation, and adding, correcting,
//! withdrawing and merging are all additions. Never here: division, factorisation, anything that depends on the order of arrival
//! beyond rounding.

use super::decay::{Landmark, Stamp, pow2};
use super::triangle;
use serde::{Deserialize, Serialize};

/// Sums over the decisions for one action; w is the weight of forward decay.
///
/// A decision may be *entered* before its reward is known, with the deviation from the mean reward that was expected of it; the
/// reward then *settles* it. After both, the sums are those of [`Sums::add`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    landmark: Landmark,
    /// Σ w·x·xᵀ of entered decisions, upper triangle by rows.
    outer: Vec<f64>,
    /// Σ w·r·x of settled, Σ w·(expected deviation)·x of unsettled decisions.
    reward: Vec<f64>,
    /// Σ w·x of settled decisions: what centring rewards takes away, per unit of the centre.
    settled: Vec<f64>,
    /// Σ w, Σ w·r, Σ w·r² of settled decisions.
    moments: [f64; 3],
    entered: u64,
    count: u64,
    /// Grows with each change of `outer`, and with each change of the rest.
    revisions: [u64; 2],
}

impl Sums {
    /// Nothing known yet about features of this dimension.
    pub fn new(dimension: usize) -> Self {
        Sums {
            landmark: Landmark::default(),
            outer: vec![0.0; triangle::words(dimension)],
            reward: vec![0.0; dimension],
            settled: vec![0.0; dimension],
            moments: [0.0; 3],
            entered: 0,
            count: 0,
            revisions: [0; 2],
        }
    }

    /// Nothing known, for another action at the same place: a model cut before sees that it changed.
    pub(crate) fn emptied(&self) -> Self {
        Sums { revisions: self.revisions.map(|revision| revision + 1), ..Sums::new(self.dimension()) }
    }

    /// Features per decision.
    pub fn dimension(&self) -> usize {
        self.reward.len()
    }

    /// Decisions entered, and rewards that are in.
    pub fn counts(&self) -> (u64, u64) {
        (self.entered, self.count)
    }

    /// Learns a decision with its reward.
    pub fn add(&mut self, x: &[f64], reward: f64, stamp: Stamp) {
        self.enter(x, 0.0, stamp);
        self.settle(x, 0.0, reward, stamp);
    }

    /// Enters a decision whose reward is not known: uncertainty shrinks at once, as if the mean reward plus `deviation` had come.
    ///
    /// With the model's own prediction as `deviation` the estimate does not move (the hallucinated observations of GP-BUCB:
    /// Desautels, Krause and Burdick, JMLR 2014).
    pub fn enter(&mut self, x: &[f64], deviation: f64, stamp: Stamp) {
        let w = self.weigh(stamp);
        triangle::add_outer(&mut self.outer, x, w);
        triangle::add_scaled(&mut self.reward, x, w * deviation);
        self.entered += 1;
        self.revisions[0] += 1;
    }

    /// Takes an entered decision out again, for one whose reward is not to be counted.
    pub fn withdraw(&mut self, x: &[f64], deviation: f64, stamp: Stamp) {
        let w = self.weigh(stamp);
        triangle::add_outer(&mut self.outer, x, -w);
        triangle::add_scaled(&mut self.reward, x, -w * deviation);
        self.entered = self.entered.saturating_sub(1);
        self.revisions[0] += 1;
    }

    /// The reward of a decision that was entered with `deviation`.
    pub fn settle(&mut self, x: &[f64], deviation: f64, reward: f64, stamp: Stamp) {
        let w = self.weigh(stamp);
        triangle::add_scaled(&mut self.reward, x, w * (reward - deviation));
        triangle::add_scaled(&mut self.settled, x, w);
        for (sum, r) in self.moments.iter_mut().zip([1.0, reward, reward * reward]) {
            *sum += w * r;
        }
        self.count += 1;
        self.revisions[1] += 1;
    }

    /// The reward that settled a decision turns out not to be known after all.
    pub fn reopen(&mut self, x: &[f64], deviation: f64, reward: f64, stamp: Stamp) {
        self.settle(x, deviation, reward, stamp.share(-1.0));
        self.count = self.count.saturating_sub(2);
    }

    /// What was added last is a further share of a decision that is counted already.
    pub(crate) fn count_once(&mut self) {
        (self.entered, self.count) = (self.entered.saturating_sub(1), self.count.saturating_sub(1));
    }

    /// A settled reward turns out to be `to`, not `from`: Δr·x, with the weight of the decision. Exact, whenever it comes.
    pub fn correct(&mut self, x: &[f64], from: f64, to: f64, stamp: Stamp) {
        let w = self.weigh(stamp);
        triangle::add_scaled(&mut self.reward, x, w * (to - from));
        self.moments[1] += w * (to - from);
        self.moments[2] += w * (to * to - from * from);
        self.revisions[1] += 1;
    }

    /// Adds what another worker learnt about the same action. Panics where the dimensions differ.
    pub fn merge(&mut self, other: &Sums) {
        assert_eq!(self.dimension(), other.dimension(), "sums of one model have one dimension");
        let Some(epoch) = other.landmark.0 else { return };
        if let Some(factor) = self.landmark.advance(epoch) {
            self.scale(factor);
        }
        let factor = pow2(epoch.saturating_sub(self.landmark.epoch()));
        triangle::add_scaled(&mut self.outer, &other.outer, factor);
        triangle::add_scaled(&mut self.reward, &other.reward, factor);
        triangle::add_scaled(&mut self.settled, &other.settled, factor);
        triangle::add_scaled(&mut self.moments, &other.moments, factor);
        self.entered += other.entered;
        self.count += other.count;
        self.revisions[0] += other.revisions[0];
        self.revisions[1] += other.revisions[1];
    }

    /// Σ w·x·xᵀ (upper triangle by rows), Σ w·r·x and Σ w·x with weights as at `now`; scale them by the last of the tuple.
    pub fn at(&self, now: Stamp) -> (&[f64], &[f64], &[f64], f64) {
        (&self.outer, &self.reward, &self.settled, self.landmark.carried_to(now))
    }

    /// Σ w, Σ w·r and Σ w·r² of settled decisions, with weights as at `now`.
    pub fn moments(&self, now: Stamp) -> [f64; 3] {
        self.moments.map(|sum| sum * self.landmark.carried_to(now))
    }

    /// The same sums under another name, which a model cut before sees.
    pub(crate) fn revised(self, revisions: [u64; 2]) -> Self {
        Sums { revisions, ..self }
    }

    /// Whether nothing was ever added.
    pub(crate) fn is_untouched(&self) -> bool {
        self.revisions == [0; 2]
    }

    /// What tells whether a factor, or only an estimate, has to be derived anew.
    pub(crate) fn revisions(&self) -> [u64; 2] {
        self.revisions
    }

    fn weigh(&mut self, stamp: Stamp) -> f64 {
        if let Some(factor) = self.landmark.advance(stamp.epoch) {
            self.scale(factor);
        }
        stamp.seen_from(self.landmark.epoch())
    }

    fn scale(&mut self, factor: f64) {
        let parts = [&mut self.outer[..], &mut self.reward, &mut self.settled, &mut self.moments];
        for sum in parts.into_iter().flatten() {
            *sum *= factor;
        }
    }
}
