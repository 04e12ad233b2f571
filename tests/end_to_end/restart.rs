//! A clean stop, a look at what it left, and the way to another data directory.

use super::events::{now_ms, visit};
use super::server::{Server, parse, run, run_for_lines, run_well, text, vector};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::tempdir;

const SESSIONS: [&str; 3] = ["s1", "s2", "s3"];

/// Everything that readers can ask for about [`SESSIONS`].
fn contexts(server: &Server) -> Vec<Value> {
    let of_viewer = |session| server.get(&format!("/v1/context/viewer/v-{session}")).json();
    SESSIONS.iter().flat_map(|session| [server.context(session), of_viewer(session)]).collect()
}

/// Runs a server over `data` that takes a visit to each session, stops it well, and returns what it published last.
fn serve_visits(data: &Path) -> Vec<Value> {
    let mut server = Server::start(data);
    let end = now_ms();
    for session in SESSIONS {
        server.accept(&visit(session, end));
    }
    let published = contexts(&server);
    server.stop_well();
    published
}

#[test]
fn a_stop_ends_with_0_and_a_start_publishes_the_same_contexts_and_versions() {
    let data = tempdir().expect("a directory");
    let published = serve_visits(data.path());
    for start in 1..=2 {
        let mut server = Server::start(data.path());
        assert_eq!(contexts(&server), published, "start {start}");
        assert_eq!(server.send(&visit("s2", now_ms())).counts(), [0, 41, 0, 0], "start {start}: ids are remembered");
        server.stop_well();
        assert!(server.log().contains("stopping"), "{}", server.log());
    }
}

#[test]
fn a_session_that_goes_on_after_a_restart_is_as_if_there_had_been_none() {
    let (straight, restarted) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let events = visit("s1", now_ms());
    let server = Server::start(straight.path());
    server.accept(&events);
    let expected = vector(&server.context("s1"));
    // The newer half first: what comes after the restart has to go in before what came before it.
    for (stop, batch) in [&events[20..], &events[10..20], &events[..10]].into_iter().enumerate() {
        let mut server = Server::start(restarted.path());
        server.accept(batch);
        match stop {
            2 => assert_eq!(vector(&server.context("s1")), expected),
            _ => server.stop_well(),
        }
    }
}

#[test]
fn validate_passes_every_check_of_what_a_stop_left() {
    let data = tempdir().expect("a directory");
    serve_visits(data.path());
    let report = parse(&run_well(&["validate", "--format", "json"], data.path()));
    let checks = report["checks"].as_array().expect("checks");
    assert_eq!((&report["passed"], checks.len()), (&true.into(), 12), "{report}");
    assert!(checks.iter().all(|check| check["outcome"] == "PASS"), "{report}");
}

#[test]
fn validate_fails_where_the_data_is_of_another_configuration() {
    let data = tempdir().expect("a directory");
    serve_visits(data.path());
    let file = data.path().join("other.toml");
    std::fs::write(&file, "[[features]]\nname = \"events\"\ntype = \"count\"\n").expect("it is written");
    let output = run(&["validate", "--format", "json", "--config", &file.display().to_string()], data.path());
    let report = parse(&text(&output.stdout));
    assert_eq!((output.status.code(), &report["passed"]), (Some(1), &false.into()), "{report}");
    let failed = report["checks"].as_array().expect("checks").iter().find(|check| check["outcome"] == "FAIL");
    assert_eq!(failed.map(|check| &check["check"]), Some(&"checkpoint".into()), "{report}");
}

#[test]
fn inspect_explains_the_vector_that_was_published() {
    let data = tempdir().expect("a directory");
    let published = serve_visits(data.path());
    let inspection = parse(&run_well(&["inspect", "session", "s1", "--format", "json"], data.path()));
    let view = &inspection["partitions"][0];
    for name in ["version", "event_time", "viewer"] {
        assert_eq!(view[name], published[0][name], "{name}");
    }
    let values: Vec<Value> = view["slots"].as_array().expect("slots").iter().map(|s| s["value"].clone()).collect();
    assert_eq!(Value::from(values), published[0]["vector"]);
    assert_eq!(view["events"].as_array().map(Vec::len), Some(41));
    assert_eq!(view["slots"][0]["moved_last"]["event"], "s1-40");
    let unknown = run(&["inspect", "session", "s9"], data.path());
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("s9"), "{}", text(&unknown.stderr));
}

#[test]
fn an_export_imported_elsewhere_gives_the_same_vectors() {
    let (data, copy) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let published = serve_visits(data.path());
    let lines = run_well(&["export"], data.path());
    let file = copy.path().join("export.ndjson");
    std::fs::write(&file, &lines).expect("the export is written");
    run_well(&["import", &file.display().to_string()], copy.path());
    let server = Server::start(copy.path());
    let vectors = |contexts: &[Value]| contexts.iter().map(vector).collect::<Vec<_>>();
    assert_eq!(vectors(&contexts(&server)), vectors(&published));
    drop(server);
    let events = |lines: Vec<Value>| -> Vec<Value> {
        let of_line = |line: &Value| line.get("event").map(|event| json!([line["ingest_time"], event]));
        lines.iter().filter_map(of_line).collect()
    };
    let exported = events(lines.lines().map(parse).collect());
    assert_eq!(exported.len(), 3 * 41);
    assert_eq!(events(run_for_lines(&["export"], copy.path())), exported);
}

#[test]
fn a_checkpoint_ends_where_keys_go_as_fast_as_they_come() {
    let data = tempdir().expect("a directory");
    let mut server = Server::start_with(
        data.path(),
        "[checkpoint]\ninterval = \"100ms\"\n[session]\nsessions_max = 1000\n[viewer]\nviewers_max = 1000",
    );
    // Each event is of a session and a viewer of its own, and evicts one of either.
    let batch = |n: usize| -> Vec<Value> {
        let ids = n * 1000..(n + 1) * 1000;
        ids.map(|id| {
            json!({"id": format!("e{id}"), "session": format!("s{id}"), "viewer": format!("v{id}"),
            "type": "play", "event_time": now_ms()})
        })
        .collect()
    };
    let mut sent = 0;
    while server.metric_values("saccade_checkpoint_seconds_count").iter().sum::<f64>() < 3.0 {
        server.accept(&batch(sent));
        sent += 1;
        assert!(sent < 500, "checkpoints do not end while events come");
    }
    server.stop_well();
}

#[test]
fn an_export_or_replay_of_a_log_that_ends_before_its_checkpoint_says_so() {
    let (data, copy) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    serve_visits(data.path());
    let log = data.path().join("log");
    let copy_files = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).expect("a directory is made");
        for file in std::fs::read_dir(from).expect("it can be listed") {
            let file = file.expect("it can be listed");
            std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    };
    copy_files(&log, copy.path());
    let mut server = Server::start(data.path());
    server.accept(&visit("s4", now_ms()));
    server.stop_well();
    let whole = run_for_lines(&["export"], data.path()).len();
    std::fs::remove_dir_all(&log).expect("nobody has it");
    copy_files(copy.path(), &log);
    for command in [&["export"][..], &["replay", "--final"]] {
        let output = run(command, data.path());
        let (told, lines) = (text(&output.stderr), text(&output.stdout).lines().count());
        assert!(output.status.code() == Some(1) && told.contains("the log ends before"), "{command:?}: {told}");
        assert!((3..whole).contains(&lines), "{command:?} writes what is there: {lines} of {whole} lines");
    }
    // What is asked for is there.
    run_well(&["export", "--until", "100"], data.path());
}
