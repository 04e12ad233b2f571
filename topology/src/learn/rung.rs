//! All sums of a model under one half-life, and how well they predicted; several rungs make a ladder.
//!
//! A rung knows nothing of the others: the choice between half-lives reads what each gained over the first ([`Ladder::best`]).

use super::decay::{At, HalfLife, Landmark, Stamp};
use super::estimate::centred;
use super::factor::{Scratch, project};
use super::frame::{Moments, Prior, Scales};
use super::learning::Entry;
use super::sums::Sums;
use super::triangle::add_scaled;
use crate::shelf::Shelf;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Σ w·x·φᵀ of one action: how its own features go with the shared ones. Rows of context, columns of joint features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cross {
    landmark: Landmark,
    sums: Vec<f64>,
}

impl Cross {
    fn add(&mut self, x: &[f64], joint: &[f64], stamp: Stamp, sign: f64) {
        self.sums.resize(x.len() * joint.len(), 0.0);
        self.landmark.carry(&mut self.sums, stamp.epoch);
        let w = sign * stamp.seen_from(self.landmark.epoch());
        for (row, x) in self.sums.chunks_exact_mut(joint.len()).zip(x) {
            add_scaled(row, joint, w * x);
        }
    }

    pub(crate) fn merge(&mut self, other: &Cross) {
        self.sums.resize(self.sums.len().max(other.sums.len()), 0.0);
        self.landmark.merge(&mut self.sums, other.landmark, &other.sums);
    }

    pub(crate) fn at(&self, now: Stamp) -> (&[f64], f64) {
        (&self.sums, self.landmark.carried_to(now))
    }
}

/// By how much one-step-ahead squared errors were smaller than those of the first rung, decayed: Σ w·d, Σ w·d², Σ w.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gain {
    landmark: Landmark,
    sums: [f64; 3],
}

impl Gain {
    pub(crate) fn add(&mut self, gain: f64, stamp: Stamp) {
        self.landmark.add(&mut self.sums, &[gain, gain * gain, 1.0], stamp);
    }

    pub(crate) fn merge(&mut self, other: &Gain) {
        self.landmark.merge(&mut self.sums, other.landmark, &other.sums);
    }

    /// Mean, where it is `STANDARD_ERRORS` above what must be gained at least.
    fn significant(&self, now: Stamp, at_least: f64) -> Option<f64> {
        let [gain, squares, weight] = self.sums;
        let count = weight * self.landmark.carried_to(now);
        let mean = gain / weight;
        let error = ((squares / weight - mean * mean).max(0.0) / count).sqrt();
        (count >= ERRORS_MIN && mean > at_least + STANDARD_ERRORS * error).then_some(mean)
    }
}

/// Which half-lives are kept side by side for [`HalfLife::Auto`], and for how long an error counts in the choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ladder {
    /// The first is used unless another predicts significantly better, by one part in a hundred of the rewards' variance.
    pub half_lives: Vec<HalfLife>,
    /// Half-life of errors, in decisions.
    pub memory: u32,
}

impl Default for Ladder {
    fn default() -> Self {
        let counted = [16_384, 4096, 1024].map(HalfLife::Decisions);
        Ladder { half_lives: [&[HalfLife::None], &counted[..]].concat(), memory: 2048 }
    }
}

/// Errors needed before a choice is made.
const ERRORS_MIN: f64 = 16.0;
/// How much of the rewards' variance another half-life must gain over the first. Two half-lives that have seen much the same stay
/// apart by chance for thousands of rewards, so errors that follow each other are not independent and no number of standard errors
/// keeps from forgetting where nothing changes; but what chance brings is small.
const GAIN_MIN: f64 = 0.01;
/// How sure it must be of that gain.
const STANDARD_ERRORS: f64 = 1.0;

impl Ladder {
    /// The rung whose estimates predicted the next rewards best, lately.
    pub(crate) fn best(&self, rungs: &[Rung], at: At) -> usize {
        let now = HalfLife::Decisions(self.memory).stamp(at);
        let noise = rungs[0].moments.noise(rungs[0].half_life.stamp(at));
        let mut best = (0, 0.0);
        for (i, rung) in rungs.iter().enumerate().skip(1) {
            match rung.gain.significant(now, GAIN_MIN * noise * noise) {
                Some(gain) if gain > best.1 => best = (i, gain),
                _ => {}
            }
        }
        best.0
    }
}

/// The sums of a model under one half-life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rung {
    pub half_life: HalfLife,
    pub moments: Moments,
    pub gain: Gain,
    /// Shared with handed-out copies until they change, so that a copy of all evidence is cheap.
    pub shared: Option<Arc<Sums>>,
    pub actions: Shelf<Arc<Sums>>,
    pub cross: Shelf<Arc<Cross>>,
}

impl Rung {
    pub(crate) fn new(half_life: HalfLife, shared: Option<Arc<Sums>>) -> Self {
        Rung {
            half_life,
            moments: Moments::default(),
            gain: Gain::default(),
            shared,
            actions: Shelf::default(),
            cross: Shelf::default(),
        }
    }

    /// The sums that a decision goes into, with the features that belong to each.
    fn parts<'a>(&'a mut self, entry: &Entry<'a>) -> impl Iterator<Item = (&'a mut Sums, &'a [f64])> {
        let own = entry.action.and_then(|action| self.actions.get_mut(action as usize));
        let own = own.map(|sums| (Arc::make_mut(sums), entry.context));
        self.shared.as_mut().map(|sums| (Arc::make_mut(sums), entry.joint)).into_iter().chain(own)
    }

    pub(crate) fn enter(&mut self, entry: &Entry<'_>, deviation: f64, stamp: Stamp) {
        for (sums, x) in self.parts(entry) {
            sums.enter(x, deviation, stamp);
        }
        self.cross(entry, stamp, 1.0);
    }

    pub(crate) fn withdraw(&mut self, entry: &Entry<'_>, deviation: f64, stamp: Stamp) {
        for (sums, x) in self.parts(entry) {
            sums.withdraw(x, deviation, stamp);
        }
        self.cross(entry, stamp, -1.0);
    }

    fn cross(&mut self, entry: &Entry<'_>, stamp: Stamp, sign: f64) {
        if let Some(cross) = entry.action.and_then(|action| self.cross.get_mut(action as usize)) {
            Arc::make_mut(cross).add(entry.context, entry.joint, stamp, sign);
        }
    }

    /// A decision that was counted before, with another share of its weight, is still one.
    pub(crate) fn count_once(&mut self, entry: &Entry<'_>) {
        for (sums, _) in self.parts(entry) {
            sums.count_once();
        }
    }

    pub(crate) fn settle(&mut self, entry: &Entry<'_>, deviation: f64, reward: f64, stamp: Stamp) {
        for (sums, x) in self.parts(entry) {
            sums.settle(x, deviation, reward, stamp);
        }
    }

    pub(crate) fn reopen(&mut self, entry: &Entry<'_>, deviation: f64, reward: f64, stamp: Stamp) {
        for (sums, x) in self.parts(entry) {
            sums.reopen(x, deviation, reward, stamp);
        }
        self.moments.add(reward, entry.expected, stamp.share(-1.0));
    }

    pub(crate) fn correct(&mut self, entry: &Entry<'_>, from: f64, to: f64, stamp: Stamp) {
        for (sums, x) in self.parts(entry) {
            sums.correct(x, from, to, stamp);
        }
        self.moments.correct(from, to, entry.expected, stamp);
    }

    /// The error of what this rung expects of a decision, before its reward is learnt.
    ///
    /// Where the decision is among the sums already (`entered`), its part is taken out: with leverage h = w·xᵀA⁻¹x and the
    /// deviation y it was entered with, the prediction without it is (ŷ − h·y) / (1 − h).
    pub(crate) fn error(&mut self, entry: &Entry<'_>, reward: f64, entered: bool, judge: &mut Judge<'_>) -> f64 {
        let shared = self.shared.is_some();
        let scales = if shared { judge.joint } else { judge.context };
        let (as_of, stamp) = (self.half_life.stamp(judge.as_of), self.half_life.stamp(entry.at));
        let centre = judge.prior.centre.or(self.moments.mean().unwrap_or(0.0));
        let Some((sums, x)) = self.parts(entry).next() else { return 0.0 };
        let (outer, _, _, scale) = sums.at(as_of);
        let mut b = Vec::new();
        centred(sums, as_of, centre, &mut b);
        let ridge = scales.ridge(judge.prior);
        let (mut deviation, variance) = project((outer, scale), &ridge, &b, x, judge.scratch);
        if entered {
            let leverage = stamp.seen_from(as_of.epoch) / as_of.weight * variance;
            deviation = (deviation - leverage * entry.deviation) / (1.0 - leverage).max(1e-6);
        }
        reward - centre - deviation
    }

    /// Nothing is known any more of an action.
    pub(crate) fn forget(&mut self, action: usize) {
        if let Some(sums) = self.actions.get_mut(action) {
            *sums = Arc::new(sums.emptied());
        }
        if let Some(cross) = self.cross.get_mut(action) {
            *cross = Arc::default();
        }
    }

    /// Whether all sums are the other's, not copies.
    pub(crate) fn shares_all(&self, other: &Rung) -> bool {
        let is_shared = match (&self.shared, &other.shared) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_shared && self.actions.is(&other.actions) && self.cross.is(&other.cross)
    }
}

/// What all rungs are judged by.
pub(crate) struct Judge<'a> {
    pub prior: &'a Prior,
    pub context: &'a Scales,
    pub joint: &'a Scales,
    pub as_of: At,
    pub scratch: &'a mut Scratch,
}
