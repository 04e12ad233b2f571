//! Shared weights beside each action's own (Li, Chu, Langford and Schapire, WWW 2010, algorithm 2: LinUCB with hybrid linear models).
//!
//! For r = φ·β + x·θ_a, eliminating every θ_a leaves equations in β alone:
//! (ridge + Σ w·φφᵀ − Σ_a C_aᵀ A_a⁻¹ C_a)·β = Σ w·rφ − Σ_a C_aᵀ A_a⁻¹ b_a, with C_a = Σ w·xφᵀ. The prediction for (x, φ) is
//! x·A_a⁻¹b_a + φ̃·β and its variance xᵀA_a⁻¹x + φ̃ᵀS⁻¹φ̃, where φ̃ = φ − C_aᵀA_a⁻¹x and S is the matrix above.
//! All of it is derived from additive sums; only the part of an action that changed is derived again.

use super::decay::Stamp;
use super::estimate::Estimate;
use super::factor::padded;
use super::rung::Cross;
use super::triangle::{dot, words};

/// What an action takes away from the shared equations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Elimination {
    /// Column φ_j of A⁻¹·C, padded, one after another.
    pull: Vec<f64>,
    /// Cᵀ·A⁻¹·C, packed upper triangle.
    pub outer: Vec<f64>,
    /// Cᵀ·A⁻¹·b.
    pub reward: Vec<f64>,
}

impl Elimination {
    /// Of an action with these cross sums, `context` × `joint`.
    pub(crate) fn of(own: &Estimate, cross: &Cross, joint: usize, now: Stamp) -> Elimination {
        let (sums, scale) = cross.at(now);
        if sums.is_empty() {
            return Elimination::default();
        }
        let n = padded(own.factor.dimension());
        let mut columns = vec![0.0; n * joint];
        for (i, row) in sums.chunks_exact(joint.max(1)).enumerate() {
            for (j, sum) in row.iter().enumerate() {
                columns[j * n + i] = scale * sum;
            }
        }
        let mut whitened = vec![0.0; n * joint];
        let mut pull = vec![0.0; n * joint];
        let mut reward = vec![0.0; joint];
        for (j, column) in columns.chunks_exact(n).enumerate() {
            let at = j * n..(j + 1) * n;
            own.factor.whiten(column, &mut whitened[at.clone()]);
            own.factor.unwhiten(&whitened[at.clone()], &mut pull[at]);
            reward[j] = own.mean(column);
        }
        let mut outer = Vec::with_capacity(words(joint));
        for (i, row) in whitened.chunks_exact(n).enumerate() {
            outer.extend(whitened[i * n..].chunks_exact(n).map(|column| dot(row, column)));
        }
        Elimination { pull, outer, reward }
    }

    /// φ̃ = φ − Cᵀ·A⁻¹·x in place, for padded `x`.
    pub(crate) fn apply(&self, x: &[f64], joint: &mut [f64]) {
        for (phi, column) in joint.iter_mut().zip(self.pull.chunks_exact(x.len().max(1))) {
            *phi -= dot(column, x);
        }
    }

    /// Takes from `out`, per feature of the context, what [`Elimination::apply`] takes from φ·weights.
    pub(crate) fn take_share(&self, weights: &[f64], x: &[f64], out: &mut [f64]) {
        let padded = padded(x.len()).max(1);
        for (weight, column) in weights.iter().zip(self.pull.chunks_exact(padded)) {
            for ((share, pull), x) in out.iter_mut().zip(column).zip(x) {
                *share -= weight * pull * x;
            }
        }
    }
}
