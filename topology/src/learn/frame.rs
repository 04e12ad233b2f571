//! What all estimates of a model are seen against: centre and noise of the rewards, size of the features, the moment.
//!
//! Defaults come from the data: rewards are centred by their running mean, uncertainty is measured in the rewards' own standard
//! deviation, and the prior holds each feature to its own size. So multiplying rewards or a feature by a constant changes no
//! decision, and one regularisation fits clicks of one percent as well as minutes watched.

use super::decay::{At, Landmark, Stamp};
use super::setting::Setting;
use super::triangle::add_scaled;
use serde::{Deserialize, Serialize};

/// What is believed before anything is seen. The defaults are meant to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prior {
    /// Prior precision of each weight, in observations: `ridge` · Σx⁴ / Σx² of its feature, or plainly `ridge` where not `scaled`.
    pub ridge: f64,
    /// Whether the features' sizes count.
    pub scaled: bool,
    /// Mean reward that estimates depart from.
    pub centre: Setting,
    /// Standard deviation of a reward around its estimate.
    pub noise: Setting,
}

impl Default for Prior {
    fn default() -> Self {
        Prior { ridge: 1.25, scaled: true, centre: Setting::Auto, noise: Setting::Auto }
    }
}

/// Sizes of features: Σ x² and Σ x⁴ over all decisions, not decayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scales {
    decisions: f64,
    squares: Vec<f64>,
    fourths: Vec<f64>,
}

impl Scales {
    pub(crate) fn new(dimension: usize) -> Self {
        Scales { decisions: 0.0, squares: vec![0.0; dimension], fourths: vec![0.0; dimension] }
    }

    pub(crate) fn add(&mut self, x: &[f64]) {
        self.decisions += 1.0;
        for ((square, fourth), x) in self.squares.iter_mut().zip(&mut self.fourths).zip(x) {
            *square += x * x;
            *fourth += x * x * (x * x);
        }
    }

    pub(crate) fn merge(&mut self, other: &Scales) {
        self.decisions += other.decisions;
        add_scaled(&mut self.squares, &other.squares, 1.0);
        add_scaled(&mut self.fourths, &other.fourths, 1.0);
    }

    /// Σx⁴ / Σx²: the square of a feature's size where it counts; rare features and rare large values are not blown up.
    pub(crate) fn ridge(&self, prior: &Prior) -> Vec<f64> {
        let sums = self.squares.iter().zip(&self.fourths);
        sums.map(|(square, fourth)| match prior.scaled && *fourth > 0.0 {
            true => prior.ridge * fourth / square,
            false => prior.ridge,
        })
        .collect()
    }

    /// How many features take part in a decision: Σ over features of (Σx²)² / (n · Σx⁴); at least 1.
    fn taking_part(&self) -> f64 {
        let sums = self.squares.iter().zip(&self.fourths);
        let shares = sums.map(|(square, fourth)| if *fourth > 0.0 { square * square / fourth } else { 0.0 });
        (shares.sum::<f64>() / self.decisions.max(1.0)).max(1.0)
    }
}

/// Decayed sums over settled decisions of all actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moments {
    landmark: Landmark,
    /// Σ w, Σ w·r, Σ w·r², Σ w·(r − expected)².
    sums: [f64; 4],
}

impl Moments {
    pub(crate) fn add(&mut self, reward: f64, expected: f64, stamp: Stamp) {
        let error = reward - expected;
        self.landmark.add(&mut self.sums, &[1.0, reward, reward * reward, error * error], stamp);
    }

    pub(crate) fn correct(&mut self, from: f64, to: f64, expected: f64, stamp: Stamp) {
        let error = |reward: f64| (reward - expected) * (reward - expected);
        let terms = [0.0, to - from, to * to - from * from, error(to) - error(from)];
        self.landmark.add(&mut self.sums, &terms, stamp);
    }

    pub(crate) fn merge(&mut self, other: &Moments) {
        self.landmark.merge(&mut self.sums, other.landmark, &other.sums);
    }

    /// Rewards that still count.
    pub(crate) fn weight(&self, now: Stamp) -> f64 {
        self.sums[0] * self.landmark.carried_to(now)
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.sums[0] > 0.0).then(|| self.sums[1] / self.sums[0])
    }

    /// The lesser of the rewards' standard deviation and of the root mean square error of what was expected: before the model
    /// predicts, errors say little about noise. 1 before two rewards.
    pub(crate) fn noise(&self, now: Stamp) -> f64 {
        let weight = self.weight(now);
        let Some(mean) = self.mean().filter(|_| weight > 1.5) else { return 1.0 };
        let variance = (self.sums[2] / self.sums[0] - mean * mean) * weight / (weight - 1.0);
        let error = self.sums[3] / self.sums[0];
        variance.min(error).max(1e-12 * (1e-12 + mean * mean)).sqrt()
    }
}

/// What all estimates of a cut share.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Which of the half-lives kept side by side is in use.
    pub rung: usize,
    /// Weights are as at this moment.
    pub as_of: At,
    /// Mean reward; estimates are deviations from it.
    pub centre: f64,
    /// Standard deviation of a reward around its estimate.
    pub noise: f64,
    /// Features that take part in a decision; see [`super::Width`].
    pub taking_part: f64,
    pub(crate) now: Stamp,
    pub(crate) context_ridge: Vec<f64>,
    pub(crate) joint_ridge: Vec<f64>,
}

/// What a frame is made of, as it stood when the frame was last revised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Framed {
    pub rung: usize,
    pub as_of: At,
    pub moments: Vec<Moments>,
    pub context: Scales,
    pub joint: Scales,
    pub entered: u64,
    pub settled: u64,
}

impl Framed {
    /// Adds another partition's.
    pub(crate) fn merge(&mut self, other: &Framed) {
        self.as_of = self.as_of.later(other.as_of);
        self.moments.iter_mut().zip(&other.moments).for_each(|(ours, theirs)| ours.merge(theirs));
        self.context.merge(&other.context);
        self.joint.merge(&other.joint);
        self.entered += other.entered;
        self.settled += other.settled;
    }

    pub(crate) fn frame(&self, prior: &Prior, now: Stamp, shared_only: bool) -> Frame {
        let moments = &self.moments[self.rung];
        Frame {
            rung: self.rung,
            as_of: self.as_of,
            centre: prior.centre.or(moments.mean().unwrap_or(0.0)),
            noise: prior.noise.or(moments.noise(now)),
            taking_part: if shared_only { self.joint.taking_part() } else { self.context.taking_part() },
            now,
            context_ridge: self.context.ridge(prior),
            joint_ridge: self.joint.ridge(prior),
        }
    }
}
