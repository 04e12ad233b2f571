//! When sessions and viewer profiles begin, end, join and split.

use crate::driver::*;
use saccade_topology::*;

/// A gap of 60 s, a length of 100 s, 2 s out of order, an hour late.
fn short() -> Spec {
    let mut spec = spec(vec![feature("events", FeatureType::Count), feature("age", FeatureType::Age)]);
    spec.session.gap = Duration::from_secs(60);
    spec.session.max_length = Duration::from_secs(100);
    spec
}

fn ended(start: i64, last: i64, events: u64, reason: EndReason) -> Output {
    Output::Ended("s".into(), start, last, events, reason)
}

#[test]
fn a_silence_of_exactly_the_gap_goes_on_and_one_millisecond_more_begins_anew() {
    for (silence, events) in [(60_000, 2.0), (60_001, 1.0)] {
        let mut driver = Driver::new(&short());
        driver.accept(at(0, "click"));
        driver.accept(at(silence, "click"));
        driver.check(&[("events", events)]);
    }
}

#[test]
fn an_event_at_exactly_the_maximum_length_belongs_and_one_millisecond_later_begins_anew() {
    for (last, events) in [(100_000, 3.0), (100_001, 1.0)] {
        let mut driver = Driver::new(&short());
        [0, 50_000, last].iter().for_each(|ms| driver.accept(at(*ms, "click")));
        driver.check(&[("events", events)]);
        if events == 1.0 {
            assert_eq!(driver.seen.outputs, [ended(0, 50_000, 2, EndReason::MaxLength)]);
        }
    }
}

#[test]
fn a_late_event_between_two_sessions_joins_them() {
    let mut driver = Driver::new(&short());
    driver.accept(at(0, "click"));
    driver.accept(at(90_000, "click"));
    driver.check(&[("events", 1.0), ("age", 0.0)]);
    assert_eq!(driver.seen.outputs, [ended(0, 0, 1, EndReason::Gap)]);
    driver.accept(at(45_000, "click"));
    driver.check(&[("events", 3.0), ("age", 90.0)]);
}

#[test]
fn a_late_event_before_a_session_can_make_it_too_long_and_split_it() {
    let mut driver = Driver::new(&short());
    driver.accept(at(50_000, "click"));
    driver.accept(at(70_000, "click"));
    driver.accept(at(110_000, "click"));
    driver.check(&[("events", 3.0), ("age", 60.0)]);
    driver.accept(at(0, "click"));
    // 0, 50 and 70 are one session now; 110 is more than 100 s after its start.
    driver.check(&[("events", 1.0), ("age", 0.0)]);
    assert_eq!(driver.seen.outputs, [ended(0, 70_000, 3, EndReason::MaxLength)]);
    driver.accept(at(60_000, "click"));
    driver.accept(at(115_000, "click"));
    assert_eq!(driver.seen.outputs.len(), 1, "an end is told once");
}

#[test]
fn a_late_event_splits_a_busy_session_once_however_many_events_are_pending() {
    for events in [10, 60, 64, 65, 66, 100, 200] {
        let mut driver = Driver::new(&short());
        let times: Vec<i64> = (0..events).map(|i| 50_000 + i * 60_000 / events).collect();
        times.iter().for_each(|ms| driver.accept(at(*ms, "click")));
        driver.accept(at(0, "click"));
        let first: Vec<i64> = times.into_iter().filter(|ms| *ms <= 100_000).collect();
        let last = *first.last().expect("some are in the first part");
        assert_eq!(
            driver.seen.outputs,
            [ended(0, last, first.len() as u64 + 1, EndReason::MaxLength)],
            "{events} events"
        );
    }
}

#[test]
fn ticks_end_and_remove_the_sessions_of_an_idle_stream_at_the_exact_millisecond() {
    let mut driver = Driver::new(&short());
    driver.accept(at(0, "click"));
    // The watermark trails by 2 s; an event exactly at the gap could still come until it has passed.
    driver.tick(62_000);
    assert_eq!(driver.seen.outputs, []);
    driver.tick(62_001);
    assert_eq!(driver.seen.outputs, [ended(0, 0, 1, EndReason::Gap)]);
    assert_eq!(driver.topology.live(), (1, 0), "within the lateness it can be reopened");
    driver.tick(62_000 + 3_600_000);
    assert_eq!(driver.topology.live(), (1, 0));
    driver.tick(62_001 + 3_600_000);
    assert_eq!(driver.topology.live(), (0, 0));
    assert_eq!(driver.seen.outputs[1..], [Output::Removed(Kind::Session, "s".into())]);
    assert_eq!(driver.seen.outputs.len(), 2);
}

#[test]
fn a_late_event_reopens_an_ended_session_and_it_ends_again() {
    let mut driver = Driver::new(&short());
    driver.accept(at(0, "click"));
    driver.tick(62_001);
    driver.accept(at(30_000, "click"));
    driver.check(&[("events", 2.0)]);
    driver.tick(92_001);
    let ends = [ended(0, 0, 1, EndReason::Gap), ended(0, 30_000, 2, EndReason::Gap)];
    assert_eq!(driver.seen.outputs, ends);
}

#[test]
fn memory_of_finished_keys_goes_to_zero() {
    let mut driver = Driver::new(&short());
    let empty = driver.topology.session_bytes();
    for i in 0..500 {
        driver.accept(Event { session: Some(&format!("s{i}")), ..at(i, "click") });
    }
    assert!(driver.topology.session_bytes() > empty);
    driver.tick(4_000_000);
    assert_eq!((driver.topology.live(), driver.topology.session_bytes()), ((0, 0), empty));
}

/// Sessions and profiles that count.
fn with_profiles() -> Spec {
    let profile = FeatureSpec { scope: Scope::Viewer, ..feature("profile", FeatureType::Count) };
    let mut spec = short();
    spec.features.push(profile);
    spec.viewer.retention = Duration::from_secs(1000);
    spec
}

fn of<'a>(session: Option<&'a str>, viewer: Option<&'a str>, ms: i64) -> Event<'a> {
    Event { session, viewer, ..at(ms, "click") }
}

#[test]
fn a_session_whose_viewer_changes_shows_the_profile_of_the_latest() {
    let mut driver = Driver::new(&with_profiles());
    driver.accept(of(Some("s"), None, 0));
    driver.check(&[("events", 1.0), ("profile", 0.0)]);
    driver.accept(of(Some("s"), Some("ann"), 1000));
    driver.accept(of(Some("s"), Some("ann"), 2000));
    driver.check(&[("events", 3.0), ("profile", 2.0)]);
    driver.accept(of(Some("s"), Some("bob"), 3000));
    driver.check(&[("events", 4.0), ("profile", 1.0)]);
    assert_eq!(driver.context(Kind::Session, "s").viewer.as_deref(), Some("bob"));
    // The session left ann; her profile did not.
    assert_eq!(driver.context(Kind::Viewer, "ann").session, None);
    assert_eq!(driver.slot_of(Kind::Viewer, "ann", "profile"), 2.0);
    assert_eq!(driver.slot_of(Kind::Viewer, "ann", "events"), 0.0);
    // A late event of ann's amends her profile; the latest event still names bob.
    driver.accept(of(Some("s"), Some("ann"), 2500));
    assert_eq!(driver.context(Kind::Session, "s").viewer.as_deref(), Some("bob"));
    assert_eq!(driver.slot_of(Kind::Viewer, "ann", "profile"), 3.0);
    driver.check(&[("events", 5.0), ("profile", 1.0)]);
}

#[test]
fn a_profile_outlives_sessions_and_is_forgotten_after_its_retention() {
    let mut driver = Driver::new(&with_profiles());
    driver.accept(of(Some("s1"), Some("ann"), 0));
    driver.accept(of(Some("s2"), Some("ann"), 500_000));
    assert_eq!(driver.slot_of(Kind::Session, "s2", "profile"), 2.0);
    assert_eq!(driver.slot_of(Kind::Session, "s2", "events"), 1.0);
    let forgotten = 500_000 + 1_000_000 + 2000 + 3_600_000;
    driver.tick(forgotten);
    assert_eq!(driver.topology.live().1, 1);
    driver.tick(forgotten + 1);
    assert_eq!(driver.topology.live(), (0, 0));
    assert_eq!(driver.seen.outputs.last(), Some(&Output::Removed(Kind::Viewer, "ann".into())));
    driver.accept(of(Some("s3"), Some("ann"), forgotten + 1));
    assert_eq!(driver.slot_of(Kind::Session, "s3", "profile"), 1.0);
}

#[test]
fn events_that_name_only_a_viewer_make_a_session_of_the_viewers() {
    let mut driver = Driver::new(&with_profiles());
    driver.accept(of(None, Some("ann"), 0));
    driver.accept(of(None, Some("ann"), 1000));
    assert_eq!(driver.slot_of(Kind::Session, "viewer:ann", "events"), 2.0);
    assert_eq!(driver.context(Kind::Viewer, "ann").session.as_deref(), Some("viewer:ann"));
}

#[test]
fn the_viewer_with_the_most_sessions_at_once_is_known() {
    let mut driver = Driver::new(&short());
    let sessions: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
    assert_eq!(driver.topology.crowd(), (0, ""));
    for (n, session) in sessions.iter().enumerate() {
        let (id, viewer) = (format!("e{n}"), if n < 3 { "few" } else { "many" });
        driver.accept(Event { id: &id, session: Some(session), viewer: Some(viewer), ..at(n as i64, "click") });
    }
    assert_eq!(driver.topology.crowd(), (6, "many"));
}
