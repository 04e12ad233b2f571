//! JSON on the wire: the one place that reads events and requests from it and writes records and answers to it.
//!
//! A row is read in one pass by `sonic-rs` into an [`Event`] whose strings are slices of the input; only strings with
//! escapes, numeric ids and free fields are copied, into the caller's arena. Reading never fails a batch for one row.
//! Nothing here judges times against the clock, knows sessions or touches the network.
//!
//! In `sonic_rs`, `LazyValue`, `IgnoredAny` and the errors of `deserialize_map` and its like recurse without a limit: 1 MB
//! of `[` would end the process. So values are only asked for by `deserialize_any` under the limit of `json`.

mod answer;
mod body;
mod check;
mod context;
mod feedback;
mod fields;
mod json;
mod keys;
mod members;
mod passing;
mod plain;
mod raw;
mod requests;
mod row;
mod scan;
#[cfg(test)]
mod tests;
mod told;
mod write;

pub use answer::{write_decision, write_rank};
pub use body::BodyError;
pub(crate) use check::{ID_BYTES_MAX, ITEM_BYTES_MAX};
pub use context::{Layout, rfc3339, write_context};
pub use requests::{ActivateRequest, ITEMS_MAX, NUMBERS_MAX, RankRequest, RewardRequest, decision_id};
pub use row::Scratch;
pub use told::{ElsewhereDecision, OtherRow, Shown};
pub use write::{read_record, write_event, write_record};

use crate::config::Ingest;
use bumpalo::Bump;
use keys::KeyTable;
use saccade_topology::Event;

/// A row that could not be taken; the rest of its batch is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RowError {
    /// Place in the batch, from 0.
    pub index: usize,
    /// Short, stable, snake_case: `invalid_json`, `invalid_utf8`, `missing_field`, `wrong_type`, `out_of_range`, `too_long`,
    /// `bad_value`, `unknown_key`.
    pub code: &'static str,
    /// Names the field, the value found and the rule.
    pub message: String,
}

impl RowError {
    pub(crate) fn new(code: &'static str, message: String) -> RowError {
        RowError { index: 0, code, message }
    }
}

/// Reads events from JSON under the names of `ingest.map`. One serves all threads.
///
/// Rules for one object:
/// - The last of several equal keys wins; `null` is absent; a mapped name wins over the canonical one.
/// - Unknown keys go to the event's free fields, as do unknown keys of `network`, there as `network.KEY`. Numbers are
///   64-bit floats; objects and arrays are kept as JSON, with line breaks between tokens as spaces. A `state` that is no
///   state of a player, such as "hidden", is a free field too.
/// - An event without `id` gets `h-` and 32 hexadecimal digits of the 128-bit XXH3 of its text, seeded with the
///   envelope's session, viewer, item and event time: two identical rows are one event, whatever batch they are in.
/// - A viewer of `ingest.nobody`, such as "anonymous", is absent: else whoever is not known would be one person, with one profile, in
///   thousands of sessions at once, each refreshed with each event of any other.
/// - `id`, `session`, `viewer`, `item` and `decision` may be integers and stand for their decimal digits.
#[derive(Clone, Debug)]
pub struct EventReader {
    keys: KeyTable,
    canonical: KeyTable,
    /// Names of keys that hold events, in quotes as they stand in a body.
    envelope: Vec<String>,
    event_bytes_max: usize,
    batch_events_max: usize,
}

impl EventReader {
    /// Compiles `ingest.map`. The error names key, value and what is allowed.
    pub fn new(config: &Ingest) -> Result<EventReader, String> {
        Ok(EventReader {
            keys: KeyTable::compile(config)?,
            canonical: KeyTable::canonical(),
            envelope: config.envelope.iter().map(|name| format!("\"{name}\"")).collect(),
            event_bytes_max: config.event_bytes_max,
            batch_events_max: config.batch_events_max,
        })
    }

    /// The viewer, unless the id stands for nobody (`ingest.nobody`), as of the events that are read here.
    pub fn somebody<'v>(&self, viewer: Option<&'v str>) -> Option<&'v str> {
        self.keys.somebody(viewer)
    }

    /// Reads one JSON object. Strings of the event are slices of `text` or, where they had escapes, of `arena`.
    /// The error's index is 0.
    pub fn read_event<'a>(&self, text: &'a str, arena: &'a Bump) -> Result<Event<'a>, RowError> {
        let mut event = row::blank();
        self.read_row(text, None, arena, &mut Scratch::default(), &mut event).map(|()| event)
    }

    /// As [`EventReader::read_event`], of many rows one after another, into `event`, which is of no use where it fails.
    #[inline]
    pub fn read_next<'a>(
        &self,
        text: &'a str,
        arena: &'a Bump,
        scratch: &mut Scratch,
        event: &mut Event<'a>,
    ) -> Result<(), RowError> {
        self.read_row(text, None, arena, scratch, event)
    }

    #[inline]
    fn read_row<'a>(
        &self,
        text: &'a str,
        inherited: Option<&row::Inherited<'a>>,
        arena: &'a Bump,
        scratch: &mut Scratch,
        event: &mut Event<'a>,
    ) -> Result<(), RowError> {
        self.check_length(text)?;
        row::read(&self.keys, text, inherited, arena, scratch, event)
    }

    #[inline]
    fn check_length(&self, text: &str) -> Result<(), RowError> {
        if text.len() > self.event_bytes_max {
            let (found, max) = (text.len(), self.event_bytes_max);
            let message = format!("the event has {found} bytes; ingest.event_bytes_max allows {max}");
            return Err(RowError::new("too_long", message));
        }
        Ok(())
    }
}
