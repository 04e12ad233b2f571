//! What is counted in the text of an expression before it is parsed, so that the parser's recursion is bounded by it.

/// Bytes of an expression.
pub(super) const BYTES_MAX: usize = 4096;
/// Brackets within brackets, and operators within operators. The parser recurses into them: unoptimised, it needs three quarters
/// of a megabyte of stack for so many.
pub(super) const NESTING_MAX: usize = 64;
/// Operators, dots and brackets in all. The parser recurses along a chain of them (`a + b + …`), with less stack for each.
pub(super) const OPERATORS_MAX: usize = 512;

/// Line and column, both from 1, columns in characters, of a byte of the source.
pub(super) fn place(source: &str, byte: usize) -> (usize, usize) {
    let before = source.get(..byte).unwrap_or(source);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// What an expression has too much of, and the byte where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TooMuch {
    Nesting(usize),
    Operators(usize),
}

/// Counts brackets and operators outside of texts and comments.
pub(super) fn scan(source: &str) -> Result<(), TooMuch> {
    let bytes = source.as_bytes();
    let (mut at, mut depth, mut operators) = (0, 0usize, 0);
    while at < bytes.len() {
        let here = at;
        at = match bytes[at] {
            b'\'' | b'"' => after_text(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => after_line(bytes, at),
            _ => at + 1,
        };
        match bytes[here] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(TooMuch::Nesting(here));
        }
        operators += usize::from(b"([{.?+-*/%<>=!&|:".contains(&bytes[here]) && at == here + 1);
        if operators > OPERATORS_MAX {
            return Err(TooMuch::Operators(here));
        }
    }
    Ok(())
}

/// The byte after the text that begins at `at`, or the end where it does not end.
fn after_text(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let is_triple = bytes[at..].starts_with(&[quote; 3]);
    let ending = if is_triple { 3 } else { 1 };
    let prefix = bytes[..at].iter().rev().take(2).take_while(|b| b.is_ascii_alphabetic());
    let is_raw = prefix.into_iter().any(|b| b.eq_ignore_ascii_case(&b'r'));
    let mut i = at + ending;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if !is_raw => i += 2,
            b'\n' if !is_triple => return i,
            b if b == quote && bytes[i..].iter().take(ending).filter(|b| **b == quote).count() == ending => {
                return i + ending;
            }
            _ => i += 1,
        }
    }
    bytes.len()
}

fn after_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_and_comments_do_not_nest() {
        let brackets = "(".repeat(100);
        for source in [
            format!("'{brackets}'"),
            format!("\"\\\"{brackets}\""),
            format!("'''{brackets}'\n{brackets}'''"),
            format!("1 // {brackets}"),
            format!("r'\\' + '{brackets}'"),
        ] {
            assert_eq!(scan(&source), Ok(()), "{source}");
        }
    }

    #[test]
    fn limits_hold_exactly() {
        let nested = |n: usize| "(".repeat(n) + "1" + &")".repeat(n);
        assert_eq!(scan(&nested(NESTING_MAX)), Ok(()));
        assert_eq!(scan(&nested(NESTING_MAX + 1)), Err(TooMuch::Nesting(NESTING_MAX)));
        assert_eq!(scan(&"-".repeat(OPERATORS_MAX)), Ok(()));
        assert_eq!(scan(&"-".repeat(OPERATORS_MAX + 1)), Err(TooMuch::Operators(OPERATORS_MAX)));
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(place("a", 0), (1, 1));
        assert_eq!(place("é\nüb", 5), (2, 2));
    }
}
