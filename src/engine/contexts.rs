//! Published contexts: written by the partitions, read by everyone.
//!
//! A sharded map leads readers to a key's cell; its partition finds the cell by the key's place in the fold, and replaces what is
//! in it: publishing looks nothing up, locks nothing and allocates nothing once a key is known. A follower of one key is only told
//! that it changed, and reads what is newest; followers of all contexts get batches through a bounded ring.

use compact_str::CompactString;
use dashmap::DashMap;
use saccade_topology::{ContextRef, Kind, Part, prefetch};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use tokio::sync::{broadcast, watch};
use triomphe::{Arc, HeaderSlice};

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

/// A published context: one writer, any number of readers, no lock, one piece of memory.
///
/// The writer makes `turn` odd, writes, and makes it even again; a reader that sees it odd, or changed, reads again. Where a name
/// comes that there is no room for, or a viewer's first vector, another cell takes its place. The words are the bytes of both
/// names, then the bits of the vector's numbers, two to a word.
#[derive(Clone)]
struct Cell(Arc<HeaderSlice<Head, [AtomicU64]>>);

/// What a cell holds beside its words.
struct Head {
    turn: AtomicU64,
    version: AtomicU64,
    event_time: AtomicI64,
    updates: AtomicU64,
    has_vector: AtomicBool,
    /// Somebody has begun to follow it, and may still.
    is_watched: AtomicBool,
    session: Name,
    viewer: Name,
    /// Numbers that there is room for.
    slots: u32,
}

/// An id that may change: the words that it has, and the bytes of them that it takes.
struct Name {
    words: u32,
    bytes: AtomicU32,
}

/// Bytes of an id that there is not.
const ABSENT: u32 = u32::MAX;
/// Words of an id that changes: a UUID is 36 bytes.
const NAME_WORDS: usize = 5;

fn words_of(name: Option<&str>) -> usize {
    name.map_or(0, |name| name.len().div_ceil(8))
}

/// Two numbers as a word, and back.
fn paired([first, second]: [f32; 2]) -> u64 {
    u64::from(first.to_bits()) | u64::from(second.to_bits()) << 32
}

fn unpaired(word: u64) -> [f32; 2] {
    [f32::from_bits(word as u32), f32::from_bits((word >> 32) as u32)]
}

impl Name {
    fn new(words: usize) -> Name {
        Name { words: words as u32, bytes: AtomicU32::new(ABSENT) }
    }

    fn write(&self, words: &[AtomicU64], name: Option<&str>) {
        self.bytes.store(name.map_or(ABSENT, |name| name.len() as u32), Ordering::Relaxed);
        let bytes = name.map_or(&[][..], str::as_bytes).chunks(8);
        for (word, bytes) in words.iter().zip(bytes) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
        }
    }

    /// Its bytes, of which nothing is known while it is written.
    fn read(&self, words: &[AtomicU64]) -> Option<Vec<u8>> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        (bytes != ABSENT).then(|| {
            let mut read: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
            read.truncate(bytes as usize);
            read
        })
    }
}

fn text(name: Option<Vec<u8>>) -> Option<String> {
    name.map(|bytes| String::from_utf8(bytes).expect("it was written whole"))
}

impl Cell {
    /// The context is whole.
    fn new(c: &ContextRef<'_>, updates: u64) -> Cell {
        let (session, viewer) = (words_of(c.session), words_of(c.viewer));
        // The latest session of a viewer changes.
        let session = if c.kind == Kind::Viewer { session.max(NAME_WORDS) } else { session };
        let words = session + viewer + c.vector.len().div_ceil(2);
        let head = Head {
            turn: AtomicU64::default(),
            version: AtomicU64::default(),
            event_time: AtomicI64::default(),
            updates: AtomicU64::new(updates),
            has_vector: AtomicBool::default(),
            is_watched: AtomicBool::default(),
            session: Name::new(session),
            viewer: Name::new(viewer),
            slots: c.vector.len() as u32,
        };
        let cell = Cell(Arc::from_header_and_iter(head, (0..words).map(|_| AtomicU64::default())));
        cell.write(&ContextRef { is_renamed: true, ..*c }, &[]);
        cell
    }

    fn head(&self) -> &Head {
        &self.0.header
    }

    /// Words of session, viewer and vector.
    fn parts(&self) -> (&[AtomicU64], &[AtomicU64], &[AtomicU64]) {
        let Head { session, viewer, .. } = self.head();
        let (session, rest) = self.0.slice.split_at(session.words as usize);
        let (viewer, vector) = rest.split_at(viewer.words as usize);
        (session, viewer, vector)
    }

    /// Whether [`Cell::write`] can write it here.
    fn has_room(&self, c: &ContextRef<'_>) -> bool {
        let Head { session, viewer, slots, .. } = self.head();
        let holds = |name: &Name, id| words_of(id) <= name.words as usize;
        let for_names = !c.is_renamed || (holds(session, c.session) && holds(viewer, c.viewer));
        for_names && (c.vector.is_empty() || c.part == Part::Profile || c.vector.len() == *slots as usize)
    }

    /// Only in a turn of the key's partition, and only what the cell [has room](Cell::has_room) for.
    fn write(&self, c: &ContextRef<'_>, profile_slots: &[u32]) {
        let Head { turn, version, event_time, updates, has_vector, session, viewer, .. } = self.head();
        let (session_words, viewer_words, vector) = self.parts();
        let now = turn.load(Ordering::Relaxed);
        turn.store(now + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        version.store(c.version, Ordering::Relaxed);
        event_time.store(c.event_time, Ordering::Relaxed);
        updates.store(updates.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if c.is_renamed {
            session.write(session_words, c.session);
            viewer.write(viewer_words, c.viewer);
        }
        match c.part {
            Part::Whole => {
                has_vector.store(!c.vector.is_empty(), Ordering::Relaxed);
                let (pairs, odd) = c.vector.as_chunks::<2>();
                for (word, pair) in vector.iter().zip(pairs) {
                    word.store(paired(*pair), Ordering::Relaxed);
                }
                if let (Some(word), [last]) = (vector.last(), odd) {
                    word.store(paired([*last, 0.0]), Ordering::Relaxed);
                }
            }
            Part::Profile => {
                for (slot, number) in profile_slots.iter().map(|slot| *slot as usize).zip(c.vector) {
                    let word = &vector[slot / 2];
                    let mut pair = unpaired(word.load(Ordering::Relaxed));
                    pair[slot % 2] = *number;
                    word.store(paired(pair), Ordering::Relaxed);
                }
            }
        }
        turn.store(now + 2, Ordering::Release);
    }

    fn read(&self) -> Context {
        loop {
            let turn = self.head().turn.load(Ordering::Acquire);
            let Head { version, event_time, updates, has_vector, session, viewer, slots, .. } = self.head();
            let (session_words, viewer_words, vector) = self.parts();
            let slots = if has_vector.load(Ordering::Relaxed) { *slots as usize } else { 0 };
            let numbers = vector.iter().flat_map(|word| unpaired(word.load(Ordering::Relaxed)));
            let (session, viewer) = (session.read(session_words), viewer.read(viewer_words));
            let (version, event_time) = (version.load(Ordering::Relaxed), event_time.load(Ordering::Relaxed));
            let (vector, updates) = (numbers.take(slots).collect(), updates.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if turn.is_multiple_of(2) && self.head().turn.load(Ordering::Relaxed) == turn {
                return Context { session: text(session), viewer: text(viewer), version, event_time, vector, updates };
            }
            // The writer is in the middle of it: microseconds, unless it lost its processor there.
            std::thread::yield_now();
        }
    }

    /// The key's own id; only in a turn of its partition.
    fn key(&self, kind: Kind) -> Option<String> {
        let (session, viewer, _) = self.parts();
        match kind {
            Kind::Session => text(self.head().session.read(session)),
            Kind::Viewer => text(self.head().viewer.read(viewer)),
        }
    }
}

/// What one partition publishes: its cells by the places of the fold, so that a refresh looks nothing up.
#[derive(Default)]
pub struct Places {
    /// By kind.
    cells: [Vec<Option<Cell>>; 2],
}

impl Places {
    /// Takes over cells of other places.
    pub(super) fn add(&mut self, others: Places) {
        for (cells, mut others) in self.cells.iter_mut().zip(others.cells) {
            if cells.len() < others.len() {
                std::mem::swap(cells, &mut others);
            }
            for (cell, other) in cells.iter_mut().zip(others) {
                *cell = other.or_else(|| cell.take());
            }
        }
    }

    /// Asks for where [`Places::prefetch`] will look.
    pub(super) fn prefetch_place(&self, kind: Kind, place: u32) {
        if let Some(place) = self.cells[kind as usize].get(place as usize) {
            prefetch(place);
        }
    }

    /// Asks for the memory of a cell of which this part will be written soon; `profile_words` of it, at its end, for a profile.
    pub(super) fn prefetch(&self, kind: Kind, place: u32, part: Part, profile_words: usize) {
        let Some(cell) = self.get(kind, place) else { return };
        match part {
            Part::Whole => prefetch(&*cell.0),
            Part::Profile => {
                prefetch(cell.head());
                let words = &cell.0.slice;
                prefetch(&words[words.len().saturating_sub(profile_words)..]);
            }
        }
    }

    fn get(&self, kind: Kind, place: u32) -> Option<&Cell> {
        self.cells[kind as usize].get(place as usize)?.as_ref()
    }

    fn place(&mut self, kind: Kind, place: u32) -> &mut Option<Cell> {
        let places = &mut self.cells[kind as usize];
        if places.len() <= place as usize {
            places.resize_with(place as usize + 1, || None);
        }
        &mut places[place as usize]
    }
}

/// Contexts as one turn of a partition published them.
type Batch = std::sync::Arc<Vec<Context>>;

type Map = DashMap<CompactString, Cell>;

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
        let mut context = self.cell(kind, id)?.read();
        if context.vector.is_empty()
            && let Some(session) = context.session.as_deref().and_then(|s| self.cell(Kind::Session, s))
        {
            // The session may have been refreshed between the two looks: the newer version names what is shown.
            let session = session.read();
            context.vector = session.vector;
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
            self.map(kind).remove_if(key, |_, published| Arc::ptr_eq(&published.0, &cell.0));
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
        let _ = self.all.send(std::sync::Arc::new(contexts));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(session: &'a str, place: u32, version: u64, vector: &'a [f32]) -> ContextRef<'a> {
        let event_time = version as i64;
        ContextRef {
            kind: Kind::Session,
            place,
            session: Some(session),
            viewer: Some("v"),
            is_renamed: true,
            version,
            is_again: false,
            event_time,
            vector,
            part: Part::Whole,
        }
    }

    #[test]
    fn a_reader_sees_one_refresh_whole_while_another_is_written() {
        const REFRESHES: u64 = 200_000;
        let contexts = std::sync::Arc::new(Contexts::new(1, 64, &[]));
        let mut places = Places::default();
        contexts.publish(&mut places, &context("s", 0, 1, &[1.0; 64]));
        let reader = std::thread::spawn({
            let contexts = std::sync::Arc::clone(&contexts);
            move || {
                let (mut last, mut different) = (0, 0);
                while last < REFRESHES {
                    let seen = contexts.get(Kind::Session, "s").expect("it is there all the time");
                    assert!(seen.version >= last, "{} after {last}", seen.version);
                    assert_eq!((seen.updates, seen.event_time), (seen.version, seen.version as i64));
                    assert!(
                        seen.vector.iter().all(|x| *x == seen.version as f32),
                        "{}: {:?}",
                        seen.version,
                        seen.vector
                    );
                    different += u64::from(seen.version > last);
                    last = seen.version;
                }
                different
            }
        });
        for version in 2..=REFRESHES {
            contexts.publish(&mut places, &context("s", 0, version, &[version as f32; 64]));
        }
        assert!(reader.join().expect("the reader saw nothing torn") > 1);
    }

    #[test]
    fn a_place_that_another_key_took_is_that_keys_alone() {
        let contexts = Contexts::new(1, 64, &[]);
        let mut places = Places::default();
        contexts.publish(&mut places, &context("a", 3, 1, &[1.0]));
        contexts.remove(&mut places, Kind::Session, 3, "a");
        contexts.publish(&mut places, &context("b", 3, 2, &[2.0]));
        assert_eq!(contexts.get(Kind::Session, "a"), None);
        let b = contexts.get(Kind::Session, "b").expect("it was published");
        assert_eq!((b.session.as_deref(), b.version, b.updates, b.vector), (Some("b"), 2, 1, vec![2.0]));
    }

    #[test]
    fn places_that_several_threads_filled_are_those_of_one() {
        let contexts = Contexts::new(1, 64, &[]);
        let (mut places, mut more) = (Places::default(), Places::default());
        for (nth, session) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let half = if nth % 2 == 0 { &mut places } else { &mut more };
            contexts.publish(half, &context(session, nth as u32, 1, &[1.0]));
        }
        places.add(more);
        places.add(Places::default());
        for (nth, session) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let again = ContextRef { is_renamed: false, ..context("", nth as u32, 2, &[2.0]) };
            contexts.publish(&mut places, &again);
            let shown = contexts.get(Kind::Session, session).expect("it is alive");
            assert_eq!((shown.version, shown.updates, shown.vector), (2, 2, vec![2.0]), "{session}");
        }
        contexts.remove(&mut places, Kind::Session, 3, "d");
        assert_eq!(contexts.len(), (3, 0));
    }

    #[test]
    fn a_new_name_is_shown_and_counts_on() {
        let contexts = Contexts::new(1, 64, &[]);
        let mut places = Places::default();
        contexts.publish(&mut places, &context("a", 0, 1, &[1.0]));
        contexts.publish(&mut places, &ContextRef { viewer: Some("w"), ..context("a", 0, 2, &[2.0]) });
        let a = contexts.get(Kind::Session, "a").expect("it was published");
        assert_eq!((a.viewer.as_deref(), a.version, a.updates, a.vector), (Some("w"), 2, 2, vec![2.0]));
    }

    #[test]
    fn what_changed_is_written_and_the_rest_stays() {
        let contexts = Contexts::new(1, 4, &[1, 3]);
        let mut places = Places::default();
        contexts.publish(&mut places, &context("a", 0, 1, &[1.0; 4]));
        let part = ContextRef { session: None, viewer: None, is_renamed: false, ..context("", 0, 2, &[2.0; 2]) };
        contexts.publish(&mut places, &ContextRef { part: Part::Profile, ..part });
        let a = contexts.get(Kind::Session, "a").expect("it was published");
        assert_eq!((a.session.as_deref(), a.viewer.as_deref(), a.version), (Some("a"), Some("v"), 2));
        assert_eq!((a.updates, a.vector), (2, vec![1.0, 2.0, 1.0, 2.0]));
    }

    #[test]
    fn the_session_of_a_viewer_may_change_whatever_its_length() {
        let contexts = Contexts::new(1, 64, &[]);
        let mut places = Places::default();
        let long = "s".repeat(128);
        let shown = [Some("ab"), Some("session-0123456789"), None, Some(&*long), Some("é"), Some(&*long)];
        for (version, session) in (1..).zip(shown) {
            let of_viewer = ContextRef { kind: Kind::Viewer, session, ..context("", 0, version, &[]) };
            contexts.publish(&mut places, &of_viewer);
            contexts.publish(&mut places, &ContextRef { session: None, viewer: None, is_renamed: false, ..of_viewer });
            let v = contexts.get(Kind::Viewer, "v").expect("it was published");
            assert_eq!((v.session.as_deref(), v.viewer.as_deref()), (session, Some("v")));
            assert_eq!((v.version, v.updates), (version, 2 * version));
        }
        // A vector comes where there was none, under the name it had.
        let alone = ContextRef { kind: Kind::Viewer, session: None, is_renamed: true, ..context("", 0, 9, &[1.0]) };
        contexts.publish(&mut places, &alone);
        let v = contexts.get(Kind::Viewer, "v").expect("it was published");
        assert_eq!((v.session, v.vector, v.updates), (None, vec![1.0], 13));
    }

    #[test]
    fn what_another_partition_publishes_now_outlives_the_removal_in_the_one_before() {
        let contexts = Contexts::new(1, 64, &[]);
        let (mut before, mut now) = (Places::default(), Places::default());
        contexts.publish(&mut before, &context("a", 0, 1, &[1.0]));
        contexts.publish(&mut now, &context("a", 5, 9, &[9.0]));
        contexts.remove(&mut before, Kind::Session, 0, "a");
        assert_eq!(contexts.get(Kind::Session, "a").expect("it is alive").version, 9);
    }

    #[test]
    fn who_follows_is_told_whenever_it_began() {
        let contexts = Contexts::new(1, 64, &[]);
        let mut places = Places::default();
        let mut show = |session, place, version, viewer| {
            let c = ContextRef { viewer: Some(viewer), ..context(session, place, version, &[1.0]) };
            contexts.publish(&mut places, &c);
            contexts.notify(&places, [(Kind::Session, place)].into_iter());
        };
        let told = |follower: &mut watch::Receiver<u64>| {
            let is_new = follower.has_changed().expect("the contexts are there");
            is_new.then(|| *follower.borrow_and_update())
        };
        let mut early = contexts.watch(Kind::Session, "a");
        show("a", 0, 1, "v");
        show("b", 1, 2, "v");
        assert_eq!(told(&mut early), Some(1));
        let mut late = contexts.watch(Kind::Session, "b");
        assert_eq!(told(&mut late), None);
        show("b", 1, 3, "v");
        assert_eq!((told(&mut early), told(&mut late)), (None, Some(3)));
        // Another name, another cell.
        show("b", 1, 4, "w");
        assert_eq!(told(&mut late), Some(4));
        show("b", 1, 5, "w");
        assert_eq!(told(&mut late), Some(5));
    }
}
