//! How events are spread over the integral of the rate.

use crate::seeded::{Stream, keyed, unit};
use saccade_topology::math::ln;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// How events are spread where the rate is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Event `i` where the integral of the rate is `i`.
    #[default]
    Even,
    /// As from many independent senders: gaps between events are exponential, within blocks of 1,024 that take as long as even ones do; a
    /// request of several events is due with its last.
    Poisson,
}

impl Display for Arrivals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arrivals::Even => "even",
            Arrivals::Poisson => "poisson",
        })
    }
}

/// Events of a block of [`Arrivals::Poisson`].
const BLOCK: u64 = 1024;

/// The places of one block of a Poisson process.
///
/// A Poisson process that is known to have `n` points in an interval has them where `n` independent uniform draws fall: the running
/// sums of `n + 1` exponential gaps over their total (Devroye 1986, V.2.1). Blocks hold exactly [`BLOCK`] events each, the last one those that are
/// left, so any number can be placed without those before its block, nothing drifts, and the end is where it was asked for.
#[derive(Default)]
pub(super) struct Block {
    /// Number of the block whose places are kept, if any.
    number: Option<u64>,
    places: Vec<f64>,
}

impl Block {
    /// Where event `i` of so many is: from `i − BLOCK` to `i + BLOCK`, never before event `i − 1`.
    pub(super) fn place(&mut self, seed: u64, i: u64, events: u64) -> f64 {
        let number = i / BLOCK;
        if self.number != Some(number) {
            // What is asked for beyond the last event is as if the plan went on.
            let len = events.checked_sub(number * BLOCK).filter(|left| *left > 0).map_or(BLOCK, |left| left.min(BLOCK));
            self.fill(seed, number, len);
        }
        (number * BLOCK) as f64 + self.places[(i % BLOCK) as usize]
    }

    /// The first `len` fill as much room as they are.
    fn fill(&mut self, seed: u64, number: u64, len: u64) {
        let mut sum = 0.0;
        let gap = |k| -ln(unit(keyed(seed, Stream::Arrival, number * (BLOCK + 1) + k)));
        self.places.clear();
        self.places.extend((0..BLOCK).map(|k| {
            sum += gap(k);
            sum
        }));
        let whole = self.places[len as usize - 1] + gap(len);
        let scale = len as f64 / whole;
        self.places.iter_mut().for_each(|place| *place *= scale);
        self.number = Some(number);
    }
}
