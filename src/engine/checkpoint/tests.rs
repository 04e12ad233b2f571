//! Checkpoints of a running loop: what they let the log drop.

use crate::clock::now;
use crate::config::{Config, Durability};
use crate::engine::{Batch, Engine, Place};
use saccade_topology::{Duration, Event, EventTime};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

/// Segments of 50 ms that are too old after 400.
fn open(data: &Path, partitions: u16, lateness: Duration) -> Engine {
    let mut config = Config::default();
    (config.time.allowed_lateness, config.time.out_of_orderness) = (lateness, Duration(0));
    config.log.partitions = partitions;
    config.log.durability = Durability::Buffered;
    config.log.retention_age = Duration(400);
    config.checkpoint.interval = Duration(40);
    Engine::open(&config, data).expect("the engine opens")
}

/// Sends an event of this session, and gives its place.
fn send(engine: &Engine, runtime: &tokio::runtime::Runtime, session: &str, nth: u64) -> Place {
    send_all(engine, runtime, session, nth..nth + 1)
}

/// Sends these events of a session at once, and gives the place of the last.
fn send_all(engine: &Engine, runtime: &tokio::runtime::Runtime, session: &str, of: Range<u64>) -> Place {
    let mut batch = Batch::new(engine, now());
    for nth in of {
        let id = format!("{session}-{nth}");
        batch.push(&Event { session: Some(session), ..Event::new(&id, "play", EventTime(now().0)) });
    }
    let receipt = runtime.block_on(engine.submit(batch)).expect("it is taken");
    receipt.last.expect("it is in the log")
}

#[test]
fn a_partition_that_nothing_comes_to_keeps_no_old_records_of_the_others_nor_after_a_restart() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for start in 0..2 {
        let engine = open(directory.path(), 2, Duration(0));
        let names: Vec<String> = (0..16).map(|nth| format!("s{start}-{nth}")).collect();
        let places: Vec<Place> = names.iter().map(|name| send(&engine, &runtime, name, 0)).collect();
        let busy = places.iter().rposition(|place| place.partition == 0).expect("16 sessions are in both");
        assert!(places.iter().any(|place| place.partition == 1));
        let kept_from = || engine.log().bounds(0).expect("bounds").kept_from.0;
        // One partition alone: the other makes checkpoints only to let go of the log.
        let (until, mut nth) = (Instant::now() + std::time::Duration::from_secs(20), 1);
        while kept_from() <= places[busy].offset && Instant::now() < until {
            send(&engine, &runtime, &names[busy], nth);
            nth += 1;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(kept_from() > places[busy].offset, "start {start}: nothing was dropped");
        engine.stop();
    }
}

#[test]
fn records_of_events_that_rows_name_are_kept_until_they_are_certain() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let engine = open(directory.path(), 1, Duration(60_000));
    let kept_from = || engine.log().bounds(0).expect("bounds").kept_from;
    // What comes before them can go; of them so many are pending that the row names them.
    let mut nth = 0;
    let mut send_for = |ms: u128| {
        let begun = Instant::now();
        while begun.elapsed().as_millis() < ms {
            send(&engine, &runtime, &format!("other-{nth}"), 0);
            nth += 1;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    send_for(200);
    // At once: of those that a row held whole before, it would name none.
    let first = send_all(&engine, &runtime, "busy", 0..20).offset - 19;
    send_for(2_000);
    assert!(kept_from().0 <= first, "{:?} is behind {first}", kept_from());
    assert!(kept_from().0 > 0, "nothing was dropped");
    engine.stop();
}
