//! One JSON object to one event, in one pass over its text.
//!
//! Values are checked as they come; a bad one is kept as a problem of its field, so that a later equal key can still
//! replace it. A second pass is made only where a free field holds an object or array: the first has then proved the
//! text valid and shallow, and the second may cut raw text out of it.

use super::RowError;
use super::check::{self, Scalar};
use super::json::Json;
use super::keys::{Field, Key, KeyTable};
use super::plain::{self, Shape, Take};
use super::scan;
use super::told::ITEM;
use bumpalo::Bump;
use saccade_topology::{Event, EventTime, Fields, Value};
use serde::de::{DeserializeSeed, MapAccess};
use sonic_rs::{Deserializer, LazyValue};
use std::borrow::Cow;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// Bytes of a free field's name or value.
pub(super) const FREE_BYTES_MAX: usize = u16::MAX as usize;

/// What the rows of an envelope take from it where they lack it.
pub(super) struct Inherited<'a> {
    event: Event<'a>,
    event_time: Option<EventTime>,
    fields: &'a [u8],
    /// Tells equal rows of different envelopes apart.
    seed: u64,
}

/// Room for rows that are read one after another, with what was learned from them. Belongs to one reader.
#[derive(Debug, Default)]
pub struct Scratch {
    fields: Vec<u8>,
    shape: Shape,
}

/// An event of which nothing is known yet.
#[inline]
pub(super) fn blank<'a>() -> Event<'a> {
    Event::new("", "", EventTime(0))
}

/// Reads an event into `event`, which is of no use where it fails.
#[inline]
pub(super) fn read<'a>(
    keys: &KeyTable,
    text: &'a str,
    inherited: Option<&Inherited<'a>>,
    arena: &'a Bump,
    scratch: &mut Scratch,
    event: &mut Event<'a>,
) -> Result<(), RowError> {
    let mut row = Row::new(keys, arena, inherited, &mut scratch.fields, event, false);
    row.parse(text, inherited, &mut scratch.shape)?;
    row.finish(text, inherited)
}

/// Reads the event that `text` begins with, if its row is of the usual kind; gives the row's length too.
#[inline]
pub(super) fn read_first<'a>(
    keys: &KeyTable,
    text: &'a str,
    arena: &'a Bump,
    scratch: &mut Scratch,
    event: &mut Event<'a>,
) -> Option<(usize, Result<(), RowError>)> {
    let mut row = Row::new(keys, arena, None, &mut scratch.fields, event, false);
    let end = plain::read(text, keys, &mut scratch.shape, &mut row)?;
    Some((end, row.finish(&text[..end], None)))
}

/// As [`read`], of a row that [`read_first`] has not taken.
pub(super) fn read_unusual<'a>(
    keys: &KeyTable,
    text: &'a str,
    arena: &'a Bump,
    scratch: &mut Scratch,
    event: &mut Event<'a>,
) -> Result<(), RowError> {
    let mut row = Row::new(keys, arena, None, &mut scratch.fields, event, false);
    row.parse_unusual(text, None)?;
    row.finish(text, None)
}

/// Reads what rows may inherit from the envelope `text`, in which the events are replaced by `null`.
pub(super) fn read_envelope<'a>(keys: &KeyTable, text: &'a str, arena: &'a Bump) -> Result<Inherited<'a>, RowError> {
    let (mut fields, mut event) = (Vec::new(), blank());
    let mut row = Row::new(keys, arena, None, &mut fields, &mut event, true);
    row.parse(text, None, &mut Shape::default())?;
    if !row.problems.is_empty() {
        return Err(row.problems.remove(0).1);
    }
    let event_time = row.event_time;
    let identity = (event.session, event.viewer, event.item, event_time.map(|t| t.0));
    let seed = if identity == (None, None, None, None) { 0 } else { xxh3_64(format!("{identity:?}").as_bytes()) };
    Ok(Inherited { event, event_time, fields: arena.alloc_slice_copy(&fields), seed })
}

/// An event in the making.
pub(super) struct Row<'s, 'a> {
    keys: &'s KeyTable,
    arena: &'a Bump,
    event: &'s mut Event<'a>,
    event_time: Option<EventTime>,
    /// Fields set under a mapped name.
    mapped: u32,
    /// Fields whose last value was refused, each once, in order.
    problems: Vec<(Field, RowError)>,
    fields: &'s mut Vec<u8>,
    is_envelope: bool,
    /// A free field holds an object or array and was left out.
    has_compound: bool,
    /// Second pass: keep those as JSON text.
    keep_compounds: bool,
}

/// Where in the row an object is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Level {
    Top,
    Network,
    Fields,
}

impl<'s, 'a> Row<'s, 'a> {
    #[inline]
    fn new(
        keys: &'s KeyTable,
        arena: &'a Bump,
        inherited: Option<&Inherited<'a>>,
        fields: &'s mut Vec<u8>,
        event: &'s mut Event<'a>,
        is_envelope: bool,
    ) -> Row<'s, 'a> {
        *event = blank();
        let mut row = Row {
            keys,
            arena,
            event,
            event_time: None,
            mapped: 0,
            problems: Vec::new(),
            fields,
            is_envelope,
            has_compound: false,
            keep_compounds: false,
        };
        row.inherit(inherited);
        row
    }

    #[inline]
    fn inherit(&mut self, inherited: Option<&Inherited<'a>>) {
        self.fields.clear();
        if let Some(inherited) = inherited {
            *self.event = inherited.event;
            self.event_time = inherited.event_time;
            self.fields.extend_from_slice(inherited.fields);
        }
    }

    #[inline]
    fn parse(&mut self, text: &'a str, inherited: Option<&Inherited<'a>>, shape: &mut Shape) -> Result<(), RowError> {
        let end = plain::read(text, self.keys, shape, self);
        if end.is_some_and(|end| scan::skip_space(text.as_bytes(), end) == text.len()) {
            return Ok(());
        }
        self.parse_unusual(text, inherited)
    }

    /// Reads any row; for the usual one this is the long way.
    fn parse_unusual(&mut self, text: &'a str, inherited: Option<&Inherited<'a>>) -> Result<(), RowError> {
        self.reset(inherited);
        self.pass(text)?;
        if self.has_compound {
            self.reset(inherited);
            self.keep_compounds = true;
            self.pass(text)?;
        }
        Ok(())
    }

    /// Forgets what an attempt to read the row has set.
    fn reset(&mut self, inherited: Option<&Inherited<'a>>) {
        *self.event = blank();
        self.event_time = None;
        self.mapped = 0;
        self.problems.clear();
        self.inherit(inherited);
    }

    /// Takes the value of a key in a flat row; false where the key asks for more than a plain value.
    #[inline(always)]
    fn plain(&mut self, key: &Key, value: Scalar<'a>) -> bool {
        let is_plain = !matches!(key.field, Field::Network | Field::Fields);
        if is_plain {
            self.set(key, value);
        }
        is_plain
    }

    #[inline]
    fn pass(&mut self, text: &'a str) -> Result<(), RowError> {
        let mut json = Deserializer::from_str(text);
        let object = Json::object(self.arena, self, Level::Top);
        // Not `deserialize_map`: for its error it skips an array without a limit of depth.
        let value = object.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        match value {
            Ok(Scalar::Object) => Ok(()),
            Ok(value) => Err(RowError::new("wrong_type", format!("expected a JSON object, found {value}"))),
            Err(error) => Err(invalid_json(text, &error)),
        }
    }

    /// Reads the value of `name` in the object at `level`.
    #[inline]
    pub(super) fn key<A: MapAccess<'a>>(&mut self, level: Level, name: &'a str, map: &mut A) -> Result<(), A::Error> {
        if level != Level::Top {
            return self.inner_key(level, name, map);
        }
        match self.keys.get(name) {
            Some(key) if matches!(key.field, Field::Network | Field::Fields) => self.object(key, map),
            Some(key) if key.field == Field::State && self.keep_compounds => {
                // A page's own, it may be an object or array, and then is kept as one.
                let raw = self.raw(map)?;
                match scalar_of(raw, self.arena) {
                    Scalar::Object | Scalar::Array => self.free_raw(&key.name, raw),
                    value => self.set(key, value),
                }
                Ok(())
            }
            Some(key) => {
                let value = map.next_value_seed(Json::scalar(self.arena))?;
                self.set(key, value);
                Ok(())
            }
            None if self.is_envelope => map.next_value_seed(Json::scalar(self.arena)).map(|_| ()),
            None => self.free(name, map),
        }
    }

    fn inner_key<A: MapAccess<'a>>(&mut self, level: Level, name: &'a str, map: &mut A) -> Result<(), A::Error> {
        if level == Level::Fields {
            return self.free(name, map);
        }
        match self.keys.get(name) {
            Some(key) if matches!(key.field, Field::ThroughputKbps | Field::RttMs) => {
                let value = map.next_value_seed(Json::scalar(self.arena))?;
                self.set(key, value);
                Ok(())
            }
            _ => self.free(&format!("network.{name}"), map),
        }
    }

    fn object<A: MapAccess<'a>>(&mut self, key: &Key, map: &mut A) -> Result<(), A::Error> {
        let level = if key.field == Field::Network { Level::Network } else { Level::Fields };
        let value = map.next_value_seed(Json::object(self.arena, self, level))?;
        if !matches!(value, Scalar::Object | Scalar::Null) {
            self.refuse(key.field, check::problem(key, "wrong_type", value, "expected an object"));
        }
        Ok(())
    }

    #[inline(always)]
    fn set(&mut self, key: &Key, value: Scalar<'a>) {
        if matches!(value, Scalar::Null) {
            return;
        }
        if key.mapped {
            self.mapped |= key.field.bit();
        } else if self.mapped & key.field.bit() != 0 {
            return;
        }
        if !self.problems.is_empty() {
            // The last of equal keys wins, so the refusal of an earlier one does not count.
            self.problems.retain(|(field, _)| *field != key.field);
        }
        if let Err(problem) = self.assign(key, value) {
            self.refuse(key.field, problem);
        }
    }

    #[cold]
    fn refuse(&mut self, field: Field, problem: RowError) {
        if self.problems.iter().all(|(f, _)| *f != field) {
            self.problems.push((field, problem));
        }
    }

    #[inline(always)]
    fn assign(&mut self, key: &Key, value: Scalar<'a>) -> Result<(), RowError> {
        let event = &mut *self.event;
        match key.field {
            // The id of an envelope is not that of its rows: they would all be duplicates of the first.
            Field::Id if self.is_envelope => {}
            Field::Id => event.id = check::id(key, value, check::ID_BYTES_MAX, self.arena)?,
            Field::Kind => event.kind = check::kind(key, value)?,
            Field::EventTime => self.event_time = Some(key.time(value)?),
            Field::SentAt => event.sent_at = Some(key.time(value)?),
            Field::SentAtInferred => event.sent_at_inferred = check::boolean(key, value)?,
            Field::Session => event.session = Some(check::id(key, value, check::ID_BYTES_MAX, self.arena)?),
            Field::Viewer => event.viewer = Some(check::id(key, value, check::ID_BYTES_MAX, self.arena)?),
            Field::Item => event.item = Some(check::id(key, value, check::ITEM_BYTES_MAX, self.arena)?),
            Field::Decision => event.decision = Some(check::id(key, value, check::ID_BYTES_MAX, self.arena)?),
            Field::Position => event.position = Some(check::position(key, value)?),
            Field::PlayheadS => event.playhead_s = Some(check::not_negative(key, value)?),
            Field::DurationS => event.duration_s = Some(check::not_negative(key, value)?),
            Field::Value => event.value = Some(check::number(key, value)?),
            Field::Device => event.device = Some(check::text(key, value, check::DEVICE_BYTES_MAX)?),
            Field::Country => event.country = Some(check::text(key, value, check::COUNTRY_BYTES_MAX)?),
            Field::Timezone => event.timezone = Some(check::text(key, value, check::TIMEZONE_BYTES_MAX)?),
            Field::ThroughputKbps => event.throughput_kbps = Some(check::not_negative(key, value)?),
            Field::RttMs => event.rtt_ms = Some(check::not_negative(key, value)?),
            Field::State => match check::state(value) {
                Some(state) => event.state = Some(state),
                None => self.free_scalar(&key.name, value),
            },
            Field::Network | Field::Fields => unreachable!("objects are read by `object`"),
        }
        Ok(())
    }

    fn free<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if self.keep_compounds {
            let raw = self.raw(map)?;
            self.free_raw(name, raw);
            return Ok(());
        }
        let value = map.next_value_seed(Json::scalar(self.arena))?;
        self.free_scalar(name, value);
        Ok(())
    }

    /// The next value as it stands.
    fn raw<A: MapAccess<'a>>(&mut self, map: &mut A) -> Result<&'a str, A::Error> {
        let raw: LazyValue<'a> = map.next_value()?;
        Ok(match raw.as_raw_cow() {
            Cow::Borrowed(raw) => raw,
            Cow::Owned(raw) => self.arena.alloc_str(&raw),
        })
    }

    fn free_raw(&mut self, name: &str, raw: &'a str) {
        if !raw.starts_with(['{', '[']) {
            return self.free_scalar(name, scalar_of(raw, self.arena));
        }
        // Valid JSON has no line breaks but between tokens; exported records are one line each.
        let line = if raw.contains(['\n', '\r']) { raw.replace(['\n', '\r'], " ").into() } else { Cow::Borrowed(raw) };
        self.push(name, Value::Json(&line), line.len());
    }

    fn free_scalar(&mut self, name: &str, value: Scalar<'_>) {
        match value {
            Scalar::Null => {}
            Scalar::Bool(b) => self.push(name, Value::Bool(b), 1),
            Scalar::Unsigned(x) => self.push(name, Value::Number(x as f64), 8),
            Scalar::Signed(x) => self.push(name, Value::Number(x as f64), 8),
            Scalar::Float(x) => self.push(name, Value::Number(x), 8),
            Scalar::Text(text) | Scalar::Printable(text) => self.push(name, Value::Text(text), text.len()),
            Scalar::Array | Scalar::Object => self.has_compound = true,
        }
    }

    fn push(&mut self, name: &str, value: Value<'_>, value_bytes: usize) {
        let longest = name.len().max(value_bytes);
        if longest > FREE_BYTES_MAX {
            let rule = format!("has {longest} bytes in name or value; allowed {FREE_BYTES_MAX}");
            return self.refuse_free(name, "too_long", &rule);
        }
        Fields::push(self.fields, name, value);
    }

    #[cold]
    fn refuse_free(&mut self, name: &str, code: &'static str, rule: &str) {
        let shown = &name[..name.floor_char_boundary(64)];
        self.refuse(Field::Fields, RowError::new(code, format!("field `{shown}` {rule}")));
    }

    #[inline]
    fn finish(&mut self, text: &'a str, inherited: Option<&Inherited<'a>>) -> Result<(), RowError> {
        if !self.problems.is_empty() {
            return Err(self.problems.remove(0).1);
        }
        self.event.viewer = self.keys.somebody(self.event.viewer);
        let Event { kind, session, viewer, item, .. } = self.event;
        let has_owner = session.is_some() || viewer.is_some() || (*kind == ITEM && item.is_some());
        let (Some(event_time), true, true) = (self.event_time, has_owner, !self.event.kind.is_empty()) else {
            return Err(self.missing());
        };
        self.event.event_time = event_time;
        if self.event.id.is_empty() {
            let hash = xxh3_128_with_seed(text.as_bytes(), inherited.map_or(0, |i| i.seed));
            self.event.id = self.arena.alloc_str(&format!("h-{hash:032x}"));
        }
        if !self.fields.is_empty() {
            self.event.fields = Fields::from_bytes(self.arena.alloc_slice_copy(self.fields));
        }
        Ok(())
    }

    #[cold]
    fn missing(&self) -> RowError {
        let (field, rule) = if self.event.kind.is_empty() {
            (Field::Kind, "send what happened, such as \"play\"")
        } else if self.event_time.is_none() {
            (Field::EventTime, "send RFC 3339 or epoch milliseconds")
        } else if self.event.kind == ITEM {
            (Field::Item, "send which thing of the catalogue it is")
        } else {
            (
                Field::Session,
                "send `session`, `viewer` or both; a viewer of ingest.nobody, such as \"anonymous\", is none",
            )
        };
        let names = self.keys.names(field);
        RowError::new("missing_field", format!("{names} is missing; {rule}"))
    }
}

impl<'s, 'a> Take<'a, 's> for Row<'s, 'a> {
    #[inline(always)]
    fn text(&mut self, key: &'s Key, text: &'a str) -> bool {
        self.plain(key, Scalar::Printable(text))
    }

    #[inline(never)]
    fn value(&mut self, name: plain::Name<'a, 's>, value: &Scalar<'a>) -> bool {
        match name {
            plain::Name::Key(key) => return self.plain(key, *value),
            plain::Name::Free(_) if self.is_envelope => {}
            plain::Name::Free(name) => self.free_scalar(name, *value),
        }
        true
    }
}

/// What `raw` is; of an object or array only that it is one.
fn scalar_of<'a>(raw: &'a str, arena: &'a Bump) -> Scalar<'a> {
    let value = Json::scalar(arena).deserialize(&mut Deserializer::from_str(raw));
    value.expect("the first pass has read this value")
}

#[cold]
pub(super) fn invalid_json(text: &str, error: &sonic_rs::Error) -> RowError {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let hint = scan::foreign_value(text)
        .map(|(name, word)| format!("`{name}` is {word}, which JSON does not have; leave the key out or send null: "));
    RowError::new("invalid_json", hint.unwrap_or_default() + message)
}
