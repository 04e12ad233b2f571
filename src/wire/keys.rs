//! Names of the fields of an event on the wire, and the table that finds a field by its name.
//!
//! A table is compiled once from `ingest.map` and never changes. It does not read values: see `check`.

use super::RowError;
use super::check::{self, ID_BYTES_MAX, Scalar};
use crate::config::{Ingest, MapFrom};
use saccade_topology::EventTime;
use saccade_topology::names::Names;

/// Viewer ids in `ingest.nobody`.
const NOBODY_MAX: usize = 1000;

/// Fields of an event as they can be named in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Kind,
    EventTime,
    SentAt,
    SentAtInferred,
    Session,
    Viewer,
    Item,
    Decision,
    Position,
    PlayheadS,
    DurationS,
    Value,
    Device,
    Country,
    Timezone,
    ThroughputKbps,
    RttMs,
    State,
    Network,
    Fields,
}

impl Field {
    /// The bit of this field in a set of fields.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What a configured name may do with a field.
#[derive(Clone, Copy, PartialEq)]
enum Mapping {
    /// Takes another name.
    Name,
    /// Takes another name and another unit.
    Scaled,
    /// Ours alone.
    Never,
}

const CANONICAL: [(&str, Field, Mapping); 21] = [
    ("id", Field::Id, Mapping::Name),
    ("type", Field::Kind, Mapping::Name),
    ("event_time", Field::EventTime, Mapping::Scaled),
    ("sent_at", Field::SentAt, Mapping::Scaled),
    ("session", Field::Session, Mapping::Name),
    ("viewer", Field::Viewer, Mapping::Name),
    ("item", Field::Item, Mapping::Name),
    ("decision", Field::Decision, Mapping::Name),
    ("position", Field::Position, Mapping::Name),
    ("playhead_s", Field::PlayheadS, Mapping::Scaled),
    ("duration_s", Field::DurationS, Mapping::Scaled),
    ("value", Field::Value, Mapping::Scaled),
    ("device", Field::Device, Mapping::Name),
    ("country", Field::Country, Mapping::Name),
    ("timezone", Field::Timezone, Mapping::Name),
    ("throughput_kbps", Field::ThroughputKbps, Mapping::Scaled),
    ("rtt_ms", Field::RttMs, Mapping::Scaled),
    ("state", Field::State, Mapping::Name),
    ("sent_at_inferred", Field::SentAtInferred, Mapping::Never),
    ("network", Field::Network, Mapping::Never),
    ("fields", Field::Fields, Mapping::Never),
];

/// One name and what it stands for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The name in the input.
    pub(super) name: String,
    /// The name in the documentation.
    pub(super) canonical: &'static str,
    pub(super) field: Field,
    /// Named by configuration: wins over the canonical name of the same field.
    pub(super) mapped: bool,
    /// The input's number is multiplied by this.
    pub(super) scale: Option<f64>,
    /// Of a record, which was checked when it came.
    pub(super) is_recorded: bool,
}

impl Key {
    /// A key of a request or record, which no configuration maps, for checks and their messages.
    pub(super) fn own(canonical: &'static str) -> Key {
        Key { name: String::new(), canonical, field: Field::Fields, mapped: false, scale: None, is_recorded: false }
    }

    /// The time that is its value.
    #[inline]
    pub(super) fn time(&self, value: Scalar<'_>) -> Result<EventTime, RowError> {
        if self.is_recorded { check::recorded_time(self, value) } else { check::time(self, value) }
    }
}

/// Finds a [`Key`] by its name.
#[derive(Clone, Debug)]
pub(super) struct KeyTable {
    keys: Vec<Key>,
    names: Names,
    /// Viewers that are none.
    nobody: Names,
}

impl KeyTable {
    /// The canonical names alone, as records are written with: whoever is named in one is somebody, and its times and texts are as they are.
    pub(super) fn canonical() -> KeyTable {
        KeyTable::of(canonical_keys().into_iter().map(|key| Key { is_recorded: true, ..key }).collect(), &[])
    }

    /// The canonical names and those of `ingest.map`; a mapped name hides an equal canonical one. With the viewers of `ingest.nobody`.
    pub(super) fn compile(config: &Ingest) -> Result<KeyTable, String> {
        let mut mapped: Vec<Key> = Vec::new();
        for (to, from) in &config.map {
            let key = compile_mapping(to, from)?;
            if let Some(other) = mapped.iter().find(|k| k.name == key.name) {
                return Err(format!(
                    "ingest.map.{to}: `{}` is already the input name of `{}`; allowed: one field for each input name",
                    key.name, other.canonical
                ));
            }
            mapped.push(key);
        }
        let canonical = canonical_keys().into_iter().filter(|k| mapped.iter().all(|m| m.name != k.name));
        let keys = canonical.chain(mapped.iter().cloned()).collect();
        if let Some(id) = config.nobody.iter().find(|id| !(1..=ID_BYTES_MAX).contains(&id.len())) {
            return Err(format!("ingest.nobody has \"{id}\"; allowed: viewer ids of 1 to {ID_BYTES_MAX} bytes"));
        }
        if config.nobody.len() > NOBODY_MAX {
            let found = config.nobody.len();
            return Err(format!("ingest.nobody has {found} viewer ids; allowed: at most {NOBODY_MAX}"));
        }
        Ok(KeyTable::of(keys, &config.nobody))
    }

    fn of(keys: Vec<Key>, nobody: &[String]) -> KeyTable {
        let names = Names::new(keys.iter().map(|k| &k.name));
        KeyTable { names, nobody: Names::new(nobody), keys }
    }

    /// The viewer, unless the id stands for nobody.
    #[inline]
    pub(super) fn somebody<'v>(&self, viewer: Option<&'v str>) -> Option<&'v str> {
        viewer.filter(|viewer| self.nobody.place(viewer).is_none())
    }

    /// The key called `name`, if any is.
    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<&Key> {
        self.place(name).map(|place| self.at(place))
    }

    /// The place of the key called `name`.
    #[inline]
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.place(name)
    }

    /// The key at a place.
    #[inline]
    pub(super) fn at(&self, place: usize) -> &Key {
        &self.keys[place]
    }

    /// The names of `field` as a message shows them: `event_time` (or `ts`).
    pub(super) fn names(&self, field: Field) -> String {
        let canonical = CANONICAL.iter().find(|(_, f, _)| *f == field).map_or("", |(name, _, _)| name);
        let mapped = self.keys.iter().find(|k| k.mapped && k.field == field);
        format!("`{canonical}`{}", mapped.map(|k| format!(" (or `{}`)", k.name)).unwrap_or_default())
    }
}

fn canonical_keys() -> Vec<Key> {
    let key = |(name, field, _): (&'static str, Field, Mapping)| Key {
        name: name.to_string(),
        canonical: name,
        field,
        mapped: false,
        scale: None,
        is_recorded: false,
    };
    CANONICAL.into_iter().map(key).collect()
}

fn compile_mapping(to: &str, from: &MapFrom) -> Result<Key, String> {
    let (name, scale) = match from {
        MapFrom::Name(name) => (name, None),
        MapFrom::Scaled { from, scale } => (from, Some(*scale)),
    };
    let Some((canonical, field, mapping)) = CANONICAL.into_iter().find(|(n, _, m)| *n == to && *m != Mapping::Never)
    else {
        return Err(format!(
            "ingest.map.{to} = \"{name}\": `{to}` is no field of an event; allowed: {}",
            allowed(false)
        ));
    };
    if name.is_empty() || name.len() > 256 {
        return Err(format!("ingest.map.{to} = \"{name}\": allowed: an input name of 1 to 256 bytes"));
    }
    if name == "fields" || name == "network" {
        return Err(format!("ingest.map.{to} = \"{name}\": `{name}` is an object; allowed: the name of a plain value"));
    }
    if let Some(scale) = scale {
        if mapping != Mapping::Scaled {
            return Err(format!(
                "ingest.map.{to}.scale = {scale}: only numbers have a unit; allowed: {}",
                allowed(true)
            ));
        }
        if !scale.is_finite() || scale <= 0.0 {
            return Err(format!("ingest.map.{to}.scale = {scale}; allowed: a number above 0"));
        }
    }
    Ok(Key { name: name.clone(), canonical, field, mapped: true, scale, is_recorded: false })
}

fn allowed(scaled: bool) -> String {
    let fits = |m: Mapping| m == Mapping::Scaled || (!scaled && m == Mapping::Name);
    let names: Vec<&str> = CANONICAL.iter().filter(|(_, _, m)| fits(*m)).map(|(n, _, _)| *n).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(toml: &str) -> Result<KeyTable, String> {
        KeyTable::compile(&toml::from_str::<Ingest>(toml).expect("the test's configuration parses"))
    }

    #[test]
    fn every_canonical_name_is_found_and_no_other() {
        let table = KeyTable::canonical();
        for (name, field, _) in CANONICAL {
            assert_eq!(table.get(name).map(|k| k.field), Some(field));
            assert!(table.get(&format!("{name}x")).is_none());
            assert!(table.get(&name[1..]).is_none());
        }
        assert!(table.get("").is_none());
    }

    #[test]
    fn the_default_configuration_names_all_that_can_be_mapped() {
        let text = include_str!("../../configs/default.toml");
        let comment = text.split_once("fields of Saccade's: ").and_then(|(_, rest)| rest.split_once('.'));
        let named = comment.expect("the comment is there").0.replace("\n#", "");
        assert_eq!(named, allowed(false));
    }

    #[test]
    fn the_openapi_document_names_all_fields_and_states_of_an_event() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../http/openapi.json")).expect("it is JSON");
        let event = &document["components"]["schemas"]["Event"];
        for (name, _, _) in CANONICAL.iter().filter(|(_, field, _)| *field != Field::SentAtInferred) {
            assert!(event["properties"][name].is_object(), "{name}");
        }
        let states: Vec<_> = check::STATES.iter().map(|(name, _)| *name).collect();
        assert_eq!(event["properties"]["state"]["anyOf"][0]["enum"], serde_json::json!(states));
        assert_eq!(event["required"], serde_json::json!(["type", "event_time"]));
    }

    #[test]
    fn a_mapped_name_hides_an_equal_canonical_name() {
        let table = compile("map = { item = \"id\", id = \"event_id\" }").expect("valid");
        assert_eq!(table.get("id").map(|k| (k.field, k.mapped)), Some((Field::Item, true)));
        assert_eq!(table.get("item").map(|k| (k.field, k.mapped)), Some((Field::Item, false)));
        assert_eq!(table.get("event_id").map(|k| k.field), Some(Field::Id));
    }

    #[test]
    fn a_bad_map_is_refused_with_key_value_and_what_is_allowed() {
        for (toml, wanted) in [
            ("map = { playhed = \"pt\" }", ["ingest.map.playhed", "\"pt\"", "playhead_s"]),
            ("map = { fields = \"f\" }", ["ingest.map.fields", "\"f\"", "playhead_s"]),
            ("map = { id = \"\" }", ["ingest.map.id", "\"\"", "1 to 256"]),
            ("map = { id = \"network\" }", ["ingest.map.id", "network", "plain value"]),
            ("map = { id = \"a\", item = \"a\" }", ["ingest.map.item", "`a`", "`id`"]),
            ("nobody = [\"\"]", ["ingest.nobody", "\"\"", "1 to 128"]),
            ("map = { id = { from = \"a\", scale = 2.0 } }", ["ingest.map.id.scale", "2", "event_time"]),
            ("map = { value = { from = \"a\", scale = 0.0 } }", ["ingest.map.value.scale", "0", "above 0"]),
        ] {
            let message = compile(toml).expect_err(toml);
            for part in wanted {
                assert!(message.contains(part), "{message:?} names {part:?}");
            }
        }
    }
}
