//! Changes of reward specs side by side, interrupted, and long ago; models that were away.

use super::*;
use crate::config::{Config, Durability};
use crate::log::{EmbeddedLog, decode};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Barrier;

const PARTITIONS: u16 = 3;

fn config(partitions: u16, model: &str) -> Config {
    let text = format!(
        "[log]\npartitions = {partitions}\n[[features]]\nname = \"events\"\ntype = \"count\"\n\
         [[models]]\nname = \"{model}\"\n[models.reward]\nversion = 1\nexpression = \"0.0\"\n"
    );
    let mut config = Config::parse(&text, Path::new("(test)")).expect("the test's configuration is valid");
    config.log.durability = Durability::Buffered;
    config
}

fn started(data: &Path) -> Engine {
    Engine::open(&config(PARTITIONS, "home"), data).unwrap_or_else(|error| panic!("{error}"))
}

fn spec(version: u32, reward: u32) -> String {
    format!("{{\"version\": {version}, \"expression\": \"{reward}.0\"}}")
}

fn control<'a>(action: Act, version: u32, spec: &'a str) -> Control<'a> {
    Control { model: "home", action, version, spec, by: "test" }
}

fn change(engine: &Engine, action: Act, version: u32, spec: &str) -> Result<Receipt, ChangeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(engine.change(&[control(action, version, spec)]))
}

/// The changes of a model that the log of a partition has.
fn changes(log: &dyn Log, model: &str, partition: u16) -> Vec<(Act, u32, String)> {
    let mut changes = vec![];
    let read = log.read(partition, Offset(0), &mut |_, bytes| {
        if let Record::Control(c) = decode(bytes).expect("a record").record
            && c.model == model
        {
            changes.push((c.action, c.version, c.spec.to_string()));
        }
        Ok(ControlFlow::Continue(()))
    });
    read.expect("the log is whole");
    changes
}

/// What runs, as version and expression, and what is in force.
type Specs = (Vec<(u32, String)>, u32);

/// Those of the partitions, each once.
fn registries(data: &Path) -> BTreeSet<Specs> {
    let plan = std::sync::Arc::new(Plan::compile(&config(PARTITIONS, "home").spec()).expect("it compiles"));
    let log = EmbeddedLog::open(data, &config(PARTITIONS, "home").log, None).expect("nobody has it");
    let store = crate::engine::Store::open(data).expect("the store opens");
    let restored = crate::engine::restore(&plan, &log, &store, 0..PARTITIONS).expect("it is whole");
    let registry = |restored: Restored| {
        let rewards = restored.fold.rewards(0);
        let spec = |running: &saccade_topology::model::Running| running.reward.spec().clone();
        let specs = rewards.running.iter().map(spec).map(|spec| (spec.version, spec.expression));
        (specs.collect(), rewards.active)
    };
    restored.into_iter().map(registry).collect()
}

/// Appends changes to the logs of some partitions only, as a stop in the middle of them does.
fn interrupted(data: &Path, partitions: &[u16], controls: &[Control<'_>]) {
    let log = EmbeddedLog::open(data, &config(PARTITIONS, "home").log, None).expect("nobody has it");
    for partition in partitions {
        let mut batch = RecordBatch::default();
        for control in controls {
            batch.push(&Arrived { ingest_time: now(), record: Record::Control(*control) });
        }
        let next = log.bounds(*partition).expect("bounds").next;
        log.append(*partition, next, &batch).expect("there is room");
    }
    log.sync().expect("it is synced");
}

#[test]
fn changes_at_the_same_time_are_made_in_one_order_and_a_refused_one_changes_no_partition() {
    const CALLERS: u32 = 4;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = started(directory.path());
    for version in 2..60 {
        let together = Barrier::new(CALLERS as usize);
        let propose = |caller| {
            together.wait();
            change(&engine, Act::Propose, version, &spec(version, caller)).is_ok()
        };
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || propose(caller))).collect();
            threads.into_iter().map(|t| t.join().expect("it ends")).filter(|made| *made).count()
        });
        assert_eq!(made, 1, "version {version}");
        change(&engine, Act::Retire, version, "").expect("it runs and is not in force");
    }
    let of_first = changes(engine.log(), "home", 0);
    assert_eq!(of_first.len(), 2 + 2 * 58);
    for partition in 1..PARTITIONS {
        assert_eq!(changes(engine.log(), "home", partition), of_first, "partition {partition}");
    }
}

#[test]
fn a_change_that_a_stop_has_interrupted_is_completed_in_all_partitions() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (spec(2, 2), spec(3, 3));
    drop(started(directory.path()));
    let propose = |version, spec| control(Act::Propose, version, spec);
    let put = |version| control(Act::Activate, version, "");
    for (partitions, controls, active, running) in [
        (&[1][..], &[propose(2, first.as_str())][..], 1, &[1, 2][..]),
        (&[0, 2], &[put(2)], 2, &[1, 2]),
        (&[2], &[propose(3, second.as_str()), put(3)], 3, &[1, 2, 3]),
        (&[1], &[control(Act::Retire, 2, "")], 3, &[1, 3]),
    ] {
        // What is later says so by its arrival.
        std::thread::sleep(std::time::Duration::from_millis(2));
        interrupted(directory.path(), partitions, controls);
        assert_eq!(registries(directory.path()).len(), 2, "they differ");
        drop(started(directory.path()));
        let after = registries(directory.path());
        assert_eq!(after.len(), 1, "{after:?}");
        let (specs, in_force) = after.first().expect("one");
        let versions: Vec<u32> = specs.iter().map(|(version, _)| *version).collect();
        assert_eq!((versions.as_slice(), *in_force), (running, active));
    }
    let count = |engine: &Engine| (0..PARTITIONS).map(|p| changes(engine.log(), "home", p).len()).collect::<Vec<_>>();
    let engine = started(directory.path());
    assert_eq!(count(&engine), [7; PARTITIONS as usize], "nothing is made again");
}

#[test]
fn a_start_does_not_put_in_force_what_was_replaced_however_long_ago() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = started(directory.path());
    for version in [2, 3] {
        change(&engine, Act::Propose, version, &spec(version, version)).expect("it is new");
    }
    for nth in 0..70 {
        change(&engine, Act::Activate, 2 + nth % 2, "").expect("it runs");
    }
    drop(engine);
    // From the checkpoint, and from the log alone.
    for _ in 0..2 {
        let engine = started(directory.path());
        assert_eq!(engine.version("home").expect("a model").active, 3);
        drop(engine);
        std::fs::remove_dir_all(directory.path().join("checkpoints")).expect("it was written at the stop");
    }
}

#[test]
fn nobody_can_give_the_version_of_the_configuration_to_another_spec() {
    let data = tempfile::tempdir().expect("a directory");
    let engine = started(data.path());
    change(&engine, Act::Propose, 2, &spec(2, 2)).expect("it is new");
    change(&engine, Act::Activate, 2, "").expect("it runs");
    change(&engine, Act::Retire, 1, "").expect("it is not in force");
    let refused = change(&engine, Act::Propose, 1, &spec(1, 5)).expect_err("the next start could not go on");
    assert!(matches!(refused, ChangeError::Control(ControlError::Configured(1))), "{refused}");
    drop(engine);
    // The same one may run again.
    let engine = started(data.path());
    change(&engine, Act::Propose, 1, &spec(1, 0)).expect("it is that of the configuration");
    drop(engine);
    drop(started(data.path()));
}

#[test]
fn a_start_that_cannot_go_on_says_whose_spec_is_in_the_way_and_what_to_do() {
    let data = tempfile::tempdir().expect("a directory");
    let engine = started(data.path());
    for n in 2..=8 {
        change(&engine, Act::Propose, n, &spec(n, n)).expect("eight may run");
    }
    drop(engine);
    for (version, parts) in
        [(9, ["8 specs run already", "retire one over HTTP"]), (2, ["version 2 is taken", "by test"])]
    {
        let mut config = config(PARTITIONS, "home");
        let RewardSource::Inline(reward) = &mut config.models[0].reward else { unreachable!("it is in the text") };
        reward.version = version;
        let error = Engine::open(&config, data.path()).err().expect("it cannot run").to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn what_a_model_learnt_is_there_again_after_starts_without_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = |model| Engine::open(&config(1, model), directory.path());
    let started = |model| open(model).unwrap_or_else(|error| panic!("{error}"));
    let engine = started("home");
    change(&engine, Act::Propose, 2, &spec(2, 2)).expect("it is new");
    change(&engine, Act::Activate, 2, "").expect("it runs");
    drop(engine);
    // With the checkpoint of the start before, and from the log.
    for from_log in [false, true] {
        if from_log {
            std::fs::remove_dir_all(directory.path().join("checkpoints")).expect("it was written at the stop");
        }
        drop(started("hom"));
        let engine = started("home");
        assert_eq!(engine.version("home").expect("a model").active, 2);
        assert_eq!(changes(engine.log(), "home", 0).len(), 4, "nothing is put in force anew");
    }
    drop(started("hom"));
    crate::log::drop_records_before(directory.path(), 0, Offset(2));
    assert!(matches!(open("home"), Err(EngineError::Trimmed { partition: 0, .. })));
    // One that the log does not know misses nothing.
    assert_eq!(started("new").version("new").expect("a model").active, 1);
}
