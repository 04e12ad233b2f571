//! Events of the log written and read by hand, as `postcard` writes and reads them, in a part of its instructions.
//!
//! What is written here has the same bytes. Reads only such an event; everything else (other records, damage, numbers
//! written longer than need be) is nothing here, and left to `postcard`, which also says what is wrong.

use saccade_topology::{Arrived, Event, EventTime, Fields, IngestTime, PlayState, Record};

/// Place of [`Record::Event`] among the records.
const EVENT: u8 = 0;
/// Bytes of an event without its texts and fields, at most.
const FIXED_BYTES_MAX: usize = 160;

/// Appends the record of an event.
pub(super) fn encode(ingest_time: IngestTime, event: &Event<'_>, out: &mut Vec<u8>) {
    let texts = [event.session, event.viewer, event.item, event.decision, event.device, event.country, event.timezone];
    let fields = event.fields.as_bytes();
    let texts = texts.iter().flatten().map(|text| text.len()).sum::<usize>() + event.id.len() + event.kind.len();
    out.reserve(FIXED_BYTES_MAX + texts + fields.len());
    put_signed(out, ingest_time.0);
    out.push(EVENT);
    // As they stand in `Event`.
    put_bytes(out, event.id.as_bytes());
    put_bytes(out, event.kind.as_bytes());
    put_signed(out, event.event_time.0);
    put_optional(out, event.sent_at, |out, time| put_signed(out, time.0));
    out.push(u8::from(event.sent_at_inferred));
    for text in [event.session, event.viewer, event.item, event.decision] {
        put_optional(out, text, |out, text| put_bytes(out, text.as_bytes()));
    }
    put_optional(out, event.position, |out, position| put_unsigned(out, position.into()));
    for number in [event.playhead_s, event.duration_s, event.value] {
        put_optional(out, number, |out, number| out.extend_from_slice(&number.to_le_bytes()));
    }
    for text in [event.device, event.country, event.timezone] {
        put_optional(out, text, |out, text| put_bytes(out, text.as_bytes()));
    }
    for number in [event.throughput_kbps, event.rtt_ms] {
        put_optional(out, number, |out, number| out.extend_from_slice(&number.to_le_bytes()));
    }
    put_optional(out, event.state, |out, state| out.push(state as u8));
    put_bytes(out, fields);
}

#[inline(always)]
fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline(always)]
fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[inline(always)]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline(always)]
fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

struct Bytes<'a>(&'a [u8]);

/// The event that a record is, where it is one and is read here.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Option<Arrived<'_>> {
    let mut bytes = Bytes(bytes);
    let ingest_time = IngestTime(bytes.signed()?);
    if bytes.byte()? != EVENT {
        return None;
    }
    // As they stand in `Event`.
    let event = Event {
        id: bytes.text()?,
        kind: bytes.text()?,
        event_time: EventTime(bytes.signed()?),
        sent_at: bytes.optional(Bytes::signed)?.map(EventTime),
        sent_at_inferred: bytes.flag()?,
        session: bytes.optional(Bytes::text)?,
        viewer: bytes.optional(Bytes::text)?,
        item: bytes.optional(Bytes::text)?,
        decision: bytes.optional(Bytes::text)?,
        position: bytes.optional(|bytes| u32::try_from(bytes.unsigned()?).ok())?,
        playhead_s: bytes.optional(Bytes::number)?,
        duration_s: bytes.optional(Bytes::number)?,
        value: bytes.optional(Bytes::number)?,
        device: bytes.optional(Bytes::text)?,
        country: bytes.optional(Bytes::text)?,
        timezone: bytes.optional(Bytes::text)?,
        throughput_kbps: bytes.optional(Bytes::number)?,
        rtt_ms: bytes.optional(Bytes::number)?,
        state: bytes.optional(|bytes| PlayState::ALL.get(usize::from(bytes.byte()?)).copied())?,
        fields: Fields::from_bytes(bytes.run()?),
    };
    Some(Arrived { ingest_time, record: Record::Event(event) })
}

impl<'a> Bytes<'a> {
    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline(always)]
    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Seven bits a byte, the lowest first.
    #[inline(always)]
    fn unsigned(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 { Some(u64::from(first)) } else { self.unsigned_from(u64::from(first & 0x7f)) }
    }

    /// Of up to nine bytes; what is longer is left to `postcard`.
    fn unsigned_from(&mut self, mut value: u64) -> Option<u64> {
        for shift in (7..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // A zero at the end was not needed.
                return (byte != 0).then_some(value);
            }
        }
        None
    }

    #[inline(always)]
    fn signed(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline(always)]
    fn number(&mut self) -> Option<f64> {
        let (bits, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bits))
    }

    /// As many bytes as are said.
    #[inline(always)]
    fn run(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.unsigned()?).ok()?;
        let (run, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(run)
    }

    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.run()?).ok()
    }

    #[inline(always)]
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(bytes: &[u8]) {
        let by_postcard = postcard::from_bytes::<Arrived<'_>>(bytes);
        if let Some(by_hand) = decode(bytes) {
            // Bits, as a number may be no number.
            assert_eq!(format!("{by_hand:?}"), format!("{:?}", by_postcard.expect("what is read here is an event")));
        }
    }

    fn text() -> impl Strategy<Value = String> {
        "[a-zåß中]{0,40}|[a-z]{120,140}"
    }

    prop_compose! {
        fn arrived()(
            texts in prop::collection::vec(prop::option::of(text()), 8),
            (id, kind, fields) in (text(), text(), prop::collection::vec(any::<u8>(), 0..200)),
            (ingest_time, event_time, sent_at) in any::<(i64, i64, Option<i64>)>(),
            numbers in prop::collection::vec(any::<Option<f64>>(), 5),
            (position, sent_at_inferred, state) in (any::<Option<u32>>(), any::<bool>(), prop::option::of(0..PlayState::ALL.len())),
        ) -> Vec<u8> {
            let event = Event {
                sent_at: sent_at.map(EventTime),
                sent_at_inferred,
                session: texts[0].as_deref(),
                viewer: texts[1].as_deref(),
                item: texts[2].as_deref(),
                decision: texts[3].as_deref(),
                position,
                playhead_s: numbers[0],
                duration_s: numbers[1],
                value: numbers[2],
                device: texts[4].as_deref(),
                country: texts[5].as_deref(),
                timezone: texts[6].as_deref(),
                throughput_kbps: numbers[3],
                rtt_ms: numbers[4],
                state: state.map(|state| PlayState::ALL[state]),
                fields: Fields::from_bytes(&fields),
                ..Event::new(&id, &kind, EventTime(event_time))
            };
            let mut bytes = vec![];
            encode(IngestTime(ingest_time), &event, &mut bytes);
            let arrived = Arrived { ingest_time: IngestTime(ingest_time), record: Record::Event(event) };
            assert_eq!(bytes, postcard::to_allocvec(&arrived).expect("memory takes any record"));
            bytes
        }
    }

    proptest! {
        #[test]
        fn what_is_read_by_hand_is_what_postcard_reads(
            mut bytes in arrived(),
            cut in any::<prop::sample::Index>(),
            (place, byte) in any::<(prop::sample::Index, u8)>(),
        ) {
            same(&bytes);
            same(&bytes[..cut.index(bytes.len())]);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            same(&bytes);
        }

        #[test]
        fn usual_events_are_read_here(bytes in arrived()) {
            let arrived: Arrived<'_> = postcard::from_bytes(&bytes).expect("an event");
            let Record::Event(event) = &arrived.record else { unreachable!("an event") };
            let is_usual = |time: i64| (-1 << 60..1 << 60).contains(&time);
            if is_usual(arrived.ingest_time.0) && is_usual(event.event_time.0) && event.sent_at.is_none_or(|t| is_usual(t.0)) {
                prop_assert!(decode(&bytes).is_some());
            }
        }
    }
}
