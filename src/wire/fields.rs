//! A JSON object to the bytes of free fields.

use super::RowError;
use super::check::{self, Scalar};
use super::keys::Key;
use super::raw::Raw;
use super::row::FREE_BYTES_MAX;
use saccade_topology::learn::VALUE_MAX;
use saccade_topology::{Fields, Value};

/// Features of one item, or of one request.
pub(super) const FEATURES_MAX: usize = 4096;

/// What may stand in an object of fields.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// Whatever an exported record holds.
    All,
    /// Features that somebody sends: numbers of at most [`VALUE_MAX`], truth values, texts, lists; not more than [`FEATURES_MAX`].
    Features,
}

/// The members of `object` in order, in the arena. `null` is absent.
pub(super) fn read<'a>(name: &'static str, object: Raw<'a>, taken: Taken) -> Result<Fields<'a>, RowError> {
    if object.scalar() != Scalar::Object {
        return Err(check::problem(&Key::own(name), "wrong_type", object.scalar(), "expected an object"));
    }
    // Enough for most: only many short numbers take more bytes than their text.
    let mut bytes = Vec::with_capacity(object.text().len() + 32);
    for (count, (feature, value)) in object.entries().enumerate() {
        if taken == Taken::Features && count == FEATURES_MAX {
            return Err(RowError::new("too_long", format!("`{name}` has more than {FEATURES_MAX} members")));
        }
        push(&mut bytes, feature, value, taken).map_err(|(code, rule)| {
            let shown = &feature[..feature.floor_char_boundary(64)];
            RowError::new(code, format!("`{shown}` in `{name}` is {}; {rule}", value.scalar()))
        })?;
    }
    Ok(Fields::from_bytes(object.arena().alloc_slice_copy(&bytes)))
}

fn push(bytes: &mut Vec<u8>, name: &str, value: Raw<'_>, taken: Taken) -> Result<(), (&'static str, String)> {
    let too_long = |n: usize| Err(("too_long", format!("{n} bytes in a name or value; {FREE_BYTES_MAX} are allowed")));
    let is_sent = taken == Taken::Features;
    if name.len() > FREE_BYTES_MAX {
        return too_long(name.len());
    }
    if is_sent && name.is_empty() {
        return Err(("bad_value", "a feature has a name".into()));
    }
    let value = match value.scalar() {
        Scalar::Null => return Ok(()),
        Scalar::Bool(b) => Value::Bool(b),
        Scalar::Unsigned(x) => Value::Number(x as f64),
        Scalar::Signed(x) => Value::Number(x as f64),
        Scalar::Float(x) if is_sent && x.abs() > VALUE_MAX => {
            return Err(("out_of_range", format!("expected a number from {:e} to {VALUE_MAX:e}", -VALUE_MAX)));
        }
        Scalar::Float(x) => Value::Number(x),
        Scalar::Text(text) | Scalar::Printable(text) => Value::Text(text),
        Scalar::Object if is_sent => {
            return Err(("wrong_type", "expected a number, true or false, a string or a list".into()));
        }
        Scalar::Array | Scalar::Object => Value::Json(value.line()),
    };
    match value {
        Value::Text(text) | Value::Json(text) if text.len() > FREE_BYTES_MAX => return too_long(text.len()),
        value => Fields::push(bytes, name, value),
    }
    Ok(())
}
