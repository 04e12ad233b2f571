//! The pending events of one pick, sorted, with the numbers that signals look at.

use crate::pending::IdWords;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// By event time and id; ids are unique.
    events: Vec<Pending>,
    /// The inputs of the events, one event after the other.
    inputs: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    order: (i64, IdWords),
    /// The signals that it changes: bits by place.
    signals: u32,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Every event brings as many inputs.
    pub(super) fn insert(&mut self, order: (i64, IdWords), signals: u32, inputs: &[f64]) {
        let place = match self.events.last() {
            Some(last) if order < last.order => self.events.partition_point(|event| event.order < order),
            _ => self.events.len(),
        };
        self.events.insert(place, Pending { order, signals });
        let at = place * inputs.len();
        self.inputs.splice(at..at, inputs.iter().copied());
    }

    /// Event time of the earliest.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.events.first().map(|event| event.order.0)
    }

    pub(super) fn has(&self, order: (i64, IdWords)) -> bool {
        self.events.binary_search_by(|event| event.order.cmp(&order)).is_ok()
    }

    /// False where it is not there.
    pub(super) fn remove(&mut self, order: (i64, IdWords)) -> bool {
        let Ok(place) = self.events.binary_search_by(|event| event.order.cmp(&order)) else { return false };
        let width = self.inputs.len() / self.events.len();
        self.events.remove(place);
        self.inputs.drain(place * width..(place + 1) * width);
        true
    }

    /// How many come before `horizon`.
    pub(super) fn before(&self, horizon: i64) -> usize {
        self.events.partition_point(|event| event.order.0 < horizon)
    }

    /// Times of the events that change signal `signal`, and its input, among the oldest `count`.
    pub(super) fn of(&self, signal: usize, input: Option<usize>, count: usize) -> impl Iterator<Item = (i64, f64)> {
        let width = self.inputs.len().checked_div(self.events.len()).unwrap_or(0);
        let matched =
            self.events[..count].iter().enumerate().filter(move |(_, event)| event.signals >> signal & 1 == 1);
        matched.map(move |(i, event)| (event.order.0, input.map_or(0.0, |input| self.inputs[i * width + input])))
    }

    /// Removes the oldest `count`, of `width` inputs each, and says where the last of them stood.
    pub(super) fn release(&mut self, count: usize, width: usize) -> Option<(i64, IdWords)> {
        let last = self.events[..count].last().map(|event| event.order);
        if count == self.events.len() {
            // Many picks are kept, few of them have anything pending: the memory goes back.
            *self = Waiting::default();
        } else {
            self.events.drain(..count);
            self.inputs.drain(..count * width);
        }
        last
    }
}
