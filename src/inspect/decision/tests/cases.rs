use super::world::{World, config, found, report};
use crate::inspect::decision::report::*;
use crate::inspect::decision::{DecisionReport, Found};
use saccade_topology::decision::*;
use saccade_topology::*;
use std::ops::ControlFlow;
use std::sync::Arc;

fn status(report: &DecisionReport) -> Status {
    report.reproduction.status
}

fn rewards(report: &DecisionReport) -> Vec<(u32, bool, Option<f64>)> {
    let of_first = report.followed.picks[0].rewards.iter();
    of_first.map(|reward| (reward.version, reward.in_force, reward.reward)).collect()
}

fn became(report: &DecisionReport) -> Vec<(&str, &str)> {
    report.followed.history.iter().map(|touch| (touch.what.as_str(), touch.became.as_str())).collect()
}

#[test]
fn decisions_are_reproduced_bit_for_bit_after_hundreds_with_learning() {
    for keys in
        ["", "policy = { name = \"thompson\" }\nhalf_life = \"auto\"", "mode = \"apprentice\"", "hold_out = 0.9"]
    {
        let mut world = World::new(keys, 1);
        world.learn(400);
        for round in (0..400).step_by(23) {
            let report = world.inspected(&format!("d{round}"));
            let (says, check) = (&report.reproduction.says, report.made_from.check);
            assert_eq!((says.as_str(), check), ("reproduced bit for bit", ContextCheck::Matches), "{keys} {round}");
            let picks = &report.answered.picks;
            assert!(picks.iter().all(|pick| pick.draw.is_some_and(|d| d.from <= d.number && d.number <= d.to)));
            assert_eq!(picks.len(), 1 + round % 3);
        }
    }
}

#[test]
fn the_record_of_other_partitions_is_learnt_too() {
    let mut world = World::new("", 2);
    for round in 0..40 {
        world.decide(round * 20, &format!("d{round}"), 1, false);
        world.put(1, round * 20, Record::Tick);
        world.cut();
    }
    let report = world.inspected("d39");
    assert_eq!((status(&report), report.asked.model_version.len()), (Status::Reproduced, 2), "{report:?}");
    let stray = ExplicitReward { decision: "d39", id: None, item: None, position: None, value: 1.0, event_time: None };
    world.put(1, 900, Record::Reward(stray));
    assert_eq!(became(&world.inspected("d39")).last(), Some(&("reward", "dangling")));
}

#[test]
fn a_record_that_was_changed_names_the_field_and_both_values() {
    let mut world = World::new("", 1);
    world.learn(50);
    let tampered = |change: &dyn Fn(&mut Decision<'_>)| {
        let log = world.tampered(|decision| {
            if decision.id == "d40" {
                change(decision)
            }
        });
        let report = report(found(&log, &world.plan, "d40"));
        let difference = report.reproduction.difference.clone().map(|d| (d.field, d.recorded));
        (status(&report), difference, report.made_from.check)
    };
    let (status, difference, _) = tampered(&|d| d.picks[0].propensity = 0.5);
    assert_eq!((status, difference), (Status::Different, Some(("picks[0].propensity".into(), "0.5".into()))));
    let (_, difference, _) = tampered(&|d| d.distribution[2] += 1e-16);
    assert_eq!(difference.map(|(field, _)| field).as_deref(), Some("distribution[2]"));
    let (_, difference, _) = tampered(&|d| d.reward_version = 2);
    assert_eq!(difference, Some(("reward_version".into(), "2".into())));
    let (_, difference, check) = tampered(&|d| d.context[1] += 1.0);
    assert!(difference.is_some() && check == ContextCheck::Differs);
    let (status, ..) = tampered(&|d| d.model_version = vec![1_000_000]);
    assert_eq!(status, Status::Impossible);
    assert_eq!(tampered(&|_| {}).0, Status::Reproduced);
}

#[test]
fn another_configuration_is_said_to_be_possible() {
    let mut world = World::new("", 1);
    world.learn(50);
    let plan = |keys: &str| Arc::new(Plan::compile(&config(keys).spec()).expect("it compiles"));
    let other = report(found(&world.log, &plan("policy = { name = \"square_cb\", gamma = 3.0 }"), "d40"));
    assert!(other.reproduction.says.contains("another configuration"), "{:?}", other.reproduction);
    let mut without = config("").spec();
    without.models[0].name = "else".into();
    let without = report(found(&world.log, &Arc::new(Plan::compile(&without).expect("it compiles")), "d40"));
    assert!(without.reproduction.says.contains("no model `home`"), "{:?}", without.reproduction);
    assert_eq!(without.followed.outcome, "refused");
}

#[test]
fn a_trimmed_log_says_so_and_shows_what_it_has() {
    let mut world = World::new("", 1);
    world.learn(60);
    (0..30).for_each(|_| world.log.trim(0));
    let report = world.inspected("d50");
    assert_eq!(status(&report), Status::Impossible);
    assert!(report.reproduction.says.contains("no longer all in the log"), "{:?}", report.reproduction);
    assert_eq!(report.asked.trimmed, [(0, 30)]);
    assert!(report.answered.picks[0].draw.is_some() && report.answered.candidates[0].probability.is_some());
    assert!(report.followed.specs_from_configuration);
    assert_eq!(rewards(&report)[0], (1, true, Some(1.0)), "the click is joined: {:?}", report.followed);
}

#[test]
fn a_reward_whose_spec_was_dropped_from_the_log_is_not_called_unknown_yet() {
    let mut world = World::new("", 1);
    let activate = Control { model: "home", action: Act::Activate, version: 2, spec: "", by: "test" };
    world.put(0, 0, Record::Control(activate));
    world.cut();
    world.learn(60);
    let said = |world: &World| world.inspected("d50").in_words.last().expect("an end").clone();
    assert!(said(&world).contains("no reward is known yet"), "{}", said(&world));
    (0..30).for_each(|_| world.log.trim(0));
    assert!(said(&world).contains("was dropped from the log"), "{}", said(&world));
}

#[test]
fn every_record_that_touched_it_stands_in_order_with_what_it_changed() {
    let mut world = World::new("", 1);
    world.event(0, "p", "play", None, None);
    let first = world.decide(10, "d", 1, false);
    world.event(20, "c1", "click", Some(&first), Some("d"));
    world.event(30, "w1", "progress", Some(&first), None);
    world.event(35, "x", "scroll", Some(&first), Some("d"));
    world.event(40, "other", "click", Some("elsewhere"), None);
    world.reward(50, "d", 7.0);
    let open = world.inspected("d");
    assert_eq!(open.followed.outcome, "open");
    assert_eq!(
        became(&open),
        [
            ("decision", "decided"),
            ("click", "joined"),
            ("progress", "joined"),
            ("scroll", "ignored"),
            ("reward", "joined")
        ]
    );
    let changed = |touch: usize| {
        let changes = open.followed.history[touch].changes.iter();
        changes.map(|change| (change.version, change.before, change.after)).collect::<Vec<_>>()
    };
    assert_eq!(changed(1), [(1, None, Some(1.0))]);
    assert_eq!(changed(2), [(2, None, Some(0.5))], "matched by viewer and item, in shadow");
    assert_eq!(changed(4), [(1, Some(1.0), Some(7.0)), (2, Some(0.5), Some(7.0))], "told goes before observed");
    assert_eq!(rewards(&open), [(1, true, Some(7.0)), (2, false, Some(7.0))]);
    // Event time passes: the windows of 10 and 20 minutes close, then the lateness passes too.
    for minute in 1..60 {
        world.event(minute * 60, &format!("later{minute}"), "scroll", None, None);
    }
    world.reward(3600, "d", 1.0);
    let over = world.inspected("d");
    assert_eq!((over.followed.outcome.as_str(), status(&over)), ("joined", Status::Reproduced));
    let closed: Vec<u32> =
        over.followed.history.iter().flat_map(|t| &t.changes).filter(|c| c.closed).map(|c| c.version).collect();
    assert_eq!(closed, [1, 2]);
    assert_eq!(became(&over).last(), Some(&("reward", "late")));
    assert_eq!(rewards(&over), rewards(&open));
    assert!(over.in_words.last().is_some_and(|text| text.contains("It is over: 3 events")), "{:?}", over.in_words);
}

#[test]
fn nothing_observed_is_the_default_reward() {
    let mut world = World::new("", 1);
    world.decide(10, "d", 1, false);
    world.put(0, 7200, Record::Tick);
    for minute in 0..3 {
        world.event(7200 + minute, &format!("later{minute}"), "scroll", None, None);
    }
    let report = world.inspected("d");
    assert_eq!((report.followed.outcome.as_str(), report.made_from.check), ("default", ContextCheck::NotFromLog));
    assert_eq!(rewards(&report), [(1, true, Some(0.0)), (2, false, Some(0.0))]);
}

#[test]
fn a_deferred_decision_counts_from_its_activation() {
    let mut world = World::new("", 1);
    let first = world.decide(10, "d", 1, true);
    world.event(20, "c1", "click", Some(&first), Some("d"));
    let waiting = world.inspected("d");
    assert_eq!(became(&waiting), [("decision", "decided"), ("click", "waiting")]);
    assert!(waiting.asked.deferred && waiting.followed.since.is_none());
    assert!(waiting.in_words.last().is_some_and(|text| text.contains("not been activated")));
    let event_time = Some(EventTime(super::world::T0 + 15_000));
    world.put(0, 30, Record::Activation(Activation { decision: "d", event_time }));
    let active = world.inspected("d");
    let touch = active.followed.history.last().expect("it was touched");
    assert_eq!((touch.became.as_str(), touch.changes[0].after), ("activated", Some(1.0)), "{touch:?}");
    assert_eq!(active.followed.since.map(|at| at.0), event_time.map(|t| t.0));
    assert_eq!(status(&active), Status::Reproduced);
}

#[test]
fn the_apprentice_is_told_apart_from_what_the_model_preferred() {
    let mut world = World::new("mode = \"apprentice\"", 1);
    world.learn(80);
    let report = world.inspected("d60");
    let preferred = report.answered.preferred.clone().expect("it would have chosen");
    assert_eq!((report.answered.picks[0].item.as_str(), report.answered.served), ("a", Served::Apprentice));
    assert!(report.in_words[1].contains("The caller's own order was kept: a was put first."), "{:?}", report.in_words);
    assert!(report.in_words[1].contains(&preferred) || preferred == "a");
}

#[test]
fn a_choice_made_elsewhere_is_reproduced_but_for_the_choice() {
    let mut world = World::new("", 1);
    world.learn(30);
    let log = world.tampered(|d| {
        if d.id == "d20" {
            (d.served, d.preferred, d.picks[0].propensity) = (Served::Elsewhere, None, 0.3);
            d.distribution.clear();
            d.picks.iter_mut().for_each(|pick| pick.beliefs.clear());
        }
    });
    let report = report(found(&log, &world.plan, "d20"));
    assert_eq!(status(&report), Status::ReproducedBeliefs, "{:?}", report.reproduction);
    assert!(report.in_words[1].contains("made elsewhere") && report.answered.picks[0].draw.is_none());
}

#[test]
fn contributions_add_up_to_the_scores() {
    let mut world = World::new("", 1);
    world.learn(80);
    let report = world.inspected("d70");
    let compared = report.compared.as_ref().expect("there are others");
    let own: f64 = compared.groups.iter().map(|(_, own, _)| own).sum();
    assert!((own - report.answered.picks[0].score).abs() < 1e-9, "{compared:?}");
    let names: Vec<&str> = report.made_from.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["constant", "plays", "clicks", "evening (of the request)"]);
}

#[test]
fn an_unknown_decision_is_told_which_are_like_it_and_who_names_it() {
    let mut world = World::new("", 1);
    world.decide(10, "decision-1", 1, false);
    world.reward(20, "decision-2", 1.0);
    let Found::Unknown(why) = world.found("decision-2") else { panic!("it is not there") };
    let expected = "decision \"decision-2\" is not in the log, which holds 1 decision; ids like it: \"decision-1\"; 1 record \
                    names it all the same, the first in partition 0 at offset 4: `saccade inspect dangling`";
    assert_eq!(why, expected);
    let stopped = crate::inspect::decision::inspect(&world.log, &world.plan, "decision-1", &mut |read| {
        if read == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Ok(Found::Stopped)));
}

#[test]
fn the_report_is_the_same_after_a_way_through_json() {
    let mut world = World::new("", 1);
    world.learn(20);
    let report = world.inspected("d19");
    let json = serde_json::to_string(&report).expect("a report is plain data");
    let read: DecisionReport = serde_json::from_str(&json).expect("the same shape");
    // Numbers are read to the last digit but one.
    assert_eq!(
        (read.in_words, read.asked, read.reproduction, read.followed),
        (report.in_words, report.asked, report.reproduction, report.followed)
    );
}

#[test]
fn rewards_without_a_decision_are_listed_with_what_is_known_of_it() {
    let mut world = World::new("", 1);
    world.event(0, "p", "play", None, None);
    world.reward(1, "never-made", 1.0);
    world.event(2, "c", "click", Some("a"), Some("nor-this"));
    for minute in 1..60 {
        world.event(minute * 60, &format!("later{minute}"), "scroll", None, None);
    }
    world.decide(3600, "never-made", 1, false);
    world.reward(3600, "waits", 1.0);
    let read = |stop_at| {
        let step = &mut |read| if read == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        crate::inspect::dangling::inspect(&world.log, &world.plan, step).expect("the log is whole")
    };
    let report = read(0).expect("nobody stopped it");
    let rows: Vec<_> = report.rewards.iter().map(|r| (r.decision.as_str(), r.kind.as_str(), r.offset)).collect();
    assert_eq!((rows, report.total), (vec![("never-made", "reward", 4), ("nor-this", "click", 5)], 2));
    assert_eq!(report.waiting, Some(1));
    let hint = report.rewards[0].hint.as_deref().expect("its decision came later");
    assert!(hint.contains("came later, at offset 65"), "{hint}");
    assert!(report.rewards[1].hint.is_none() && !report.hints.is_empty());
    assert!(read(3).is_none() && read(70).is_none());
}

#[test]
fn the_newest_touches_are_listed_up_to_the_limit() {
    let mut world = World::new("", 1);
    world.decide(10, "d", 1, false);
    let over = crate::inspect::decision::TOUCHES_MAX as u64;
    for _ in 0..over {
        world.reward(20, "d", 1.0);
    }
    let report = world.inspected("d");
    assert_eq!((report.followed.history.len() as u64, report.followed.left_out), (over, 1));
}
