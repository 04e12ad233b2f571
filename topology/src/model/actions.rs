//! Items with estimates of their own, by dense place.

use crate::shelf::{NameMap, Shelf};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The items of one model's sums, by place. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    names: Shelf<CompactString>,
    places: NameMap<u32>,
    /// Offset of the decision that chose it last, and of the one that brought it in.
    used: Shelf<(u64, u64)>,
    order: Order,
}

/// Places by the offset at which they were chosen last, from when one had to make room for another. Copies do without: nothing is
/// chosen in them.
#[derive(Debug, Default)]
struct Order(Option<BTreeSet<(u64, u32)>>);

impl Clone for Order {
    fn clone(&self) -> Self {
        Order(None)
    }
}

/// Where an item was put.
pub(crate) struct Place {
    pub place: u32,
    /// Another item had the place: what is known of it has to go.
    pub is_reused: bool,
}

impl Actions {
    /// Items.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The item at a place.
    pub fn name(&self, place: u32) -> &str {
        &self.names[place as usize]
    }

    /// The place of an item.
    pub fn place(&self, item: &str) -> Option<u32> {
        self.places.get(item).copied()
    }

    fn used(&self, place: u32) -> (u64, u64) {
        self.used[place as usize]
    }

    /// The place of an item for a decision at `offset`: none where the item was forgotten since.
    pub(crate) fn place_since(&self, item: &str, offset: u64) -> Option<u32> {
        self.place(item).filter(|place| self.used(*place).1 <= offset)
    }

    /// The place of an item that is chosen at `offset`; at `max`, that of the one least recently chosen.
    pub(crate) fn take(&mut self, item: &str, offset: u64, max: usize) -> Place {
        if let Some(place) = self.place(item) {
            self.note(place, (offset, self.used(place).1));
            return Place { place, is_reused: false };
        }
        let is_reused = self.len() >= max;
        let place = if is_reused {
            let place = self.oldest();
            let old = std::mem::replace(&mut self.names[place as usize], item.into());
            self.places.remove(&old);
            place
        } else {
            self.names.push(item.into());
            self.used.push((0, 0));
            self.len() as u32 - 1
        };
        self.places.insert(item, place);
        self.note(place, (offset, offset));
        Place { place, is_reused }
    }

    fn note(&mut self, place: u32, used: (u64, u64)) {
        let before = std::mem::replace(&mut self.used[place as usize], used);
        if let Some(order) = &mut self.order.0 {
            order.remove(&(before.0, place));
            order.insert((used.0, place));
        }
    }

    /// The place that was chosen least recently.
    fn oldest(&mut self) -> u32 {
        let places = self.used.iter().zip(0..).map(|((used, _), place)| (*used, place));
        let order = self.order.0.get_or_insert_with(|| places.collect());
        order.first().map_or(0, |(_, place)| *place)
    }

    /// The item at a place, if there is one.
    pub(crate) fn get(&self, place: u32) -> Option<&str> {
        self.names.get(place as usize).map(CompactString::as_str)
    }

    /// Whether the other has the same items at the same places: none was added to either since one was copied from the other.
    pub(crate) fn shares_names(&self, other: &Actions) -> bool {
        self.names.is(&other.names)
    }

    /// Places that have another item than in the other.
    pub(crate) fn renamed(&self, before: &Actions) -> impl Iterator<Item = u32> {
        let places = self.names.differing(&before.names);
        places.filter(|place| before.names.get(*place) != Some(&self.names[*place])).map(|place| place as u32)
    }
}

impl PartialEq for Actions {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

/// As checkpoints hold it.
#[derive(Serialize, Deserialize)]
struct Stored(Vec<(Box<str>, u64, u64)>);

impl Serialize for Actions {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let items = self.names.iter().zip(self.used.iter());
        Stored(items.map(|(name, (used, since))| (name.as_str().into(), *used, *since)).collect()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Stored(items) = Stored::deserialize(d)?;
        let mut actions = Actions::default();
        for (place, (name, last, since)) in (0..).zip(items) {
            actions.places.insert(&name, place);
            actions.names.push(name.as_ref().into());
            actions.used.push((last, since));
        }
        Ok(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whoever_was_chosen_least_recently_makes_room(items in prop::collection::vec((0..9u32, 0..3u64), 0..60), max in 1..6usize, copied in 0..60usize) {
            let (mut actions, mut offset) = (Actions::default(), 0);
            // Name, chosen last, brought in.
            let mut known: Vec<(String, u64, u64)> = vec![];
            for (nth, (item, step)) in items.into_iter().enumerate() {
                offset += step;
                let item = format!("item-{item}");
                let at = known.iter().position(|(name, ..)| *name == item);
                let (place, is_reused) = match at {
                    Some(at) => { known[at].1 = offset; (at, false) }
                    None if known.len() < max => { known.push((item.clone(), offset, offset)); (known.len() - 1, false) }
                    None => {
                        let (at, _) = known.iter().enumerate().min_by_key(|(_, (_, used, _))| *used).expect("there is one");
                        known[at] = (item.clone(), offset, offset);
                        (at, true)
                    }
                };
                let taken = actions.take(&item, offset, max);
                prop_assert_eq!((taken.place as usize, taken.is_reused), (place, is_reused));
                for (place, (name, _, since)) in (0..).zip(&known) {
                    prop_assert_eq!((actions.name(place), actions.place(name)), (name.as_str(), Some(place)));
                    prop_assert_eq!(actions.place_since(name, *since), Some(place));
                    prop_assert!(*since == 0 || actions.place_since(name, since - 1).is_none());
                }
                prop_assert_eq!((0..9).filter(|n| actions.place(&format!("item-{n}")).is_some()).count(), known.len());
                if nth == copied {
                    let bytes = postcard::to_extend(&actions, vec![]).expect("memory takes it");
                    actions = postcard::from_bytes(&bytes).expect("it was written here");
                }
            }
        }
    }
}
