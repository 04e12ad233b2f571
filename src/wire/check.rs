//! Checks of single values: type, length, range and form, each with a message that names field, value and rule.
//!
//! Nothing here knows about rows or bodies. The order of errors in a row is the order of its keys.

use super::RowError;
use super::keys::Key;
use jiff::Timestamp;
use saccade_topology::{EventTime, KIND_BYTES_MAX, PlayState, is_event_type};
use std::fmt::{self, Display, Write};

/// A JSON value as it came, strings borrowed or in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    /// A text known to be of printable ASCII alone.
    Printable(&'a str),
    Array,
    Object,
}

/// Bytes of a value that a message repeats.
const SHOWN_BYTES_MAX: usize = 64;

impl Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(b) => write!(f, "{b}"),
            Scalar::Unsigned(x) => write!(f, "{x}"),
            Scalar::Signed(x) => write!(f, "{x}"),
            Scalar::Float(x) => write!(f, "{x:?}"),
            Scalar::Text(text) | Scalar::Printable(text) => write_cut(f, text),
            Scalar::Array => f.write_str("an array"),
            Scalar::Object => f.write_str("an object"),
        }
    }
}

/// Quoted, cut to [`SHOWN_BYTES_MAX`], control characters escaped.
fn write_cut(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    write!(f, "{:?}{}", &text[..end], if end < text.len() { "…" } else { "" })
}

/// 2000-01-01T00:00:00Z.
const TIME_MIN_MS: i64 = 946_684_800_000;
/// 2200-01-01T00:00:00Z, the first that is too late.
const TIME_END_MS: i64 = 7_258_118_400_000;
/// Times below are taken for seconds: as milliseconds this is March 1973.
const LOOKS_LIKE_SECONDS_BELOW: i64 = 100_000_000_000;

/// Levels of arrays and objects in one value.
pub(super) const DEPTH_MAX: usize = 64;

/// Largest text per field, bytes.
pub(crate) const ID_BYTES_MAX: usize = 128;
pub(crate) const ITEM_BYTES_MAX: usize = 256;
pub(super) const DEVICE_BYTES_MAX: usize = 64;
pub(super) const COUNTRY_BYTES_MAX: usize = 8;
pub(super) const TIMEZONE_BYTES_MAX: usize = 64;

/// `name` is VALUE; RULE.
#[cold]
pub(super) fn problem(key: &Key, code: &'static str, value: Scalar<'_>, rule: &str) -> RowError {
    let mut message = format!("`{}`", key.canonical);
    let sent_as = if key.mapped { format!(" (sent as `{}`)", key.name) } else { String::new() };
    write!(message, "{sent_as} is {value}; {rule}").expect("writing to a string cannot fail");
    RowError { index: 0, code, message }
}

/// A text of 1 to `max` bytes without control characters; in a record any.
#[inline(always)]
pub(super) fn text<'a>(key: &Key, value: Scalar<'a>, max: usize) -> Result<&'a str, RowError> {
    match value {
        Scalar::Printable(text) if (1..=max).contains(&text.len()) => Ok(text),
        _ => unusual_text(key, value, max),
    }
}

#[cold]
fn unusual_text<'a>(key: &Key, value: Scalar<'a>, max: usize) -> Result<&'a str, RowError> {
    let (Scalar::Text(text) | Scalar::Printable(text)) = value else {
        return Err(problem(key, "wrong_type", value, "expected a string"));
    };
    if key.is_recorded {
        // It was taken once, when CMCD addresses could hold any.
        return Ok(text);
    }
    if text.is_empty() {
        return Err(problem(key, "bad_value", value, &format!("leave it out or send 1 to {max} bytes")));
    }
    if text.len() > max {
        let rule = format!("it has {} bytes, allowed are 1 to {max}", text.len());
        return Err(problem(key, "too_long", value, &rule));
    }
    if matches!(value, Scalar::Text(_)) && text.chars().any(char::is_control) {
        return Err(problem(key, "bad_value", value, "control characters are not allowed"));
    }
    Ok(text)
}

/// An id: a text, or an integer that stands for its decimal digits.
#[inline(always)]
pub(super) fn id<'a>(key: &Key, value: Scalar<'a>, max: usize, arena: &'a bumpalo::Bump) -> Result<&'a str, RowError> {
    match value {
        Scalar::Text(_) | Scalar::Printable(_) => text(key, value, max),
        _ => numeric_id(key, value, arena),
    }
}

fn numeric_id<'a>(key: &Key, value: Scalar<'a>, arena: &'a bumpalo::Bump) -> Result<&'a str, RowError> {
    match value {
        Scalar::Unsigned(x) => Ok(arena.alloc_str(&x.to_string())),
        Scalar::Signed(x) => Ok(arena.alloc_str(&x.to_string())),
        // A number beyond 64 bits has lost digits by now; two ids could become one.
        _ => Err(problem(key, "wrong_type", value, "expected a string or an integer of at most 64 bits")),
    }
}

/// The name of an event: snake_case, ASCII.
#[inline(always)]
pub(super) fn kind<'a>(key: &Key, value: Scalar<'a>) -> Result<&'a str, RowError> {
    match value {
        Scalar::Printable(kind) if is_event_type(kind.as_bytes()) => Ok(kind),
        _ => unusual_kind(key, value),
    }
}

#[cold]
fn unusual_kind<'a>(key: &Key, value: Scalar<'a>) -> Result<&'a str, RowError> {
    let (Scalar::Text(kind) | Scalar::Printable(kind)) = value else {
        return Err(problem(key, "wrong_type", value, "expected a string such as \"play\""));
    };
    if kind.len() > KIND_BYTES_MAX {
        let rule = format!("it has {} bytes, allowed are 1 to {KIND_BYTES_MAX}", kind.len());
        return Err(problem(key, "too_long", value, &rule));
    }
    if !is_event_type(kind.as_bytes()) {
        let rule = "expected 1 to 64 of a-z, 0-9 and _, first a letter";
        let suggestion = snake_case(kind).map(|s| format!(", such as \"{s}\"")).unwrap_or_default();
        return Err(problem(key, "bad_value", value, &format!("{rule}{suggestion}")));
    }
    Ok(kind)
}

/// `timeUpdate`, `Time Update` and `time-update` become `time_update`; `None` where nothing sensible is left.
fn snake_case(text: &str) -> Option<String> {
    let mut snake = String::new();
    let mut after_lower = false;
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            after_lower = false;
            if !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            continue;
        }
        if c.is_ascii_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = !c.is_ascii_uppercase();
        snake.push(c.to_ascii_lowercase());
    }
    let snake = snake.trim_matches('_').trim_start_matches(|c: char| !c.is_ascii_lowercase());
    (!snake.is_empty()).then(|| snake.to_string())
}

/// A finite number, times the key's scale.
pub(super) fn number(key: &Key, value: Scalar<'_>) -> Result<f64, RowError> {
    let x = match value {
        Scalar::Unsigned(x) => x as f64,
        Scalar::Signed(x) => x as f64,
        Scalar::Float(x) => x,
        _ => return Err(problem(key, "wrong_type", value, "expected a number")),
    };
    let x = x * key.scale.unwrap_or(1.0);
    if !x.is_finite() {
        return Err(problem(key, "out_of_range", value, "expected a finite number"));
    }
    Ok(x)
}

/// A finite number, 0 or above.
pub(super) fn not_negative(key: &Key, value: Scalar<'_>) -> Result<f64, RowError> {
    let x = number(key, value)?;
    if x < 0.0 {
        return Err(problem(key, "out_of_range", value, "expected a number of at least 0"));
    }
    Ok(x)
}

/// A place in a list: a whole number from 0, also written as `3.0`.
pub(super) fn position(key: &Key, value: Scalar<'_>) -> Result<u32, RowError> {
    let x = number(key, value)?;
    if x.fract() != 0.0 {
        return Err(problem(key, "bad_value", value, "expected a whole number"));
    }
    if x < 0.0 || x > f64::from(u32::MAX) {
        return Err(problem(key, "out_of_range", value, "expected 0 to 4294967295"));
    }
    Ok(x as u32)
}

/// `true` or `false`.
pub(super) fn boolean(key: &Key, value: Scalar<'_>) -> Result<bool, RowError> {
    match value {
        Scalar::Bool(b) => Ok(b),
        _ => Err(problem(key, "wrong_type", value, "expected true or false")),
    }
}

/// Names of [`PlayState`] on the wire.
pub(super) const STATES: [(&str, PlayState); 9] = [
    ("preloading", PlayState::Preloading),
    ("starting", PlayState::Starting),
    ("playing", PlayState::Playing),
    ("paused", PlayState::Paused),
    ("seeking", PlayState::Seeking),
    ("rebuffering", PlayState::Rebuffering),
    ("ended", PlayState::Ended),
    ("failed", PlayState::Failed),
    ("quit", PlayState::Quit),
];

/// A state of the player by its name; `None` where pages of their own mean something else by the word.
pub(super) fn state(value: Scalar<'_>) -> Option<PlayState> {
    let (Scalar::Text(name) | Scalar::Printable(name)) = value else { return None };
    STATES.iter().find(|(n, _)| *n == name).map(|(_, state)| *state)
}

/// A time of a record: epoch milliseconds as they are, since the event was taken with them once.
pub(super) fn recorded_time(key: &Key, value: Scalar<'_>) -> Result<EventTime, RowError> {
    match value {
        Scalar::Unsigned(x) if i64::try_from(x).is_ok() => Ok(EventTime(x as i64)),
        Scalar::Signed(x) => Ok(EventTime(x)),
        _ => time(key, value),
    }
}

/// Epoch milliseconds or RFC 3339, within 2000 to 2199.
#[inline]
pub(super) fn time(key: &Key, value: Scalar<'_>) -> Result<EventTime, RowError> {
    let ms = match (value, key.scale) {
        (Scalar::Unsigned(x), None) => i64::try_from(x).unwrap_or(i64::MAX),
        (Scalar::Signed(x), None) => x,
        // A cast to integer saturates: what is out of range stays out of range.
        (Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_), _) => number(key, value)?.round() as i64,
        (Scalar::Text(text) | Scalar::Printable(text), _) => parse_time(key, text)?,
        _ => {
            return Err(problem(key, "wrong_type", value, TIME_RULE));
        }
    };
    if (TIME_MIN_MS..TIME_END_MS).contains(&ms) {
        return Ok(EventTime(ms));
    }
    let looks_like_seconds =
        (0..LOOKS_LIKE_SECONDS_BELOW).contains(&ms) && !matches!(value, Scalar::Text(_) | Scalar::Printable(_));
    let hint = if looks_like_seconds { "that looks like seconds; " } else { "" };
    let rule = format!("{hint}expected milliseconds since 1970 or RFC 3339, from 2000-01-01 to before 2200-01-01");
    Err(problem(key, "out_of_range", value, &rule))
}

const TIME_RULE: &str = "expected RFC 3339 such as 2026-11-22T20:15:00Z or epoch milliseconds";

fn parse_time(key: &Key, text: &str) -> Result<i64, RowError> {
    match text.parse::<Timestamp>() {
        Ok(time) => Ok(time.as_millisecond()),
        Err(_) => Err(problem(key, "bad_value", Scalar::Text(text), TIME_RULE)),
    }
}
