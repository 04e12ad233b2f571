//! Shapes as text: a name, and after a colon what it takes; the same on the command line and in a profile. Read, and written back.

use super::levels::{LEVELS_MAX, Levels};
use super::shape::Shape;
use crate::span::Span;
use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

/// What can be written.
const FORMS: &str = "constant · ramp:from=0.1,to=1,over=60s · step:every=10s,by=0.5,steps=6 · sine:period=10m,low=0.2 · \
                     spike:at=10s,for=5s,times=4 · levels:every=10s,of=0.5x6/2.5/1x3";
/// Factors of the base rate.
const FACTOR: RangeInclusive<f64> = 0.001..=1000.0;
/// Stairs of a `step`.
const STEPS: RangeInclusive<f64> = 1.0..=1000.0;

impl Shape {
    /// Reads for example `spike:at=10s,for=5s,times=4`.
    pub fn parse(text: &str) -> Result<Shape, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut of = Settings::read(text, rest)?;
        let shape = match name {
            "constant" => Shape::Constant,
            "ramp" => {
                Shape::Ramp { from: of.number("from", FACTOR)?, to: of.number("to", FACTOR)?, over: of.span("over")? }
            }
            "step" => Shape::Step {
                every: of.span("every")?,
                by: of.number("by", FACTOR)?,
                steps: of.number("steps", STEPS)? as u32,
            },
            "sine" => Shape::Sine { period: of.span("period")?, low: of.number("low", 0.001..=1.0)? },
            "spike" => Shape::Spike { at: of.span("at")?, lasts: of.span("for")?, times: of.number("times", FACTOR)? },
            "levels" => Shape::Levels(Levels::new(of.span("every")?, of.levels("of")?)),
            _ => return Err(format!("there is no shape `{name}`; write one of: {FORMS}")),
        };
        match of.left.first() {
            None => Ok(shape),
            Some((name, _)) => Err(format!("the shape `{text}` takes no `{name}`; write one of: {FORMS}")),
        }
    }
}

/// `name=value` pairs that were not asked for yet.
struct Settings<'a> {
    text: &'a str,
    left: Vec<(&'a str, &'a str)>,
}

impl<'a> Settings<'a> {
    fn read(text: &'a str, rest: &'a str) -> Result<Self, String> {
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim(), value.trim()))
        };
        let pairs: Option<Vec<_>> = rest.split(',').filter(|part| !part.is_empty()).map(pair).collect();
        let left = pairs
            .ok_or_else(|| format!("the shape `{text}` is not name=value after its colon; write one of: {FORMS}"))?;
        Ok(Settings { text, left })
    }

    fn take(&mut self, name: &str) -> Result<&'a str, String> {
        let place = self.left.iter().position(|(n, _)| *n == name);
        let place = place.ok_or_else(|| format!("the shape `{}` lacks `{name}`; write one of: {FORMS}", self.text))?;
        Ok(self.left.remove(place).1)
    }

    fn span(&mut self, name: &str) -> Result<Span, String> {
        Span::parse(self.take(name)?).map_err(|e| format!("the shape `{}`, `{name}`: {e}", self.text))
    }

    fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
        let text = self.take(name)?;
        self.number_of(text, name, range)
    }

    fn number_of(&self, text: &str, name: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
        let number = text.parse().ok().filter(|x| range.contains(x));
        let (from, to) = (range.start(), range.end());
        number.ok_or_else(|| {
            format!("the shape `{}`: `{name}` is `{text}`; write a number from {from} to {to}", self.text)
        })
    }

    /// Factors one after the other; `0.5x6` is six times the same.
    fn levels(&mut self, name: &str) -> Result<Vec<f64>, String> {
        let mut levels = Vec::new();
        for level in self.take(name)?.split('/').map(str::trim) {
            let (factor, times) = level.split_once('x').unwrap_or((level, "1"));
            let factor = self.number_of(factor, name, FACTOR)?;
            let times = times.parse().ok().filter(|times| (1..=LEVELS_MAX - levels.len()).contains(times));
            let times = times.ok_or_else(|| {
                format!("the shape `{}`: `{name}` has `{level}`; write 1 to {LEVELS_MAX} levels in all", self.text)
            })?;
            levels.extend(std::iter::repeat_n(factor, times));
        }
        Ok(levels)
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Constant => write!(f, "constant"),
            Shape::Ramp { from, to, over } => write!(f, "ramp:from={from},to={to},over={over}"),
            Shape::Step { every, by, steps } => write!(f, "step:every={every},by={by},steps={steps}"),
            Shape::Sine { period, low } => write!(f, "sine:period={period},low={low}"),
            Shape::Spike { at, lasts, times } => write!(f, "spike:at={at},for={lasts},times={times}"),
            Shape::Levels(levels) => {
                write!(f, "levels:every={},of=", levels.every())?;
                levels.runs().enumerate().try_for_each(|(nth, (factor, times))| {
                    let between = if nth > 0 { "/" } else { "" };
                    if times > 1 { write!(f, "{between}{factor}x{times}") } else { write!(f, "{between}{factor}") }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in FORMS.split(" · ").map(str::trim) {
            let shape = Shape::parse(text).expect(text);
            assert_eq!(Shape::parse(&shape.to_string()), Ok(shape), "{text}");
        }
    }

    #[test]
    fn as_many_levels_as_are_allowed_are_read() {
        let shape = Shape::parse("levels:every=1s,of=1x999/2").expect("a thousand");
        assert_eq!(shape.to_string(), "levels:every=1s,of=1x999/2");
        assert_eq!((shape.factor(998.5), shape.factor(999.5), shape.factor(1_000.5)), (1.0, 2.0, 1.0));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_can_be_written() {
        for (text, wanted) in [
            ("wave", "wave"),
            ("constant:at=1s", "at"),
            ("spike:at=10s,for=5s", "times"),
            ("spike:at=10s,for=5s,times=0", "0.001 to 1000"),
            ("spike:at=10s,for=5,times=2", "whole number"),
            ("spike:at=0s,for=5s,times=2", "`at`: `0s` is 0, which is no span: write at least 1ms"),
            ("ramp:from", "name=value"),
            ("sine:period=10m,low=2", "0.001 to 1"),
            ("levels:of=1", "every"),
            ("levels:every=1s,of=", "0.001 to 1000"),
            ("levels:every=1s,of=1/0/2", "0.001 to 1000"),
            ("levels:every=1s,of=1x0", "1 to 1000 levels"),
            ("levels:every=1s,of=1x99999999999999999999", "1 to 1000 levels"),
            ("levels:every=1s,of=1x1000/2", "1 to 1000 levels"),
            ("levels:every=1s,of=1/1x18446744073709551615", "1 to 1000 levels"),
        ] {
            let message = Shape::parse(text).expect_err(text);
            assert!(message.contains(wanted), "{message:?} names {wanted:?}");
        }
    }
}
