//! What a model says of the candidates of one decision, before a policy makes a distribution of it.

use super::factor::padded;
use super::frame::Frame;

/// The candidates of one decision.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Features of the context; empty for a shared estimator.
    pub context: &'a [f64],
    /// Joint features of context and action, one candidate after another; empty for a per-action estimator.
    pub joint: &'a [f64],
    /// Positions of the actions.
    pub actions: &'a [u32],
}

/// Expected rewards and their uncertainty, per candidate. Reused from decision to decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Expected departure from the mean reward.
    pub deviation: Vec<f64>,
    /// Standard deviation of what is expected.
    pub deviations_std: Vec<f64>,
    /// Its part that is independent between candidates; all of it for per-action estimators.
    pub(crate) own: Vec<f64>,
    /// The other part: direction of each candidate in the shared posterior, whitened, padded.
    pub(crate) directions: Vec<f64>,
    /// Mean reward, which deviations depart from.
    pub centre: f64,
    /// Standard deviation of one reward.
    pub noise: f64,
    /// Features that take part; see [`super::Width`].
    pub taking_part: f64,
    /// Decisions the model has seen.
    pub decisions: u64,
    pub(crate) context: Vec<f64>,
    pub(crate) joint: Vec<f64>,
    pub(crate) whitened: Vec<f64>,
}

impl Scores {
    pub(crate) fn begin(&mut self, frame: &Frame, decisions: u64, candidates: usize) {
        for part in [&mut self.deviation, &mut self.deviations_std, &mut self.own, &mut self.directions] {
            part.clear();
            part.reserve(candidates);
        }
        (self.centre, self.noise) = (frame.centre, frame.noise);
        (self.taking_part, self.decisions) = (frame.taking_part, decisions);
    }

    pub(crate) fn set_context(&mut self, context: &[f64]) {
        let n = padded(context.len());
        self.context.clear();
        self.context.extend_from_slice(context);
        self.context.resize(n, 0.0);
        self.whitened.resize(n, 0.0);
    }

    /// Candidates scored.
    pub fn len(&self) -> usize {
        self.deviation.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.deviation.is_empty()
    }

    /// The reward expected of a candidate.
    pub fn expected(&self, candidate: usize) -> f64 {
        self.centre + self.deviation[candidate]
    }

    /// Numbers per candidate in `directions`; 0 without shared weights.
    pub(crate) fn stride(&self) -> usize {
        self.directions.len().checked_div(self.len()).unwrap_or(0)
    }

    /// Takes a candidate out; those after it move up.
    pub(crate) fn remove(&mut self, candidate: usize) {
        let stride = self.stride();
        self.deviation.remove(candidate);
        self.deviations_std.remove(candidate);
        self.own.remove(candidate);
        self.directions.drain(candidate * stride..(candidate + 1) * stride);
    }
}
