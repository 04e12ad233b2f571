//! All that is known of one model: sums per half-life, sizes of features, and the snapshot its frame is made of.
//!
//! Evidence is folded from decisions and outcomes in log order, one per partition, and put [together](Evidence::together) in their
//! order; a [`Model`] is a pure function of it. It never holds a posterior.
//!
//! [`Model`]: super::Model

use super::decay::{At, HalfLife, Stamp};
use super::factor::Scratch;
use super::frame::{Frame, Framed, Moments, Scales};
use super::learning::{Entry, Estimator, Learning};
use super::provisional::Provisional;
use super::rung::{Cross, Judge, Rung};
use super::sums::Sums;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod together;

pub use together::Share;

/// The sums of one model in one partition, or of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    learning: Learning,
    rungs: Vec<Rung>,
    context: Scales,
    joint: Scales,
    entered: u64,
    settled: u64,
    latest: At,
    framed: Framed,
    revision: u64,
}

/// Features and rewards are at most this large, so that no sum of their products can overflow.
pub const VALUE_MAX: f64 = 1e30;
/// Rewards between two revisions of the frame, at most; more where there are many actions, since all are derived again.
const REVISION_REWARDS_MAX: f64 = 256.0;
const REVISION_REWARDS_PER_ACTION: f64 = 4.0;
/// A frame is revised after one in this many of the rewards that count, and after this part of a half-life.
const REVISION_PART: f64 = 8.0;
/// Up to this many features each reward is used to judge half-lives: it costs a factor of their sums under each.
const JUDGED_BY_ALL_MAX: usize = 16;
/// With more features, one in this many.
const JUDGED_ONE_IN: u64 = 16;

impl Evidence {
    /// Nothing known yet.
    pub fn new(learning: &Learning) -> Self {
        let half_lives = match learning.half_life {
            HalfLife::Auto => learning.ladder.half_lives.clone(),
            half_life => vec![half_life],
        };
        let shared = (learning.estimator != Estimator::PerAction).then(|| Arc::new(Sums::new(learning.joint)));
        let rungs: Vec<_> = half_lives.into_iter().map(|half_life| Rung::new(half_life, shared.clone())).collect();
        assert!(!rungs.is_empty(), "a ladder has at least one half-life");
        let (context, joint) = (Scales::new(learning.context), Scales::new(learning.joint));
        let framed = Framed {
            rung: 0,
            as_of: At::default(),
            moments: vec![Moments::default(); rungs.len()],
            context: context.clone(),
            joint: joint.clone(),
            entered: 0,
            settled: 0,
        };
        let (learning, latest) = (learning.clone(), At::default());
        Evidence { learning, rungs, context, joint, entered: 0, settled: 0, latest, framed, revision: 0 }
    }

    /// How the model learns.
    pub fn learning(&self) -> &Learning {
        &self.learning
    }

    /// Decisions seen and rewards learnt.
    pub fn counts(&self) -> (u64, u64) {
        (self.entered, self.settled)
    }

    /// Whether a decision and its reward can be learnt: dimensions as configured, values finite and within [`VALUE_MAX`]. One
    /// that cannot must not be given to the others; the caller counts it as rejected.
    pub fn accepts(&self, entry: &Entry<'_>, reward: Option<f64>) -> bool {
        let expected = [entry.expected, entry.deviation];
        let values = entry.context.iter().chain(entry.joint).chain(&expected).chain(&reward);
        entry.context.len() == self.learning.context
            && entry.joint.len() == self.learning.joint
            && values.into_iter().all(|value| value.abs() <= VALUE_MAX)
    }

    /// A decision was made; its reward is not known yet.
    pub fn decide(&mut self, entry: &Entry<'_>) {
        self.grow(entry.action);
        self.context.add(entry.context);
        self.joint.add(entry.joint);
        self.entered += 1;
        self.latest = self.latest.later(entry.at);
        if self.learning.provisional == Provisional::Predicted {
            for rung in &mut self.rungs {
                rung.enter(entry, entry.deviation, rung.half_life.stamp(entry.at));
            }
        }
        if self.entered >= 2 * self.framed.entered || self.outlived() {
            self.revise();
        }
    }

    /// The reward of a decision is known.
    pub fn outcome(&mut self, entry: &Entry<'_>, reward: f64) {
        self.outcome_of(entry, reward, 0.0, 0.0);
    }

    /// As [`Evidence::outcome`], for a decision that [`Evidence::lean`] counted as `believed` with the given share.
    pub fn outcome_of(&mut self, entry: &Entry<'_>, reward: f64, share: f64, believed: f64) {
        self.grow(entry.action);
        let entered = self.learning.provisional == Provisional::Predicted;
        if self.rungs.len() > 1 && self.is_judged() {
            self.judge(entry, reward, entered);
        }
        for rung in &mut self.rungs {
            let stamp = rung.half_life.stamp(entry.at);
            if share > 0.0 {
                rung.correct(entry, believed, reward, stamp.share(share));
            }
            if !entered {
                rung.enter(entry, 0.0, stamp.share(1.0 - share));
            }
            let deviation = if entered { entry.deviation } else { 0.0 };
            rung.settle(entry, deviation, reward, stamp.share(1.0 - share));
            rung.moments.add(reward, entry.expected, stamp.share(1.0 - share));
            if share > 0.0 {
                rung.count_once(entry);
            }
        }
        self.settled += 1;
        let weight = self.rungs[self.framed.rung].moments.weight(self.now());
        let at_most = REVISION_REWARDS_MAX.max(REVISION_REWARDS_PER_ACTION * self.rung().actions.len() as f64);
        let enough = (weight / REVISION_PART).clamp(1.0, at_most);
        if self.settled.saturating_sub(self.framed.settled) as f64 >= enough {
            self.revise();
        }
    }

    /// No reward has come yet, and with probability `to` it would have: counts the `believed` reward with that share instead of
    /// `from`. For [`Provisional::Weighted`].
    pub fn lean(&mut self, entry: &Entry<'_>, believed: f64, from: f64, to: f64) {
        self.grow(entry.action);
        for rung in &mut self.rungs {
            let stamp = rung.half_life.stamp(entry.at).share(to - from);
            rung.enter(entry, 0.0, stamp);
            rung.settle(entry, 0.0, believed, stamp);
            rung.moments.add(believed, entry.expected, stamp);
            if from > 0.0 {
                rung.count_once(entry);
            }
        }
    }

    /// A reward that was learnt turns out otherwise. Exact, whenever it comes; the same as having learnt `to` at first.
    pub fn correct(&mut self, entry: &Entry<'_>, from: f64, to: f64) {
        for rung in &mut self.rungs {
            rung.correct(entry, from, to, rung.half_life.stamp(entry.at));
        }
    }

    /// A reward that was learnt turns out to be another decision's: nothing is known of this one's. Exact, whenever it comes.
    pub fn reopen(&mut self, entry: &Entry<'_>, reward: f64) {
        let entered = self.learning.provisional == Provisional::Predicted;
        for rung in &mut self.rungs {
            let stamp = rung.half_life.stamp(entry.at);
            rung.reopen(entry, if entered { entry.deviation } else { 0.0 }, reward, stamp);
            if !entered {
                rung.withdraw(entry, 0.0, stamp);
            }
        }
        self.settled = self.settled.saturating_sub(1);
    }

    /// No reward will come and none is to be assumed: takes the decision out again, and what [`Evidence::lean`] counted of it, which is
    /// `share` of `believed`.
    pub fn withdraw(&mut self, entry: &Entry<'_>, share: f64, believed: f64) {
        for rung in &mut self.rungs {
            let stamp = rung.half_life.stamp(entry.at);
            if self.learning.provisional == Provisional::Predicted {
                rung.withdraw(entry, entry.deviation, stamp);
            } else if share > 0.0 {
                rung.reopen(entry, 0.0, believed, stamp.share(share));
                rung.withdraw(entry, 0.0, stamp.share(share));
            }
        }
    }

    /// Nothing is known any more of an action: its place may be given to another.
    pub fn forget(&mut self, action: u32) {
        for rung in &mut self.rungs {
            rung.forget(action as usize);
        }
    }

    /// Whether this copy was taken when `other` was, or nothing was learnt in between. Exact as long as both are kept: sums that
    /// are shared are copied before they change.
    pub(crate) fn is_same(&self, other: &Evidence) -> bool {
        let counts = |e: &Evidence| (e.entered, e.settled, e.revision, e.latest, e.rungs.len());
        counts(self) == counts(other) && self.rungs.iter().zip(&other.rungs).all(|(a, b)| a.shares_all(b))
    }

    /// The half-life in use.
    pub fn half_life(&self) -> HalfLife {
        self.rung().half_life
    }

    /// Centre, noise, sizes and half-life as of the last revision.
    pub fn frame(&self) -> Frame {
        let shared_only = self.learning.estimator == Estimator::Shared;
        self.framed.frame(&self.learning.prior, self.now(), shared_only)
    }

    /// The sums of an action in use; none where nothing is known of it.
    pub fn action(&self, action: u32) -> Option<&Sums> {
        self.rung().actions.get(action as usize).map(|sums| &**sums)
    }

    /// The sums over joint features in use.
    pub fn shared(&self) -> Option<&Sums> {
        self.rung().shared.as_deref()
    }

    /// Grows with each revision of the frame.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The sums in use.
    pub(crate) fn rung(&self) -> &Rung {
        &self.rungs[self.framed.rung]
    }

    fn now(&self) -> Stamp {
        self.rungs[self.framed.rung].half_life.stamp(self.framed.as_of)
    }

    /// Whether so much of a half-life has passed that weights need another moment to be seen from.
    fn outlived(&self) -> bool {
        let (now, latest) = (self.now(), self.rung().half_life.stamp(self.latest));
        latest.seen_from(now.epoch) > now.weight * crate::math::exp2(1.0 / REVISION_PART)
    }

    fn revise(&mut self) {
        self.framed.rung = self.learning.ladder.best(&self.rungs, self.latest);
        self.framed.as_of = self.latest;
        self.framed.moments.clear();
        self.framed.moments.extend(self.rungs.iter().map(|rung| rung.moments));
        self.framed.context.clone_from(&self.context);
        self.framed.joint.clone_from(&self.joint);
        (self.framed.entered, self.framed.settled) = (self.entered, self.settled);
        self.revision += 1;
    }

    /// Which rewards judge: all, or a fixed, irregular sample, so that it does not beat in time with the traffic.
    fn is_judged(&self) -> bool {
        let features = match self.learning.estimator {
            Estimator::PerAction => self.learning.context,
            Estimator::Shared | Estimator::Hybrid => self.learning.joint,
        };
        features <= JUDGED_BY_ALL_MAX || super::draw::mix(self.settled).is_multiple_of(JUDGED_ONE_IN)
    }

    fn judge(&mut self, entry: &Entry<'_>, reward: f64, entered: bool) {
        let stamp = HalfLife::Decisions(self.learning.ladder.memory).stamp(self.latest);
        let mut judge = Judge {
            prior: &self.learning.prior,
            context: &self.framed.context,
            joint: &self.framed.joint,
            as_of: self.framed.as_of,
            scratch: &mut Scratch::default(),
        };
        let mut first = None;
        for rung in &mut self.rungs {
            let error = rung.error(entry, reward, entered, &mut judge);
            let first = *first.get_or_insert(error);
            rung.gain.add(first * first - error * error, stamp);
        }
    }

    fn grow(&mut self, action: Option<u32>) {
        if let Some(action) = action.filter(|_| self.learning.estimator != Estimator::Shared) {
            self.grow_to(action as usize + 1);
        }
    }

    fn grow_to(&mut self, actions: usize) {
        let (context, hybrid) = (self.learning.context, self.learning.estimator == Estimator::Hybrid);
        for rung in &mut self.rungs {
            rung.actions.grow(actions, || Arc::new(Sums::new(context)));
            if hybrid {
                rung.cross.grow(actions, Arc::<Cross>::default);
            }
        }
    }
}
