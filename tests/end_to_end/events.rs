//! Events to send, and an order that looks random and is the same in each run.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds since 1970 fit")
}

/// A play event of now, of the viewer `v-{session}`.
pub(super) fn event(id: &str, session: &str) -> Value {
    event_at(id, session, now_ms())
}

pub(super) fn event_at(id: &str, session: &str, event_time: i64) -> Value {
    json!({"id": id, "type": "play", "event_time": event_time, "session": session, "viewer": format!("v-{session}")})
}

/// What somebody does in 20 seconds that end at `end`: events of many types, with most of the fields there are.
pub(super) fn visit(session: &str, end: i64) -> Vec<Value> {
    let kinds =
        ["impression", "click", "play", "playing", "progress", "pause", "scroll", "seek", "buffer_start", "stop"];
    let one = |k: i64| {
        let kind = kinds[k as usize % kinds.len()];
        json!({
            "id": format!("{session}-{k}"), "type": kind, "event_time": end - 20_000 + 500 * k,
            "session": session, "viewer": format!("v-{session}"), "item": format!("item-{}", k % 7),
            "playhead_s": 0.37 * k as f64, "duration_s": 60.0, "value": 1.1 * k as f64,
            "device": if k < 20 { "tv" } else { "mobile" }, "country": if k < 30 { "DE" } else { "NZ" },
            "timezone": "Europe/Berlin", "network": {"throughput_kbps": 1000.0 + 33.3 * k as f64},
            "fields": {"br": 352 + k},
        })
    };
    (0..=40).map(one).collect()
}

/// Fisher-Yates over xorshift: the same order for the same seed.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = Random::new(seed);
    for end in (1..items.len()).rev() {
        items.swap(end, random.below(end as u64 + 1) as usize);
    }
}

/// Xorshift.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
