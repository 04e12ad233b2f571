//! Items with estimates of their own, by dense place.

use crate::map::Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The items of one model's sums, by place. A copy shares the names until one is added.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    names: Arc<Names>,
    /// Offset of the decision that chose it last, and of the one that brought it in.
    used: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    list: Vec<Box<str>>,
    places: Map<Box<str>, u32>,
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
        self.names.list.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.names.list.is_empty()
    }

    /// The item at a place.
    pub fn name(&self, place: u32) -> &str {
        &self.names.list[place as usize]
    }

    /// The place of an item.
    pub fn place(&self, item: &str) -> Option<u32> {
        self.names.places.get(item).copied()
    }

    /// The place of an item for a decision at `offset`: none where the item was forgotten since.
    pub(crate) fn place_since(&self, item: &str, offset: u64) -> Option<u32> {
        self.place(item).filter(|place| self.used[*place as usize].1 <= offset)
    }

    /// The place of an item that is chosen at `offset`; at `max`, that of the one least recently chosen.
    pub(crate) fn take(&mut self, item: &str, offset: u64, max: usize) -> Place {
        if let Some(place) = self.place(item) {
            self.used[place as usize].0 = offset;
            return Place { place, is_reused: false };
        }
        let names = Arc::make_mut(&mut self.names);
        let is_reused = names.list.len() >= max;
        let place = if is_reused {
            let oldest = self.used.iter().enumerate().min_by_key(|(_, (used, _))| *used);
            oldest.map_or(0, |(place, _)| place)
        } else {
            names.list.push("".into());
            self.used.push((0, 0));
            names.list.len() - 1
        };
        let old = std::mem::replace(&mut names.list[place], item.into());
        names.places.remove(&old);
        names.places.insert(item.into(), place as u32);
        self.used[place] = (offset, offset);
        Place { place: place as u32, is_reused }
    }

    /// Whether the other has the same items at the same places: none was added to either since one was copied from the other.
    pub(crate) fn shares_names(&self, other: &Actions) -> bool {
        Arc::ptr_eq(&self.names, &other.names)
    }

    /// The place of an item of another partition.
    pub(crate) fn adopt(&mut self, item: &str) -> u32 {
        self.place(item).unwrap_or_else(|| self.take(item, 0, usize::MAX).place)
    }
}

/// As checkpoints hold it.
#[derive(Serialize, Deserialize)]
struct Stored(Vec<(Box<str>, u64, u64)>);

impl Serialize for Actions {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let items = self.names.list.iter().zip(&self.used);
        Stored(items.map(|(name, (used, since))| (name.clone(), *used, *since)).collect()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Stored(items) = Stored::deserialize(d)?;
        let (mut names, mut used) = (Names::default(), vec![]);
        for (place, (name, last, since)) in (0..).zip(items) {
            names.places.insert(name.clone(), place);
            names.list.push(name);
            used.push((last, since));
        }
        Ok(Actions { names: Arc::new(names), used })
    }
}
