//! The items of a model over all partitions, each at one place.
//!
//! An item is at the place of the first partition that knows it. So where it is depends on nobody's length, and what a partition learns
//! of one item moves no other: places that are not some item's own are empty. With one partition the places are its own.

use super::{Actions, Learnt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The items with estimates of their own.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    learnt: &'a [Arc<Learnt>],
    model: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(learnt: &'a [Arc<Learnt>], model: usize) -> Self {
        Items { learnt, model }
    }

    fn of(self, partition: usize) -> &'a Actions {
        &self.learnt[partition].books.models[self.model].actions
    }

    fn at(self, partition: usize, theirs: u32) -> u32 {
        theirs * self.learnt.len() as u32 + partition as u32
    }

    /// Whether this partition is the first that knows an item, of those it knows.
    fn is_first(self, partition: usize, item: &str) -> bool {
        (0..partition).all(|before| self.of(before).place(item).is_none())
    }

    /// The place of an item.
    pub fn place(self, item: &str) -> Option<u32> {
        (0..self.learnt.len()).find_map(|partition| Some(self.at(partition, self.of(partition).place(item)?)))
    }

    /// All items with their places.
    pub fn iter(self) -> impl Iterator<Item = (u32, &'a str)> {
        let of = move |partition| (0..self.of(partition).len() as u32).map(move |theirs| (partition, theirs));
        let own = move |(partition, theirs)| {
            let item = self.of(partition).name(theirs);
            self.is_first(partition, item).then_some((self.at(partition, theirs), item))
        };
        (0..self.learnt.len()).flat_map(of).filter_map(own)
    }

    /// Whether all items are where they were.
    pub(super) fn are(self, before: Items<'_>) -> bool {
        (0..self.learnt.len()).all(|partition| self.of(partition).shares_names(before.of(partition)))
    }

    /// Places, with the empty ones.
    pub(super) fn places(self) -> usize {
        (0..self.learnt.len()).map(|partition| self.of(partition).len()).max().unwrap_or(0) * self.learnt.len()
    }

    /// Where the item at a place is known: partition, and place there. Nowhere if the place is empty.
    pub(super) fn known(self, place: u32) -> impl Iterator<Item = (usize, u32)> {
        let partitions = self.learnt.len();
        let (partition, theirs) = (place as usize % partitions, place / partitions as u32);
        let item = self.of(partition).get(theirs).filter(|item| self.is_first(partition, item));
        let known = move |item| (0..partitions).filter_map(move |p| Some((p, self.of(p).place(item)?)));
        item.into_iter().flat_map(known)
    }

    /// Places at which something else may be known than with the items of `before`, if a partition learnt something of the items at
    /// these places of its own.
    pub(super) fn affected(self, before: Items<'_>, learnt: impl Iterator<Item = (usize, u32)>) -> BTreeSet<u32> {
        let mut places = BTreeSet::new();
        let renamed =
            (0..self.learnt.len()).flat_map(|p| self.of(p).renamed(before.of(p)).map(move |theirs| (p, theirs)));
        for (partition, theirs) in renamed.chain(learnt) {
            places.insert(self.at(partition, theirs));
            let items = [self.of(partition).get(theirs), before.of(partition).get(theirs)];
            for item in items.into_iter().flatten() {
                places.extend((0..self.learnt.len()).filter_map(|p| Some(self.at(p, self.of(p).place(item)?))));
            }
        }
        places
    }
}
