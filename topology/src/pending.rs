//! Pending events: those that one arriving out of order could still come before. Kept sorted by (event time, id) per key.
//!
//! All lists of a lane share one slab of fixed-size entries, so that nothing is allocated per event once the slab has grown.

use crate::prefetch::prefetch;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

pub(crate) const NONE: u32 = u32::MAX;

/// Place of the next entry of the list.
const NEXT: usize = 0;
const TIME: usize = 1;
const KIND: usize = 2;
const ID: usize = 3;
const ID_WORDS: usize = 5;
const INPUTS: usize = ID + ID_WORDS;

/// An event id as words that compare as the id's bytes do. Up to 40 bytes are kept whole; of longer ids the first 24, and
/// after them a 128-bit hash of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct IdWords([u64; ID_WORDS]);

impl IdWords {
    pub(crate) fn new(id: &str) -> Self {
        let (whole, rest) = id.as_bytes().as_chunks::<8>();
        let mut words = [0; ID_WORDS];
        if id.len() > 8 * ID_WORDS {
            let hash = xxh3_128(id.as_bytes());
            (words[3], words[4]) = ((hash >> 64) as u64, hash as u64);
        } else if !rest.is_empty() {
            let bytes_word = |bytes: &[u8]| bytes.iter().fold(0, |word, b| word << 8 | u64::from(*b));
            let last = id.as_bytes().last_chunk().map_or_else(|| bytes_word(rest), |chunk| u64::from_be_bytes(*chunk));
            words[whole.len()] = last << (64 - 8 * rest.len());
        }
        let kept = if id.len() > 8 * ID_WORDS { 3 } else { ID_WORDS };
        words.iter_mut().zip(whole).take(kept).for_each(|(word, bytes)| *word = u64::from_be_bytes(*bytes));
        IdWords(words)
    }
}

/// An event as a lane takes it.
pub(crate) struct Arriving<'a> {
    pub time: i64,
    pub id: IdWords,
    pub kind: u64,
    pub inputs: &'a [u64],
}

/// One entry, borrowed.
pub(crate) struct Entry<'a>(pub &'a [u64]);

impl<'a> Entry<'a> {
    pub(crate) fn time(&self) -> i64 {
        self.0[TIME] as i64
    }
    pub(crate) fn kind(&self) -> u64 {
        self.0[KIND]
    }
    pub(crate) fn inputs(&self) -> &'a [u64] {
        &self.0[INPUTS..]
    }
    pub(crate) fn order(&self) -> (i64, IdWords) {
        (self.time(), IdWords(std::array::from_fn(|i| self.0[ID + i])))
    }
}

/// The slab.
#[derive(Debug)]
pub(crate) struct Slab {
    stride: usize,
    words: Vec<u64>,
    free: u32,
    used: usize,
}

impl Slab {
    pub(crate) fn new(inputs: usize) -> Self {
        Slab { stride: INPUTS + inputs, words: vec![], free: NONE, used: 0 }
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn entry(&self, i: u32) -> Entry<'_> {
        Entry(&self.words[i as usize * self.stride..][..self.stride])
    }

    pub(crate) fn next(&self, i: u32) -> u32 {
        self.words[i as usize * self.stride + NEXT] as u32
    }

    pub(crate) fn set_next(&mut self, i: u32, next: u32) {
        self.words[i as usize * self.stride + NEXT] = u64::from(next);
    }

    fn take_free(&mut self) -> u32 {
        self.used += 1;
        if self.free == NONE {
            let i = (self.words.len() / self.stride) as u32;
            self.words.resize(self.words.len() + self.stride, 0);
            self.set_next(i, NONE);
            return i;
        }
        let i = self.free;
        self.free = self.next(i);
        self.set_next(i, NONE);
        i
    }

    /// The entry that will be taken first.
    pub(crate) fn first_free(&self) -> u32 {
        self.free
    }

    /// Asks for an entry; gives the one that it is linked to.
    pub(crate) fn prefetch_entry(&self, i: u32) -> u32 {
        if i == NONE {
            return NONE;
        }
        prefetch(self.entry(i).0);
        self.next(i)
    }

    /// Asks for the part of an entry that leads to the next.
    pub(crate) fn prefetch_link(&self, i: u32) {
        prefetch(&self.words[i as usize * self.stride + NEXT]);
    }

    pub(crate) fn insert(&mut self, event: &Arriving<'_>) -> u32 {
        let i = self.take_free();
        let words = &mut self.words[i as usize * self.stride..][..self.stride];
        words[TIME] = event.time as u64;
        words[KIND] = event.kind;
        words[ID..INPUTS].copy_from_slice(&event.id.0);
        words[INPUTS..].copy_from_slice(event.inputs);
        i
    }

    /// Puts back the words of an entry, as a checkpoint holds them.
    pub(crate) fn restore(&mut self, entry: &[u64]) -> u32 {
        let i = self.take_free();
        self.words[i as usize * self.stride..][TIME..self.stride].copy_from_slice(&entry[TIME..]);
        i
    }

    /// Frees the `count` linked entries from `first` to `last`.
    pub(crate) fn release(&mut self, first: u32, last: u32, count: u32) {
        let free = self.free;
        self.set_next(last, free);
        self.free = first;
        self.used -= count as usize;
    }
}
