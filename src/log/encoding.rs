//! Records as bytes: `postcard` per record, each behind its length, many to a batch.
//!
//! Batch: format byte, then per record a `u32` length (little endian) and the bytes. The format byte changes with any change of
//! [`Arrived`] but a further variant at the end of an enum.
//!
//! Records of every format ever written stay readable: `tests/data/log/format-N*.batch` hold some of each and are never changed
//! nor deleted. For a new one: raise [`FORMAT`], keep a decoder of the one before, run the tests and commit the files they name.

use super::events;
use saccade_topology::{Arrived, Record};

/// Version of the bytes.
pub const FORMAT: u8 = 1;

/// Encoded records that are appended as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    count: u64,
}

impl Default for RecordBatch {
    fn default() -> Self {
        RecordBatch { bytes: vec![FORMAT], count: 0 }
    }
}

/// Encodes a record at the end of `out`.
pub fn encode(arrived: &Arrived<'_>, out: &mut Vec<u8>) {
    if let Record::Event(event) = &arrived.record {
        return events::encode(arrived.ingest_time, event, out);
    }
    let bytes = std::mem::take(out);
    *out = postcard::to_extend(arrived, bytes).expect("memory takes any record");
}

/// Decodes a record; strings are borrowed from `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Arrived<'_>, postcard::Error> {
    events::decode(bytes).map_or_else(|| postcard::from_bytes(bytes), Ok)
}

impl RecordBatch {
    /// Asks for memory for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends a record.
    pub fn push(&mut self, arrived: &Arrived<'_>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode(arrived, &mut self.bytes);
        self.close(at);
    }

    /// Appends the bytes of a record.
    pub fn push_encoded(&mut self, record: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(record);
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        let len = u32::try_from(self.bytes.len() - at - 4).expect("a record is below 4 GiB");
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.count += 1;
    }

    /// Records.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The batch's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(1);
        self.count = 0;
    }

    /// The records of `bytes` in order; an error names what is wrong at that place.
    pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
        let (mut rest, mut failed) = match bytes.split_first() {
            Some((&FORMAT, rest)) => (rest, None),
            Some((other, _)) => (&[][..], Some(format!("batch format {other}, this program reads {FORMAT}"))),
            None => (&[][..], Some("an empty batch".to_string())),
        };
        std::iter::from_fn(move || {
            if let Some(what) = failed.take() {
                return Some(Err(what));
            }
            if rest.is_empty() {
                return None;
            }
            let record = rest
                .split_first_chunk::<4>()
                .and_then(|(len, tail)| tail.split_at_checked(u32::from_le_bytes(*len) as usize));
            let Some((record, tail)) = record else {
                rest = &[];
                return Some(Err("a record longer than its batch".to_string()));
            };
            rest = tail;
            Some(Ok(record))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use saccade_topology::{Event, EventTime, Fields, IngestTime, Value};

    fn sample(id: &str) -> Arrived<'_> {
        let event = Event { session: Some("s"), value: Some(0.5), ..Event::new(id, "play", EventTime(7)) };
        Arrived { ingest_time: IngestTime(9), record: Record::Event(event) }
    }

    #[test]
    fn a_batch_gives_its_records_back() {
        let mut batch = RecordBatch::default();
        batch.push(&sample("a"));
        batch.push(&Arrived { ingest_time: IngestTime(10), record: Record::Tick });
        let records: Vec<_> =
            RecordBatch::records(batch.bytes()).map(|r| decode(r.expect("whole")).expect("ours")).collect();
        assert_eq!(records, vec![sample("a"), Arrived { ingest_time: IngestTime(10), record: Record::Tick }]);
    }

    /// Reads all there is: records, and their free fields.
    fn read_all(bytes: &[u8]) {
        for record in RecordBatch::records(bytes).filter_map(Result::ok) {
            if let Ok(Arrived { record: Record::Event(event), .. }) = decode(record) {
                let _ = (event.fields.iter().count(), event.fields.get("a"));
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), is_batch: bool) {
            let _ = decode(&bytes);
            read_all(&if is_batch { [&[FORMAT], &bytes[..]].concat() } else { bytes });
        }

        #[test]
        fn a_batch_with_some_bytes_changed_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let (mut batch, mut fields) = (RecordBatch::default(), vec![]);
            Fields::push(&mut fields, "a", Value::Text("härifrån"));
            Fields::push(&mut fields, "b", Value::Number(1.0));
            for id in ["a", "b"] {
                let Arrived { ingest_time, record: Record::Event(event) } = sample(id) else { unreachable!("an event") };
                let event = Event { fields: Fields::from_bytes(&fields), ..event };
                batch.push(&Arrived { ingest_time, record: Record::Event(event) });
            }
            let mut bytes = batch.bytes().to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            read_all(&bytes);
        }
    }

    #[test]
    fn a_batch_cut_anywhere_ends_in_an_error_or_at_a_record() {
        let mut batch = RecordBatch::default();
        batch.push(&sample("a"));
        batch.push(&sample("b"));
        for cut in 0..batch.bytes().len() {
            let whole = RecordBatch::records(&batch.bytes()[..cut]).take_while(Result::is_ok).count();
            assert!(whole < 2);
        }
    }
}
