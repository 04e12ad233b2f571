//! Near rows: for keys with many pending events, the fold of all but the latest of them.
//!
//! An event that arrives out of order is nearly always late by little. It is folded again from here, over a few events, and not
//! from the settled row over all that are pending. Only keys whose events come out of order have one, as far behind as theirs
//! have come; what it holds is not visible outside.

/// Events left behind a near row when it moves on, at least and at most. It moves on when twice as many have come behind it.
const TAIL: std::ops::RangeInclusive<u32> = 8..=32;

/// How many events have come before which one still arrived: the greatest so far, up to the longest tail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach(u8);

impl Reach {
    pub(crate) fn note(&mut self, events_after: u32) {
        self.0 = self.0.max(events_after.min(*TAIL.end()) as u8);
    }

    /// Events left behind the near row.
    pub(crate) fn tail(self) -> u32 {
        (2 * u32::from(self.0)).clamp(*TAIL.start(), *TAIL.end())
    }
}
