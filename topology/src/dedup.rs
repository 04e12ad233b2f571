//! Recent event ids, as 64-bit fingerprints in two generations: the current fills up, then becomes the previous.
//!
//! At least the latest half of `events_max` ids is always known, at most all of it. Two different ids share a fingerprint
//! once in 2^64 / events_max events: with the default, about once in 10^13. Ids that are still pending are compared in full
//! elsewhere, so an event is never counted twice within the allowed lateness, whatever is forgotten here.

use crate::prefetch::prefetch;

#[derive(Debug)]
struct Generation {
    /// Open addressing, linear probing; 0 is empty. Else, in the bits of the mask, the place in `order` from 1 on, and above
    /// them bits of the fingerprint, so that nearly every other one is told apart without looking there.
    table: Vec<u32>,
    /// In order of arrival, for checkpoints.
    order: Vec<u64>,
}

impl Generation {
    fn new(capacity: usize) -> Self {
        Generation { table: vec![0; (2 * capacity).next_power_of_two()], order: vec![] }
    }

    fn mask(&self) -> usize {
        self.table.len() - 1
    }

    fn tag(&self, fingerprint: u64) -> u32 {
        (fingerprint >> 32) as u32 & !(self.mask() as u32)
    }

    fn probe(&self, fingerprint: u64) -> Result<(), usize> {
        let (mask, tag) = (self.mask(), self.tag(fingerprint));
        let mut at = fingerprint as usize & mask;
        loop {
            let entry = self.table[at & mask];
            if entry == 0 {
                return Err(at);
            }
            let place = entry & mask as u32;
            if entry - place == tag && self.order[place as usize - 1] == fingerprint {
                return Ok(());
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, fingerprint: u64) {
        let Err(mut at) = self.probe(fingerprint) else { return };
        if 2 * (self.order.len() + 1) > self.table.len() {
            self.grow();
            at = self.probe(fingerprint).expect_err("it was not there before");
        }
        self.order.push(fingerprint);
        self.table[at] = self.order.len() as u32 | self.tag(fingerprint);
    }

    fn grow(&mut self) {
        let order = std::mem::take(&mut self.order);
        *self = Generation::new(self.table.len());
        order.into_iter().for_each(|fingerprint| self.insert(fingerprint));
    }

    fn clear(&mut self) {
        self.table.fill(0);
        self.order.clear();
    }

    fn bytes(&self) -> usize {
        4 * self.table.len() + 8 * self.order.len()
    }
}

#[derive(Debug)]
pub(crate) struct Dedup {
    capacity: usize,
    number: u64,
    current: Generation,
    previous: Generation,
}

impl Dedup {
    pub(crate) fn new(events_max: u32) -> Self {
        let capacity = events_max as usize / 2;
        Dedup { current: Generation::new(capacity), ..Dedup::growing(events_max) }
    }

    /// Of ids that may be few: the memory comes with them.
    pub(crate) fn growing(ids_max: u32) -> Self {
        let capacity = ids_max as usize / 2;
        Dedup { capacity, number: 0, current: Generation::new(0), previous: Generation::new(0) }
    }

    /// Never 0.
    pub(crate) fn fingerprint(id: &str) -> u64 {
        Dedup::fingerprint_of(0x5acc_ade0, id)
    }

    /// Of an id of another kind than an event's, each with a seed of its own.
    pub(crate) fn fingerprint_of(seed: u64, id: &str) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), seed).max(1)
    }

    pub(crate) fn contains(&self, fingerprint: u64) -> bool {
        self.current.probe(fingerprint).is_ok() || self.previous.probe(fingerprint).is_ok()
    }

    /// Asks for what [`Dedup::contains`] will look at.
    pub(crate) fn prefetch(&self, fingerprint: u64) {
        let at = |generation: &Generation| prefetch(&generation.table[fingerprint as usize & generation.mask()]);
        at(&self.current);
        at(&self.previous);
    }

    pub(crate) fn insert(&mut self, fingerprint: u64) {
        if self.current.order.len() >= self.capacity {
            std::mem::swap(&mut self.current, &mut self.previous);
            if self.number == 0 {
                // Its memory comes page by page, as it is used.
                self.current = Generation::new(self.capacity);
            } else {
                self.current.clear();
            }
            self.number += 1;
        }
        self.current.insert(fingerprint);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.current.bytes() + self.previous.bytes()
    }

    /// Where the set stands: generation and ids in it.
    pub(crate) fn mark(&self) -> (u64, u64) {
        (self.number, self.current.order.len() as u64)
    }

    /// Ids that came since `mark`, as (generation, place of the first, ids). Generations that are gone are left out.
    pub(crate) fn since(&self, mark: (u64, u64)) -> Vec<(u64, u64, &[u64])> {
        let generations = [(self.number.wrapping_sub(1), &self.previous), (self.number, &self.current)];
        let mut parts = vec![];
        for (number, generation) in generations {
            let from = match number.cmp(&mark.0) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => mark.1 as usize,
                std::cmp::Ordering::Greater => 0,
            };
            if number != u64::MAX && from < generation.order.len() {
                parts.push((number, from as u64, &generation.order[from..]));
            }
        }
        parts
    }

    /// Puts back, in an empty one, a set that stood at `mark`; `parts` are the ids of its two generations in order.
    pub(crate) fn restored(mut self, mark: (u64, u64), previous: &[u64], current: &[u64]) -> Self {
        self.number = mark.0;
        if mark.0 > 0 {
            self.previous = Generation::new(self.capacity);
            previous.iter().take(self.capacity).for_each(|f| self.previous.insert((*f).max(1)));
        }
        current.iter().take(self.capacity.min(mark.1 as usize)).for_each(|f| self.current.insert((*f).max(1)));
        self
    }

    /// All ids remembered, with their generations.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let previous = self.previous.order.iter().map(|id| (self.number.wrapping_sub(1), *id));
        previous.chain(self.current.order.iter().map(|id| (self.number, *id)))
    }
}
