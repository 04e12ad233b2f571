//! How the rate changes over a run: as a factor of the base rate, its integral, and the inverse of the integral.
//!
//! A pure function; times in seconds from the start. Every factor is above 0, so each integral is reached once.

use super::levels::Levels;
use crate::span::Span;
use saccade_topology::math::sin_cos_turns;
use serde::de::{Deserialize, Deserializer, Error};

/// How the rate changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shape {
    /// It does not.
    #[default]
    Constant,
    /// From one factor to another within a span, then it stays.
    Ramp {
        /// Factor at the start.
        from: f64,
        /// Factor at the end.
        to: f64,
        /// How long it takes.
        over: Span,
    },
    /// A stair: every so often it grows by a part of the base rate, a number of times.
    Step {
        /// Length of each stair.
        every: Span,
        /// Growth, a part of the base rate.
        by: f64,
        /// How often it grows.
        steps: u32,
    },
    /// A day: from the base rate at the start down to `low` half a period later, and back.
    Sine {
        /// Length of the day.
        period: Span,
        /// Factor at its lowest.
        low: f64,
    },
    /// Suddenly more, for a while.
    Spike {
        /// When it begins.
        at: Span,
        /// How long it lasts.
        lasts: Span,
        /// Factor while it lasts.
        times: f64,
    },
    /// One factor after the other, each for as long, and from the first again after the last.
    Levels(Levels),
}

impl Shape {
    /// The factor `t` seconds after the start.
    pub fn factor(&self, t: f64) -> f64 {
        match *self {
            Shape::Constant => 1.0,
            Shape::Ramp { from, to, over } => from + (to - from) * (t / over.seconds()).min(1.0),
            Shape::Step { every, by, steps } => 1.0 + by * (t / every.seconds()).floor().min(f64::from(steps)),
            Shape::Sine { period, low } => {
                let (middle, swing) = ((1.0 + low) / 2.0, (1.0 - low) / 2.0);
                middle + swing * sin_cos_turns(t / period.seconds()).1
            }
            Shape::Spike { at, lasts, times } => {
                let inside = t >= at.seconds() && t < at.seconds() + lasts.seconds();
                if inside { times } else { 1.0 }
            }
            Shape::Levels(ref levels) => levels.factor(t),
        }
    }

    /// The largest factor.
    pub fn most(&self) -> f64 {
        match *self {
            Shape::Constant => 1.0,
            Shape::Ramp { from, to, .. } => from.max(to),
            Shape::Step { by, steps, .. } => 1.0f64.max(1.0 + by * f64::from(steps)),
            Shape::Sine { low, .. } => low.max(1.0),
            Shape::Spike { times, .. } => times.max(1.0),
            Shape::Levels(ref levels) => levels.runs().map(|(factor, _)| factor).fold(0.0, f64::max),
        }
    }

    /// What of the shape does not come about in a run of this length, in words.
    pub fn beyond(&self, length: Span) -> Option<String> {
        let (what, at) = match *self {
            Shape::Constant => return None,
            Shape::Ramp { over, .. } => ("the ramp ends", over.seconds()),
            Shape::Step { every, .. } => ("the first step is", every.seconds()),
            Shape::Sine { period, .. } => ("the lowest rate is", period.seconds() / 2.0),
            Shape::Spike { at, .. } => ("the spike begins", at.seconds()),
            Shape::Levels(ref levels) => ("the last level begins", levels.last_begins()),
        };
        let is_beyond = match self {
            Shape::Ramp { .. } => at > length.seconds(),
            _ => at >= length.seconds(),
        };
        is_beyond.then(|| {
            format!("{what} {at} s after the start, but the run is over after {length}: see --shape and --duration")
        })
    }

    /// The integral of the factor over the first `t` seconds.
    pub fn integral(&self, t: f64) -> f64 {
        match *self {
            Shape::Constant => t,
            Shape::Ramp { from, to, over } => {
                let inside = t.min(over.seconds());
                from * inside + (to - from) / over.seconds() * inside * inside / 2.0 + to * (t - inside)
            }
            Shape::Step { every, by, steps } => {
                let whole = (t / every.seconds()).floor().min(f64::from(steps));
                t + by * (whole * t - every.seconds() * whole * (whole + 1.0) / 2.0)
            }
            Shape::Sine { period, low } => {
                let (middle, swing) = ((1.0 + low) / 2.0, (1.0 - low) / 2.0);
                middle * t + swing * period.seconds() / std::f64::consts::TAU * sin_cos_turns(t / period.seconds()).0
            }
            Shape::Spike { at, lasts, times } => t + (times - 1.0) * (t - at.seconds()).clamp(0.0, lasts.seconds()),
            Shape::Levels(ref levels) => levels.integral(t),
        }
    }

    /// When the integral is `area`.
    pub fn reaches(&self, area: f64) -> f64 {
        match *self {
            Shape::Constant => area,
            Shape::Ramp { from, to, over } => {
                let inside = (from + to) / 2.0 * over.seconds();
                if area >= inside {
                    return over.seconds() + (area - inside) / to;
                }
                // The root of slope/2·t² + from·t − area that stays accurate when the slope is near 0.
                let slope = (to - from) / over.seconds();
                2.0 * area / (from + (from * from + 2.0 * slope * area).max(0.0).sqrt())
            }
            Shape::Step { every, by, steps } => step_reaches(every.seconds(), by, steps, area),
            Shape::Sine { period, low } => self.search(area, period.seconds(), (1.0 + low) / 2.0),
            Shape::Spike { at, lasts, times } => {
                let (before, inside) = (at.seconds(), lasts.seconds() * times);
                if area <= before {
                    area
                } else if area <= before + inside {
                    before + (area - before) / times
                } else {
                    area - inside + lasts.seconds()
                }
            }
            Shape::Levels(ref levels) => levels.reaches(area),
        }
    }

    /// Newton's method within bounds that shrink, from where the integral would be without waves.
    fn search(&self, area: f64, period: f64, mean: f64) -> f64 {
        // A whole number of periods has the area of their mean.
        let begun = (area / (mean * period)).floor() * period;
        let (mut low, mut high) = (begun, begun + period);
        let mut t = (area / mean).clamp(low, high);
        for _ in 0..64 {
            let off = self.integral(t) - area;
            if off > 0.0 {
                high = t;
            } else {
                low = t;
            }
            let next = t - off / self.factor(t);
            let next = if next > low && next < high { next } else { (low + high) / 2.0 };
            if (next - t).abs() < 1e-10 {
                return next;
            }
            t = next;
        }
        t
    }
}

fn step_reaches(every: f64, by: f64, steps: u32, area: f64) -> f64 {
    let (mut factor, mut begun, mut left) = (1.0, 0.0, area);
    for _ in 0..steps {
        if left <= factor * every {
            break;
        }
        left -= factor * every;
        begun += every;
        factor += by;
    }
    begun + left / factor
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        Shape::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
