//! Publishes the contexts that a record refreshed: its session, the other sessions of its viewer, the viewer.

use super::Topology;
use super::members::Members;
use crate::notes::{Note, Noted};
use crate::pending::NONE;
use crate::record::Offset;
use crate::row::LAST;
use crate::sink::{ContextRef, Kind, Part, Sink};

impl Topology {
    /// Publishes the session, the other sessions of the event's viewer, and the viewer.
    pub(super) fn publish(&mut self, session: Option<u32>, viewer: Option<u32>, offset: Offset, sink: &mut dyn Sink) {
        let mut shown = NONE;
        if let Some(session) = session {
            let left = self.link(session);
            self.publish_session(session, NONE, offset, sink);
            if left == NONE {
                shown = self.sessions.heads[session as usize].peer;
            }
            self.depart(left, offset, sink);
        }
        let is_alone = |viewer: &u32| session == Some(self.viewers.heads[*viewer as usize].peer);
        if let Some(viewer) = viewer.filter(|viewer| !is_alone(viewer)) {
            for at in 0..self.members[viewer as usize].len() {
                let other = self.members[viewer as usize][at];
                if Some(other) != session {
                    self.publish_other(other, shown == viewer, offset, sink);
                    shown = viewer;
                }
            }
        }
        let peer = session.map_or(NONE, |i| self.sessions.heads[i as usize].peer);
        if peer != NONE {
            self.publish_viewer(peer, offset, sink);
        }
        if let Some(viewer) = viewer.filter(|v| *v != peer) {
            self.publish_viewer(viewer, offset, sink);
        }
    }

    /// Publishes a session to whose viewer an event of another session came. `is_shown`: the viewer's slots, as they are now, are in
    /// the vector.
    fn publish_other(&mut self, i: u32, is_shown: bool, offset: Offset, sink: &mut dyn Sink) {
        let head = &mut self.sessions.heads[i as usize];
        let peer = head.peer;
        self.keeps_contexts = sink.keeps_contexts();
        if !self.keeps_contexts || head.named != peer || head.version == offset.0 {
            return self.publish_session(i, if is_shown { peer } else { NONE }, offset, sink);
        }
        head.version = head.version.max(offset.0);
        self.sessions.mark_dirty(i);
        if !is_shown {
            self.plan.viewer.read(self.viewers.current(peer), &mut self.vector, &mut self.scratch);
        }
        self.profile.clear();
        self.profile.extend(self.plan.profile_slots.iter().map(|slot| self.vector[*slot as usize]));
        let head = &self.sessions.heads[i as usize];
        let (session, viewer) = (Some(&*head.key), Some(&*self.viewers.heads[peer as usize].key));
        let event_time = self.sessions.current(i)[LAST] as i64;
        let (kind, place, is_renamed, version) = (Kind::Session, i, false, head.version);
        let (vector, part) = (&*self.profile, Part::Profile);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again: false,
            event_time,
            vector,
            part,
        });
    }

    /// `shown`: a viewer whose slots, as they are now, are in the vector; else [`NONE`].
    pub(super) fn publish_session(&mut self, i: u32, shown: u32, offset: Offset, sink: &mut dyn Sink) {
        let is_again = self.sessions.heads[i as usize].publish(offset.0);
        self.sessions.mark_dirty(i);
        self.emit_session(i, shown, is_again, sink);
    }

    pub(crate) fn emit_session(&mut self, i: u32, shown: u32, is_again: bool, sink: &mut dyn Sink) {
        if !sink.takes_contexts() {
            return;
        }
        self.read_session(i, shown);
        let head = &mut self.sessions.heads[i as usize];
        let is_renamed = std::mem::replace(&mut head.named, head.peer) != head.peer;
        let head = &self.sessions.heads[i as usize];
        let viewer = (head.peer != NONE).then(|| &*self.viewers.heads[head.peer as usize].key);
        let event_time = self.sessions.current(i)[LAST] as i64;
        let (session, version, vector) = (Some(&*head.key), head.version, &*self.vector);
        let (kind, place, part) = (Kind::Session, i, Part::Whole);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again,
            event_time,
            vector,
            part,
        });
    }

    /// Reads a session's vector, with its viewer's slots.
    fn read_session(&mut self, i: u32, shown: u32) {
        self.plan.session.read(self.sessions.current(i), &mut self.vector, &mut self.scratch);
        let peer = self.sessions.heads[i as usize].peer;
        if self.plan.spec.viewer.enabled && (peer == NONE || peer != shown) {
            let row = if peer == NONE { &self.blank[..self.plan.viewer.words] } else { self.viewers.current(peer) };
            self.plan.viewer.read(row, &mut self.vector, &mut self.scratch);
        }
    }

    pub(super) fn publish_viewer(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        let is_again = self.viewers.heads[i as usize].publish(offset.0);
        self.viewers.mark_dirty(i);
        self.emit_viewer(i, is_again, sink);
    }

    /// A viewer's context is that of the viewer's latest session, which stands for it without a vector, or the profile alone.
    pub(crate) fn emit_viewer(&mut self, i: u32, is_again: bool, sink: &mut dyn Sink) {
        if !sink.takes_contexts() {
            return;
        }
        let recency = |s: &u32| (self.sessions.current(*s)[LAST], &*self.sessions.heads[*s as usize].key);
        let latest = match self.viewers.heads[i as usize].peer {
            NONE => self.members[i as usize].iter().copied().max_by(|a, b| recency(a).cmp(&recency(b))),
            only => Some(only),
        };
        if latest.is_none() {
            let blank = &self.blank[..self.plan.session.words];
            self.plan.session.read(blank, &mut self.vector, &mut self.scratch);
            self.plan.viewer.read(self.viewers.current(i), &mut self.vector, &mut self.scratch);
        }
        let vector = if latest.is_none() { &*self.vector } else { &[] };
        let session = latest.map(|s| &*self.sessions.heads[s as usize].key);
        let event_time = self.viewers.current(i)[LAST] as i64;
        let named = latest.unwrap_or(NONE);
        let is_renamed = std::mem::replace(&mut self.viewers.heads[i as usize].named, named) != named;
        let head = &self.viewers.heads[i as usize];
        let (viewer, version) = (Some(&*head.key), head.version);
        let (kind, place, part) = (Kind::Viewer, i, Part::Whole);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again,
            event_time,
            vector,
            part,
        });
    }

    /// Publishes a viewer whose session has left.
    pub(super) fn depart(&mut self, viewer: u32, offset: Offset, sink: &mut dyn Sink) {
        if viewer != NONE {
            let hash = self.viewers.heads[viewer as usize].hash;
            self.taking.note(offset.0, hash, Noted::Left);
            self.publish_viewer(viewer, offset, sink);
        }
    }

    /// While catching up: publishes the viewers that lost sessions, and the sessions that lost their viewer, whose rows do not show it any
    /// more.
    pub(super) fn catch_up_parted(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some(notes) = self.kept.next_parted(offset.0) {
            for Note { offset, key: viewer, what } in notes {
                let there = self.viewers.find_hash(viewer);
                if what == Noted::Forgotten {
                    let back = there.map_or(Members::new(), |i| self.members[i as usize].clone());
                    for session in self.orphans.of(viewer).into_iter().chain(back) {
                        self.publish_session(session, NONE, Offset(offset), sink);
                    }
                } else if let Some(i) = there {
                    self.publish_viewer(i, Offset(offset), sink);
                }
            }
        }
    }
}
