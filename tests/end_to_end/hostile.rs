//! Bodies that nobody should send: each gets a clear answer, and the next sender is served as ever.

use super::events::{Random, event, event_at, now_ms};
use super::server::{Answer, Server};
use serde_json::{Value, json};
use std::io::{Read, Write};
use tempfile::tempdir;

const MIB: usize = 1 << 20;

/// Code and message of the refusal of the whole body, or else of its first rejected row.
fn reason(answer: &Answer) -> (String, String) {
    let json = answer.json();
    let reason = if json["error"].is_object() { &json["error"] } else { &json["rejected"][0] };
    let text = |key: &str| reason[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}")).to_string();
    (text("code"), text("message"))
}

fn still_serves(server: &Server, what: &str) {
    server.accept(&[event(&format!("after {what}"), "good")]);
}

#[test]
fn garbage_gets_a_clear_answer_and_the_service_stays_up() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut random = Random::new(1);
    let noise: Vec<u8> = (0..MIB).map(|_| random.below(256) as u8).collect();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = event("deep", "s1").to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
    let line = json!({"id": "long", "type": "play", "session": "s1", "event_time": now_ms(), "x": "a".repeat(5 * MIB)});
    let table = [
        ("noise", noise, 400, "unreadable_body", "not UTF-8"),
        ("spaces", vec![b' '; MIB], 400, "unreadable_body", "empty"),
        ("letters", vec![b'a'; MIB], 400, "unreadable_body", "expected an object, an array or one object per line"),
        ("a page", b"<html><body>502 Bad Gateway</body></html>".to_vec(), 400, "unreadable_body", "<html>"),
        ("open arrays", vec![b'['; MIB], 202, "invalid_json", "at byte 1"),
        ("open objects", b"{\"a\":".repeat(MIB / 5), 202, "too_long", "ingest.event_bytes_max"),
        ("a deep value", nested.into_bytes(), 202, "invalid_json", "deep"),
        ("commas", [b"[".to_vec(), vec![b','; MIB]].concat(), 202, "invalid_json", ""),
        (
            "too many rows",
            [b"[{}".to_vec(), b",{}".repeat(10_000), b"]".to_vec()].concat(),
            413,
            "too_many_events",
            "10000",
        ),
        ("a line of 5 MB", line.to_string().into_bytes(), 413, "body_too_large", "ingest.body_bytes_max"),
    ];
    for (what, body, status, code, part) in table {
        let answer = server.post("/v1/events", body);
        let (found, message) = reason(&answer);
        assert_eq!((answer.status, found.as_str()), (status, code), "{what}: {message}");
        assert!(message.contains(part) && message.len() < 400, "{what}: {message}");
        still_serves(&server, what);
    }
    assert_eq!(server.get("/v1/context/session/s1").status, 404, "nothing of it was taken");
}

/// A row of now that is good but for one field. Values need not be JSON; of equal keys the last one counts.
fn row(field: &str, value: &str) -> String {
    let (now, session) = (now_ms(), if field == "session" { "" } else { r#""session":"bad","# });
    format!(r#"{{"id":"x","type":"play",{session}"event_time":{now},"{field}":{value}}}"#)
}

#[test]
fn a_bad_row_is_named_with_its_reason_and_the_good_ones_around_it_are_taken() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let ahead = |minutes: i64| (now_ms() + minutes * 60_000).to_string();
    let long = format!("\"{}\"", "a".repeat(300 << 10));
    let table = [
        ("value", "NaN", "invalid_json", "`value` is NaN"),
        ("value", "-Infinity", "invalid_json", "`value` is -Infinity"),
        ("value", "1e999", "invalid_json", "finite"),
        ("value", "\"much\"", "wrong_type", "`value`"),
        ("event_time", &ahead(10), "future", "time.max_future"),
        ("event_time", "\"2150-01-01T00:00:00Z\"", "future", "time.max_future"),
        ("event_time", "\"3000-01-01T00:00:00Z\"", "out_of_range", "before 2200"),
        ("event_time", &(now_ms() / 1000).to_string(), "out_of_range", "milliseconds"),
        ("event_time", "\"yesterday\"", "bad_value", "RFC 3339"),
        ("type", "\"Play It!\"", "bad_value", "`type`"),
        ("session", "\"\\u0000\"", "bad_value", "`session`"),
        ("session", "null", "missing_field", "session"),
        ("note", &long, "too_long", "ingest.event_bytes_max"),
    ];
    let mut good = 0;
    for (k, (field, value, code, part)) in table.iter().enumerate() {
        let [before, after] = ["before", "after"].map(|place| event(&format!("{place}-{k}"), "good").to_string());
        let (bad, good_rows) = (row(field, value), 2);
        for body in [format!("[{before},{bad},{after}]"), format!("{before}\n{bad}\n{after}\n")] {
            let answer = server.post("/v1/events", body);
            let (found, message) = reason(&answer);
            let [accepted, duplicates, late, rejected] = answer.counts();
            assert_eq!((answer.status, found.as_str()), (202, *code), "{field} {message}");
            assert!(message.contains(part), "{field} = {}: {message}", &value[..value.len().min(40)]);
            assert_eq!(answer.json()["rejected"][0]["index"], 1, "{message}");
            assert_eq!((accepted + duplicates, late, rejected), (good_rows, 0, 1), "{message}");
        }
        good += good_rows;
    }
    // Within the limit is not ahead of time.
    server.accept(&[event_at("soon", "good", now_ms() + 4 * 60_000)]);
    assert_eq!(server.context("good")["features"]["events"].as_f64(), Some(good as f64 + 1.0));
    assert_eq!(server.get("/v1/context/session/bad").status, 404);
}

fn gzip(bytes: impl Read) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::copy(&mut std::io::BufReader::new(bytes), &mut encoder).expect("memory takes it");
    encoder.flush().expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zstd(bytes: impl Read) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

#[test]
fn compressed_bodies_are_read_and_bombs_are_refused_without_the_memory_for_them() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let bomb = || std::io::repeat(b' ').take(256 << 20);
    let events = |name: &str| Value::from(vec![event(&format!("{name}-1"), name), event(&format!("{name}-2"), name)]);
    let cases = [
        ("gzip", gzip(events("gzip").to_string().as_bytes()), gzip(bomb())),
        ("zstd", zstd(events("zstd").to_string().as_bytes()), zstd(bomb())),
    ];
    for (name, good, bomb) in cases {
        let post = |body: &[u8]| server.post_with("/v1/events", &[("content-encoding", name)], body);
        let answer = post(&good);
        assert_eq!((answer.status, answer.counts()), (202, [2, 0, 0, 0]), "{name}: {}", answer.body);
        assert_eq!(server.context(name)["features"]["events"], 2.0);
        let torn = post(&good[..good.len() - 5]);
        assert_eq!((torn.status, reason(&torn).0.as_str()), (400, "bad_encoding"), "{name}: {}", torn.body);

        let before = server.memory("VmHWM");
        assert!(bomb.len() < 2 * MIB, "{name}: {} bytes are sent", bomb.len());
        let answer = post(&bomb);
        let (code, message) = reason(&answer);
        assert_eq!((answer.status, code.as_str()), (413, "body_too_large"), "{name}: {message}");
        assert!(message.contains("decompressed") && message.contains("ingest.body_bytes_max"), "{name}: {message}");
        let grown = server.memory("VmHWM") - before;
        assert!(grown < 48 * MIB as u64, "{name}: {grown} bytes more for a body that may have 4 MiB");
        still_serves(&server, name);
    }
}
