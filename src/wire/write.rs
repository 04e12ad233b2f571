//! Records as JSON lines, for `export` and back.
//!
//! What is written under canonical names is read again, with no map, to an equal event. Numbers that are not finite are
//! left out: JSON has none. Negative zero is read as zero.

use super::check::STATES;
use super::json::Json;
use super::{EventReader, RowError, Scratch, feedback, passing, row, scan};
use bumpalo::Bump;
use saccade_topology::{Arrived, Event, Fields, IngestTime, Offset, Record, Value};
use serde::de::DeserializeSeed;
use std::io::Write;

pub(super) const INTO_MEMORY: &str = "writing to memory cannot fail";

/// Appends `{"offset","partition","ingest_time","event":{…}}` and a line break; instead of `event` it may be `"tick":true`,
/// `decision`, `activation`, `reward`, `item`, `control`, `leaving`, `passed` or `landed`.
pub fn write_record(out: &mut Vec<u8>, partition: u16, offset: Offset, arrived: &Arrived<'_>) {
    let (offset, time) = (offset.0, arrived.ingest_time.0);
    write!(out, "{{\"offset\":{offset},\"partition\":{partition},\"ingest_time\":{time},").expect(INTO_MEMORY);
    match &arrived.record {
        Record::Event(event) => {
            out.extend_from_slice(b"\"event\":");
            write_event(out, event);
        }
        Record::Tick => out.extend_from_slice(b"\"tick\":true"),
        Record::Leaving(leaving) => passing::write_leaving(out, leaving),
        Record::Passed(passed) => passing::write_passed(out, passed),
        Record::Landed(landed) => passing::write_landed(out, landed),
        other => feedback::write(out, other),
    }
    out.extend_from_slice(b"}\n");
}

/// Appends an event as one JSON object under canonical names, without a line break.
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>) {
    out.extend_from_slice(b"{\"id\":");
    write_text(out, event.id);
    text(out, "type", Some(event.kind));
    write!(out, ",\"event_time\":{}", event.event_time.0).expect(INTO_MEMORY);
    if let Some(sent_at) = event.sent_at {
        write!(out, ",\"sent_at\":{}", sent_at.0).expect(INTO_MEMORY);
    }
    if event.sent_at_inferred {
        out.extend_from_slice(b",\"sent_at_inferred\":true");
    }
    text(out, "session", event.session);
    text(out, "viewer", event.viewer);
    text(out, "item", event.item);
    text(out, "decision", event.decision);
    if let Some(position) = event.position {
        write!(out, ",\"position\":{position}").expect(INTO_MEMORY);
    }
    number(out, "playhead_s", event.playhead_s);
    number(out, "duration_s", event.duration_s);
    number(out, "value", event.value);
    text(out, "device", event.device);
    text(out, "country", event.country);
    text(out, "timezone", event.timezone);
    number(out, "throughput_kbps", event.throughput_kbps);
    number(out, "rtt_ms", event.rtt_ms);
    let state = event.state.and_then(|state| STATES.iter().find(|(_, s)| *s == state));
    text(out, "state", state.map(|(name, _)| *name));
    if !event.fields.is_empty() {
        out.extend_from_slice(b",\"fields\":");
        write_fields(out, event.fields);
    }
    out.push(b'}');
}

/// Appends an object.
pub(super) fn write_fields(out: &mut Vec<u8>, fields: Fields<'_>) {
    out.push(b'{');
    separated(out, fields.iter(), |out, (name, value)| {
        write_text(out, name);
        out.push(b':');
        match value {
            Value::Number(x) => serde_json::to_writer(&mut *out, &x).expect(INTO_MEMORY),
            Value::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Value::Text(text) => write_text(out, text),
            Value::Json(json) if is_json(json) => {
                out.extend(json.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
            }
            // A writer other than this module left text that is no JSON; keep it without breaking the line.
            Value::Json(json) => write_text(out, json),
        }
    });
    out.push(b'}');
}

fn is_json(text: &str) -> bool {
    let arena = Bump::new();
    let mut json = sonic_rs::Deserializer::from_str(text);
    Json::scalar(&arena).deserialize(&mut json).is_ok() && json.end().is_ok()
}

/// Appends a comma, name and value.
pub(super) fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        write!(out, ",\"{name}\":").expect(INTO_MEMORY);
        write_text(out, value);
    }
}

/// Appends a comma, name and value, the shortest text that is read again to the same number.
pub(super) fn number(out: &mut Vec<u8>, name: &str, value: Option<f64>) {
    if let Some(value) = value.filter(|x| x.is_finite()) {
        write!(out, ",\"{name}\":").expect(INTO_MEMORY);
        serde_json::to_writer(out, &value).expect(INTO_MEMORY);
    }
}

/// Appends each as `one` writes it, with commas between them.
pub(super) fn separated<T>(
    out: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut one: impl FnMut(&mut Vec<u8>, T),
) {
    for (place, element) in elements.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        one(out, element);
    }
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect(INTO_MEMORY);
}

/// Reads a line of [`write_record`]. `ingest.map` and `ingest.event_bytes_max` do not apply: the names are canonical,
/// and the event passed once already.
pub fn read_record<'a>(
    reader: &EventReader,
    text: &'a str,
    arena: &'a Bump,
) -> Result<(u16, Offset, Arrived<'a>), RowError> {
    let text = text.trim_ascii();
    if !text.starts_with('{') || scan::value_end(text.as_bytes(), 0) != Some(text.len()) {
        return Err(RowError::new("invalid_json", "a record is one complete JSON object on a line".into()));
    }
    let (mut offset, mut partition, mut ingest_time, mut record) = (None, None, None, None);
    for (name, at) in scan::entries(text) {
        let value = &text[at];
        match name {
            "offset" => offset = Some(Offset(integer(name, value)?)),
            "partition" => partition = Some(integer(name, value)?),
            "ingest_time" => ingest_time = Some(IngestTime(integer(name, value)?)),
            "tick" if value == "true" => record = Some(Record::Tick),
            "event" => {
                let mut event = row::blank();
                row::read(&reader.canonical, value, None, arena, &mut Scratch::default(), &mut event)?;
                record = Some(Record::Event(event));
            }
            _ => {
                let problem = || RowError::new("bad_value", format!("a record has no key `{name}` with {value:.64}"));
                let read = match feedback::read(name, value, arena)? {
                    None => passing::read(reader, name, value, arena)?,
                    read => read,
                };
                record = Some(read.ok_or_else(problem)?);
            }
        }
    }
    let (Some(offset), Some(partition), Some(ingest_time), Some(record)) = (offset, partition, ingest_time, record)
    else {
        let rule = "a record has `offset`, `partition`, `ingest_time` and one of `event`, `tick`, `decision`, `activation`, \
                    `reward`, `item`, `control`, `leaving`, `passed`, `landed`";
        return Err(RowError::new("missing_field", rule.into()));
    };
    Ok((partition, offset, Arrived { ingest_time, record }))
}

fn integer<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, RowError> {
    let problem = |_| RowError::new("bad_value", format!("`{name}` is {value:.64}; expected an integer in its range"));
    value.parse().map_err(problem)
}
