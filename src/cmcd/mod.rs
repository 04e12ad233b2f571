//! CMCD v2 (CTA-5004-B) from stock players, v1 (CTA-5004) as far as it goes: records in, [`Event`]s out.
//!
//! Each record of a request gives exactly one row: an event or a [`RowError`]; no record spoils another. Nothing here
//! knows HTTP, removes duplicates, orders events or corrects clocks: a record sent again gives an event with the
//! same id, and the fold does the rest.
//!
//! | `RowError::code` | the record |
//! | --- | --- |
//! | `cmcd_syntax` | is not an RFC 8941 dictionary with CMCD keys |
//! | `cmcd_version` | has a `v` greater than 2 |
//! | `cmcd_no_session` | has no `sid`, and the request names no session |
//! | `cmcd_sid_too_long`, `cmcd_viewer_too_long`, `cmcd_cid_too_long` | has a session or viewer above 128 bytes, a `cid` above 256 |
//! | `cmcd_control_character` | has one in its session or viewer, as only addresses can |
//! | `batch_too_long` | comes after `cmcd.batch_records_max` others |

mod event;
mod kind;
mod record;
#[cfg(test)]
mod tests;
mod visit;

use crate::config::Cmcd;
use crate::wire::RowError;
use bumpalo::Bump;
use record::Keys;
use saccade_topology::record::{Event, EventTime, IngestTime};

/// What a CMCD request says beside its records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Session of records without `sid`, from the path or `?sid=`.
    pub session: Option<&'a str>,
    /// Viewer of all records, from `?viewer=`.
    pub viewer: Option<&'a str>,
}

/// Where rows go: in the order of the records, one call a record.
pub type Rows<'r, 'a> = &'r mut dyn FnMut(Result<Event<'a>, RowError>);

/// Reads the body of an event-mode POST: one record a line, LF or CRLF, empty lines skipped.
///
/// Strings of an event are borrowed from `body` or held by `arena`. `arrival` is the event time of records without
/// `ts`.
pub fn read_body<'a>(
    body: &'a str,
    arrival: IngestTime,
    request: &Request<'a>,
    config: &Cmcd,
    arena: &'a Bump,
    row: Rows<'_, 'a>,
) {
    let records = body.split('\n').map(trim).filter(|line| !line.is_empty());
    Reader { arrival, request, config, arena }.read(records, row);
}

/// Reads the one record of `?CMCD=`, already percent-decoded. An empty one gives no row.
pub fn read_query<'a>(
    decoded: &'a str,
    arrival: IngestTime,
    request: &Request<'a>,
    config: &Cmcd,
    arena: &'a Bump,
    row: Rows<'_, 'a>,
) {
    let record = Some(trim(decoded)).filter(|line| !line.is_empty());
    Reader { arrival, request, config, arena }.read(record.into_iter(), row);
}

/// Reads the values of the headers `CMCD-Object`, `-Request`, `-Session` and `-Status`: together one record.
///
/// The id of an event depends on the order of `values`: pass them in the order given here. Without any there is no row.
pub fn read_headers<'a>(
    values: &[&'a str],
    arrival: IngestTime,
    request: &Request<'a>,
    config: &Cmcd,
    arena: &'a Bump,
    row: Rows<'_, 'a>,
) {
    let parts: Vec<&str> = values.iter().map(|value| trim(value)).filter(|value| !value.is_empty()).collect();
    let record = (!parts.is_empty()).then(|| &*arena.alloc_str(&parts.join(",")));
    Reader { arrival, request, config, arena }.read(record.into_iter(), row);
}

/// What all records of a request share.
struct Reader<'r, 'a> {
    arrival: IngestTime,
    request: &'r Request<'a>,
    config: &'r Cmcd,
    arena: &'a Bump,
}

impl<'a> Reader<'_, 'a> {
    fn read(&self, records: impl Iterator<Item = &'a str>, row: Rows<'_, 'a>) {
        let mut records = records.enumerate();
        let mut keys = Keys::default();
        let mut fields = Vec::new();
        let mut rows = Vec::new();
        for (index, line) in records.by_ref().take(self.config.batch_records_max) {
            let event = record::parse(line, &self.config.playhead_keys, self.arena, &mut keys)
                .and_then(|()| self.event(index, line, &keys, &mut fields));
            rows.push(event.map_err(|rejection| rejection.at(index)));
        }
        stamp_sent_at(&mut rows);
        rows.into_iter().for_each(&mut *row);
        for (index, _) in records {
            row(Err(self.too_long(index)));
        }
    }

    fn too_long(&self, index: usize) -> RowError {
        let max = self.config.batch_records_max;
        RowError {
            index,
            code: "batch_too_long",
            message: format!("a request may hold {max} records (cmcd.batch_records_max); send the rest in another"),
        }
    }
}

/// Gives each record the latest time any record of its request was complete: CMCD does not say when a request was sent,
/// but it was not before that. Records without `ts` say nothing about the player's clock and get none.
fn stamp_sent_at(rows: &mut [Result<Event<'_>, RowError>]) {
    let latest: Option<EventTime> = rows.iter().flatten().filter_map(|event| event.sent_at).max();
    for event in rows.iter_mut().flatten().filter(|event| event.sent_at.is_some()) {
        event.sent_at = latest;
        event.sent_at_inferred = true;
    }
}

/// Why a record gives no event, before its place in the request is known.
#[derive(Debug, PartialEq)]
struct Rejection {
    code: &'static str,
    message: String,
}

impl Rejection {
    fn at(self, index: usize) -> RowError {
        RowError { index, code: self.code, message: self.message }
    }
}

/// Without the spaces the standard lets a receiver ignore, and the CR of CRLF.
fn trim(line: &str) -> &str {
    line.trim_matches([' ', '\t', '\r'])
}
