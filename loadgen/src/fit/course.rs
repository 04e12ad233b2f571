//! The course of sessions: what follows what, and after how long.
//!
//! The states are those of the population's viewers, told from the types of events. A session's events wait a little, so that what was
//! overtaken on its way still comes in order; what comes later than that is left out here.

use super::habits::{Habits, browses};
use super::order::Order;
use super::pace::{Browsed, Crowd, Pace};
use crate::population::Kind;
use std::collections::HashMap;
use std::mem::{replace, take};

/// How long events wait for others.
const WAIT_MS: i64 = 15_000;
/// Viewers that are followed at once; beyond, every other one is let go.
const VIEWERS_MAX: usize = 200_000;
/// Who has more than so many times the events of the leader leads instead. No less than for a hot viewer, who leads from early on.
const LEAD: u64 = 2;
/// Sessions of a viewer that may go on at once; with more, the one that was silent for longest is over.
const SESSIONS_MAX: usize = 4;

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
    /// Visits to the home page, but for the leader's, that were seen to begin, whether or not they ended within the log.
    pub(super) visits: u64,
    /// Viewers are followed whose hash has this many zeros at its end.
    zeros: u32,
    /// Once it is finished.
    pub(super) crowd: Crowd,
    /// Of all but the leader; once it is finished, of all but the hot viewer.
    pub(super) habits: Habits,
    leader: Leader,
}

/// The viewer with most events so far, about. Whether they are hot is known at the end; so what they do is kept apart.
struct Leader {
    viewer: Option<u64>,
    events: u64,
    habits: Habits,
}

#[derive(Default)]
struct Viewer {
    waiting: Vec<Seen>,
    /// Of whichever session.
    last: Option<Seen>,
    /// Those that may go on, the latest last: people have several devices.
    sessions: Vec<Session>,
    /// Of all sessions.
    events_ever: u64,
    pace: Pace,
    /// What followed while browsing, as long as it may be a program that browses.
    browse: Browsed,
}

/// A session that may go on.
#[derive(Clone, Copy)]
struct Session {
    last: Seen,
    begun: i64,
    events: u64,
    /// When another one of the viewer began since: if this one stays silent, its viewer left it for that.
    next: Option<i64>,
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
            habits: Habits::new(),
            leader: Leader { viewer: None, events: 0, habits: Habits::new() },
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
        self.lead(viewer, of.events_ever);
        if of.last.is_none_or(|last| seen.time >= last.time) {
            let place = of.waiting.partition_point(|other| other.time <= seen.time);
            of.waiting.insert(place, seen);
        }
        let ready = of.waiting.partition_point(|other| other.time <= now - WAIT_MS);
        for seen in of.waiting.drain(..ready).collect::<Vec<_>>() {
            self.follow(viewer, &mut of, seen);
        }
        self.viewers.insert(viewer, of);
        is_new
    }

    /// This viewer has so many events by now.
    fn lead(&mut self, viewer: u64, events: u64) {
        if self.leader.viewer == Some(viewer) {
            self.leader.events = events;
        } else if events > LEAD * self.leader.events {
            let before = replace(&mut self.leader, Leader { viewer: Some(viewer), events, habits: Habits::new() });
            self.habits.add(before.habits);
        }
    }

    /// Where it is counted what this viewer does.
    pub(super) fn habits_of(&mut self, viewer: u64) -> &mut Habits {
        if self.leader.viewer == Some(viewer) { &mut self.leader.habits } else { &mut self.habits }
    }

    /// True where a decision that this viewer asked for now belongs to the visits that are counted.
    pub(super) fn counts_ask(&mut self, viewer: u64, order: &Order) -> bool {
        self.follows(viewer) && self.leader.viewer != Some(viewer) && self.is_counted(order.now())
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

    fn follow(&mut self, viewer: u64, of: &mut Viewer, seen: Seen) {
        let step = of.last.map(|last| (seen.time - last.time).max(0)).filter(|step| *step <= self.away_after_ms);
        of.pace.take(seen.kind, step.map(|ms| ms as u64));
        if of.pace.is_bot() {
            of.last = Some(seen);
            return;
        }
        let at = of.sessions.iter().position(|session| session.last.session == seen.session);
        let known = at.map(|at| of.sessions.remove(at));
        let before = known.map(|session| session.last).or(of.last);
        self.visits += u64::from(self.leader.viewer != Some(viewer) && self.is_visit(before, seen));
        let away_after_ms = self.away_after_ms;
        let habits = self.habits_of(viewer);
        if of.pace.is_person() {
            habits.browse.add(take(&mut of.browse));
        }
        match known {
            Some(session) => habits.goes_on(&mut of.browse, session.last, seen, away_after_ms),
            None => of.sessions.iter_mut().for_each(|session| _ = session.next.get_or_insert(seen.time)),
        }
        let (begun, events) = known.map_or((seen.time, 0), |session| (session.begun, session.events));
        of.sessions.push(Session { last: seen, begun, events: events + 1, next: None });
        of.last = Some(seen);
        let is_silent = |session: &Session| seen.time - session.last.time > away_after_ms;
        while let Some(oldest) = of.sessions.first().copied()
            && (of.sessions.len() > SESSIONS_MAX || is_silent(&oldest))
        {
            of.sessions.remove(0);
            self.ended(viewer, of, oldest);
        }
    }

    /// A session was left for another, or ended beside it.
    fn ended(&mut self, viewer: u64, of: &mut Viewer, session: Session) {
        let habits = self.habits_of(viewer);
        habits.left(&mut of.browse, session.last);
        if let Some(next) = session.next.filter(|_| session.last.kind != Kind::Click) {
            habits.aways.saturating_record((next - session.last.time).max(0) as u64);
        }
        habits.session_ended(session.last.time - session.begun, session.events);
    }

    /// Nothing comes after `latest`: what waits is over, what goes on is unfinished.
    pub(super) fn finish(&mut self, latest: i64) {
        for (viewer, mut of) in take(&mut self.viewers) {
            for seen in take(&mut of.waiting) {
                self.follow(viewer, &mut of, seen);
            }
            self.crowd.take(of.events_ever, of.pace);
            if of.pace.is_bot() {
                continue;
            }
            for session in take(&mut of.sessions) {
                match session.next {
                    Some(_) => self.ended(viewer, &mut of, session),
                    None => self.unfinished(viewer, &mut of, session, latest),
                }
            }
            self.habits_of(viewer).browse.add(of.browse);
        }
        self.crowd.hot_is_no_bot();
        let leader = replace(&mut self.leader.habits, Habits::new());
        if self.crowd.hot_acts() == 0 {
            self.habits.add(leader);
        }
    }

    /// A session goes on when the log ends, or its viewer is away.
    fn unfinished(&mut self, viewer: u64, of: &mut Viewer, Session { last, begun, events, .. }: Session, latest: i64) {
        let is_silent = latest - last.time > self.away_after_ms;
        let habits = self.habits_of(viewer);
        match last.kind {
            Kind::Pause => {
                habits.pauses += 1;
                habits.unfinished_pause.take(last, latest.max(last.time + 1));
            }
            // Not after a click: then they watch, and the player may tell of that by CMCD.
            kind if is_silent && (browses(kind) || kind == Kind::Stop) => {
                habits.left(&mut of.browse, last);
                habits.unfinished_aways.saturating_record((latest - last.time) as u64);
                habits.session_ended(last.time - begun, events);
            }
            _ => {}
        }
    }
}
