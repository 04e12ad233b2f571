//! The catalogue: what is known of each item. Last write wins, in log order.
//!
//! A copy is cheap: the parts are shared until one of their items changes.

use crate::record::Fields;
use crate::shelf::NameMap;
use std::sync::Arc;

/// Items at most; further ones are not taken in.
pub const ITEMS_MAX: usize = 1_000_000;

/// Bytes of all items at most, about.
const BYTES_MAX: usize = 1 << 30;

/// Bytes that an item takes beside its name and fields, about.
const ITEM_BYTES: usize = 64;

/// Fields by item.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    items: NameMap<Arc<[u8]>>,
    bytes: usize,
}

impl Catalogue {
    pub(crate) const PARTS: usize = NameMap::<Arc<[u8]>>::PARTS;

    /// Items of one of the parts.
    pub(crate) fn items_of(&self, part: usize) -> impl Iterator<Item = &str> {
        self.items.of_part(part).map(|(item, _)| item)
    }

    /// Items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All fields of an item; none where it is not known.
    pub fn get(&self, item: &str) -> Option<Fields<'_>> {
        self.items.get(item).map(|bytes| Fields::from_bytes(bytes))
    }

    /// Whether there is room for an item that has so many bytes of fields.
    pub(crate) fn has_room(&self, item: &str, fields: usize) -> bool {
        self.has_room_in(BYTES_MAX, item, fields)
    }

    fn has_room_in(&self, bytes_max: usize, item: &str, fields: usize) -> bool {
        let bytes = self.bytes - self.bytes_of(item) + bytes(item, fields);
        bytes <= bytes_max && (self.len() < ITEMS_MAX || self.items.get(item).is_some())
    }

    /// Replaces what is known of an item.
    pub(crate) fn set(&mut self, item: &str, fields: &[u8]) {
        self.bytes = self.bytes - self.bytes_of(item) + bytes(item, fields.len());
        self.items.insert(item, fields.into());
    }

    pub(crate) fn remove(&mut self, item: &str) {
        self.bytes -= self.bytes_of(item);
        self.items.remove(item);
    }

    fn bytes_of(&self, item: &str) -> usize {
        self.items.get(item).map_or(0, |fields| bytes(item, fields.len()))
    }

    /// All items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fields<'_>)> {
        let parts = (0..Self::PARTS).flat_map(|part| self.items.of_part(part));
        parts.map(|(item, bytes)| (item, Fields::from_bytes(bytes)))
    }
}

fn bytes(item: &str, fields: usize) -> usize {
    item.len() + fields + ITEM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_in_while_there_is_room_for_their_bytes() {
        let mut catalogue = Catalogue::default();
        let max = 2 * (1 + 100 + ITEM_BYTES);
        let set = |catalogue: &mut Catalogue, item, len| {
            let has_room = catalogue.has_room_in(max, item, len);
            if has_room {
                catalogue.set(item, &vec![7; len]);
            }
            has_room
        };
        assert!(set(&mut catalogue, "a", 100) && set(&mut catalogue, "b", 100));
        assert!(!set(&mut catalogue, "c", 1), "there is no room");
        assert!(!set(&mut catalogue, "a", 101), "nor for more of one that is known");
        assert_eq!(catalogue.get("a").map(|fields| fields.as_bytes().len()), Some(100));
        assert!(set(&mut catalogue, "a", 30) && !set(&mut catalogue, "c", 30));
        catalogue.remove("a");
        catalogue.remove("a");
        assert!(set(&mut catalogue, "c", 100) && !set(&mut catalogue, "d", 0));
        assert_eq!((catalogue.len(), catalogue.bytes), (2, max));
    }
}
