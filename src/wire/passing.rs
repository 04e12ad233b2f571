//! What partitions tell each other as JSON, for `export` and back: what leaves, what came from where, what has landed.

use super::check::DEPTH_MAX;
use super::feedback::{LEVELS_AROUND, read_reward, write_reward};
use super::members::Members;
use super::raw::Raw;
use super::write::{INTO_MEMORY, write_event, write_text};
use super::{EventReader, RowError, Scratch, row};
use bumpalo::Bump;
use saccade_topology::decision::{Landed, Leaving, Passed, Told};
use saccade_topology::{EventTime, Record};
use std::io::Write;

/// Appends `"leaving":{…}`.
pub(super) fn write_leaving(out: &mut Vec<u8>, leaving: &Leaving<'_>) {
    out.extend_from_slice(b"\"leaving\":{\"decision\":");
    write_text(out, leaving.decision);
    write!(out, ",\"to\":{}}}", leaving.to).expect(INTO_MEMORY);
}

/// Appends `"passed":{…}`, in it an `event` or a `reward` as in records of their own.
pub(super) fn write_passed(out: &mut Vec<u8>, passed: &Passed<'_>) {
    let Passed { from, offset, event_time, told } = passed;
    write!(out, "\"passed\":{{\"from\":{from},\"offset\":{offset},\"event_time\":{},", event_time.0)
        .expect(INTO_MEMORY);
    match told {
        Told::Event(event) => {
            out.extend_from_slice(b"\"event\":");
            write_event(out, event);
        }
        Told::Reward(reward) => {
            write_reward(out, reward);
            out.push(b'}');
        }
    }
    out.push(b'}');
}

/// Appends `"landed":{…}`.
pub(super) fn write_landed(out: &mut Vec<u8>, landed: &Landed) {
    write!(out, "\"landed\":{{\"until\":{}}}", landed.until).expect(INTO_MEMORY);
}

/// Reads the object that one of the above wrote under `name`; `None` where none has that name.
pub(super) fn read<'a>(
    reader: &EventReader,
    name: &str,
    text: &'a str,
    arena: &'a Bump,
) -> Result<Option<Record<'a>>, RowError> {
    // An event has levels of its own around its fields.
    let object = || Raw::check(text, arena, DEPTH_MAX + LEVELS_AROUND);
    Ok(Some(match name {
        "leaving" => {
            let mut of = Members::of("a leaving record", object()?)?;
            let leaving = Leaving { decision: of.text("decision")?, to: of.integer("to")? };
            of.done()?;
            Record::Leaving(leaving)
        }
        "passed" => Record::Passed(Box::new(read_passed(reader, object()?, arena)?)),
        "landed" => {
            let mut of = Members::of("a landed record", object()?)?;
            let landed = Landed { until: of.integer("until")? };
            of.done()?;
            Record::Landed(landed)
        }
        _ => return Ok(None),
    }))
}

fn read_passed<'a>(reader: &EventReader, object: Raw<'a>, arena: &'a Bump) -> Result<Passed<'a>, RowError> {
    let mut of = Members::of("a passed record", object)?;
    let (from, offset) = (of.integer("from")?, of.integer("offset")?);
    let event_time = EventTime(of.integer("event_time")?);
    let (event, reward) = (of.take("event"), of.take("reward"));
    let told = match (event, reward) {
        (Some(value), None) => {
            let mut event = row::blank();
            row::read(&reader.canonical, value.text(), None, arena, &mut Scratch::default(), &mut event)?;
            Told::Event(event)
        }
        (None, Some(value)) => Told::Reward(read_reward(value)?),
        _ => return Err(RowError::new("missing_field", "a passed record has `event` or `reward`".into())),
    };
    of.done().map(|()| Passed { from, offset, event_time, told })
}
