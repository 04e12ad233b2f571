//! Pending events: those that one arriving out of order could still come before. Kept sorted by (event time, id) per key.
//!
//! All lists of a lane share one slab, so that nothing is allocated per event once the slab has grown. An event is kept without the inputs
//! it has not, which are most, and without what its id is shorter than the longest: it is written once, and read again only where another
//! comes out of order.

use crate::feature::ABSENT;
use crate::prefetch::prefetch;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) const NONE: u32 = u32::MAX;

const ID_WORDS: usize = 5;
/// Words before the inputs of an event, where its id is of the longest.
const INPUTS: usize = 1 + ID_WORDS;

/// An event id as words that compare as the id's bytes do. Up to 40 bytes are kept whole; of longer ids the first 24, and
/// after them a 128-bit hash of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct IdWords([u64; ID_WORDS]);

impl IdWords {
    pub(crate) fn new(id: &str) -> Self {
        let (whole, rest) = id.as_bytes().as_chunks::<8>();
        // Word by word: a list that is written in words and then moved as a whole has to be waited for.
        let word = |i: usize, behind: u64| whole.get(i).map_or(behind, |bytes| u64::from_be_bytes(*bytes));
        if id.len() > 8 * ID_WORDS {
            let hash = xxh3_128(id.as_bytes());
            return IdWords([word(0, 0), word(1, 0), word(2, 0), (hash >> 64) as u64, hash as u64]);
        }
        let bytes_word = |bytes: &[u8]| bytes.iter().fold(0, |word, b| word << 8 | u64::from(*b));
        let last = match id.as_bytes().last_chunk() {
            _ if rest.is_empty() => 0,
            Some(chunk) => u64::from_be_bytes(*chunk) << (64 - 8 * rest.len()),
            None => bytes_word(rest) << (64 - 8 * rest.len()),
        };
        let word = |i: usize| word(i, if i == whole.len() { last } else { 0 });
        IdWords([word(0), word(1), word(2), word(3), word(4)])
    }

    /// How many words there are before those that are zero.
    fn len(&self) -> usize {
        self.0.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)
    }
}

/// An event as a lane takes it.
pub(crate) struct Arriving<'a> {
    pub at: At,
    pub id: IdWords,
    pub kind: u64,
    pub inputs: &'a [u64],
}

impl<'a> Arriving<'a> {
    /// Type, id and inputs as words, of which there are the same number for all events of a lane.
    pub(crate) fn put_words(&self, words: &mut Vec<u64>) {
        words.clear();
        words.push(self.kind);
        words.extend_from_slice(&self.id.0);
        words.extend_from_slice(self.inputs);
    }

    /// The event of such words; none where they are not such.
    pub(crate) fn of_words(at: At, words: &'a [u64]) -> Option<Arriving<'a>> {
        let (kind, rest) = words.split_first()?;
        let (id, inputs) = rest.split_first_chunk()?;
        kind.is_power_of_two().then_some(Arriving { at, id: IdWords(*id), kind: *kind, inputs })
    }
}

/// Where an event is: in time, and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub time: i64,
    pub offset: u64,
}

/// An event as it is kept: a word that says which type it is of, how many words its id has and which inputs it has; then those.
struct Packed<'a>(&'a [u64]);

/// Bits of that word: for the type, for the length of the id, and the first of those for the inputs.
const KIND_BITS: u32 = 6;
const ID_BITS: u32 = 3;
const MASK: u32 = KIND_BITS + ID_BITS;
/// Inputs that can be left out; any further ones are always there.
const SPARSE_MAX: usize = (u64::BITS - MASK) as usize;

/// Writes an event; gives how many words it takes. `out` has room for the longest. `kind` is one bit.
fn pack(out: &mut [u64], kind: u64, id: &IdWords, inputs: &[u64]) -> usize {
    // What is too much is written too, and overwritten: no branch to guess, and no copy of unknown length.
    let (ids, out) = (id.len(), &mut out[..INPUTS + inputs.len()]);
    out[1..INPUTS].copy_from_slice(&id.0);
    let (sparse, dense) = inputs.split_at(inputs.len().min(SPARSE_MAX));
    let (mut at, mut mask) = (1 + ids, 0);
    for (nth, input) in sparse.iter().enumerate() {
        out[at] = *input;
        let is_there = *input != ABSENT;
        mask |= u64::from(is_there) << nth;
        at += usize::from(is_there);
    }
    for input in dense {
        out[at] = *input;
        at += 1;
    }
    out[0] = u64::from(kind.trailing_zeros()) | (ids as u64) << KIND_BITS | mask << MASK;
    at
}

impl Packed<'_> {
    fn kind(&self) -> u64 {
        1 << (self.0[0] & ((1 << KIND_BITS) - 1))
    }

    fn ids(&self) -> usize {
        (self.0[0] >> KIND_BITS & ((1 << ID_BITS) - 1)) as usize
    }

    fn id(&self) -> IdWords {
        let ids = &self.0[1..][..self.ids()];
        IdWords(std::array::from_fn(|i| ids.get(i).copied().unwrap_or(0)))
    }

    fn inputs(&self, out: &mut [u64]) {
        let (mask, mut left) = (self.0[0] >> MASK, &self.0[1 + self.ids()..]);
        let (sparse, dense) = out.split_at_mut(out.len().min(SPARSE_MAX));
        for (nth, input) in sparse.iter_mut().enumerate() {
            *input = match left {
                [first, rest @ ..] if mask >> nth & 1 == 1 => {
                    left = rest;
                    *first
                }
                _ => ABSENT,
            };
        }
        dense.copy_from_slice(&left[..dense.len()]);
    }
}

/// Entries of a chunk.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Lists of released entries that are walked side by side, an entry of each with each one that is taken: more than come. What a step has
/// asked for is near by the next.
const WALKS: usize = 2;
/// What is dated further ahead than this, ms, lies apart: it is let go that much later, and chunks of others would wait for it.
const AHEAD_MS: i64 = 5000;
/// How many entries ahead memory is asked for.
const AHEAD: usize = 3;

/// What is needed of an entry to walk a list, to let go of one, or to say where its events are. Apart from all else: four lie in a line of
/// memory, and what comes about the same time is let go about the same time.
#[derive(Clone, Copy, Debug)]
struct Link {
    time: i64,
    /// The next entry of the list.
    next: u32,
    /// Offset, from that of the chunk.
    step: i32,
}

/// Entries that were taken one after another.
#[derive(Debug)]
struct Chunk {
    links: Box<[Link]>,
    /// Where the words of each begin.
    starts: Box<[u32]>,
    words: Box<[u64]>,
    /// Offset of the first.
    begin: u64,
    /// Entries and words that are taken, and entries that are not gone.
    taken: usize,
    filled: usize,
    live: usize,
}

impl Chunk {
    fn new(stride: usize) -> Chunk {
        Chunk {
            links: vec![Link { time: 0, next: NONE, step: 0 }; CHUNK].into(),
            starts: vec![0; CHUNK].into(),
            // Most events have less than half of all inputs. Where they have more, there are fewer in a chunk.
            words: vec![0; CHUNK * stride.div_ceil(2)].into(),
            begin: 0,
            taken: 0,
            filled: 0,
            live: 0,
        }
    }

    /// Offset from that of the chunk, if there is room for an entry of `stride` words with it.
    fn step(&self, offset: u64, stride: usize) -> Option<i32> {
        let has_room = self.taken < CHUNK && self.filled + stride <= self.words.len();
        i32::try_from(offset.wrapping_sub(self.begin) as i64).ok().filter(|_| has_room)
    }

    fn at(&self, nth: usize) -> At {
        let Link { time, step, .. } = self.links[nth];
        At { time, offset: self.begin.wrapping_add_signed(step.into()) }
    }

    fn packed(&self, nth: usize) -> Packed<'_> {
        Packed(&self.words[self.starts[nth] as usize..])
    }

    fn bytes(&self) -> usize {
        self.taken * (size_of::<Link>() + size_of::<u32>()) + 8 * self.filled
    }
}

/// Entries in chunks: taken one after another, so that what comes together lies together, whatever keys it is of. What is pending is
/// let go about in the order it came, and then whole chunks are free again.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Words of the longest entry, and inputs of all.
    stride: usize,
    inputs: Vec<u64>,
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    /// The chunks that entries are taken from: most of them, and those that are dated ahead.
    current: [usize; 2],
    /// The greatest event time there was.
    newest: i64,
    /// Entries that were not released.
    used: usize,
    /// Entries that were released and not counted as gone yet: the first of each list, and how many are left of it.
    released: VecDeque<(u32, u32)>,
    /// The lists that are walked; none left where there is no further one.
    walks: [(u32, u32); WALKS],
}

fn place(i: u32) -> (usize, usize) {
    (i as usize / CHUNK, i as usize % CHUNK)
}

impl Slab {
    pub(crate) fn new(inputs: usize) -> Self {
        Slab {
            stride: INPUTS + inputs,
            inputs: vec![ABSENT; inputs],
            chunks: vec![],
            free: vec![],
            current: [usize::MAX; 2],
            newest: i64::MAX,
            used: 0,
            released: VecDeque::new(),
            walks: [(NONE, 0); WALKS],
        }
    }

    /// Words of an event as it is [written](Arriving::put_words); of the longest entry too.
    pub(crate) fn words(&self) -> usize {
        self.stride
    }

    /// Bytes of all entries: of those that are kept, on average, times how many there are.
    pub(crate) fn bytes(&self) -> usize {
        let kept = self.chunks.iter().filter(|chunk| chunk.live > 0);
        let (bytes, entries) = kept.fold((0, 0), |(bytes, n), chunk| (bytes + chunk.bytes(), n + chunk.taken));
        self.used * bytes / entries.max(1)
    }

    fn link(&self, i: u32) -> &Link {
        let (chunk, nth) = place(i);
        &self.chunks[chunk].links[nth]
    }

    pub(crate) fn at(&self, i: u32) -> At {
        let (chunk, nth) = place(i);
        self.chunks[chunk].at(nth)
    }

    /// Where an entry is among those of its key.
    pub(crate) fn order(&self, i: u32) -> (i64, IdWords) {
        let (chunk, nth) = place(i);
        (self.link(i).time, self.chunks[chunk].packed(nth).id())
    }

    /// The event of an entry.
    pub(crate) fn event(&mut self, i: u32) -> Arriving<'_> {
        let (chunk, nth) = place(i);
        let chunk = &self.chunks[chunk];
        let packed = chunk.packed(nth);
        packed.inputs(&mut self.inputs);
        Arriving { at: chunk.at(nth), id: packed.id(), kind: packed.kind(), inputs: &self.inputs }
    }

    pub(crate) fn next(&self, i: u32) -> u32 {
        self.link(i).next
    }

    pub(crate) fn set_next(&mut self, i: u32, next: u32) {
        let (chunk, nth) = place(i);
        self.chunks[chunk].links[nth].next = next;
    }

    /// An entry that is linked to none, with an event.
    pub(crate) fn insert(&mut self, event: &Arriving<'_>) -> u32 {
        let is_ahead = event.at.time > self.newest.saturating_add(AHEAD_MS);
        let i = self.take(event.at, is_ahead);
        let chunk = &mut self.chunks[place(i).0];
        chunk.filled += pack(&mut chunk.words[chunk.filled..], event.kind, &event.id, event.inputs);
        i
    }

    /// An entry that is linked to none, with room for an event that [`Slab::fill`] gives it later.
    pub(crate) fn reserve(&mut self, at: At) -> u32 {
        let i = self.take(at, false);
        self.chunks[place(i).0].filled += self.stride;
        i
    }

    /// Says what the event of a reserved entry is.
    pub(crate) fn fill(&mut self, i: u32, kind: u64, id: IdWords, inputs: &[u64]) {
        let (chunk, nth) = place(i);
        let Chunk { starts, words, .. } = &mut self.chunks[chunk];
        pack(&mut words[starts[nth] as usize..], kind, &id, inputs);
    }

    /// Says what the greatest event time is.
    pub(crate) fn set_newest(&mut self, newest: i64) {
        self.newest = newest;
    }

    /// An entry whose words begin where those of its chunk end; there is room for the longest.
    fn take(&mut self, at: At, is_ahead: bool) -> u32 {
        (0..WALKS).for_each(|walk| self.step(walk));
        self.used += 1;
        let stride = self.stride;
        let step = self.chunks.get(self.current[usize::from(is_ahead)]).and_then(|chunk| chunk.step(at.offset, stride));
        let step = step.unwrap_or_else(|| {
            self.begin_chunk(at.offset, is_ahead);
            0
        });
        let current = self.current[usize::from(is_ahead)];
        let chunk = &mut self.chunks[current];
        let nth = chunk.taken;
        chunk.taken += 1;
        chunk.live += 1;
        chunk.links[nth] = Link { time: at.time, next: NONE, step };
        chunk.starts[nth] = chunk.filled as u32;
        if let Some(later) = chunk.words.get(chunk.filled + AHEAD * stride / 2..) {
            prefetch(&later[..(stride / 2).min(later.len())]);
        }
        (current * CHUNK + nth) as u32
    }

    #[cold]
    fn begin_chunk(&mut self, offset: u64, is_ahead: bool) {
        let current = self.free.pop().map_or(self.chunks.len(), |chunk| chunk as usize);
        let before = std::mem::replace(&mut self.current[usize::from(is_ahead)], current);
        if current == self.chunks.len() {
            self.chunks.push(Chunk::new(self.stride));
        }
        let chunk = &mut self.chunks[current];
        (chunk.begin, chunk.taken, chunk.filled) = (offset, 0, 0);
        if self.chunks.get(before).is_some_and(|chunk| chunk.live == 0) {
            self.free.push(before as u32);
        }
    }

    /// Counts one released entry as gone, and asks for the one after it.
    fn step(&mut self, walk: usize) {
        let (i, left) = self.walks[walk];
        if left > 0 {
            let (chunk, nth) = place(i);
            let is_current = self.current.contains(&chunk);
            let Chunk { links, live, .. } = &mut self.chunks[chunk];
            *live -= 1;
            if *live == 0 && !is_current {
                self.free.push(chunk as u32);
            }
            // The last of a list leads nowhere: it is not read.
            if left > 1 {
                self.walks[walk] = (links[nth].next, left - 1);
                return self.prefetch_link(self.walks[walk].0);
            }
        }
        self.walks[walk] = self.released.pop_front().unwrap_or((NONE, 0));
        if self.walks[walk].1 > 1 {
            self.prefetch_link(self.walks[walk].0);
        }
    }

    /// Asks for the link of an entry.
    pub(crate) fn prefetch_link(&self, i: u32) {
        prefetch(self.link(i));
    }

    /// Asks for the link of an entry; gives the one that it leads to.
    pub(crate) fn prefetch_along(&self, i: u32) -> u32 {
        if i == NONE {
            return NONE;
        }
        self.prefetch_link(i);
        self.next(i)
    }

    /// Frees `count` entries from `first` on, as they are linked.
    pub(crate) fn release(&mut self, first: u32, count: u32) {
        self.used -= count as usize;
        self.released.push_back((first, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Inputs of an event of which every other is absent, from the `first` on.
    fn inputs(n: usize, first: usize) -> Vec<u64> {
        (0..n).map(|i| if i % 2 == first % 2 { ABSENT } else { 100 * first as u64 + i as u64 }).collect()
    }

    #[test]
    fn entries_keep_what_they_hold_and_chunks_are_taken_again() {
        const INPUTS: usize = 7;
        let mut slab = Slab::new(INPUTS);
        let (mut keys, mut at) = ([const { VecDeque::<(u32, u64)>::new() }; 7], 0u64);
        let mut chunks = vec![];
        for round in 0..200 {
            for _ in 0..CHUNK / 4 {
                at += 1;
                let key = &mut keys[(at * at % 7) as usize];
                let place = At { time: at as i64, offset: 7 * at };
                let (id, inputs) = (IdWords::new(&"i".repeat(at as usize % 50)), inputs(INPUTS, at as usize));
                let event = Arriving { at: place, id, kind: 1 << (at % 64), inputs: &inputs };
                let entry = if at % 5 == 0 { slab.reserve(place) } else { slab.insert(&event) };
                if at % 5 == 0 {
                    slab.fill(entry, event.kind, event.id, event.inputs);
                }
                if let Some((last, _)) = key.back() {
                    slab.set_next(*last, entry);
                }
                key.push_back((entry, at));
            }
            // Some of each, now and then all.
            for key in &mut keys {
                let count = if round % 50 == 49 { key.len() } else { key.len() / 2 };
                let gone: Vec<(u32, u64)> = key.drain(..count).collect();
                if let Some((first, _)) = gone.first() {
                    slab.release(*first, count as u32);
                }
            }
            for (entry, at) in keys.iter().flatten() {
                let id = IdWords::new(&"i".repeat(*at as usize % 50));
                assert_eq!(slab.order(*entry), (*at as i64, id));
                let event = slab.event(*entry);
                let found = (event.at, event.id, event.kind, event.inputs);
                let place = At { time: *at as i64, offset: 7 * at };
                assert_eq!(found, (place, id, 1 << (at % 64), &inputs(INPUTS, *at as usize)[..]));
            }
            assert_eq!(slab.used, keys.iter().map(VecDeque::len).sum::<usize>());
            chunks.push(slab.chunks.len());
        }
        assert!(chunks[199] <= 6, "{chunks:?}");
    }

    #[test]
    fn what_is_dated_ahead_keeps_no_chunk_of_others() {
        let mut slab = Slab::new(7);
        let inputs = inputs(7, 0);
        let mut kept = VecDeque::new();
        for time in 0..100 * CHUNK as i64 {
            // One in a hundred stays for good; of the others each for the time of a chunk.
            let is_ahead = time % 100 == 0;
            let at = At { time: time + if is_ahead { 2 * AHEAD_MS } else { 0 }, offset: time as u64 };
            slab.set_newest(time - 1);
            let entry = slab.insert(&Arriving { at, id: IdWords::new("i"), kind: 1, inputs: &inputs });
            if !is_ahead {
                kept.push_back(entry);
            }
            if kept.len() > CHUNK {
                slab.release(kept.pop_front().expect("there are some"), 1);
            }
        }
        // Two or three of those that go, and what stays.
        assert!(slab.chunks.len() <= 3 + 1 + 1, "{}", slab.chunks.len());
    }

    proptest! {
        #[test]
        fn an_event_is_the_same_after_it_was_packed(
            kind in 0_u32..64,
            id in "[ -~]{0,60}",
            inputs in prop::collection::vec(prop_oneof![Just(ABSENT), 0..ABSENT], 0..80),
        ) {
            let (id, mut words) = (IdWords::new(&id), vec![0; INPUTS + inputs.len()]);
            let taken = pack(&mut words, 1 << kind, &id, &inputs);
            prop_assert!(taken <= 1 + ID_WORDS + inputs.len());
            let (packed, mut found) = (Packed(&words[..taken]), vec![0; inputs.len()]);
            packed.inputs(&mut found);
            prop_assert_eq!((packed.kind(), packed.id(), found), (1 << kind, id, inputs));
        }
    }
}
