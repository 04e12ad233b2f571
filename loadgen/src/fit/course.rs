//! The course of sessions: what follows what, and after how long.
//!
//! The states are those of the population's viewers, told from the types of events. A session's events wait a little, so that what was
//! overtaken on its way still comes in order; what comes later than that is left out here.

use super::order::{Order, histogram};
use super::pace::{Browsed, Crowd, Pace};
use crate::population::Kind;
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, HashMap};

/// How long events wait for others.
const WAIT_MS: i64 = 15_000;
/// Viewers that are followed at once; beyond, every other one is let go.
const VIEWERS_MAX: usize = 200_000;

/// An event, as far as the course is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) time: i64,
    pub(super) kind: Kind,
    pub(super) session: u64,
    /// The player is at the end of the item.
    pub(super) is_at_end: bool,
}

/// What was counted.
pub(super) struct Course {
    /// Silence while browsing that counts as having left.
    away_after_ms: i64,
    /// When the log began.
    first: i64,
    viewers: HashMap<u64, Viewer>,
    /// Visits to the home page that were seen to begin, whether or not they ended within the log.
    pub(super) visits: u64,
    /// Viewers are followed whose hash has this many zeros at its end.
    zeros: u32,
    /// Once it is finished.
    pub(super) crowd: Crowd,
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
    /// Lengths, milliseconds.
    pub(super) startup: Histogram<u64>,
    pub(super) progress: Histogram<u64>,
    pub(super) pause: Histogram<u64>,
    pub(super) unfinished_pause: Histogram<u64>,
    pub(super) rebuffer: Histogram<u64>,
    pub(super) returns: Histogram<u64>,
    pub(super) aways: Histogram<u64>,
    pub(super) unfinished_aways: Histogram<u64>,
    pub(super) session_length: Histogram<u64>,
    pub(super) session_events: Histogram<u64>,
}

#[derive(Default)]
struct Viewer {
    waiting: Vec<Seen>,
    last: Option<Seen>,
    begun: i64,
    events: u64,
    /// Of all sessions.
    events_ever: u64,
    pace: Pace,
    /// What followed while browsing, as long as it may be a program that browses.
    browse: Browsed,
}

impl Course {
    pub(super) fn new(away_after_ms: i64) -> Course {
        Course {
            away_after_ms,
            first: 0,
            visits: 0,
            viewers: HashMap::new(),
            zeros: 0,
            crowd: Crowd::default(),
            browse: Browsed::default(),
            watch: BTreeMap::new(),
            ends: 0,
            binges: 0,
            stays: 0,
            stop_leaves: 0,
            pauses: 0,
            pause_leaves: 0,
            startup: histogram(),
            progress: histogram(),
            pause: histogram(),
            unfinished_pause: histogram(),
            rebuffer: histogram(),
            returns: histogram(),
            aways: histogram(),
            unfinished_aways: histogram(),
            session_length: histogram(),
            session_events: histogram(),
        }
    }

    /// True where this viewer is followed; `is_new` where it is for the first time.
    pub(super) fn follows(&mut self, viewer: u64) -> bool {
        if viewer.trailing_zeros() < self.zeros {
            return false;
        }
        if self.viewers.len() >= VIEWERS_MAX && !self.viewers.contains_key(&viewer) {
            self.zeros += 1;
            self.viewers.retain(|viewer, _| viewer.trailing_zeros() >= self.zeros);
            return viewer.trailing_zeros() >= self.zeros;
        }
        true
    }

    /// Viewers that were seen, as far as can be told from those who were followed.
    pub(super) fn viewers(&self) -> u64 {
        (self.viewers.len() as u64) << self.zeros
    }

    /// Takes an event of a viewer who is followed. True where it is their first.
    pub(super) fn take(&mut self, viewer: u64, seen: Seen, order: &Order) -> bool {
        let now = order.now();
        self.first = order.first();
        let is_new = !self.viewers.contains_key(&viewer);
        let mut of = self.viewers.remove(&viewer).unwrap_or_default();
        of.events_ever += 1;
        if of.last.is_none_or(|last| seen.time >= last.time) {
            let place = of.waiting.partition_point(|other| other.time <= seen.time);
            of.waiting.insert(place, seen);
        }
        let ready = of.waiting.partition_point(|other| other.time <= now - WAIT_MS);
        for seen in of.waiting.drain(..ready).collect::<Vec<_>>() {
            self.follow(&mut of, seen);
        }
        self.viewers.insert(viewer, of);
        is_new
    }

    /// True where a decision that this viewer asked for now belongs to the visits that are counted.
    pub(super) fn counts_ask(&mut self, viewer: u64, order: &Order) -> bool {
        self.follows(viewer) && self.is_counted(order.now())
    }

    /// Only after this time it is known of whoever comes that they were away before: who was there at the beginning has been seen by then.
    fn is_counted(&self, time: i64) -> bool {
        time - self.first > self.away_after_ms
    }

    fn is_visit(&self, last: Option<Seen>, seen: Seen) -> bool {
        let comes_home = |last: Seen| {
            last.session != seen.session
                || matches!(last.kind, Kind::Stop | Kind::Pause | Kind::Error)
                || seen.time - last.time > self.away_after_ms
        };
        browses(seen.kind) && self.is_counted(seen.time) && last.is_none_or(comes_home)
    }

    /// True where this viewer is known to be a program by now.
    pub(super) fn is_bot(&self, viewer: u64) -> bool {
        self.viewers.get(&viewer).is_some_and(|of| of.pace.is_bot())
    }

    fn follow(&mut self, of: &mut Viewer, seen: Seen) {
        let step = of.last.map(|last| (seen.time - last.time).max(0)).filter(|step| *step <= self.away_after_ms);
        of.pace.take(seen.kind, step.map(|ms| ms as u64));
        if of.pace.is_bot() {
            of.last = Some(seen);
            return;
        }
        if of.pace.is_person() {
            self.browse.add(std::mem::take(&mut of.browse));
        }
        self.visits += u64::from(self.is_visit(of.last, seen));
        if let Some(last) = of.last {
            let after = (seen.time - last.time).max(0);
            match last.session == seen.session {
                true => self.goes_on(&mut of.browse, last, seen, after),
                false => {
                    self.left(&mut of.browse, last);
                    if last.kind != Kind::Click {
                        self.aways.saturating_record(after as u64);
                    }
                    self.session_ended(of, last.time);
                    (of.begun, of.events) = (seen.time, 0);
                }
            }
        } else {
            of.begun = seen.time;
        }
        of.events += 1;
        of.last = Some(seen);
    }

    fn session_ended(&mut self, of: &Viewer, at: i64) {
        self.session_length.saturating_record((at - of.begun).max(0) as u64);
        self.session_events.saturating_record(of.events);
    }

    /// Counts what a viewer left from.
    fn left(&mut self, browse: &mut Browsed, last: Seen) {
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

    fn goes_on(&mut self, browse: &mut Browsed, last: Seen, seen: Seen, after: i64) {
        let after_ms = after as u64;
        match (last.kind, seen.kind) {
            (Kind::Pause, Kind::Play) => {
                self.pauses += 1;
                self.pause.saturating_record(after_ms);
            }
            (Kind::Stop, Kind::Play) => {
                self.ends += 1;
                self.binges += 1;
                self.startup.saturating_record(after_ms);
            }
            (Kind::Click, Kind::Play) => self.startup.saturating_record(after_ms),
            (Kind::BufferStart, Kind::BufferEnd) => self.rebuffer.saturating_record(after_ms),
            (Kind::Stop, _) if after <= self.away_after_ms => {
                self.ends += u64::from(last.is_at_end);
                self.stays += 1;
            }
            (kind, _) if after > self.away_after_ms && (browses(kind) || matches!(kind, Kind::Stop | Kind::Pause)) => {
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
                    self.progress.saturating_record(after_ms);
                }
            }
            _ => {}
        }
    }

    /// Nothing comes after `latest`: what waits is over, what goes on is unfinished.
    pub(super) fn finish(&mut self, latest: i64) {
        for (_, mut of) in std::mem::take(&mut self.viewers) {
            for seen in std::mem::take(&mut of.waiting) {
                self.follow(&mut of, seen);
            }
            self.crowd.take(of.events_ever, of.pace);
            if of.pace.is_bot() {
                continue;
            }
            let Some(last) = of.last else { continue };
            let silent = latest - last.time;
            let is_silent = silent > self.away_after_ms;
            match last.kind {
                Kind::Pause => {
                    self.pauses += 1;
                    self.unfinished_pause.saturating_record(silent.max(1) as u64);
                }
                // Not after a click: then they watch, and the player may tell of that by CMCD.
                kind if is_silent && (browses(kind) || kind == Kind::Stop) => {
                    self.left(&mut of.browse, last);
                    self.unfinished_aways.saturating_record(silent as u64);
                    self.session_ended(&of, last.time);
                }
                _ => {}
            }
            self.browse.add(of.browse);
        }
        self.crowd.hot_is_no_bot();
    }
}

fn browses(kind: Kind) -> bool {
    !kind.is_of_player() && kind != Kind::Click
}
