//! Where keys are: a hash table of places, in parts, so that none takes long to grow.
//!
//! With a million keys a table that doubles as a whole takes 50 ms and more, most of it to look up hashes far away. A part has a few
//! thousand, and all that it needs of a hash is beside the place.

use hashbrown::HashTable;

const PARTS: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Slot {
    place: u32,
    /// Half of the hash.
    tag: u32,
}

impl Slot {
    /// What the part goes by: it takes bits from both ends.
    fn hash(&self) -> u64 {
        u64::from(self.tag) << 32 | u64::from(self.tag)
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    parts: Box<[HashTable<Slot>]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Table { parts: (0..PARTS).map(|_| HashTable::new()).collect() }
    }

    /// The part of a hash, and a slot of it.
    fn slot(hash: u64, place: u32) -> (usize, Slot) {
        (hash as usize % PARTS, Slot { place, tag: (hash >> 32) as u32 })
    }

    /// A place noted for a hash like this for which `is` holds.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, wanted) = Self::slot(hash, 0);
        let found = self.parts[part].find(wanted.hash(), |slot| slot.tag == wanted.tag && is(slot.place));
        found.map(|slot| slot.place)
    }

    pub(crate) fn insert(&mut self, hash: u64, place: u32) {
        let (part, slot) = Self::slot(hash, place);
        self.parts[part].insert_unique(slot.hash(), slot, Slot::hash);
    }

    /// Forgets a place, which is noted for this hash.
    pub(crate) fn remove(&mut self, hash: u64, place: u32) {
        let (part, slot) = Self::slot(hash, place);
        let entry = self.parts[part].find_entry(slot.hash(), |slot| slot.place == place);
        entry.expect("it was noted").remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn places_are_found_by_their_hash_until_they_are_removed() {
        let hash = |place: u32| xxh3_64(&place.to_le_bytes());
        let mut table = Table::new();
        (0..100_000).for_each(|place| table.insert(hash(place), place));
        (0..100_000).step_by(3).for_each(|place| table.remove(hash(place), place));
        for place in 0..100_000 {
            let found = table.find(hash(place), |found| found == place);
            assert_eq!(found, (place % 3 != 0).then_some(place));
        }
        // Two of one hash are told apart by who asks.
        table.insert(hash(1), 100_000);
        assert_eq!(table.find(hash(1), |found| found > 1), Some(100_000));
        assert_eq!(table.find(hash(1), |found| found > 100_000), None);
    }
}
