//! Published contexts: written by the partitions, read by everyone.
//!
//! A sharded map leads readers to a key's cell; its partition finds the cell by the key's place in the fold, and replaces what is
//! in it: publishing looks nothing up, locks nothing and allocates nothing once a key is known. A follower of one key is only told
//! that it changed, and reads what is newest; followers of all contexts get batches through a bounded ring.

use cell::{Cell, Head};
use compact_str::CompactString;
use dashmap::DashMap;
use saccade_topology::{ContextRef, Kind, Part};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use tokio::sync::{broadcast, watch};

mod cell;
mod places;
#[cfg(test)]
mod tests;

pub use places::Places;

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
    /// The same, borrowed.
    pub fn borrowed(&self, kind: Kind) -> ContextRef<'_> {
        ContextRef {
            kind,
            place: 0,
            session: self.session.as_deref(),
            viewer: self.viewer.as_deref(),
            is_renamed: true,
            version: self.version,
            is_again: false,
            event_time: self.event_time,
            vector: &self.vector,
            part: Part::Whole,
        }
    }
}

/// Contexts as one turn of a partition published them.
type Batch = Arc<Vec<Context>>;

type Map = DashMap<CompactString, Cell>;

/// How often it is looked for a session of a viewer that is theirs.
const LOOKS: usize = 4;
/// Parts of a map. Publishing waits while one of them grows: with a million keys in eight parts, 10 ms.
const SHARDS: usize = 1024;

/// Read side: the latest context of every live session and viewer.
pub struct Contexts {
    sessions: Map,
    viewers: Map,
    watchers: DashMap<(Kind, Box<str>), watch::Sender<u64>>,
    watched: AtomicUsize,
    all: broadcast::Sender<Batch>,
    profile_slots: Box<[u32]>,
    profile_words: usize,
}

impl Contexts {
    /// `stream_buffer`: batches that a follower of all contexts may fall behind; `slots` and `profile_slots`: those of the plan.
    pub fn new(stream_buffer: usize, slots: usize, profile_slots: &[u32]) -> Self {
        Contexts {
            sessions: Map::with_shard_amount(SHARDS),
            viewers: Map::with_shard_amount(SHARDS),
            watchers: DashMap::new(),
            watched: AtomicUsize::new(0),
            all: broadcast::channel(stream_buffer).0,
            profile_slots: profile_slots.into(),
            profile_words: profile_slots.first().map_or(0, |first| slots.div_ceil(2) - *first as usize / 2),
        }
    }

    fn map(&self, kind: Kind) -> &Map {
        match kind {
            Kind::Session => &self.sessions,
            Kind::Viewer => &self.viewers,
        }
    }

    fn cell(&self, kind: Kind, id: &str) -> Option<Cell> {
        self.map(kind).get(id).map(|cell| cell.clone())
    }

    /// The latest context of `id`.
    pub fn get(&self, kind: ContextKind, id: &str) -> Option<Context> {
        let cell = self.cell(kind, id)?;
        let mut last = None;
        for _ in 0..LOOKS {
            let mut context = cell.read();
            if !context.vector.is_empty() {
                return Some(context);
            }
            // Between the two looks the session may have ended, or be another viewer's: then this one's is another.
            let session = context.session.as_deref().and_then(|session| self.cell(Kind::Session, session));
            let Some(session) = session.map(|cell| cell.read()) else { continue };
            let is_theirs = session.viewer.as_deref() == Some(id);
            // Or it was refreshed: the newer version names what is shown.
            context.version = context.version.max(session.version);
            context.vector = session.vector;
            last = Some(context);
            if is_theirs {
                break;
            }
        }
        last
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
        let receiver = entry.subscribe();
        drop(entry);
        if let Some(cell) = self.cell(kind, id) {
            cell.head().is_watched.store(true, Ordering::SeqCst);
        }
        receiver
    }

    /// Follows all sessions, in batches; a receiver that lags is told by how much (`RecvError::Lagged`).
    pub fn follow(&self) -> broadcast::Receiver<Batch> {
        self.all.subscribe()
    }

    /// Shows a context to all readers; who follows it is told by `Contexts::notify`. `places` are those of the partition that it
    /// comes from. Ids may be left out where it [is not renamed](ContextRef::is_renamed).
    pub fn publish(&self, places: &mut Places, c: &ContextRef<'_>) {
        let place = places.place(c.kind, c.place);
        if let Some(cell) = place.as_ref().filter(|cell| cell.has_room(c)) {
            return cell.write(c, &self.profile_slots);
        }
        let before = place.take().map(|cell| cell.read());
        let named = before.as_ref().filter(|_| !c.is_renamed);
        let (session, viewer) = match named {
            Some(before) => (before.session.as_deref(), before.viewer.as_deref()),
            None => (c.session, c.viewer),
        };
        let Some(key) = (if c.kind == Kind::Session { session } else { viewer }) else { return };
        let updates = before.as_ref().map_or(0, |before| before.updates);
        let cell = place.insert(Cell::new(&ContextRef { session, viewer, ..*c }, updates));
        self.map(c.kind).insert(key.into(), cell.clone());
        // Who began to follow before the cell was there could not mark it; who begins now finds it.
        if self.watched.load(Ordering::SeqCst) > 0 && self.watchers.contains_key(&(c.kind, key.into())) {
            cell.head().is_watched.store(true, Ordering::Relaxed);
        }
    }

    /// Tells those who follow what was published at these places.
    pub(super) fn notify(&self, places: &Places, published: impl Iterator<Item = (Kind, u32)>) {
        // Who begins to follow meanwhile either sees what was written or is seen here.
        fence(Ordering::SeqCst);
        if self.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        for (kind, place) in published {
            let Some(cell) = places.get(kind, place) else { continue };
            let Head { is_watched, version, .. } = cell.head();
            if is_watched.load(Ordering::Relaxed)
                && let Some(key) = cell.key(kind)
                && let Some(watcher) = self.watchers.get(&(kind, key.into()))
            {
                let _ = watcher.send(version.load(Ordering::Relaxed));
            }
        }
    }

    pub(super) fn remove(&self, places: &mut Places, kind: Kind, place: u32, key: &str) {
        if let Some(cell) = places.place(kind, place).take() {
            // A key that came back in another partition is that one's.
            self.map(kind).remove_if(key, |_, published| published.is(&cell));
        }
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

    /// Words of a cell, at its end, that the slots about the viewer are in.
    pub(super) fn profile_words(&self) -> usize {
        self.profile_words
    }

    /// What is published at a place.
    pub(super) fn at(&self, places: &Places, kind: Kind, place: u32) -> Option<Context> {
        places.get(kind, place).map(Cell::read)
    }
}
