//! Single cases: what each bucket is for, and what others are known to get wrong.

use crate::history::*;
use saccade_topology::decision::*;
use saccade_topology::model::{Attribute, Brought, ContextSpec, DecisionEnd, Earned, ModelSpec, RewardEnd};
use saccade_topology::*;

/// A partition, its next offset, and what its sink was told.
struct World {
    topology: Topology,
    next: u64,
    told: Told,
}

#[derive(Default)]
struct Told {
    decided: Vec<String>,
    over: Vec<String>,
}

impl Sink for Told {
    fn context(&mut self, _: &ContextRef<'_>) {}
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
    fn decided(&mut self, id: &str, _: &std::sync::Arc<[u8]>) {
        self.decided.push(id.to_string());
    }
    fn decision_over(&mut self, id: &str, _: DecisionEnd, _: &dyn Fn() -> DecisionView) {
        self.over.push(id.to_string());
    }
}

const ITEMS: [&str; 3] = ["i0", "i1", "i2"];

impl World {
    fn new(change: impl FnOnce(&mut ModelSpec)) -> World {
        World::of(plan(model(change)))
    }

    /// In which both specs run.
    fn of(plan: std::sync::Arc<Plan>) -> World {
        let mut topology = Topology::new(plan);
        let next = begin(&mut topology, &mut Ignore);
        World { topology, next, told: Told::default() }
    }

    fn apply(&mut self, at: i64, record: Record<'_>) -> Outcome {
        self.next += 1;
        let arrived = Arrived { ingest_time: IngestTime(T0 + at), record };
        self.topology.apply(Offset(self.next - 1), &arrived, &mut self.told)
    }

    /// A decision of viewer `v` for the first `k` items.
    fn decide(&mut self, id: &str, at: i64, k: usize, change: impl FnOnce(&mut Decision<'_>)) -> Outcome {
        let items: Vec<String> = ITEMS[..k].iter().map(|item| item.to_string()).collect();
        let mut d = decision(id, "v", EventTime(T0 + at), &items);
        change(&mut d);
        // Shortened lifetimes: the record borrows from `d`.
        let arrived = Arrived { ingest_time: IngestTime(T0 + at), record: Record::Decision(Box::new(d)) };
        self.next += 1;
        self.topology.apply(Offset(self.next - 1), &arrived, &mut self.told)
    }

    fn event(&mut self, id: &str, at: i64, kind: &str, item: Option<&str>, decision: Option<&str>) -> Outcome {
        let event =
            Event { viewer: Some("v"), item, decision, value: Some(3.0), ..Event::new(id, kind, EventTime(T0 + at)) };
        self.apply(at, Record::Event(event))
    }

    fn reward(&mut self, decision: &str, at: i64, value: f64, change: impl FnOnce(&mut ExplicitReward<'_>)) -> Outcome {
        let mut reward = ExplicitReward {
            decision,
            id: None,
            item: None,
            position: None,
            value,
            event_time: Some(EventTime(T0 + at)),
        };
        change(&mut reward);
        let arrived = Arrived { ingest_time: IngestTime(T0 + at), record: Record::Reward(reward) };
        self.next += 1;
        self.topology.apply(Offset(self.next - 1), &arrived, &mut self.told)
    }

    /// The reward known of a position under a spec.
    fn known(&self, id: &str, pick: usize, version: u32) -> Option<f64> {
        let view = self.topology.decision_view(id).expect("the decision is open");
        view.picks[pick].rewards.iter().find(|r| r.version == version).expect("the spec runs").reward
    }

    fn ended(&self, end: DecisionEnd) -> u64 {
        self.topology.books(Offset(0)).models[0].ends[end as usize]
    }

    fn rewarded(&self, end: RewardEnd) -> u64 {
        self.topology.books(Offset(0)).rewards[end as usize]
    }

    /// What decisions of one kind brought by a spec, made while it was in force, and while another was.
    fn earned(&self, version: u32, served: Served) -> [Earned; 2] {
        let books = self.topology.books(Offset(0));
        let book = books.models[0].specs.iter().find(|book| book.version == version).expect("a book of the spec");
        [&book.in_force, &book.in_shadow].map(|earned| earned[served as usize].clone())
    }

    /// Decisions and rewards learnt under a spec.
    fn learnt(&self, version: u32) -> (u64, u64) {
        let books = self.topology.books(Offset(0));
        let book = books.models[0].specs.iter().find(|book| book.version == version).expect("a book of the spec");
        book.evidence.as_ref().expect("something was learnt").counts()
    }
}

const HOUR: i64 = 3_600_000;

#[test]
fn a_click_is_learnt_at_once_and_what_follows_corrects_it() {
    let mut w = World::new(|_| {});
    assert_eq!(w.decide("d", 0, 1, |_| {}), Outcome::Accepted);
    assert_eq!((w.known("d", 0, 1), w.learnt(1)), (None, (1, 0)));
    w.event("e1", 1000, "click", Some("i0"), None);
    assert_eq!((w.known("d", 0, 1), w.known("d", 0, 2), w.learnt(1)), (Some(10.0), Some(1.0), (1, 1)));
    w.event("e2", 2000, "progress", None, Some("d"));
    assert_eq!((w.known("d", 0, 1), w.known("d", 0, 2), w.learnt(1)), (Some(13.0), Some(1.0), (1, 1)));
    assert_eq!(w.rewarded(RewardEnd::Joined), 2);
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    assert_eq!((w.ended(DecisionEnd::Joined), w.told.over.as_slice()), (1, &["d".to_string()][..]));
    let [in_force, in_shadow] = w.earned(1, Served::Policy);
    assert_eq!((in_force.decisions, in_force.matured()), (1, Brought::new(1, 13.0)));
    assert_eq!(in_shadow, Earned::default());
}

#[test]
fn rankings_without_any_click_get_the_default_reward_on_an_idle_stream() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 3, |_| {});
    pass(&mut w.topology, w.next, 2 * 60_000 + 10_000, &mut w.told);
    assert_eq!((w.known("d", 2, 2), w.known("d", 2, 1)), (Some(0.0), None), "the second spec's window is over first");
    pass(&mut w.topology, w.next + 1, 2 * HOUR, &mut w.told);
    assert_eq!((w.ended(DecisionEnd::Default), w.topology.open_decisions()), (1, (0, 0)));
    assert_eq!((w.learnt(1), w.learnt(2)), ((3, 3), (3, 3)));
    assert_eq!(w.earned(1, Served::Policy)[0].matured(), Brought::new(3, -3.0));
}

#[test]
fn each_item_of_a_slate_has_signals_of_its_own() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 3, |_| {});
    w.event("e", 1000, "click", Some("i1"), Some("d"));
    w.reward("d", 2000, 7.0, |r| r.position = Some(2));
    assert_eq!([0, 1, 2].map(|pick| w.known("d", pick, 1)), [None, Some(10.0), Some(7.0)]);
    w.reward("d", 3000, 5.0, |_| {});
    assert_eq!(w.known("d", 0, 1), Some(5.0), "without item and position: the first");
}

#[test]
fn what_names_no_position_of_its_decision_dangles_and_can_be_read() {
    let mut w = World::new(|_| {});
    w.reward("d", 500, 1.0, |r| r.item = Some("early"));
    w.decide("d", 0, 3, |_| {});
    w.event("e", 1000, "click", Some("other"), Some("d"));
    w.reward("d", 2000, 1.0, |r| r.position = Some(3));
    assert_eq!(w.rewarded(RewardEnd::Dangling), 3);
    let books = w.topology.books(Offset(0));
    let dangled = books.dangled.iter().map(|d| (&*d.kind, d.item.as_deref(), d.position, d.offset, d.is_decided));
    let expected = [
        ("reward", Some("early"), None, 3, true),
        ("click", Some("other"), None, 5, true),
        ("reward", None, Some(3), 6, true),
    ];
    assert_eq!(dangled.collect::<Vec<_>>(), expected);
}

#[test]
fn averages_are_of_decisions_whose_windows_are_over() {
    let mut w = World::new(|_| {});
    for n in 0..10 {
        w.decide(&format!("d{n}"), 0, 1, |_| {});
    }
    for n in 0..3 {
        w.event(&format!("e{n}"), 1000, "click", None, Some(&format!("d{n}")));
    }
    let [of_first, _] = w.earned(1, Served::Policy);
    assert_eq!((of_first.so_far, of_first.average()), (Brought::new(3, 30.0), None), "of those alone");
    pass(&mut w.topology, w.next, HOUR + 11_000, &mut w.told);
    let [of_first, _] = w.earned(1, Served::Policy);
    assert_eq!(of_first.matured(), Brought::new(10, 30.0 - 7.0));
    // Within the lateness it can still be another.
    w.reward("d9", HOUR, 5.0, |_| {});
    let [of_first, _] = w.earned(1, Served::Policy);
    assert_eq!((of_first.matured(), of_first.so_far), (Brought::new(10, 29.0), Brought::new(10, 29.0)));
}

#[test]
fn what_decisions_brought_is_told_by_the_spec_that_was_in_force_when_they_were_made() {
    let mut w = World::new(|_| {});
    w.decide("before", 0, 1, |_| {});
    w.event("e", 1000, "click", None, Some("before"));
    w.apply(2000, control(2, Act::Activate));
    w.decide("after", 3000, 1, |d| d.reward_version = 2);
    w.decide("held", 3000, 1, |d| (d.reward_version, d.served) = (2, Served::HeldOut));
    w.event("f", 4000, "click", None, Some("after"));
    w.event("g", 5000, "click", None, Some("after"));
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    let sums = |version, served| w.earned(version, served).map(|earned| (earned.decisions, earned.matured().sum()));
    assert_eq!(sums(1, Served::Policy), [(1, 10.0), (1, 10.0)]);
    assert_eq!(sums(2, Served::Policy), [(1, 2.0), (1, 1.0)], "in force of the second, in shadow of the first");
    assert_eq!(sums(2, Served::HeldOut), [(1, 0.0), (0, 0.0)]);
    assert_eq!(w.topology.books(Offset(0)).models[0].served[Served::Policy as usize], 2);
}

#[test]
fn what_names_its_decision_counts_while_its_window_is_open_however_late_it_is() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    w.event("n1", 1000, "click", Some("i0"), Some("d"));
    w.event("n2", 20 * 60_000, "scroll", None, None);
    // The lateness is half a minute.
    assert!(matches!(w.event("l1", 60_000, "progress", None, Some("d")), Outcome::Late(_)));
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(13.0), 2));
    assert!(matches!(w.event("l2", 61_000, "progress", Some("i0"), None), Outcome::Late(_)));
    assert_eq!(w.known("d", 0, 1), Some(13.0), "what names none may be about something else");
    assert!(matches!(w.event("l3", 3 * 60_000, "click", None, Some("d")), Outcome::Late(_)));
    assert_eq!(w.known("d", 0, 2), Some(1.0), "the second spec's window was over by then");
    assert_eq!(w.event("l1", 60_000, "progress", None, Some("d")), Outcome::Duplicate);
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    w.event("l4", 62_000, "progress", None, Some("d"));
    assert_eq!((w.rewarded(RewardEnd::Joined), w.rewarded(RewardEnd::Late)), (3, 1), "it is over");
}

#[test]
fn what_comes_again_when_its_id_is_forgotten_counts_once() {
    let mut w = World::of(plan_with(model(|_| {}), |spec| spec.dedup.events_max = 1024));
    w.decide("d", 0, 1, |_| {});
    w.event("n", 20 * 60_000, "scroll", None, None);
    w.event("e", 19 * 60_000 + 50_000, "progress", None, Some("d"));
    w.event("late", 60_000, "progress", None, Some("d"));
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(6.0), 2));
    for n in 0..2000 {
        w.event(&format!("f{n}"), 21 * 60_000, "scroll", None, None);
    }
    for id in ["e", "late"] {
        let at = if id == "e" { 19 * 60_000 + 50_000 } else { 60_000 };
        assert!(matches!(w.event(id, at, "progress", None, Some("d")), Outcome::Late(_)), "its id is forgotten");
    }
    let ends = [RewardEnd::Joined, RewardEnd::Duplicate, RewardEnd::Late].map(|end| w.rewarded(end));
    assert_eq!((w.known("d", 0, 1), ends), (Some(6.0), [2, 2, 0]));
    // Of more than are remembered it cannot be told.
    for n in 0..600 {
        w.event(&format!("g{n}"), 21 * 60_000, "progress", None, Some("d"));
    }
    w.event("other", 60_000, "progress", None, Some("d"));
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Late)), (Some(1806.0), 1));
}

#[test]
fn a_reward_that_is_told_again_when_its_id_is_forgotten_counts_once() {
    let mut w = World::of(plan_with(model(|_| {}), |spec| spec.dedup.events_max = 1024));
    w.decide("d", 0, 1, |_| {});
    w.reward("d", 1000, 4.0, |r| r.id = Some("r"));
    for n in 0..2000 {
        w.event(&format!("f{n}"), 2000, "scroll", None, None);
    }
    assert_eq!(w.reward("d", 1000, 4.0, |r| r.id = Some("r")), Outcome::Accepted, "its id is forgotten");
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Duplicate)), (Some(4.0), 1));
}

#[test]
fn a_spec_in_shadow_with_a_longer_window_keeps_none_of_another_open() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    // The second spec's window is two minutes, the lateness half of one.
    w.event("n", 10 * 60_000, "scroll", None, None);
    w.event("e", 30_000, "click", None, Some("d"));
    w.reward("d", 60_000, 3.0, |_| {});
    assert_eq!((w.known("d", 0, 1), w.known("d", 0, 2)), (Some(3.0), Some(0.0)));
}

#[test]
fn what_precedes_what_had_to_settle_counts_for_the_decision_it_names() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    for n in 0..257 {
        w.event(&format!("e{n}"), 1_000 + n, "progress", None, Some("d"));
    }
    assert_eq!(w.event("before", 500, "progress", None, Some("d")), Outcome::Accepted);
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(258.0 * 3.0), 258));
}

#[test]
fn what_no_spec_of_its_decision_takes_does_not_dangle() {
    let clicks =
        r#"{"version": 1, "expression": "n", "wait": "1h", "signals": {"n": {"fold": "count", "on": ["click"]}}}"#;
    let other = ModelSpec { name: "other".into(), ..model(|_| {}) };
    let plan = plan_with(model(|_| {}), |spec| spec.models.push(other));
    let mut w = World { topology: Topology::new(plan), next: 0, told: Told::default() };
    for (model, spec) in [("home", clicks.to_string()), ("other", clicks.replace("click", "scroll"))] {
        for (action, spec) in [(Act::Propose, spec.as_str()), (Act::Activate, "")] {
            let control = Control { model, action, version: 1, spec, by: "test" };
            assert_eq!(w.apply(0, Record::Control(control)), Outcome::Accepted);
        }
    }
    w.decide("d", 0, 2, |_| {});
    w.event("e1", 1000, "scroll", Some("another"), Some("d"));
    assert_eq!(w.rewarded(RewardEnd::Dangling), 0);
    w.event("e2", 1000, "click", Some("another"), Some("d"));
    assert_eq!(w.rewarded(RewardEnd::Dangling), 1);
}

#[test]
fn what_was_late_when_it_came_makes_room_for_what_was_not() {
    let mut w = World::new(|_| {});
    w.event("n", HOUR, "scroll", None, None);
    w.event("waits", HOUR, "click", Some("i0"), Some("d"));
    for n in 0..5000 {
        w.event(&format!("l{n}"), 1000, "click", None, Some("nobody"));
    }
    w.decide("d", HOUR, 1, |_| {});
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Evicted)), (Some(10.0), 5001 - 4096));
}

#[test]
fn expressions_that_fail_are_counted_by_their_spec() {
    let spec = r#"{"version": 1, "expression": "item.stars * clicked", "wait": "1h", "default_reward": 0.5,
        "signals": {"clicked": {"fold": "any", "on": ["click"]}}}"#;
    let mut w = rewarded_by(spec, |_| {});
    w.decide("d", 0, 1, |_| {});
    w.event("e", 1000, "click", None, Some("d"));
    let view = w.topology.decision_view("d").expect("it is open");
    let reward = &view.picks[0].rewards[0];
    assert_eq!((reward.reward, reward.has_failed), (Some(0.5), true));
    let book = &w.topology.books(Offset(0)).models[0];
    assert_eq!((book.failed, book.specs[0].failed), (1, 1));
}

#[test]
fn the_same_decision_and_the_same_reward_count_once() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    assert_eq!(w.decide("d", 1000, 1, |_| {}), Outcome::Duplicate);
    assert_eq!(w.reward("d", 2000, 4.0, |r| r.id = Some("r")), Outcome::Accepted);
    assert_eq!(w.reward("d", 3000, 4.0, |r| r.id = Some("r")), Outcome::Duplicate);
    assert_eq!(w.known("d", 0, 1), Some(4.0));
    w.reward("d", 3000, 5.0, |_| {});
    assert_eq!(w.known("d", 0, 1), Some(9.0), "explicit rewards of the first spec add up");
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    assert_eq!(w.decide("d", 3 * HOUR, 1, |_| {}), Outcome::Duplicate, "its id stays taken when it is over");
}

#[test]
fn a_deferred_decision_counts_from_its_activation_or_not_at_all() {
    let mut w = World::new(|_| {});
    w.decide("shown", 0, 1, |d| d.deferred = true);
    w.decide("never", 0, 1, |d| d.deferred = true);
    w.event("e0", 1000, "click", Some("i0"), Some("shown"));
    let activation = Activation { decision: "shown", event_time: Some(EventTime(T0 + HOUR / 2)) };
    assert_eq!(w.apply(HOUR / 2, Record::Activation(activation)), Outcome::Accepted);
    assert_eq!(w.apply(HOUR / 2, Record::Activation(activation)), Outcome::Refused, "it is shown once");
    w.event("e1", HOUR + HOUR / 4, "click", Some("i0"), None);
    assert_eq!(w.known("shown", 0, 1), Some(10.0), "within an hour of the activation");
    pass(&mut w.topology, w.next, 4 * HOUR, &mut w.told);
    assert_eq!((w.ended(DecisionEnd::NotActivated), w.ended(DecisionEnd::Joined), w.learnt(1)), (1, 1, (1, 1)));
}

#[test]
fn a_reward_that_comes_before_its_decision_waits_for_it_and_one_without_dangles() {
    let mut w = World::new(|_| {});
    w.event("e0", 0, "scroll", None, None);
    w.event("e1", 2000, "click", Some("i0"), Some("d"));
    w.event("e2", 2000, "click", Some("i0"), Some("nobody"));
    w.reward("nothing", 2000, 1.0, |_| {});
    assert_eq!(w.topology.open_decisions(), (0, 3));
    w.decide("d", 1000, 1, |_| {});
    assert_eq!((w.known("d", 0, 1), w.topology.open_decisions()), (Some(10.0), (1, 2)));
    pass(&mut w.topology, w.next, 120_000, &mut w.told);
    let books = w.topology.books(Offset(0));
    let dangled: Vec<_> = books.dangled.iter().map(|d| (&*d.decision, &*d.kind, d.is_decided)).collect();
    assert_eq!(dangled, [("nobody", "click", false), ("nothing", "reward", false)]);
    assert_eq!((w.rewarded(RewardEnd::Dangling), w.rewarded(RewardEnd::Joined)), (2, 1));
}

#[test]
fn what_names_its_decision_and_is_dated_before_it_was_dated_by_another_clock() {
    let mut w = World::new(|_| {});
    w.decide("d", 5000, 1, |_| {});
    w.event("e", 2999, "click", Some("i0"), None);
    assert_eq!(w.known("d", 0, 1), None, "by viewer and item alone it may be about something else");
    w.event("f", 2000, "click", None, Some("d"));
    assert_eq!(w.known("d", 0, 1), Some(10.0));
}

#[test]
fn what_is_dated_shortly_before_a_decision_is_its_own_where_no_other_was_made_before() {
    for event_comes_first in [false, true] {
        let mut w = World::new(|_| {});
        let click = |w: &mut World| {
            let before = w.rewarded(RewardEnd::Joined);
            w.event("e", 3000, "click", Some("i0"), None);
            assert_eq!(w.rewarded(RewardEnd::Joined), before + u64::from(!event_comes_first));
        };
        if event_comes_first {
            click(&mut w);
        }
        // Two seconds after the click, one, and before it.
        w.decide("far", 5000, 1, |_| {});
        w.decide("near", 4000, 1, |_| {});
        if !event_comes_first {
            click(&mut w);
        }
        assert_eq!([w.known("far", 0, 1), w.known("near", 0, 1)], [None, Some(10.0)], "the nearest");
        w.decide("own", 2000, 1, |_| {});
        assert_eq!([w.known("near", 0, 1), w.known("own", 0, 1)], [None, Some(10.0)], "the one made before it");
        assert_eq!(w.rewarded(RewardEnd::Joined), 1, "however often it changes hands");
    }
}

#[test]
fn clocks_are_trusted_as_far_as_configured() {
    for (tolerance, at, known) in
        [(0, 4999, None), (0, 5000, Some(10.0)), (700, 4299, None), (700, 4300, Some(10.0)), (60_000, 0, Some(10.0))]
    {
        let mut w = World::new(|model| model.attribution_tolerance = Duration(tolerance));
        w.decide("d", 5000, 1, |_| {});
        w.event("e", at, "click", Some("i0"), None);
        assert_eq!(w.known("d", 0, 1), known, "{tolerance} ms, at {at}");
    }
    let plan = |ms| {
        let count = serde_json::from_str(r#"{"name": "events", "type": "count"}"#).expect("a feature");
        let models = vec![model(|m| m.attribution_tolerance = Duration(ms))];
        let spec = Spec { models, features: vec![count], ..Spec::default() };
        Plan::compile(&spec).map(drop)
    };
    assert!(plan(60_000).is_ok());
    assert!(plan(60_001).is_err_and(|e| e.to_string().contains("attribution_tolerance")));
}

#[test]
fn a_spec_that_is_proposed_again_is_another_to_the_decisions_before() {
    for spec in [OTHER, REWARDS[1]] {
        let mut w = World::new(|_| {});
        w.decide("before", 0, 1, |_| {});
        w.event("e", 1000, "click", Some("i0"), None);
        assert_eq!(w.known("before", 0, 2), Some(1.0));
        w.apply(2000, control(2, Act::Retire));
        let again = Record::Control(Control { model: "home", action: Act::Propose, version: 2, spec, by: "t" });
        assert_eq!(w.apply(3000, again), Outcome::Accepted);
        w.event("f", 4000, "click", Some("i0"), Some("before"));
        w.reward("before", 5000, 8.0, |_| {});
        assert_eq!((w.known("before", 0, 1), w.known("before", 0, 2)), (Some(8.0), Some(1.0)), "as it was known");
        w.decide("after", 6000, 1, |_| {});
        w.event("g", 7000, "click", Some("i0"), None);
        assert_eq!(w.learnt(2), (1, 1), "of the decision after it alone");
        pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
        assert_eq!((w.ended(DecisionEnd::Joined), w.learnt(2)), (2, (1, 1)));
    }
}

#[test]
fn decisions_whose_specs_are_retired_stay_until_their_windows_are_over() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    w.event("e", 1000, "click", Some("i0"), None);
    w.apply(2000, control(2, Act::Activate));
    w.apply(3000, control(1, Act::Retire));
    w.apply(4000, control(2, Act::Retire));
    w.event("f", 5000, "click", Some("i0"), Some("d"));
    assert_eq!((w.topology.open_decisions().0, w.known("d", 0, 1)), (1, Some(10.0)));
    pass(&mut w.topology, w.next, HOUR / 2, &mut w.told);
    assert_eq!(w.topology.open_decisions().0, 1, "half of its window is left");
    pass(&mut w.topology, w.next + 1, 2 * HOUR, &mut w.told);
    assert_eq!((w.topology.open_decisions().0, w.ended(DecisionEnd::Joined)), (0, 1));
}

#[test]
fn an_activation_ahead_of_its_arrival_is_refused() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |d| d.deferred = true);
    let ahead = Activation { decision: "d", event_time: Some(EventTime(T0 + 48 * HOUR)) };
    assert!(matches!(w.apply(1000, Record::Activation(ahead)), Outcome::Rejected(_)));
    let now = Activation { event_time: Some(EventTime(T0 + 1000)), ..ahead };
    assert_eq!(w.apply(1000, Record::Activation(now)), Outcome::Accepted);
}

#[test]
fn a_deferred_decision_is_learnt_though_its_item_was_met_before_it_was_shown() {
    let mut w = World::new(|_| {});
    w.decide("deferred", 0, 1, |d| d.deferred = true);
    w.decide("other", 0, 1, |_| {});
    w.apply(1000, Record::Activation(Activation { decision: "deferred", event_time: None }));
    w.reward("deferred", 2000, 7.0, |_| {});
    assert_eq!((w.known("deferred", 0, 1), w.learnt(1)), (Some(7.0), (2, 1)));
}

#[test]
fn a_reward_after_the_window_is_late_and_changes_nothing() {
    let mut w = World::new(|_| {});
    w.decide("d", 0, 1, |_| {});
    w.event("e", 3 * 60_000, "click", Some("i0"), Some("d"));
    assert_eq!((w.known("d", 0, 1), w.known("d", 0, 2)), (Some(10.0), Some(0.0)), "in the first spec's window only");
    w.reward("d", HOUR + 1, 1.0, |_| {});
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    w.reward("d", 3 * HOUR, 1.0, |_| {});
    assert_eq!((w.rewarded(RewardEnd::Late), w.rewarded(RewardEnd::Joined)), (2, 1));
}

#[test]
fn hold_out_and_opted_out_are_counted_and_not_learnt() {
    let mut w = World::new(|_| {});
    for (id, served) in
        [("h", Served::HeldOut), ("o", Served::OptedOut), ("l", Served::LoggingOnly), ("p", Served::Policy)]
    {
        w.decide(id, 0, 1, |d| d.served = served);
        w.event(&format!("e{id}"), 1000, "click", Some("i0"), Some(id));
    }
    assert_eq!(w.learnt(1), (1, 1));
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    let ends = [DecisionEnd::HeldOut, DecisionEnd::OptedOut, DecisionEnd::Joined].map(|end| w.ended(end));
    assert_eq!(ends, [1, 1, 2]);
    let sums = Served::ALL.map(|served| w.earned(1, served)[0].matured().sum());
    assert!(sums.iter().filter(|sum| **sum == 10.0).count() == 4, "{sums:?}");
}

#[test]
fn an_evicted_decision_leaves_the_sums_as_if_it_had_never_been() {
    let mut w = World::new(|model| model.decisions_max = 1);
    w.decide("a", 0, 1, |_| {});
    w.decide("b", 1000, 1, |_| {});
    assert_eq!((w.ended(DecisionEnd::Evicted), w.told.over.as_slice()), (1, &["a".to_string()][..]));
    w.event("e", 2000, "click", Some("i0"), None);
    let mut alone = World::new(|_| {});
    alone.decide("b", 1000, 1, |_| {});
    alone.event("e", 2000, "click", Some("i0"), None);
    let sums = |w: &World| {
        let books = w.topology.books(Offset(0));
        let sums = books.models[0].specs[0].evidence.as_ref().and_then(|e| e.action(0).cloned()).expect("sums of i0");
        let now = learn::HalfLife::None.stamp(learn::At::default());
        let (outer, reward, settled, _) = sums.at(now);
        [outer, reward, settled].concat()
    };
    for (a, b) in sums(&w).iter().zip(sums(&alone)) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn what_does_not_fit_is_counted_and_learns_nothing() {
    let mut w = World::new(|_| {});
    assert_eq!(w.decide("x", 0, 1, |d| d.model = "other"), Outcome::Refused);
    w.decide("a", 0, 1, |_| {});
    w.decide("b", 0, 1, |d| d.context = vec![1.0; 3]);
    w.event("e", 1000, "click", None, Some("b"));
    assert_eq!((w.known("b", 0, 1), w.learnt(1)), (Some(10.0), (1, 0)));
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    assert_eq!((w.ended(DecisionEnd::Unfit), w.ended(DecisionEnd::Default)), (1, 1));
}

#[test]
fn the_item_least_recently_chosen_is_forgotten_for_a_new_one() {
    let mut w = World::new(|model| model.actions_max = 2);
    w.decide("d", 0, 3, |_| {});
    let books = w.topology.books(Offset(0));
    let actions = &books.models[0].actions;
    assert_eq!(
        (actions.len(), actions.place("i0"), actions.place("i1"), actions.place("i2")),
        (2, None, Some(1), Some(0))
    );
    w.event("e", 1000, "click", Some("i0"), Some("d"));
    assert_eq!((w.known("d", 0, 1), w.learnt(1).1), (Some(10.0), 0), "known, but nothing is learnt of it");
    w.event("f", 1000, "click", Some("i2"), Some("d"));
    assert_eq!(w.learnt(1).1, 1);
}

#[test]
fn specs_are_proposed_activated_rolled_back_and_retired() {
    let mut w = World::new(|_| {});
    assert_eq!(w.apply(0, control(2, Act::Propose)), Outcome::Accepted, "the same again changes nothing");
    let other = Record::Control(Control {
        model: "home",
        action: Act::Propose,
        version: 2,
        spec: &REWARDS[1].replace("2m", "3m"),
        by: "t",
    });
    assert_eq!(w.apply(0, other), Outcome::Refused);
    assert_eq!(w.apply(0, control(3, Act::Activate)), Outcome::Refused);
    assert_eq!(w.apply(0, control(1, Act::Retire)), Outcome::Refused, "it is in force");
    w.decide("d", 0, 1, |_| {});
    w.event("e", 1000, "click", Some("i0"), None);
    let before = w.learnt(2);
    assert_eq!(w.apply(2000, control(2, Act::Activate)), Outcome::Accepted);
    assert_eq!((before, w.learnt(2)), ((1, 1), (1, 1)), "in shadow it learnt the same; switching learns nothing anew");
    assert_eq!(w.apply(3000, control(1, Act::Activate)), Outcome::Accepted, "back");
    assert_eq!(w.apply(4000, control(2, Act::Retire)), Outcome::Accepted);
    let learnt = w.topology.learnt(Offset(w.next));
    let rewards = learnt.registry.model(0);
    let history: Vec<u32> = rewards.history.iter().map(|a| a.version).collect();
    assert_eq!((rewards.active, history, rewards.running.len()), (1, vec![1, 2, 1], 1));
    assert!(w.topology.books(Offset(0)).models[0].specs.iter().all(|book| book.version != 2));
    w.event("f", 5000, "click", Some("i0"), None);
    pass(&mut w.topology, w.next, 3 * HOUR, &mut w.told);
    assert_eq!(w.ended(DecisionEnd::Joined), 1);
}

#[test]
fn what_names_a_decision_whose_specs_are_all_retired_is_late() {
    let mut topology = Topology::new(plan(model(|_| {})));
    let first = begin(&mut topology, &mut Ignore);
    let control = |version, action| What::Control { version, action, is_other: false };
    let decision = What::Decision { id: 1, viewer: 0, items: vec![0], is_deferred: false, served: Served::Policy };
    let named = |n| What::Event { n, viewer: 0, item: 0, kind: "click", value: 1.0, decision: Some(1) };
    // The second spec is in force when the decision is made, and retired afterwards.
    let course = [
        control(2, Act::Activate),
        control(1, Act::Retire),
        decision,
        named(1),
        control(1, Act::Propose),
        control(1, Act::Activate),
        control(2, Act::Retire),
        named(2),
    ];
    for (offset, what) in (first..).zip(course) {
        let at = 1_000 * (offset - first) as i64;
        feed(&mut topology, offset, &Happening { at, delay: 0, what }, &mut Ignore);
    }
    let ends = [RewardEnd::Joined, RewardEnd::Late].map(|end| topology.reward_ends()[end as usize]);
    assert_eq!(ends, [1, 1]);
}

/// A world whose first spec is another.
fn rewarded_by(spec: &str, change: impl FnOnce(&mut ModelSpec)) -> World {
    let mut w = World { topology: Topology::new(plan(model(change))), next: 0, told: Told::default() };
    for (action, spec) in [(Act::Propose, spec), (Act::Activate, "")] {
        let control = Control { model: "home", action, version: 1, spec, by: "test" };
        assert_eq!(w.apply(0, Record::Control(control)), Outcome::Accepted);
    }
    w
}

#[test]
fn a_reward_beyond_what_can_be_learnt_is_the_default_and_harms_no_later_one() {
    let spec = r#"{"version": 1, "expression": "v", "wait": "1h", "default_reward": 2,
        "signals": {"v": {"fold": "last", "field": "value", "on": ["rate"]}}}"#;
    let mut w = rewarded_by(spec, |_| {});
    w.decide("d", 0, 1, |_| {});
    let rate = |id, at, value| {
        let event = Event { viewer: Some("v"), item: Some("i0"), ..Event::new(id, "rate", EventTime(T0 + at)) };
        Record::Event(Event { value: Some(value), ..event })
    };
    for (id, at, value, known) in [("e1", 1000, 1e200, 2.0), ("e2", 2000, 7.0, 7.0), ("e3", 3000, -1e31, 2.0)] {
        w.apply(at, rate(id, at, value));
        assert_eq!(w.known("d", 0, 1), Some(known), "{value}");
    }
    let books = w.topology.books(Offset(0));
    let evidence = books.models[0].specs[0].evidence.as_ref().expect("something was learnt");
    let sums = evidence.action(0).expect("of the first item");
    let [weight, sum, squares] = sums.moments(saccade_topology::learn::HalfLife::None.stamp(Default::default()));
    assert_eq!((weight, sum, squares), (1.0, 2.0, 4.0));
    assert_eq!(w.earned(1, Served::Policy)[0].so_far, Brought::new(1, 2.0));
}

#[test]
fn shared_weights_learn_from_items_that_were_forgotten_since() {
    use saccade_topology::learn::Estimator;
    for (estimator, learnt) in [(Estimator::PerAction, 0), (Estimator::Shared, 1), (Estimator::Hybrid, 1)] {
        let stars = serde_json::from_str(r#"{"field": "stars"}"#).expect("a feature of items");
        let plan = plan(model(|model| {
            (model.estimator, model.actions_max) = (Some(estimator), 1);
            (model.context, model.items) = (ContextSpec::Slots(vec!["events".into()]), vec![stars]);
        }));
        let learning = plan.models()[0].learning.clone();
        let mut topology = Topology::new(plan);
        let next = begin(&mut topology, &mut Ignore);
        let mut w = World { topology, next, told: Told::default() };
        let made = |d: &mut Decision<'_>| {
            d.context = vec![1.0; learning.context];
            d.picks.iter_mut().for_each(|pick| pick.joint = vec![1.0; learning.joint]);
        };
        w.decide("d0", 0, 1, made);
        w.decide("d1", 1000, 2, |d| {
            made(d);
            d.picks.remove(0);
        });
        w.event("e", 2000, "click", None, Some("d0"));
        assert_eq!((w.known("d0", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(10.0), 1), "{estimator:?}");
        assert_eq!(w.learnt(1).1, learnt, "{estimator:?}");
    }
}

#[test]
fn what_was_leant_on_goes_with_a_decision_that_is_evicted() {
    use saccade_topology::learn::{HalfLife, Provisional};
    let mut w = World::new(|model| (model.provisional, model.decisions_max) = (Provisional::Weighted, 1));
    // Delays are known from a first one.
    w.decide("d0", 0, 1, |_| {});
    w.event("e0", 500, "click", None, Some("d0"));
    pass(&mut w.topology, w.next, 2 * HOUR, &mut w.told);
    w.next += 1;
    let sums = |w: &World| {
        let books = w.topology.books(Offset(0));
        let book = &books.models[0].specs[0];
        let sums = book.evidence.as_ref().expect("something was learnt").action(0).expect("the item").clone();
        (sums.moments(HalfLife::None.stamp(Default::default())), sums.counts())
    };
    let before = sums(&w);
    w.decide("d1", 2 * HOUR, 1, |_| {});
    for minute in 1..20 {
        pass(&mut w.topology, w.next, 2 * HOUR + minute * 60_000, &mut w.told);
        w.next += 1;
    }
    let leant = sums(&w);
    assert!(leant.0[0] > before.0[0] + 0.5 && leant.1 == (before.1.0 + 1, before.1.1 + 1), "{before:?} {leant:?}");
    w.decide("d2", 3 * HOUR - 60_000, 1, |_| {});
    let after = sums(&w);
    assert_eq!((w.ended(DecisionEnd::Evicted), after.1), (1, before.1));
    assert!(before.0.iter().zip(after.0).all(|(a, b)| (a - b).abs() < 1e-9), "{before:?} {after:?}");
}

#[test]
fn a_reward_without_a_time_before_the_first_event_waits_for_its_decision() {
    let mut w = World::new(|_| {});
    w.reward("d", 1000, 4.0, |r| r.event_time = None);
    w.event("e", 1000, "scroll", None, None);
    assert_eq!(w.topology.open_decisions(), (0, 1));
    w.decide("d", 500, 1, |_| {});
    assert_eq!((w.known("d", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(4.0), 1));
}

#[test]
fn an_event_that_came_after_its_session_had_to_settle_counts_for_the_decision_it_names() {
    let mut w = World::of(plan_with(model(|_| {}), |spec| spec.session.pending_max = 1));
    w.decide("d", 0, 1, |_| {});
    w.event("e1", 1000, "scroll", None, None);
    w.event("e2", 2000, "scroll", None, None);
    let outcome = w.event("e3", 500, "click", Some("i0"), Some("d"));
    assert_eq!((outcome, w.known("d", 0, 1)), (Outcome::Late(Late::SettledEarly), Some(10.0)));
    assert_eq!((w.rewarded(RewardEnd::Late), w.rewarded(RewardEnd::Joined)), (0, 1));
}

#[test]
fn an_event_belongs_to_the_decision_whose_window_has_begun() {
    let spec = r#"{"version": 1, "expression": "clicked", "wait": "1h", "start_after": "10s",
        "signals": {"clicked": {"fold": "count", "on": ["click"]}}}"#;
    let mut w = rewarded_by(spec, |_| {});
    w.decide("d1", 0, 1, |_| {});
    w.decide("d2", 60_000, 1, |_| {});
    w.event("e1", 65_000, "click", Some("i0"), None);
    w.event("e2", 75_000, "click", Some("i0"), None);
    assert_eq!((w.known("d1", 0, 1), w.known("d2", 0, 1)), (Some(1.0), Some(1.0)));
}

#[test]
fn an_event_that_counts_for_two_models_is_joined_once_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
        let other = ModelSpec { name: "other".into(), ..model(|_| {}) };
        let plan = plan_with(model(|_| {}), |spec| spec.models.push(other));
        let mut w = World { topology: Topology::new(plan), next: 0, told: Told::default() };
        for model in ["home", "other"] {
            for (action, spec) in [(Act::Propose, REWARDS[1]), (Act::Activate, "")] {
                let control = Control { model, action, version: 2, spec, by: "test" };
                assert_eq!(w.apply(0, Record::Control(control)), Outcome::Accepted);
            }
        }
        for step in order {
            match step {
                0 => w.decide("a", 0, 1, |_| {}),
                1 => w.decide("b", 0, 1, |d| d.model = "other"),
                _ => w.event("e", 1000, "click", Some("i0"), None),
            };
        }
        assert_eq!((w.known("a", 0, 2), w.known("b", 0, 2)), (Some(1.0), Some(1.0)), "{order:?}");
        assert_eq!(w.rewarded(RewardEnd::Joined), 1, "{order:?}");
    }
}

#[test]
fn an_event_that_settled_where_it_was_is_not_claimed_by_a_later_decision_too() {
    let mut w = World::new(|_| {});
    w.decide("d1", 0, 1, |_| {});
    for n in 0..=reward::PENDING_MAX as i64 {
        w.event(&format!("e{n:03}"), 10_000 + n, "click", Some("i0"), None);
    }
    w.decide("d2", 5000, 1, |_| {});
    let clicks = reward::PENDING_MAX as u64 + 1;
    assert_eq!(w.rewarded(RewardEnd::Joined), clicks);
    assert_eq!((w.known("d1", 0, 2), w.known("d2", 0, 2)), (Some(1.0), Some(clicks as f64 - 1.0)));
}

#[test]
fn numbers_of_a_model_have_ranges() {
    use saccade_topology::learn::Setting;
    let refused = |change: fn(&mut ModelSpec)| {
        let count = serde_json::from_str(r#"{"name": "events", "type": "count"}"#).expect("a feature");
        let spec = Spec { models: vec![model(change)], features: vec![count], ..Spec::default() };
        Plan::compile(&spec).expect_err("it is out of range").key
    };
    assert!(refused(|m| m.prior.noise = Setting::Fixed(0.0)).starts_with("models[0].prior.noise"));
    assert!(refused(|m| m.prior.centre = Setting::Fixed(f64::NAN)).starts_with("models[0].prior.centre"));
    let stars = |m: &mut ModelSpec| {
        m.items = vec![serde_json::from_str(r#"{"field": "stars", "scale": 1e300}"#).expect("a feature of items")];
    };
    assert!(refused(stars).starts_with("models[0].items.stars.scale"));
}

#[test]
fn a_spec_in_shadow_changes_nothing_of_what_is_learnt_under_another() {
    let spec = |version: u32, wait: &str| {
        let signals = r#"{"clicked": {"fold": "count", "on": ["click"]}}"#;
        format!(r#"{{"version": {version}, "expression": "clicked", "wait": "{wait}", "signals": {signals}}}"#)
    };
    for in_shadow in [false, true] {
        let mut w = rewarded_by(&spec(1, "30m"), |model| model.attribute = Attribute::Earliest);
        if in_shadow {
            let longer = spec(2, "1d");
            let control = Control { model: "home", action: Act::Propose, version: 2, spec: &longer, by: "test" };
            assert_eq!(w.apply(0, Record::Control(control)), Outcome::Accepted);
        }
        w.decide("d1", 0, 1, |_| {});
        w.decide("d2", 40 * 60_000, 1, |_| {});
        w.event("e", 45 * 60_000, "click", Some("i0"), None);
        assert_eq!(w.known("d2", 0, 1), Some(1.0), "{in_shadow}");
        assert_eq!(w.rewarded(RewardEnd::Joined), 1);
        if in_shadow {
            let known = [w.known("d1", 0, 1), w.known("d1", 0, 2), w.known("d2", 0, 2)];
            assert_eq!(known, [Some(0.0), Some(1.0), None]);
        }
    }
}

#[test]
fn what_waits_is_bound_in_bytes_too() {
    let mut w = World::new(|_| {});
    let mut fields = vec![];
    Fields::push(&mut fields, "note", Value::Text(&"x".repeat(32 << 10)));
    let fields = Fields::from_bytes(&fields);
    let waiting = (0..3000).map(|n| {
        let id = format!("e{n}");
        let event = Event { viewer: Some(&id), decision: Some("nobody"), ..Event::new(&id, "click", EventTime(T0)) };
        w.apply(0, Record::Event(Event { fields, ..event }));
        w.topology.open_decisions().1
    });
    assert_eq!(waiting.max(), Some(2044), "64 MiB of 32 KiB each and a little more");
    assert_eq!(w.rewarded(RewardEnd::Evicted), 3000 - 2044);
}

#[test]
fn when_events_settle_does_not_show_in_what_is_joined() {
    let clicks = r#"{"version": 1, "expression": "n", "wait": "1h",
        "signals": {"n": {"fold": "count", "on": ["click"]}}}"#;
    let scrolls = clicks.replace("click", "scroll");
    for is_exported in [false, true] {
        let other = ModelSpec { name: "other".into(), ..model(|_| {}) };
        let plan = plan_with(model(|_| {}), |spec| spec.models.push(other));
        let mut w = World { topology: Topology::new(plan), next: 0, told: Told::default() };
        for (model, spec) in [("home", clicks), ("other", &scrolls)] {
            for (action, spec) in [(Act::Propose, spec), (Act::Activate, "")] {
                let control = Control { model, action, version: 1, spec, by: "test" };
                assert_eq!(w.apply(0, Record::Control(control)), Outcome::Accepted);
            }
        }
        w.decide("b", 10_000, 1, |d| d.model = "other");
        w.event("e1", 9500, "click", Some("i0"), None);
        w.event("e2", 10_100, "scroll", Some("i0"), None);
        assert_eq!(w.rewarded(RewardEnd::Joined), 1, "the scroll");
        // From here on what is before 10.2 s is certain.
        w.event("e3", 42_200, "play", None, None);
        if is_exported {
            w.topology.rows();
        }
        w.decide("a", 11_000, 1, |_| {});
        assert_eq!((w.known("a", 0, 1), w.rewarded(RewardEnd::Joined)), (Some(1.0), 2), "{is_exported}");
    }
}
