//! Hour of day and day of week of the latest event, as sine and cosine, in the viewer's own time zone.
//!
//! The zone is that of the latest event that named one (IANA name); UTC before that. Its offset is that of the moment shown, so
//! a change of the clocks is followed whether or not an event names the zone again.

use super::{Moment, Step};
use crate::math;
use crate::zones::Zones;
use std::cell::Cell;
use std::sync::Arc;

/// Names of the figures, in the order of `LocalTime::outputs`' numbers.
pub(crate) const OUTPUTS: [&str; 4] = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"];

const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const MONDAY_S: i64 = 3 * DAY_S;

#[derive(Debug)]
pub(crate) struct LocalTime {
    /// Input of the zone.
    pub zone: usize,
    pub zones: Arc<Zones>,
    /// Positions in [`OUTPUTS`].
    pub outputs: Vec<usize>,
}

/// What the clocks of some zones showed at some seconds: most events that come together are of few seconds and zones.
#[derive(Debug, Default)]
pub(crate) struct Clocks([Cell<Option<Clock>>; CLOCKS]);

const CLOCKS: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Clock {
    zone: u64,
    /// Of UTC.
    second: i64,
    /// In the order of [`OUTPUTS`].
    figures: [f32; OUTPUTS.len()],
}

impl LocalTime {
    #[inline(never)]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if let Some(zone) = step.word(self.zone) {
            state[0] = zone;
        }
    }

    #[inline]
    pub(crate) fn read(&self, state: &[u64], at: &Moment<'_>, out: &mut [f32]) {
        let (zone, second) = (state[0], at.time.div_euclid(1000));
        let cell = &at.clocks.0[(zone ^ second as u64) as usize % CLOCKS];
        let known = cell.get().filter(|clock| (clock.zone, clock.second) == (zone, second));
        let clock = known.unwrap_or_else(|| {
            let clock = Clock { zone, second, figures: self.figures(zone, second, at.time) };
            cell.set(Some(clock));
            clock
        });
        for (slot, output) in out.iter_mut().zip(&self.outputs) {
            *slot = clock.figures[*output];
        }
    }

    #[inline(never)]
    fn figures(&self, zone: u64, second: i64, time: i64) -> [f32; OUTPUTS.len()] {
        let offset = if zone == 0 { 0 } else { self.zones.offset_s(zone, time) };
        let local = second + offset;
        let turns = |period: i64, shift: i64| (local + shift).rem_euclid(period) as f64 / period as f64;
        let (hour, weekday) = (math::sin_cos_turns(turns(DAY_S, 0)), math::sin_cos_turns(turns(WEEK_S, MONDAY_S)));
        [hour.0, hour.1, weekday.0, weekday.1].map(|figure| figure as f32)
    }
}
