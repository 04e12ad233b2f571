//! Slates: positions filled one after another, without replacement, each from the policy's distribution over who is left.
//!
//! The propensity of a position is conditional on the positions before it; that of the slate is their product.

use super::draw::Key;
use super::policy::Policy;
use super::scores::Scores;

/// One position of a slate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Position among the candidates.
    pub candidate: usize,
    /// Probability with which it was drawn here, given the positions before.
    pub propensity: f64,
}

/// Scratch of [`Policy::fill`], to be used again.
#[derive(Clone, Debug, Default)]
pub struct SlateScratch {
    left: Scores,
    candidates: Vec<usize>,
    distribution: Vec<f64>,
}

impl Policy {
    /// Fills up to `positions` positions. `scores` are of all candidates; the first position's distribution is left in `first`.
    pub fn fill(
        &self,
        scores: &Scores,
        positions: usize,
        key: Key,
        first: &mut Vec<f64>,
        scratch: &mut SlateScratch,
    ) -> Vec<Placed> {
        self.distribution(scores, key, first);
        let mut placed = Vec::with_capacity(positions.min(scores.len()));
        let Some(candidate) = key.take(first).filter(|_| positions > 0) else { return placed };
        placed.push(Placed { candidate, propensity: first[candidate] });
        if positions == 1 || scores.len() == 1 {
            return placed;
        }
        let SlateScratch { left, candidates, distribution } = scratch;
        left.clone_from(scores);
        candidates.clear();
        candidates.extend(0..scores.len());
        let mut last = candidate;
        for position in 1..positions.min(scores.len()) {
            left.remove(last);
            candidates.remove(last);
            let key = key.at_position(position as u32);
            self.distribution(left, key, distribution);
            let Some(next) = key.take(distribution) else { break };
            placed.push(Placed { candidate: candidates[next], propensity: distribution[next] });
            last = next;
        }
        placed
    }
}
