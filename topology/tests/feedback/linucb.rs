//! LinUCB as served, from version to record to fold to version, against a plain reference written from the formula.

use crate::history::{T0, model, plan};
use saccade_topology::decision::*;
use saccade_topology::learn::*;
use saccade_topology::model::{Ask, Cutter, Given, RankScratch, rank};
use saccade_topology::*;
use std::sync::Arc;

const ROUNDS: usize = 3000;
const FEATURES: usize = 7;
const ACTIONS: usize = 6;
const WIDTH: f64 = 0.6;
const TOLD: &str = r#"{"version": 1, "expression": "0.0", "default_reward": 0, "wait": "1d", "aggregation": "sum"}"#;

/// Disjoint LinUCB (Li, Chu, Langford and Schapire, WWW 2010, algorithm 1), with A⁻¹ kept by Sherman and Morrison's formula.
struct Reference {
    inverse: Vec<[[f64; FEATURES]; FEATURES]>,
    a: Vec<[[f64; FEATURES]; FEATURES]>,
    b: Vec<[f64; FEATURES]>,
}

fn product(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

impl Reference {
    fn new() -> Self {
        let mut identity = [[0.0; FEATURES]; FEATURES];
        (0..FEATURES).for_each(|i| identity[i][i] = 1.0);
        Reference { inverse: vec![identity; ACTIONS], a: vec![identity; ACTIONS], b: vec![[0.0; FEATURES]; ACTIONS] }
    }

    fn solved(&self, action: usize, x: &[f64]) -> Vec<f64> {
        self.inverse[action].iter().map(|row| product(row, x)).collect()
    }

    /// p of step 9: θ·x + α·√(xᵀA⁻¹x).
    fn bounds(&self, x: &[f64]) -> Vec<f64> {
        let bound = |action: usize| {
            let solved = self.solved(action, x);
            product(&solved, &self.b[action]) + WIDTH * product(&solved, x).sqrt()
        };
        (0..ACTIONS).map(bound).collect()
    }

    fn learn(&mut self, action: usize, x: &[f64], reward: f64) {
        let solved = self.solved(action, x);
        let divisor = 1.0 + product(&solved, x);
        for i in 0..FEATURES {
            self.b[action][i] += reward * x[i];
            for j in 0..FEATURES {
                self.a[action][i][j] += x[i] * x[j];
                self.inverse[action][i][j] -= solved[i] * solved[j] / divisor;
            }
        }
    }
}

fn linucb() -> Arc<Plan> {
    plan(model(|model| {
        model.policy = Policy::LinUcb { width: Setting::Fixed(WIDTH), floor: FLOOR_MIN };
        model.prior = Prior { ridge: 1.0, scaled: false, centre: Setting::Fixed(0.0), noise: Setting::Fixed(1.0) };
        model.half_life = HalfLife::None;
    }))
}

/// Plays all rounds; decision and reward of a round go to one of `partitions` topologies.
fn follows_the_reference(partitions: usize) {
    let plan = linucb();
    let mut folds: Vec<_> = (0..partitions).map(|_| (Topology::new(Arc::clone(&plan)), 0)).collect();
    let apply = |(topology, next): &mut (Topology, u64), at: i64, record: Record<'_>| {
        let arrived = Arrived { ingest_time: IngestTime(T0 + at), record };
        assert_eq!(topology.apply(Offset(*next), &arrived, &mut Ignore), Outcome::Accepted);
        *next += 1;
    };
    for fold in &mut folds {
        for action in [Act::Propose, Act::Activate] {
            let spec = if action == Act::Propose { TOLD } else { "" };
            apply(fold, 0, Record::Control(Control { model: "home", action, version: 1, spec, by: "test" }));
        }
    }
    let mut cutter = Cutter::new(&plan, folds.iter().map(|(fold, next)| fold.learnt(Offset(*next))).collect());
    let (mut reference, mut scratch) = (Reference::new(), RankScratch::default());
    let (key, mut drawn) = (Key::new(5, b"linucb"), 0);
    let mut normal = || {
        drawn += 1;
        key.normal(Stream::Choice, drawn)
    };
    let theta: Vec<Vec<f64>> = (0..ACTIONS).map(|_| (0..FEATURES).map(|_| normal()).collect()).collect();
    let names: Vec<String> = (0..ACTIONS).map(|k| format!("a{k}")).collect();
    let candidates: Vec<_> = names.iter().map(|item| Candidate { item, features: Fields::default() }).collect();
    let mut open = 0;
    for round in 0..ROUNDS {
        let x: Vec<f64> = (0..FEATURES).map(|_| normal()).collect();
        let (id, at) = (format!("d{round}"), round as i64 * 1000);
        let time = EventTime(T0 + at);
        let version = cutter.cut().remove(0);
        let ask = Ask {
            id: &id,
            session: None,
            viewer: None,
            event_time: time,
            context: Given::Numbers(&x),
            features: &|_| None,
            candidates: &candidates,
            k: 1,
            deferred: false,
            opt_out: false,
        };
        let decision = rank(&version, &ask, &mut scratch).expect("the question can be answered");
        let action = decision.picks[0].candidate as usize;
        let bounds = reference.bounds(&x);
        let best = bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Actions that were never taken are alike: the formula takes any of the best.
        let ties = bounds.iter().filter(|bound| best - **bound < 1e-9).count();
        open += usize::from(ties > 1);
        assert!(best - bounds[action] < 1e-9, "round {round}: action {action} of {bounds:?}");
        let value = product(&x, &theta[action]) + normal();
        let place = round % partitions;
        apply(&mut folds[place], at, Record::Decision(Box::new(decision)));
        let told =
            ExplicitReward { decision: &id, id: None, item: None, position: None, value, event_time: Some(time) };
        apply(&mut folds[place], at, Record::Reward(told));
        cutter.take(place, folds[place].0.learnt(Offset(folds[place].1)));
        reference.learn(action, &x, value);
    }
    assert!(open < 2 * ACTIONS, "{open} rounds could have gone either way");
    has_the_sums(&folds, &names, &reference);
}

fn has_the_sums(folds: &[(Topology, u64)], names: &[String], reference: &Reference) {
    for (action, name) in names.iter().enumerate() {
        let (mut outer, mut rewards) = (vec![0.0; FEATURES * (FEATURES + 1) / 2], vec![0.0; FEATURES]);
        for (topology, _) in folds {
            let books = topology.books(Offset(0));
            let place = books.models[0].actions.place(name).expect("every action was taken");
            let evidence = books.models[0].specs[0].evidence.as_ref().expect("something was learnt");
            let sums = evidence.action(place).expect("every action was taken");
            let (o, r, _, scale) = sums.at(HalfLife::None.stamp(At::default()));
            outer.iter_mut().zip(o).for_each(|(sum, o)| *sum += scale * o);
            rewards.iter_mut().zip(r).for_each(|(sum, r)| *sum += scale * r);
        }
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * ROUNDS as f64;
        let pairs = (0..FEATURES).flat_map(|i| (i..FEATURES).map(move |j| (i, j)));
        for (sum, (i, j)) in outer.iter().zip(pairs) {
            let prior = f64::from(u8::from(i == j));
            assert!(close(sum + prior, reference.a[action][i][j]), "{name}: A of {i}, {j}");
        }
        rewards.iter().zip(&reference.b[action]).for_each(|(sum, b)| assert!(close(*sum, *b), "{name}: {sum} {b}"));
    }
}

#[test]
fn what_is_served_takes_the_actions_of_the_formula_and_has_its_sums() {
    follows_the_reference(1);
}

#[test]
fn two_partitions_take_them_too() {
    follows_the_reference(2);
}
