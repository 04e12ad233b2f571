use super::{Check, Outcome, Report, Subject, ValidateArgs, Verdict, json, text, validate};
use crate::cli::Format;
use crate::clock::now;
use crate::config::{Config, Durability};
use crate::engine::{Batch, Engine, EngineError, Store, edit};
use crate::log::{EmbeddedLog, Log, RecordBatch};
use clap::ValueEnum;
use saccade_topology::{Arrived, Event, EventTime, IngestTime, Offset, Plan, Record, RowKind, Topology};
use std::path::PathBuf;
use std::sync::Arc;

/// A plan has at least one feature.
const FEATURE: &str = "[[features]]\nname = \"n\"\ntype = \"count\"\n";

/// A data directory and a configuration of its own.
struct Place {
    dir: tempfile::TempDir,
    config: Option<PathBuf>,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a temporary directory"), config: None }
    }

    fn with_config(text: &str) -> Place {
        let mut place = Place::new();
        let path = place.dir.path().join("saccade.toml");
        std::fs::write(&path, format!("{text}{FEATURE}")).expect("a temporary directory can be written");
        place.config = Some(path);
        place
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn config(&self) -> Config {
        let mut config = Config::load(self.config.as_deref()).expect("the test's configuration is valid");
        config.log.durability = Durability::Buffered;
        config
    }

    fn log(&self) -> EmbeddedLog {
        EmbeddedLog::open(&self.data(), &self.config().log, None).expect("the directory opens")
    }

    fn validate(&self, checks: &[Check]) -> Report {
        let common = Subject { config: self.config.clone(), data: Some(self.data()), format: Format::Text };
        validate(&ValidateArgs { common, checks: checks.to_vec() })
    }

    fn check(&self, check: Check) -> Verdict {
        let report = self.validate(&[check]);
        report.into_iter().find(|(c, _)| *c == check).expect("the check that was asked for is reported").1
    }

    /// Takes events as a server does and stops properly: leaves a log and a checkpoint.
    fn serve(&self, ids: &[&str]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let engine = Engine::open(&self.config(), &self.data()).expect("the engine opens");
        for id in ids {
            let mut batch = Batch::new(&engine, now());
            batch.push(&event(id, now().0));
            runtime.block_on(engine.submit(batch)).expect("the engine takes a batch");
        }
        engine.stop();
    }
}

fn event(id: &str, time: i64) -> Event<'_> {
    Event { session: Some("s"), viewer: Some("v"), ..Event::new(id, "play", EventTime(time)) }
}

/// (id, event time, ingest time)
fn batch(events: &[(&str, i64, i64)]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (id, time, ingest_time) in events {
        batch.push(&Arrived { ingest_time: IngestTime(*ingest_time), record: Record::Event(event(id, *time)) });
    }
    batch
}

fn outcomes(report: &Report) -> Vec<(String, Outcome)> {
    report.iter().map(|(check, verdict)| (check.name(), verdict.outcome)).collect()
}

#[test]
fn a_directory_that_a_server_left_passes_every_check() {
    let place = Place::new();
    place.serve(&["a", "b"]);
    place.serve(&["c"]);
    let report = place.validate(&[]);
    assert!(report.iter().all(|(_, v)| v.outcome == Outcome::Pass), "{}", text(&report));
    let names: Vec<String> = report.iter().map(|(check, _)| check.name()).collect();
    let expected = "config config-security data-open log-readable log-offsets log-duplicates log-times log-timezones checkpoint state retention disk";
    assert_eq!(names.join(" "), expected);
    assert!(json(&report).contains(r#"{"check":"state","outcome":"PASS""#), "{}", json(&report));
}

#[test]
fn without_data_the_configuration_alone_is_checked_unless_data_was_asked_for() {
    let place = Place::with_config("");
    let absent = place.dir.path().join("none");
    let of = |data: Option<PathBuf>, checks: &[Check]| {
        let common = Subject { config: place.config.clone(), data, format: Format::Text };
        outcomes(&validate(&ValidateArgs { common, checks: checks.to_vec() }))
    };
    let all = of(None, &[]);
    assert!(all.iter().skip(2).all(|(_, outcome)| *outcome == Outcome::Skip), "{all:?}");
    assert_eq!(all.len(), Check::value_variants().len());
    assert!(of(Some(absent), &[]).iter().skip(2).all(|(_, outcome)| *outcome == Outcome::Fail));
    assert_eq!(of(None, &[Check::State]), [("state".to_string(), Outcome::Fail)]);
}

#[test]
fn a_wrong_key_fails_the_configuration_and_skips_the_rest() {
    let place = Place::with_config("[session]\nhole = \"1m\"\n");
    let report = place.validate(&[]);
    let (_, config) = &report[0];
    assert!(config.outcome == Outcome::Fail && config.found.contains("hole"), "{}", text(&report));
    assert!(report.iter().skip(1).all(|(_, v)| v.outcome == Outcome::Skip));
    assert_eq!(outcomes(&place.validate(&[Check::Disk]))[0], ("config".into(), Outcome::Fail));
}

#[test]
fn a_public_address_without_keys_fails_security() {
    let place = Place::with_config("[server]\nlisten = \"0.0.0.0:8080\"\n");
    let verdict = place.check(Check::ConfigSecurity);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("auth.write_keys"), "{verdict:?}");
}

#[test]
fn a_directory_in_use_fails_data_open_and_no_check_of_data_passes() {
    let place = Place::new();
    let log = place.log();
    let report = place.validate(&[]);
    assert_eq!(outcomes(&report)[2], ("data-open".into(), Outcome::Fail));
    assert!(report[3..10].iter().all(|(_, v)| v.outcome == Outcome::Skip), "{}", text(&report));
    assert_eq!(outcomes(&place.validate(&[Check::LogTimes]))[0], ("data-open".into(), Outcome::Fail));
    drop(log);
    assert_eq!(place.check(Check::DataOpen).outcome, Outcome::Pass);
}

#[test]
fn other_partitions_than_configured_fail_data_open() {
    let place = Place::with_config("[log]\npartitions = 2\n");
    drop(EmbeddedLog::open(&place.data(), &place.config().log, Some(1)).expect("the directory opens"));
    let verdict = place.check(Check::DataOpen);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("log.partitions is 2"), "{verdict:?}");
}

#[test]
fn a_damaged_record_fails_log_readable_at_its_offset() {
    let place = Place::new();
    let log = place.log();
    log.append(0, Offset(0), &batch(&[("a", 0, 0), ("b", 1, 1)])).expect("the log takes a batch");
    let mut garbage = batch(&[("c", 2, 2)]);
    garbage.push_encoded(&[0xff; 7]);
    log.append(0, Offset(2), &garbage).expect("the log takes anything");
    drop(log);
    let verdict = place.check(Check::LogReadable);
    assert_eq!((verdict.outcome, verdict.found.as_str()), (Outcome::Fail, "3 records decode, then the log is damaged"));
    assert!(verdict.examples[0].contains("damaged at offset 3"), "{verdict:?}");
    assert!(place.check(Check::LogOffsets).found.ends_with("up to the damage that log-readable names"));
    assert_eq!(place.check(Check::State).outcome, Outcome::Skip);
}

#[test]
fn gaps_are_information_and_offsets_that_come_again_are_a_failure() {
    let place = Place::new();
    let log = place.log();
    log.append(0, Offset(0), &batch(&[("a", 0, 0)])).expect("the log takes a batch");
    log.append(0, Offset(10), &batch(&[("b", 1, 1), ("c", 2, 2)])).expect("the log takes a batch");
    drop(log);
    let verdict = place.check(Check::LogOffsets);
    assert_eq!(
        (verdict.outcome, &verdict.examples),
        (Outcome::Pass, &vec!["partition 0 offsets 1 to 9 (9)".to_string()])
    );
    place.log().append(0, Offset(11), &batch(&[("d", 3, 3)])).expect("the log takes a batch");
    let verdict = place.check(Check::LogOffsets);
    assert_eq!(
        (verdict.outcome, &verdict.examples),
        (Outcome::Fail, &vec!["partition 0 offset 11 comes again after 11".to_string()])
    );
}

#[test]
fn an_id_is_a_duplicate_within_the_bound_and_not_beyond() {
    let place = Place::with_config("[dedup]\nevents_max = 2048\n");
    let log = place.log();
    let ids: Vec<String> = (0..1025).map(|i| format!("e{i}")).collect();
    let mut events: Vec<(&str, i64, i64)> = ids.iter().map(|id| (id.as_str(), 0, 0)).collect();
    events.push(("e0", 0, 0));
    log.append(0, Offset(0), &batch(&events)).expect("the log takes a batch");
    drop(log);
    assert_eq!(place.check(Check::LogDuplicates).outcome, Outcome::Pass, "1024 ids came in between");
    place.log().append(0, Offset(1026), &batch(&[("e9", 0, 0)])).expect("the log takes a batch");
    let verdict = place.check(Check::LogDuplicates);
    assert_eq!(verdict.examples, ["\"e9\" in partition 0 at offsets 9 and 1026"]);
    assert_eq!(verdict.outcome, Outcome::Fail);
}

#[test]
fn arrivals_that_go_back_and_events_of_the_future_fail_log_times() {
    let place = Place::new();
    let log = place.log();
    let max = place.config().time.max_future.0;
    log.append(0, Offset(0), &batch(&[("a", 0, 60_000), ("b", 0, 0), ("c", max, 0)])).expect("the log takes a batch");
    drop(log);
    assert_eq!(place.check(Check::LogTimes).outcome, Outcome::Pass, "a minute back and max_future ahead are allowed");
    place.log().append(0, Offset(3), &batch(&[("d", 0, -1), ("e", max + 1, 0)])).expect("the log takes a batch");
    let verdict = place.check(Check::LogTimes);
    assert_eq!(verdict.outcome, Outcome::Fail);
    let offsets: Vec<bool> =
        ["offset 3", "\"e\""].iter().zip(&verdict.examples).map(|(part, e)| e.contains(part)).collect();
    assert_eq!(offsets, [true, true], "{verdict:?}");
}

#[test]
fn a_checkpoint_of_another_configuration_fails_and_is_left_as_it_is() {
    let mut place = Place::with_config("[session]\ngap = \"20m\"\n");
    place.serve(&["a"]);
    assert_eq!(place.check(Check::Checkpoint).outcome, Outcome::Pass);
    let other = place.dir.path().join("other.toml");
    std::fs::write(&other, format!("[session]\ngap = \"21m\"\n{FEATURE}"))
        .expect("a temporary directory can be written");
    let written = place.config.replace(other);
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("another configuration"), "{verdict:?}");
    assert_eq!(place.check(Check::State).outcome, Outcome::Skip);
    place.config = written;
    assert_eq!(place.check(Check::State).outcome, Outcome::Pass, "the checkpoint is still there");
}

#[test]
fn a_torn_row_fails_the_checkpoint_and_names_its_key() {
    let place = Place::new();
    place.serve(&["a"]);
    edit(&place.data(), 0, |kind, _| (kind == RowKind::Session).then(|| vec![1; 11]));
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("Session \"s\" is damaged"), "{verdict:?}");
}

#[test]
fn a_row_that_is_whole_but_wrong_fails_the_state_and_names_its_key() {
    let place = Place::new();
    place.serve(&["a", "b"]);
    assert_eq!(place.check(Check::State).outcome, Outcome::Pass);
    // The same session as other events would have left it.
    let plan = Plan::compile(&place.config().spec()).expect("the test's plan compiles");
    let mut other = Topology::new(Arc::new(plan));
    let arrived = Arrived { ingest_time: now(), record: Record::Event(event("c", now().0)) };
    other.apply(Offset(0), &arrived, &mut saccade_topology::Ignore);
    let rows = other.rows();
    let (_, _, session) = rows.iter().find(|(kind, ..)| *kind == RowKind::Session).expect("there is a session");
    edit(&place.data(), 0, |kind, _| (kind == RowKind::Session).then(|| session.clone()));
    let verdict = place.check(Check::State);
    assert_eq!(
        (verdict.outcome, &verdict.examples),
        (Outcome::Fail, &vec!["session \"s\"".to_string()]),
        "{verdict:?}"
    );
}

#[test]
fn a_log_without_its_beginning_skips_the_state_and_without_checkpoint_fails_that() {
    let place = Place::new();
    place.serve(&["a"]);
    place.serve(&["b"]);
    // The first batch is the two records that put the reward spec of the default model in force.
    crate::log::drop_records_before(&place.data(), 0, Offset(2));
    assert_eq!(place.check(Check::Checkpoint).outcome, Outcome::Pass);
    let verdict = place.check(Check::State);
    assert!(verdict.outcome == Outcome::Skip && verdict.found.contains("begins at offset 2"), "{verdict:?}");
    std::fs::remove_dir_all(place.data().join("checkpoints")).expect("removed");
    assert_eq!(place.check(Check::Checkpoint).outcome, Outcome::Skip, "no checkpoint was ever begun");
    drop(Store::open(&place.data()).expect("an empty store opens"));
    assert_eq!(place.check(Check::Checkpoint).outcome, Outcome::Fail);
}

#[test]
fn records_that_are_gone_behind_the_checkpoint_refuse_the_start() {
    let place = Place::new();
    place.serve(&["a"]);
    let (state, older) = (place.data().join("checkpoints"), place.data().join("older"));
    std::fs::rename(&state, &older).expect("the server is gone");
    place.serve(&["b", "c"]);
    std::fs::remove_dir_all(&state).expect("the server is gone");
    std::fs::rename(&older, &state).expect("renamed");
    // The checkpoint is of offset 3, behind "a".
    crate::log::drop_records_before(&place.data(), 0, Offset(4));
    let opened = Engine::open(&place.config(), &place.data());
    let Err(EngineError::Gap { partition: 0, checkpoint: 3, kept_from: 4 }) = opened else { panic!("it starts") };
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("begins at 4"), "{verdict:?}");
    assert_eq!(place.check(Check::State).outcome, Outcome::Skip);
    // Nor can the state be rebuilt.
    std::fs::remove_dir_all(&state).expect("it did not start");
    assert!(matches!(Engine::open(&place.config(), &place.data()), Err(EngineError::Trimmed { .. })));
}

#[test]
fn a_log_that_ends_before_the_checkpoint_refuses_the_start() {
    let place = Place::new();
    place.serve(&["a"]);
    let (log, older) = (place.data().join("log"), place.data().join("older"));
    std::fs::create_dir(&older).expect("a folder is made");
    for file in std::fs::read_dir(&log).expect("the log is there") {
        let file = file.expect("it can be listed");
        std::fs::copy(file.path(), older.join(file.file_name())).expect("copied");
    }
    place.serve(&["b", "c"]);
    // None at all, and an older copy. What is refused makes nothing that would be in the way of it.
    let newer = place.data().join("newer");
    std::fs::rename(&log, &newer).expect("the server is gone");
    assert!(matches!(Engine::open(&place.config(), &place.data()), Err(EngineError::NoLog { .. })));
    assert!(place.check(Check::Checkpoint).found.contains("there is no log"));
    std::fs::rename(&older, &log).expect("renamed");
    let opened = Engine::open(&place.config(), &place.data());
    let Err(EngineError::Short { partition: 0, checkpoint: 5 }) = opened else { panic!("it starts") };
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("the log ends before"), "{verdict:?}");
    std::fs::remove_dir_all(&log).and_then(|()| std::fs::rename(&newer, &log)).expect("put back");
    place.serve(&["d"]);
}

#[test]
fn a_start_that_is_refused_leaves_checkpoints_and_one_that_is_not_puts_them_aside() {
    let rewarded = |gap: &str, expression: &str| {
        format!(
            "[session]\ngap = \"{gap}\"\n[[models]]\nname = \"home\"\n[models.reward]\nversion = 1\nexpression = \"{expression}\"\n\
             [models.reward.signals]\nclicked = {{ fold = \"any\", on = [\"click\"] }}\n"
        )
    };
    let place = Place::with_config(&rewarded("30m", "clicked"));
    place.serve(&["a"]);
    let (here, aside) = (place.data().join("checkpoints"), place.data().join("checkpoints/set-aside"));
    let files = |directory: &PathBuf| {
        let entries = std::fs::read_dir(directory).map(|all| all.filter_map(Result::ok).collect::<Vec<_>>());
        entries.unwrap_or_default().iter().filter(|entry| entry.path().is_file()).count()
    };
    assert!(files(&here) > 0 && place.check(Check::Checkpoint).outcome == Outcome::Pass);
    let configure = |text: String| {
        let path = place.config.as_ref().expect("it has one");
        std::fs::write(path, format!("{text}{FEATURE}")).expect("it can be written");
    };
    // Another spec of the same version: no start, as `validate` says.
    configure(rewarded("30m", "clicked * 2"));
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("taken by another spec"), "{verdict:?}");
    configure(rewarded("20m", "clicked * 2"));
    assert!(matches!(Engine::open(&place.config(), &place.data()), Err(EngineError::Reward { .. })));
    assert!(files(&here) > 0 && files(&aside) == 0);
    configure(rewarded("20m", "clicked"));
    let Ok(engine) = Engine::open(&place.config(), &place.data()) else { panic!("it starts from the log") };
    assert!(files(&aside) > 0);
    engine.stop();
    drop(engine);
    assert!(files(&here) > 0 && files(&aside) > 0);
    // A model that is left out is told before it is lost.
    configure("[session]\ngap = \"20m\"\n".into());
    let verdict = place.check(Check::Checkpoint);
    assert!(verdict.outcome == Outcome::Fail && verdict.found.contains("no model \"home\""), "{verdict:?}");
}

#[test]
fn a_state_that_cannot_be_had_otherwise_is_rebuilt_from_what_is_kept_where_that_is_asked_for() {
    let place = Place::new();
    place.serve(&["a"]);
    place.serve(&["b"]);
    crate::log::drop_records_before(&place.data(), 0, Offset(3));
    std::fs::remove_dir_all(place.data().join("checkpoints")).expect("the server is gone");
    assert!(matches!(Engine::open(&place.config(), &place.data()), Err(EngineError::Trimmed { .. })));
    let Ok(engine) = Engine::open(&Config { rebuild: true, ..place.config() }, &place.data()) else {
        panic!("it starts")
    };
    engine.stop();
    drop(engine);
    let verdict = place.check(Check::Checkpoint);
    assert!(
        verdict.outcome == Outcome::Pass && verdict.found.contains("2 rows"),
        "one session, one viewer: {verdict:?}"
    );
    place.serve(&["c"]);
}

#[test]
fn a_log_whose_first_offset_is_not_zero_is_whole_all_the_same() {
    // An unclean stop before the first record: the offsets reserved by then are skipped.
    let place = Place::new();
    place.log().reserve(0, Offset(1000)).expect("offsets are reserved");
    place.serve(&["a"]);
    assert_eq!(place.log().bounds(0).expect("bounds").first, Offset(1000));
    let verdict = place.check(Check::State);
    assert!(verdict.outcome == Outcome::Pass && verdict.found.contains("equal the whole log"), "{verdict:?}");
    std::fs::remove_dir_all(place.data().join("checkpoints")).expect("removed");
    drop(Store::open(&place.data()).expect("an empty store opens"));
    assert_eq!(place.check(Check::Checkpoint).outcome, Outcome::Pass, "the log alone is enough");
}

#[test]
fn a_log_older_than_its_retention_fails_and_a_full_disk_does_too() {
    let place = Place::with_config("[log]\nretention_age = \"2d\"\ndisk_reserve_bytes = 1125899906842624\n");
    let day = 86_400_000;
    place.log().append(0, Offset(0), &batch(&[("a", 0, now().0 - 3 * day + 60_000)])).expect("the log takes a batch");
    assert_eq!(place.check(Check::Retention).outcome, Outcome::Pass, "segments are dropped as a whole");
    let older = Place::with_config("[log]\nretention_age = \"2d\"\n");
    older.log().append(0, Offset(0), &batch(&[("a", 0, now().0 - 3 * day - 1)])).expect("the log takes a batch");
    assert_eq!(older.check(Check::Retention).outcome, Outcome::Fail);
    assert_eq!(place.check(Check::Disk).outcome, Outcome::Fail);
}

#[test]
fn time_zones_that_are_none_are_named_and_no_fault_of_the_data() {
    let place = Place::new();
    let mut batch = RecordBatch::default();
    for (id, timezone) in [("a", "Europe/Stockholm"), ("b", "CEST"), ("c", "Mars/Olympus"), ("d", "CEST")] {
        let event = Event { timezone: Some(timezone), ..event(id, 0) };
        batch.push(&Arrived { ingest_time: IngestTime(0), record: Record::Event(event) });
    }
    place.log().append(0, Offset(0), &batch).expect("appended");
    let verdict = place.check(Check::LogTimezones);
    assert_eq!(
        (verdict.outcome, &*verdict.found),
        (Outcome::Pass, "3 events name a time zone that is none, as if it were not sent")
    );
    assert_eq!(verdict.examples, ["\"CEST\": 2 events", "\"Mars/Olympus\": 1 event"]);
}
