//! A course of levels: one factor after the other, each for as long, and then from the first again.
//!
//! A level holds from its beginning to before its end. Beginnings are whole multiples of the length, so nothing drifts however often the course
//! is repeated, and a time within a level never passes its end, so times are in order.

use crate::span::Span;
use std::ops::Range;

/// Most levels of a course.
pub const LEVELS_MAX: usize = 1000;

/// Levels, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Length of each.
    every: Span,
    factors: Vec<f64>,
    /// The integral at the beginning of each, and at the end of the last.
    areas: Vec<f64>,
}

impl Levels {
    /// At most [`LEVELS_MAX`] factors above 0, in their order.
    pub fn new(every: Span, factors: Vec<f64>) -> Levels {
        assert!((1..=LEVELS_MAX).contains(&factors.len()), "{} levels", factors.len());
        let mut area = 0.0;
        let ends = factors.iter().map(|factor| {
            area += factor * every.seconds();
            area
        });
        let areas = std::iter::once(0.0).chain(ends).collect();
        Levels { every, factors, areas }
    }

    /// Length of each.
    pub fn every(&self) -> Span {
        self.every
    }

    /// Runs of equal factors, in their order, with how many there are.
    pub fn runs(&self) -> impl Iterator<Item = (f64, usize)> {
        self.factors.chunk_by(|a, b| a == b).map(|run| (run[0], run.len()))
    }

    /// Begin of the last, seconds.
    pub(super) fn last_begins(&self) -> f64 {
        (self.factors.len() - 1) as f64 * self.every.seconds()
    }

    pub(super) fn factor(&self, t: f64) -> f64 {
        self.factors[self.place(t).1]
    }

    pub(super) fn integral(&self, t: f64) -> f64 {
        let (before, nth) = self.place(t);
        let within = t - self.bounds(before, nth).start;
        before * self.whole() + self.areas[nth] + self.factors[nth] * within.max(0.0)
    }

    pub(super) fn reaches(&self, area: f64) -> f64 {
        let before = (area / self.whole()).floor();
        let left = (area - before * self.whole()).max(0.0);
        let nth = self.areas[1..].partition_point(|end| *end <= left).min(self.factors.len() - 1);
        let bounds = self.bounds(before, nth);
        (bounds.start + (left - self.areas[nth]) / self.factors[nth]).min(bounds.end)
    }

    /// How often the course is over at `t`, and which level holds.
    fn place(&self, t: f64) -> (f64, usize) {
        let (level, count) = ((t / self.every.seconds()).floor(), self.factors.len() as f64);
        let before = (level / count).floor();
        (before, (level - before * count) as usize)
    }

    fn bounds(&self, before: f64, nth: usize) -> Range<f64> {
        let level = before * self.factors.len() as f64 + nth as f64;
        level * self.every.seconds()..(level + 1.0) * self.every.seconds()
    }

    fn whole(&self) -> f64 {
        self.areas[self.factors.len()]
    }
}
