//! What the fold makes of captured players, against what the video element really did.
//!
//! The `media_event` lines of a capture are the truth; the bodies of its requests are all that the fold sees.

use super::players::{COLLECTOR_503, CUSTOM_KEYS, EVENTS, json_lines};
use crate::cmcd::{Request, read_body};
use crate::config::{Cmcd, Config};
use bumpalo::Bump;
use saccade_topology::record::{Arrived, Event, EventTime, IngestTime, Offset, Record};
use saccade_topology::{ContextRef, Duration, FeatureSpec, Kind, Outcome, Plan, SessionEnd, Sink, Spec, Topology};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

const BEACON: &str = include_str!("../../../tests/data/players/captures/dom-beacon.jsonl");

/// A player may report this much later than the element changed.
const REPORT_MS: i64 = 150;

/// What the element did, up to the last event that says so.
#[derive(Debug, Default)]
struct Truth {
    /// From when on which state held.
    states: Vec<(i64, &'static str)>,
    played_s: f64,
    pauses: f64,
    paused_s: f64,
    seeks: f64,
    rebuffers: f64,
    rebuffering_s: f64,
}

impl Truth {
    /// Walks the element's events. Waiting while it seeks is seeking; the pause before the end is none.
    fn of(capture: &str, end: i64) -> Truth {
        let mut truth = Truth::default();
        let (mut state, mut since, mut is_paused) = ("none", 0, true);
        let lines: Vec<Json> = json_lines(capture).filter(|line| line["kind"] == "media_event").collect();
        for line in &lines {
            let time = line["t"].as_i64().expect("lines have a time");
            let name = line["event"].as_str().expect("media events have a name");
            let ends_soon = || {
                lines.iter().any(|l| l["event"] == "ended" && (0..50).contains(&(l["t"].as_i64().unwrap_or(0) - time)))
            };
            let next = match name {
                "play" => {
                    is_paused = false;
                    continue;
                }
                "pause" if ends_soon() => continue,
                "pause" => {
                    is_paused = true;
                    "paused"
                }
                "playing" => "playing",
                "seeking" => "seeking",
                "seeked" if is_paused => "paused",
                "waiting" if state == "playing" => "rebuffering",
                "ended" => "ended",
                _ => continue,
            };
            if time > end || next == state {
                continue;
            }
            truth.pass(state, time - since);
            truth.pauses += f64::from(u8::from(next == "paused" && state == "playing"));
            truth.seeks += f64::from(u8::from(next == "seeking"));
            truth.rebuffers += f64::from(u8::from(next == "rebuffering"));
            truth.states.push((time, next));
            (state, since) = (next, time);
        }
        truth.pass(state, end - since);
        truth
    }

    fn pass(&mut self, state: &str, ms: i64) {
        let seconds = ms as f64 / 1000.0;
        match state {
            "playing" => self.played_s += seconds,
            "paused" => self.paused_s += seconds,
            "rebuffering" => self.rebuffering_s += seconds,
            _ => {}
        }
    }

    /// The state that has held for [`REPORT_MS`] at `time` and holds for as long after it.
    fn steady_state(&self, time: i64) -> Option<&'static str> {
        let near = |at: i64| (at - time).abs() <= REPORT_MS;
        if self.states.iter().any(|(at, _)| near(*at)) {
            return None;
        }
        self.states.iter().rev().find(|(at, _)| *at < time).map(|(_, state)| *state)
    }
}

fn plan() -> Arc<Plan> {
    let playback: FeatureSpec =
        toml::from_str("name = \"p\"\ntype = \"playback\"").expect("the feature is of the right shape");
    let mut spec = Spec { features: vec![playback], ..Spec::default() };
    spec.time.allowed_lateness = Duration::from_secs(3600);
    Arc::new(Plan::compile(&spec).expect("the plan compiles"))
}

/// The latest vector of the one session.
#[derive(Default)]
struct Latest {
    event_time: i64,
    vector: Vec<f32>,
}

impl Sink for Latest {
    fn context(&mut self, c: &ContextRef<'_>) {
        assert_eq!(c.kind, Kind::Session);
        (self.event_time, self.vector) = (c.event_time, c.vector.to_vec());
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

fn figures(plan: &Plan, latest: &Latest) -> BTreeMap<String, f64> {
    let names = plan.slots().iter().map(|slot| slot.name.trim_start_matches("p.").to_string());
    names.zip(latest.vector.iter().map(|x| f64::from(*x))).collect()
}

/// Folds events in the order given; `look` sees the figures after each accepted one.
fn fold(events: &[(i64, Event<'_>)], look: impl FnMut(i64, &BTreeMap<String, f64>)) -> Latest {
    fold_by(plan(), events, look)
}

fn fold_by(plan: Arc<Plan>, events: &[(i64, Event<'_>)], mut look: impl FnMut(i64, &BTreeMap<String, f64>)) -> Latest {
    let (mut topology, mut latest) = (Topology::new(Arc::clone(&plan)), Latest::default());
    for (offset, (arrival, event)) in events.iter().enumerate() {
        let arrived = Arrived { ingest_time: IngestTime(*arrival), record: Record::Event(*event) };
        match topology.apply(Offset(offset as u64), &arrived, &mut latest) {
            Outcome::Accepted => look(latest.event_time, &figures(&plan, &latest)),
            Outcome::Duplicate => {}
            other => panic!("{event:?}: {other:?}"),
        }
    }
    latest
}

/// Events of the CMCD requests of a capture with their arrival, in order of arrival.
fn cmcd_events<'a>(capture: &str, arena: &'a Bump) -> Vec<(i64, Event<'a>)> {
    let (request, config) = (arena.alloc(Request::default()), arena.alloc(Cmcd::default()));
    let mut events = vec![];
    for line in json_lines(capture).filter(|line| line["kind"] == "request" && line["method"] == "POST") {
        let arrival = line["t"].as_i64().expect("lines have a time");
        let body = arena.alloc_str(line["body"].as_str().expect("a POST has a body"));
        let row = &mut |row: Result<Event<'a>, _>| events.push((arrival, row.expect("captured records are valid")));
        read_body(body, IngestTime(arrival), request, config, arena, row);
    }
    events
}

/// Events of the page's beacons, as a mapping of its names would give them. `id` names them by their sequence number.
fn beacon_events<'a>(arena: &'a Bump, id: impl Fn(u64) -> String) -> Vec<(i64, Event<'a>)> {
    let mut events = vec![];
    for line in json_lines(BEACON).filter(|line| line["kind"] == "request" && line["method"] == "POST") {
        let arrival = line["t"].as_i64().expect("lines have a time");
        let body: Json =
            serde_json::from_str(line["body"].as_str().expect("a POST has a body")).expect("beacons are JSON");
        for row in body["events"].as_array().expect("beacons have events") {
            let text = |name: &str| row[name].as_str().map(|text| &*arena.alloc_str(text));
            let time = EventTime(row["ts"].as_i64().expect("beacon events have a time"));
            let id = arena.alloc_str(&id(row["seq"].as_u64().expect("beacon events have a number")));
            let mut event = Event::new(id, text("type").expect("beacon events have a type"), time);
            event.session = Some("beacon");
            event.sent_at = body["sent"].as_i64().map(EventTime);
            event.playhead_s = row["pt"].as_f64().map(|ms| ms / 1000.0);
            event.value = row["pr"].as_f64().or(row["depth"].as_f64());
            event.item = text("el");
            events.push((arrival, event));
        }
    }
    events
}

/// In another order, the same every time. All arrive with the last, so that none is ahead of its arrival, and without their
/// time of sending, which such an arrival would make a wrong clock.
fn shuffled<'a>(events: &[(i64, Event<'a>)], seed: u64) -> Vec<(i64, Event<'a>)> {
    let last = events.iter().map(|(arrival, _)| *arrival).max().expect("there are events");
    let mut keyed: Vec<(u64, Event<'a>)> = events
        .iter()
        .enumerate()
        .map(|(i, (_, event))| {
            (
                (i as u64 + 1).wrapping_mul(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29),
                Event { sent_at: None, ..*event },
            )
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, event)| (last, event)).collect()
}

#[track_caller]
fn assert_near(got: f64, truth: f64, tolerance: f64, what: &str) {
    assert!((got - truth).abs() <= tolerance, "{what}: {got}, the element says {truth}");
}

/// The state while the events come, all figures at the end, and the same bits in any order.
fn assert_agrees(capture: &str, events: &[(i64, Event<'_>)]) {
    let states = ["playing", "paused", "seeking", "rebuffering", "ended"];
    let whole = Truth::of(capture, i64::MAX);
    let mut last = BTreeMap::new();
    let mut compared = 0;
    let latest = fold(events, |time, figures| {
        last = figures.clone();
        let Some(truth) = whole.steady_state(time) else { return };
        let held: Vec<&str> = states.into_iter().filter(|state| figures[*state] == 1.0).collect();
        assert_eq!(held, [truth], "at {time}");
        compared += 1;
    });
    assert!(compared >= 8, "the state is compared {compared} times");
    let truth = Truth::of(capture, latest.event_time);
    let final_state = truth.states.last().expect("the element did something").1;
    assert_eq!(last[final_state], 1.0, "at the end the element is {final_state}: {last:?}");
    assert_near(last["played_s"], truth.played_s, 0.3, "seconds played");
    assert_near(last["pauses"], truth.pauses, 0.0, "pauses");
    assert_near(last["paused_s"], truth.paused_s, 0.1, "seconds paused");
    assert_near(last["longest_pause_s"], truth.paused_s / truth.pauses.max(1.0), 0.1, "the one pause");
    assert_near(last["seeks"], truth.seeks, 0.0, "seeks");
    assert_near(last["rebuffers"], truth.rebuffers, 0.0, "rebufferings");
    assert_near(last["rebuffering_s"], truth.rebuffering_s, 0.1, "seconds rebuffering");
    for seed in 1..=5 {
        let other = fold(&shuffled(events, seed), |_, _| {});
        let bits = |latest: &Latest| latest.vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((latest.event_time, bits(&latest)), (other.event_time, bits(&other)), "in the order of seed {seed}");
    }
}

/// After each event of the element that changed its state, the state that is told within [`REPORT_MS`].
fn assert_follows_each_change(capture: &str, events: &[(i64, Event<'_>)]) {
    let mut ordered = events.to_vec();
    ordered.sort_by(|(_, a), (_, b)| (a.event_time, a.id).cmp(&(b.event_time, b.id)));
    let mut told: Vec<(i64, BTreeMap<String, f64>)> = vec![];
    fold(&ordered, |time, figures| told.push((time, figures.clone())));
    let end = told.last().expect("there are events").0;
    for (at, state) in Truth::of(capture, end).states {
        let is_told = told
            .iter()
            .any(|(time, figures)| (at - REPORT_MS..=at + REPORT_MS).contains(time) && figures[state] == 1.0);
        assert!(is_told, "nobody told within {REPORT_MS} ms that it is {state} at {at}");
    }
}

#[test]
fn the_truth_of_the_full_scenario_is_what_the_driver_did() {
    let truth = Truth::of(EVENTS, i64::MAX - 1);
    let kinds: Vec<&str> = truth.states.iter().map(|(_, state)| *state).collect();
    let scenario = "playing paused playing seeking playing rebuffering playing seeking playing ended";
    assert_eq!(kinds.join(" "), scenario);
    assert_near(truth.paused_s, 2.0, 0.05, "the driver paused 2 s");
}

#[test]
fn hls_js_is_read_as_the_video_element_played() {
    for capture in [EVENTS, CUSTOM_KEYS, COLLECTOR_503] {
        let arena = Bump::new();
        let events = cmcd_events(capture, &arena);
        assert_agrees(capture, &events);
        assert_follows_each_change(capture, &events);
    }
}

#[test]
fn a_page_s_beacon_is_read_as_the_video_element_played_whatever_its_ids() {
    let arena = Bump::new();
    // Events of one millisecond are ordered by id: by sequence, and by sequence backwards.
    for backwards in [false, true] {
        let events = beacon_events(&arena, |seq| format!("{:06}", if backwards { 999_999 - seq } else { seq }));
        assert_agrees(BEACON, &events);
        assert_follows_each_change(BEACON, &events);
    }
}

#[test]
fn seconds_of_content_follow_the_playhead_where_there_is_one() {
    let arena = Bump::new();
    let mut unique = vec![];
    for events in [cmcd_events(CUSTOM_KEYS, &arena), beacon_events(&arena, |seq| format!("{seq:06}"))] {
        fold(&events, |_, figures| unique.push((figures["unique_s"], figures["content_s"])));
        let (unique_s, content_s) = unique.pop().expect("there are events");
        // Nothing was watched twice; 9 s of stall and 2 s of pause are no content.
        assert_near(unique_s, content_s, 0.5, "content watched");
    }
}

#[test]
fn the_default_plan_is_fed_by_a_cmcd_player() {
    let spec = Config::load(None).expect("the default configuration loads").spec();
    let plan = Arc::new(Plan::compile(&spec).expect("the default plan compiles"));
    let (arena, mut last) = (Bump::new(), BTreeMap::new());
    fold_by(plan, &cmcd_events(EVENTS, &arena), |_, figures| last = figures.clone());
    let fed = [
        "events",
        "recent.pause.10m",
        "recent.progress.30s",
        "recent_plays.10m",
        "recent_seeks.30s",
        "recent_waits.30s",
        "actions.1m",
        "since.pause",
        "since_play",
        "age",
        "playback.ended",
        "playback.played_s",
        "playback.pauses",
        "playback.seeks",
        "playback.rebuffers",
        "playback.startup_s",
        "throughput",
        "throughput_mean.1m",
        "bitrate",
        "items",
        "types",
        "item_plays",
    ];
    for slot in fed {
        assert!(last[slot] > 0.0, "{slot} is {}", last[slot]);
    }
}
