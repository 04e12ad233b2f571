//! In which order events came, how late, and by which clocks.
//!
//! An exported record says when it came; all else follows from that. Of an event as it was sent it is told by the events around it: what few
//! of the newest are ahead of, where what is far ahead of most is not believed. So no clock that is wrong leads the others astray, be it the
//! first. What says when it was sent is corrected by that.

use super::clock::Clock;
use hdrhistogram::Histogram;
use std::collections::{HashSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64;

/// Behind by less is as good as in order.
const IN_ORDER_MS: i64 = 20;
/// Behind by more is late: what the default server sets aside.
pub(super) const LATE_MS: i64 = 32_000;
/// A clock off by less is right.
pub(super) const RIGHT_MS: i64 = 1_000;
/// Latest ids that are remembered.
const IDS_MAX: usize = 1 << 20;

/// The times of an event, epoch milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When it happened by the player's clock.
    pub(super) event_time: i64,
    /// When it was sent by that clock.
    pub(super) sent_at: Option<i64>,
    /// When it came, where the log says so.
    pub(super) ingest_time: Option<i64>,
}

/// What the times of an event say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// When it happened by a clock that is right, epoch milliseconds.
    pub(super) happened: i64,
    /// The player's clock is wrong, and that is corrected.
    pub(super) is_corrected: bool,
}

/// What is known of the order.
pub(super) struct Order {
    /// By when events were sent, where their arrival is not known; and by when they happened.
    sent: Clock,
    happened: Clock,
    /// When the last event came.
    now: i64,
    /// When the first came, and the latest.
    bounds: Option<(i64, i64)>,
    /// Events and CMCD records.
    pub(super) events: u64,
    pub(super) cmcd: u64,
    pub(super) reordered: Histogram<u64>,
    pub(super) late: Histogram<u64>,
    pub(super) duplicates: u64,
    /// By how much clocks are wrong, of events that say so.
    pub(super) off: Histogram<u64>,
    /// Events that are ahead of their arrival and do not say when they were sent.
    pub(super) ahead: u64,
    ids: HashSet<u64>,
    oldest: VecDeque<u64>,
}

/// Milliseconds, three digits, up to two days.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 86_400_000 * 2, 3).expect("bounds and digits are in range")
}

impl Order {
    pub(super) fn new() -> Order {
        Order {
            sent: Clock::new(),
            happened: Clock::new(),
            now: 0,
            bounds: None,
            events: 0,
            cmcd: 0,
            reordered: histogram(),
            late: histogram(),
            duplicates: 0,
            off: histogram(),
            ahead: 0,
            ids: HashSet::new(),
            oldest: VecDeque::new(),
        }
    }

    /// True where the id was there before.
    pub(super) fn is_duplicate(&mut self, id: &str) -> bool {
        let hash = xxh3_64(id.as_bytes());
        if id.is_empty() || self.ids.insert(hash) {
            self.oldest.push_back(hash);
            if self.oldest.len() > IDS_MAX
                && let Some(hash) = self.oldest.pop_front()
            {
                self.ids.remove(&hash);
            }
            return false;
        }
        self.duplicates += 1;
        true
    }

    /// Takes notice of an event that comes again with [`Order::take`]: false until enough are known to tell what the time is.
    pub(super) fn knows_time(&mut self, times: Times) -> bool {
        if times.ingest_time.is_none() && !self.sent.is_set() {
            self.sent.push(times.sent_at.unwrap_or(times.event_time));
        }
        times.ingest_time.is_some() || self.sent.is_set()
    }

    /// Takes the times of a CMCD record, of which the profile's clocks and disorder say nothing.
    pub(super) fn pass(&mut self, times: Times) {
        self.arrive(times);
        self.cmcd += 1;
        self.happened.push(times.event_time.min(self.now));
    }

    /// Takes the times of an event.
    pub(super) fn take(&mut self, times: Times) -> Told {
        let slack = self.arrive(times);
        let off = times.sent_at.map_or(0, |sent_at| sent_at - self.now);
        let is_corrected = off.abs() > slack;
        let happened = if is_corrected { times.event_time - off } else { times.event_time };
        if is_corrected {
            self.off.saturating_record(off.unsigned_abs());
        }
        let delay = self.now - happened;
        self.ahead += u64::from(delay < -slack);
        if delay > LATE_MS {
            self.late.saturating_record(delay as u64);
        } else {
            if self.happened.latest().min(self.now) - happened > IN_ORDER_MS {
                self.reordered.saturating_record(delay.max(0) as u64);
            }
            self.happened.push(happened.min(self.now));
        }
        Told { happened, is_corrected }
    }

    /// An event has come. Returns by how much `now` may be wrong, milliseconds.
    fn arrive(&mut self, times: Times) -> i64 {
        self.events += 1;
        let mut slack = RIGHT_MS;
        if let Some(ingest_time) = times.ingest_time {
            self.now = ingest_time;
            let (first, latest) = self.bounds.unwrap_or((ingest_time, ingest_time));
            self.bounds = Some((first.min(ingest_time), latest.max(ingest_time)));
        } else {
            self.sent.push(times.sent_at.unwrap_or(times.event_time));
            (self.now, slack) = (self.sent.latest(), RIGHT_MS.max(2 * (self.sent.latest() - self.sent.median())));
            self.bounds = Some((self.bounds.map_or(self.sent.median(), |(first, _)| first), self.now));
        }
        slack
    }

    /// Share of the events, without CMCD, that are so many. 0 to 1.
    pub(super) fn share(&self, n: u64) -> f64 {
        n as f64 / (self.events - self.cmcd).max(1) as f64
    }

    /// Seconds from the first events to the latest.
    pub(super) fn seconds(&self) -> f64 {
        (self.latest() - self.first()).max(0) as f64 / 1e3
    }

    /// When the last event came.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// When the log began, epoch milliseconds.
    pub(super) fn first(&self) -> i64 {
        self.bounds.unwrap_or_default().0
    }

    /// When the latest event came; an export has partitions one after the other.
    pub(super) fn latest(&self) -> i64 {
        self.bounds.unwrap_or_default().1
    }
}
