//! A list that grows by pieces: what is in it stays where it is, and growing takes as long with millions as with few.

use std::ops::{Index, IndexMut};

/// Values of a piece.
const PIECE: usize = 1024;

#[derive(Debug)]
pub(crate) struct Pieces<T>(Vec<Vec<T>>);

impl<T> Pieces<T> {
    pub(crate) fn new() -> Self {
        Pieces(vec![])
    }

    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PIECE + last.len())
    }

    pub(crate) fn get(&self, i: usize) -> Option<&T> {
        self.0.get(i / PIECE)?.get(i % PIECE)
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.0.last_mut().filter(|last| last.len() < PIECE) {
            Some(last) => last.push(value),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(value);
                self.0.push(piece);
            }
        }
    }
}

impl<T> Index<usize> for Pieces<T> {
    type Output = T;

    fn index(&self, i: usize) -> &T {
        &self.0[i / PIECE][i % PIECE]
    }
}

impl<T> IndexMut<usize> for Pieces<T> {
    fn index_mut(&mut self, i: usize) -> &mut T {
        &mut self.0[i / PIECE][i % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_they_were_put() {
        let mut pieces = Pieces::new();
        assert_eq!((pieces.len(), pieces.get(0)), (0, None));
        for i in 0..3 * PIECE + 7 {
            pieces.push(i);
            assert_eq!((pieces.len(), pieces[i]), (i + 1, i));
        }
        pieces[PIECE] = 0;
        let all: Vec<usize> = (0..=pieces.len()).map_while(|i| pieces.get(i).copied()).collect();
        let expected = (0..3 * PIECE + 7).map(|i| if i == PIECE { 0 } else { i });
        assert_eq!(all, expected.collect::<Vec<_>>());
    }
}
