//! What people are shown is what decisions are made from.

use super::*;
use crate::decision::Served;

const ITEMS: [&str; 3] = ["a", "b", "c"];

#[test]
fn contributions_add_up_to_the_score_for_each_estimator() {
    let items = r#""items":[{"field":"age"},{"field":"genre","values":["drama","news"],"interact":false}]"#;
    for estimator in ["per_action", "shared", "hybrid"] {
        let keys = format!(r#""context":["clicks.*","plays.*"],"estimator":"{estimator}",{items}"#);
        let plan = plan(&keys);
        let mut world = World::new(&plan, 1);
        for (i, item) in ITEMS.iter().enumerate() {
            let genre = Value::Text(["drama", "news", "other"][i]);
            world.learnt[0].catalogue.set(item, &fields(&[("age", Value::Number(i as f64)), ("genre", genre)]));
        }
        world.teach(150, &ITEMS, 5);
        let version = world.cut();
        let candidates = candidates(&["a", "b", "c", "new"]);
        let mut scratch = RankScratch::default();
        let x = [1.0, 0.3, -0.4, 0.5, 0.1];
        let decision = rank(&version, &ask("d", &x, &candidates, 4), &mut scratch).expect("ranks");
        let explained = explain(&version, &decision).expect("it is of this version");
        for pick in &decision.picks {
            let why = &explained[pick.candidate as usize];
            let sum: f64 = why.contributions.iter().map(|(_, value)| value).sum();
            assert_eq!(why.score, pick.score);
            assert!((sum - pick.score).abs() < 1e-9, "{estimator}: {sum} for {}", pick.score);
            assert_eq!(why.probability, decision.distribution[pick.candidate as usize]);
        }
        let groups: Vec<&str> = explained[0].contributions.iter().map(|(name, _)| *name).collect();
        let expected = match estimator {
            "per_action" => vec!["average", "constant", "clicks", "plays"],
            _ => vec!["average", "constant", "clicks", "plays", "age", "genre"],
        };
        assert_eq!(groups, expected, "{estimator}");
    }
}

#[test]
fn a_report_counts_what_was_learnt_and_who_earned_what() {
    let plan = plan(PLAIN);
    for partitions in [1, 2] {
        let mut world = World::new(&plan, partitions);
        for round in 0..90 {
            let item = round % 3;
            world.learn(round % partitions, ITEMS[item], &[1.0, (round % 2) as f64], item as f64);
        }
        for viewer in 0..20 {
            let book = &mut world.learnt[viewer % partitions].books.models[0];
            let served = [Served::Policy, Served::HeldOut][viewer / 10];
            book.decisions += 1;
            // By the second spec, in shadow, what the policy does is worth less.
            for (version, reward) in [(1, 1.0), (2, 0.25)] {
                let reward = if served == Served::HeldOut { (viewer % 2) as f64 } else { reward };
                let earned = book.spec(version).earned(served, version == 1);
                earned.decisions += 1;
                earned.correct_so_far(None, Some(reward));
                earned.correct_matured(viewer as u64, None, Some(reward));
            }
        }
        let report = world.cut().report();
        assert_eq!((report.decisions, report.open, report.reward_version), (110, 20, 1));
        assert_eq!(report.actions.iter().map(|action| action.item.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
        let best = &report.actions[0];
        assert_eq!((best.decisions, best.rewards, best.average), (Some(30), Some(30), Some(2.0)));
        assert!((best.share.expect("counted") - 1.0 / 3.0).abs() < 1e-12);
        assert!(best.probability_best > 0.95 && (best.estimate - 2.0).abs() < 0.2, "{best:?}");
        let sum: f64 = report.actions.iter().map(|action| action.probability_best).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        let specs: Vec<_> = report.rewards.iter().map(|spec| (spec.version, spec.active, spec.average)).collect();
        assert_eq!(specs, [(1, true, Some(1.0)), (2, false, None)]);
        let policy = report.served.iter().find(|row| row.served == Served::Policy).expect("it served");
        assert_eq!((policy.decisions, policy.average, policy.lift), (10, Some(1.0), Some(0.5)));
        assert_eq!((policy.standard_error, policy.lift_standard_error), (None, None), "all rewards are the same");
        // Ten viewers of 0 or 1.
        let held_out = report.served.iter().find(|row| row.served == Served::HeldOut).expect("it served");
        let error = held_out.standard_error.expect("they differ");
        assert!((error - f64::sqrt(0.25 / 9.0)).abs() < 1e-12, "{error}");
        assert_eq!(report.served, report.rewards[0].in_force);
        let in_shadow = &report.rewards[1].in_shadow[0];
        assert_eq!((in_shadow.served, in_shadow.average, in_shadow.lift), (Served::Policy, Some(0.25), Some(-0.25)));
        assert!(report.rewards[0].in_shadow.is_empty() && report.rewards[1].in_force.is_empty());
    }
}
