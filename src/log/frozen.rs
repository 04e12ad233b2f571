//! Records as they were written once: every format that was ever written stays readable.
//!
//! In `tests/data/log/`, `format-N.batch` holds events and ticks, `format-N-decisions.batch` what closes the loop,
//! `format-N-passing.batch` what partitions tell each other.

use super::encoding::FORMAT;
use super::{RecordBatch, decode};
use saccade_topology::decision::{Act, Activation, Belief, Candidate, Control, Decision, ExplicitReward, Item};
use saccade_topology::decision::{Landed, Leaving, Passed, Pick, Served, Told};
use saccade_topology::{Arrived, Event, EventTime, Fields, IngestTime, PlayState, Record, Value};
use std::path::{Path, PathBuf};

const T0: i64 = 1_790_000_000_000;

/// A set of records: the end of its file's name, and the records.
type Set = (&'static str, for<'a> fn(&'a [u8]) -> Vec<Arrived<'a>>);
const SETS: [Set; 3] = [("", events), ("-decisions", decisions), ("-passing", passing)];

/// Ordinary events first, then one of every variant and with every field. Together a history that the checkpoint's fixture
/// folds: sessions that end and are removed, a viewer who changes, events out of order and one that is late.
fn events(fields: &[u8]) -> Vec<Arrived<'_>> {
    let of = |ms, id, kind, session, viewer| Event { session, viewer, ..Event::new(id, kind, EventTime(T0 + ms)) };
    let whole = Event {
        sent_at: Some(EventTime(T0 + 1_000)),
        item: Some("i1"),
        decision: Some("d1"),
        position: Some(3),
        playhead_s: Some(12.25),
        duration_s: Some(1800.0),
        value: Some(-0.5),
        device: Some("tv"),
        country: Some("SE"),
        timezone: Some("Europe/Stockholm"),
        throughput_kbps: Some(4000.0),
        rtt_ms: Some(20.0),
        state: Some(PlayState::Playing),
        fields: Fields::from_bytes(fields),
        ..of(900, "e01", "progress", Some("s1"), Some("v1"))
    };
    let mut events = vec![
        whole,
        of(1_000, "e02", "click", None, Some("v3")),
        of(2_000, "e03", "play", Some("s2"), Some("v1")),
        of(3_000, "e04", "pause", Some("s2"), Some("härifrån")),
        of(4_000, "e05", "click", Some("s3"), None),
        Event { sent_at: Some(EventTime(T0)), sent_at_inferred: true, ..of(200_000, "e06", "play", Some("s1"), None) },
        of(199_000, "e07", "seek", Some("s1"), Some("v1")),
        of(100_000, "e08", "click", Some("s1"), Some("v1")),
    ];
    const IDS: [&str; 9] = ["e10", "e11", "e12", "e13", "e14", "e15", "e16", "e17", "e18"];
    for ((state, id), ms) in PlayState::ALL.into_iter().zip(IDS).zip((201_000..).step_by(250)) {
        events.push(Event { state: Some(state), ..of(ms, id, "progress", Some("s4"), Some("v4")) });
    }
    let arrival = |at: &mut i64, event: &Event<'_>| {
        *at = (*at).max(event.event_time.0 + 100);
        IngestTime(*at)
    };
    let mut at = T0;
    let arrived =
        events.into_iter().map(|event| Arrived { ingest_time: arrival(&mut at, &event), record: Record::Event(event) });
    let mut records: Vec<_> = arrived.collect();
    records.push(Arrived { ingest_time: IngestTime(at + 5_000), record: Record::Tick });
    records
}

/// Of every variant one with every field and one with none; every way to be served; every act.
fn decisions(fields: &[u8]) -> Vec<Arrived<'_>> {
    let fields = Fields::from_bytes(fields);
    let bare = |id| Decision {
        id,
        model: "home",
        event_time: EventTime(T0),
        session: None,
        viewer: None,
        served: Served::Policy,
        deferred: false,
        ordinal: 0,
        context_version: None,
        model_version: vec![],
        reward_version: 0,
        context: vec![],
        candidates: vec![],
        distribution: vec![],
        picks: vec![],
        preferred: None,
    };
    let pick =
        |candidate, beliefs| Pick { candidate, propensity: 0.25, score: -0.5, joint: vec![1.0, -2.5], fields, beliefs };
    let whole = Decision {
        session: Some("s1"),
        viewer: Some("härifrån"),
        deferred: true,
        ordinal: 1 << 40,
        context_version: Some(300),
        model_version: vec![299, 7],
        reward_version: 2,
        context: vec![1.0, 0.1, -1e-300],
        candidates: vec![
            Candidate { item: "i1", features: fields },
            Candidate { item: "i2", features: Fields::default() },
        ],
        distribution: vec![0.75, 0.25],
        picks: vec![pick(1, vec![Belief { spec: 2, expected: 0.5, deviation: 0.125 }]), pick(0, vec![])],
        preferred: Some(1),
        ..bare("d01")
    };
    const IDS: [&str; 6] = ["d02", "d03", "d04", "d05", "d06", "d07"];
    let served = Served::ALL.into_iter().zip(IDS).map(|(served, id)| Decision { served, ..bare(id) });
    let mut records: Vec<_> = std::iter::once(whole).chain(served).map(|d| Record::Decision(Box::new(d))).collect();
    let time = Some(EventTime(T0 + 1_000));
    let reward =
        ExplicitReward { decision: "d01", id: None, item: None, position: None, value: -0.0, event_time: None };
    records.extend([
        Record::Activation(Activation { decision: "d01", event_time: None }),
        Record::Activation(Activation { decision: "d01", event_time: time }),
        Record::Reward(reward),
        Record::Reward(ExplicitReward {
            id: Some("r1"),
            item: Some("i2"),
            position: Some(1),
            value: 1.5,
            event_time: time,
            ..reward
        }),
        Record::Item(Item { id: "i1", fields: Some(fields) }),
        Record::Item(Item { id: "i1", fields: None }),
    ]);
    let control = |action| Record::Control(Control { model: "home", action, version: 3, spec: "{}", by: "Ada" });
    records.extend([Act::Propose, Act::Activate, Act::Retire].map(control));
    let arrived = (T0 + 100..).zip(records).map(|(at, record)| Arrived { ingest_time: IngestTime(at), record });
    arrived.collect()
}

/// An event and a reward that were passed on, and what lets them go and confirms them.
fn passing(fields: &[u8]) -> Vec<Arrived<'_>> {
    let event = Event {
        session: Some("s1"),
        decision: Some("d01"),
        fields: Fields::from_bytes(fields),
        ..Event::new("e1", "click", EventTime(T0))
    };
    let reward = ExplicitReward { decision: "d02", id: None, item: None, position: None, value: 2.5, event_time: None };
    let passed = |from, offset, told| {
        let event_time = EventTime(T0 + 5);
        Record::Passed(Box::new(Passed { from, offset, event_time, told }))
    };
    let records = [
        Record::Leaving(Leaving { decision: "härifrån", to: 3 }),
        passed(0, 300, Told::Event(event)),
        passed(7, 1 << 40, Told::Reward(reward)),
        Record::Landed(Landed { until: 300 }),
    ];
    let arrived = (T0 + 100..).zip(records).map(|(at, record)| Arrived { ingest_time: IngestTime(at), record });
    arrived.collect()
}

fn path(format: u8, set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/log/format-{format}{set}.batch"))
}

fn fields() -> Vec<u8> {
    let mut fields = vec![];
    Fields::push(&mut fields, "bitrate", Value::Number(352.5));
    Fields::push(&mut fields, "live", Value::Bool(true));
    Fields::push(&mut fields, "row", Value::Text("härifrån"));
    Fields::push(&mut fields, "tags", Value::Json("[1,2]"));
    fields
}

#[test]
fn records_of_every_format_are_read_as_what_was_written() {
    let fields = fields();
    for (format, (set, records)) in (1..=FORMAT).flat_map(|format| SETS.map(|set| (format, set))) {
        let path = path(format, set);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let read: Result<Vec<&[u8]>, String> = RecordBatch::records(&bytes).collect();
        let read = read.expect("the fixture is a whole batch");
        let read: Vec<Arrived<'_>> = read.into_iter().map(|record| decode(record).expect("a record")).collect();
        assert_eq!(read, records(&fields), "{}", path.display());
    }
}

#[test]
fn the_same_records_are_written_as_the_same_bytes() {
    for (set, records) in SETS {
        let (mut batch, path) = (RecordBatch::default(), path(FORMAT, set));
        records(&fields()).iter().for_each(|record| batch.push(record));
        if std::fs::read(&path).ok().as_deref() != Some(batch.bytes()) {
            let written = std::env::temp_dir().join(path.file_name().expect("a file has a name"));
            std::fs::write(&written, batch.bytes()).expect("the temporary directory can be written");
            panic!(
                "{} are not the bytes of {}: give the encoding a FORMAT of its own, then commit them as its fixture",
                written.display(),
                path.display()
            );
        }
    }
}
