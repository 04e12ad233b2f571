//! The posterior of one set of sums: what is expected, and how uncertain that is.
//!
//! Normal with mean A⁻¹·b and covariance noise²·A⁻¹, where A = ridge + Σ w·x·xᵀ and b = Σ w·(r − centre)·x: ridge regression, as in
//! Li, Chu, Langford and Schapire (WWW 2010). Immutable once cut; derived from the sums alone, so cutting again gives the same bits.

use super::decay::Stamp;
use super::factor::{Factor, Scratch, padded};
use super::frame::Frame;
use super::sums::Sums;
use super::triangle::dot;

/// A posterior over weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub(crate) factor: Factor,
    /// A⁻¹·b, padded with zeros.
    weights: Vec<f64>,
    revisions: [u64; 2],
}

/// Scratch of a cut, to be used again.
#[derive(Clone, Debug, Default)]
pub struct CutScratch {
    pub(crate) factor: Scratch,
    pub(crate) right: Vec<f64>,
    pub(crate) whitened: Vec<f64>,
}

/// b = Σ w·(r − centre)·x with weights as at `now`, padded.
pub(crate) fn centred(sums: &Sums, now: Stamp, centre: f64, out: &mut Vec<f64>) {
    let (_, rewards, settled, scale) = sums.at(now);
    out.clear();
    out.extend(rewards.iter().zip(settled).map(|(r, x)| scale * (r - centre * x)));
    out.resize(padded(rewards.len()), 0.0);
}

impl Estimate {
    /// The posterior of `sums` under `frame`, with this prior precision per weight.
    pub(crate) fn cut(sums: &Sums, frame: &Frame, ridge: &[f64], scratch: &mut CutScratch) -> Estimate {
        let (outer, _, _, scale) = sums.at(frame.now);
        let factor = Factor::of(outer, scale, ridge, &mut scratch.factor);
        centred(sums, frame.now, frame.centre, &mut scratch.right);
        Estimate::of(factor, sums.revisions(), scratch)
    }

    /// The posterior for a factor and the right side in `scratch`.
    pub(crate) fn of(factor: Factor, revisions: [u64; 2], scratch: &mut CutScratch) -> Estimate {
        let mut estimate = Estimate { weights: vec![0.0; scratch.right.len()], factor, revisions };
        estimate.solve(scratch);
        estimate
    }

    /// As [`Estimate::cut`] in the same memory; the factor is kept where only rewards have changed.
    pub(crate) fn renew(
        &mut self,
        sums: &Sums,
        frame: &Frame,
        ridge: &[f64],
        reframed: bool,
        scratch: &mut CutScratch,
    ) {
        let (old, new) = (self.revisions, sums.revisions());
        if reframed || old[0] != new[0] {
            let (outer, _, _, scale) = sums.at(frame.now);
            self.factor.renew(outer, scale, ridge, &mut scratch.factor);
        }
        if reframed || old != new {
            centred(sums, frame.now, frame.centre, &mut scratch.right);
            self.solve(scratch);
            self.revisions = new;
        }
    }

    /// Whether the sums have changed since.
    pub(crate) fn is_behind(&self, sums: &Sums) -> bool {
        self.revisions != sums.revisions()
    }

    /// A⁻¹·b for the right side in `scratch`.
    fn solve(&mut self, scratch: &mut CutScratch) {
        scratch.whitened.resize(scratch.right.len(), 0.0);
        self.factor.whiten(&scratch.right, &mut scratch.whitened);
        self.factor.unwhiten(&scratch.whitened, &mut self.weights);
    }

    /// Weight of each feature; the reward expected above the centre is their product with the features.
    pub fn weights(&self) -> &[f64] {
        &self.weights[..self.factor.dimension()]
    }

    /// x·A⁻¹·b for padded `x`.
    pub(crate) fn mean(&self, x: &[f64]) -> f64 {
        dot(&self.weights, x)
    }

    /// xᵀ·A⁻¹·x for padded `x`; leaves Vᵀ·x in `whitened`.
    pub(crate) fn variance(&self, x: &[f64], whitened: &mut [f64]) -> f64 {
        self.factor.whiten(x, whitened);
        dot(whitened, whitened)
    }

    /// Standard error of each weight, in units of the noise: √(A⁻¹)_jj.
    pub fn errors(&self) -> Vec<f64> {
        let n = self.weights.len();
        let mut unit = vec![0.0; n];
        let mut whitened = vec![0.0; n];
        let mut error = |j: usize| {
            unit[j] = 1.0;
            let variance = self.variance(&unit, &mut whitened);
            unit[j] = 0.0;
            variance.sqrt()
        };
        (0..self.factor.dimension()).map(&mut error).collect()
    }
}
