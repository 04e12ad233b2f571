//! Hour of day and day of week of the latest event, as sine and cosine, in the viewer's own time zone.
//!
//! The zone is that of the latest event that named one (IANA name); UTC before that. Its offset is that of the moment shown, so
//! a change of the clocks is followed whether or not an event names the zone again.

use super::{Moment, Step};
use crate::math;
use crate::zones::Zones;
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

impl LocalTime {
    #[inline(never)]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        if let Some(zone) = step.word(self.zone) {
            state[0] = zone;
        }
    }

    #[inline(never)]
    pub(crate) fn read(&self, state: &[u64], at: &Moment<'_>, out: &mut [f32]) {
        let offset = if state[0] == 0 { 0 } else { self.zones.offset_s(state[0], at.time) };
        let local = at.time.div_euclid(1000) + offset;
        let turns = |period: i64, shift: i64| (local + shift).rem_euclid(period) as f64 / period as f64;
        let (hour, weekday) = (math::sin_cos_turns(turns(DAY_S, 0)), math::sin_cos_turns(turns(WEEK_S, MONDAY_S)));
        let figures = [hour.0, hour.1, weekday.0, weekday.1];
        for (slot, output) in out.iter_mut().zip(&self.outputs) {
            *slot = figures[*output] as f32;
        }
    }
}
