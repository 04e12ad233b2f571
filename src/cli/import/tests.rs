use super::*;
use crate::cli::export::{self, ExportArgs};
use crate::cli::{Common, Format};
use crate::log::decode;
use saccade_topology::decision::{Act, Activation, Candidate, Control, Decision, ExplicitReward, Item, Pick, Served};
use saccade_topology::{Event, EventTime, Fields, IngestTime, Value};
use std::ops::ControlFlow;
use tempfile::{TempDir, tempdir};

const T0: i64 = 1_790_000_000_000;

fn decision<'a>(id: &'a str, viewer: Option<&'a str>, fields: &'a [u8]) -> Record<'a> {
    let fields = Fields::from_bytes(fields);
    let candidates = ["i1", "i2"].map(|item| Candidate { item, features: fields });
    let pick = Pick { candidate: 1, propensity: 0.1, score: -0.0, joint: vec![1.0 / 3.0], fields, beliefs: vec![] };
    Record::Decision(Box::new(Decision {
        id,
        model: "home",
        event_time: EventTime(T0),
        session: None,
        viewer,
        served: Served::Policy,
        deferred: true,
        ordinal: 3,
        context_version: None,
        model_version: vec![5, 6],
        reward_version: 1,
        context: vec![1.0, 0.1],
        candidates: candidates.to_vec(),
        distribution: vec![0.9, 0.1],
        picks: vec![pick],
        preferred: Some(0),
    }))
}

/// What happens to some viewers, in the partitions where the engine puts it.
fn history(count: usize, fields: &[u8]) -> Vec<Vec<Record<'_>>> {
    const VIEWERS: [&str; 6] = ["v1", "v2", "v3", "v4", "v5", "v6"];
    const IDS: [&str; 6] = ["d1", "d2", "d3", "d4", "d5", "d6"];
    let control = Record::Control(Control { model: "home", action: Act::Propose, version: 1, spec: "{}", by: "Ada" });
    let mut partitions = vec![vec![control]; count];
    partitions[0].push(Record::Item(Item { id: "i1", fields: Some(Fields::from_bytes(fields)) }));
    partitions[0].push(Record::Item(Item { id: "i2", fields: None }));
    for (viewer, id) in VIEWERS.into_iter().zip(IDS) {
        let place = partition_of_key(viewer, count);
        let event = Event { viewer: Some(viewer), ..Event::new(id, "play", EventTime(T0)) };
        let (item, event_time) = (Some("i2"), Some(EventTime(T0 + 5)));
        partitions[place].extend([
            Record::Event(event),
            decision(id, Some(viewer), fields),
            Record::Activation(Activation { decision: id, event_time: None }),
            Record::Reward(ExplicitReward {
                decision: id,
                id: Some("r"),
                item,
                position: None,
                value: 0.5,
                event_time,
            }),
        ]);
    }
    partitions[partition_of_key("alone", count)].push(decision("alone", None, fields));
    partitions.iter_mut().for_each(|records| records.push(Record::Tick));
    partitions
}

fn fields() -> Vec<u8> {
    let mut bytes = vec![];
    Fields::push(&mut bytes, "year", Value::Number(1999.0));
    Fields::push(&mut bytes, "genres", Value::Json("[\"drama\",\"härifrån\"]"));
    bytes
}

fn common(dir: &TempDir, partitions: usize) -> Common {
    let config = dir.path().join("saccade.toml");
    std::fs::write(&config, format!("[log]\npartitions = {partitions}\n")).expect("the directory can be written");
    Common { config: Some(config), data: dir.path().join("data"), format: Format::Text }
}

fn open(common: &Common) -> EmbeddedLog {
    let config = common.config().ok().expect("the configuration is good");
    EmbeddedLog::open(&common.data, &config.log, Some(config.log.partitions)).expect("the log opens")
}

fn written(dir: &TempDir, partitions: &[Vec<Record<'_>>]) -> Common {
    let common = common(dir, partitions.len());
    let log = open(&common);
    for (place, records) in partitions.iter().enumerate() {
        let mut batch = RecordBatch::default();
        records.iter().enumerate().for_each(|(i, record)| {
            batch.push(&Arrived { ingest_time: IngestTime(T0 + i as i64), record: record.clone() });
        });
        log.append(place as u16, Offset(0), &batch).expect("appended");
    }
    log.sync().expect("synced");
    common
}

fn stored(common: &Common) -> Vec<Vec<Vec<u8>>> {
    let log = open(common);
    let read = |partition| {
        let mut records = vec![];
        log.read(partition, Offset(0), &mut |_, bytes| {
            records.push(bytes.to_vec());
            Ok(ControlFlow::Continue(()))
        })
        .expect("the log is read");
        records
    };
    (0..log.partitions()).map(read).collect()
}

fn exported(from: Common, dir: &TempDir) -> PathBuf {
    let out = dir.path().join("export.ndjson");
    let args = ExportArgs { common: from, partition: None, from: 0, until: u64::MAX, out: out.clone() };
    assert!(export::run(&args).is_ok());
    out
}

/// Exports the log of `from` and imports it into a new log of `partitions`.
fn copied(from: Common, partitions: usize) -> Vec<Vec<Vec<u8>>> {
    let dir = tempdir().expect("a directory");
    let out = exported(from, &dir);
    let common = common(&dir, partitions);
    assert!(run(&ImportArgs { common: common.clone(), files: vec![out] }).is_ok());
    stored(&common)
}

#[test]
fn an_export_imported_into_as_many_partitions_gives_an_equal_log() {
    for count in [1, 3] {
        let (dir, fields) = (tempdir().expect("a directory"), fields());
        let from = written(&dir, &history(count, &fields));
        let original = stored(&from);
        assert_eq!(original.iter().map(Vec::len).sum::<usize>(), 6 * 4 + 3 + 2 * count);
        assert_eq!(copied(from, count), original, "{count} partitions");
    }
}

#[test]
fn ids_that_are_refused_today_come_back_from_a_log_that_holds_them() {
    let (dir, long) = (tempdir().expect("a directory"), "v".repeat(300));
    let event = Event { viewer: Some(&long), session: Some("s\u{7}\n"), ..Event::new("cmcd-1", "play", EventTime(T0)) };
    let from = written(&dir, &[vec![Record::Event(event)]]);
    let original = stored(&from);
    assert_eq!(copied(from, 1), original);
}

/// Each partition's records but ticks, sorted: order between what came from different partitions is not kept.
fn sorted<'a>(partitions: impl IntoIterator<Item = &'a Vec<Vec<u8>>>) -> Vec<Vec<String>> {
    let text = |bytes: &Vec<u8>| format!("{:?}", decode(bytes).expect("a record").record);
    let one = |records: &'a Vec<Vec<u8>>| {
        let mut records: Vec<String> = records.iter().map(text).filter(|record| record != "Tick").collect();
        records.sort();
        records
    };
    partitions.into_iter().map(one).collect()
}

#[test]
fn an_export_imported_into_other_partitions_puts_each_record_where_the_engine_would() {
    for (count, other) in [(1, 3), (3, 1), (3, 2)] {
        let (dir, there, fields) = (tempdir().expect("one"), tempdir().expect("another"), fields());
        let found = copied(written(&dir, &history(count, &fields)), other);
        let expected = stored(&written(&there, &history(other, &fields)));
        assert_eq!(sorted(&found), sorted(&expected), "{count} to {other}");
    }
}

#[test]
fn an_export_has_the_records_of_all_partitions_in_the_order_they_arrived() {
    let (dir, fields) = (tempdir().expect("a directory"), fields());
    // One partition after the other was written.
    let found = copied(written(&dir, &history(3, &fields)), 1).concat();
    let arrived: Vec<i64> = found.iter().map(|bytes| decode(bytes).expect("a record").ingest_time.0).collect();
    assert!(arrived.len() > 20 && arrived.is_sorted(), "{arrived:?}");
}

#[test]
fn decisions_without_a_reward_spec_before_them_are_counted_under_that_of_the_configuration() {
    let (dir, fields) = (tempdir().expect("a directory"), fields());
    let model = "[[models]]\nname = \"home\"\n[models.reward]\nversion = 7\nexpression = \"0.0\"\n";
    let is_control = |record: &Record<'_>| matches!(record, Record::Control(_));
    for (is_trimmed, version) in [(true, 7), (false, 1)] {
        let mut history = history(2, &fields);
        if is_trimmed {
            history.iter_mut().for_each(|records| records.retain(|record| !is_control(record)));
        }
        for partitions in [1, 2] {
            let (there, from) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
            let out = exported(written(&from, &history), &dir);
            let common = common(&there, partitions);
            let config = common.config.as_ref().expect("a configuration");
            let text = std::fs::read_to_string(config).expect("it is there") + model;
            std::fs::write(config, text).expect("the directory can be written");
            assert!(run(&ImportArgs { common: common.clone(), files: vec![out] }).is_ok());
            for records in stored(&common) {
                let records = records.iter().map(|bytes| decode(bytes).expect("a record").record);
                let first = records.take_while(|record| !matches!(record, Record::Decision(_)));
                let versions = first.filter_map(|record| match record {
                    Record::Control(control) => Some((control.action, control.version)),
                    _ => None,
                });
                let expected = [(Act::Propose, version), (Act::Activate, version)];
                let count = if is_trimmed { 2 } else { 1 };
                assert_eq!(versions.collect::<Vec<_>>(), expected[..count], "{partitions} partitions");
            }
        }
    }
}

#[test]
fn an_export_that_begins_with_another_spec_has_that_of_the_configuration_before_it_and_none_that_contradicts() {
    let fields = fields();
    let control = |action, version, spec| Record::Control(Control { model: "home", action, version, spec, by: "Ada" });
    let of = |version: u32, reward: u32| format!("{{\"version\": {version}, \"expression\": \"{reward}.0\"}}");
    let (second, seventh) = (of(2, 2), of(7, 1));
    for (spec, version, is_taken) in [(&second, 2, true), (&seventh, 7, false)] {
        let (dir, from, there) = (tempdir().expect("one"), tempdir().expect("another"), tempdir().expect("a third"));
        let mut records = vec![Record::Tick, decision("d0", Some("v"), &fields)];
        records.extend([control(Act::Propose, version, spec), control(Act::Activate, version, "")]);
        records.push(decision("d1", Some("v"), &fields));
        let args = |from_offset| ExportArgs {
            common: written(&from, std::slice::from_ref(&records)),
            partition: None,
            from: from_offset,
            until: u64::MAX,
            out: dir.path().join("export.ndjson"),
        };
        let args = args(if is_taken { 2 } else { 1 });
        let out = args.out.clone();
        assert!(export::run(&args).is_ok());
        let common = common(&there, 1);
        let config = common.config.as_ref().expect("a configuration");
        let model = "[[models]]\nname = \"home\"\n[models.reward]\nversion = 7\nexpression = \"0.0\"\n";
        let text = std::fs::read_to_string(config).expect("it is there") + model;
        std::fs::write(config, text).expect("the directory can be written");
        let done = run(&ImportArgs { common: common.clone(), files: vec![out] });
        assert_eq!(done.is_ok(), is_taken);
        let versions = stored(&common)
            .concat()
            .iter()
            .filter_map(|bytes| match decode(bytes).expect("one").record {
                Record::Control(control) => Some((control.action, control.version)),
                _ => None,
            })
            .collect::<Vec<_>>();
        assert_eq!(versions[..2], [(Act::Propose, 7), (Act::Activate, 7)]);
    }
}

#[test]
fn the_partitions_of_an_export_are_told_by_its_lines() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("file");
    let bar = ProgressBar::hidden();
    for (text, expected) in [
        ("", None),
        ("{\"id\":\"e\"}\n", None),
        ("{\"offset\":1,\"partition\":0,\"ingest_time\":1,\"tick\":true}", Some(1)),
        ("{\"id\":\"e\"}\n{\"offset\":1,\"partition\":7,\"ingest_time\":1,\"tick\":true}\n\n", Some(8)),
        ("{\"offset\":1,\"partition\":2,\"i\":1}\n{\"offset\":1,\"partition\":0,\"i\":1}\n", Some(3)),
        ("{\"offset\":1,\"partition\":65535,\"ingest_time\":1,\"tick\":true}\n", None),
        ("{\"offset\":1,\"partition\":x,\n", None),
    ] {
        std::fs::write(&path, text).expect("the directory can be written");
        assert_eq!(exported_partitions(std::slice::from_ref(&path), &bar), expected, "{text}");
    }
    assert_eq!(exported_partitions(&[dir.path().into(), "-".into()], &bar), None);
}

#[test]
fn raw_events_are_all_taken_among_lists_of_them_and_records_of_an_export() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("events.ndjson");
    let event = |id: &str| format!(r#"{{"id":"{id}","type":"play","event_time":{T0},"session":"s-{id}"}}"#);
    let list = format!("[{},{}]", event("c"), event("d"));
    let tick = format!(r#"{{"offset":0,"partition":0,"ingest_time":{T0},"tick":true}}"#);
    std::fs::write(&path, [&*event("a"), &event("b"), &list, &tick, "{}", &event("e")].join("\n")).expect("written");
    for partitions in [1, 2] {
        let there = tempdir().expect("a directory");
        let common = common(&there, partitions);
        assert!(run(&ImportArgs { common: common.clone(), files: vec![path.clone()] }).is_ok());
        let found = stored(&common).concat();
        let found = found.iter().filter_map(|bytes| match decode(bytes).expect("a record").record {
            Record::Event(event) => Some(event.id.to_string()),
            _ => None,
        });
        let mut found: Vec<String> = found.collect();
        found.sort();
        assert_eq!(found, ["a", "b", "c", "d", "e"], "{partitions} partitions");
    }
}

#[test]
fn things_of_the_catalogue_are_taken_as_such_and_decisions_made_elsewhere_are_not() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("rows.ndjson");
    let row = |id: &str, kind: &str, more: &str| {
        format!(r#"{{"id":"{id}","type":"{kind}","event_time":{T0},"item":"i-{id}"{more}}}"#)
    };
    let shown = r#","session":"s","fields":{"model":"home","items":[{"id":"x","propensity":0.5}]}"#;
    let list = format!("[{},{}]", row("b", "item", r#","fields":{"year":2001}"#), row("c", "decision", shown));
    let rows = [
        row("a", "item", r#","fields":{"year":1999}"#),
        list,
        row("d", "decision", shown),
        row("e", "play", r#","session":"s""#),
    ];
    std::fs::write(&path, rows.join("\n")).expect("written");
    for partitions in [1, 2] {
        let there = tempdir().expect("a directory");
        let common = common(&there, partitions);
        assert!(run(&ImportArgs { common: common.clone(), files: vec![path.clone()] }).is_ok());
        let told = |bytes: &Vec<u8>| match decode(bytes).expect("a record").record {
            Record::Item(item) => format!("{} of {:?}", item.id, item.fields.and_then(|fields| fields.get("year"))),
            Record::Event(event) => event.kind.to_string(),
            other => panic!("{other:?}"),
        };
        let stored = stored(&common);
        assert!(stored[1..].iter().flatten().all(|bytes| told(bytes) == "play"), "the catalogue is of partition 0");
        let mut found: Vec<String> = stored.iter().flatten().map(told).collect();
        found.sort();
        assert_eq!(found, ["i-a of Some(Number(1999.0))", "i-b of Some(Number(2001.0))", "play"]);
    }
}

#[test]
fn a_file_that_is_not_there_keeps_the_others_out_of_the_log_too() {
    let dir = tempdir().expect("a directory");
    let (path, missing) = (dir.path().join("events.ndjson"), dir.path().join("missing.ndjson"));
    std::fs::write(&path, format!(r#"{{"type":"play","event_time":{T0},"session":"s"}}"#)).expect("written");
    let common = common(&dir, 1);
    let done = run(&ImportArgs { common: common.clone(), files: vec![path, missing] });
    assert!(matches!(done, Err(Failure::Failed(message)) if message.contains("missing.ndjson")));
    assert!(!common.data.exists());
}

#[test]
fn nothing_but_rejected_rows_is_a_failure_and_nothing_at_all_is_not() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("rows.ndjson");
    for (text, is_done) in [("", true), ("{}\nnope\n", false)] {
        std::fs::write(&path, text).expect("written");
        let done = run(&ImportArgs { common: common(&dir, 1), files: vec![path.clone()] });
        assert_eq!(done.is_ok(), is_done, "{text}");
    }
}

#[test]
fn what_comes_before_a_file_that_cannot_be_read_on_is_whole_in_the_log() {
    let dir = tempdir().expect("a directory");
    let path = dir.path().join("events.ndjson");
    std::fs::write(&path, format!(r#"{{"type":"play","event_time":{T0},"session":"s"}}"#)).expect("written");
    let common = common(&dir, 1);
    // It opens as a file does, and cannot be read.
    let done = run(&ImportArgs { common: common.clone(), files: vec![path, dir.path().into()] });
    assert!(matches!(done, Err(Failure::Failed(message)) if message.contains("reading")));
    assert_eq!(stored(&common)[0].len(), 1);
}
