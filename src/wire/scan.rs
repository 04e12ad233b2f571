//! Finds where JSON values end by their quotes and brackets alone, without recursion.
//!
//! Used to cut rows out of a body; what is cut out is parsed afterwards. Ends are always at ASCII characters, so that
//! cuts never split a character. Text that is not JSON gives some end or none, never a panic.

use std::ops::Range;

pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes of `word` that are zero, as a set of high bits; exact up to the lowest.
#[inline]
pub(super) fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The first place from `at` on that is not JSON white space.
#[inline]
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = text.get(at) {
        at += 1;
    }
    at
}

/// End of the string whose opening quote is before `at`; `None` where the text or line ends first.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let quotes = zeros(word ^ (ONES * u64::from(b'"')));
            let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
            let breaks = zeros(word ^ (ONES * u64::from(b'\n')));
            let found = quotes | escapes | breaks;
            if found != 0 {
                at += (found.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            // Valid strings have no raw line break, so this is a lost quote; do not run on through the next rows.
            b'\n' => return None,
            _ => at += 1,
        }
    }
}

/// End of the value that starts at `at`; `None` where there is no value or the text ends inside of it.
pub(super) fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at + 1),
        b'{' | b'[' => container_end(text, at),
        _ => {
            let is_end = |b: &u8| matches!(b, b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
            let end = at + text[at..].iter().take_while(|b| !is_end(b)).count();
            (end > at).then_some(end)
        }
    }
}

fn container_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Words that other languages write for numbers and nothings that JSON does not have.
const FOREIGN: [&str; 8] = ["NaN", "nan", "Infinity", "-Infinity", "undefined", "None", "True", "False"];

/// The first such word that stands as a value, and the name before it.
pub(super) fn foreign_value(text: &str) -> Option<(&str, &'static str)> {
    let (bytes, mut at, mut name) = (text.as_bytes(), 0, "");
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at + 1)?;
                name = text.get(at + 1..end - 1)?;
                at = end;
            }
            b':' => {
                at = skip_space(bytes, at + 1);
                if matches!(bytes.get(at), Some(b'"' | b'{' | b'[')) {
                    continue;
                }
                let end = value_end(bytes, at)?;
                if let Some(word) = FOREIGN.into_iter().find(|word| text.get(at..end) == Some(word)) {
                    return Some((&name[..name.floor_char_boundary(64)], word));
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Why and where an array cannot be read on.
pub(super) struct Break {
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

/// Walks the array that starts at `at`; returns where it ends. `element` is given what begins with an element and says where that ends.
#[inline]
pub(super) fn walk_array<'a>(
    text: &'a str,
    at: usize,
    element: &mut dyn FnMut(&'a str) -> Option<usize>,
) -> Result<usize, Break> {
    let bytes = text.as_bytes();
    let mut at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        let end = text.get(at..).and_then(&mut *element).ok_or(Break { at, expected: "a complete value" })?;
        at = skip_space(bytes, at + end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b']') => return Ok(at + 1),
            _ => return Err(Break { at, expected: "`,` or `]`" }),
        }
    }
}

/// Cuts the array that starts at `at` into its elements, at most `max` of them; returns where it ends.
pub(super) fn split_array<'a>(text: &'a str, at: usize, max: usize, rows: &mut Vec<&'a str>) -> Result<usize, Break> {
    let mut is_full = false;
    let walked = walk_array(text, at, &mut |rest| {
        is_full = rows.len() == max;
        let end = value_end(rest.as_bytes(), 0).filter(|_| !is_full)?;
        rows.push(&rest[..end]);
        Some(end)
    });
    match walked {
        Err(Break { at, .. }) if is_full => Ok(at),
        walked => walked,
    }
}

/// Places of the elements of the array at the start of `text`, as far as it is well formed.
pub(super) fn elements(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        // Behind the opening bracket first, behind a comma later.
        if !matches!(bytes.get(at)?, b'[' | b',') {
            return None;
        }
        let start = skip_space(bytes, at + 1);
        let end = value_end(bytes, start)?;
        at = skip_space(bytes, end);
        Some(start..end)
    })
}

/// Keys (as they stand, escapes and all) and places of the values of the object at the start of `text`, as far as it
/// is well formed.
pub(super) fn entries(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        // Behind the opening brace first, behind a comma later.
        if !matches!(bytes.get(at)?, b'{' | b',') {
            return None;
        }
        let name = skip_space(bytes, at + 1);
        if bytes.get(name) != Some(&b'"') {
            return None;
        }
        let name_end = string_end(bytes, name + 1)?;
        let colon = skip_space(bytes, name_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(bytes, colon + 1);
        let end = value_end(bytes, start)?;
        at = skip_space(bytes, end);
        Some((&text[name + 1..name_end - 1], start..end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_json_are_named_with_their_key() {
        for (text, found) in [
            (r#"{"a":1,"value": NaN}"#, Some(("value", "NaN"))),
            (r#"{"a":{"x":[1],"y":-Infinity}}"#, Some(("y", "-Infinity"))),
            (r#"{"a":"x:NaN","b":None}"#, Some(("b", "None"))),
            (r#"{"a":"b:NaN"}"#, None),
            (r#"{"a":NaNa}"#, None),
            ("{:NaN}", Some(("", "NaN"))),
            ("{\"a\":", None),
        ] {
            assert_eq!(foreign_value(text), found, "{text}");
        }
        let deep = "{\"a\":".repeat(40_000);
        assert_eq!(foreign_value(&deep), None);
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, end) in [
            ("{}", Some(2)),
            ("[] ", Some(2)),
            ("\"a\" ", Some(3)),
            ("\"a\\\"b\" ", Some(6)),
            ("\"12345678\\\\\" ", Some(12)),
            ("\"12345678901234567890\"", Some(22)),
            ("{\"}\":[\"]\",{}]}x", Some(14)),
            ("12.5,", Some(4)),
            ("null", Some(4)),
            ("", None),
            (",", None),
            ("{\"a\":1", None),
            ("\"abc", None),
            ("\"abc\\", None),
            ("\"ab\nc\"", None),
        ] {
            assert_eq!(value_end(text.as_bytes(), 0), end, "{text:?}");
        }
    }

    #[test]
    fn a_million_open_brackets_need_no_stack() {
        let text = "[".repeat(1_000_000);
        assert_eq!(value_end(text.as_bytes(), 0), None);
    }

    #[test]
    fn entries_of_an_object_come_in_order() {
        let text = r#"{ "a" : 1, "b":[1,2] ,"c":{"d":0}}"#;
        let found: Vec<_> = entries(text).map(|(name, at)| (name, &text[at])).collect();
        assert_eq!(found, [("a", "1"), ("b", "[1,2]"), ("c", "{\"d\":0}")]);
        assert_eq!(entries("{\"a\"").count(), 0);
        assert_eq!(entries("{}").count(), 0);
    }
}
