//! LinUCB and its hybrid against plain references written from the formulas.

use crate::learner::*;
use saccade_topology::learn::*;

/// Solves A·X = B by Gauss-Jordan elimination with pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs())).expect("not empty");
        a.swap(k, pivot);
        b.swap(k, pivot);
        let (row, right, inverse) = (a[k].clone(), b[k].clone(), 1.0 / a[k][k]);
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[i][k] * inverse;
            a[i].iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
            b[i].iter_mut().zip(&right).for_each(|(x, y)| *x -= factor * y);
        }
        a[k].iter_mut().for_each(|x| *x *= inverse);
        b[k].iter_mut().for_each(|x| *x *= inverse);
    }
    b
}

fn identity(n: usize) -> Vec<Vec<f64>> {
    (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect()
}

/// Disjoint LinUCB of Li, Chu, Langford and Schapire (2010), algorithm 1, as printed.
struct LinUcb {
    alpha: f64,
    a: Vec<Vec<Vec<f64>>>,
    b: Vec<Vec<f64>>,
}

impl LinUcb {
    fn new(actions: usize, d: usize, alpha: f64) -> Self {
        LinUcb { alpha, a: vec![identity(d); actions], b: vec![vec![0.0; d]; actions] }
    }

    fn bound(&self, action: usize, x: &[f64]) -> f64 {
        let columns = x.iter().zip(&self.b[action]).map(|(x, b)| vec![*x, *b]).collect();
        let solved = solve(self.a[action].clone(), columns);
        let product = |column: usize| x.iter().zip(&solved).map(|(x, row)| x * row[column]).sum::<f64>();
        product(1) + self.alpha * product(0).sqrt()
    }

    fn choose(&self, x: &[f64]) -> u32 {
        let bounds: Vec<f64> = (0..self.a.len()).map(|action| self.bound(action, x)).collect();
        let best = bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        bounds.iter().position(|bound| *bound == best).expect("there are actions") as u32
    }

    fn learn(&mut self, action: u32, x: &[f64], reward: f64) {
        let (a, b) = (&mut self.a[action as usize], &mut self.b[action as usize]);
        for (i, row) in a.iter_mut().enumerate() {
            b[i] += reward * x[i];
            row.iter_mut().zip(x).for_each(|(a, y)| *a += x[i] * y);
        }
    }
}

fn most_likely(distribution: &[f64]) -> u32 {
    let best = distribution.iter().copied().fold(0.0, f64::max);
    distribution.iter().position(|p| *p == best).expect("there are candidates") as u32
}

fn follows_the_reference(provisional: Provisional) {
    let (d, actions, alpha) = (9, 5, 0.7);
    let learning = Learning { provisional, ..plain(d) };
    let policy = Policy::LinUcb { width: Setting::Fixed(alpha), floor: FLOOR_MIN };
    let mut reference = LinUcb::new(actions, d, alpha);
    let mut evidence = Evidence::new(&learning);
    let mut model = Model::cut(&evidence);
    let (mut scratch, mut scores, mut distribution) = (CutScratch::default(), Scores::default(), Vec::new());
    let mut source = Source::new(1);
    let theta: Vec<Vec<f64>> = (0..actions).map(|_| source.normals(d)).collect();
    let candidates: Vec<u32> = (0..actions as u32).collect();
    for round in 0..3000 {
        let x = source.normals(d);
        model.refresh(&evidence, None, &mut scratch);
        model.score(&Candidates { context: &x, joint: &[], actions: &candidates }, &mut scores);
        policy.distribution(&scores, Key::new(1, b"any"), &mut distribution);
        let action = most_likely(&distribution);
        assert_eq!(action, reference.choose(&x), "round {round}");
        let reward = x.iter().zip(&theta[action as usize]).map(|(x, w)| x * w).sum::<f64>() + source.normal();
        let (expected, deviation) = (scores.expected(action as usize), scores.deviation[action as usize]);
        let entry = Entry { expected, deviation, ..entry(action, &x, round) };
        evidence.decide(&entry);
        evidence.outcome(&entry, reward);
        reference.learn(action, &x, reward);
    }
    for action in 0..actions {
        let sums = evidence.action(action as u32).expect("every action was taken");
        let (outer, rewards, _, scale) = sums.at(HalfLife::None.stamp(At::default()));
        let expected = (0..d).flat_map(|i| (i..d).map(move |j| (i, j)));
        for (sum, (i, j)) in outer.iter().zip(expected) {
            let prior = f64::from(u8::from(i == j));
            assert!(close(scale * sum + prior, reference.a[action][i][j], reference.a[action][i][i]));
        }
        for (sum, b) in rewards.iter().zip(&reference.b[action]) {
            assert!(close(scale * sum, *b, 3000.0));
        }
    }
}

#[test]
fn lin_ucb_takes_the_actions_of_the_formula_and_has_its_sums() {
    follows_the_reference(Provisional::Closed);
}

#[test]
fn entering_decisions_with_their_own_prediction_changes_nothing_once_rewards_are_in() {
    follows_the_reference(Provisional::Predicted);
}

/// The hybrid model is ridge regression on (φ, x of the action taken): one system of all unknowns, solved as it is.
#[test]
fn the_hybrid_estimate_is_ridge_regression_over_shared_and_own_weights_at_once() {
    let (d, joint, actions) = (3, 4, 3);
    let learning = Learning { estimator: Estimator::Hybrid, joint, ..plain(d) };
    let n = joint + actions * d;
    let mut evidence = Evidence::new(&learning);
    let (mut a, mut b) = (identity(n), vec![vec![0.0]; n]);
    let mut source = Source::new(2);
    for round in 0..200 {
        let (x, phi) = (source.normals(d), source.normals(joint));
        let action = round % 2;
        let reward = source.normal() + x[0] - phi[1];
        let entry = Entry { joint: &phi, ..entry(action as u32, &x, round) };
        evidence.decide(&entry);
        evidence.outcome(&entry, reward);
        let all = unknowns(&phi, &x, action as usize, n);
        for i in 0..n {
            b[i][0] += reward * all[i];
            (0..n).for_each(|j| a[i][j] += all[i] * all[j]);
        }
    }
    let model = Model::cut(&evidence);
    let mut scores = Scores::default();
    let (x, phi) = (source.normals(d), source.normals(joint * actions));
    model.score(&Candidates { context: &x, joint: &phi, actions: &[0, 1, 2] }, &mut scores);
    let weights = solve(a.clone(), b);
    for action in 0..actions {
        let all = unknowns(&phi[action * joint..(action + 1) * joint], &x, action, n);
        let mean: f64 = all.iter().zip(&weights).map(|(x, w)| x * w[0]).sum();
        let solved = solve(a.clone(), all.iter().map(|x| vec![*x]).collect());
        let variance: f64 = all.iter().zip(&solved).map(|(x, y)| x * y[0]).sum();
        assert!(close(scores.deviation[action], mean, 1.0), "{} {mean}", scores.deviation[action]);
        assert!(close(scores.deviations_std[action], variance.sqrt(), 1.0));
    }
}

fn unknowns(phi: &[f64], x: &[f64], action: usize, n: usize) -> Vec<f64> {
    let mut all = vec![0.0; n];
    all[..phi.len()].copy_from_slice(phi);
    let at = phi.len() + action * x.len();
    all[at..at + x.len()].copy_from_slice(x);
    all
}
