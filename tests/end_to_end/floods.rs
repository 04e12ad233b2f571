//! More than the limits allow: of keys, of connections, of patience.

use super::events::{event, event_at, now_ms};
use super::server::{PATIENCE, Server, wait_until};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tempfile::tempdir;

#[test]
fn twenty_thousand_distinct_keys_stay_within_the_limits_and_their_memory() {
    let data = tempdir().expect("a directory");
    let config = "[session]\nsessions_max = 500\n[viewer]\nviewers_max = 500";
    let server = Server::start_with(data.path(), config);
    let end = now_ms();
    // Everything that can name a key has its own: session, viewer, item, type, and free fields too.
    let one = |k: i64| {
        let mut event = event_at(&format!("e{k}"), &format!("session-{k}"), end - 10_000 + k / 2);
        event["type"] = format!("type_{k}").into();
        event["item"] = format!("item-{k}").into();
        event["fields"] = json!({format!("field-{k}"): k});
        event
    };
    let send = |from: i64, until: i64| server.accept(&(from..until).map(one).collect::<Vec<Value>>());
    send(0, 2500);
    let (pages, memory) = (server.get("/metrics").body.lines().count(), server.memory("VmRSS"));
    for from in (2500..20_000).step_by(2500) {
        send(from, from + 2500);
    }
    let grown = server.memory("VmRSS").saturating_sub(memory);
    assert!(grown < 40 << 20, "{grown} bytes more for 17,500 keys that are not kept");
    assert_eq!(server.get("/metrics").body.lines().count(), pages, "no key becomes a label");
    wait_until("the gauges are set again", || server.metric("saccade_sessions_active") == 500.0);
    assert!(server.metric("saccade_sessions_closed_total") >= 19_500.0);
    assert_eq!(server.context("session-19999")["features"]["events"], 1.0);
    assert_eq!(server.get("/v1/context/session/session-0").status, 404, "it was evicted");
}

fn connect(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    stream.write_all(text.as_bytes()).expect("the system takes a few bytes");
    stream
}

/// What comes until the server closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = vec![];
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("the connection is still open: {error}"),
        _ => String::from_utf8(bytes).expect("answers are text"),
    }
}

#[test]
fn slow_senders_are_closed_and_the_others_are_served() {
    let data = tempdir().expect("a directory");
    let config = "[server]\nconnections_max = 40\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"";
    let server = Server::start_with(data.path(), config);
    let heads: Vec<TcpStream> =
        (0..20).map(|_| connect(&server, "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-")).collect();
    let body = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n[{\"id\":";
    let bodies: Vec<TcpStream> = (0..10).map(|_| connect(&server, body)).collect();
    server.accept(&[event("meanwhile", "s1")]);
    // With these, all places are taken: who comes now is served once the slow are gone.
    let more: Vec<TcpStream> = (0..20).map(|_| connect(&server, "GET /he")).collect();
    assert!(rest(connect(&server, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).contains(" 200 OK"));
    for stream in heads.into_iter().chain(more) {
        assert_eq!(rest(stream), "", "closed without an answer");
    }
    for stream in bodies {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("server.body_timeout"), "{answer}");
    }
    server.accept(&[event("after", "s1")]);
    wait_until("their places are free", || server.metric("saccade_connections") <= 2.0);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off_too() {
    let data = tempdir().expect("a directory");
    let server = Server::start_with(data.path(), "[server]\nheader_timeout = \"500ms\"");
    let mut stream = connect(&server, "GET /health HTTP/1.1\r\nHost: x\r\nX-Drip: ");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out can be set");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "each byte bought it more time");
        match stream.write_all(b"x").and_then(|()| stream.read(&mut [0])) {
            // Nothing to read for as long as one byte waits for the next.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("an answer to half a question"),
        }
    }
    assert_eq!(server.get("/health").status, 200);
}
