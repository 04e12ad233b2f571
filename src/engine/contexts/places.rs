//! Cells by the places that their keys have in the fold of one partition.

use super::cell::Cell;
use saccade_topology::{Kind, Part, prefetch};

/// What one partition publishes: its cells by the places of the fold, so that a refresh looks nothing up.
#[derive(Default)]
pub struct Places {
    /// By kind.
    cells: [Vec<Option<Cell>>; 2],
}

impl Places {
    /// Takes over cells of other places.
    pub(in crate::engine) fn add(&mut self, others: Places) {
        for (cells, mut others) in self.cells.iter_mut().zip(others.cells) {
            if cells.len() < others.len() {
                std::mem::swap(cells, &mut others);
            }
            for (cell, other) in cells.iter_mut().zip(others) {
                *cell = other.or_else(|| cell.take());
            }
        }
    }

    /// Asks for where [`Places::prefetch`] will look.
    pub(in crate::engine) fn prefetch_place(&self, kind: Kind, place: u32) {
        if let Some(place) = self.cells[kind as usize].get(place as usize) {
            prefetch(place);
        }
    }

    /// Asks for the memory of a cell of which this part will be written soon; `profile_words` of it, at its end, for a profile.
    pub(in crate::engine) fn prefetch(&self, kind: Kind, place: u32, part: Part, profile_words: usize) {
        if let Some(cell) = self.get(kind, place) {
            cell.prefetch(part, profile_words);
        }
    }

    pub(super) fn get(&self, kind: Kind, place: u32) -> Option<&Cell> {
        self.cells[kind as usize].get(place as usize)?.as_ref()
    }

    pub(super) fn place(&mut self, kind: Kind, place: u32) -> &mut Option<Cell> {
        let places = &mut self.cells[kind as usize];
        if places.len() <= place as usize {
            places.resize_with(place as usize + 1, || None);
        }
        &mut places[place as usize]
    }
}
