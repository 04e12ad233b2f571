//! Values of options as people write them: each either is understood or says how to write it.

use std::ops::RangeInclusive;
use std::time::Duration;

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
    const RULE: &str = "write a whole number with ms, s, m or h, at most 24h, for example 500ms or 30s";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(RULE.into()),
    };
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms));
    ms.filter(|ms| (1..=86_400_000).contains(ms)).map(Duration::from_millis).ok_or_else(|| RULE.into())
}

pub(super) fn skew(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..=5.0).contains(x));
    number.ok_or_else(|| "write a number from 0 to 5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn durations_have_a_unit_and_a_limit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["30", "s", "0s", "-1s", "1.5s", "25h", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
