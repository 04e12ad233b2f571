//! In which order events came, and how late: against what the time is by the events around them, since a log does not say when it came.
//!
//! A clock that is wrong would lead all others astray. What says when it was sent is corrected by that first; and the time is not that of the
//! latest event, but what few of the newest are ahead of.

use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64;

/// Behind by less is as good as in order.
const IN_ORDER_MS: i64 = 20;
/// Behind by more is late: what the default server sets aside.
const LATE_MS: i64 = 32_000;
/// A clock off by less is right.
const RIGHT_MS: i64 = 1_000;
/// Newest events from which it is told what the time is: any single clock may be wrong. At first, the median of them; later what one in ten is
/// ahead of.
const NEWEST: usize = 65;
const AHEAD: usize = NEWEST / 10;
/// Minutes whose events are counted: a month.
const MINUTES_MAX: usize = 31 * 24 * 60;
/// Latest ids that are remembered.
const IDS_MAX: usize = 1 << 20;

/// What is known of the order.
pub(super) struct Order {
    latest: Option<i64>,
    /// When the newest happened.
    newest: VecDeque<i64>,
    /// When it began.
    pub(super) first: i64,
    pub(super) events: u64,
    /// Events by minute.
    minutes: BTreeMap<i64, u64>,
    pub(super) reordered: Histogram<u64>,
    pub(super) late: Histogram<u64>,
    pub(super) duplicates: u64,
    /// By how much clocks are wrong, of events that say so.
    pub(super) off: Histogram<u64>,
    ids: HashSet<u64>,
    oldest: VecDeque<u64>,
}

/// Milliseconds, two digits, up to a day.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 86_400_000 * 2, 3).expect("bounds and digits are in range")
}

impl Order {
    pub(super) fn new() -> Order {
        Order {
            latest: None,
            newest: VecDeque::new(),
            first: 0,
            events: 0,
            minutes: BTreeMap::new(),
            reordered: histogram(),
            late: histogram(),
            duplicates: 0,
            off: histogram(),
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

    /// Takes the times of an event; returns when it happened by a clock that is right.
    pub(super) fn take(&mut self, event_time: i64, sent_at: Option<i64>) -> i64 {
        self.events += 1;
        let Some(latest) = self.latest else {
            self.newest.push_back(event_time);
            if self.newest.len() == NEWEST {
                self.first = self.nth_newest(NEWEST / 2);
                self.latest = Some(self.first);
            }
            return event_time;
        };
        let mut happened = event_time;
        let off = sent_at.map_or(0, |sent_at| sent_at - latest);
        if off.abs() > RIGHT_MS {
            self.off.saturating_record(off.unsigned_abs());
            happened -= off;
        }
        let behind = latest - happened;
        if behind > LATE_MS {
            self.late.saturating_record(behind as u64);
        } else {
            if behind > IN_ORDER_MS {
                self.reordered.saturating_record(behind as u64);
            }
            self.newest.pop_front();
            self.newest.push_back(happened);
            let latest = latest.max(self.nth_newest(NEWEST - 1 - AHEAD));
            self.latest = Some(latest);
            let minute = latest.div_euclid(60_000);
            if self.minutes.len() < MINUTES_MAX || self.minutes.contains_key(&minute) {
                *self.minutes.entry(minute).or_insert(0) += 1;
            }
        }
        happened
    }

    /// The `nth` smallest time of the newest events.
    fn nth_newest(&self, nth: usize) -> i64 {
        let mut times: [i64; NEWEST] = std::array::from_fn(|i| self.newest[i]);
        *times.select_nth_unstable(nth).1
    }

    /// Events per second in the quietest and in the busiest whole minute; none where there are fewer than three. A minute without any event
    /// is not seen.
    pub(super) fn quiet_and_busy(&self) -> Option<(f64, f64)> {
        let whole = self.minutes.values().skip(1).take(self.minutes.len().saturating_sub(2));
        let (low, high, n) =
            whole.fold((u64::MAX, 0, 0), |(low, high, n), events| (low.min(*events), high.max(*events), n + 1));
        (n >= 3).then_some((low as f64 / 60.0, high as f64 / 60.0))
    }

    /// Seconds from the first events to the latest.
    pub(super) fn seconds(&self) -> f64 {
        (self.latest() - self.first).max(0) as f64 / 1e3
    }

    /// The latest time that was seen.
    pub(super) fn latest(&self) -> i64 {
        self.latest.unwrap_or_default()
    }
}
