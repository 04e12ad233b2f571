//! Published contexts: written by the partitions, read by everyone.
//!
//! A context is replaced in place in a sharded map: publishing allocates nothing once a key is known. A follower of one key is
//! only told that it changed, and reads what is newest; followers of all contexts get batches through a bounded ring.

use compact_str::CompactString;
use dashmap::DashMap;
use saccade_topology::{ContextRef, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{broadcast, watch};

/// Which of the two kinds of context.
pub type ContextKind = Kind;

/// A published context, copied out of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// Session id, where there is one alive.
    pub session: Option<String>,
    /// Viewer id, where one is known.
    pub viewer: Option<String>,
    /// Offset of the record that caused it.
    pub version: u64,
    /// Greatest event time folded into it, epoch milliseconds.
    pub event_time: i64,
    /// The vector; names are in the schema.
    pub vector: Vec<f32>,
    /// Times it was refreshed since the process began; a reader that sees a jump has skipped.
    pub updates: u64,
}

impl Context {
    fn new(c: &ContextRef<'_>, updates: u64) -> Self {
        Context {
            session: c.session.map(str::to_string),
            viewer: c.viewer.map(str::to_string),
            version: c.version,
            event_time: c.event_time,
            vector: c.vector.to_vec(),
            updates,
        }
    }

    /// The same, borrowed.
    pub fn borrowed(&self, kind: Kind) -> ContextRef<'_> {
        ContextRef {
            kind,
            session: self.session.as_deref(),
            viewer: self.viewer.as_deref(),
            version: self.version,
            event_time: self.event_time,
            vector: &self.vector,
        }
    }
}

/// A context in the map: short ids lie in it, so that replacing it touches little memory.
struct Published {
    session: Option<CompactString>,
    viewer: Option<CompactString>,
    version: u64,
    event_time: i64,
    updates: u64,
    vector: Vec<f32>,
}

impl Published {
    fn new(c: &ContextRef<'_>) -> Self {
        Published {
            session: c.session.map(Into::into),
            viewer: c.viewer.map(Into::into),
            version: c.version,
            event_time: c.event_time,
            updates: 1,
            vector: c.vector.to_vec(),
        }
    }

    fn replace(&mut self, c: &ContextRef<'_>) {
        replace_text(&mut self.session, c.session);
        replace_text(&mut self.viewer, c.viewer);
        self.version = c.version;
        self.event_time = c.event_time;
        self.updates += 1;
        self.vector.clear();
        self.vector.extend_from_slice(c.vector);
    }

    fn copy(&self) -> Context {
        Context {
            session: self.session.as_deref().map(str::to_string),
            viewer: self.viewer.as_deref().map(str::to_string),
            version: self.version,
            event_time: self.event_time,
            vector: self.vector.clone(),
            updates: self.updates,
        }
    }
}

fn replace_text(to: &mut Option<CompactString>, from: Option<&str>) {
    if to.as_deref() != from {
        *to = from.map(Into::into);
    }
}

/// Read side: the latest context of every live session and viewer.
pub struct Contexts {
    sessions: DashMap<CompactString, Published>,
    viewers: DashMap<CompactString, Published>,
    watchers: DashMap<(Kind, Box<str>), watch::Sender<u64>>,
    watched: AtomicUsize,
    all: broadcast::Sender<Arc<Vec<Context>>>,
}

impl Contexts {
    pub(crate) fn new(stream_buffer: usize) -> Self {
        Contexts {
            sessions: DashMap::new(),
            viewers: DashMap::new(),
            watchers: DashMap::new(),
            watched: AtomicUsize::new(0),
            all: broadcast::channel(stream_buffer).0,
        }
    }

    fn map(&self, kind: Kind) -> &DashMap<CompactString, Published> {
        match kind {
            Kind::Session => &self.sessions,
            Kind::Viewer => &self.viewers,
        }
    }

    /// The latest context of `id`.
    pub fn get(&self, kind: ContextKind, id: &str) -> Option<Context> {
        let mut context = self.map(kind).get(id)?.copy();
        if context.vector.is_empty()
            && let Some(session) = context.session.as_deref().and_then(|s| self.sessions.get(s))
        {
            // The session may have been refreshed between the two looks: the newer version names what is shown.
            context.vector.clone_from(&session.vector);
            context.version = context.version.max(session.version);
        }
        Some(context)
    }

    /// Contexts of live sessions and of viewers.
    pub fn len(&self) -> (usize, usize) {
        (self.sessions.len(), self.viewers.len())
    }

    /// True where nothing is published.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Some live session's id.
    pub fn any_session(&self) -> Option<String> {
        self.sessions.iter().next().map(|e| e.key().to_string())
    }

    /// Follows one key: the receiver is marked changed on every refresh; read with [`Contexts::get`]. The key need not exist yet.
    pub fn watch(&self, kind: ContextKind, id: &str) -> watch::Receiver<u64> {
        let entry = self.watchers.entry((kind, id.into())).or_insert_with(|| {
            self.watched.fetch_add(1, Ordering::SeqCst);
            watch::channel(0).0
        });
        entry.subscribe()
    }

    /// Follows all sessions, in batches; a receiver that lags is told by how much (`RecvError::Lagged`).
    pub fn follow(&self) -> broadcast::Receiver<Arc<Vec<Context>>> {
        self.all.subscribe()
    }

    pub(crate) fn publish(&self, c: &ContextRef<'_>) {
        let key = match c.kind {
            Kind::Session => c.session,
            Kind::Viewer => c.viewer,
        };
        let Some(key) = key else { return };
        let map = self.map(c.kind);
        match map.get_mut(key) {
            Some(mut context) => context.replace(c),
            None => {
                map.insert(key.into(), Published::new(c));
            }
        }
        if self.watched.load(Ordering::Relaxed) > 0 {
            self.notify(c.kind, key, c.version);
        }
    }

    fn notify(&self, kind: Kind, key: &str, version: u64) {
        let at = (kind, key.into());
        if let Some(watcher) = self.watchers.get(&at) {
            let _ = watcher.send(version);
        }
    }

    pub(crate) fn remove(&self, kind: Kind, key: &str) {
        self.map(kind).remove(key);
    }

    /// Gives back memory that a past peak of keys left behind, and forgets watchers that nobody listens to.
    pub(crate) fn tidy(&self) {
        for map in [&self.sessions, &self.viewers] {
            if map.capacity() > 65_536 && map.len() * 8 < map.capacity() {
                map.shrink_to_fit();
            }
        }
        self.watchers.retain(|_, w| {
            let listened = w.receiver_count() > 0;
            self.watched.fetch_sub(usize::from(!listened), Ordering::SeqCst);
            listened
        });
    }

    /// True where anybody follows all sessions.
    pub(crate) fn is_followed(&self) -> bool {
        self.all.receiver_count() > 0
    }

    pub(crate) fn broadcast(&self, contexts: Vec<Context>) {
        let _ = self.all.send(Arc::new(contexts));
    }

    pub(crate) fn copy(&self, c: &ContextRef<'_>) -> Context {
        Context::new(c, 0)
    }
}
