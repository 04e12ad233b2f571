//! What time does: ends and forgets sessions and viewers that the watermark has passed, and the first of them where there is no room.

use super::{Topology, moment};
use crate::lane::{NO_SKEW, UNNAMED};
use crate::notes::Noted;
use crate::pending::NONE;
use crate::record::Offset;
use crate::row::{EVENTS, LAST, START, VIEWER};
use crate::sink::{EndReason, Kind, SessionEnd, Sink};

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
                    self.sessions.schedule(i, self.session_acts_at(i));
                }
            }
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

    /// Makes room: removes the viewer that would be forgotten first.
    pub(super) fn evict_viewer(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some((scheduled, i)) = self.viewers.next_due(i64::MAX) {
            let gone_at = self.viewer_gone_at(i);
            if gone_at <= scheduled {
                return self.remove_viewer(i, offset, sink);
            }
            self.viewers.schedule(i, gone_at);
        }
    }

    /// Makes room: removes the session that would close first.
    pub(super) fn evict(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some((scheduled, i)) = self.sessions.next_due(i64::MAX) {
            let acts_at = self.session_acts_at(i);
            if acts_at > scheduled {
                self.sessions.schedule(i, acts_at);
                continue;
            }
            if !self.sessions.heads[i as usize].closed {
                self.end_session(i, EndReason::Evicted, sink);
            }
            self.remove_session(i, offset, sink);
            return;
        }
    }
}
