//! Decisions: reproducible, drawn from what is logged, answered whatever is known.

use super::*;
use crate::decision::Served;

const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];
const X: [f64; 4] = [1.0, 0.4, -0.2, 0.1];

fn taught(keys: &str, rounds: usize) -> Arc<ModelVersion> {
    let mut world = World::new(&plan(keys), 1);
    world.teach(rounds, &ITEMS, 4);
    world.cut()
}

#[test]
fn the_same_question_has_the_same_answer_and_the_record_tells_the_question() {
    let version = taught(r#""policy":{"name":"thompson"}"#, 200);
    let candidates = candidates(&ITEMS);
    let (mut scratch, mut other) = (RankScratch::default(), RankScratch::default());
    for id in ["d1", "d2", "d3"] {
        let asked = ask(id, &X, &candidates, 3);
        let first = rank(&version, &asked, &mut scratch).expect("ranks");
        assert_eq!(rank(&version, &asked, &mut other).expect("ranks"), first);
        let again = rank(&version, &Ask::again(&first), &mut other).expect("ranks").clone();
        assert_eq!(again, first, "from the record alone");
        let sum: f64 = first.distribution.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9 && first.picks.len() == 3);
        assert_eq!(first.picks[0].propensity, first.distribution[first.picks[0].candidate as usize]);
    }
}

/// Draws against the distributions they were drawn from: for each position the sum over decisions of indicator − probability,
/// per candidate, is held against its standard error.
fn assert_fair(keys: &str, k: usize) {
    let version = taught(keys, 60);
    let candidates = candidates(&ITEMS);
    let mut scratch = RankScratch::default();
    let (mut drawn, mut expected, mut variance) = ([0.0; 5], [0.0; 5], [0.0; 5]);
    let mut inverse = 0.0;
    let rounds = 4000;
    for round in 0..rounds {
        let id = format!("d{round}");
        let decision = rank(&version, &ask(&id, &X, &candidates, k), &mut scratch).expect("ranks");
        drawn[decision.picks[0].candidate as usize] += 1.0;
        for (i, p) in decision.distribution.iter().enumerate() {
            expected[i] += p;
            variance[i] += p * (1.0 - p);
        }
        // E[1 / propensity of the slate] is the number of slates.
        inverse += decision.picks.iter().map(|pick| 1.0 / pick.propensity).product::<f64>();
        assert!(decision.picks.iter().all(|pick| pick.propensity > 0.0));
    }
    for i in 0..5 {
        let z = (drawn[i] - expected[i]) / f64::sqrt(variance[i].max(1.0));
        assert!(z.abs() < 4.0, "{keys} {k}: candidate {i} was drawn {} times, expected {}", drawn[i], expected[i]);
    }
    if keys.contains("uniform") || keys.contains("softmax") {
        let slates: f64 = (0..k).map(|position| (5 - position) as f64).product();
        let mean = inverse / f64::from(rounds);
        assert!((mean / slates - 1.0).abs() < 0.25, "{keys} {k}: {mean} for {slates} slates");
    }
}

#[test]
fn draws_follow_the_logged_distribution_for_each_policy_and_slates() {
    for policy in [
        r#"{"name":"uniform"}"#,
        r#"{"name":"epsilon_greedy","epsilon":0.2}"#,
        r#"{"name":"softmax","temperature":1.0,"floor":0.2}"#,
        r#"{"name":"lin_ucb","floor":0.3}"#,
        r#"{"name":"thompson","floor":0.05}"#,
        r#"{"name":"square_cb","gamma":1.0}"#,
    ] {
        for k in [1, 3] {
            assert_fair(&format!(r#""policy":{policy}"#), k);
        }
    }
}

#[test]
fn the_hold_out_is_a_stable_share_of_viewers_and_answered_by_the_baseline() {
    let version = taught(r#""hold_out":0.2,"baseline":"shuffle""#, 60);
    let candidates = candidates(&ITEMS);
    let mut scratch = RankScratch::default();
    let mut held_out = 0;
    for viewer in 0..2000 {
        let viewer = format!("v{viewer}");
        let mut of = |id: &str| {
            let asked = Ask { viewer: Some(&viewer), ..ask(id, &X, &candidates, 1) };
            let decision = rank(&version, &asked, &mut scratch).expect("ranks");
            (decision.served, decision.distribution.clone())
        };
        let ((served, distribution), (again, _)) = (of("d1"), of("d2"));
        assert_eq!(served, again);
        if served == Served::HeldOut {
            held_out += 1;
            assert_eq!(distribution, [0.2; 5]);
        }
    }
    assert!((330..470).contains(&held_out), "{held_out} of 2000");
}

#[test]
fn modes_answer_in_the_callers_order_with_certainty() {
    let candidates = candidates(&["c", "a", "b"]);
    for (keys, opt_out, served) in [
        (r#""mode":"apprentice""#, false, Served::Apprentice),
        (r#""mode":"logging_only""#, false, Served::LoggingOnly),
        ("", true, Served::OptedOut),
    ] {
        let version = taught(keys, 60);
        let mut scratch = RankScratch::default();
        let asked = Ask { opt_out, ..ask("d", &X, &candidates, 2) };
        let decision = rank(&version, &asked, &mut scratch).expect("ranks");
        assert_eq!(decision.served, served);
        let picks: Vec<_> = decision.picks.iter().map(|pick| (pick.candidate, pick.propensity)).collect();
        assert_eq!(picks, [(0, 1.0), (1, 1.0)]);
        assert_eq!(decision.preferred.is_some(), served == Served::Apprentice);
    }
}

#[test]
fn nothing_known_is_answered_and_every_running_spec_believes_something() {
    let plan = plan(r#""context":["clicks.*"],"features":["hour"]"#);
    let version = World::new(&plan, 1).cut();
    let candidates = candidates(&ITEMS);
    let mut scratch = RankScratch::default();
    let asked = Ask { context: Given::Nothing, features: &|_| Some(7.0), ..ask("d", &[], &candidates, 9) };
    let decision = rank(&version, &asked, &mut scratch).expect("a cold start is answered");
    assert_eq!(decision.context, [1.0, 0.0, 0.0, 7.0]);
    assert_eq!((decision.picks.len(), decision.context_version, decision.reward_version), (5, None, 1));
    for pick in &decision.picks {
        assert_eq!(pick.beliefs.iter().map(|belief| belief.spec).collect::<Vec<_>>(), [1, 2]);
    }
    let vector = [3.0, 4.0, 5.0, 6.0];
    let asked = Ask { context: Given::Vector(&vector, 12), ..asked };
    let decision = rank(&version, &asked, &mut scratch).expect("ranks");
    assert_eq!((decision.context.as_slice(), decision.context_version), (&[1.0, 3.0, 4.0, 7.0][..], Some(12)));
    let vector = [f32::NEG_INFINITY, f32::NAN, 5.0, 6.0];
    let asked = Ask { context: Given::Vector(&vector, 12), ..asked };
    let decision = rank(&version, &asked, &mut scratch).expect("what players send refuses no decision");
    assert_eq!(decision.context, [1.0, -1e30, 0.0, 7.0]);
    let asked = Ask { context: Given::Numbers(&[1.0, 2.0]), ..asked };
    let error = rank(&version, &asked, &mut scratch).expect_err("two numbers for four").to_string();
    assert!(error.contains("has 2 numbers") && error.contains("allowed: 4"), "{error}");
}

#[test]
fn the_first_decision_says_how_many_numbers_a_request_brings() {
    let fresh = World::new(&plan(""), 1).cut();
    let candidates = candidates(&["a", "b"]);
    let mut scratch = RankScratch::default();
    for n in [1, 7, 256] {
        let x = vec![1.0; n];
        let asked = Ask { context: Given::Numbers(&x), ..ask("d", &[], &candidates, 1) };
        assert!(rank(&fresh, &asked, &mut scratch).is_ok(), "{n}");
    }
    let later = taught("", 10);
    let asked = Ask { context: Given::Numbers(&[1.0; 5]), ..ask("d", &[], &candidates, 1) };
    let error = rank(&later, &asked, &mut scratch).expect_err("it took four before");
    assert_eq!(error, RankError::Dimension { found: 5, allowed: 4 });
}

#[test]
fn what_cannot_be_decided_is_refused_with_value_and_range() {
    let version = taught(r#""candidates_max":3"#, 10);
    let mut scratch = RankScratch::default();
    let mut refused = |items: &[&str], x: &[f64], k: usize| {
        let candidates = candidates(items);
        rank(&version, &ask("d", x, &candidates, k), &mut scratch).map(drop).expect_err("refused")
    };
    assert_eq!(refused(&[], &X, 1), RankError::Empty);
    assert_eq!(refused(&ITEMS[..4], &X, 1), RankError::TooMany { found: 4, allowed: 3 });
    assert_eq!(refused(&ITEMS[..3], &X, 0), RankError::NoPosition);
    assert_eq!(refused(&ITEMS[..3], &[1.0, 0.0, 0.0, 2e30], 1), RankError::Value(2e30));
}

#[test]
fn fields_of_the_request_go_before_those_of_the_catalogue() {
    let plan = plan(r#""context":["clicks.*"],"items":[{"field":"age","interact":false},{"field":"kids"}]"#);
    let mut world = World::new(&plan, 1);
    let known = fields(&[("age", Value::Number(3.0)), ("kids", Value::Bool(true))]);
    world.learnt[0].catalogue.set("a", &known);
    let version = world.cut();
    let of_request = fields(&[("age", Value::Number(5.0)), ("row", Value::Text("top"))]);
    let candidates = [
        Candidate { item: "a", features: Fields::from_bytes(&of_request) },
        Candidate { item: "a", features: Fields::default() },
        Candidate { item: "b", features: Fields::from_bytes(&of_request) },
        Candidate { item: "b", features: Fields::default() },
    ];
    let mut scratch = RankScratch::default();
    let x = [1.0, 10.0, 20.0];
    let decision = rank(&version, &ask("d", &x, &candidates, 4), &mut scratch).expect("ranks");
    let of = |candidate: u32| decision.picks.iter().find(|pick| pick.candidate == candidate).expect("all are placed");
    assert_eq!(of(0).joint, [1.0, 5.0, 1.0, 10.0, 20.0]);
    assert_eq!(of(1).joint, [1.0, 3.0, 1.0, 10.0, 20.0]);
    assert_eq!(of(2).joint, [1.0, 5.0, 0.0, 0.0, 0.0]);
    let names = |candidate: u32| of(candidate).fields.iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(0), ["age", "row", "kids"]);
    assert_eq!((names(1), names(2), names(3)), (vec!["age", "kids"], vec!["age", "row"], vec![]));
    assert_eq!(of(0).fields.get("age"), Some(Value::Number(5.0)));
}

#[test]
fn a_draw_shows_the_number_and_the_interval_that_it_fell_into() {
    for policy in ["lin_ucb", "thompson", "uniform"] {
        let version = taught(&format!(r#""policy":{{"name":"{policy}"}}"#), 60);
        let candidates = candidates(&ITEMS);
        for id in ["d1", "d2", "d3"] {
            let mut scratch = RankScratch::default();
            let decision = rank(&version, &ask(id, &X, &candidates, 3), &mut scratch).expect("ranks");
            let drawn = draws(&version, &decision).expect("explains");
            for (pick, drawn) in decision.picks.iter().zip(&drawn) {
                assert_eq!(pick.candidate as usize, drawn.place, "{policy}");
                assert!(drawn.from - 1e-12 <= drawn.uniform && drawn.uniform <= drawn.to + 1e-12, "{drawn:?}");
                assert!((drawn.to - drawn.from - pick.propensity).abs() < 1e-12, "{drawn:?}");
            }
            assert_eq!(drawn.len(), 3);
        }
    }
}
