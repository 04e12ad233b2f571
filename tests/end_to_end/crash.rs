//! `kill -9` under load, again and again: the short form of `bench/kill9.py`.

use super::events::{Random, event_at, now_ms};
use super::server::{Server, run_for_lines, vector, version, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;

const ROUNDS: u64 = 5;
const SENDERS: u64 = 3;
const SESSIONS: u64 = 12;
/// Checkpoints come all the time, so that some are cut off too. Nothing is late, however slow the machine.
const CONFIG: &str = "[checkpoint]\ninterval = \"100ms\"\n[time]\nallowed_lateness = \"10m\"\nidle_timeout = \"1d\"";

/// What was sent and what was answered.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<Vec<Value>>,
    unanswered: Vec<Vec<Value>>,
}

/// What readers saw: session → version → vector.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeMap<u64, String>>);

impl Seen {
    fn newest(&self, session: &str) -> Option<u64> {
        self.0.get(session).and_then(|versions| versions.last_key_value()).map(|(version, _)| *version)
    }

    /// Notes a context, which must not be older than `newest` was before it was asked for.
    fn note(&mut self, context: &Value, newest: Option<u64>) {
        let session = context["session"].as_str().expect("a session");
        let (version, vector) = (version(context), vector(context));
        assert!(Some(version) >= newest, "{session} went back from {newest:?} to {version}");
        let known = self.0.entry(session.into()).or_default().entry(version).or_insert_with(|| vector.clone());
        assert_eq!(*known, vector, "{session} has two vectors of version {version}");
    }
}

fn batch(random: &mut Random, name: &str) -> Vec<Value> {
    let one = |k| {
        let session = format!("s{}", random.below(SESSIONS));
        // Out of order within a second.
        let mut event = event_at(&format!("{name}-{k}"), &session, now_ms() - random.below(1000) as i64);
        event["type"] = ["impression", "click", "play", "pause", "scroll"][random.below(5) as usize].into();
        event["value"] = json!(random.below(1000) as f64 / 100.0);
        event
    };
    (0..5).map(one).collect()
}

/// Sends fresh batches until the server is gone.
fn send(server: &Server, name: &str, seed: u64, sent: &Mutex<Sent>, answered: &AtomicUsize) {
    let mut random = Random::new(seed);
    for k in 0.. {
        let events = batch(&mut random, &format!("{name}-{k}"));
        let answer = server.try_post("/v1/events", &[], Value::from(&events[..]).to_string());
        let mut sent = sent.lock().expect("no sender panics with it");
        let Ok(answer) = answer else { return sent.unanswered.push(events) };
        assert_eq!((answer.status, answer.counts()), (202, [events.len() as u64, 0, 0, 0]), "{}", answer.body);
        sent.acknowledged.push(events);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads contexts until the server is gone.
fn read(server: &Server, seen: &mut Seen) {
    for k in (0..SESSIONS).cycle() {
        let session = format!("s{k}");
        let newest = seen.newest(&session);
        let Ok(answer) = server.try_get(&format!("/v1/context/session/{session}")) else { return };
        match answer.status {
            200 => seen.note(&answer.json(), newest),
            status => assert_eq!((status, newest), (404, None), "{session}: {}", answer.body),
        }
    }
}

/// Everybody sends and reads until `batches` are answered; then the server is killed in the middle of it.
fn load_and_kill(server: &mut Server, round: u64, batches: usize, sent: &Mutex<Sent>, seen: &mut Seen) {
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let server = &*server;
        for sender in 0..SENDERS {
            let (name, seed) = (format!("r{round}t{sender}"), 100 * round + sender);
            let answered = &answered;
            scope.spawn(move || send(server, &name, seed, sent, answered));
        }
        scope.spawn(|| read(server, seen));
        wait_until("enough batches are answered", || answered.load(Ordering::Relaxed) >= batches);
        server.signal("KILL");
    });
    assert_eq!(server.ended().code(), None, "it ended by the signal");
}

/// After a restart: all that was acknowledged is known, and what was not is there once after it is sent again.
fn check(server: &Server, sent: &mut Sent, seen: &mut Seen) {
    for k in 0..SESSIONS {
        let session = format!("s{k}");
        let Some(newest) = seen.newest(&session) else { continue };
        seen.note(&server.context(&session), Some(newest));
    }
    for events in &sent.acknowledged {
        assert_eq!(server.send(events).counts(), [0, events.len() as u64, 0, 0], "{events:?}");
    }
    for events in std::mem::take(&mut sent.unanswered) {
        let [accepted, duplicates, late, rejected] = server.send(&events).counts();
        assert_eq!((accepted + duplicates, late, rejected), (events.len() as u64, 0, 0));
        sent.acknowledged.push(events);
    }
    let mut expected = BTreeMap::new();
    for event in sent.acknowledged.iter().flatten() {
        *expected.entry(event["session"].as_str().expect("a session")).or_insert(0.0) += 1.0;
    }
    for (session, events) in expected {
        let newest = seen.newest(session);
        let context = server.context(session);
        assert_eq!(context["features"]["events"].as_f64(), Some(events), "{session}");
        seen.note(&context, newest);
    }
}

/// After the last stop: each event is logged once, and an offline replay gives what was published last.
fn check_log(data: &std::path::Path, sent: &Sent, seen: &Seen) {
    let lines = run_for_lines(&["export"], data);
    let mut logged: Vec<&str> = lines.iter().filter_map(|line| line["event"]["id"].as_str()).collect();
    logged.sort_unstable();
    let expected: BTreeSet<&str> =
        sent.acknowledged.iter().flatten().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(logged, expected.into_iter().collect::<Vec<_>>());
    let replayed = run_for_lines(&["replay", "--final"], data);
    for (session, versions) in &seen.0 {
        let (version, published) = versions.last_key_value().expect("a version was noted");
        let context = replayed.iter().find(|context| context["session"] == session.as_str()).expect("it is alive");
        assert_eq!((&context["version"], vector(context)), (&(*version).into(), published.clone()), "{session}");
    }
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged_and_no_version_goes_back() {
    let data = tempdir().expect("a directory");
    let (sent, mut seen, mut random) = (Mutex::default(), Seen::default(), Random::new(9));
    for round in 1..=ROUNDS {
        let mut server = Server::start_with(data.path(), CONFIG);
        check(&server, &mut sent.lock().expect("nobody else has it"), &mut seen);
        let batches = 20 + random.below(150) as usize;
        load_and_kill(&mut server, round, batches, &sent, &mut seen);
    }
    let mut server = Server::start_with(data.path(), CONFIG);
    let mut sent = sent.into_inner().expect("no sender panicked");
    assert!(seen.0.len() as u64 == SESSIONS && !sent.unanswered.is_empty(), "the load was one");
    check(&server, &mut sent, &mut seen);
    server.stop_well();
    check_log(data.path(), &sent, &seen);
}
