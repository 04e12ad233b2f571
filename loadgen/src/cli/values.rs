//! Values of options as people write them: each either is understood or says how to write it.

use crate::span::Span;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Highest rate, events per second.
pub(super) const RATE_MAX: u64 = 10_000_000;

/// A whole number from `from` to `to`.
pub(super) fn whole<T: TryFrom<u64>>(from: u64, to: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse::<u64>().ok().filter(|n| (from..=to).contains(n));
        let rule = || format!("write a whole number from {from} to {to}, without a unit");
        number.and_then(|n| T::try_from(n).ok()).ok_or_else(rule)
    }
}

pub(super) fn batch(text: &str) -> Result<RangeInclusive<u32>, String> {
    const BATCH_MAX: u32 = 10_000;
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=BATCH_MAX).contains(n));
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    match (number(low), number(high.trim_start_matches('='))) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err(format!("write a number or a range within 1..{BATCH_MAX}, both ends included, for example 1..20")),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    Span::parse(text).map(|span| span.0)
}

/// A time, or none.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

pub(super) fn skew(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..=5.0).contains(x));
    number.ok_or_else(|| "write a number from 0 to 5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_range_that_is_told() {
        let rate = whole::<u64>(1, 10_000_000);
        assert_eq!((rate("1"), rate("10000000")), (Ok(1), Ok(10_000_000)));
        for bad in ["0", "10000001", "20k", "1e3", "-1", ""] {
            let error = rate(bad).expect_err(bad);
            assert_eq!(error, "write a whole number from 1 to 10000000, without a unit");
        }
    }

    #[test]
    fn batches_are_numbers_or_ranges_with_both_ends() {
        for (text, expected) in
            [("1..20", Some(1..=20)), ("5", Some(5..=5)), ("3..=4", Some(3..=4)), ("7..7", Some(7..=7))]
        {
            assert_eq!(batch(text).ok(), expected);
        }
        for bad in ["0", "0..5", "5..4", "", "..", "10001", "a"] {
            assert!(batch(bad).is_err(), "{bad}");
        }
    }
}
