//! The visitor behind every value of a row: scalars come back as they are, objects are read into the row or skipped.
//!
//! Skipping is a strict parse of at most [`DEPTH_MAX`] levels: the parser's own limit of 255 is too much for the stack of
//! a thread in a debug build.

use super::check::{DEPTH_MAX, Scalar};
use super::row::{Level, Row};
use bumpalo::Bump;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads one JSON value.
pub(super) struct Json<'r, 's, 'a> {
    arena: &'a Bump,
    into: Option<(&'r mut Row<'s, 'a>, Level)>,
    /// Arrays and objects that may still be nested in each other here.
    levels: usize,
}

impl<'r, 's, 'a> Json<'r, 's, 'a> {
    /// A value of no inner interest: the contents of an object or array are checked and dropped.
    #[inline]
    pub(super) fn scalar(arena: &'a Bump) -> Self {
        Json::within(arena, DEPTH_MAX)
    }

    /// The same, of at most `levels` levels.
    #[inline]
    pub(super) fn within(arena: &'a Bump, levels: usize) -> Self {
        Json { arena, into: None, levels }
    }

    /// An object whose keys go into `row`; any other value comes back to the caller.
    #[inline]
    pub(super) fn object(arena: &'a Bump, row: &'r mut Row<'s, 'a>, level: Level) -> Self {
        Json { arena, into: Some((row, level)), levels: DEPTH_MAX }
    }
}

/// Levels left inside of an array or object where `levels` are left outside.
fn inner<E: de::Error>(levels: usize) -> Result<usize, E> {
    levels
        .checked_sub(1)
        .ok_or_else(|| E::custom(format_args!("arrays and objects are nested more than {DEPTH_MAX} deep")))
}

impl<'a> DeserializeSeed<'a> for Json<'_, '_, 'a> {
    type Value = Scalar<'a>;

    #[inline]
    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Scalar<'a>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Json<'_, '_, 'a> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Scalar<'a>, A::Error> {
        match self.into {
            Some((row, level)) => {
                while let Some(name) = map.next_key_seed(Name(self.arena))? {
                    row.key(level, name, &mut map)?;
                }
            }
            None => {
                let levels = inner(self.levels)?;
                while map.next_key_seed(Name(self.arena))?.is_some() {
                    map.next_value_seed(Json { arena: self.arena, into: None, levels })?;
                }
            }
        }
        Ok(Scalar::Object)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Scalar<'a>, A::Error> {
        let levels = inner(self.levels)?;
        while seq.next_element_seed(Json { arena: self.arena, into: None, levels })?.is_some() {}
        Ok(Scalar::Array)
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(self.arena.alloc_str(text)))
    }

    #[inline]
    fn visit_u64<E>(self, x: u64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Unsigned(x))
    }

    #[inline]
    fn visit_i64<E>(self, x: i64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Signed(x))
    }

    #[inline]
    fn visit_f64<E>(self, x: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Float(x))
    }

    #[inline]
    fn visit_bool<E>(self, b: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Bool(b))
    }

    #[inline]
    fn visit_unit<E>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Null)
    }
}

/// Reads the name of a key.
struct Name<'a>(&'a Bump);

impl<'a> DeserializeSeed<'a> for Name<'a> {
    type Value = &'a str;

    #[inline]
    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<&'a str, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<&'a str, E> {
        Ok(text)
    }

    fn visit_str<E>(self, text: &str) -> Result<&'a str, E> {
        Ok(self.0.alloc_str(text))
    }
}
