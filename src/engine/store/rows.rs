//! Rows on their way from a partition to the checkpoint's writer, in one buffer that goes back to be filled again; and from a file back to
//! the state.
//!
//! The writer gives way to all other threads. Memory that it gave back row by row it would hold up the partition with: both need the
//! allocator's lock, and whoever holds it may be put aside.

use crossbeam_channel::{Receiver, Sender, bounded};
use saccade_topology::RowKind;
use std::ops::Range;

/// Buffers that wait to be filled again, at most.
const SPARE_MAX: usize = 64;

/// Kinds, keys and values, in order.
///
/// As bytes: values, each with kind and key behind it; for each of them where the value and where the key ends (`u32` each); their
/// number (`u32`).
#[derive(Default)]
pub struct Rows {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a row is: its value, behind it a byte for its kind, then its key up to `end`.
struct Place {
    value: Range<u32>,
    end: u32,
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of keys and values.
    pub(in crate::engine) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where the next value is to be appended.
    pub(in crate::engine) fn value(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn end(&self) -> u32 {
        self.places.last().map_or(0, |place| place.end)
    }

    /// The value is whole, and of this key.
    pub(in crate::engine) fn close(&mut self, kind: RowKind, key: &str) {
        let value = self.end()..self.bytes.len() as u32;
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(key.as_bytes());
        self.places.push(Place { value, end: self.bytes.len() as u32 });
    }

    /// There is no such row.
    pub(in crate::engine) fn cancel(&mut self) {
        self.bytes.truncate(self.end() as usize);
    }

    /// Kind and key as one, and value, of each.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|place| self.entry(place))
    }

    fn entry(&self, Place { value, end }: &Place) -> (&[u8], &[u8]) {
        let [from, to, end] = [value.start, value.end, *end].map(|at| at as usize);
        (&self.bytes[to..end], &self.bytes[from..to])
    }

    /// Kind, key and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (RowKind, &str, &[u8])> {
        self.entries().map(|(key, value)| {
            let (kind, key) = read_key(key).expect("it was written, or checked");
            (kind, key, value)
        })
    }

    /// Leaves out those of which `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let places = std::mem::take(&mut self.places);
        self.places = places
            .into_iter()
            .filter(|place| {
                let (key, value) = self.entry(place);
                keep(key, value)
            })
            .collect();
    }

    /// Their bytes, in two parts.
    pub(super) fn parts(&self) -> (&[u8], Vec<u8>) {
        let places = self.places.iter().flat_map(|place| [place.value.end, place.end]);
        (&self.bytes, places.chain([self.len() as u32]).flat_map(u32::to_le_bytes).collect())
    }

    /// From such bytes; none where they are no rows.
    pub(super) fn from_bytes(mut bytes: Vec<u8>) -> Option<Rows> {
        let (rest, count) = bytes.split_last_chunk::<4>()?;
        let places_len = 8 * u32::from_le_bytes(*count) as usize;
        let (values, places) = rest.split_at_checked(rest.len().checked_sub(places_len)?)?;
        let mut rows = Rows { bytes: vec![], places: Vec::with_capacity(places.len() / 8) };
        let words: Vec<u32> = places.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        for [to, end] in words.as_chunks::<2>().0 {
            let value = rows.end()..*to;
            read_key(values.get(*to as usize..*end as usize).filter(|_| value.start <= value.end)?)?;
            rows.places.push(Place { value, end: *end });
        }
        let len = values.len();
        bytes.truncate(len);
        rows.bytes = bytes;
        Some(rows).filter(|rows| rows.end() as usize == len)
    }
}

pub(super) fn read_key(bytes: &[u8]) -> Option<(RowKind, &str)> {
    let (kind, key) = bytes.split_first()?;
    let kind = RowKind::ALL.into_iter().find(|known| *known as u8 == *kind)?;
    Some((kind, std::str::from_utf8(key).ok()?))
}

/// Where buffers wait to be filled again.
pub(in crate::engine) fn spare() -> (Giver, Receiver<Rows>) {
    let (sender, receiver) = bounded(SPARE_MAX);
    (Giver(sender), receiver)
}

/// Gives buffers back.
pub(in crate::engine) struct Giver(Sender<Rows>);

impl Giver {
    pub(in crate::engine) fn give(&self, mut rows: Rows) {
        rows.bytes.clear();
        rows.places.clear();
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
        rows.close(RowKind::Session, "a");
        rows.value().extend_from_slice(b"nothing");
        rows.cancel();
        rows.close(RowKind::Item, "none");
        rows.value().extend_from_slice(b"three");
        rows.close(RowKind::Viewer, "");
        let expected: [(_, _, &[u8]); 3] =
            [(RowKind::Session, "a", b"one"), (RowKind::Item, "none", b""), (RowKind::Viewer, "", b"three")];
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected);
        let (bytes, places) = rows.parts();
        let mut again = Rows::from_bytes([bytes, &places].concat()).expect("as they were written");
        assert_eq!(again.iter().collect::<Vec<_>>(), expected);
        again.retain(|key, _| key != [RowKind::Item as u8, b'n', b'o', b'n', b'e']);
        assert_eq!(again.iter().collect::<Vec<_>>(), [expected[0], expected[2]]);
        let (giver, spare) = spare();
        giver.give(rows);
        let again = spare.try_recv().expect("it was given back");
        assert!(again.is_empty() && again.iter().next().is_none() && again.bytes.capacity() > 0);
        (0..=SPARE_MAX).for_each(|_| giver.give(Rows::default()));
        assert_eq!(spare.len(), SPARE_MAX);
    }

    #[test]
    fn bytes_that_are_no_rows_are_none() {
        let mut rows = Rows::default();
        rows.value().extend_from_slice(b"value");
        rows.close(RowKind::Session, "key");
        let (bytes, places) = rows.parts();
        let whole = [bytes, &places].concat();
        assert!(Rows::from_bytes(vec![]).is_none() && Rows::from_bytes(vec![0; 3]).is_none());
        for at in bytes.len()..whole.len() {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[at] ^= 1 << bit;
                // Whatever the places say, each row is within the bytes.
                let _ = Rows::from_bytes(other).map(|rows| rows.iter().count());
            }
        }
        assert!((0..whole.len()).all(|len| Rows::from_bytes(whole[..len].to_vec()).is_none_or(|rows| rows.is_empty())));
    }
}
