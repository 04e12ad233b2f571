//! Event time of one partition: clock correction, the watermark, and what is too late or too far ahead.

use crate::lane::NO_SKEW;
use crate::record::{Event, IngestTime};
use crate::spec::TimeSpec;

/// An event dated further ahead of its arrival than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`event_time` is {ahead_ms} ms ahead of its arrival, after clock correction; allowed: up to {max_ms} ms (time.max_future)"
)]
pub struct Future {
    /// How far ahead, ms.
    pub ahead_ms: i64,
    /// How far is allowed, ms.
    pub max_ms: i64,
}

/// Checks an event against its arrival before it is put into the log, as the fold will.
pub fn admit(spec: &TimeSpec, event: &Event<'_>, ingest_time: IngestTime) -> Result<(), Future> {
    let (time, _) = correct(spec, event, ingest_time, NO_SKEW, i64::MIN);
    check_future(spec, time, ingest_time)
}

/// Checks a time, epoch milliseconds, against the arrival of what has it.
pub fn check_future(spec: &TimeSpec, time: i64, ingest_time: IngestTime) -> Result<(), Future> {
    let ahead_ms = time.saturating_sub(ingest_time.0);
    let max_ms = spec.max_future.0;
    if ahead_ms > max_ms { Err(Future { ahead_ms, max_ms }) } else { Ok(()) }
}

/// The event's time on the server's clock, and the offset of the player's clock where one was needed.
///
/// A player's clock that is off by more than `skew_tolerance` is corrected by arrival − `sent_at`. The offset is measured once
/// per session and kept, so that times between a session's events stay as the player saw them; it is measured again only where
/// the kept one would lose the event. Where `sent_at` is inferred, nothing is corrected unless the event would be lost.
pub(crate) fn correct(
    spec: &TimeSpec,
    event: &Event<'_>,
    ingest_time: IngestTime,
    known_skew: i64,
    horizon: i64,
) -> (i64, i64) {
    let raw = event.event_time.0;
    let Some(sent_at) = event.sent_at else { return (raw, known_skew) };
    let measured = ingest_time.0.saturating_sub(sent_at.0);
    let fits = |time: i64| time >= horizon && time <= ingest_time.0.saturating_add(spec.max_future.0);
    let needed = if event.sent_at_inferred {
        known_skew != NO_SKEW || !fits(raw)
    } else {
        measured.abs() > spec.skew_tolerance.0
    };
    if !needed {
        return (raw, known_skew);
    }
    if known_skew != NO_SKEW && fits(raw.saturating_add(known_skew)) {
        return (raw + known_skew, known_skew);
    }
    (raw.saturating_add(measured), measured)
}

/// The partition's progress in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Greatest event time so far, counted up to its arrival; `i64::MIN` before the first event.
    pub event_time_max: i64,
    /// Arrival of the latest event or tick that moved it.
    pub ingest_time: i64,
}

impl Progress {
    pub(crate) const START: Progress = Progress { event_time_max: i64::MIN, ingest_time: i64::MIN };

    /// Whether an event told what time it is.
    pub(crate) fn is_begun(&self) -> bool {
        self.event_time_max != Self::START.event_time_max
    }

    /// An event counts for the watermark only up to its arrival: one clock that is ahead must not make the others late.
    pub(crate) fn event(&mut self, time: i64, ingest_time: IngestTime) {
        let time = time.min(ingest_time.0);
        if time > self.event_time_max {
            *self = Progress { event_time_max: time, ingest_time: ingest_time.0 };
        }
    }

    /// With no events, event time passes as fast as the server's clock.
    pub(crate) fn tick(&mut self, ingest_time: IngestTime) {
        let passed = ingest_time.0.saturating_sub(self.ingest_time);
        if self.event_time_max != i64::MIN && passed > 0 {
            self.event_time_max += passed;
            self.ingest_time = ingest_time.0;
        }
    }

    /// No earlier event is expected, though some may still come. `i64::MIN` before the first event.
    pub(crate) fn watermark(&self, spec: &TimeSpec) -> i64 {
        self.event_time_max.saturating_sub(spec.out_of_orderness.0)
    }

    /// Events before it are late.
    pub(crate) fn horizon(&self, spec: &TimeSpec) -> i64 {
        self.watermark(spec).saturating_sub(spec.allowed_lateness.0)
    }
}
