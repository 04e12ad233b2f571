//! Lists and maps of which a copy costs next to nothing, however long they are: parts are shared until something in them changes.
//!
//! Every decision hands on what was learnt. To copy a list, or to look through it for what changed, would cost more the more items a
//! model knows; here the first change after a copy takes one part and the list of parts along, and what differs is found by parts.

use compact_str::CompactString;
use hashbrown::HashTable;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Items of a part: a change takes along as many, and a part of the length.
const PART: usize = 64;

/// A list. Its serial form is that of a `Vec`.
#[derive(Clone, Debug)]
pub(crate) struct Shelf<T> {
    parts: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { parts: Arc::default(), len: 0 }
    }
}

impl<T> Shelf<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.parts.get(place / PART)?.get(place % PART)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// Whether it is a copy of the other, and neither has changed since. Exact as long as both are kept.
    pub(crate) fn is(&self, other: &Shelf<T>) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// Places of the parts that are not shared with the other: all that differs from it, and what is beside that.
    pub(crate) fn differing(&self, other: &Shelf<T>) -> impl Iterator<Item = usize> {
        let parts = if self.is(other) { 0..0 } else { 0..self.parts.len() };
        let is_other =
            |part: &usize| other.parts.get(*part).is_none_or(|other| !Arc::ptr_eq(other, &self.parts[*part]));
        parts.filter(is_other).flat_map(|part| part * PART..part * PART + self.parts[part].len())
    }
}

impl<T> Shelf<Arc<T>> {
    /// Places at which the other has another item, or none.
    pub(crate) fn replaced(&self, other: &Shelf<Arc<T>>) -> impl Iterator<Item = usize> {
        self.differing(other).filter(|place| other.get(*place).is_none_or(|other| !Arc::ptr_eq(other, &self[*place])))
    }
}

impl<T: Clone> Shelf<T> {
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        (place < self.len).then(|| &mut self[place])
    }

    pub(crate) fn push(&mut self, item: T) {
        let parts = Arc::make_mut(&mut self.parts);
        match parts.last_mut().filter(|part| part.len() < PART) {
            Some(part) => Arc::make_mut(part).push(item),
            None => parts.push(Arc::new(vec![item])),
        }
        self.len += 1;
    }

    /// Makes it at least as long as this.
    pub(crate) fn grow(&mut self, len: usize, mut item: impl FnMut() -> T) {
        (self.len..len).for_each(|_| self.push(item()));
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;
    fn index(&self, place: usize) -> &T {
        &self.parts[place / PART][place % PART]
    }
}

impl<T: Clone> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[place / PART])[place % PART]
    }
}

impl<T: Clone> FromIterator<T> for Shelf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut shelf = Shelf::default();
        items.into_iter().for_each(|item| shelf.push(item));
        shelf
    }
}

impl<T: PartialEq> PartialEq for Shelf<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<T: Serialize> Serialize for Shelf<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut sequence = s.serialize_seq(Some(self.len))?;
        self.iter().try_for_each(|item| sequence.serialize_element(item))?;
        sequence.end()
    }
}

impl<'de, T: Clone + Deserialize<'de>> Deserialize<'de> for Shelf<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(d)?.into_iter().collect())
    }
}

/// A map by name, in parts by the name's hash.
#[derive(Clone, Debug)]
pub(crate) struct NameMap<V> {
    parts: Arc<Vec<Arc<Part<V>>>>,
    len: usize,
}

type Part<V> = HashTable<(CompactString, V)>;

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        NameMap { parts: Arc::new((0..Self::PARTS).map(|_| Arc::default()).collect()), len: 0 }
    }
}

impl<V> NameMap<V> {
    pub(crate) const PARTS: usize = 256;

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The part of a hash: a part itself goes by the bits at both ends.
    fn part(hash: u64) -> usize {
        (hash >> 32) as usize % Self::PARTS
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.find(hash(name), name)
    }

    fn find(&self, hash: u64, name: &str) -> Option<&V> {
        self.parts[Self::part(hash)].find(hash, |(known, _)| known == name).map(|(_, value)| value)
    }

    /// What is in one of the parts, in no order that may be let out.
    pub(crate) fn of_part(&self, part: usize) -> impl Iterator<Item = (&str, &V)> {
        self.parts[part].iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<V: Clone> NameMap<V> {
    fn part_mut(&mut self, hash: u64) -> &mut Part<V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[Self::part(hash)])
    }

    pub(crate) fn insert(&mut self, name: &str, value: V) {
        let hash = hash(name);
        let part = self.part_mut(hash);
        match part.find_mut(hash, |(known, _)| known == name) {
            Some((_, before)) => *before = value,
            None => {
                part.insert_unique(hash, (name.into(), value), |(name, _)| self::hash(name));
                self.len += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let hash = hash(name);
        // What is not there takes no part along.
        if self.find(hash, name).is_some()
            && let Ok(entry) = self.part_mut(hash).find_entry(hash, |(known, _)| known == name)
        {
            entry.remove();
            self.len -= 1;
        }
    }
}

fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_shelf_is_a_list_and_its_copies_stay_as_they_were(
            begin in 0..200usize,
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..4u8), 0..60),
        ) {
            let mut list: Vec<u32> = (0..begin as u32).collect();
            let mut shelf: Shelf<u32> = list.iter().copied().collect();
            let mut copies = vec![];
            for (at, value, step) in steps {
                match step {
                    0 => { list.push(value); shelf.push(value); }
                    1 => copies.push((list.clone(), shelf.clone())),
                    2 => { list.resize(list.len().max(begin + 9), 7); shelf.grow(begin + 9, || 7); }
                    _ if list.is_empty() => prop_assert_eq!(shelf.get_mut(0), None),
                    _ => {
                        let at = at.index(list.len());
                        list[at] = value;
                        *shelf.get_mut(at).expect("it is there") = value;
                    }
                }
                prop_assert!(shelf.iter().eq(&list));
                prop_assert_eq!((shelf.len(), shelf.get(list.len())), (list.len(), None));
                prop_assert_eq!(shelf.get_mut(list.len()), None);
            }
            for (before, copy) in copies {
                prop_assert!(copy.iter().eq(&before));
                let differing: Vec<usize> = shelf.differing(&copy).collect();
                let differs = |place: &usize| before.get(*place) != Some(&list[*place]);
                prop_assert!((0..list.len()).filter(differs).all(|place| differing.contains(&place)));
                prop_assert!(!shelf.is(&copy) || before == list);
            }
            let bytes = postcard::to_extend(&shelf, vec![]).expect("memory takes it");
            prop_assert_eq!(&bytes, &postcard::to_extend(&list, vec![]).expect("memory takes it"));
            prop_assert_eq!(postcard::from_bytes::<Shelf<u32>>(&bytes).expect("it was written here"), shelf);
        }

        #[test]
        fn a_map_by_name_is_a_map_and_its_copies_stay_as_they_were(steps in prop::collection::vec((0..40u32, any::<u32>(), 0..3u8), 0..80)) {
            let (mut known, mut map, mut copies) = (BTreeMap::new(), NameMap::default(), vec![]);
            for (name, value, step) in steps {
                let name = format!("name-{name}");
                match step {
                    0 => { known.remove(&name); map.remove(&name); }
                    1 => copies.push((known.clone(), map.clone())),
                    _ => { known.insert(name.clone(), value); map.insert(&name, value); }
                }
            }
            copies.push((known, map));
            for (known, map) in copies {
                let all: BTreeMap<String, u32> =
                    (0..NameMap::<u32>::PARTS).flat_map(|part| map.of_part(part)).map(|(name, value)| (name.to_string(), *value)).collect();
                prop_assert!(known.iter().all(|(name, value)| map.get(name) == Some(value)));
                prop_assert_eq!((all, map.len()), (known.clone(), known.len()));
            }
        }
    }

    #[test]
    fn of_a_long_list_only_the_part_that_changed_differs() {
        let mut shelf: Shelf<usize> = (0..1000).collect();
        let copy = shelf.clone();
        assert!(shelf.is(&copy) && shelf.differing(&copy).next().is_none());
        *shelf.get_mut(100).expect("it is there") = 0;
        assert!(!shelf.is(&copy) && shelf.differing(&copy).eq(64..128));
        shelf.push(1000);
        assert!(shelf.differing(&copy).eq((64..128).chain(960..1001)));
    }
}
