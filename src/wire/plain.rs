//! The usual row, read by hand: one flat object of strings without escapes, plain numbers, truth values and nulls.
//!
//! Anything else ends the attempt, without an error, and the row is read again by `sonic-rs`: what is accepted here, and as
//! what, is what it accepts (held by a test). Measured on W1 rows this takes less than half of its CPU time.

use super::check::Scalar;
use super::keys::{Key, KeyTable};
use super::scan::{HIGHS, ONES, skip_space, zeros};

/// What was learned from the rows before: their names in order. Rows of one sender nearly always have the same, so that a name
/// costs one comparison. Belongs to one [`KeyTable`].
#[derive(Debug, Default)]
pub(super) struct Shape(Vec<Seen>);

/// A name as it stood in a row, from the end of the value before to its own value: up to 16 bytes as one number.
#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: u128,
    mask: u128,
    len: usize,
    /// Place in the table of keys; [`FREE`] where the name is none of them.
    key: usize,
}

const FREE: usize = usize::MAX;

/// What a value is called.
pub(super) enum Name<'a, 'k> {
    Key(&'k Key),
    /// None of the keys.
    Free(&'a str),
}

/// Names of a row that are remembered.
const SEEN_MAX: usize = 32;

impl Shape {
    /// The name that is the `nth` of the row, where it stands at `at` again.
    #[inline]
    fn expect(&self, nth: usize, bytes: &[u8], at: usize) -> Option<&Seen> {
        let seen = self.0.get(nth)?;
        let found = match bytes.get(at..)?.first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => u128::from(word(bytes, at + 8)) << 64 | u128::from(word(bytes, at)),
        };
        ((found ^ seen.bytes) & seen.mask == 0).then_some(seen)
    }

    fn learn(&mut self, nth: usize, found: &[u8], key: usize) {
        if nth >= SEEN_MAX {
            return;
        }
        // Of what is longer, bytes that are in no text: it is read anew each time, those after it are not.
        let (mut bytes, mut mask) = ([0xFF; 16], u128::MAX);
        if let Some(start) = bytes.get_mut(..found.len()) {
            start.copy_from_slice(found);
            mask >>= 128 - 8 * found.len();
        }
        let seen = Seen { bytes: u128::from_le_bytes(bytes), mask, len: found.len(), key };
        match self.0.get_mut(nth) {
            Some(before) => *before = seen,
            None => self.0.push(seen),
        }
    }
}

/// Takes what is in a row.
pub(super) trait Take<'a, 'k> {
    /// A value and what it is called; says whether to go on.
    fn value(&mut self, name: Name<'a, 'k>, value: &Scalar<'a>) -> bool;

    /// As [`Take::value`], a printable text for one of the keys, as most are. By itself, so that it stays in registers: to copy a [`Scalar`]
    /// of which the parts were written just now takes longer than to read the text did.
    fn text(&mut self, key: &'k Key, text: &'a str) -> bool;
}

/// Gives `row` every name and value of the object that `text` begins with; the object's length, `None` where it is not of the usual kind.
#[inline]
pub(super) fn read<'a, 'k>(
    text: &'a str,
    keys: &'k KeyTable,
    shape: &mut Shape,
    row: &mut impl Take<'a, 'k>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    for nth in 0.. {
        let (key, value_at) = match shape.expect(nth, bytes, at) {
            Some(seen) => (seen.key, at + seen.len),
            None => {
                let before = skip_space(bytes, at);
                match bytes.get(before)? {
                    b'{' if nth == 0 => {}
                    b',' if nth > 0 => {}
                    b'}' if nth > 0 => return Some(before + 1),
                    _ => return None,
                }
                let start = expect(bytes, skip_space(bytes, before + 1), b'"')?;
                let (end, _) = string_end(bytes, start)?;
                let value_at = skip_space(bytes, expect(bytes, skip_space(bytes, end + 1), b':')?);
                let key = keys.place(&text[start..end]).unwrap_or(FREE);
                shape.learn(nth, &bytes[at..value_at], key);
                (key, value_at)
            }
        };
        if key != FREE
            && bytes.get(value_at) == Some(&b'"')
            && let (end, true) = string_end(bytes, value_at + 1)?
        {
            if !row.text(keys.at(key), &text[value_at + 1..end]) {
                return None;
            }
            at = end + 1;
            continue;
        }
        let found = value(text, value_at);
        let (value, after) = found.as_ref()?;
        let name = if key == FREE { Name::Free(unquoted(&text[at..value_at])) } else { Name::Key(keys.at(key)) };
        if !row.value(name, value) {
            return None;
        }
        at = *after;
    }
    None
}

/// What stands between the first quote and the last.
#[inline(never)]
fn unquoted(text: &str) -> &str {
    let quoted = text.trim_matches(|c| c != '"');
    &quoted[1..quoted.len() - 1]
}

#[inline]
fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (*bytes.get(at)? == byte).then_some(at + 1)
}

/// The eight bytes from `at` on; zeros behind the end.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map_or_else(|| last_word(bytes, at), |chunk| u64::from_le_bytes(*chunk))
}

#[inline(never)]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    bytes[at.min(bytes.len())..].iter().rev().fold(0, |word, b| word << 8 | u64::from(*b))
}

/// The value at `at` and where it ends, if it is of the usual kind.
#[inline]
pub(super) fn value(text: &str, at: usize) -> Option<(Scalar<'_>, usize)> {
    let bytes = text.as_bytes();
    let literal = |word: &str, value| bytes[at..].starts_with(word.as_bytes()).then_some((value, at + word.len()));
    match bytes.get(at)? {
        b'"' => {
            let (end, is_printable) = string_end(bytes, at + 1)?;
            let text = &text[at + 1..end];
            Some((if is_printable { Scalar::Printable(text) } else { Scalar::Text(text) }, end + 1))
        }
        b'0'..=b'9' => number(bytes, at),
        b't' => literal("true", Scalar::Bool(true)),
        b'f' => literal("false", Scalar::Bool(false)),
        b'n' => literal("null", Scalar::Null),
        _ => None,
    }
}

/// The place of the closing quote, and whether all before it is printable ASCII; `None` where an escape or control character
/// comes before it.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    loop {
        let w = word(bytes, at);
        // The lowest high bit is that of the first quote, backslash, or byte below 0x20 or above 0x7E; the end is one of those.
        let odd = zeros(w ^ (ONES * 0x22)) | zeros(w ^ (ONES * 0x5C));
        let odd = odd | ((w | w.wrapping_sub(ONES * 0x20) | w.wrapping_add(ONES)) & HIGHS);
        if odd != 0 {
            at += odd.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    if *bytes.get(at)? == b'"' { Some((at, true)) } else { Some((unusual_string_end(bytes, at)?, false)) }
}

#[cold]
fn unusual_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
    (bytes[end] == b'"').then_some(end)
}

/// Powers of ten that a float holds exactly.
const TENS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Digits with at most one point and at most 15 digits in all, so that digits and power of ten are exact and their quotient is
/// the nearest float (Clinger 1990); whole numbers up to 18 digits.
#[inline]
fn number(bytes: &[u8], start: usize) -> Option<(Scalar<'static>, usize)> {
    let (whole, digits) = digits(bytes, start, 0);
    if whole > 18 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut at = start + whole;
    match bytes.get(at) {
        Some(b'.') if whole <= 15 => {
            at += 1;
            let (parts, digits) = self::digits(bytes, at, digits);
            at += parts;
            let is_exact = parts > 0 && whole + parts <= 15 && !matches!(bytes.get(at), Some(b'e' | b'E' | b'.'));
            is_exact.then(|| (Scalar::Float(digits as f64 / TENS[parts]), at))
        }
        Some(b'.' | b'e' | b'E') => None,
        _ => Some((Scalar::Unsigned(digits), at)),
    }
}

/// How many digits stand at `at`, and `number` followed by them; of more than 18 only that they are more counts.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (usize, u64) {
    const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let start = at;
    // Eight at a time (Lemire): where fewer are digits, they move to the end and zeros go before them.
    loop {
        let w = word(bytes, at) ^ 0x3030_3030_3030_3030;
        let odd = (w | w.wrapping_add(0x7676_7676_7676_7676)) & HIGHS;
        let count = odd.trailing_zeros() as usize / 8;
        if count == 0 {
            return (at - start, number);
        }
        let w = w << (64 - 8 * count);
        let w = w.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00FF_00FF_00FF_00FF;
        let w = w.wrapping_mul(1 + (100 << 16)) >> 16 & 0x0000_FFFF_0000_FFFF;
        let eight = w.wrapping_mul(1 + (10_000 << 32)) >> 32;
        number = number.wrapping_mul(POWERS[count]).wrapping_add(eight);
        at += count;
        if count < 8 || at - start > 18 {
            return (at - start, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names and values as text.
    struct Values<'k> {
        keys: &'k KeyTable,
        found: Vec<(String, String)>,
    }

    impl<'a> Take<'a, '_> for Values<'_> {
        fn text(&mut self, key: &Key, text: &'a str) -> bool {
            self.value(Name::Key(key), &Scalar::Printable(text))
        }

        fn value(&mut self, name: Name<'a, '_>, value: &Scalar<'a>) -> bool {
            let name = match name {
                Name::Key(key) => &key.name,
                Name::Free(name) => {
                    assert_eq!(self.keys.place(name), None);
                    name
                }
            };
            self.found.push((name.to_string(), format!("{value:?}")));
            true
        }
    }

    fn values(text: &str) -> Option<Vec<(String, String)>> {
        let (keys, mut shape) = (KeyTable::canonical(), Shape::default());
        let first = values_with(text, &keys, &mut shape);
        assert_eq!(values_with(text, &keys, &mut shape), first, "a row known by its shape is the same");
        first
    }

    fn values_with(text: &str, keys: &KeyTable, shape: &mut Shape) -> Option<Vec<(String, String)>> {
        let mut values = Values { keys, found: vec![] };
        let end = read(text, keys, shape, &mut values)?;
        (end == text.trim_end().len()).then_some(values.found)
    }

    /// Rows, rows cut short, and what is not a row at all.
    fn any_row() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["id", "type", "session", "event_time", "value", "x", "ä", ""]);
        let value = prop::sample::select(vec![
            "1",
            "12.5",
            "-1",
            "\"a\"",
            "\"\\n\"",
            "true",
            "null",
            "[1]",
            "12345678901234567890",
            "",
        ]);
        let blank = prop::sample::select(vec!["", " ", "\t"]);
        let member = (name, value, blank).prop_map(|(name, value, blank)| format!("\"{name}\"{blank}:{blank}{value}"));
        let row = prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
        let torn = (row.clone(), any::<prop::sample::Index>()).prop_map(|(row, cut)| {
            let places: Vec<usize> = row.char_indices().map(|(at, _)| at).collect();
            row[..places[cut.index(places.len())]].to_string()
        });
        prop_oneof![3 => row, 1 => torn, 1 => "(?s).{0,60}", 1 => "[{}\":,\\\\a0. ]{0,40}"]
    }

    #[test]
    fn rows_of_other_shapes_are_read_as_well() {
        let (keys, mut shape) = (KeyTable::canonical(), Shape::default());
        let long = format!("\"{}\":3", "n".repeat(20));
        for row in [
            r#"{"id":"a","type":"play","value":1}"#.to_string(),
            r#"{"type":"play","id":"a","value":1}"#.into(),
            r#"{"id": "a", "type" : "play", "value":1}"#.into(),
            r#"{"id":"a"}"#.into(),
            format!("{{\"id\":\"a\",{long},\"type\":\"b\"}}"),
            format!("{{{long},\"id\":\"a\",\"value\":2}}"),
            format!("{{{}\"z\":1}}", "\"a\":1,".repeat(40)),
        ] {
            for _ in 0..2 {
                let fresh = values_with(&row, &keys, &mut Shape::default());
                assert!(fresh.is_some(), "{row}");
                assert_eq!(values_with(&row, &keys, &mut shape), fresh, "{row}");
            }
        }
    }

    #[test]
    fn the_usual_row_is_read_whole() {
        let row = r#"{"a":"x", "b" :12.345,"c":1760000000000,"d":null,"e":true,"f":"härifrån"}"#;
        let expected = [
            ("a", "Printable(\"x\")"),
            ("b", "Float(12.345)"),
            ("c", "Unsigned(1760000000000)"),
            ("d", "Null"),
            ("e", "Bool(true)"),
            ("f", "Text(\"härifrån\")"),
        ];
        let expected = expected.map(|(n, v)| (n.to_string(), v.to_string())).to_vec();
        assert_eq!(values(row), Some(expected));
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_full_reader() {
        for row in [
            r#"{"a":"x\n"}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":-1}"#,
            r#"{"a":1e5}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":1}x"#,
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{}"#,
            "[]",
            "",
            "{\"a\":\"\u{1}\"}",
            r#"{"a":1.2.3}"#,
            r#"{"a":12345678901234567890}"#,
            r#"{"a":0.1234567890123456}"#,
            r#"{"a" "b"}"#,
            r#"{"a":tru}"#,
        ] {
            assert_eq!(values(row), None, "{row}");
        }
    }

    proptest! {
        #[test]
        fn a_number_read_here_is_the_float_that_the_standard_library_reads(text in "[0-9]{1,22}(\\.[0-9]{1,16})?") {
            if let Some((value, end)) = number(text.as_bytes(), 0) {
                prop_assert_eq!(end, text.len());
                match value {
                    Scalar::Float(x) => prop_assert_eq!(x.to_bits(), text.parse::<f64>().expect("a number").to_bits()),
                    other => prop_assert_eq!(format!("{other:?}"), format!("Unsigned({})", text.parse::<u64>().expect("a number"))),
                }
            }
        }

        #[test]
        fn the_end_of_a_string_is_its_first_quote(text in "[ -~é]{0,30}", tail in "[ -~]{0,20}") {
            let body = format!("{text}\"{tail}");
            let end = body.bytes().position(|b| b == b'"' || b == b'\\').filter(|at| body.as_bytes()[*at] == b'"');
            let expected = end.map(|end| (end, body[..end].is_ascii()));
            prop_assert_eq!(string_end(body.as_bytes(), 0), expected);
        }

        #[test]
        fn arbitrary_rows_never_panic_and_after_any_others_are_read_alike_or_left(rows in prop::collection::vec(any_row(), 1..8)) {
            let (keys, mut shape) = (KeyTable::canonical(), Shape::default());
            for row in &rows {
                let found = values_with(row, &keys, &mut shape);
                prop_assert!(found.is_none() || found == values_with(row, &keys, &mut Shape::default()), "{} gives {:?}", row, found);
            }
        }
    }
}
