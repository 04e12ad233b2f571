//! One CMCD record to one [`Event`].
//!
//! What CMCD has no word for (position, duration of the content, device, place) stays absent; the round trip too, since
//! `ttfb` holds the server's time as well.

use super::record::{Keys, Scalar};
use super::{Reader, Rejection, kind};
use crate::wire::{ID_BYTES_MAX, ITEM_BYTES_MAX};
use saccade_topology::record::{Event, EventTime, Fields, Value};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// Greatest `v` that is understood.
const VERSION_MAX: f64 = 2.0;
/// Bytes of a text among the free fields; longer ones are cut.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// Keys that are no free fields: the event has them elsewhere, or they are opaque, long and of the next request.
const NOT_FIELDS: [&str; 11] = ["sid", "cid", "ts", "e", "v", "mtp", "nor", "nrr", "smrt", "cmsdd", "cmsds"];

impl<'a> Reader<'_, 'a> {
    /// The event of record `index` of the request, `line`, which holds `keys`. `scratch` may hold anything.
    pub(super) fn event(
        &self,
        index: usize,
        line: &str,
        keys: &Keys<'a>,
        scratch: &mut Vec<u8>,
    ) -> Result<Event<'a>, Rejection> {
        check_version(keys)?;
        let session = self.session(keys)?;
        let item = keys.text("cid").filter(|cid| !cid.is_empty());
        check_text("cid", "cmcd_cid_too_long", item.unwrap_or(""), ITEM_BYTES_MAX)?;
        let viewer = self.request.viewer.filter(|viewer| !viewer.is_empty());
        check_text("viewer", "cmcd_viewer_too_long", viewer.unwrap_or(""), ID_BYTES_MAX)?;

        let is_request = kind::is_request(keys);
        let ts = keys.number("ts").filter(|ts| *ts >= 1.0).map(|ts| ts as i64);
        let id = self.id(index, session, line, ts.is_some() || keys.number("sn").is_some());
        let mut event = Event::new(id, kind::kind(keys, self.arena), EventTime(ts.unwrap_or(self.arrival.0)));
        event.sent_at = ts.map(|ts| EventTime(ts.saturating_add(if is_request { took_ms(keys) } else { 0 })));
        event.session = Some(session);
        event.viewer = viewer;
        event.item = item;
        event.playhead_s = self.playhead_s(keys);
        event.throughput_kbps = keys.number("mtp").filter(|mtp| *mtp >= 0.0);
        if keys.text("e") == Some("pr") {
            event.value = Some(keys.number("pr").unwrap_or(1.0));
        }
        if !is_request {
            event.state = keys.text("sta").and_then(kind::play_state);
        }
        scratch.clear();
        push_fields(keys, scratch);
        event.fields = Fields::from_bytes(self.arena.alloc_slice_copy(scratch));
        Ok(event)
    }

    fn session(&self, keys: &Keys<'a>) -> Result<&'a str, Rejection> {
        let session = keys.text("sid").filter(|sid| !sid.is_empty()).or(self.request.session).unwrap_or("");
        if session.is_empty() {
            let message = "a record without sid needs a session in the address: /cmcd/<session> or ?sid=<session>";
            return Err(Rejection { code: "cmcd_no_session", message: message.into() });
        }
        check_text("sid", "cmcd_sid_too_long", session, ID_BYTES_MAX)?;
        Ok(session)
    }

    /// The same for a record sent again, alone or in another batch; another one for the same `sn` of another source.
    ///
    /// Where nothing in the record tells it from a later one of equal text, its arrival and place do.
    fn id(&self, index: usize, session: &str, line: &str, is_distinct: bool) -> &'a str {
        let mut hash = xxh3_128_with_seed(line.as_bytes(), xxh3_64(session.as_bytes()));
        if !is_distinct {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&hash.to_le_bytes());
            bytes[16..24].copy_from_slice(&self.arrival.0.to_le_bytes());
            bytes[24..].copy_from_slice(&(index as u64).to_le_bytes());
            hash = xxh3_128_with_seed(&bytes, 0);
        }
        self.arena.alloc_str(&format!("cmcd-{hash:032x}"))
    }

    fn playhead_s(&self, keys: &Keys<'a>) -> Option<f64> {
        let mut playheads = self.config.playhead_keys.iter().filter_map(|key| keys.number(key));
        playheads.find(|ms| *ms >= 0.0).map(|ms| ms / 1000.0)
    }
}

fn check_version(keys: &Keys<'_>) -> Result<(), Rejection> {
    match keys.number("v") {
        Some(version) if version > VERSION_MAX => {
            let message = format!("v is {version}; a record of a version above {VERSION_MAX} must be ignored");
            Err(Rejection { code: "cmcd_version", message })
        }
        _ => Ok(()),
    }
}

/// What `/v1/events` asks of an id, too: an address may hold any text of any length.
fn check_text(key: &str, too_long: &'static str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    if text.len() > bytes_max {
        let message = format!("{key} has {} bytes; allowed: 1 to {bytes_max}", text.len());
        return Err(Rejection { code: too_long, message });
    }
    if text.chars().any(char::is_control) {
        let message = format!("{key} is {text:?}; control characters are not allowed");
        return Err(Rejection { code: "cmcd_control_character", message });
    }
    Ok(())
}

/// How long a request took that began at `ts`.
fn took_ms(keys: &Keys<'_>) -> i64 {
    keys.number("ttlb").filter(|ttlb| *ttlb >= 0.0).map_or(0, |ttlb| ttlb as i64)
}

fn push_fields(keys: &Keys<'_>, buffer: &mut Vec<u8>) {
    for (key, scalar) in keys.iter().filter(|(key, _)| !NOT_FIELDS.contains(key)) {
        let value = match scalar {
            Scalar::Number(number) => Value::Number(number),
            Scalar::Bool(truth) => Value::Bool(truth),
            Scalar::Text(text) | Scalar::Token(text) => Value::Text(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)]),
        };
        Fields::push(buffer, key, value);
    }
}
