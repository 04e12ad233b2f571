//! What time does: ends and forgets sessions and viewers that the watermark has passed, and the first of them where there is no room.

use super::{Topology, moment};
use crate::lane::{Lane, NO_SKEW, UNNAMED};
use crate::notes::Noted;
use crate::pending::NONE;
use crate::record::Offset;
use crate::row::{EVENTS, LAST, START, VIEWER};
use crate::schedule::Schedule;
use crate::sink::{EndReason, Kind, SessionEnd, Sink};
use crate::spec::Spec;

/// Notes of sessions that have ended, beyond two for each session there is, before those that hold are looked for.
const ENDED_MIN: usize = 1024;
/// Timers renewed per record, at most, where there is nearly no room.
const RENEWED: usize = 16;

impl Topology {
    /// Ends and removes what the watermark has passed, in order of time.
    pub(crate) fn close(&mut self, offset: Offset, sink: &mut dyn Sink) {
        let watermark = self.progress.watermark(&self.plan.spec.time);
        self.catch_up_parted(offset, sink);
        while let Some((scheduled, i)) = self.sessions.next_due(watermark) {
            let acts_at = self.session_acts_at(i);
            if acts_at > scheduled {
                self.sessions.schedule(i, acts_at);
            } else if self.sessions.heads[i as usize].closed {
                self.remove_session(i, offset, sink);
            } else {
                let reason = if acts_at == self.sessions.current(i)[LAST] as i64 + self.plan.spec.session.gap.0 {
                    EndReason::Gap
                } else {
                    EndReason::MaxLength
                };
                self.end_session(i, reason, sink);
                // Nothing can reopen it: it goes at once.
                if self.plan.spec.time.allowed_lateness.0 == 0 {
                    self.remove_session(i, offset, sink);
                } else {
                    self.note_ended(i);
                    self.sessions.schedule(i, self.session_acts_at(i));
                }
            }
        }
        let horizon = self.progress.horizon(&self.plan.spec.time);
        while self.ended.pop_before(horizon, drop).is_some() {
            self.ended_noted -= 1;
        }
        while self.plan.spec.viewer.enabled
            && let Some((scheduled, i)) = self.viewers.next_due(watermark)
        {
            let gone_at = self.viewer_gone_at(i);
            if gone_at > scheduled {
                self.viewers.schedule(i, gone_at);
            } else {
                self.remove_viewer(i, offset, sink);
            }
        }
        if !self.plan.models.is_empty() {
            self.feedback.advance(moment(&self.plan, &self.progress, offset), sink);
        }
        self.renew();
        if !self.keeps_changes {
            self.forget_changes();
        }
    }

    fn end_session(&mut self, i: u32, reason: EndReason, sink: &mut dyn Sink) {
        self.sessions.heads[i as usize].closed = true;
        self.sessions.mark_dirty(i);
        let row = self.sessions.current(i);
        let (start, last, events) = (row[START] as i64, row[LAST] as i64, row[EVENTS]);
        sink.ended(&SessionEnd { session: &self.sessions.heads[i as usize].key, start, last, events, reason });
    }

    fn remove_session(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        let peer = self.sessions.heads[i as usize].peer;
        self.unlink(i);
        self.depart(peer, offset, sink);
        let head = &self.sessions.heads[i as usize];
        if head.skew != NO_SKEW {
            self.taking.note(offset.0, head.hash, Noted::Clock(head.skew));
        }
        sink.removed(Kind::Session, i, &head.key);
        self.sessions.remove(i, offset.0 + 1);
    }

    fn remove_viewer(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        sink.removed(Kind::Viewer, i, &self.viewers.heads[i as usize].key);
        let viewer = self.viewers.heads[i as usize].hash;
        self.viewers.remove(i, offset.0 + 1);
        let sessions = std::mem::take(&mut self.members[i as usize]);
        if !sessions.is_empty() {
            self.taking.note(offset.0, viewer, Noted::Forgotten);
        }
        for session in sessions {
            let head = &mut self.sessions.heads[session as usize];
            (head.peer, head.named) = (NONE, UNNAMED);
            // One that has just named another viewer is published with that one's slots.
            if self.sessions.current(session)[VIEWER] == viewer {
                self.orphans.add(session, viewer);
                self.publish_session(session, NONE, offset, sink);
            }
        }
    }

    /// When a session ends or, where it has ended, nothing can reopen it any more.
    pub(crate) fn session_acts_at(&self, i: u32) -> i64 {
        let due = self.plan.session.due(self.sessions.current(i));
        if self.sessions.heads[i as usize].closed { due + self.plan.spec.time.allowed_lateness.0 } else { due }
    }

    pub(crate) fn viewer_gone_at(&self, i: u32) -> i64 {
        let due = self.plan.viewer.due(self.viewers.current(i));
        due.saturating_add(self.plan.spec.time.allowed_lateness.0)
    }

    fn acts_at(&self, kind: Kind, i: u32) -> i64 {
        match kind {
            Kind::Session => self.session_acts_at(i),
            Kind::Viewer => self.viewer_gone_at(i),
        }
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Session => &mut self.sessions,
            Kind::Viewer => &mut self.viewers,
        }
    }

    /// Takes the timer of the key whose time comes first, once no more than so many that were set before the key's last event are renewed.
    fn take_first(&mut self, kind: Kind, renewed_max: usize) -> Option<u32> {
        for _ in 0..=renewed_max {
            let (scheduled, i) = self.lane(kind).next_due(i64::MAX)?;
            let acts_at = self.acts_at(kind, i);
            if acts_at <= scheduled {
                return Some(i);
            }
            self.lane(kind).schedule(i, acts_at);
        }
        None
    }

    /// Where there is nearly no room, renews some timers, so that whoever has to go is known by then: an event makes one timer old at most, and
    /// before the last eighth is full, all that were old are renewed.
    fn renew(&mut self) {
        let Spec { session, viewer, .. } = &self.plan.spec;
        for (kind, keys_max) in [(Kind::Session, session.sessions_max), (Kind::Viewer, viewer.viewers_max)] {
            if self.lane(kind).len() >= (keys_max - keys_max / 8) as usize
                && let Some(i) = self.take_first(kind, RENEWED)
            {
                let acts_at = self.acts_at(kind, i);
                self.lane(kind).schedule(i, acts_at);
            }
        }
    }

    /// Makes room: removes the viewer that would be forgotten first.
    pub(super) fn evict_viewer(&mut self, offset: Offset, sink: &mut dyn Sink) {
        if let Some(i) = self.take_first(Kind::Viewer, usize::MAX) {
            self.remove_viewer(i, offset, sink);
        }
    }

    /// Makes room: removes the session that ended first, or else would end first.
    pub(super) fn evict(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some((due, hash, i)) = self.ended.pop_before(i64::MAX, drop) {
            self.ended_noted -= 1;
            let head = &self.sessions.heads[i as usize];
            let is_there = self.sessions.is_live(i) && head.hash == hash && head.closed;
            if is_there && self.plan.session.due(self.sessions.current(i)) == due {
                return self.remove_session(i, offset, sink);
            }
        }
        if let Some(i) = self.take_first(Kind::Session, usize::MAX) {
            self.end_session(i, EndReason::Evicted, sink);
            self.remove_session(i, offset, sink);
        }
    }

    /// A session that has ended is the first to make room.
    pub(crate) fn note_ended(&mut self, i: u32) {
        self.push_ended(i);
        // Late events end the same ones again and again.
        if self.ended_noted > 2 * self.sessions.len() + ENDED_MIN {
            (self.ended, self.ended_noted) = (Schedule::new(self.plan.spec.time.allowed_lateness.0), 0);
            let closed = self.sessions.places().filter(|i| self.sessions.heads[*i as usize].closed);
            closed.collect::<Vec<_>>().into_iter().for_each(|i| self.push_ended(i));
        }
    }

    fn push_ended(&mut self, i: u32) {
        let due = self.plan.session.due(self.sessions.current(i));
        self.ended.push((due, self.sessions.heads[i as usize].hash, i));
        self.ended_noted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::record::{Arrived, Event, EventTime, IngestTime, Record};
    use crate::sink::Ignore;
    use crate::spec::Duration;
    use std::sync::Arc;

    #[test]
    fn sessions_that_late_events_end_again_and_again_are_noted_a_few_times_each() {
        let features = "[[features]]\nname = \"events\"\ntype = \"count\"\n";
        let mut spec: Spec = toml::from_str(features).expect("a specification");
        (spec.session.gap, spec.time.allowed_lateness) = (Duration(60_000), Duration(86_400_000));
        let mut topology = Topology::new(Arc::new(Plan::compile(&spec).expect("it compiles")));
        let times = std::iter::once(43_200_000).chain((0..20_000).map(|nth| nth * 10));
        for (offset, at) in times.enumerate() {
            let id = format!("e{offset}");
            let event = Event { session: Some("s"), ..Event::new(&id, "play", EventTime(at)) };
            let arrived = Arrived { ingest_time: IngestTime(43_200_000), record: Record::Event(event) };
            topology.apply(Offset(offset as u64), &arrived, &mut Ignore);
            assert!(
                topology.ended_noted <= ENDED_MIN + 4,
                "{} of {} sessions",
                topology.ended_noted,
                topology.live().0
            );
        }
    }

    #[test]
    fn before_there_is_no_room_it_is_known_who_goes_first() {
        const KEYS_MAX: i64 = 1024;
        let features = "[[features]]\nname = \"events\"\ntype = \"count\"\n";
        let mut spec: Spec = toml::from_str(features).expect("a specification");
        (spec.session.sessions_max, spec.viewer.viewers_max) = (KEYS_MAX as u32, KEYS_MAX as u32);
        let mut topology = Topology::new(Arc::new(Plan::compile(&spec).expect("it compiles")));
        let nearly = KEYS_MAX - KEYS_MAX / 8;
        // All timers are old by the time there is nearly no room.
        for (offset, nth) in (0..nearly).chain(0..nearly).chain(nearly..KEYS_MAX).enumerate() {
            let (id, key, at) = (format!("e{offset}"), format!("k{nth}"), offset as i64);
            let event = Event { session: Some(&key), viewer: Some(&key), ..Event::new(&id, "play", EventTime(at)) };
            let arrived = Arrived { ingest_time: IngestTime(at), record: Record::Event(event) };
            topology.apply(Offset(offset as u64), &arrived, &mut Ignore);
        }
        for (kind, keys) in [(Kind::Session, topology.live().0), (Kind::Viewer, topology.live().1)] {
            assert_eq!(keys as i64, KEYS_MAX);
            assert!(topology.take_first(kind, 0).is_some(), "the first timer of a {kind:?} is old");
        }
    }
}
