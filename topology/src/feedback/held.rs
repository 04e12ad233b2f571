//! Records held for a while: rewards whose decision is not known yet, and recent events that a decision dated before them claims.
//!
//! Both only serve arrivals out of order: a decision is in the log before anyone can answer to it, unless it was made elsewhere.

use crate::prefetch::prefetch;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::VecDeque;

/// Records of a queue, at most.
const HELD_MAX: usize = 4096;
/// Bytes of their records, at most.
pub(super) const HELD_BYTES_MAX: usize = 64 << 20;

/// A record as it came, with what it was taken for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Corrected event time.
    pub time: i64,
    /// It waits until the horizon is behind this: its time, or of what was late when it came, the stream's.
    pub until: i64,
    pub offset: u64,
    pub owners: [u64; 2],
    /// Key of the decision, where it waits for one.
    pub about: u64,
    /// `postcard` of the event, or of the explicit reward.
    #[serde(serialize_with = "as_one")]
    pub bytes: Vec<u8>,
    pub is_explicit: bool,
}

impl Held {
    fn stored_len(&self) -> usize {
        prefetch(&self.bytes[..]);
        // Its numbers take ten bytes each at most.
        size_of::<Held>() + self.bytes.len()
    }
}

/// Bytes of their records.
pub(super) fn bytes_of<'a>(held: impl IntoIterator<Item = &'a Held>) -> usize {
    held.into_iter().map(|held| held.bytes.len()).sum()
}

/// Writes the same as one by one, at once.
fn as_one<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// A queue in order of arrival that uses its memory again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    held: VecDeque<Held>,
    /// None among them waits for less.
    oldest: i64,
    /// Of their records.
    #[serde(skip)]
    bytes: usize,
    #[serde(skip)]
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// One that was stored.
    pub(crate) fn restored(self) -> Queue {
        Queue { bytes: bytes_of(&self.held), ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the first have to go.
    pub(crate) fn is_over(&self) -> bool {
        self.held.len() > HELD_MAX || self.bytes > HELD_BYTES_MAX
    }

    /// An empty buffer for the bytes of the next.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn push(&mut self, held: Held) {
        self.oldest = if self.held.is_empty() { held.until } else { self.oldest.min(held.until) };
        self.bytes += held.bytes.len();
        self.held.push_back(held);
    }

    pub(crate) fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.bytes -= held.bytes.len();
        Some(held)
    }

    /// The next that has to make room: what was late when it came, else the first.
    pub(crate) fn pop_least(&mut self) -> Option<Held> {
        let Some(at) = self.held.iter().position(|held| held.until != held.time) else { return self.pop() };
        let held = self.held.remove(at)?;
        self.bytes -= held.bytes.len();
        Some(held)
    }

    pub(crate) fn front(&self) -> Option<&Held> {
        self.held.front()
    }

    /// Bytes that it takes to store all of them, at most; asks for their memory.
    pub(crate) fn stored_len(&self) -> usize {
        self.held.iter().map(Held::stored_len).sum()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Held> {
        self.held.get(place)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Held> {
        self.held.iter()
    }

    /// Gives the memory of one back.
    pub(crate) fn recycle(&mut self, held: Held) {
        let mut bytes = held.bytes;
        bytes.clear();
        if self.spare.len() < 64 {
            self.spare.push(bytes);
        }
    }

    /// Takes out those about the same.
    pub(crate) fn take(&mut self, about: u64) -> VecDeque<Held> {
        self.take_those(|held| held.about == about)
    }

    fn take_those(&mut self, is_wanted: impl Fn(&Held) -> bool) -> VecDeque<Held> {
        let taken: VecDeque<Held>;
        (taken, self.held) = std::mem::take(&mut self.held).into_iter().partition(is_wanted);
        self.bytes -= bytes_of(&taken);
        taken
    }

    pub(crate) fn has(&self, about: u64) -> bool {
        self.held.iter().any(|held| held.about == about)
    }

    /// Takes out those that wait no longer, wherever they are.
    pub(crate) fn take_before(&mut self, horizon: i64) -> VecDeque<Held> {
        if self.held.is_empty() || self.oldest >= horizon {
            return VecDeque::new();
        }
        let taken = self.take_those(|held| held.until < horizon);
        self.oldest = self.held.iter().map(|held| held.until).min().unwrap_or(i64::MAX);
        taken
    }
}
