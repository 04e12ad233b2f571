//! A list that grows in pieces: of a million keys it is never moved, and never freed, as a whole.

/// Bytes of a piece: little enough to come from what the allocator has at hand.
const PIECE_BYTES: usize = 16 << 10;

/// What was put on last is taken first.
#[derive(Debug)]
pub(crate) struct Pieces<T> {
    full: Vec<Vec<T>>,
    last: Vec<T>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Pieces { full: vec![], last: vec![] }
    }
}

impl<T> Pieces<T> {
    const LEN: usize = PIECE_BYTES / size_of::<T>();

    pub(crate) fn len(&self) -> usize {
        self.full.len() * Self::LEN + self.last.len()
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.last.len() == Self::LEN {
            self.full.push(std::mem::take(&mut self.last));
        }
        self.last.push(item);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.last.is_empty() {
            self.last = self.full.pop()?;
        }
        self.last.pop()
    }
}

impl<T> Extend<T> for Pieces<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> Iterator for Pieces<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_on_last_is_taken_first() {
        let (mut pieces, mut list) = (Pieces::default(), vec![]);
        for n in 0..40_000u64 {
            pieces.push(n);
            list.push(n);
            if n % 7 == 0 || (n / 5_000) % 2 == 1 {
                assert_eq!(pieces.pop(), list.pop());
                assert_eq!(pieces.pop(), list.pop());
            }
            assert_eq!(pieces.len(), list.len());
        }
        let mut other = Pieces::default();
        other.extend(pieces);
        list.reverse();
        assert!(other.len() == list.len() && other.by_ref().eq(list.into_iter().rev()));
        assert_eq!((other.pop(), other.len()), (None, 0));
    }
}
