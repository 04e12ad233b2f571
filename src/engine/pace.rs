//! When a partition's next turn begins: at once while it has time, a little apart while it is busy.
//!
//! A turn costs a write to the log and the wake-ups of two threads, whether it folds one batch or ten. While a partition has time
//! nobody gains by waiting, and senders make its turns; while it is busy, what is saved is time for what waits.

use std::time::{Duration, Instant};

/// Busy turns begin this long after one another, at least.
const APART: Duration = Duration::from_micros(500);
/// How long is looked at to say whether it is busy.
const WINDOW: Duration = Duration::from_millis(20);
/// Share of a window spent on turns from which on it is busy, and below which it no longer is: turns that are apart are less work.
const BUSY: f64 = 0.55;
const CALM: f64 = 0.35;

/// What the turns of the last window took.
pub(super) struct Pace {
    window: Instant,
    worked: Duration,
    is_busy: bool,
    begun: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { window: now, worked: Duration::ZERO, is_busy: false, begun: now }
    }

    /// A turn is over.
    pub(super) fn turned(&mut self, begun: Instant, now: Instant) {
        self.begun = begun;
        self.worked += now - begun;
        let passed = now - self.window;
        if passed >= WINDOW {
            let limit = if self.is_busy { CALM } else { BUSY };
            self.is_busy = self.worked.as_secs_f64() >= limit * passed.as_secs_f64();
            (self.window, self.worked) = (now, Duration::ZERO);
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// How long to wait before the next turn.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        if self.is_busy { APART.saturating_sub(now - self.begun) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Turns of `took` that could begin `every` so often, for a tenth of a second; how many rested, and the last rest.
    fn turns(pace: &mut Pace, now: &mut Instant, took: u32, every: u32) -> (u32, Duration) {
        let mut rested = (0, Duration::ZERO);
        for _ in 0..100_000 / every {
            let rest = pace.rest(*now);
            if !rest.is_zero() {
                rested = (rested.0 + 1, rest);
            }
            pace.turned(*now, *now + took * US);
            *now += every * US;
        }
        rested
    }

    #[test]
    fn only_a_busy_partition_waits_and_only_for_what_is_left() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(turns(&mut pace, &mut now, 100, 300).0, 0);
        let (rested, rest) = turns(&mut pace, &mut now, 180, 300);
        assert!(rested > 200, "{rested}");
        assert_eq!(rest, 200 * US);
        // Less work because of it leaves it as it is; little work does not.
        turns(&mut pace, &mut now, 200, 500);
        assert!(turns(&mut pace, &mut now, 200, 400).0 > 200);
        turns(&mut pace, &mut now, 50, 300);
        assert_eq!(turns(&mut pace, &mut now, 50, 300).0, 0);
    }
}
