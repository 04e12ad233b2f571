//! The cell of a published context: its partition writes it without a lock, and whoever reads meanwhile reads again.

use super::Context;
use saccade_topology::{ContextRef, Kind, Part, prefetch};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
use triomphe::{Arc, HeaderSlice};

/// A published context: one writer, any number of readers, no lock, one piece of memory.
///
/// The writer makes `turn` odd, writes, and makes it even again; a reader that sees it odd, or changed, reads again. Where a name
/// comes that there is no room for, or a viewer's first vector, another cell takes its place. The words are the bytes of both
/// names, then the bits of the vector's numbers, two to a word.
#[derive(Clone)]
pub(super) struct Cell(Arc<HeaderSlice<Head, [AtomicU64]>>);

/// What a cell holds beside its words.
pub(super) struct Head {
    turn: AtomicU64,
    pub(super) version: AtomicU64,
    event_time: AtomicI64,
    updates: AtomicU64,
    has_vector: AtomicBool,
    /// Somebody has begun to follow it, and may still.
    pub(super) is_watched: AtomicBool,
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
    pub(super) fn new(c: &ContextRef<'_>, updates: u64) -> Cell {
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

    pub(super) fn head(&self) -> &Head {
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
    pub(super) fn has_room(&self, c: &ContextRef<'_>) -> bool {
        let Head { session, viewer, slots, .. } = self.head();
        let holds = |name: &Name, id| words_of(id) <= name.words as usize;
        let for_names = !c.is_renamed || (holds(session, c.session) && holds(viewer, c.viewer));
        for_names && (c.vector.is_empty() || c.part == Part::Profile || c.vector.len() == *slots as usize)
    }

    /// Only in a turn of the key's partition, and only what the cell [has room](Cell::has_room) for.
    pub(super) fn write(&self, c: &ContextRef<'_>, profile_slots: &[u32]) {
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

    pub(super) fn read(&self) -> Context {
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
    pub(super) fn key(&self, kind: Kind) -> Option<String> {
        let (session, viewer, _) = self.parts();
        match kind {
            Kind::Session => text(self.head().session.read(session)),
            Kind::Viewer => text(self.head().viewer.read(viewer)),
        }
    }

    /// Asks for the memory of what will be written soon; `profile_words` of it, at its end, for a profile.
    pub(super) fn prefetch(&self, part: Part, profile_words: usize) {
        match part {
            Part::Whole => prefetch(&*self.0),
            Part::Profile => {
                prefetch(self.head());
                let words = &self.0.slice;
                prefetch(&words[words.len().saturating_sub(profile_words)..]);
            }
        }
    }

    /// Whether both are one piece of memory.
    pub(super) fn is(&self, other: &Cell) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
