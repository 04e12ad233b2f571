//! Valid JSON as it stands in the text, cut into values only where somebody asks for them.
//!
//! One strict pass of the parser over the whole text, of bounded depth, comes first; after it a value is a slice of the text, and
//! its members are found by quotes and brackets alone. Nothing is built, so hostile input costs its length and no more.

use super::RowError;
use super::check::Scalar;
use super::json::Json;
use super::{plain, scan};
use bumpalo::Bump;
use serde::de::DeserializeSeed;
use sonic_rs::Deserializer;

/// A value of a text that was read once as a whole.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    text: &'a str,
    arena: &'a Bump,
}

impl<'a> Raw<'a> {
    /// Reads `text` as one JSON value of at most `levels` nested arrays and objects.
    pub(super) fn check(text: &'a str, arena: &'a Bump, levels: usize) -> Result<Raw<'a>, RowError> {
        let text = text.trim_ascii();
        let mut json = Deserializer::from_str(text);
        let read = Json::within(arena, levels).deserialize(&mut json).and_then(|_| json.end());
        match read {
            Ok(()) => Ok(Raw { text, arena }),
            Err(error) => Err(super::row::invalid_json(text, &error)),
        }
    }

    /// The value's own text.
    pub(super) fn text(self) -> &'a str {
        self.text
    }

    /// Where its strings go that had escapes.
    pub(super) fn arena(self) -> &'a Bump {
        self.arena
    }

    /// The value; of an array or object only that it is one.
    #[inline]
    pub(super) fn scalar(self) -> Scalar<'a> {
        match self.text.as_bytes().first() {
            Some(b'{') => Scalar::Object,
            Some(b'[') => Scalar::Array,
            _ => match plain::value(self.text, 0) {
                Some((value, end)) if end == self.text.len() => value,
                _ => self.unusual(),
            },
        }
    }

    #[cold]
    fn unusual(self) -> Scalar<'a> {
        // The parser gives zero for negative zero; the standard library keeps its sign.
        if self.text.starts_with('-')
            && let Ok(x) = self.text.parse::<f64>()
            && x == 0.0
        {
            return Scalar::Float(x);
        }
        let value = Json::scalar(self.arena).deserialize(&mut Deserializer::from_str(self.text));
        value.expect("the whole text was read before")
    }

    /// Names and values of an object in order; nothing of any other value.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, Raw<'a>)> {
        scan::entries(self.text).map(move |(name, at)| (self.name(name), Raw { text: &self.text[at], ..self }))
    }

    fn name(self, name: &'a str) -> &'a str {
        if !name.contains('\\') {
            return name;
        }
        let quoted = self.arena.alloc_str(&format!("\"{name}\""));
        match (Raw { text: quoted, ..self }).scalar() {
            Scalar::Text(name) | Scalar::Printable(name) => name,
            _ => name,
        }
    }

    /// Elements of an array in order; nothing of any other value.
    pub(super) fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        scan::elements(self.text).map(move |at| Raw { text: &self.text[at], ..self })
    }

    /// The text on one line: valid JSON has line breaks only between tokens.
    pub(super) fn line(self) -> &'a str {
        match self.text.contains(['\n', '\r']) {
            true => self.arena.alloc_str(&self.text.replace(['\n', '\r'], " ")),
            false => self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_of_values_are_found_in_order_whatever_stands_in_their_strings() {
        let (text, arena) = (r#" {"a" : [1, "],\"", {"x":[]}, [] ] ,"\u0062\"":{ } , "c":-0.0} "#, Bump::new());
        let raw = Raw::check(text, &arena, 9).expect("valid");
        let names: Vec<_> = raw.entries().map(|(name, value)| (name, value.text())).collect();
        assert_eq!(names, [("a", r#"[1, "],\"", {"x":[]}, [] ]"#), ("b\"", "{ }"), ("c", "-0.0")]);
        let (_, list) = raw.entries().next().expect("one");
        let elements: Vec<_> = list.elements().map(Raw::text).collect();
        assert_eq!(elements, ["1", r#""],\"""#, r#"{"x":[]}"#, "[]"]);
        assert_eq!(list.elements().nth(1).map(Raw::scalar), Some(Scalar::Text("],\"")));
        let zero = raw.entries().last().map(|(_, value)| value.scalar());
        assert!(matches!(zero, Some(Scalar::Float(x)) if x == 0.0 && x.is_sign_negative()));
        assert_eq!((raw.elements().count(), list.entries().count()), (0, 0));
    }

    #[test]
    fn text_is_refused_where_it_is_no_json_or_too_deep() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for (text, is_valid) in [
            ("[]", true),
            ("1", true),
            ("", false),
            ("[1,]", false),
            ("[1]2", false),
            ("{\"a\":1,}", false),
            ("\"\u{1}\"", false),
            ("\"a\nb\"", false),
            ("[NaN]", false),
            (&deep(3), true),
            (&deep(4), false),
            (&deep(100_000), false),
            (&"[".repeat(1_000_000), false),
        ] {
            let arena = Bump::new();
            assert_eq!(Raw::check(text, &arena, 3).is_ok(), is_valid, "{}", &text[..text.len().min(20)]);
        }
    }

    /// The value in full, read by the reader that is not ours.
    fn whole(raw: Raw<'_>) -> serde_json::Value {
        match raw.scalar() {
            Scalar::Object => raw.entries().map(|(name, value)| (name.to_string(), whole(value))).collect(),
            Scalar::Array => raw.elements().map(whole).collect(),
            _ => serde_json::from_str(raw.text()).expect("valid"),
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_out_is_what_another_reader_reads(text in "[\\[\\]{}\",:\\\\ \nu0-9a-c]{0,60}", inner in "[\\]}\",\\\\:a]{0,9}") {
            let quoted = serde_json::to_string(&inner).expect("text");
            for text in [text.clone(), format!("[{text}]"), format!("{{{quoted}:[{quoted},{text}],\"b\":{quoted}}}")] {
                let arena = Bump::new();
                if let Ok(raw) = Raw::check(&text, &arena, 64) && let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) {
                    prop_assert_eq!(whole(raw), expected);
                }
            }
        }
    }
}
