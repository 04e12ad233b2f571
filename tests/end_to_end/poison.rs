//! The disk says no: events are refused while there is time, and the process ends where there is none.

use super::events::event;
use super::server::{Server, command, run_for_lines, serve};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::tempdir;

#[test]
fn below_the_disk_reserve_events_are_refused_and_contexts_are_still_read() {
    let data = tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    server.accept(&[event("e1", "s1")]);
    let before = server.context("s1");
    server.stop_well();

    let mut full = Server::start_with(data.path(), "[log]\ndisk_reserve_bytes = 1_000_000_000_000_000");
    let answer = full.send(&[event("e2", "s1")]);
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (507, &"disk_full".into()), "{error}");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("log.disk_reserve_bytes")), "{error}");
    let record = "e=ps,sid=\"s1\",sta=p,v=2";
    assert_eq!(full.post("/v1/cmcd", record).status, 204, "a player is not told");
    assert_eq!(full.get("/ready").json()["status"], "read_only", "whoever watches is");
    assert!(full.log().contains("events and decisions are refused"), "{}", full.log());
    assert_eq!(full.context("s1"), before);
    full.stop_well();

    let server = Server::start(data.path());
    assert_eq!(server.context("s1"), before);
    server.accept(&[event("e2", "s1")]);
}

/// A server that may write files of `bytes` at most. The signal for that is ignored, so that the write itself fails, as on a
/// full disk.
fn serve_under_file_limit(data: &Path, bytes: u64, settings: &[(&str, &str)]) -> Server {
    // A first start makes the files in their full size; further ones begin to write at the end of what is in them.
    Server::start(data).stop_well();
    let served = serve(data);
    let mut limited = Command::new("/bin/sh");
    // POSIX counts the limit in units of 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    limited.arg("-c").arg(script).arg(served.get_program()).args(served.get_args()).env_clear();
    limited.envs(settings.iter().copied());
    Server::start_from(limited)
}

/// Sends events of `bytes` or a little more, of so many sessions, until the server dies of it. Returns the ids that were acknowledged and the one
/// that was not.
fn send_until_it_dies(server: &Server, bytes: usize, sessions: usize) -> (Vec<String>, String) {
    let mut acknowledged = vec![];
    loop {
        let id = format!("e{}", acknowledged.len());
        let mut sent = event(&id, &format!("s{}", acknowledged.len() % sessions));
        sent["fields"] = json!({"noise": "x".repeat(bytes)});
        match server.try_post("/v1/events", &[], sent.to_string()) {
            Ok(answer) if answer.status == 202 => acknowledged.push(id),
            // Between the failed write and the end of the process.
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
            Err(_) => return (acknowledged, id),
        }
        assert!(acknowledged.len() < 10_000, "the limit should have been met");
    }
}

/// Whatever failed: a restart has all that was acknowledged, once, and goes on.
fn keeps_what_was_acknowledged(data: &Path, acknowledged: &[String], unanswered: &str) {
    let mut server = Server::start(data);
    let again: Vec<Value> = acknowledged.iter().map(|id| event(id, "elsewhere")).collect();
    assert_eq!(server.send(&again).counts(), [0, again.len() as u64, 0, 0]);
    let answer = server.send(&[event(unanswered, "s-last")]).counts();
    assert!([[1, 0, 0, 0], [0, 1, 0, 0]].contains(&answer), "{answer:?}");
    server.stop_well();
    let lines = run_for_lines(&["export"], data);
    let logged: Vec<&str> = lines.iter().filter_map(|line| line["event"]["id"].as_str()).collect();
    let distinct: BTreeSet<&str> = logged.iter().copied().collect();
    assert_eq!(logged.len(), distinct.len(), "no event is logged twice");
    let expected = acknowledged.iter().map(String::as_str).chain([unanswered]).collect();
    assert_eq!(distinct, expected);
    let validated = command(&["validate"], data).output().expect("the binary runs");
    assert!(validated.status.success(), "{}", super::server::text(&validated.stdout));
}

#[test]
fn a_log_that_cannot_be_written_ends_the_process_and_a_restart_keeps_what_was_acknowledged() {
    let data = tempdir().expect("a directory");
    let mut server = serve_under_file_limit(data.path(), 256 << 10, &[("SACCADE_CHECKPOINT__INTERVAL", "1d")]);
    let (acknowledged, unanswered) = send_until_it_dies(&server, 2000, 50);
    assert_eq!(server.ended().code(), Some(1), "{}", server.log());
    assert!(server.log().contains("the log cannot be written; stopping"), "{}", server.log());
    assert!(acknowledged.len() > 50, "it served until then: {acknowledged:?}");
    keeps_what_was_acknowledged(data.path(), &acknowledged, &unanswered);
}

#[test]
fn a_checkpoint_without_room_is_given_up_and_the_server_goes_on() {
    let data = tempdir().expect("a directory");
    let settings = [("SACCADE_CHECKPOINT__INTERVAL", "100ms"), ("RUST_LOG", "debug")];
    let mut server = serve_under_file_limit(data.path(), 256 << 10, &settings);
    // Small events, each of a session of its own: its row has more bytes than the event has in the log.
    let mut events = 0..;
    let mut accept = |count| {
        let sent: Vec<Value> = events.by_ref().take(count).map(|n| event(&format!("e{n}"), &format!("s{n}"))).collect();
        server.accept(&sent);
        sent.len()
    };
    let mut accepted = 0;
    while !server.log().contains("no room for a checkpoint") {
        accepted += accept(20);
        // A checkpoint has to come before the log has no room either, however slow the machine is.
        std::thread::sleep(Duration::from_millis(20));
    }
    accepted += accept(20);
    let names = |suffix: &str| {
        let files = std::fs::read_dir(data.path().join("checkpoints")).expect("a directory");
        files.filter(|file| file.as_ref().is_ok_and(|f| f.file_name().to_string_lossy().ends_with(suffix))).count()
    };
    let before = names("full") + names("changes");
    server.stop_well();
    assert_eq!((names("making"), names("full") + names("changes")), (0, before), "the one before is as it was");

    let server = Server::start(data.path());
    let again: Vec<Value> = (0..accepted).map(|n| event(&format!("e{n}"), &format!("s{n}"))).collect();
    assert_eq!(server.send(&again).counts(), [0, accepted as u64, 0, 0]);
    assert_eq!(names("full"), 1, "there is room, and all there is has been written");
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_process_and_costs_nothing() {
    let data = tempdir().expect("a directory");
    let mut command = serve(data.path());
    command.env("SACCADE_CHECKPOINT__INTERVAL", "100ms");
    let mut server = Server::start_from(command);
    std::fs::rename(data.path().join("checkpoints"), data.path().join("elsewhere")).expect("it is there");
    let (acknowledged, unanswered) = send_until_it_dies(&server, 1, 10_000);
    assert_eq!(server.ended().code(), Some(1), "{}", server.log());
    assert!(server.log().contains("a checkpoint cannot be written; stopping"), "{}", server.log());
    std::fs::rename(data.path().join("elsewhere"), data.path().join("checkpoints")).expect("it is there");
    keeps_what_was_acknowledged(data.path(), &acknowledged, &unanswered);
}
