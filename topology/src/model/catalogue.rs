//! The catalogue: what is known of each item. Last write wins, in log order.
//!
//! A copy is cheap: the parts are shared until one of their items changes.

use crate::record::Fields;
use crate::shelf::NameMap;
use std::sync::Arc;

/// Items at most; further ones are not taken in.
pub const ITEMS_MAX: usize = 1_000_000;

/// Fields by item.
#[derive(Clone, Debug, Default)]
pub struct Catalogue(NameMap<Arc<[u8]>>);

impl Catalogue {
    pub(crate) const PARTS: usize = NameMap::<Arc<[u8]>>::PARTS;

    /// Items of one of the parts.
    pub(crate) fn items_of(&self, part: usize) -> impl Iterator<Item = &str> {
        self.0.of_part(part).map(|(item, _)| item)
    }

    /// Items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All fields of an item; none where it is not known.
    pub fn get(&self, item: &str) -> Option<Fields<'_>> {
        self.0.get(item).map(|bytes| Fields::from_bytes(bytes))
    }

    /// Replaces what is known of an item. False where there is no room.
    pub(crate) fn set(&mut self, item: &str, fields: &[u8]) -> bool {
        if self.len() >= ITEMS_MAX && self.0.get(item).is_none() {
            return false;
        }
        self.0.insert(item, fields.into());
        true
    }

    pub(crate) fn remove(&mut self, item: &str) {
        self.0.remove(item);
    }

    /// All items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fields<'_>)> {
        let parts = (0..Self::PARTS).flat_map(|part| self.0.of_part(part));
        parts.map(|(item, bytes)| (item, Fields::from_bytes(bytes)))
    }
}
