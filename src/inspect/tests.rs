//! What an inspection finds in a log; its helpers are the command's too.

use super::report::{Bucket, Inspection, SlotView, Status, View};
use super::{Found, inspect};
use crate::config::Config;
use crate::log::{Log, MemoryLog, RecordBatch};
use saccade_topology::{Arrived, Event, EventTime, IngestTime, Offset, Plan, Record};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub(crate) const T0: i64 = 1_790_000_000_000;

const FEATURES: &str = r#"
[session]
gap = "30m"
[[features]]
name = "events"
type = "count"
[[features]]
name = "viewer_events"
type = "count"
scope = "viewer"
[[features]]
name = "plays"
type = "count"
on = ["play"]
"#;

pub(crate) fn config() -> Config {
    Config::parse(FEATURES, Path::new("(test)")).expect("the test's configuration is valid")
}

pub(crate) fn event<'a>(id: &'a str, kind: &'a str, session: &'a str, seconds: i64) -> Event<'a> {
    Event { session: Some(session), viewer: Some("v"), ..Event::new(id, kind, EventTime(T0 + seconds * 1000)) }
}

/// Appends events with the seconds, after the beginning, they arrived at.
pub(crate) fn append(log: &dyn Log, events: &[(Event<'_>, i64)]) {
    let mut batch = RecordBatch::default();
    for (event, arrival) in events {
        batch.push(&Arrived { ingest_time: IngestTime(T0 + arrival * 1000), record: Record::Event(*event) });
    }
    log.append(0, Offset(0), &batch).expect("the log takes a batch");
}

pub(crate) fn found(log: &dyn Log, id: &str) -> Found {
    let plan = Arc::new(Plan::compile(&config().spec()).expect("the test's plan compiles"));
    inspect(log, &plan, id, &mut |_| ControlFlow::Continue(())).expect("the log is whole")
}

pub(crate) fn inspected(events: &[(Event<'_>, i64)], id: &str) -> Inspection {
    let log = MemoryLog::new(1);
    append(&log, events);
    match found(&log, id) {
        Found::Session(inspection) => *inspection,
        Found::Unknown(why) => panic!("{why}"),
        Found::Stopped => panic!("nobody stopped it"),
    }
}

pub(crate) fn ids(view: &View) -> Vec<&str> {
    view.events.iter().map(|e| e.id.as_str()).collect()
}

pub(crate) fn slot<'a>(view: &'a View, name: &str) -> &'a SlotView {
    view.slots.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name} in {:?}", view.slots))
}

#[test]
fn events_stand_in_event_time_order_with_their_arrival_and_result() {
    let events = [
        (event("a", "play", "s", 0), 0),
        (event("c", "pause", "s", 20), 20),
        (event("b", "seek", "s", 10), 21),
        (event("other", "play", "s2", 300), 300),
        (event("d", "stop", "s", 30), 301),
    ];
    let inspection = inspected(&events, "s");
    let view = &inspection.partitions[0];
    assert_eq!(ids(view), ["a", "b", "c", "d"]);
    let rows: Vec<_> = view.events.iter().map(|e| (e.arrival, e.offset, e.late_by_ms, e.bucket)).collect();
    let accepted = Bucket::Accepted;
    assert_eq!(rows, [(1, 0, 0, accepted), (3, 2, 8000, accepted), (2, 1, 0, accepted), (4, 4, 268_000, Bucket::Late)]);
    assert_eq!((view.counts.accepted, view.counts.late, view.status), (3, 1, Status::Live));
    assert_eq!(view.version, Some(3), "the viewer's other session refreshed it");
}

#[test]
fn each_slot_names_the_event_that_moved_it_last_and_by_how_much() {
    let events = [
        (event("a", "play", "s", 0), 0),
        (event("c", "pause", "s", 20), 20),
        (event("b", "play", "s", 10), 21),
        (event("x", "play", "s2", 22), 22),
    ];
    let inspection = inspected(&events, "s");
    let view = &inspection.partitions[0];
    let last = |name: &str| {
        let slot = slot(view, name);
        let moved = slot.moved_last.clone().expect("it moved");
        (moved.event.clone(), moved.session.clone(), moved.delta(), slot.explained)
    };
    assert_eq!(last("events"), ("c".into(), None, 1.0, true));
    assert_eq!(last("plays"), ("b".into(), None, 1.0, true), "in event-time order, though c arrived before b");
    assert_eq!(
        last("viewer_events"),
        ("x".into(), Some("s2".into()), 1.0, true),
        "the viewer's other session moved it"
    );
}

#[test]
fn the_report_is_the_same_after_a_way_through_json() {
    let inspection = inspected(&[(event("a", "play", "s", 0), 0), (event("b", "play", "s", 1), 2)], "s");
    let json = serde_json::to_string(&inspection).expect("a report is plain data");
    assert!(json.contains("\"event_time\":\"2026-09-21T14:13:20.000Z\""), "{json}");
    assert_eq!(serde_json::from_str::<Inspection>(&json).expect("the same shape"), inspection);
}

#[test]
fn a_corrected_clock_shows_what_was_added() {
    let mut ahead = event("a", "play", "s", 3600);
    ahead.sent_at = Some(EventTime(T0 + 3600 * 1000));
    let inspection = inspected(&[(ahead, 5)], "s");
    let first = &inspection.partitions[0].events[0];
    assert_eq!((first.event_time.0, first.clock_offset_ms), (T0 + 5000, -3_595_000));
}

#[test]
fn events_without_a_session_are_found_by_their_viewer() {
    let alone = Event { session: None, ..event("a", "play", "", 0) };
    assert_eq!(ids(&inspected(&[(alone, 0)], "viewer:v").partitions[0]), ["a"]);
}

#[test]
fn a_session_that_is_past_its_lateness_shows_what_was_published_last() {
    let events = [(event("a", "play", "s", 0), 0), (event("x", "play", "s2", 7200), 7200)];
    let view = &inspected(&events, "s").partitions[0];
    assert_eq!((view.status, view.ended_by.as_deref()), (Status::Removed, Some("gap")));
    assert_eq!(slot(view, "events").value, Some(1.0));
}

#[test]
fn an_unknown_session_is_told_how_many_there_are_and_which_are_like_it() {
    let log = MemoryLog::new(1);
    append(&log, &[(event("a", "play", "session-one", 0), 0), (event("b", "play", "else", 0), 0)]);
    let Found::Unknown(why) = found(&log, "session-onee") else { panic!("it is not there") };
    assert_eq!(
        why,
        "no event of session \"session-onee\" is in the log, which holds 2 events of 2 sessions; ids like it: \"session-one\""
    );
}

#[test]
fn an_inspection_that_is_broken_off_says_so() {
    let log = MemoryLog::new(1);
    append(&log, &[(event("a", "play", "s", 0), 0), (event("b", "play", "s", 1), 1)]);
    let plan = Arc::new(Plan::compile(&config().spec()).expect("the test's plan compiles"));
    let stopped = inspect(&log, &plan, "s", &mut |read| {
        if read == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Ok(Found::Stopped)));
}
