//! When what is sent: a pure function of shape, rate, arrivals, batch sizes, seed and number.
//!
//! With the shape `constant` and even arrivals, event `i` is due `i·10⁹/rate` nanoseconds after the start, in exact integers; with
//! another shape, when the integral of the rate reaches `i`. A batch is due when its last event is. Nothing here knows the clock or
//! the server, so a slow server cannot stretch the schedule (no coordinated omission).

mod arrivals;
mod levels;
mod parse;
mod shape;

pub use arrivals::Arrivals;
pub use levels::Levels;
pub use shape::Shape;

use crate::seeded::{Stream, keyed};
use arrivals::Block;
use std::ops::RangeInclusive;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What is asked for on the command line, as far as the schedule depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Events per second where the shape is at its base, at least 1.
    pub rate: u64,
    /// How the rate changes.
    pub shape: Shape,
    /// How events are spread where the rate is what it is.
    pub arrivals: Arrivals,
    /// Events per request, at least 1.
    pub batch: RangeInclusive<u32>,
    /// Events in all.
    pub events: u64,
    /// Same seed, same batches and arrivals.
    pub seed: u64,
}

/// One request of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Number of its first event, from 0.
    pub first: u64,
    /// How many events it carries.
    pub len: u32,
    /// Nanoseconds from the start at which it is to be sent.
    pub due_ns: u64,
}

impl Plan {
    /// Events that are due within `duration_ns` of the start.
    pub fn events_in(rate: u64, shape: &Shape, duration_ns: u64) -> u64 {
        if *shape == Shape::Constant {
            let events = u128::from(rate) * u128::from(duration_ns) / NANOS_PER_SECOND;
            return u64::try_from(events).expect("the command line limits rate and duration");
        }
        (shape.integral(duration_ns as f64 / 1e9) * rate as f64) as u64
    }

    /// Nanoseconds from the start at which event `i` is due. [`Timetable`] is faster for one after the other.
    #[cfg(test)]
    pub fn event_due_ns(&self, i: u64) -> u64 {
        Timetable::new(self.clone()).due_ns(i)
    }

    /// How many events the request has that begins with event `first`.
    pub fn batch_len(&self, first: u64) -> u32 {
        let sizes = self.batch.end() - self.batch.start() + 1;
        self.batch.start() + (keyed(self.seed, Stream::Batch, first) % u64::from(sizes)) as u32
    }

    /// All requests, in order, where every one is a batch of events.
    pub fn requests(&self) -> impl Iterator<Item = Due> + use<> {
        let (plan, mut table, mut first) = (self.clone(), Timetable::new(self.clone()), 0);
        std::iter::from_fn(move || {
            let left = plan.events.checked_sub(first).filter(|left| *left > 0)?;
            let len = u64::from(plan.batch_len(first)).min(left);
            let due = Due { first, len: len as u32, due_ns: table.due_ns(first + len - 1) };
            first += len;
            Some(due)
        })
    }
}

/// Due times of a plan. It remembers only what it computed last: any number may be asked for, neighbours are cheap.
pub struct Timetable {
    plan: Plan,
    block: Block,
}

impl Timetable {
    /// The due times of `plan`.
    pub fn new(plan: Plan) -> Self {
        Timetable { plan, block: Block::default() }
    }

    /// Nanoseconds from the start at which event `i` is due.
    pub fn due_ns(&mut self, i: u64) -> u64 {
        let plan = &self.plan;
        if plan.shape == Shape::Constant && plan.arrivals == Arrivals::Even {
            let due = u128::from(i) * NANOS_PER_SECOND / u128::from(plan.rate);
            return u64::try_from(due).expect("the command line limits rate and duration");
        }
        let place = match plan.arrivals {
            Arrivals::Even => i as f64,
            Arrivals::Poisson => self.block.place(plan.seed, i, plan.events),
        };
        (plan.shape.reaches(place / plan.rate as f64) * 1e9) as u64
    }
}

#[cfg(test)]
mod tests;
