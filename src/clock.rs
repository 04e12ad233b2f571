//! The server's clock: when something arrived, and how old what is stored is. Intervals are measured by [`std::time::Instant`].

use saccade_topology::IngestTime;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, in epoch milliseconds; 0 where the clock stands before 1970.
pub(crate) fn now() -> IngestTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    IngestTime(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// A difference that is told, ms. What keeps clocks right by little steps makes none as large between two looks.
const STEP_MIN: i64 = 1000;

/// Notices when the clock is set, or the machine slept: then it has gone on by more, or less, than time has.
pub(crate) struct Watch {
    clock: i64,
    at: Instant,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch { clock: now().0, at: Instant::now() }
    }

    /// How far the clock was set since the last look, ms: ahead where it is positive. None where it was not.
    pub(crate) fn look(&mut self) -> Option<i64> {
        self.compare(now().0, Instant::now())
    }

    fn compare(&mut self, clock: i64, at: Instant) -> Option<i64> {
        let passed = i64::try_from(at.duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        let step = clock.saturating_sub(self.clock).saturating_sub(passed);
        *self = Watch { clock, at };
        (step.abs() >= STEP_MIN).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_time_that_passes_is_not() {
        let begin = Instant::now();
        let mut watch = Watch { clock: 1_000_000, at: begin };
        let mut look = |clock: i64, ms: u64| watch.compare(1_000_000 + clock, begin + Duration::from_millis(ms));
        assert_eq!(look(500, 500), None);
        assert_eq!(look(3_600_900, 1_000), Some(3_599_900));
        assert_eq!(look(3_601_400, 1_500), None, "it was told");
        assert_eq!(look(2_000, 2_000), Some(-3_599_900));
        // A look that comes late, and a clock that is made right by little.
        assert_eq!(look(62_300, 62_000), None);
    }
}
