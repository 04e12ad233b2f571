//! Inputs: the words a plan takes from each event, extracted once on arrival and kept while the event can still be re-folded.

use crate::feature::ABSENT;
use crate::learn::VALUE_MAX;
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
    /// Bits of a number within [`VALUE_MAX`]; others, texts and truth values are absent. So no sum ever becomes infinite.
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

/// The words that a lane takes from an event.
///
/// What becomes of a type that some list names is known beforehand: it is looked up once.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// How many words.
    count: usize,
    /// Inputs that are not of the type, and those that are, with the word that each is.
    others: Vec<(usize, Input)>,
    of_kind: Vec<(usize, Input)>,
    /// Types that lists name, and for each its words, in the order of `of_kind`.
    kinds: Names,
    words: Vec<u64>,
}

impl Inputs {
    pub(crate) fn new(inputs: Vec<Input>) -> Inputs {
        let count = inputs.len();
        let (of_kind, others): (Vec<_>, Vec<_>) =
            inputs.into_iter().enumerate().partition(|(_, input)| input.source == Source::Kind);
        let lists = of_kind.iter().filter_map(|(_, input)| match &input.encoding {
            Encoding::Code(names) | Encoding::Place(names) => Some(names.iter()),
            Encoding::Number | Encoding::Hash | Encoding::Zone(_) => None,
        });
        let known: Vec<&str> = lists.flatten().collect();
        let kinds = Names::new(&known);
        let words = known.iter().flat_map(|kind| of_kind.iter().map(|(_, input)| input.encode_text(kind))).collect();
        Inputs { count, others, of_kind, kinds, words }
    }

    /// How many words.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Takes the words from an event.
    pub(crate) fn extract(&self, event: &Event<'_>, words: &mut [u64]) {
        match self.kinds.place(event.kind) {
            Some(place) => {
                let known = &self.words[place * self.of_kind.len()..];
                self.of_kind.iter().zip(known).for_each(|((i, _), word)| words[*i] = *word);
            }
            None => self.of_kind.iter().for_each(|(i, input)| words[*i] = input.encode_text(event.kind)),
        }
        self.others.iter().for_each(|(i, input)| words[*i] = input.extract(event));
    }
}

impl Input {
    #[inline]
    fn extract(&self, event: &Event<'_>) -> u64 {
        let text = match &self.source {
            Source::Kind => Some(event.kind),
            Source::Session => event.session,
            Source::Viewer => event.viewer,
            Source::Item => event.item,
            Source::Decision => event.decision,
            Source::Device => event.device,
            Source::Country => event.country,
            Source::Timezone => event.timezone,
            Source::State => return event.state.map_or(ABSENT, |s| s as u64),
            Source::Free(name) => return self.free(event, name),
            _ => return self.number(event),
        };
        text.map_or(ABSENT, |text| self.encode_text(text))
    }

    /// Out of line: otherwise all numbers are loaded ahead of the loop over inputs.
    #[inline(never)]
    fn number(&self, event: &Event<'_>) -> u64 {
        let number = match &self.source {
            Source::Value => event.value,
            Source::Position => event.position.map(f64::from),
            Source::PlayheadS => event.playhead_s,
            Source::DurationS => event.duration_s,
            Source::ThroughputKbps => event.throughput_kbps,
            Source::RttMs => event.rtt_ms,
            _ => None,
        };
        number.map_or(ABSENT, |x| self.encode_number(x))
    }

    #[inline(never)]
    fn free(&self, event: &Event<'_>, name: &str) -> u64 {
        match event.fields.get(name) {
            Some(Value::Number(x)) => self.encode_number(x),
            Some(Value::Bool(b)) => self.encode_number(f64::from(u8::from(b))),
            Some(Value::Text(text) | Value::Json(text)) => self.encode_text(text),
            None => ABSENT,
        }
    }

    #[inline(always)]
    fn encode_text(&self, text: &str) -> u64 {
        match &self.encoding {
            Encoding::Number => ABSENT,
            Encoding::Code(names) | Encoding::Place(names) => match names.place(text) {
                Some(place) => place as u64,
                None if matches!(self.encoding, Encoding::Code(_)) => ABSENT,
                None => names.len() as u64,
            },
            Encoding::Hash => hash(text.as_bytes()),
            Encoding::Zone(zones) => zones.word(text).unwrap_or(ABSENT),
        }
    }

    #[inline]
    fn encode_number(&self, x: f64) -> u64 {
        match &self.encoding {
            Encoding::Number if x.abs() <= VALUE_MAX => x.to_bits(),
            Encoding::Hash => hash(&x.to_bits().to_le_bytes()),
            _ => ABSENT,
        }
    }
}

/// Hash of a value; never the absent word. Out of line for the same reason.
#[inline(never)]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes).min(ABSENT - 1)
}
