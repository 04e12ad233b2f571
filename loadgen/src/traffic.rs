//! What the events say: JSON bodies as players send them, a pure function of (seed, event number, wall clock of the start).

use crate::schedule::{Due, Plan};
use crate::seeded::{Popularity, Stream, keyed};
use std::io::Write;

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

/// Makes bodies for the requests of a plan.
pub struct Traffic {
    plan: Plan,
    sessions: Popularity,
    items: Popularity,
    /// Wall clock of the start, epoch milliseconds.
    epoch_ms: u64,
}

impl Traffic {
    /// Traffic over `sessions` sessions, Zipf-distributed with exponent `skew`, that starts in 1970.
    pub fn new(plan: Plan, sessions: u64, skew: f64) -> Self {
        Traffic { plan, sessions: Popularity::new(sessions, skew), items: Popularity::new(ITEMS, 1.0), epoch_ms: 0 }
    }

    /// The same traffic, started at `epoch_ms`.
    pub fn starting_at(self, epoch_ms: u64) -> Self {
        Traffic { epoch_ms, ..self }
    }

    /// The body of a request: a JSON array of its events.
    pub fn body(&self, due: Due) -> Vec<u8> {
        let mut body = Vec::with_capacity(due.len as usize * 256 + 2);
        body.push(b'[');
        for i in due.first..due.first + u64::from(due.len) {
            if i > due.first {
                body.push(b',');
            }
            self.event(i, &mut body);
        }
        body.push(b']');
        body
    }

    /// The dedup key of event `i`.
    pub fn id(&self, i: u64) -> String {
        format!("l{}-{i}", self.plan.seed)
    }

    /// The session of event `i`.
    pub fn session(&self, i: u64) -> String {
        format!("s{}-{}", self.plan.seed, self.session_key(i))
    }

    fn session_key(&self, i: u64) -> u64 {
        self.sessions.pick(keyed(self.plan.seed, Stream::Session, i))
    }

    fn event(&self, i: u64, body: &mut Vec<u8>) {
        let seed = self.plan.seed;
        let key = self.session_key(i);
        let viewer = key / SESSIONS_PER_VIEWER;
        let bits = keyed(seed, Stream::Body, i);
        let kind = kind((bits & 0xff) as u8);
        let item = self.items.pick(bits.rotate_left(17));
        // What belongs to a viewer stays the same over their events.
        let (country, timezone) = PLACES[(viewer % PLACES.len() as u64) as usize];
        let device = DEVICES[(key % DEVICES.len() as u64) as usize];
        let event_time = self.epoch_ms + self.plan.event_due_ns(i) / 1_000_000;
        let value = (bits >> 8) % 1000;
        let playhead_ms = (bits >> 20) % 7_200_000;
        write!(
            body,
            r#"{{"id":"l{seed}-{i}","type":"{kind}","event_time":{event_time},"session":"s{seed}-{key}","viewer":"v{seed}-{viewer}","item":"i{item}","value":{}.{:02},"device":"{device}","country":"{country}","timezone":"{timezone}","playhead_s":{}.{:03}}}"#,
            value / 100,
            value % 100,
            playhead_ms / 1000,
            playhead_ms % 1000,
        )
        .expect("a Vec takes any number of bytes");
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

    fn traffic(events: u64) -> Traffic {
        let plan =
            Plan { rate: 2000, batch: 1..=20, events, seed: 9, shape: Shape::Constant, arrivals: Arrivals::Even };
        Traffic::new(plan, 100, 1.0).starting_at(1_700_000_000_000)
    }

    fn events(traffic: &Traffic) -> Vec<Value> {
        let body = |due| serde_json::from_slice::<Vec<Value>>(&traffic.body(due)).expect("bodies are JSON arrays");
        traffic.plan.requests().flat_map(body).collect()
    }

    #[test]
    fn the_shares_of_types_sum_to_256() {
        assert_eq!(TYPES.iter().map(|(_, share)| u32::from(*share)).sum::<u32>(), 256);
    }

    #[test]
    fn event_time_is_the_wall_clock_of_the_intended_time() {
        for (i, event) in events(&traffic(5000)).iter().enumerate() {
            assert_eq!(event["event_time"], 1_700_000_000_000 + i as u64 / 2);
        }
    }

    #[test]
    fn ids_are_numbered_and_name_the_same_session_as_the_body() {
        let traffic = traffic(1000);
        for (i, event) in events(&traffic).iter().enumerate() {
            assert_eq!(event["id"], traffic.id(i as u64));
            assert_eq!(event["session"], traffic.session(i as u64));
        }
    }

    #[test]
    fn all_types_occur() {
        let mut kinds = BTreeMap::new();
        for event in events(&traffic(10_000)) {
            *kinds.entry(event["type"].as_str().unwrap_or("").to_owned()).or_insert(0) += 1;
        }
        assert_eq!(kinds.len(), TYPES.len(), "{kinds:?}");
        assert!(kinds["impression"] > kinds["stop"]);
    }

    #[test]
    fn a_viewer_stays_in_one_place() {
        let mut places = BTreeMap::new();
        for event in events(&traffic(10_000)) {
            let place = (event["country"].clone(), event["timezone"].clone());
            let known = places.entry(event["viewer"].to_string()).or_insert_with(|| place.clone());
            assert_eq!(*known, place);
        }
    }
}
