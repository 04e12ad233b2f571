//! Rows on their way from a partition to the checkpoint's writer, in one buffer that goes back to be filled again.
//!
//! The writer gives way to all other threads. Memory that it gave back row by row it would hold up the partition with: both need the
//! allocator's lock, and whoever holds it may be put aside.

use super::store::put_row_key;
use crossbeam_channel::{Receiver, Sender, bounded};
use saccade_topology::RowKind;

/// Buffers that wait to be filled again, at most.
const SPARE_MAX: usize = 64;

/// Keys and values, in order.
#[derive(Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    /// Where each value ends, which begins behind the key before it, and where its key does.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where the next value is to be appended.
    pub(super) fn value(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The value is whole, and of this key.
    pub(super) fn close(&mut self, kind: RowKind, partition: u16, key: &str) {
        let value = self.bytes.len();
        put_row_key(kind, partition, key, &mut self.bytes);
        self.ends.push((value, self.bytes.len()));
    }

    /// There is no such row.
    pub(super) fn cancel(&mut self) {
        self.bytes.truncate(self.ends.last().map_or(0, |(_, end)| *end));
    }

    /// Appends a row of another.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.ends.push((end, self.bytes.len()));
    }

    /// Key and value of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        begins.zip(&self.ends).map(|(begin, (value, end))| (&self.bytes[*value..*end], &self.bytes[begin..*value]))
    }
}

/// Where buffers wait to be filled again.
pub(super) fn spare() -> (Giver, Receiver<Rows>) {
    let (sender, receiver) = bounded(SPARE_MAX);
    (Giver(sender), receiver)
}

/// Gives buffers back.
pub(super) struct Giver(Sender<Rows>);

impl Giver {
    pub(super) fn give(&self, mut rows: Rows) {
        rows.bytes.clear();
        rows.ends.clear();
        // More than can wait are not needed.
        let _ = self.0.try_send(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in_and_buffers_come_back_empty() {
        let mut rows = Rows::default();
        rows.value().extend_from_slice(b"one");
        rows.close(RowKind::Session, 258, "a");
        rows.value().extend_from_slice(b"nothing");
        rows.cancel();
        rows.push(b"key", b"");
        rows.value().extend_from_slice(b"three");
        rows.close(RowKind::Viewer, 0, "");
        let key = |kind: RowKind, rest: &[u8]| [&[kind as u8], rest].concat();
        let (one, three) = (key(RowKind::Session, b"\x01\x02a"), key(RowKind::Viewer, b"\0\0"));
        let expected: [(&[u8], &[u8]); 3] = [(&one, b"one"), (b"key", b""), (&three, b"three")];
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected);
        let (giver, spare) = spare();
        giver.give(rows);
        let again = spare.try_recv().expect("it was given back");
        assert!(again.len() == 0 && again.iter().next().is_none() && again.bytes.capacity() > 0);
        (0..=SPARE_MAX).for_each(|_| giver.give(Rows::default()));
        assert_eq!(spare.len(), SPARE_MAX);
    }
}
