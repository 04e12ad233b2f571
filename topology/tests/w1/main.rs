//! W1 "session features": the vectors of the fold against a straight re-implementation of the benchmark's reference.
//!
//! The reference is folded again, in event-time order, over everything the session has sent so far, after every arrival.
//! Slot 21 is compared with the reference's kind of estimate over another hash, so only its size can agree.

mod spec;

use saccade_topology::*;
use spec::{COUNTRIES, DEVICES, TYPES};
use std::collections::BTreeMap;
use std::sync::Arc;

const GAP_MS: i64 = 1_800_000;
const BASE: i64 = 1_760_000_000_000;

/// What the reference reads of an event.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    session: usize,
    time: i64,
    arrival: i64,
    kind: usize,
    item: u64,
    value: f64,
    device: usize,
    country: usize,
}

/// A seeded stream of the workload's shape: 5 % of the events up to 1,999 ms late, one step in fifty longer than the gap.
fn stream(sessions: usize, seed: u64) -> Vec<Row> {
    let mut rows = vec![];
    let mut state = seed;
    // splitmix64
    let mut below = |n: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    };
    for session in 0..sessions {
        let (device, country) = (below(3) as usize, below(8) as usize);
        let mut time = BASE + below(3_600_000) as i64;
        for _ in 0..1 + below(40) {
            let delay = if below(20) == 0 { 1 + below(1999) as i64 } else { 0 };
            let (kind, item, value) = (below(7) as usize, below(5000), below(36_000) as f64 / 1000.0);
            let id = format!("e{:08}", rows.len());
            rows.push(Row { id, session, time, arrival: time + delay, kind, item, value, device, country });
            // Equal times are common.
            time += below(4) as i64 * below(10_000) as i64;
            if below(50) == 0 {
                time += 1_810_000 + below(590_000) as i64;
            }
        }
    }
    rows.sort_by(|a, b| (a.arrival, &a.id).cmp(&(b.arrival, &b.id)));
    rows
}

/// The reference's state, as in its formula; `items` holds the items themselves.
struct State {
    time: i64,
    start: i64,
    last: [Option<i64>; 7],
    counts: [[f64; 7]; 2],
    value_sum: f64,
    items: Vec<u64>,
    events: u32,
}

impl State {
    fn new(time: i64) -> Self {
        State { time, start: time, last: [None; 7], counts: [[0.0; 7]; 2], value_sum: 0.0, items: vec![], events: 0 }
    }

    fn update(&mut self, row: &Row) {
        if row.time - self.time > GAP_MS {
            *self = State::new(row.time);
        }
        let elapsed = (row.time - self.time) as f64;
        for (half_life_ms, counts) in [30_000.0, 600_000.0].into_iter().zip(&mut self.counts) {
            counts.iter_mut().for_each(|count| *count *= libm::exp2(-elapsed / half_life_ms));
            counts[row.kind] += 1.0;
        }
        self.value_sum = self.value_sum * libm::exp2(-elapsed / 600_000.0) + row.value;
        self.time = row.time;
        self.last[row.kind] = Some(row.time);
        if !self.items.contains(&row.item) {
            self.items.push(row.item);
        }
        self.events += 1;
    }

    /// Slots 0 to 31 after `latest`; slot 21 is the true number of items.
    fn vector(&self, latest: &Row) -> Vec<f64> {
        let since = |last: &Option<i64>| last.map_or(-1.0, |last| (self.time - last) as f64 / 1000.0);
        let mut vector: Vec<f64> = self.counts.iter().flatten().copied().collect();
        vector.extend(self.last.iter().map(since));
        vector.push(self.items.len() as f64);
        vector.push(self.last.iter().flatten().count() as f64);
        vector.push((self.time - self.start) as f64 / 1000.0);
        vector.push(f64::from(self.events));
        vector.push(latest.value);
        vector.push(self.value_sum / self.counts[1].iter().sum::<f64>());
        vector.extend((0..3).map(|device| f64::from(u8::from(device == latest.device))));
        vector.push(latest.country as f64 / 8.0);
        vector.push(latest.kind as f64);
        vector
    }
}

/// The reference over a session's rows, in event-time order.
fn reference(rows: &mut [Row]) -> Vec<f64> {
    rows.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    let mut state = State::new(rows[0].time);
    rows.iter().for_each(|row| state.update(row));
    state.vector(&rows[rows.len() - 1])
}

#[derive(Default)]
struct Last(Vec<f32>);

impl Sink for Last {
    fn context(&mut self, c: &ContextRef<'_>) {
        self.0 = c.vector.to_vec();
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

fn apply(topology: &mut Topology, offset: usize, row: &Row, sink: &mut Last) -> Outcome {
    let (session, item) = (format!("s{}", row.session), format!("t{}", row.item));
    let event = Event {
        session: Some(&session),
        viewer: Some("v1"),
        item: Some(&item),
        value: Some(row.value),
        device: Some(DEVICES[row.device]),
        country: Some(COUNTRIES[row.country]),
        ..Event::new(&row.id, TYPES[row.kind], EventTime(row.time))
    };
    let arrived = Arrived { ingest_time: IngestTime(row.arrival), record: Record::Event(event) };
    topology.apply(Offset(offset as u64), &arrived, sink)
}

#[test]
fn every_vector_of_w1_equals_the_references_fold_of_what_has_arrived() {
    let rows = stream(250, 42);
    let gaps = rows.len();
    assert!(
        gaps > 4000 && rows.iter().any(|row| row.arrival - row.time > 1900),
        "the stream is of the workload's shape"
    );
    let plan = Arc::new(Plan::compile(&spec::spec()).expect("the specification of W1 compiles"));
    assert_eq!(plan.slots().len(), 32);
    let (mut topology, mut sink) = (Topology::new(plan), Last::default());
    let mut sessions: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    let (mut restarts, mut item_errors) = (0, 0.0);
    for (offset, row) in rows.iter().enumerate() {
        assert_eq!(apply(&mut topology, offset, row, &mut sink), Outcome::Accepted, "{row:?}");
        let history = sessions.entry(row.session).or_default();
        history.push(row.clone());
        let expected = reference(history);
        restarts += usize::from(expected[24] as usize != history.len());
        for (slot, (want, got)) in expected.iter().zip(&sink.0).enumerate() {
            let error = (want - f64::from(*got)).abs() / want.abs().max(1.0);
            if slot == 21 {
                // 64 bits, up to 40 items: a standard deviation of 8 % of the count; five of them and one.
                assert!((want - f64::from(*got)).abs() <= 1.0 + 0.4 * want, "items: {got}, not about {want}");
                item_errors += error;
            } else {
                assert!(error <= 1e-4, "slot {slot} after {row:?}: {got}, not {want}");
            }
        }
    }
    assert!(restarts > 100, "sessions begin anew after the gap");
    assert!(item_errors / (rows.len() as f64) < 0.08, "the estimate of items is near on average");
}
