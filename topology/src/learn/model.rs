//! A model version: the posteriors of all actions, cut from the evidence.
//!
//! A pure function of the evidence: [`Model::refresh`] derives again only what changed and gives the bits that [`Model::cut`] would.
//! Readers hold it behind an atomic pointer; a refreshed clone shares what did not change.

use super::estimate::{CutScratch, Estimate, centred};
use super::evidence::Evidence;
use super::factor::{Factor, padded};
use super::frame::Frame;
use super::hybrid::{Elimination, Taken, Together};
use super::learning::Estimator;
use super::scores::{Candidates, Scores};
use super::sums::Sums;
use crate::shelf::Shelf;
use std::sync::Arc;

/// An immutable model version.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    estimator: Estimator,
    frame: Arc<Frame>,
    revision: u64,
    counts: (u64, u64),
    shared: Option<Arc<Estimate>>,
    actions: Shelf<Arc<Estimate>>,
    eliminations: Shelf<Arc<Elimination>>,
    taken: Together,
    /// Of an action that nothing is known of.
    fresh: Arc<Estimate>,
}

impl Model {
    /// Cuts a version from the evidence.
    pub fn cut(evidence: &Evidence) -> Model {
        let scratch = &mut CutScratch::default();
        let learning = evidence.learning();
        let frame = Arc::new(evidence.frame());
        let nothing = Sums::new(learning.context);
        let fresh = Arc::new(Estimate::cut(&nothing, &frame, &frame.context_ridge, scratch));
        let mut model = Model {
            estimator: learning.estimator,
            frame,
            revision: evidence.revision(),
            counts: evidence.counts(),
            shared: None,
            actions: Shelf::default(),
            eliminations: Shelf::default(),
            taken: Together::default(),
            fresh,
        };
        model.refresh_parts(evidence, None, true, scratch);
        model
    }

    /// Brings the version up to the evidence: only actions that changed are derived again, unless the frame was revised. Of `before`, a
    /// copy of the evidence as the version shows it, only what it does not share is looked at; else all.
    pub fn refresh(&mut self, evidence: &Evidence, before: Option<&Evidence>, scratch: &mut CutScratch) {
        let reframed = self.revision != evidence.revision();
        if reframed {
            self.frame = Arc::new(evidence.frame());
            self.revision = evidence.revision();
            let nothing = Sums::new(evidence.learning().context);
            self.fresh = Arc::new(Estimate::cut(&nothing, &self.frame, &self.frame.context_ridge, scratch));
        }
        self.counts = evidence.counts();
        self.refresh_parts(evidence, before.filter(|_| !reframed), reframed, scratch);
    }

    fn refresh_parts(
        &mut self,
        evidence: &Evidence,
        before: Option<&Evidence>,
        reframed: bool,
        scratch: &mut CutScratch,
    ) {
        let rung = evidence.rung();
        let nothing = Shelf::default();
        let before = before.map_or(&nothing, |before| &before.rung().actions);
        let (frame, ridge) = (&*self.frame, &self.frame.context_ridge);
        let joint = frame.joint_ridge.len();
        let hybrid = self.estimator == Estimator::Hybrid;
        let mut changed = vec![];
        for i in rung.actions.replaced(before) {
            let sums = &rung.actions[i];
            if !reframed && self.actions.get(i).is_some_and(|estimate| !estimate.is_behind(sums)) {
                continue;
            }
            match self.actions.get_mut(i) {
                Some(estimate) if sums.is_untouched() => *estimate = self.fresh.clone(),
                None if sums.is_untouched() => self.actions.push(self.fresh.clone()),
                Some(estimate) => Arc::make_mut(estimate).renew(sums, frame, ridge, reframed, scratch),
                None => self.actions.push(Arc::new(Estimate::cut(sums, frame, ridge, scratch))),
            }
            if hybrid {
                changed.push(i);
                let elimination = Arc::new(Elimination::of(&self.actions[i], &rung.cross[i], joint, frame.now));
                match self.eliminations.get_mut(i) {
                    Some(old) => *old = elimination,
                    None => self.eliminations.push(elimination),
                }
            }
        }
        match (&mut self.shared, &rung.shared) {
            (Some(estimate), Some(sums)) if hybrid && !reframed && changed.is_empty() && !estimate.is_behind(sums) => {}
            (shared, Some(sums)) if hybrid => {
                self.taken.refresh(&self.eliminations, &changed);
                *shared = Some(Arc::new(reduced(sums, frame, self.taken.all(), scratch)));
            }
            (Some(estimate), Some(sums)) => {
                Arc::make_mut(estimate).renew(sums, frame, &frame.joint_ridge, reframed, scratch);
            }
            (shared, Some(sums)) => {
                *shared = Some(Arc::new(Estimate::cut(sums, frame, &frame.joint_ridge, scratch)));
            }
            _ => {}
        }
    }

    /// Centre, noise, half-life in use.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Decisions seen and rewards learnt.
    pub fn counts(&self) -> (u64, u64) {
        self.counts
    }

    /// An action's own posterior; that of the prior where nothing is known.
    pub fn action(&self, action: u32) -> &Estimate {
        self.actions.get(action as usize).unwrap_or(&self.fresh)
    }

    /// The posterior of the weights on joint features.
    pub fn shared(&self) -> Option<&Estimate> {
        self.shared.as_deref()
    }

    /// Whether decisions with this many features of context and joint features can be scored.
    pub fn fits(&self, context: usize, joint: usize) -> bool {
        self.frame.joint_ridge.len() == joint && self.frame.context_ridge.len() == context
    }

    /// Features of the context.
    pub fn context(&self) -> usize {
        self.frame.context_ridge.len()
    }

    /// What each feature of the context, and each joint feature, adds to the deviation of one candidate: the sum of both is the
    /// deviation, to rounding.
    pub fn contributions(&self, context: &[f64], joint: &[f64], action: u32) -> (Vec<f64>, Vec<f64>) {
        let product = |weights: &[f64], x: &[f64]| weights.iter().zip(x).map(|(w, x)| w * x).collect::<Vec<f64>>();
        let mut own = match self.estimator {
            Estimator::Shared => vec![0.0; context.len()],
            _ => product(self.action(action).weights(), context),
        };
        let Some(shared) = &self.shared else { return (own, vec![0.0; joint.len()]) };
        if let Some(elimination) = self.eliminations.get(action as usize) {
            elimination.take_share(shared.weights(), context, &mut own);
        }
        (own, product(shared.weights(), joint))
    }

    /// What each candidate is expected to bring, and how uncertain that is.
    ///
    /// Panics where features have another dimension than the model.
    pub fn score(&self, candidates: &Candidates<'_>, scores: &mut Scores) {
        let joint = self.frame.joint_ridge.len();
        assert_eq!(candidates.joint.len(), joint * candidates.actions.len(), "joint features of each candidate");
        scores.begin(&self.frame, self.counts.0, candidates.actions.len());
        if self.estimator != Estimator::Shared {
            assert_eq!(candidates.context.len(), self.frame.context_ridge.len(), "features of the context");
            scores.set_context(candidates.context);
        }
        for (i, action) in candidates.actions.iter().enumerate() {
            let mut deviation = 0.0;
            let mut variance = 0.0;
            if self.estimator != Estimator::Shared {
                let own = self.action(*action);
                deviation = own.mean(&scores.context);
                variance = own.variance(&scores.context, &mut scores.whitened);
            }
            scores.own.push(self.frame.noise * variance.sqrt());
            if let Some(shared) = &self.shared {
                scores.joint.clear();
                scores.joint.extend_from_slice(&candidates.joint[i * joint..(i + 1) * joint]);
                if let Some(elimination) = self.eliminations.get(*action as usize) {
                    elimination.apply(&scores.context, &mut scores.joint);
                }
                scores.joint.resize(padded(joint), 0.0);
                deviation += shared.mean(&scores.joint);
                let at = scores.directions.len();
                scores.directions.resize(at + padded(joint), 0.0);
                variance += shared.variance(&scores.joint, &mut scores.directions[at..]);
            }
            scores.deviation.push(deviation);
            scores.deviations_std.push(self.frame.noise * variance.sqrt());
        }
    }
}

/// The posterior of shared weights, after every action's own are eliminated.
fn reduced(sums: &Sums, frame: &Frame, taken: Option<&Taken>, scratch: &mut CutScratch) -> Estimate {
    let (outer, _, _, scale) = sums.at(frame.now);
    let mut outer: Vec<f64> = outer.iter().map(|sum| scale * sum).collect();
    let mut right = Vec::new();
    centred(sums, frame.now, frame.centre, &mut right);
    taken.into_iter().for_each(|taken| taken.take(&mut outer, &mut right));
    let factor = Factor::of(&outer, 1.0, &frame.joint_ridge, &mut scratch.factor);
    scratch.right = right;
    Estimate::of(factor, sums.revisions(), scratch)
}
