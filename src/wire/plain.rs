//! The usual row, read by hand: one flat object of strings without escapes, plain numbers, truth values and nulls.
//!
//! Anything else ends the attempt, without an error, and the row is read again by `sonic-rs`: what is accepted here, and as
//! what, is what it accepts (held by a test). Measured on W1 rows this takes less than half of its CPU time.

use super::check::Scalar;

/// Calls `set` for every name and value of the object; `None` where `text` is not of the usual kind. `set` says whether to go on.
#[inline]
pub(super) fn read<'a>(text: &'a str, mut set: impl FnMut(&'a str, Scalar<'a>) -> bool) -> Option<()> {
    let bytes = text.as_bytes();
    let mut at = skip_blanks(bytes, 0);
    at = expect(bytes, at, b'{')?;
    loop {
        at = expect(bytes, skip_blanks(bytes, at), b'"')?;
        let end = string_end(bytes, at)?;
        let name = &text[at..end];
        at = expect(bytes, skip_blanks(bytes, end + 1), b':')?;
        let (value, after) = value(text, skip_blanks(bytes, at))?;
        if !set(name, value) {
            return None;
        }
        at = skip_blanks(bytes, after);
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return (skip_blanks(bytes, at + 1) == bytes.len()).then_some(()),
            _ => return None,
        }
    }
}

#[inline]
fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (*bytes.get(at)? == byte).then_some(at + 1)
}

#[inline]
fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

#[inline]
fn value(text: &str, at: usize) -> Option<(Scalar<'_>, usize)> {
    let bytes = text.as_bytes();
    let literal = |word: &str, value| bytes[at..].starts_with(word.as_bytes()).then_some((value, at + word.len()));
    match bytes.get(at)? {
        b'"' => {
            let end = string_end(bytes, at + 1)?;
            Some((Scalar::Text(&text[at + 1..end]), end + 1))
        }
        b'0'..=b'9' => number(bytes, at),
        b't' => literal("true", Scalar::Bool(true)),
        b'f' => literal("false", Scalar::Bool(false)),
        b'n' => literal("null", Scalar::Null),
        _ => None,
    }
}

/// The place of the closing quote; `None` where an escape or control character comes before it.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The lowest high bit that comes out is that of the first quote, backslash or control character.
    let zero = |w: u64| w.wrapping_sub(ONES) & !w & HIGHS;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let w = u64::from_le_bytes(*chunk);
        let odd = zero(w ^ (ONES * 0x22)) | zero(w ^ (ONES * 0x5C)) | (w.wrapping_sub(ONES * 0x20) & !w & HIGHS);
        if odd != 0 {
            at += odd.trailing_zeros() as usize / 8;
            return (bytes[at] == b'"').then_some(at);
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
    (bytes[at + rest] == b'"').then_some(at + rest)
}

/// Powers of ten that a float holds exactly.
const TENS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Digits with at most one point and at most 15 digits in all, so that digits and power of ten are exact and their quotient is
/// the nearest float (Clinger 1990); whole numbers up to 18 digits.
#[inline]
fn number(bytes: &[u8], start: usize) -> Option<(Scalar<'static>, usize)> {
    let (mut at, mut digits) = (start, 0u64);
    let take = |at: &mut usize, digits: &mut u64| {
        let from = *at;
        while let Some(d) = bytes.get(*at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10)
            && *at < start + 19
        {
            *digits = *digits * 10 + u64::from(d);
            *at += 1;
        }
        *at - from
    };
    let whole = take(&mut at, &mut digits);
    if whole > 18 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    match bytes.get(at) {
        Some(b'.') => {
            at += 1;
            let parts = take(&mut at, &mut digits);
            let is_exact = parts > 0 && whole + parts <= 15 && !matches!(bytes.get(at), Some(b'e' | b'E' | b'.'));
            is_exact.then(|| (Scalar::Float(digits as f64 / TENS[parts]), at))
        }
        Some(b'e' | b'E') => None,
        _ => Some((Scalar::Unsigned(digits), at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Option<Vec<(String, String)>> {
        let mut values = vec![];
        read(text, |name, value| {
            values.push((name.to_string(), format!("{value:?}")));
            true
        })?;
        Some(values)
    }

    #[test]
    fn the_usual_row_is_read_whole() {
        let row = r#"{"a":"x", "b" :12.345,"c":1760000000000,"d":null,"e":true,"f":"härifrån"}"#;
        let expected = [
            ("a", "Text(\"x\")"),
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
            let expected = body.bytes().position(|b| b == b'"' || b == b'\\').filter(|at| body.as_bytes()[*at] == b'"');
            prop_assert_eq!(string_end(body.as_bytes(), 0), expected);
        }
    }
}
