//! Contexts as they are refreshed, over server-sent events.

use super::events::event;
use super::server::{Server, parse, version};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use tempfile::tempdir;

/// A reader of `/v1/context/stream`.
struct Stream(BufReader<ureq::BodyReader<'static>>);

#[derive(Debug, Default)]
struct Message {
    event: String,
    id: String,
    data: String,
}

impl Stream {
    fn open(server: &Server, query: &str, headers: &[(&str, &str)]) -> Stream {
        let response = server.open(&format!("/v1/context/stream{query}"), headers);
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream(BufReader::new(response.into_body().into_reader()))
    }

    /// The next message; comments, which only keep the connection alive, are passed over.
    fn next(&mut self) -> Message {
        let (mut message, mut line) = (Message::default(), String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).expect("the stream goes on") > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("event", event)) => message.event = event.into(),
                Some(("id", id)) => message.id = id.into(),
                Some(("data", data)) => message.data = data.into(),
                _ if line == "\n" && !message.event.is_empty() => return message,
                _ => {}
            }
        }
    }

    /// The next message, which has to be a context.
    fn context(&mut self) -> Value {
        let Message { event, id, data } = self.next();
        assert_eq!(event, "context", "{data}");
        let context = parse(&data);
        assert_eq!(id, version(&context).to_string(), "a reader that comes back knows where it was");
        context
    }
}

#[test]
fn a_stream_needs_the_read_token() {
    let data = tempdir().expect("a directory");
    let server = Server::start_with(data.path(), "[auth]\nread_token = \"right\"\nwrite_keys = [\"writer\"]");
    for (query, headers) in [
        ("", &[][..]),
        ("?token=wrong", &[]),
        ("?token=writer", &[]),
        ("", &[("authorization", "Bearer wrong")]),
        ("", &[("authorization", "Basic right")]),
    ] {
        let answer = server.get_with(&format!("/v1/context/stream{query}"), headers);
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (401, &"unauthorized".into()), "{query} {headers:?}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains("auth.read_token")), "{error}");
    }
    let mut streams = [
        Stream::open(&server, "?token=right", &[]),
        Stream::open(&server, "?session=s1&token=right", &[]),
        Stream::open(&server, "?session=s1", &[("authorization", "Bearer right")]),
    ];
    let posted = server.post_with("/v1/events", &[("x-write-key", "writer")], event("e1", "s1").to_string());
    assert_eq!(posted.status, 202);
    for stream in &mut streams {
        assert_eq!(stream.context()["session"], "s1");
    }
}

#[test]
fn each_refreshed_context_is_one_message_and_the_same_as_when_asked_for() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut of_all = Stream::open(&server, "", &[]);
    let mut of_session = Stream::open(&server, "?session=s1", &[]);
    let mut of_viewer = Stream::open(&server, "?viewer=v-s1", &[]);
    for k in 1..=5 {
        server.accept(&[event(&format!("s2-{k}"), "s2")]);
        server.accept(&[event(&format!("s1-{k}"), "s1")]);
        let (asked, other) = (server.context("s1"), server.context("s2"));
        assert_eq!(asked["features"]["events"].as_f64(), Some(f64::from(k)));
        assert_eq!(of_session.context(), asked);
        assert_eq!(of_all.context(), other);
        assert_eq!(of_all.context(), asked);
        assert_eq!(of_viewer.context()["vector"], asked["vector"]);
    }
    server.accept(&[event("a", "s3"), event("b", "s4"), event("c", "s3")]);
    let order = [(); 3].map(|()| of_all.context());
    let sessions = order.each_ref().map(|context| context["session"].as_str().expect("a session"));
    assert_eq!(sessions, ["s3", "s4", "s3"], "one for each event, in their order");
    assert!(order.is_sorted_by(|a, b| version(a) < version(b)));
    // What is there already comes first; repeating an event refreshes nothing.
    server.send(&[event("s1-5", "s1")]);
    server.accept(&[event("s1-6", "s1")]);
    assert_eq!(of_session.context()["features"]["events"], 6.0);
    assert_eq!(Stream::open(&server, "?session=s1", &[]).context(), server.context("s1"));
}

#[test]
fn a_slow_reader_is_told_what_it_missed_and_goes_on_with_the_newest() {
    let data = tempdir().expect("a directory");
    let server = Server::start_with(data.path(), "[publish]\nstream_buffer = 2");
    let mut slow = Stream::open(&server, "", &[]);
    let (batches, of_batch) = (24, 200_u64);
    let mut bytes = 0;
    for k in 0..batches {
        let events: Vec<Value> = (0..of_batch).map(|n| event(&format!("{k}-{n}"), "busy")).collect();
        server.accept(&events);
        bytes += of_batch * server.get("/v1/context/session/busy").body.len() as u64;
    }
    // The system holds a few megabytes that nobody reads.
    assert!(bytes > 8 << 20, "{bytes} bytes may all be on their way");
    server.accept(&[event("last", "newest")]);
    let (mut read, mut skipped, mut newest) = (0, 0, 0);
    loop {
        let message = slow.next();
        let body = parse(&message.data);
        if message.event == "skipped" {
            skipped += body["skipped"].as_u64().expect("a number of batches");
            continue;
        }
        assert!(read == 0 || version(&body) > newest, "{} after {newest}", version(&body));
        (read, newest) = (read + 1, version(&body));
        if body["session"] == "newest" {
            break;
        }
    }
    assert!(skipped > 0, "it was told");
    // Each batch was sent when the one before was answered, so that each is published, and skipped, as a whole.
    assert_eq!(read, (batches - skipped) * of_batch + 1, "it was told of all that it missed");
    server.accept(&[event("after", "newest")]);
    assert_eq!(slow.context(), server.context("newest"), "it is not behind any more");
}

#[test]
fn a_stream_ends_when_the_server_stops() {
    let data = tempdir().expect("a directory");
    let mut server = Server::start(data.path());
    let mut stream = Stream::open(&server, "?session=s1", &[]);
    server.accept(&[event("e1", "s1")]);
    stream.context();
    server.stop_well();
    let mut rest = String::new();
    while stream.0.read_line(&mut rest).expect("a stream ends as a whole") > 0 {}
    assert_eq!(rest, "");
}
