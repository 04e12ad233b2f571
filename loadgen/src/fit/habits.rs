//! What viewers do, in numbers: what follows what, after how long, and what they look at.

use super::Logs;
use super::course::Seen;
use super::lengths::Lengths;
use super::order::histogram;
use super::pace::Browsed;
use crate::population::Kind;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashMap};

/// Items whose counts are kept; those that come first.
const ITEMS_MAX: usize = 1 << 20;

/// What was counted of viewers.
pub(super) struct Habits {
    /// What followed while browsing, of people; and while watching.
    pub(super) browse: Browsed,
    pub(super) watch: BTreeMap<Kind, u64>,
    pub(super) ends: u64,
    pub(super) binges: u64,
    /// What followed a stop where nothing was played next.
    pub(super) stays: u64,
    pub(super) stop_leaves: u64,
    pub(super) pauses: u64,
    pub(super) pause_leaves: u64,
    /// With when they began.
    pub(super) progress: Lengths,
    pub(super) pause: Lengths,
    pub(super) unfinished_pause: Lengths,
    /// Milliseconds.
    pub(super) startup: Histogram<u64>,
    pub(super) rebuffer: Histogram<u64>,
    pub(super) returns: Histogram<u64>,
    pub(super) aways: Histogram<u64>,
    pub(super) unfinished_aways: Histogram<u64>,
    pub(super) session_length: Histogram<u64>,
    pub(super) session_events: Histogram<u64>,
    /// How often items were looked at.
    pub(super) items: HashMap<u64, u64>,
    pub(super) item_length: Histogram<u64>,
    pub(super) throughput: Logs,
    pub(super) rtt: Logs,
}

impl Habits {
    pub(super) fn new() -> Habits {
        Habits {
            browse: Browsed::default(),
            watch: BTreeMap::new(),
            ends: 0,
            binges: 0,
            stays: 0,
            stop_leaves: 0,
            pauses: 0,
            pause_leaves: 0,
            progress: Lengths::default(),
            pause: Lengths::default(),
            unfinished_pause: Lengths::default(),
            startup: histogram(),
            rebuffer: histogram(),
            returns: histogram(),
            aways: histogram(),
            unfinished_aways: histogram(),
            session_length: histogram(),
            session_events: histogram(),
            items: HashMap::new(),
            item_length: histogram(),
            throughput: Logs::default(),
            rtt: Logs::default(),
        }
    }

    /// Those of others as well.
    pub(super) fn add(&mut self, other: Habits) {
        self.browse.add(other.browse);
        other.watch.into_iter().for_each(|(kind, n)| *self.watch.entry(kind).or_insert(0) += n);
        for (to, n) in [
            (&mut self.ends, other.ends),
            (&mut self.binges, other.binges),
            (&mut self.stays, other.stays),
            (&mut self.stop_leaves, other.stop_leaves),
            (&mut self.pauses, other.pauses),
            (&mut self.pause_leaves, other.pause_leaves),
        ] {
            *to += n;
        }
        for (to, lengths) in [
            (&mut self.startup, other.startup),
            (&mut self.rebuffer, other.rebuffer),
            (&mut self.returns, other.returns),
            (&mut self.aways, other.aways),
            (&mut self.unfinished_aways, other.unfinished_aways),
            (&mut self.session_length, other.session_length),
            (&mut self.session_events, other.session_events),
            (&mut self.item_length, other.item_length),
        ] {
            to.add(lengths).expect("their bounds are the same");
        }
        self.progress.add(other.progress);
        self.pause.add(other.pause);
        self.unfinished_pause.add(other.unfinished_pause);
        other.items.into_iter().for_each(|(item, n)| self.look_at(item, n));
        self.throughput.add(&other.throughput);
        self.rtt.add(&other.rtt);
    }

    /// An item was looked at so many times.
    pub(super) fn look_at(&mut self, item: u64, n: u64) {
        if self.items.len() < ITEMS_MAX || self.items.contains_key(&item) {
            *self.items.entry(item).or_insert(0) += n;
        }
    }

    /// A session of so many milliseconds and events is over.
    pub(super) fn session_ended(&mut self, ms: i64, events: u64) {
        self.session_length.saturating_record(ms.max(0) as u64);
        self.session_events.saturating_record(events);
    }

    /// Counts what a viewer left from.
    pub(super) fn left(&mut self, browse: &mut Browsed, last: Seen) {
        match last.kind {
            Kind::Pause => {
                self.pauses += 1;
                self.pause_leaves += 1;
            }
            Kind::Stop => {
                self.ends += u64::from(last.is_at_end);
                self.stop_leaves += 1;
            }
            kind if browses(kind) => browse.leaves += 1,
            _ => {}
        }
    }

    /// One event followed another in a session. After a silence of `away_after_ms` while browsing, who was there had left.
    pub(super) fn goes_on(&mut self, browse: &mut Browsed, last: Seen, seen: Seen, away_after_ms: i64) {
        let after = (seen.time - last.time).max(0);
        let after_ms = after as u64;
        match (last.kind, seen.kind) {
            (Kind::Pause, Kind::Play) => {
                self.pauses += 1;
                self.pause.take(last, seen.time);
            }
            (Kind::Stop, Kind::Play) => {
                self.ends += 1;
                self.binges += 1;
                self.startup.saturating_record(after_ms);
            }
            (Kind::Click, Kind::Play) => self.startup.saturating_record(after_ms),
            (Kind::BufferStart, Kind::BufferEnd) => self.rebuffer.saturating_record(after_ms),
            (Kind::Stop, _) if after <= away_after_ms => {
                self.ends += u64::from(last.is_at_end);
                self.stays += 1;
            }
            (kind, _) if after > away_after_ms && (browses(kind) || matches!(kind, Kind::Stop | Kind::Pause)) => {
                self.left(browse, last);
                self.returns.saturating_record(after_ms);
            }
            (Kind::Pause, _) => {
                self.left(browse, last);
                self.returns.saturating_record(after_ms);
            }
            (kind, _) if browses(kind) && !seen.kind.is_of_player() => {
                browse.take(seen.kind, after_ms);
            }
            (Kind::Play | Kind::Progress | Kind::Seek | Kind::BufferEnd | Kind::QualityChange, _) => {
                if !(seen.kind == Kind::Stop && seen.is_at_end) {
                    *self.watch.entry(seen.kind).or_insert(0) += 1;
                }
                if seen.kind == Kind::Progress {
                    self.progress.take(last, seen.time);
                }
            }
            _ => {}
        }
    }
}

/// True for what is not done with the player.
pub(super) fn browses(kind: Kind) -> bool {
    !kind.is_of_player() && kind != Kind::Click
}
