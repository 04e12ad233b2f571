//! Events drawn independently: JSON as players send it, a pure function of (seed, event number, wall clock of the start).

use super::{Call, Framing, Pool, Request};
use crate::schedule::{Due, Plan, Timetable};
use crate::seeded::{Popularity, Stream, keyed};
use crate::wire::{digits, number, seconds};

/// Types with their shares of 256.
const TYPES: [(&str, u8); 8] = [
    ("impression", 80),
    ("progress", 62),
    ("scroll", 40),
    ("click", 24),
    ("play", 16),
    ("pause", 12),
    ("seek", 12),
    ("stop", 10),
];
const DEVICES: [&str; 4] = ["tv", "phone", "tablet", "desktop"];
/// Countries with a time zone of theirs.
const PLACES: [(&str, &str); 6] = [
    ("DE", "Europe/Berlin"),
    ("US", "America/New_York"),
    ("US", "America/Los_Angeles"),
    ("BR", "America/Sao_Paulo"),
    ("IN", "Asia/Kolkata"),
    ("JP", "Asia/Tokyo"),
];
const ITEMS: u64 = 5_000;
/// Neighbouring sessions belong to one viewer.
const SESSIONS_PER_VIEWER: u64 = 2;

/// Events that are drawn independently of each other.
pub struct Simple {
    plan: Plan,
    requests: Box<dyn Iterator<Item = Due>>,
    table: Timetable,
    sessions: Popularity,
    items: Popularity,
    pub(super) pool: Pool,
    pub(super) framing: Framing,
    pub(super) end_ns: u64,
    /// Wall clock of the start, epoch milliseconds.
    pub(super) epoch_ms: u64,
}

impl Simple {
    /// Events over `sessions` sessions, Zipf-distributed with exponent `skew`.
    pub fn new(plan: Plan, sessions: u64, skew: f64) -> Self {
        let mut table = Timetable::new(plan.clone());
        Simple {
            requests: Box::new(plan.requests()),
            end_ns: table.due_ns(plan.events.saturating_sub(1)),
            table,
            plan,
            sessions: Popularity::new(sessions, skew),
            items: Popularity::new(ITEMS, 1.0),
            pool: Pool::default(),
            framing: Framing::default(),
            epoch_ms: 0,
        }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Option<Request> {
        let due = self.requests.next()?;
        let mut request = self.pool.take(Call::Events, b"/v1/events", due.due_ns);
        request.events = due.len;
        for i in due.first..due.first + u64::from(due.len) {
            self.framing.before(&mut request.body, i == due.first);
            self.event(i, &mut request.body);
            self.framing.after(&mut request.body);
        }
        self.framing.close(&mut request.body);
        Some(request)
    }

    /// By hand, as all of [`crate::wire`]: formatting took most of the time of a request.
    fn event(&mut self, i: u64, body: &mut Vec<u8>) {
        let seed = self.plan.seed;
        let key = self.sessions.pick(keyed(seed, Stream::Session, i));
        let viewer = key / SESSIONS_PER_VIEWER;
        let bits = keyed(seed, Stream::Body, i);
        let kind = kind((bits & 0xff) as u8);
        let item = self.items.pick(bits.rotate_left(17));
        // What belongs to a viewer stays the same over their events.
        let (country, timezone) = PLACES[(viewer % PLACES.len() as u64) as usize];
        let device = DEVICES[(key % DEVICES.len() as u64) as usize];
        let event_time = self.epoch_ms + self.table.due_ns(i) / 1_000_000;
        let value = (bits >> 8) % 1000;
        let playhead_ms = (bits >> 20) % 7_200_000;
        let prefixed = |body: &mut Vec<u8>, name: &str, n: u64| {
            body.extend_from_slice(name.as_bytes());
            digits(body, seed);
            body.push(b'-');
            digits(body, n);
        };
        let named = |body: &mut Vec<u8>, name: &str, text: &str| {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(text.as_bytes());
        };
        prefixed(body, r#"{"id":"l"#, i);
        named(body, r#"","type":""#, kind);
        body.extend_from_slice(br#"","event_time":"#);
        digits(body, event_time);
        prefixed(body, r#","session":"s"#, key);
        prefixed(body, r#"","viewer":"v"#, viewer);
        body.extend_from_slice(br#"","item":"i"#);
        digits(body, item);
        body.extend_from_slice(br#"","value":"#);
        number(body, value as f64 / 100.0);
        named(body, r#","device":""#, device);
        named(body, r#"","country":""#, country);
        named(body, r#"","timezone":""#, timezone);
        body.extend_from_slice(br#"","playhead_s":"#);
        seconds(body, playhead_ms as u32);
        body.push(b'}');
    }
}

fn kind(share: u8) -> &'static str {
    let mut left = share;
    for (kind, weight) in TYPES {
        match left.checked_sub(weight) {
            None => return kind,
            Some(rest) => left = rest,
        }
    }
    unreachable!("the shares sum to 256")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Arrivals, Shape};
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn source(events: u64) -> Simple {
        let plan =
            Plan { rate: 2000, batch: 1..=20, events, seed: 9, shape: Shape::Constant, arrivals: Arrivals::Even };
        Simple { epoch_ms: 1_700_000_000_000, ..Simple::new(plan, 100, 1.0) }
    }

    fn events(mut source: Simple) -> Vec<Value> {
        let read = |request: Request| {
            let events: Vec<Value> = serde_json::from_slice(&request.body).expect("bodies are JSON arrays");
            assert_eq!(events.len(), request.events as usize);
            events
        };
        std::iter::from_fn(|| source.next()).flat_map(read).collect()
    }

    #[test]
    fn the_shares_of_types_sum_to_256() {
        assert_eq!(TYPES.iter().map(|(_, share)| u32::from(*share)).sum::<u32>(), 256);
    }

    #[test]
    fn event_time_is_the_wall_clock_of_the_intended_time() {
        for (i, event) in events(source(5000)).iter().enumerate() {
            assert_eq!(event["event_time"], 1_700_000_000_000 + i as u64 / 2);
            assert_eq!(event["id"], format!("l9-{i}"));
        }
    }

    #[test]
    fn all_types_occur() {
        let mut kinds = BTreeMap::new();
        for event in events(source(10_000)) {
            *kinds.entry(event["type"].as_str().unwrap_or("").to_owned()).or_insert(0) += 1;
        }
        assert_eq!(kinds.len(), TYPES.len(), "{kinds:?}");
        assert!(kinds["impression"] > kinds["stop"]);
    }

    #[test]
    fn a_viewer_stays_in_one_place() {
        let mut places = BTreeMap::new();
        for event in events(source(10_000)) {
            let place = (event["country"].clone(), event["timezone"].clone());
            let known = places.entry(event["viewer"].to_string()).or_insert_with(|| place.clone());
            assert_eq!(*known, place);
        }
    }
}
