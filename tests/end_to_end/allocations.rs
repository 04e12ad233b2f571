//! The fold allocates nothing per event once its keys are known.

use saccade::config::Config;
use saccade_topology::{
    Arrived, ContextRef, Event, EventTime, IngestTime, Kind, Offset, Outcome, Plan, Record, SessionEnd, Sink, Topology,
};
use std::path::Path;
use std::sync::Arc;

const T0: i64 = 1_790_000_000_000;
const BATCH: usize = 20;
const TYPES: [&str; 6] = ["impression", "click", "play", "progress", "pause", "scroll"];

struct Names {
    ids: Vec<String>,
    sessions: Vec<String>,
    viewers: Vec<String>,
    items: Vec<String>,
}

struct Look;

impl Sink for Look {
    fn context(&mut self, context: &ContextRef<'_>) {
        std::hint::black_box(context.vector);
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

/// Event `i` of a stream of 100 a second in which every seventh comes a second late.
fn event(names: &Names, i: usize) -> Event<'_> {
    let at = T0 + i as i64 * 10 - if i % 7 == 3 { 1000 } else { 0 };
    let session = i.wrapping_mul(7919) % names.sessions.len();
    Event {
        session: Some(&names.sessions[session]),
        viewer: Some(&names.viewers[session / 2]),
        item: Some(&names.items[i % names.items.len()]),
        device: Some("tv"),
        country: Some("DE"),
        timezone: Some("Europe/Berlin"),
        playhead_s: Some((i % 3600) as f64),
        value: Some((i % 100) as f64),
        ..Event::new(&names.ids[i], TYPES[i % TYPES.len()], EventTime(at))
    }
}

fn allocations(text: &str, before: usize, measured: usize) -> u64 {
    let config = Config::parse(text, Path::new("test")).expect("the configuration is good");
    let mut topology = Topology::new(Arc::new(Plan::compile(&config.spec()).expect("it compiles")));
    let numbered = |what: &str, count: usize| (0..count).map(|i| format!("{what}-{i}")).collect();
    let names = Names {
        ids: numbered("event", before + measured),
        sessions: numbered("session", 200),
        viewers: numbered("viewer", 100),
        items: numbered("item", 50),
    };
    let mut records = Vec::with_capacity(BATCH);
    let mut apply = |range: std::ops::Range<usize>| {
        for first in range.step_by(BATCH) {
            records.clear();
            records.extend((first..first + BATCH).map(|i| {
                let event = event(&names, i);
                Arrived { ingest_time: IngestTime(T0 + i as i64 * 10), record: Record::Event(event) }
            }));
            topology.warm(&records);
            for (nth, arrived) in records.iter().enumerate() {
                let outcome = topology.apply_warmed(nth, Offset((first + nth) as u64), arrived, &mut Look);
                assert_eq!(outcome, Outcome::Accepted);
            }
        }
    };
    apply(0..before);
    allocation_counter::measure(|| apply(before..before + measured)).count_total
}

#[test]
fn the_fold_allocates_nothing_per_event() {
    assert_eq!(allocation_counter::measure(|| drop(vec![1])).count_total, 1, "allocations are counted");
    // Every key is known, and what is pending has reached its greatest: the lateness of 32 s, in chunks of 36 to 41 s that are let go as wholes.
    let default = allocations(include_str!("../../configs/default.toml"), 160_000, 20_000);
    let w1 = allocations(include_str!("../../configs/w1.toml"), 40_000, 20_000);
    assert_eq!((default, w1), (0, 0), "allocations in 20,000 events, by the default plan and by that of W1");
}
