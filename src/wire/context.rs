//! The one JSON form of a context: for readers over HTTP, for streams and for replays.

use super::write::{INTO_MEMORY, separated};
use jiff::Timestamp;
use saccade_topology::{ContextRef, Plan};
use serde::Serialize;

/// What a vector's numbers are called.
#[derive(Clone, Debug)]
pub struct Layout {
    /// One name per slot.
    pub names: Vec<String>,
    /// Names the layout itself.
    pub schema_version: String,
    /// The names as keys of an object: quoted, with the colon.
    keys: Vec<String>,
}

/// Bytes that a slot takes: its name, and its number twice. About; a hint.
const SLOT_BYTES: usize = 64;

impl Layout {
    /// The layout of a plan.
    pub fn of(plan: &Plan) -> Layout {
        Layout::new(plan.slots().iter().map(|s| s.name.clone()).collect(), plan.schema_version().to_string())
    }

    fn new(names: Vec<String>, schema_version: String) -> Layout {
        let keys = names.iter().map(|name| format!("{}:", serde_json::Value::from(&**name))).collect();
        Layout { names, schema_version, keys }
    }
}

/// A context without its numbers.
#[derive(Serialize)]
struct Head<'a> {
    session: Option<&'a str>,
    viewer: Option<&'a str>,
    version: u64,
    event_time: String,
    schema_version: &'a str,
}

/// Appends `{"session","viewer","version","event_time","schema_version","vector","features"}`.
pub fn write_context(out: &mut Vec<u8>, context: &ContextRef<'_>, layout: &Layout) {
    out.reserve(SLOT_BYTES * layout.keys.len());
    let ContextRef { session, viewer, version, vector, .. } = *context;
    let (event_time, schema_version) = (rfc3339(context.event_time), &*layout.schema_version);
    let head = Head { session, viewer, version, event_time, schema_version };
    serde_json::to_writer(&mut *out, &head).expect(INTO_MEMORY);
    // It goes on.
    out.pop();
    out.extend_from_slice(b",\"vector\":[");
    let begin = out.len();
    separated(out, vector, |out, number| serde_json::to_writer(out, number).expect(INTO_MEMORY));
    let end = out.len();
    out.extend_from_slice(b"],\"features\":{");
    // A number is a text without commas: those of the vector are copied.
    let mut at = begin;
    separated(out, layout.keys.iter().take(vector.len()), |out, key| {
        out.extend_from_slice(key.as_bytes());
        let number_end = memchr::memchr(b',', &out[at..end]).map_or(end, |length| at + length);
        out.extend_from_within(at..number_end);
        at = number_end + 1;
    });
    out.extend_from_slice(b"}}");
}

/// Milliseconds since the epoch as RFC 3339 in UTC; held to the years a timestamp can name.
pub fn rfc3339(time_ms: i64) -> String {
    let held = time_ms.clamp(Timestamp::MIN.as_second() * 1000, Timestamp::MAX.as_second() * 1000);
    let time = Timestamp::from_millisecond(held).expect("clamped to what a timestamp holds");
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use saccade_topology::{Kind, Part};

    #[test]
    fn a_context_is_the_json_it_was_specified_to_be() {
        let names = ["events", "a \"b\",c", "ü"].map(String::from).to_vec();
        let layout = Layout::new(names, "1a".into());
        let json = |vector: &[f32]| {
            let context = ContextRef {
                kind: Kind::Session,
                place: 0,
                session: Some("s\n1"),
                viewer: None,
                is_renamed: true,
                version: u64::MAX,
                is_again: false,
                event_time: 0,
                vector,
                part: Part::Whole,
            };
            let mut out = b"before".to_vec();
            write_context(&mut out, &context, &layout);
            String::from_utf8(out).expect("it is text")
        };
        let head = r#"before{"session":"s\n1","viewer":null,"version":18446744073709551615,"event_time":"1970-01-01T00:00:00.000Z","schema_version":"1a","#;
        let whole = r#""vector":[1.0,-0.25,1e+20],"features":{"events":1.0,"a \"b\",c":-0.25,"ü":1e+20}}"#;
        assert_eq!(json(&[1.0, -0.25, 1e20]), format!("{head}{whole}"));
        assert_eq!(json(&[]), format!(r#"{head}"vector":[],"features":{{}}}}"#));
    }
}
