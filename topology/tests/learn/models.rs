//! Model versions: cut from evidence, the same bits however they came about.

use crate::learner::*;
use saccade_topology::learn::*;

fn learnings() -> Vec<Learning> {
    let base = Learning { context: 5, ..Learning::default() };
    vec![
        base.clone(),
        Learning { half_life: HalfLife::None, ..base.clone() },
        Learning { half_life: HalfLife::Decisions(50), ..base.clone() },
        Learning { half_life: HalfLife::Duration(saccade_topology::Duration::from_secs(30)), ..base.clone() },
        Learning { estimator: Estimator::Shared, context: 0, joint: 9, ..base.clone() },
        Learning { estimator: Estimator::Hybrid, joint: 3, half_life: HalfLife::Decisions(80), ..base },
    ]
}

fn decide(evidence: &mut Evidence, source: &mut Source, n: i64) {
    let learning = evidence.learning();
    let (x, phi) = (source.normals(learning.context), source.normals(learning.joint));
    let entry = Entry { joint: &phi, expected: 0.3, deviation: 0.1, ..entry(n as u32 % 7, &x, n) };
    evidence.decide(&entry);
    if n % 3 > 0 {
        evidence.outcome(&entry, source.normal());
    }
}

#[test]
fn a_refreshed_model_has_the_bits_of_one_cut_from_the_same_evidence() {
    for learning in learnings() {
        let mut evidence = Evidence::new(&learning);
        let (mut model, mut shown) = (Model::cut(&evidence), evidence.clone());
        let mut beside = model.clone();
        let (mut source, mut scratch) = (Source::new(4), CutScratch::default());
        for n in 0..700 {
            decide(&mut evidence, &mut source, n);
            if n % 5 == 0 {
                model.refresh(&evidence, None, &mut scratch);
                beside.refresh(&evidence, Some(&shown), &mut scratch);
                shown = evidence.clone();
                assert_eq!(model, Model::cut(&evidence), "round {n} of {learning:?}");
                assert_eq!(model, beside, "round {n} of {learning:?}");
            }
        }
    }
}

#[test]
fn evidence_survives_being_written_and_read() {
    for learning in learnings() {
        let (mut evidence, mut source) = (Evidence::new(&learning), Source::new(4));
        (0..300).for_each(|n| decide(&mut evidence, &mut source, n));
        let bytes = postcard::to_stdvec(&evidence).expect("evidence can be written");
        let mut read: Evidence = postcard::from_bytes(&bytes).expect("evidence can be read");
        assert_eq!(evidence, read);
        let mut again = Source::new(11);
        (300..400).for_each(|n| decide(&mut read, &mut again, n));
        let mut again = Source::new(11);
        (300..400).for_each(|n| decide(&mut evidence, &mut again, n));
        assert_eq!(Model::cut(&evidence), Model::cut(&read));
    }
}

#[test]
fn half_lives_are_written_as_they_are_configured() {
    let table = [
        (HalfLife::None, "\"none\""),
        (HalfLife::Auto, "\"auto\""),
        (HalfLife::Duration(saccade_topology::Duration::from_secs(5400)), "\"90m\""),
        (HalfLife::Decisions(2000), "{\"decisions\":2000}"),
    ];
    for (half_life, text) in table {
        assert_eq!(serde_json::to_string(&half_life).expect("it can be written"), text);
        assert_eq!(serde_json::from_str::<HalfLife>(text).expect("it can be read"), half_life);
    }
    assert!(serde_json::from_str::<HalfLife>("\"0s\"").is_err());
    assert!(serde_json::from_str::<HalfLife>("{\"decisions\":0}").is_err());
}

/// What one action teaches, the shared weights tell of another; an action's own weights then depart from them.
#[test]
fn a_new_action_starts_from_what_is_like_it_and_departs_as_evidence_comes() {
    let learning = Learning {
        estimator: Estimator::Hybrid,
        context: 1,
        joint: 2,
        half_life: HalfLife::None,
        ..Learning::default()
    };
    let mut evidence = Evidence::new(&learning);
    let mut source = Source::new(6);
    let drama = [1.0, 0.0];
    let sport = [0.0, 1.0];
    let mut learn = |action: u32, joint: &[f64], mean: f64, n: i64| {
        let entry = Entry { joint, ..entry(action, &[1.0], n) };
        evidence.decide(&entry);
        evidence.outcome(&entry, mean + 0.1 * source.normal());
        Model::cut(&evidence)
    };
    (0..200).for_each(|n| {
        learn(n as u32 % 4, if n % 4 < 2 { &drama } else { &sport }, if n % 4 < 2 { 1.0 } else { 0.0 }, n);
    });
    let model = learn(0, &drama, 1.0, 200);
    let expected = |model: &Model, joint: &[f64]| {
        let mut scores = Scores::default();
        model.score(&Candidates { context: &[1.0], joint, actions: &[9] }, &mut scores);
        scores.expected(0)
    };
    assert!(expected(&model, &drama) > 0.8, "a new drama is like dramas: {}", expected(&model, &drama));
    assert!(expected(&model, &sport) < 0.2, "a new sport is like sports: {}", expected(&model, &sport));
    let model = (201..260).map(|n| learn(9, &drama, 0.2, n)).last().expect("it was shown");
    assert!((expected(&model, &drama) - 0.2).abs() < 0.1, "{}", expected(&model, &drama));
}

#[test]
fn automatic_half_life_forgets_after_a_change_and_not_before() {
    let mut source = Source::new(12);
    let xs: Vec<Vec<f64>> = (0..6000).map(|_| source.normals(4)).collect();
    let noise = source.normals(6000);
    let learning = Learning { context: 4, ..Learning::default() };
    let run = |switches: bool, rounds: usize| {
        let reward = |round: usize, x: &[f64], action: u32| {
            let turned = switches && round >= 4000;
            let mean = if (action == 1) == turned { x[0] } else { x[1] - x[2] };
            mean + 0.3 * noise[round]
        };
        play(&learning, Policy::default(), 2, &xs[..rounds], reward).1.frame().rung
    };
    assert_eq!(run(true, 4000), 0, "nothing has changed");
    assert_eq!(run(false, 6000), 0, "nothing changes");
    assert!(run(true, 6000) > 0, "rewards have changed places");
}

/// Chance keeps a shorter half-life ahead for a while; not in more than one run of six, where nothing changes.
#[test]
fn automatic_half_life_seldom_forgets_where_nothing_changes() {
    let learning = Learning { context: 4, ..Learning::default() };
    let forgets = |seed: u64| {
        let mut source = Source::new(seed);
        let xs: Vec<Vec<f64>> = (0..6000).map(|_| source.normals(4)).collect();
        let noise = source.normals(6000);
        let reward = |round: usize, x: &[f64], action: u32| {
            let mean = if action == 1 { x[0] } else { x[1] - x[2] };
            mean + 0.3 * noise[round]
        };
        play(&learning, Policy::default(), 2, &xs, reward).1.frame().rung > 0
    };
    let forgetting = (0..24).filter(|seed| forgets(*seed)).count();
    assert!(forgetting <= 4, "{forgetting} of 24");
}

#[test]
fn what_cannot_be_learnt_is_refused_and_the_largest_values_do_not_overflow() {
    let mut evidence = Evidence::new(&Learning { context: 2, ..Learning::default() });
    let largest = [VALUE_MAX, -VALUE_MAX];
    let beyond = [VALUE_MAX * 1.001, f64::NAN, f64::INFINITY];
    assert!(evidence.accepts(&entry(0, &largest, 0), Some(-VALUE_MAX)));
    assert!(!evidence.accepts(&entry(0, &[1.0], 0), None), "another dimension");
    for value in beyond {
        assert!(!evidence.accepts(&entry(0, &[1.0, value], 0), None));
        assert!(!evidence.accepts(&entry(0, &[1.0, 1.0], 0), Some(value)));
    }
    for n in 0..1000 {
        let entry = entry(n as u32 % 3, &largest, n);
        evidence.decide(&entry);
        evidence.outcome(&entry, if n % 2 == 0 { VALUE_MAX } else { -VALUE_MAX });
    }
    let model = Model::cut(&evidence);
    assert!((0..3).all(|action| model.action(action).weights().iter().all(|weight| weight.is_finite())));
}
