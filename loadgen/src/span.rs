//! Lengths of time as people write them, on the command line and in profiles: `250ms`, `30s`, `2m`, `1h`.

use serde::de::{Deserialize, Deserializer, Error};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Longest span.
const SPAN_MAX: Duration = Duration::from_secs(86_400);

/// A length of time from 1 ms to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// The shortest.
    pub const MS: Span = Span(Duration::from_millis(1));

    /// Reads a whole number with its unit.
    pub fn parse(text: &str) -> Result<Span, String> {
        let rule = || {
            format!(
                "`{text}` is no span: write a whole number with ms, s, m or h, from 1ms to 24h, for example 500ms or 30s"
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(rule()),
        };
        if !number.is_empty() && number.bytes().all(|digit| digit == b'0') {
            return Err(format!("`{text}` is 0, which is no span: write at least 1ms"));
        }
        let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).ok_or_else(rule)?;
        let span = Duration::from_millis(ms);
        if span > SPAN_MAX { Err(rule()) } else { Ok(Span(span)) }
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// In microseconds.
    pub fn micros(self) -> u64 {
        self.0.as_micros() as u64
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match [(3_600_000, "h"), (60_000, "m"), (1000, "s")].iter().find(|(unit, _)| ms.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ms / unit),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        Span::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_a_limit() {
        assert_eq!(Span::parse("500ms"), Ok(Span(Duration::from_millis(500))));
        assert_eq!(Span::parse("24h"), Ok(Span(Duration::from_secs(86_400))));
        for text in ["1ms", "1500ms", "90s", "2m", "24h"] {
            assert_eq!(Span::parse(text).map(|span| span.to_string()).as_deref(), Ok(text));
        }
        for bad in ["30", "s", "0s", "-1s", "1.5s", "25h", "99999999999999999999s"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
        for zero in ["0s", "000ms"] {
            let error = Span::parse(zero).expect_err("there has to be some time");
            assert_eq!(error, format!("`{zero}` is 0, which is no span: write at least 1ms"));
        }
    }
}
