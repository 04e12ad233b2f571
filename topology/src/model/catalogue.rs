//! The catalogue: what is known of each item. Last write wins, in log order.
//!
//! A copy is cheap: the parts are shared until one of their items changes.

use crate::map::Map;
use crate::record::Fields;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Items at most; further ones are not taken in.
pub const ITEMS_MAX: usize = 1_000_000;

type Part = Map<Arc<str>, Arc<[u8]>>;

/// Fields by item.
#[derive(Clone, Debug)]
pub struct Catalogue {
    parts: Vec<Arc<Part>>,
    len: usize,
}

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue { parts: vec![Arc::default(); Self::PARTS], len: 0 }
    }
}

impl Catalogue {
    pub(crate) const PARTS: usize = 256;

    /// Items of one of the parts.
    pub(crate) fn items_of(&self, part: usize) -> impl Iterator<Item = &str> {
        self.parts[part].keys().map(|item| &**item)
    }

    /// Items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All fields of an item; none where it is not known.
    pub fn get(&self, item: &str) -> Option<Fields<'_>> {
        self.parts[part(item)].get(item).map(|bytes| Fields::from_bytes(bytes))
    }

    /// Replaces what is known of an item. False where there is no room.
    pub(crate) fn set(&mut self, item: &str, fields: &[u8]) -> bool {
        let known = self.parts[part(item)].contains_key(item);
        if !known && self.len >= ITEMS_MAX {
            return false;
        }
        self.len += usize::from(!known);
        Arc::make_mut(&mut self.parts[part(item)]).insert(item.into(), fields.into());
        true
    }

    pub(crate) fn remove(&mut self, item: &str) {
        let removed = Arc::make_mut(&mut self.parts[part(item)]).remove(item);
        self.len -= usize::from(removed.is_some());
    }

    /// All items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Fields<'_>)> {
        self.parts.iter().flat_map(|part| part.iter()).map(|(id, bytes)| (&**id, Fields::from_bytes(bytes)))
    }
}

fn part(item: &str) -> usize {
    xxh3_64(item.as_bytes()) as usize % Catalogue::PARTS
}
