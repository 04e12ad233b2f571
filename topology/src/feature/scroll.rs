//! Scroll depth and velocity from `scroll` events that carry a depth (percent of the page, pixels, or any unit kept to).

use super::{Filter, Shown, Step, add, keep, kept};

pub(crate) const WORDS: usize = 5;

/// Names of the figures, in the order of `Scroll::outputs`' numbers: greatest depth, latest depth, absolute change per second
/// between the latest two events of one gesture, and the way scrolled within gestures.
pub(crate) const OUTPUTS: [&str; 4] = ["depth_max", "depth_last", "velocity", "travel"];

/// Scroll events further apart than this are separate gestures: there is no velocity between them.
const GESTURE_MS: i64 = 2000;

const DEPTH_MAX: usize = 0;
const DEPTH_LAST: usize = 1;
const VELOCITY: usize = 2;
const TRAVEL: usize = 3;
const TIME_LAST: usize = 4;

#[derive(Debug)]
pub(crate) struct Scroll {
    pub filter: Filter,
    /// Input of the depth.
    pub depth: usize,
    pub outputs: Vec<usize>,
    pub shown: Shown,
}

impl Scroll {
    #[inline(never)]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        let Some(depth) = step.number(self.depth) else { return };
        let since = step.time - state[TIME_LAST] as i64;
        if let Some(previous) = kept(state[DEPTH_LAST])
            && (1..=GESTURE_MS).contains(&since)
        {
            let way = (depth - previous).abs();
            state[VELOCITY] = keep(way * 1000.0 / since as f64);
            add(&mut state[TRAVEL], way);
        }
        state[DEPTH_MAX] = keep(kept(state[DEPTH_MAX]).map_or(depth, |x| x.max(depth)));
        state[DEPTH_LAST] = keep(depth);
        state[TIME_LAST] = step.time as u64;
    }

    #[inline(never)]
    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        for (slot, output) in out.iter_mut().zip(&self.outputs) {
            let figure = match *output {
                TRAVEL => (state[TIME_LAST] != 0).then(|| f64::from_bits(state[TRAVEL])),
                word => kept(state[word]),
            };
            *slot = self.shown.slot(figure);
        }
    }
}
