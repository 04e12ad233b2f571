//! Inputs: the words a plan takes from each event, extracted once on arrival and kept while the event can still be re-folded.

use crate::feature::ABSENT;
use crate::names::Names;
use crate::record::{Event, Value};
use hashbrown::HashTable;
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
    /// Seconds east of UTC of a time zone's name at the event's time.
    ZoneOffset,
}

/// One word to extract.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub source: Source,
    pub encoding: Encoding,
}

/// Takes the words of `inputs` from an event; `time` is its corrected event time.
pub(crate) fn extract(inputs: &[Input], event: &Event<'_>, time: i64, zones: &mut Zones, words: &mut [u64]) {
    for (word, input) in words.iter_mut().zip(inputs) {
        *word = input.extract(event, time, zones);
    }
}

impl Input {
    fn extract(&self, event: &Event<'_>, time: i64, zones: &mut Zones) -> u64 {
        let mut text = |text: Option<&str>| text.map_or(ABSENT, |t| self.encode_text(t, time, zones));
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

    fn encode_text(&self, text: &str, time: i64, zones: &mut Zones) -> u64 {
        match &self.encoding {
            Encoding::Number => ABSENT,
            Encoding::Code(names) => names.place(text).map_or(ABSENT, |p| p as u64),
            Encoding::Place(names) => names.place(text).unwrap_or(names.len()) as u64,
            Encoding::Hash => hash(text.as_bytes()),
            Encoding::ZoneOffset => zones.offset_s(text, time).map_or(ABSENT, |s| f64::from(s).to_bits()),
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

/// Time zones met so far, by name. Bounded: when full it is emptied and filled again.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    table: HashTable<(String, Option<jiff::tz::TimeZone>)>,
}

impl Zones {
    const ZONES_MAX: usize = 1024;

    #[inline(never)]
    fn offset_s(&mut self, name: &str, time: i64) -> Option<i32> {
        let hash = xxh3_64(name.as_bytes());
        let at = jiff::Timestamp::from_millisecond(time).ok()?;
        if self.table.find(hash, |(n, _)| n == name).is_none() {
            if self.table.len() >= Self::ZONES_MAX {
                self.table.clear();
            }
            let zone = jiff::tz::TimeZoneDatabase::bundled().get(name).ok();
            self.table.insert_unique(hash, (name.to_string(), zone), |(n, _)| xxh3_64(n.as_bytes()));
        }
        let (_, zone) = self.table.find(hash, |(n, _)| n == name)?;
        zone.as_ref().map(|z| z.to_offset(at).seconds())
    }
}
