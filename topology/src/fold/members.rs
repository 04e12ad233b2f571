//! Which sessions are a viewer's: the viewer that a session's latest event names. A session whose viewer is not there waits as an
//! orphan.

use super::Topology;
use crate::pending::NONE;
use crate::record::Offset;
use crate::row::VIEWER;
use crate::sink::Sink;
use smallvec::SmallVec;

/// Places of sessions; few viewers have more.
pub(crate) type Members = SmallVec<[u32; 4]>;

impl Topology {
    pub(super) fn create_viewer(&mut self, hash: u64, viewer: &str, offset: Offset, sink: &mut dyn Sink) -> u32 {
        if self.viewers.len() >= self.plan.spec.viewer.viewers_max as usize {
            self.evict_viewer(offset, sink);
        }
        let i = self.viewers.create(hash, viewer);
        self.make_members();
        for session in self.orphans.take(hash) {
            self.link(session);
        }
        i
    }

    /// Every viewer has a list of sessions.
    pub(crate) fn make_members(&mut self) {
        let viewers = self.viewers.end() as usize;
        if self.members.len() < viewers {
            self.members.resize_with(viewers, Members::new);
        }
    }

    /// Makes the session's viewer the one its latest event names; gives the one before where that changed.
    pub(crate) fn link(&mut self, session: u32) -> u32 {
        if !self.plan.spec.viewer.enabled {
            return NONE;
        }
        let wanted = self.sessions.current(session)[VIEWER];
        let peer = self.sessions.heads[session as usize].peer;
        let linked = peer != NONE && self.viewers.heads[peer as usize].hash == wanted;
        let names_nobody = wanted == 0 && peer == NONE && self.orphans.is_empty();
        if linked || names_nobody {
            return NONE;
        }
        let found = self.viewers.find_hash(wanted).filter(|_| wanted != 0);
        if found.is_none() && self.orphans.has(session, wanted) {
            return NONE;
        }
        self.unlink(session);
        let Some(viewer) = found else {
            if wanted != 0 {
                self.orphans.add(session, wanted);
            }
            return peer;
        };
        self.sessions.heads[session as usize].peer = viewer;
        self.members[viewer as usize].push(session);
        self.note_only_member(viewer);
        self.note_crowd(viewer);
        peer
    }

    fn note_crowd(&mut self, viewer: u32) {
        let sessions = self.members[viewer as usize].len();
        if sessions > self.crowd.0 {
            self.crowd.0 = sessions;
            if sessions.is_power_of_two() {
                self.crowd.1.clone_from(&self.viewers.heads[viewer as usize].key);
            }
        }
    }

    /// Most viewers have one live session: it is noted where the viewer itself is.
    fn note_only_member(&mut self, viewer: u32) {
        let only = if let [only] = *self.members[viewer as usize] { only } else { NONE };
        self.viewers.heads[viewer as usize].peer = only;
    }

    pub(super) fn unlink(&mut self, session: u32) {
        if !self.orphans.is_empty() {
            self.orphans.remove(session);
        }
        let peer = std::mem::replace(&mut self.sessions.heads[session as usize].peer, NONE);
        if peer != NONE {
            self.members[peer as usize].retain(|s| *s != session);
            self.note_only_member(peer);
        }
    }
}
