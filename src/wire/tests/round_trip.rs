//! What is written is read again to the same; nothing panics; bad lines are counted exactly.

use super::*;
use proptest::prelude::*;
use saccade_topology::decision::{Passed, Told};
use saccade_topology::{Arrived, Event, EventTime, Fields, IngestTime, Offset, Record, Value};

/// Owns what an event borrows.
#[derive(Clone, Debug)]
struct Sample {
    texts: [Option<String>; 8],
    id: String,
    kind: String,
    times: (i64, Option<i64>, bool),
    numbers: [Option<f64>; 5],
    value: Option<f64>,
    position: Option<u32>,
    state: Option<usize>,
    fields: Vec<u8>,
}

impl Sample {
    fn event(&self) -> Event<'_> {
        let text = |i: usize| self.texts[i].as_deref();
        Event {
            id: &self.id,
            kind: &self.kind,
            event_time: EventTime(self.times.0),
            sent_at: self.times.1.map(EventTime),
            sent_at_inferred: self.times.2,
            session: text(0).or(Some("s")),
            viewer: text(1),
            item: text(2),
            decision: text(3),
            position: self.position,
            playhead_s: self.numbers[0],
            duration_s: self.numbers[1],
            value: self.value,
            device: text(4),
            country: text(5),
            timezone: text(6),
            throughput_kbps: self.numbers[2],
            rtt_ms: self.numbers[3],
            state: self.state.map(|i| check::STATES[i].1),
            fields: Fields::from_bytes(&self.fields),
        }
    }
}

pub(super) fn free_fields() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        prop::num::f64::NORMAL.prop_map(|x| (0, x, String::new())),
        Just((0, 0.0, String::new())),
        any::<bool>().prop_map(|b| (1, f64::from(u8::from(b)), String::new())),
        any::<String>().prop_map(|s| (2, 0.0, s)),
        r#"\[([1-9][0-9]{0,2},){0,3}"[a-z\]{]{0,9}"\]|\{\}|\{"a":\[\{\},null\]\}"#.prop_map(|s| (3, 0.0, s)),
    ];
    prop::collection::vec((any::<String>(), value), 0..4).prop_map(|fields| {
        let mut bytes = Vec::new();
        for (name, (tag, x, text)) in &fields {
            let value = match tag {
                0 => Value::Number(*x),
                1 => Value::Bool(*x == 1.0),
                2 => Value::Text(text),
                _ => Value::Json(text),
            };
            Fields::push(&mut bytes, name, value);
        }
        bytes
    })
}

fn samples() -> impl Strategy<Value = Sample> {
    // "0" is nobody where events come in, not where they are kept.
    let text = || prop::option::of(prop_oneof![1 => Just("0".to_string()), 7 => "[^\\p{Cc}]{1,2}"]);
    let time = 946_684_800_000..7_258_118_400_000_i64;
    let number = || prop::option::of(prop_oneof![0.0..1e9_f64, (0..100_000_u32).prop_map(f64::from), Just(1e300)]);
    (
        prop::array::uniform8(text()),
        "[^\\p{Cc}]{1,32}",
        "[a-z][a-z0-9_]{0,63}",
        (time.clone(), prop::option::of(time), any::<bool>()),
        prop::array::uniform5(number()),
        prop::option::of(prop::num::f64::NORMAL),
        prop::option::of(any::<u32>()),
        prop::option::of(0..9_usize),
        free_fields(),
    )
        .prop_map(|(texts, id, kind, times, numbers, value, position, state, fields)| Sample {
            texts,
            id,
            kind,
            times,
            numbers,
            value,
            position,
            state,
            fields,
        })
}

proptest! {
    #[test]
    fn an_event_written_is_read_again_to_an_equal_one(sample in samples(), offset: u64, partition: u16) {
        let (mut line, arena, reader) = (Vec::new(), Bump::new(), reader("map = { item = \"id\", id = \"key\" }"));
        let event = sample.event();
        write_event(&mut line, &event);
        let text = std::str::from_utf8(&line).expect("JSON is text");
        prop_assert_eq!(super::reader("nobody = []").read_event(text, &arena), Ok(event));
        let arrived = Arrived { ingest_time: IngestTime(5), record: Record::Event(event) };
        let mut line = Vec::new();
        write_record(&mut line, partition, Offset(offset), &arrived);
        prop_assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        let text = std::str::from_utf8(&line).expect("JSON is text");
        prop_assert_eq!(read_record(&reader, text, &arena), Ok((partition, Offset(offset), arrived)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = body(&reader(""), &bytes);
    }

    #[test]
    fn arbitrary_near_json_never_panics(text in "[\\[\\]{}\",:\\\\ \nu0-9a-eé]{0,120}", cut in 0..200_usize) {
        let arena = Bump::new();
        let _ = body(&reader(""), text.as_bytes());
        let _ = body(&reader(""), format!("[{text}").as_bytes());
        let _ = body(&reader(""), format!("{{\"events\":[{text}").as_bytes());
        let _ = body(&reader(""), format!("{{\"events\":[{text}]}}").as_bytes());
        let _ = read_record(&reader(""), &text, &arena);
        let whole = row_with(&format!("\"x\":[{text}],\"fields\":{{{text}}}"));
        let _ = code(whole.get(..cut).unwrap_or(&whole));
    }

    #[test]
    fn bad_lines_are_reported_one_by_one_and_the_rest_is_taken(good in prop::collection::vec(any::<bool>(), 2..40)) {
        let bad = ["{", "nope", "{\"type\":", "}", "[{\"a\":1}", "{\"a\":\"}", "\"", "{}{}", "{\"type\":\"play\"}"];
        let line = |(i, good): (usize, &bool)| if *good { row(&format!("e{i}")) } else { bad[i % bad.len()].into() };
        // The first line tells the format.
        let mut lines: Vec<String> = good.iter().enumerate().map(line).collect();
        lines.insert(0, row("first"));
        let rows = body(&reader(""), lines.join("\r\n").as_bytes()).expect("lines");
        prop_assert_eq!(rows.len(), lines.len());
        for (i, good) in good.iter().enumerate() {
            let (found, expected) = (&rows[i + 1], if *good { format!("e{i}") } else { format!("{} ", i + 1) });
            prop_assert!(found.starts_with(&expected), "{found} {expected}");
        }
    }
}

#[test]
fn a_tick_is_written_and_read_again() {
    let tick = Arrived { ingest_time: IngestTime(-7), record: Record::Tick };
    let mut line = Vec::new();
    write_record(&mut line, 3, Offset(9), &tick);
    assert_eq!(line, b"{\"offset\":9,\"partition\":3,\"ingest_time\":-7,\"tick\":true}\n");
    let text = std::str::from_utf8(&line).expect("JSON is text");
    assert_eq!(read_record(&reader(""), text, &Bump::new()), Ok((3, Offset(9), tick)));
}

#[test]
fn a_record_keeps_times_that_no_event_may_come_with() {
    // A player that sends seconds is taken in: its clock is corrected, and what it sent is what is kept.
    for ms in [1000, 1_760_000_000, 0, -1, 1_760_000_000_000_000, i64::MAX, i64::MIN] {
        let mut event = Event::new("e", "play", EventTime(ms));
        (event.session, event.sent_at) = (Some("s"), Some(EventTime(ms)));
        let told = Told::Event(event);
        let passed = Passed { from: 1, offset: 2, event_time: EventTime(ms), told };
        for record in [Record::Event(event), Record::Passed(Box::new(passed))] {
            let (mut line, arena) = (Vec::new(), Bump::new());
            let arrived = Arrived { ingest_time: IngestTime(5), record };
            write_record(&mut line, 3, Offset(9), &arrived);
            let text = std::str::from_utf8(&line).expect("JSON is text");
            assert_eq!(read_record(&reader(""), text, &arena), Ok((3, Offset(9), arrived)), "{text}");
        }
    }
}

#[test]
fn records_that_are_not_whole_are_refused() {
    for (text, expected) in [
        ("", "invalid_json"),
        ("{\"offset\":1", "invalid_json"),
        ("{\"offset\":1}", "missing_field"),
        ("{\"offset\":-1}", "bad_value"),
        ("{\"partition\":65536}", "bad_value"),
        ("{\"ingest_time\":1.5}", "bad_value"),
        ("{\"tick\":false}", "bad_value"),
        ("{\"other\":1}", "bad_value"),
        ("{\"event\":{}}", "missing_field"),
        ("{\"event\":{\"a\":}}", "invalid_json"),
    ] {
        let arena = Bump::new();
        let found = read_record(&reader(""), text, &arena).map_err(|e| e.code);
        assert_eq!(found, Err(expected), "{text}");
    }
}

#[test]
fn what_json_cannot_say_is_left_out_and_broken_free_json_becomes_text() {
    let mut fields = Vec::new();
    Fields::push(&mut fields, "nan", Value::Number(f64::NAN));
    Fields::push(&mut fields, "cut", Value::Json("[1,"));
    Fields::push(&mut fields, "lines", Value::Json("[1,\n2]"));
    let mut event = Event::new("e", "play", EventTime(1_760_000_000_000));
    (event.session, event.value, event.fields) = (Some("s"), Some(f64::INFINITY), Fields::from_bytes(&fields));
    let (mut line, arena) = (Vec::new(), Bump::new());
    write_event(&mut line, &event);
    let text = std::str::from_utf8(&line).expect("JSON is text");
    let read = reader("").read_event(text, &arena).expect("readable");
    assert_eq!((read.value, read.fields.get("nan")), (None, None));
    assert_eq!(read.fields.get("cut"), Some(Value::Text("[1,")));
    assert_eq!(read.fields.get("lines"), Some(Value::Json("[1, 2]")));
}
