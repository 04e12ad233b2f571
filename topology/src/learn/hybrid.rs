//! Shared weights beside each action's own (Li, Chu, Langford and Schapire, WWW 2010, algorithm 2: LinUCB with hybrid linear models).
//!
//! For r = φ·β + x·θ_a, eliminating every θ_a leaves equations in β alone:
//! (ridge + Σ w·φφᵀ − Σ_a C_aᵀ A_a⁻¹ C_a)·β = Σ w·rφ − Σ_a C_aᵀ A_a⁻¹ b_a, with C_a = Σ w·xφᵀ. The prediction for (x, φ) is
//! x·A_a⁻¹b_a + φ̃·β and its variance xᵀA_a⁻¹x + φ̃ᵀS⁻¹φ̃, where φ̃ = φ − C_aᵀA_a⁻¹x and S is the matrix above.
//! All of it is derived from additive sums; only the part of an action that changed is derived again, and of the sum over all actions
//! only the groups it is in.

use super::decay::Stamp;
use super::estimate::Estimate;
use super::factor::padded;
use super::rung::Cross;
use super::triangle::{add_scaled, dot, words};
use crate::shelf::Shelf;
use std::sync::Arc;

/// What an action takes away from the shared equations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Elimination {
    /// Column φ_j of A⁻¹·C, padded, one after another.
    pull: Vec<f64>,
    taken: Arc<Taken>,
}

/// What is taken away from the two sides of the shared equations; nothing where it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Taken {
    /// Cᵀ·A⁻¹·C, packed upper triangle.
    outer: Vec<f64>,
    /// Cᵀ·A⁻¹·b.
    reward: Vec<f64>,
}

impl Taken {
    /// Takes it from both sides.
    pub(crate) fn take(&self, outer: &mut [f64], reward: &mut [f64]) {
        add_scaled(outer, &self.outer, -1.0);
        add_scaled(reward, &self.reward, -1.0);
    }

    fn add(&mut self, other: &Taken) {
        self.outer.resize(self.outer.len().max(other.outer.len()), 0.0);
        self.reward.resize(self.reward.len().max(other.reward.len()), 0.0);
        add_scaled(&mut self.outer, &other.outer, 1.0);
        add_scaled(&mut self.reward, &other.reward, 1.0);
    }
}

/// What all actions take away together: added up in groups, groups of groups, and so on to one. So it is a function of what each takes, and
/// a few additions bring it up to the change of one, however many there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Together {
    /// From groups of actions to that of all.
    levels: Vec<Shelf<Arc<Taken>>>,
}

/// Actions, or groups, that are added up together.
const GROUP: usize = 16;

impl Together {
    /// Adds up again what has changed; `changed` are places of actions in ascending order, with all that are new.
    pub(crate) fn refresh(&mut self, actions: &Shelf<Arc<Elimination>>, changed: &[usize]) {
        let mut changed = groups_of(changed.iter().copied());
        let mut below: Option<Shelf<Arc<Taken>>> = None;
        for level in 0.. {
            let members = below.as_ref().map_or(actions.len(), Shelf::len);
            if self.levels.len() == level {
                self.levels.push(Shelf::default());
            }
            let groups = &mut self.levels[level];
            for group in &changed {
                let mut sum = Taken::default();
                for member in group * GROUP..members.min((group + 1) * GROUP) {
                    sum.add(below.as_ref().map_or_else(|| &actions[member].taken, |below| &below[member]));
                }
                match groups.get_mut(*group) {
                    Some(before) => *before = Arc::new(sum),
                    None => groups.push(Arc::new(sum)),
                }
            }
            if groups.len() <= 1 {
                return;
            }
            changed = groups_of(changed.into_iter());
            below = Some(groups.clone());
        }
    }

    /// What all of them take; none where there are none.
    pub(crate) fn all(&self) -> Option<&Taken> {
        self.levels.last()?.get(0).map(Arc::as_ref)
    }
}

fn groups_of(places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut groups: Vec<usize> = places.map(|place| place / GROUP).collect();
    groups.dedup();
    groups
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
        Elimination { pull, taken: Arc::new(Taken { outer, reward }) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taking(x: f64) -> Arc<Elimination> {
        let taken =
            if x == 0.0 { Taken::default() } else { Taken { outer: vec![x, 1.0, x * x], reward: vec![0.1, x] } };
        Arc::new(Elimination { pull: vec![], taken: Arc::new(taken) })
    }

    proptest! {
        #[test]
        fn what_all_take_is_the_same_however_it_came_about(
            begin in 0..600_usize,
            steps in prop::collection::vec((prop::collection::vec((any::<prop::sample::Index>(), -9..9_i32), 1..20), 0..40_usize), 0..8),
        ) {
            let mut actions: Shelf<Arc<Elimination>> = (0..begin).map(|i| taking(i as f64 / 7.0)).collect();
            let mut together = Together::default();
            together.refresh(&actions, &(0..begin).collect::<Vec<_>>());
            for (changes, more) in steps {
                let mut changed: Vec<usize> = (actions.len()..actions.len() + more).collect();
                changed.iter().for_each(|i| actions.push(taking(*i as f64)));
                for (at, x) in changes.iter().filter(|_| begin + more > 0) {
                    let at = at.index(actions.len());
                    actions[at] = taking(f64::from(*x) / 3.0);
                    changed.push(at);
                }
                changed.sort_unstable();
                together.refresh(&actions, &changed);
                let mut anew = Together::default();
                anew.refresh(&actions, &(0..actions.len()).collect::<Vec<_>>());
                prop_assert!(together == anew, "bit for bit");
                let (mut outer, mut reward) = ([0.0; 3], [0.0; 2]);
                together.all().into_iter().for_each(|all| all.take(&mut outer, &mut reward));
                let (mut one_by_one, mut rewards) = ([0.0; 3], [0.0; 2]);
                actions.iter().for_each(|action| action.taken.take(&mut one_by_one, &mut rewards));
                for (sum, one_by_one) in outer.iter().chain(&reward).zip(one_by_one.iter().chain(&rewards)) {
                    prop_assert!((sum - one_by_one).abs() <= 1e-9 * (1.0 + one_by_one.abs()), "{sum} {one_by_one}");
                }
            }
        }
    }
}
