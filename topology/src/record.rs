//! The records of the log, as the fold sees them: borrowed, already parsed, never rejected for their shape.
//!
//! A record is what happened (`Event`), that time passed (`Tick`), or what closes the loop: decisions, rewards, catalogue items and
//! reward specs (see [`crate::decision`]). Its encoding in the log is one `postcard` value; the
//! fields that only configuration knows travel undecoded in [`Fields`] and are read when a plan asks for them.

use crate::decision::{Activation, Control, Decision, ExplicitReward, Item, Landed, Leaving, Passed};
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch on the player's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// Milliseconds since the Unix epoch on the server's clock, stamped once when the record arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IngestTime(pub i64);

/// Place of a record in its partition. The version of a context is the offset that caused it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

/// One input of the fold. The encoding names variants by their place: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// Something a viewer or player did.
    #[serde(borrow)]
    Event(Event<'a>),
    /// Nothing happened for `idle_timeout`: lets sessions close without traffic.
    Tick,
    /// Something was decided.
    #[serde(borrow)]
    Decision(Box<Decision<'a>>),
    /// A deferred decision was shown.
    #[serde(borrow)]
    Activation(Activation<'a>),
    /// An outcome that was told, not observed.
    #[serde(borrow)]
    Reward(ExplicitReward<'a>),
    /// A thing of the catalogue is as it says.
    #[serde(borrow)]
    Item(Item<'a>),
    /// A reward spec was proposed, activated or retired.
    #[serde(borrow)]
    Control(Control<'a>),
    /// What waits here belongs to another partition.
    #[serde(borrow)]
    Leaving(Leaving<'a>),
    /// What came to another partition and belongs here.
    #[serde(borrow)]
    Passed(Box<Passed<'a>>),
    /// What left was taken in where it went.
    Landed(Landed),
}

/// Whether events can be called so: 1 to 64 of a-z, 0-9 and _, first a letter.
#[inline]
pub fn is_event_type(name: &[u8]) -> bool {
    let is_plain = |b: &u8| KIND_BYTES[usize::from(*b)];
    name.len() <= KIND_BYTES_MAX && name.first().is_some_and(u8::is_ascii_lowercase) && name.iter().all(is_plain)
}

/// Bytes of the name of an event type.
pub const KIND_BYTES_MAX: usize = 64;

/// What it may consist of.
const KIND_BYTES: [bool; 256] = {
    let (mut bytes, mut b) = ([false; 256], 0);
    while b < 256 {
        bytes[b] = matches!(b as u8, b'a'..=b'z' | b'0'..=b'9' | b'_');
        b += 1;
    }
    bytes
};

/// A record with the time it arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arrived<'a> {
    /// When the server received it.
    pub ingest_time: IngestTime,
    /// What arrived.
    #[serde(borrow)]
    pub record: Record<'a>,
}

/// What a viewer or player did. Strings are borrowed from the request body, the file or the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Deduplication key, 1 to 128 bytes.
    pub id: &'a str,
    /// snake_case name, 1 to 64 bytes (`type` on the wire).
    pub kind: &'a str,
    /// When it happened, by the player's clock, before skew correction.
    pub event_time: EventTime,
    /// When the player sent it, by the player's clock.
    pub sent_at: Option<EventTime>,
    /// `sent_at` was not sent but inferred (CMCD has none): correct the clock only where the event would be lost otherwise.
    pub sent_at_inferred: bool,
    /// Session id, 1 to 128 bytes. An event has a session, a viewer or both.
    pub session: Option<&'a str>,
    /// Viewer id, 1 to 128 bytes.
    pub viewer: Option<&'a str>,
    /// Thing in the catalogue, 1 to 256 bytes.
    pub item: Option<&'a str>,
    /// The decision this event follows from.
    pub decision: Option<&'a str>,
    /// Place of the item in a list, from 0.
    pub position: Option<u32>,
    /// Place in the content, seconds.
    pub playhead_s: Option<f64>,
    /// Length of the content, seconds.
    pub duration_s: Option<f64>,
    /// Free measure of the event.
    pub value: Option<f64>,
    /// Device class.
    pub device: Option<&'a str>,
    /// ISO 3166 country.
    pub country: Option<&'a str>,
    /// IANA time zone of the viewer.
    pub timezone: Option<&'a str>,
    /// Measured throughput, kilobits per second.
    pub throughput_kbps: Option<f64>,
    /// Measured round trip, milliseconds.
    pub rtt_ms: Option<f64>,
    /// What the player says it is doing at `event_time`, beside what `kind` implies.
    pub state: Option<PlayState>,
    /// Everything else, undecoded.
    pub fields: Fields<'a>,
}

impl Event<'_> {
    /// An event with nothing but what every event must have.
    pub fn new<'a>(id: &'a str, kind: &'a str, event_time: EventTime) -> Event<'a> {
        Event {
            id,
            kind,
            event_time,
            sent_at: None,
            sent_at_inferred: false,
            session: None,
            viewer: None,
            item: None,
            decision: None,
            position: None,
            playhead_s: None,
            duration_s: None,
            value: None,
            device: None,
            country: None,
            timezone: None,
            throughput_kbps: None,
            rtt_ms: None,
            state: None,
            fields: Fields::default(),
        }
    }

    /// The key that decides the partition: the viewer, or the session where there is no viewer.
    pub fn routing_key(&self) -> &str {
        self.viewer.or(self.session).unwrap_or("")
    }
}

/// State of a player, after CTA-5004-B `sta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlayState {
    /// Loading before a start was asked for.
    Preloading,
    /// Start was asked for, no frame yet.
    Starting,
    /// Frames advance.
    Playing,
    /// Stopped by the viewer.
    Paused,
    /// Looking for another place in the content.
    Seeking,
    /// Stopped by an empty buffer.
    Rebuffering,
    /// The content is over.
    Ended,
    /// Cannot go on.
    Failed,
    /// The viewer left.
    Quit,
}

impl PlayState {
    /// All, in the order they are encoded in.
    pub const ALL: [PlayState; 9] = [
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
}

/// Value of a free field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value<'a> {
    /// A finite number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    #[serde(borrow)]
    Text(&'a str),
    /// Any other JSON, as it came.
    Json(&'a str),
}

/// Free fields: `name, value` pairs, each `u16` length of name, name, tag byte, value. Decoded on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields<'a>(#[serde(borrow)] &'a [u8]);

impl<'a> Fields<'a> {
    /// Wraps bytes written by [`Fields::push`].
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Fields(bytes)
    }

    /// The bytes, as [`Fields::from_bytes`] takes them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Appends one field to `buffer`. Names and texts longer than 65,535 bytes are cut there.
    pub fn push(buffer: &mut Vec<u8>, name: &str, value: Value<'_>) {
        push_text(buffer, name);
        match value {
            Value::Number(x) => {
                buffer.push(0);
                buffer.extend_from_slice(&x.to_bits().to_le_bytes());
            }
            Value::Bool(b) => buffer.extend_from_slice(&[1, u8::from(b)]),
            Value::Text(s) => {
                buffer.push(2);
                push_text(buffer, s);
            }
            Value::Json(s) => {
                buffer.push(3);
                push_text(buffer, s);
            }
        }
    }

    /// True where the event has no free field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All fields in the order they came. Stops at the first byte that is not of this encoding.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || take_field(&mut rest))
    }

    /// The last field called `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().filter(|(n, _)| *n == name).last().map(|(_, v)| v)
    }
}

fn push_text(buffer: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    buffer.extend_from_slice(&(end as u16).to_le_bytes());
    buffer.extend_from_slice(&text.as_bytes()[..end]);
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Value<'a>)> {
    let name = take_text(rest)?;
    let (tag, tail) = rest.split_first()?;
    *rest = tail;
    let value = match tag {
        0 => {
            let (bits, tail) = rest.split_first_chunk::<8>()?;
            *rest = tail;
            Value::Number(f64::from_bits(u64::from_le_bytes(*bits)))
        }
        1 => {
            let (byte, tail) = rest.split_first()?;
            *rest = tail;
            Value::Bool(*byte != 0)
        }
        2 => Value::Text(take_text(rest)?),
        3 => Value::Json(take_text(rest)?),
        _ => return None,
    };
    Some((name, value))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (len, tail) = rest.split_first_chunk::<2>()?;
    let (text, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_fields_come_back_as_they_went_in() {
        let mut bytes = Vec::new();
        Fields::push(&mut bytes, "br", Value::Number(352.0));
        Fields::push(&mut bytes, "live", Value::Bool(true));
        Fields::push(&mut bytes, "row", Value::Text("härifrån"));
        Fields::push(&mut bytes, "tags", Value::Json("[1,2]"));
        let fields = Fields::from_bytes(&bytes);
        assert_eq!(fields.iter().count(), 4);
        assert_eq!(fields.get("row"), Some(Value::Text("härifrån")));
        assert_eq!(fields.get("br"), Some(Value::Number(352.0)));
        assert_eq!(fields.get("none"), None);
    }

    #[test]
    fn torn_free_fields_end_without_panic() {
        let mut bytes = Vec::new();
        Fields::push(&mut bytes, "name", Value::Text("text"));
        for cut in 0..bytes.len() {
            assert_eq!(Fields::from_bytes(&bytes[..cut]).iter().count(), 0);
        }
    }
}
