//! Pending events: those that one arriving out of order could still come before. Kept sorted by (event time, id) per key.
//!
//! All lists of a lane share one slab of fixed-size entries, so that nothing is allocated per event once the slab has grown.

use crate::prefetch::prefetch;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) const NONE: u32 = u32::MAX;

const KIND: usize = 0;
const ID: usize = 1;
const ID_WORDS: usize = 5;
const INPUTS: usize = ID + ID_WORDS;

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
}

/// An event as a lane takes it.
pub(crate) struct Arriving<'a> {
    pub at: At,
    pub id: IdWords,
    pub kind: u64,
    pub inputs: &'a [u64],
}

/// Where an event is: in time, and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub time: i64,
    pub offset: u64,
}

/// One entry, borrowed.
pub(crate) struct Entry<'a> {
    pub at: At,
    /// All else that is kept of the event.
    pub words: &'a [u64],
}

impl<'a> Entry<'a> {
    pub(crate) fn kind(&self) -> u64 {
        self.words[KIND]
    }
    pub(crate) fn inputs(&self) -> &'a [u64] {
        &self.words[INPUTS..]
    }
    pub(crate) fn order(&self) -> (i64, IdWords) {
        (self.at.time, IdWords(std::array::from_fn(|i| self.words[ID + i])))
    }
}

/// Entries of a chunk.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Lists of released entries that are walked side by side, an entry of each with each one that is taken: more than come. What a step has
/// asked for is near by the next.
const WALKS: usize = 2;
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

/// Entries in chunks: taken one after another, so that what comes together lies together, whatever keys it is of. What is pending is
/// let go about in the order it came, and then whole chunks are free again.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Words of an entry.
    stride: usize,
    /// Of each chunk the links and the words of its entries, the offset of its first, and how many are not gone.
    links: Vec<Box<[Link]>>,
    words: Vec<Box<[u64]>>,
    begins: Vec<u64>,
    live: Vec<u32>,
    free: Vec<u32>,
    /// The chunk that entries are taken from, and how many were.
    current: usize,
    taken: usize,
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
            links: vec![],
            words: vec![],
            begins: vec![],
            live: vec![],
            free: vec![],
            current: 0,
            taken: CHUNK,
            used: 0,
            released: VecDeque::new(),
            walks: [(NONE, 0); WALKS],
        }
    }

    /// Words of an entry.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> usize {
        self.used * (8 * self.stride + size_of::<Link>())
    }

    pub(crate) fn entry(&self, i: u32) -> Entry<'_> {
        let (chunk, nth) = place(i);
        Entry { at: self.at(i), words: &self.words[chunk][nth * self.stride..][..self.stride] }
    }

    fn link(&self, i: u32) -> &Link {
        let (chunk, nth) = place(i);
        &self.links[chunk][nth]
    }

    pub(crate) fn at(&self, i: u32) -> At {
        let Link { time, step, .. } = *self.link(i);
        At { time, offset: self.begins[place(i).0].wrapping_add_signed(step.into()) }
    }

    pub(crate) fn next(&self, i: u32) -> u32 {
        self.link(i).next
    }

    pub(crate) fn set_next(&mut self, i: u32, next: u32) {
        let (chunk, nth) = place(i);
        self.links[chunk][nth].next = next;
    }

    /// An entry that is linked to none. Until they are written, its words are those of another.
    pub(crate) fn take(&mut self, at: At) -> u32 {
        (0..WALKS).for_each(|walk| self.step(walk));
        self.used += 1;
        let step = |begin: u64| i32::try_from(at.offset.wrapping_sub(begin) as i64);
        let fits = self.taken < CHUNK && step(self.begins[self.current]).is_ok();
        if !fits {
            self.begin_chunk(at.offset);
        }
        let (chunk, nth) = (self.current, self.taken);
        self.taken += 1;
        self.live[chunk] += 1;
        let step = step(self.begins[chunk]).expect("it is that of the chunk, or near it");
        self.links[chunk][nth] = Link { time: at.time, next: NONE, step };
        if let Some(later) = self.words[chunk].get((self.taken + AHEAD) * self.stride..) {
            prefetch(&later[..self.stride.min(later.len())]);
        }
        (chunk * CHUNK + nth) as u32
    }

    #[cold]
    fn begin_chunk(&mut self, offset: u64) {
        let before = self.current;
        self.current = self.free.pop().map_or(self.links.len(), |chunk| chunk as usize);
        if self.current == self.links.len() {
            self.links.push(vec![Link { time: 0, next: NONE, step: 0 }; CHUNK].into());
            self.words.push(vec![0; CHUNK * self.stride].into());
            self.begins.push(0);
            self.live.push(0);
        }
        self.begins[self.current] = offset;
        self.taken = 0;
        if before != self.current && self.live[before] == 0 {
            self.free.push(before as u32);
        }
    }

    /// Counts one released entry as gone, and asks for the one after it.
    fn step(&mut self, walk: usize) {
        let (i, left) = self.walks[walk];
        if left > 0 {
            let (chunk, nth) = place(i);
            self.live[chunk] -= 1;
            if self.live[chunk] == 0 && chunk != self.current {
                self.free.push(chunk as u32);
            }
            // The last of a list leads nowhere: it is not read.
            if left > 1 {
                self.walks[walk] = (self.links[chunk][nth].next, left - 1);
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

    pub(crate) fn insert(&mut self, event: &Arriving<'_>) -> u32 {
        let i = self.take(event.at);
        self.fill(i, event.kind, event.id, event.inputs);
        i
    }

    /// Says what the event of an entry is.
    pub(crate) fn fill(&mut self, i: u32, kind: u64, id: IdWords, inputs: &[u64]) {
        let words = self.words_mut(i);
        words[KIND] = kind;
        words[ID..INPUTS].copy_from_slice(&id.0);
        words[INPUTS..].copy_from_slice(inputs);
    }

    pub(crate) fn words_mut(&mut self, i: u32) -> &mut [u64] {
        let (chunk, nth) = place(i);
        &mut self.words[chunk][nth * self.stride..][..self.stride]
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

    #[test]
    fn entries_keep_what_they_hold_and_chunks_are_taken_again() {
        let mut slab = Slab::new(1);
        let (mut keys, mut at) = ([const { VecDeque::<(u32, u64)>::new() }; 7], 0u64);
        let mut chunks = vec![];
        for round in 0..200 {
            for _ in 0..CHUNK / 4 {
                at += 1;
                let key = &mut keys[(at * at % 7) as usize];
                let place = At { time: at as i64, offset: 7 * at };
                let event = Arriving { at: place, id: IdWords::new("id"), kind: 1, inputs: &[at] };
                let entry = slab.insert(&event);
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
                let place = At { time: *at as i64, offset: 7 * at };
                assert_eq!((slab.entry(*entry).at, slab.entry(*entry).inputs()), (place, &[*at][..]));
            }
            assert_eq!(slab.used, keys.iter().map(VecDeque::len).sum::<usize>());
            chunks.push(slab.links.len());
        }
        assert!(chunks[199] <= 4, "{chunks:?}");
    }
}
