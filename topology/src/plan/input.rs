//! Inputs: the words a plan takes from each event, extracted once on arrival and kept while the event can still be re-folded.

use crate::feature::ABSENT;
use crate::names::Names;
use crate::record::{Event, Value};
use crate::zones::Zones;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Kind,
    Session,
    Viewer,
    Item,
    Decision,
    Device,
    Country,
    Timezone,
    Value,
    Position,
    PlayheadS,
    DurationS,
    ThroughputKbps,
    RttMs,
    State,
    Free(String),
}

/// Names of the fields that configuration can use, beside `fields.NAME`.
pub(crate) const FIELDS: [(&str, Source); 14] = [
    ("type", Source::Kind),
    ("session", Source::Session),
    ("viewer", Source::Viewer),
    ("item", Source::Item),
    ("decision", Source::Decision),
    ("device", Source::Device),
    ("country", Source::Country),
    ("timezone", Source::Timezone),
    ("value", Source::Value),
    ("position", Source::Position),
    ("playhead_s", Source::PlayheadS),
    ("duration_s", Source::DurationS),
    ("throughput_kbps", Source::ThroughputKbps),
    ("rtt_ms", Source::RttMs),
];

/// How a field becomes a word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Encoding {
    /// Bits of a finite number; texts and truth values are absent.
    Number,
    /// Place in a list of values; others are absent.
    Code(Names),
    /// Place in a list of values; others all have the place after the last.
    Place(Names),
    /// 64-bit hash.
    Hash,
    /// A time zone, by its name.
    Zone(Arc<Zones>),
}

/// One word to extract.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub source: Source,
    pub encoding: Encoding,
}

/// Takes the words of `inputs` from an event.
pub(crate) fn extract(inputs: &[Input], event: &Event<'_>, words: &mut [u64]) {
    for (word, input) in words.iter_mut().zip(inputs) {
        *word = input.extract(event);
    }
}

impl Input {
    fn extract(&self, event: &Event<'_>) -> u64 {
        let text = |text: Option<&str>| text.map_or(ABSENT, |t| self.encode_text(t));
        let number = |x: Option<f64>| x.map_or(ABSENT, |x| self.encode_number(x));
        match &self.source {
            Source::Kind => text(Some(event.kind)),
            Source::Session => text(event.session),
            Source::Viewer => text(event.viewer),
            Source::Item => text(event.item),
            Source::Decision => text(event.decision),
            Source::Device => text(event.device),
            Source::Country => text(event.country),
            Source::Timezone => text(event.timezone),
            Source::Value => number(event.value),
            Source::Position => number(event.position.map(f64::from)),
            Source::PlayheadS => number(event.playhead_s),
            Source::DurationS => number(event.duration_s),
            Source::ThroughputKbps => number(event.throughput_kbps),
            Source::RttMs => number(event.rtt_ms),
            Source::State => event.state.map_or(ABSENT, |s| s as u64),
            Source::Free(name) => match event.fields.get(name) {
                Some(Value::Number(x)) => number(Some(x)),
                Some(Value::Bool(b)) => number(Some(f64::from(u8::from(b)))),
                Some(Value::Text(t) | Value::Json(t)) => text(Some(t)),
                None => ABSENT,
            },
        }
    }

    fn encode_text(&self, text: &str) -> u64 {
        match &self.encoding {
            Encoding::Number => ABSENT,
            Encoding::Code(names) => names.place(text).map_or(ABSENT, |p| p as u64),
            Encoding::Place(names) => names.place(text).unwrap_or(names.len()) as u64,
            Encoding::Hash => hash(text.as_bytes()),
            Encoding::Zone(zones) => zones.word(text).unwrap_or(ABSENT),
        }
    }

    fn encode_number(&self, x: f64) -> u64 {
        match &self.encoding {
            Encoding::Number if x.is_finite() => x.to_bits(),
            Encoding::Hash => hash(&x.to_bits().to_le_bytes()),
            _ => ABSENT,
        }
    }
}

/// Hash of a value; never the absent word. Out of line: otherwise the hashes of all fields are computed ahead of the loop over inputs.
#[inline(never)]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes).min(ABSENT - 1)
}
