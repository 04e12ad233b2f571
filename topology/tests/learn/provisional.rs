//! Decisions whose rewards are under way.

use crate::learner::*;
use saccade_topology::learn::*;

#[test]
fn a_decision_under_way_shrinks_uncertainty_and_leaves_the_estimate() {
    let mut evidence = Evidence::new(&plain(3));
    let mut source = Source::new(1);
    for n in 0..50 {
        let x = source.normals(3);
        let entry = entry(0, &x, n);
        evidence.decide(&entry);
        evidence.outcome(&entry, x[0] + source.normal());
    }
    let x = source.normals(3);
    let score = |evidence: &Evidence| {
        let mut scores = Scores::default();
        Model::cut(evidence).score(&Candidates { context: &x, joint: &[], actions: &[0] }, &mut scores);
        (scores.expected(0), scores.deviation[0], scores.deviations_std[0])
    };
    let (expected, deviation, before) = score(&evidence);
    evidence.decide(&Entry { expected, deviation, ..entry(0, &x, 50) });
    let (after_expected, _, after) = score(&evidence);
    assert!((after_expected - expected).abs() < 1e-9);
    assert!(after < before);
}

#[test]
fn a_withdrawn_decision_leaves_the_sums_as_they_were() {
    let mut evidence = Evidence::new(&plain(2));
    let entry = Entry { expected: 0.5, deviation: 0.5, ..entry(0, &[1.0, 2.0], 0) };
    evidence.decide(&entry);
    evidence.withdraw(&entry, 0.0, 0.0);
    let (outer, rewards, settled, _) = evidence.action(0).expect("it was known").at(HalfLife::None.stamp(at(0)));
    assert!(outer.iter().chain(rewards).chain(settled).all(|sum| *sum == 0.0));
}

/// A default reward counted in growing shares, then the reward: the same sums as the reward alone.
#[test]
fn leaning_on_the_default_and_then_learning_the_reward_counts_the_reward_once() {
    let learning = Learning { provisional: Provisional::Weighted, ..plain(2) };
    let (mut leaning, mut straight) = (Evidence::new(&learning), Evidence::new(&learning));
    let mut source = Source::new(2);
    for n in 0..40 {
        let x = source.normals(2);
        let reward = source.normal();
        let entry = entry(0, &x, n);
        for evidence in [&mut leaning, &mut straight] {
            evidence.decide(&entry);
        }
        leaning.lean(&entry, 0.2, 0.0, 0.3);
        leaning.lean(&entry, 0.2, 0.3, 0.9);
        leaning.outcome_of(&entry, reward, 0.9, 0.2);
        straight.outcome(&entry, reward);
    }
    let now = HalfLife::None.stamp(at(40));
    let numbers = |evidence: &Evidence| {
        let sums = evidence.action(0).expect("it is known");
        let (outer, rewards, settled, scale) = sums.at(now);
        let numbers: Vec<f64> = outer.iter().chain(rewards).chain(settled).map(|sum| sum * scale).collect();
        [numbers, sums.moments(now).to_vec()].concat()
    };
    for (a, b) in numbers(&leaning).iter().zip(numbers(&straight)) {
        assert!(close(*a, b, 10.0), "{a} {b}");
    }
}

#[test]
fn delays_are_learnt_from_closed_windows() {
    let mut delays = Delays::default();
    assert_eq!((delays.arrived(1000), delays.any(), delays.age_ms(0.5)), (0.0, None, None));
    for delay in [100, 200, 400, 800] {
        delays.closed(Some(delay));
    }
    delays.closed(None);
    assert_eq!(delays.any(), Some(0.8));
    assert_eq!(delays.arrived(0), 0.0);
    assert_eq!(delays.arrived(300), 0.5);
    assert_eq!(delays.arrived(i64::MAX), 1.0);
    let half = delays.age_ms(0.5).expect("delays are known");
    assert!(delays.arrived(half) >= 0.5 && half <= 400, "{half}");
    let mut more = Delays::default();
    more.closed(Some(1));
    assert_eq!(more.age_ms(1.0).map(|age| more.arrived(age)), Some(1.0));
    more.merge(&delays);
    assert_eq!(more.arrived(300), 0.6);
}

/// Rewards that come 100 rounds late: entering decisions at once wastes fewer of them on the same uncertain action.
#[test]
fn entering_at_once_explores_with_fewer_regrets_than_waiting() {
    let regret = |provisional: Provisional| {
        let learning = Learning { provisional, context: 1, half_life: HalfLife::None, ..Learning::default() };
        let mut evidence = Evidence::new(&learning);
        let (mut model, mut scratch) = (Model::cut(&evidence), CutScratch::default());
        let (mut scores, mut distribution) = (Scores::default(), Vec::new());
        let mut source = Source::new(3);
        let actions: Vec<u32> = (0..20).collect();
        let mut under_way = std::collections::VecDeque::new();
        let mut regret = 0.0;
        for n in 0..2000 {
            if n >= 100 {
                let (action, expected, deviation, reward) = under_way.pop_front().expect("100 are under way");
                let entry = Entry { expected, deviation, ..entry(action, &[1.0], n - 100) };
                evidence.outcome(&entry, reward);
            }
            model.refresh(&evidence, None, &mut scratch);
            model.score(&Candidates { context: &[1.0], joint: &[], actions: &actions }, &mut scores);
            let key = Key::new(1, &n.to_le_bytes());
            Policy::default().distribution(&scores, key, &mut distribution);
            let action = key.take(&distribution).expect("there are candidates") as u32;
            let (expected, deviation) = (scores.expected(action as usize), scores.deviation[action as usize]);
            evidence.decide(&Entry { expected, deviation, ..entry(action, &[1.0], n) });
            let mean = f64::from(action) / 20.0;
            regret += 0.95 - mean;
            under_way.push_back((action, expected, deviation, mean + 0.3 * source.normal()));
        }
        regret
    };
    let (entered, waited) = (regret(Provisional::Predicted), regret(Provisional::Closed));
    assert!(entered < waited, "{entered} {waited}");
}
