//! Every limit of the fold, at the limit and one beyond.

use crate::driver::*;
use saccade_topology::*;
use std::sync::Arc;

fn counting() -> Spec {
    spec(vec![feature("events", FeatureType::Count)])
}

fn in_session(session: &str, ms: i64) -> Event<'_> {
    Event { session: Some(session), ..at(ms, "click") }
}

#[test]
fn one_session_above_sessions_max_evicts_the_one_that_would_close_first() {
    let mut spec = counting();
    spec.session.sessions_max = 3;
    let mut driver = Driver::new(&spec);
    ["a", "b", "c"].iter().enumerate().for_each(|(i, s)| driver.accept(in_session(s, i as i64)));
    // The first to come is not the first to close.
    driver.accept(in_session("a", 10));
    assert_eq!((driver.topology.live().0, driver.seen.outputs.len()), (3, 0));
    driver.accept(in_session("d", 11));
    assert_eq!(driver.topology.live().0, 3);
    let evicted = Output::Ended("b".into(), 1, 1, 1, EndReason::Evicted);
    assert_eq!(driver.seen.outputs, [evicted, Output::Removed(Kind::Session, "b".into())]);
    driver.accept(in_session("a", 12));
    assert_eq!(driver.slot_of(Kind::Session, "a", "events"), 3.0);
}

#[test]
fn a_session_that_has_ended_makes_room_before_one_that_lives_on() {
    let mut spec = counting();
    (spec.session.sessions_max, spec.session.gap) = (3, Duration::from_secs(60));
    let mut driver = Driver::new(&spec);
    // Events may come an hour late: until then what has ended can go on again, as `back` does.
    [("over", 0), ("back", 1_000), ("lives", 80_000), ("back", 2_000), ("back", 79_000)]
        .iter()
        .for_each(|(session, ms)| driver.accept(in_session(session, *ms)));
    let removed = |driver: &mut Driver, session, ms| {
        driver.seen.outputs.clear();
        driver.accept(in_session(session, ms));
        driver.seen.outputs.clone()
    };
    let gone = |session: &str| Output::Removed(Kind::Session, session.into());
    assert_eq!(removed(&mut driver, "new", 81_000), [gone("over")]);
    let evicted = Output::Ended("back".into(), 79_000, 79_000, 1, EndReason::Evicted);
    assert_eq!(removed(&mut driver, "newer", 82_000), [evicted, gone("back")]);
}

#[test]
fn one_viewer_above_viewers_max_evicts_the_one_that_would_be_forgotten_first() {
    let profile = FeatureSpec { scope: Scope::Viewer, ..feature("profile", FeatureType::Count) };
    let mut spec = spec(vec![profile]);
    spec.viewer.viewers_max = 2;
    let mut driver = Driver::new(&spec);
    let of = |viewer, ms| Event { viewer: Some(viewer), session: None, ..at(ms, "click") };
    driver.accept(of("ann", 0));
    driver.accept(of("bob", 1));
    // Ann came first, but was here since.
    driver.accept(of("ann", 2));
    assert_eq!((driver.topology.live().1, driver.seen.outputs.len()), (2, 0));
    driver.accept(of("cid", 3));
    assert_eq!(driver.seen.outputs, [Output::Removed(Kind::Viewer, "bob".into())]);
    driver.accept(of("ann", 4));
    assert_eq!(driver.slot_of(Kind::Viewer, "ann", "profile"), 3.0);
}

#[test]
fn a_session_whose_viewer_had_to_make_room_shows_nothing_of_them_until_they_come_back() {
    let profile = FeatureSpec { scope: Scope::Viewer, ..feature("profile", FeatureType::Count) };
    let mut spec = spec(vec![profile]);
    spec.viewer.viewers_max = 1;
    let mut driver = Driver::new(&spec);
    let of = |viewer, session, ms| Event { viewer: Some(viewer), session: Some(session), ..at(ms, "click") };
    driver.accept(of("ann", "s", 0));
    driver.accept(of("ann", "s", 1));
    assert_eq!(driver.slot_of(Kind::Session, "s", "profile"), 2.0);
    driver.accept(of("bob", "t", 2));
    assert_eq!(driver.slot_of(Kind::Session, "s", "profile"), 0.0);
    driver.accept(of("ann", "u", 3));
    assert_eq!(["s", "t", "u"].map(|session| driver.slot_of(Kind::Session, session, "profile")), [1.0, 0.0, 1.0]);
}

#[test]
fn beyond_pending_max_the_oldest_settle_and_what_would_come_before_them_is_late() {
    let mut spec = counting();
    spec.session.pending_max = 3;
    let mut driver = Driver::new(&spec);
    [1000, 2000, 3000].iter().for_each(|ms| driver.accept(at(*ms, "click")));
    // Three wait: an event may come before them all, and is the one that settles.
    driver.accept(at(500, "click"));
    driver.check(&[("events", 4.0)]);
    assert_eq!(driver.send(at(499, "click")), Outcome::Late(Late::SettledEarly));
    assert_eq!(driver.send(at(500, "click")), Outcome::Late(Late::SettledEarly));
    driver.accept(at(501, "click"));
    assert_eq!(driver.send(at(501, "click")), Outcome::Late(Late::SettledEarly));
    // Other sessions have their own list.
    driver.accept(in_session("other", 100));
    driver.check(&[("events", 5.0)]);
    assert_eq!((driver.topology.counters().accepted, driver.topology.counters().late), (6, 3));
}

#[test]
fn at_least_the_latest_half_of_the_ids_is_known_and_at_most_all() {
    let mut spec = counting();
    spec.dedup.events_max = 1024;
    spec.time.allowed_lateness = Duration::from_secs(0);
    spec.time.out_of_orderness = Duration::from_secs(0);
    let mut driver = Driver::new(&spec);
    let send = |driver: &mut Driver, n: i64| {
        let id = format!("id-{n}");
        driver.send(Event { id: &id, ..at(n, "click") })
    };
    for n in 0..3000 {
        assert_eq!(send(&mut driver, n), Outcome::Accepted);
        if n >= 511 && n % 97 == 0 {
            assert_eq!(send(&mut driver, n - 511), Outcome::Duplicate, "511 ids before {n}");
        }
    }
    // Forgotten, but behind the horizon: never counted twice.
    assert_eq!(send(&mut driver, 3000 - 1025), Outcome::Late(Late::BehindHorizon));
}

#[test]
fn an_event_that_is_still_pending_is_known_even_where_its_id_is_forgotten() {
    let mut spec = counting();
    spec.dedup.events_max = 1024;
    let mut driver = Driver::new(&spec);
    driver.accept(Event { id: "first", ..at(0, "click") });
    for n in 0..1100 {
        driver.accept(in_session("other", n));
    }
    assert_eq!(driver.send(Event { id: "first", ..at(0, "click") }), Outcome::Duplicate);
    driver.accept(at(1, "click"));
    driver.check(&[("events", 2.0)]);
}

#[test]
fn a_duplicate_changes_nothing_and_publishes_nothing() {
    let mut driver = Driver::new(&counting());
    driver.accept(Event { id: "x", ..at(0, "click") });
    driver.seen.contexts.clear();
    let digest = driver.topology.digest();
    assert_eq!(driver.send(Event { id: "x", ..at(0, "click") }), Outcome::Duplicate);
    assert_eq!(driver.send(Event { id: "x", ..at(5000, "play") }), Outcome::Duplicate);
    assert!(driver.seen.contexts.is_empty());
    assert_eq!(driver.topology.digest(), digest);
}

#[test]
fn what_comes_before_a_viewers_settled_events_counts_for_its_session_alone() {
    let mut spec = spec(vec![feature("events", FeatureType::Count)]);
    spec.features.push(FeatureSpec { scope: Scope::Viewer, ..feature("profile", FeatureType::Count) });
    spec.session.pending_max = 1;
    let mut driver = Driver::new(&spec);
    let of = |session, ms| Event { viewer: Some("v"), ..in_session(session, ms) };
    // A viewer may have eight times as many pending as a session; the ninth settles the first.
    (1..=8).for_each(|s| driver.accept(of("a", s * 1000)));
    driver.accept(of("b", 999));
    assert_eq!(driver.topology.late_for_profile(), 0);
    driver.accept(of("c", 998));
    driver.accept(of("d", 997));
    assert_eq!(driver.topology.late_for_profile(), 2);
    assert_eq!(driver.slot_of(Kind::Session, "d", "events"), 1.0);
    assert_eq!(driver.slot_of(Kind::Session, "d", "profile"), 9.0);
}

#[test]
fn where_no_checkpoint_is_made_nothing_is_kept_of_what_is_gone() {
    let mut spec = counting();
    spec.session.sessions_max = 1;
    let mut driver = Driver::new(&spec);
    let mut kept = |topology: Topology| {
        driver.topology = topology;
        (0..10_000).for_each(|nth| driver.accept(in_session(&format!("s{nth}"), nth)));
        driver.topology.take_changes().len()
    };
    let plan = Arc::new(Plan::compile(&spec).expect("it compiles"));
    let (with, without) = (kept(Topology::new(Arc::clone(&plan))), kept(Topology::without_changes(plan)));
    assert!(with >= 10_000 && without < 2 * 4_096, "{with} and {without}");
}
