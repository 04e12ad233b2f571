//! Records as they were written once, in `tests/data/log/format-N.batch`: every format that was ever written stays readable.

use super::encoding::FORMAT;
use super::{RecordBatch, decode};
use saccade_topology::{Arrived, Event, EventTime, Fields, IngestTime, PlayState, Record, Value};
use std::path::{Path, PathBuf};

const T0: i64 = 1_790_000_000_000;

/// Ordinary events first, then one of every variant and with every field. Together a history that the checkpoint's fixture
/// folds: sessions that end and are removed, a viewer who changes, events out of order and one that is late.
fn records(fields: &[u8]) -> Vec<Arrived<'_>> {
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
    const STATES: [PlayState; 9] = [
        PlayState::Preloading,
        PlayState::Starting,
        PlayState::Playing,
        PlayState::Paused,
        PlayState::Seeking,
        PlayState::Rebuffering,
        PlayState::Ended,
        PlayState::Failed,
        PlayState::Quit,
    ];
    const IDS: [&str; 9] = ["e10", "e11", "e12", "e13", "e14", "e15", "e16", "e17", "e18"];
    for ((state, id), ms) in STATES.into_iter().zip(IDS).zip((201_000..).step_by(250)) {
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

fn path(format: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/log/format-{format}.batch"))
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
    for format in 1..=FORMAT {
        let bytes = std::fs::read(path(format)).unwrap_or_else(|e| panic!("{}: {e}", path(format).display()));
        let read: Result<Vec<&[u8]>, String> = RecordBatch::records(&bytes).collect();
        let read = read.expect("the fixture is a whole batch");
        let read: Vec<Arrived<'_>> = read.into_iter().map(|record| decode(record).expect("a record")).collect();
        assert_eq!(read, records(&fields), "format {format}");
    }
}

#[test]
fn the_same_records_are_written_as_the_same_bytes() {
    let mut batch = RecordBatch::default();
    records(&fields()).iter().for_each(|record| batch.push(record));
    if std::fs::read(path(FORMAT)).ok().as_deref() != Some(batch.bytes()) {
        let name = path(FORMAT);
        let name = name.file_name().expect("a file has a name");
        let written = std::env::temp_dir().join(name);
        std::fs::write(&written, batch.bytes()).expect("the temporary directory can be written");
        panic!(
            "{} are not the bytes of {}: give the encoding a FORMAT of its own, then commit them as its fixture",
            written.display(),
            path(FORMAT).display()
        );
    }
}
