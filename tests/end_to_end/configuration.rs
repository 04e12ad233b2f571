//! What the operator sets, and what is said where it cannot be used.

use super::events::event;
use super::server::{Server, run, run_for_lines, serve, text};
use tempfile::tempdir;

/// Ends with `code`, and its error names each of `parts`.
fn refused(mut command: std::process::Command, code: i32, parts: &[&str]) {
    let output = command.output().expect("the binary runs");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn a_setting_that_cannot_be_used_ends_with_2_and_names_file_key_and_what_is_allowed() {
    let data = tempdir().expect("a directory");
    let file = data.path().join("mine.toml");
    let table = [
        ("[log]\ndurable = true", vec!["mine.toml", "line 2", "`durable`", "`durability`", "`disk_reserve_bytes`"]),
        ("[logs]\ndurability = \"fsync\"", vec!["mine.toml", "`logs`", "`log`", "`ingest`"]),
        ("[log]\ndurability = \"maybe\"", vec!["mine.toml", "durability", "`maybe`", "`fsync`", "`buffered`"]),
        ("[log]\npartitions = 1000", vec!["mine.toml", "`log.partitions`", "1000", "1 to 256"]),
        ("[server]\nlisten = ", vec!["mine.toml", "line 2"]),
    ];
    for (toml, parts) in table {
        std::fs::write(&file, toml).expect("the configuration is written");
        let mut command = serve(data.path());
        command.arg("--config").arg(&file);
        refused(command, 2, &parts);
    }
    let mut absent = serve(data.path());
    absent.arg("--config").arg(data.path().join("absent.toml"));
    refused(absent, 2, &["absent.toml", "No such file"]);
    assert!(!data.path().join("log").exists(), "nothing was begun");
}

#[test]
fn an_unknown_key_of_the_environment_is_named_too() {
    let data = tempdir().expect("a directory");
    let mut command = serve(data.path());
    command.env("SACCADE_LOG__DURABLE", "true");
    refused(command, 2, &["SACCADE_LOG__DURABLE", "`durability`"]);
}

#[test]
fn an_address_that_others_can_reach_needs_keys() {
    let data = tempdir().expect("a directory");
    let mut command = super::server::command(&["serve", "--listen", "0.0.0.0:0"], data.path());
    command.env("SACCADE_AUTH__READ_TOKEN", "secret");
    refused(command, 2, &["0.0.0.0:0", "auth.write_keys"]);
}

#[test]
fn the_environment_wins_over_the_file() {
    let data = tempdir().expect("a directory");
    let file = data.path().join("mine.toml");
    std::fs::write(&file, "[auth]\nread_token = \"of-the-file\"\n[ingest]\nbatch_events_max = 2")
        .expect("it is written");
    let mut command = serve(data.path());
    command.arg("--config").arg(&file);
    command.env("SACCADE_AUTH__READ_TOKEN", "of-the-environment").env("SACCADE_AUTH__WRITE_KEYS", "[\"k1\", \"k2\"]");
    let server = Server::start_from(command);
    assert_eq!(server.get("/v1/schema?token=of-the-environment").status, 200);
    assert_eq!(server.get("/v1/schema?token=of-the-file").status, 401);
    assert_eq!(server.post("/v1/events?key=k2", event("e1", "s1").to_string()).status, 202);
    assert_eq!(server.post("/v1/events", event("e2", "s1").to_string()).status, 401);
    let three = serde_json::json!([event("e3", "s1"), event("e4", "s1"), event("e5", "s1")]).to_string();
    let answer = server.post("/v1/events?key=k1", three);
    assert_eq!(answer.status, 413, "the file's keys that the environment does not name still hold: {}", answer.body);
    assert!(answer.body.contains("ingest.batch_events_max = 2"), "{}", answer.body);
}

#[test]
fn a_second_server_on_the_same_data_directory_ends_with_1_and_the_first_goes_on() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let directory = data.path().display().to_string();
    refused(serve(data.path()), 1, &["the data directory", &directory, "in use by another process", "--url"]);
    server.accept(&[event("e1", "s1")]);
    // Commands that read the log are told the same.
    for arguments in [&["export"][..], &["inspect", "session", "s1"], &["import", "/dev/null"]] {
        let output = run(arguments, data.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains("in use by") && error.contains("--url"), "{arguments:?}: {error}");
    }
    assert_eq!(server.context("s1")["features"]["events"], 1.0);
}

#[test]
fn a_configuration_can_be_checked_beside_a_server_in_the_directory_that_nobody_named() {
    let place = tempdir().expect("a directory");
    let (file, data) = (place.path().join("mine.toml"), place.path().join("data"));
    std::fs::write(&file, "").expect("the configuration is written");
    let _server = Server::start(&data);
    let mut beside = std::process::Command::new(env!("CARGO_BIN_EXE_saccade"));
    beside.args(["validate", "--config", "mine.toml"]).current_dir(place.path()).env_clear();
    let output = beside.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("in use by another process"), "{}", text(&output.stdout));
    refused(super::server::command(&["validate"], &data), 1, &["checks failed"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.accept(&[event("e1", "s1")]);
    drop(server);
    for arguments in [&["export"][..], &["validate"], &["inspect", "session", "s1"]] {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let mut command = super::server::command(arguments, data.path());
        let output = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().expect("the binary runs");
        let output = output.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn an_import_says_as_json_what_became_of_its_rows() {
    let data = tempdir().expect("a directory");
    let file = data.path().join("rows.ndjson");
    std::fs::write(&file, format!("{}\n{{}}\n", event("e1", "s1"))).expect("the rows are written");
    let lines = run_for_lines(&["import", &file.display().to_string(), "--format", "json"], data.path());
    assert_eq!(lines, [serde_json::json!({"imported": 1, "left_out": 0, "rejected": 1})]);
}
