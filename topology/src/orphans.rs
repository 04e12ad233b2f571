//! Sessions that name a viewer who was forgotten while they live on: when the viewer comes back, they are theirs again.

use crate::map::Map;

/// Sessions, by place, and the viewers they name, by hash.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    viewer_of: Map<u32, u64>,
    sessions_of: Map<u64, Vec<u32>>,
}

impl Orphans {
    pub(crate) fn add(&mut self, session: u32, viewer: u64) {
        self.viewer_of.insert(session, viewer);
        self.sessions_of.entry(viewer).or_default().push(session);
    }

    /// The session is gone, or names another viewer.
    pub(crate) fn remove(&mut self, session: u32) {
        let Some(viewer) = self.viewer_of.remove(&session) else { return };
        if let Some(sessions) = self.sessions_of.get_mut(&viewer) {
            sessions.retain(|other| *other != session);
            if sessions.is_empty() {
                self.sessions_of.remove(&viewer);
            }
        }
    }

    /// True where the session is known to name this viewer.
    pub(crate) fn has(&self, session: u32, viewer: u64) -> bool {
        self.viewer_of.get(&session) == Some(&viewer)
    }

    /// The sessions that name a viewer.
    pub(crate) fn of(&self, viewer: u64) -> Vec<u32> {
        self.sessions_of.get(&viewer).cloned().unwrap_or_default()
    }

    /// Takes the sessions of a viewer who is back.
    pub(crate) fn take(&mut self, viewer: u64) -> Vec<u32> {
        let sessions = self.sessions_of.remove(&viewer).unwrap_or_default();
        for session in &sessions {
            self.viewer_of.remove(session);
        }
        sessions
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.viewer_of.is_empty()
    }
}
