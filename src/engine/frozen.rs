//! Checkpoints as they were written once, in `tests/data/checkpoint`: after the records of `tests/data/log/format-1.batch` and of a small loop
//! after them. `format-N.full` is the store's file. `format-N.txt` is what it held while it was a database: an entry a line (keyspace, key,
//! value), behind the digest of the state.

use super::StoreError;
use super::restore::{Restored, restore};
use super::store::{Chain, Making, Rows, Store, write_former};
use crate::config::Config;
use crate::log::{Log, MemoryLog, RecordBatch, decode};
use saccade_topology::decision::*;
use saccade_topology::{
    Arrived, Event, EventTime, Fields, Ignore, IngestTime, Late, Offset, Outcome, Pending, Plan, Record, RowKind,
    Topology, Value,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The format of [`saccade_topology::Globals`] that this program writes.
const FORMAT: u32 = saccade_topology::CHECKPOINT_FORMAT;

/// Each kind of feature state, in each scope.
const CONFIG: &str = r#"
[session]
gap = "1m"
[dedup]
events_max = 1024
[[features]]
name = "events"
type = "decayed_count"
half_lives = ["10s", "1m"]
[[features]]
name = "playback"
type = "playback"
[[features]]
name = "last"
type = "last"
field = "value"
[[features]]
name = "types"
type = "distinct"
field = "type"
size = 64
[[features]]
name = "clock"
type = "local_time"
[[features]]
name = "of_item"
type = "count"
scope = "item"
[[features]]
name = "of_viewer"
type = "sum"
field = "value"
scope = "viewer"
[[models]]
name = "home"
reward = "unused.toml"
"#;

/// Signals with state of each shape.
const REWARD: &str = r#"{"version": 1, "expression": "clicked + watched", "wait": "30m", "signals": {
    "clicked": {"fold": "any", "on": ["click"]}, "watched": {"fold": "unique_seconds", "on": ["progress"]}}}"#;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn plan() -> Arc<Plan> {
    let config = Config::parse(CONFIG, Path::new("(test)")).expect("the test's configuration is valid");
    Arc::new(Plan::compile(&config.spec()).expect("the test's plan compiles"))
}

/// The state after the records, the offset of the next, and a log of them.
fn folded() -> (Topology, Offset, MemoryLog) {
    let batch = std::fs::read(data("log/format-1.batch")).expect("the fixture of the log is there");
    let (mut fold, mut next, mut records) = (Topology::new(plan()), Offset(0), RecordBatch::default());
    for record in RecordBatch::records(&batch) {
        let arrived = decode(record.expect("a whole batch")).expect("a record");
        fold.apply(next, &arrived, &mut Ignore);
        records.push(&arrived);
        next.0 += 1;
    }
    let busy: Vec<String> = (0..12).map(|n| format!("b{n}")).collect();
    let now = fold.watermark().expect("there were events") + 5_000;
    let mut apply = |at: i64, record| {
        let arrived = Arrived { ingest_time: IngestTime(now + at), record };
        assert_eq!(fold.apply(next, &arrived, &mut Ignore), Outcome::Accepted);
        records.push(&arrived);
        next.0 += 1;
    };
    for (action, spec) in [(Act::Propose, REWARD), (Act::Activate, "")] {
        apply(0, Record::Control(Control { model: "home", action, version: 1, spec, by: "test" }));
    }
    let mut fields = vec![];
    Fields::push(&mut fields, "genre", Value::Text("drama"));
    let fields = Fields::from_bytes(&fields);
    apply(0, Record::Item(Item { id: "i1", fields: Some(fields) }));
    for (at, id) in [(0, "d1"), (1_000, "d2")] {
        apply(at, Record::Decision(Box::new(decision(id, EventTime(now + at), fields))));
    }
    for (at, id, kind) in [(2_000, "c1", "click"), (3_000, "c2", "progress"), (9_000, "c3", "progress")] {
        let (decision, playhead_s) = (Some("d1"), Some(at as f64 / 1000.0));
        let event = Event { viewer: Some("v9"), decision, playhead_s, ..Event::new(id, kind, EventTime(now + at)) };
        apply(at, Record::Event(event));
    }
    for decision in ["d2", "unknown"] {
        let (id, event_time) = (Some("r"), Some(EventTime(now + 9_000)));
        let reward = ExplicitReward { decision, id, item: None, position: None, value: 0.5, event_time };
        apply(9_000, Record::Reward(reward));
    }
    let reward =
        ExplicitReward { decision: "there", id: None, item: None, position: None, value: 1.5, event_time: None };
    apply(9_000, Record::Reward(reward));
    apply(9_000, Record::Leaving(Leaving { decision: "there", to: 2 }));
    let event_time = EventTime(now + 9_000);
    apply(9_000, Record::Passed(Box::new(Passed { from: 1, offset: 8, event_time, told: Told::Reward(reward) })));
    // More than a row holds whole.
    for (n, id) in (0..).zip(&busy) {
        let event = Event::new(id, "progress", EventTime(now + 9_000 + 10 * n));
        apply(9_500, Record::Event(Event { session: Some("busy"), viewer: Some("v8"), ..event }));
    }
    let over = decision("over", EventTime(now - 3_600_000), fields);
    let arrived = Arrived { ingest_time: IngestTime(now + 9_000), record: Record::Decision(Box::new(over)) };
    assert_eq!(fold.apply(next, &arrived, &mut Ignore), Outcome::Late(Late::BehindHorizon));
    records.push(&arrived);
    next.0 += 1;
    let log = MemoryLog::new(1);
    log.append(0, Offset(0), &records).expect("memory takes any record");
    (fold, next, log)
}

fn decision<'a>(id: &'a str, event_time: EventTime, fields: Fields<'a>) -> Decision<'a> {
    let belief = Belief { spec: 1, expected: 0.25, deviation: 0.125 };
    let pick = Pick { candidate: 1, propensity: 0.75, score: 0.25, joint: vec![], fields, beliefs: vec![belief] };
    Decision {
        id,
        model: "home",
        event_time,
        session: None,
        viewer: Some("v9"),
        served: Served::Policy,
        deferred: false,
        ordinal: 7,
        context_version: Some(3),
        model_version: vec![2],
        reward_version: 1,
        context: vec![1.0, -0.5, 3.25],
        candidates: ["i0", "i1"].map(|item| Candidate { item, features: Fields::default() }).to_vec(),
        distribution: vec![0.25, 0.75],
        picks: vec![pick],
        preferred: None,
    }
}

/// Writes all that a checkpoint consists of.
fn write(fold: &mut Topology, next: Offset, store: &Store) {
    let (mut rows, mut gone) = (Rows::default(), Rows::default());
    let mut changes = fold.take_changes();
    while let Some((kind, tombstone)) = changes.next_removed() {
        gone.value().extend_from_slice(&tombstone.as_of.to_le_bytes());
        gone.close(kind, &tombstone.key);
    }
    while let Some((kind, place)) = changes.next_place() {
        match fold.export(kind, place, next, Pending::ByOffset { from: 0 }, rows.value()) {
            Some(key) => rows.close(kind, key),
            None => rows.cancel(),
        }
    }
    while let Some(item) = changes.next_item(fold) {
        assert!(fold.export_item(&item, next, rows.value()), "the item is there");
        rows.close(RowKind::Item, &item);
    }
    let making = store.begin(0, true).expect("the store makes a file");
    let written = |mut making: Making, fold: &mut Topology| -> Result<(), StoreError> {
        for (generation, at, ids) in fold.ids_since((0, 0)) {
            making.ids(generation, at, ids)?;
        }
        for (generation, at, keys) in fold.over_since((0, 0)) {
            making.over(generation, at, keys)?;
        }
        making.notes(&fold.take_notes())?;
        making.rows(&rows)?;
        making.gone(&gone)?;
        let (feedback, books) = (fold.stored_feedback(), fold.books(next));
        store.complete(making, &fold.globals(next), &feedback, &books, Chain::default()).map(drop)
    };
    written(making, fold).expect("the store takes all of it");
}

/// Puts the entries of a fixture where a database had them and gives the digest it says.
fn load(text: &str, data: &Path) -> u128 {
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    let (first, entries) = text.split_once('\n').expect("the digest is a line");
    let entry = |line: &'_ str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let [keyspace, key, value] = parts[..] else { panic!("an entry has three parts: {line}") };
        (keyspace.to_string(), bytes(key), bytes(value))
    };
    write_former(data, &entries.lines().map(entry).collect::<Vec<_>>());
    u128::from_str_radix(first.trim_start_matches("digest "), 16).expect("a digest")
}

/// Restores a fixture; one of this format is the state it was of.
fn check(format: u32, data: &Path, digest: u128) {
    let store = Store::open(data).expect("the store opens");
    let (mut straight, next, log) = folded();
    let log = if format < FORMAT { MemoryLog::new(1) } else { log };
    let Restored { mut fold, ids, over, chain, .. } =
        restore(&plan(), &log, &store, 0..1).expect("the fixture is a checkpoint").remove(0);
    if format < FORMAT {
        assert_eq!(fold.digest(), Topology::new(plan()).digest(), "format {format}");
        return;
    }
    assert_eq!(fold.digest(), digest, "format {format}");
    assert_eq!(ids, straight.globals(next).ids, "format {format}");
    assert_eq!((over, over.1), (straight.books(next).over, 1), "format {format}");
    assert_eq!((fold.away(), fold.over().count()), (1, 1), "format {format}");
    assert!(fold.rows() == straight.rows(), "format {format}: the rows are not those of the records");
    assert!(!chain.is_full_due() && fold.live().0 > 1, "format {format}");
}

#[test]
fn a_checkpoint_is_restored_to_the_state_it_was_of_and_one_of_an_older_format_is_set_aside() {
    let digest = folded().0.digest();
    for format in 1..=FORMAT {
        let [database, file] = ["txt", "full"].map(|suffix| data(&format!("checkpoint/format-{format}.{suffix}")));
        assert!(database.exists() || file.exists(), "there is no fixture of format {format}");
        if let Ok(text) = std::fs::read_to_string(&database) {
            let place = tempfile::tempdir().expect("a temporary directory");
            let digest = load(&text, place.path());
            check(format, place.path(), digest);
            assert!(!place.path().join("state").exists(), "it was converted");
            check(format, place.path(), digest);
        }
        if file.exists() {
            let place = tempfile::tempdir().expect("a temporary directory");
            std::fs::create_dir(place.path().join("checkpoints")).expect("a directory");
            std::fs::copy(&file, place.path().join("checkpoints/00000-000000000000.full")).expect("a copy");
            check(format, place.path(), digest);
        }
    }
}

#[test]
fn no_fixture_was_changed_or_deleted() {
    let listed = std::fs::read_to_string(data("fixtures.txt")).expect("the list is there");
    let mut of = std::collections::BTreeMap::new();
    for line in listed.lines().filter(|line| !line.starts_with('#')) {
        let (name, hash) = line.split_once(' ').expect("a name and a hash");
        of.insert(name, hash);
    }
    for folder in ["checkpoint", "log"] {
        for file in std::fs::read_dir(data(folder)).expect("fixtures are there") {
            let path = file.expect("it can be listed").path();
            let name = format!("{folder}/{}", path.file_name().and_then(|name| name.to_str()).expect("a name"));
            let found = format!("{:016x}", xxh3_64(&std::fs::read(&path).expect("it can be read")));
            assert_eq!(
                of.remove(&*name),
                Some(&*found),
                "{name}: a new one is added to fixtures.txt, an old one stays as it is"
            );
        }
    }
    assert!(of.is_empty(), "missing: {of:?}");
}

#[test]
fn the_same_state_is_written_as_the_same_bytes() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(place.path()).expect("an empty store opens");
    let (mut fold, next, _) = folded();
    write(&mut fold, next, &store);
    let now = std::fs::read(place.path().join("checkpoints/00000-000000000000.full")).expect("it was written");
    let path = data(&format!("checkpoint/format-{FORMAT}.full"));
    if std::fs::read(&path).ok().as_ref() != Some(&now) {
        let written = std::env::temp_dir().join(path.file_name().expect("a file has a name"));
        std::fs::write(&written, now).expect("the temporary directory can be written");
        panic!(
            "{} is not {}: give the checkpoint a FORMAT of its own, then commit the file as its fixture",
            written.display(),
            path.display()
        );
    }
}
