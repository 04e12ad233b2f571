//! Policies: propensities are what is drawn from, never zero, and lead where they should.

use crate::learner::*;
use saccade_topology::learn::*;

fn all() -> Vec<Policy> {
    with_floor(0.02)
}

fn with_floor(floor: f64) -> Vec<Policy> {
    vec![
        Policy::Uniform,
        Policy::EpsilonGreedy { epsilon: 0.1 },
        Policy::Softmax { temperature: 0.3, floor },
        Policy::LinUcb { width: Setting::Auto, floor },
        Policy::LinUcb { width: Setting::Fixed(1.0), floor },
        Policy::Thompson { scale: Setting::Auto, draws: 16, floor },
        Policy::Thompson { scale: Setting::Fixed(1.0), draws: 8, floor },
        Policy::SquareCb { gamma: 1.0 },
    ]
}

/// Scores of six candidates after some rounds of four actions with different rewards; two actions are unknown.
fn scores(estimator: Estimator) -> Scores {
    let learning = Learning { estimator, context: 3, joint: 2, ..Learning::default() };
    let context = if estimator == Estimator::Shared { 0 } else { 3 };
    let joint = if estimator == Estimator::PerAction { 0 } else { 2 };
    let learning = Learning { context, joint, ..learning };
    let mut evidence = Evidence::new(&learning);
    let mut source = Source::new(5);
    for n in 0..80 {
        let (x, phi) = (source.normals(context), source.normals(joint));
        let action = n as u32 % 4;
        let entry = Entry { joint: &phi, ..entry(action, &x, n) };
        evidence.decide(&entry);
        evidence.outcome(&entry, 0.1 * f64::from(action) + source.normal());
    }
    let mut scores = Scores::default();
    let (x, phi) = (source.normals(context), source.normals(joint * 6));
    let candidates = Candidates { context: &x, joint: &phi, actions: &[0, 1, 2, 3, 4, 5] };
    Model::cut(&evidence).score(&candidates, &mut scores);
    scores
}

/// χ² of counts against what was expected, over cells with any expectation.
fn chi_square(counts: &[f64], expected: &[f64]) -> f64 {
    let cells = counts.iter().zip(expected).filter(|(_, expected)| **expected > 0.0);
    cells.map(|(count, expected)| (count - expected) * (count - expected) / expected).sum()
}

/// 99.99 % quantile of χ² with 5 degrees of freedom.
const CHI_SQUARE_5: f64 = 25.74;

#[test]
fn draws_follow_the_propensities_of_each_policy() {
    for estimator in [Estimator::PerAction, Estimator::Shared, Estimator::Hybrid] {
        let scores = scores(estimator);
        for policy in all() {
            policy.check().expect("the policy is valid");
            let (mut counts, mut expected, mut distribution) = ([0.0; 6], [0.0; 6], Vec::new());
            for id in 0..20_000_u32 {
                let key = Key::new(3, &id.to_le_bytes());
                policy.distribution(&scores, key, &mut distribution);
                assert!((distribution.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                assert!(distribution.iter().all(|p| *p > 0.0), "{policy:?} gives a propensity of zero");
                counts[key.take(&distribution).expect("there are candidates")] += 1.0;
                expected.iter_mut().zip(&distribution).for_each(|(sum, p)| *sum += p);
            }
            let chi = chi_square(&counts, &expected);
            assert!(chi < CHI_SQUARE_5, "{policy:?}: χ² {chi}, {counts:?} against {expected:?}");
        }
    }
}

#[test]
fn slates_draw_without_replacement_by_the_propensity_of_each_position() {
    let scores = scores(Estimator::Hybrid);
    let (mut first, mut scratch) = (Vec::new(), SlateScratch::default());
    for policy in with_floor(0.3) {
        let (mut weights, mut squares, mut open) = ([0.0; 6], [0.0; 6], [0.0; 6]);
        for id in 0..5000_u32 {
            let key = Key::new(4, &id.to_le_bytes());
            let slate = policy.fill(&scores, 6, key, &mut first, &mut scratch);
            let mut seen: Vec<usize> = slate.iter().map(|placed| placed.candidate).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
            assert!(slate.iter().all(|placed| placed.propensity > 0.0 && placed.propensity <= 1.0 + 1e-12));
            assert_eq!(slate[0].propensity, first[slate[0].candidate]);
            assert!((slate[5].propensity - 1.0).abs() < 1e-12, "{policy:?}: the last has no choice");
            (0..6).filter(|i| *i != slate[0].candidate).for_each(|i| open[i] += 1.0);
            weights[slate[1].candidate] += 1.0 / slate[1].propensity;
            squares[slate[1].candidate] += 1.0 / (slate[1].propensity * slate[1].propensity);
        }
        // Σ 1 / propensity over draws has the expectation of how often the candidate was still there.
        for i in (0..6).filter(|i| open[*i] > 1000.0) {
            let errors = (weights[i] - open[i]).abs() / squares[i].sqrt();
            assert!(errors < 4.5, "{policy:?}: {} against {}, {errors} standard errors", weights[i], open[i]);
        }
    }
}

#[test]
fn the_same_decision_is_drawn_alike_and_another_is_not() {
    let scores = scores(Estimator::PerAction);
    let policy = Policy::Thompson { scale: Setting::Fixed(1.0), draws: 16, floor: 0.02 };
    let draw = |id: &[u8]| {
        let mut distribution = Vec::new();
        policy.distribution(&scores, Key::new(9, id), &mut distribution);
        (Key::new(9, id).take(&distribution), distribution)
    };
    assert_eq!(draw(b"decision-1"), draw(b"decision-1"));
    assert_ne!(draw(b"decision-1").1, draw(b"decision-2").1);
}

#[test]
fn noop_keeps_the_order_and_an_empty_request_has_no_distribution() {
    let mut distribution = Vec::new();
    Policy::Noop.distribution(&scores(Estimator::PerAction), Key::new(1, b"x"), &mut distribution);
    assert_eq!(distribution, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    for policy in all() {
        policy.distribution(&Scores::default(), Key::new(1, b"x"), &mut distribution);
        assert!(distribution.is_empty());
    }
}

/// Thompson sampling of two actions: the share of draws is the probability of being best.
#[test]
fn posterior_draws_are_shared_by_the_probability_of_being_best() {
    let mut evidence = Evidence::new(&plain(1));
    for (n, (action, reward)) in [(0, 1.0), (0, 0.5), (1, 0.8), (1, 0.4), (1, 0.0)].into_iter().enumerate() {
        let entry = entry(action, &[1.0], n as i64);
        evidence.decide(&entry);
        evidence.outcome(&entry, reward);
    }
    let mut scores = Scores::default();
    Model::cut(&evidence).score(&Candidates { context: &[1.0], joint: &[], actions: &[0, 1] }, &mut scores);
    // Means 1.5/3 and 1.2/4, variances 1/3 and 1/4: Φ(0.2 / √(7/12)).
    let best = 0.603_28;
    let policy = Policy::Thompson { scale: Setting::Fixed(1.0), draws: 100, floor: FLOOR_MIN };
    let mut distribution = Vec::new();
    let ids = 1000_u32;
    let mut shares = 0.0;
    for id in 0..ids {
        policy.distribution(&scores, Key::new(6, &id.to_le_bytes()), &mut distribution);
        shares += distribution[0] / f64::from(ids);
    }
    let error = (best * (1.0 - best) / 100_000.0_f64).sqrt();
    assert!((shares - best).abs() < 4.0 * error, "{shares}");
}

/// Costs, rewards all below zero, and rewards of another size lead to the same action as rewards in [0, 1].
#[test]
fn the_size_and_sign_of_rewards_change_no_policy_into_a_random_one() {
    let mut source = Source::new(8);
    let xs: Vec<Vec<f64>> = (0..1500).map(|_| source.normals(2)).collect();
    let noise: Vec<f64> = source.normals(1500);
    let floor = 0.01;
    let learning = Learning { context: 2, ..Learning::default() };
    for policy in [
        Policy::default(),
        Policy::Thompson { scale: Setting::Auto, draws: 16, floor },
        Policy::SquareCb { gamma: 10.0 },
        Policy::Softmax { temperature: 0.1, floor },
        Policy::EpsilonGreedy { epsilon: 0.05 },
    ] {
        for (scale, shift) in [(1.0, 0.0), (-1.0, 0.0), (1.0, -1000.0), (1e6, 0.0), (1e-6, -1e-3)] {
            let best = |x: &[f64]| u32::from((x[0] > 0.0) == (scale > 0.0));
            let reward = |round: usize, x: &[f64], action: u32| {
                let mean = if action == 1 { x[0] } else { -x[0] };
                shift + scale * (mean + 0.3 * noise[round])
            };
            let (taken, _) = play(&learning, policy, 2, &xs, reward);
            let right = taken.iter().zip(&xs).skip(500).filter(|(action, x)| **action == best(x)).count();
            assert!(right > 900, "{policy:?} with rewards · {scale} + {shift}: right {right} times of 1000");
        }
    }
}

#[test]
fn a_parameter_out_of_range_is_told_with_its_range() {
    let bad = [
        Policy::LinUcb { width: Setting::Auto, floor: 0.0 },
        Policy::EpsilonGreedy { epsilon: 1.5 },
        Policy::Thompson { scale: Setting::Auto, draws: DRAWS_MAX + 1, floor: 0.1 },
        Policy::Softmax { temperature: f64::NAN, floor: 0.1 },
    ];
    for policy in bad {
        let message = policy.check().expect_err("it is out of range");
        assert!(message.contains("allowed:"), "{message}");
    }
    assert!(Policy::Thompson { scale: Setting::Auto, draws: DRAWS_MAX, floor: FLOOR_MIN }.check().is_ok());
}

#[test]
fn a_policy_is_configured_by_its_name_and_the_rest_has_defaults() {
    let table = [
        (r#"{"name":"lin_ucb"}"#, Policy::default()),
        (r#"{"name":"lin_ucb","width":0.5}"#, Policy::LinUcb { width: Setting::Fixed(0.5), floor: FLOOR }),
        (r#"{"name":"thompson"}"#, Policy::Thompson { scale: Setting::Auto, draws: DRAWS, floor: FLOOR }),
        (r#"{"name":"shuffle"}"#, Policy::Uniform),
    ];
    for (text, policy) in table {
        assert_eq!(serde_json::from_str::<Policy>(text).expect("it can be read"), policy);
    }
    assert!(serde_json::from_str::<Policy>(r#"{"name":"lin_ucb","alpha":1}"#).is_err());
}
