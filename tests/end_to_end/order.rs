//! The same events give the same vector, in whatever order and however often they come.

use super::events::{now_ms, shuffle, visit};
use super::server::{Server, vector, version};
use tempfile::tempdir;

#[test]
fn a_session_in_any_order_within_the_lateness_gives_the_same_vector() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let end = now_ms();
    server.accept(&visit("in-order", end));
    let expected = vector(&server.context("in-order"));
    assert_ne!(expected, "[]");
    for seed in 1..=3 {
        let session = format!("shuffled-{seed}");
        let mut events = visit(&session, end);
        shuffle(&mut events, seed);
        for batch in events.chunks(7) {
            server.accept(batch);
        }
        assert_eq!(vector(&server.context(&session)), expected, "seed {seed}");
    }
}

#[test]
fn repeated_events_are_duplicates_and_change_nothing() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let mut events = visit("s1", now_ms());
    server.accept(&events);
    let before = server.context("s1");
    for seed in 1..=2 {
        shuffle(&mut events, seed);
        assert_eq!(server.send(&events).counts(), [0, events.len() as u64, 0, 0]);
    }
    let after = server.context("s1");
    assert_eq!((vector(&after), version(&after)), (vector(&before), version(&before)));
    assert_eq!(after["features"]["events"], events.len() as f64);
}
