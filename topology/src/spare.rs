//! Spare rows: those that only keys with pending events need, the settled and the near ones.
//!
//! A row that was given back is taken again first, so that few rows serve many keys and those stay in the processor's caches.

/// Unused rows that are kept, beyond as many as are used.
const FREE_MAX: usize = 1024;

/// Rows by number.
#[derive(Debug)]
pub(crate) struct SpareRows {
    words: usize,
    rows: Vec<Box<[u64]>>,
    free: Vec<u32>,
    /// Numbers whose memory was given back.
    empty: Vec<u32>,
}

impl SpareRows {
    pub(crate) fn new(words: usize) -> Self {
        SpareRows { words, rows: vec![], free: vec![], empty: vec![] }
    }

    fn used(&self) -> usize {
        self.rows.len() - self.free.len() - self.empty.len()
    }

    fn place(&mut self) -> u32 {
        if let Some(i) = self.free.pop() {
            return i;
        }
        let row = vec![0; self.words].into();
        if let Some(i) = self.empty.pop() {
            self.rows[i as usize] = row;
            return i;
        }
        self.rows.push(row);
        (self.rows.len() - 1) as u32
    }

    /// A row with the contents of `words`.
    pub(crate) fn take(&mut self, words: &[u64]) -> u32 {
        let i = self.place();
        self.rows[i as usize].copy_from_slice(words);
        i
    }

    /// A row with the contents of another.
    pub(crate) fn take_copy(&mut self, of: u32) -> u32 {
        let i = self.place();
        let [row, of] = self.rows.get_disjoint_mut([i as usize, of as usize]).expect("a new row is not one in use");
        row.copy_from_slice(of);
        i
    }

    pub(crate) fn give(&mut self, i: u32) {
        self.free.push(i);
        while self.free.len() > FREE_MAX + self.used()
            && let Some(i) = self.free.pop()
        {
            self.rows[i as usize] = Box::default();
            self.empty.push(i);
        }
    }

    pub(crate) fn row(&self, i: u32) -> &[u64] {
        &self.rows[i as usize]
    }

    pub(crate) fn row_mut(&mut self, i: u32) -> &mut [u64] {
        &mut self.rows[i as usize]
    }

    /// Bytes of the rows in use.
    pub(crate) fn bytes(&self) -> usize {
        self.used() * 8 * self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_contents_and_memory_follows_use() {
        let mut spare = SpareRows::new(2);
        let taken: Vec<u32> = (0..5000).map(|i| spare.take(&[i, i + 1])).collect();
        let copy = spare.take_copy(taken[7]);
        assert_eq!((spare.row(taken[9]), spare.row(copy)), (&[9, 10][..], &[7, 8][..]));
        assert_eq!(spare.bytes(), 5001 * 16);
        taken.iter().for_each(|i| spare.give(*i));
        assert_eq!((spare.bytes(), spare.free.len()), (16, FREE_MAX + 1));
        assert_eq!(spare.row(copy), [7, 8]);
        let again: Vec<u32> = (0..5000).map(|i| spare.take(&[i, 0])).collect();
        assert!(again.iter().zip(0..).all(|(i, x)| spare.row(*i) == [x, 0]));
        assert_eq!(spare.bytes(), 5001 * 16);
    }
}
