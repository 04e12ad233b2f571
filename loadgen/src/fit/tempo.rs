//! Whether viewers act faster where the rate is high, or more of them are there; and what time it is for them.
//!
//! Players report as regularly as they can. So if reports of the log are more alike when lengths are told in a time that passes as fast as the
//! rate is high, viewers hurry, as those of a load generator do; people do not.

use super::estimate::LEAST;
use super::lengths::Lengths;
use super::rate::Found;
use crate::schedule::Shape;

/// The time of a log's viewers.
pub(super) enum Tempo {
    /// It is that of the log.
    Even,
    /// It passes as fast as the rate is high, from the first event of the log on, epoch milliseconds.
    Hurried { shape: Shape, first: i64 },
}

impl Tempo {
    /// The one in which reports of players are more alike.
    pub(super) fn of(found: Option<&Found>, first: i64, reports: &Lengths) -> Tempo {
        let Some(Found { shape: shape @ Shape::Levels(_), .. }) = found else { return Tempo::Even };
        let hurried = Tempo::Hurried { shape: shape.clone(), first };
        let spread = |tempo: &Tempo| reports.spread(|ms| tempo.ms(ms));
        if reports.len() >= LEAST && spread(&hurried) < spread(&Tempo::Even) { hurried } else { Tempo::Even }
    }

    /// Viewers act faster where the rate is high.
    pub(super) fn hurries(&self) -> bool {
        matches!(self, Tempo::Hurried { .. })
    }

    /// Their time, milliseconds, at so many epoch milliseconds.
    pub(super) fn ms(&self, at: i64) -> f64 {
        match self {
            Tempo::Even => at as f64,
            Tempo::Hurried { shape, first } => {
                let s = (at - first) as f64 / 1e3;
                // What is dated before the beginning is as fast as that.
                1e3 * if s < 0.0 { s * shape.factor(0.0) } else { shape.integral(s) }
            }
        }
    }
}
