//! `kill -9` while the server decides and learns: the short form of `bench/kill9_loop.py`.

use super::events::Random;
use super::server::{Answer, Server, run_for_lines, run_well, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;

const ROUNDS: u64 = 3;
const PLAYERS: u64 = 3;
/// Checkpoints come all the time; no window ends.
const CONFIG: &str = r#"
[checkpoint]
interval = "100ms"
[time]
idle_timeout = "1d"
[[features]]
name = "events"
type = "count"
[[models]]
name = "row"
[models.reward]
version = 1
expression = "0.0"
wait = "30d"
aggregation = "sum"
"#;

/// What was asked and told; with the answer where there was one.
#[derive(Default)]
struct Ledger {
    decisions: BTreeMap<String, (String, Option<String>)>,
    rewards: BTreeMap<String, (String, bool)>,
}

impl Ledger {
    /// Asks, and notes the answer; false where the server is gone.
    fn rank(this: &Mutex<Ledger>, server: &Server, id: &str, body: &str) -> bool {
        let answer = server.try_post("/v1/rank/row", &[], body);
        let mut ledger = this.lock().expect("no player panics with it");
        let known = ledger.decisions.entry(id.into()).or_insert_with(|| (body.into(), None));
        let Ok(Answer { status, body }) = answer else { return false };
        assert_eq!(status, 200, "{id}: {body}");
        assert_eq!(*known.1.get_or_insert_with(|| body.clone()), body, "{id} is what it was");
        true
    }

    /// Tells a reward, and notes that it was accepted; false where the server is gone.
    fn tell(this: &Mutex<Ledger>, server: &Server, id: &str, decision: &str) -> bool {
        let told = json!({"id": id, "value": id.len() as f64 / 7.0}).to_string();
        let answer = server.try_post(&format!("/v1/decisions/{decision}/reward"), &[], told);
        let mut ledger = this.lock().expect("no player panics with it");
        let known = ledger.rewards.entry(id.into()).or_insert_with(|| (decision.into(), false));
        let Ok(answer) = answer else { return false };
        assert_eq!(answer.status, 202, "{id}: {}", answer.body);
        let outcome = answer.json()["outcome"].clone();
        assert!(outcome == "joined" || outcome == "duplicate", "{id} for {decision}: {outcome}");
        assert!(!known.1 || outcome == "duplicate", "{id} was accepted before");
        known.1 = true;
        true
    }
}

/// Ranks, and rewards two of three decisions, until the server is gone.
fn play(server: &Server, name: &str, seed: u64, ledger: &Mutex<Ledger>, answered: &AtomicUsize) {
    let mut random = Random::new(seed);
    for k in 0.. {
        let id = format!("d{name}-{k}");
        let ask = json!({"id": id, "context": [1, random.below(9)], "items": ["a", "b", "c"], "k": 2}).to_string();
        if !Ledger::rank(ledger, server, &id, &ask) {
            return;
        }
        if k % 3 > 0 && !Ledger::tell(ledger, server, &format!("w{name}-{k}"), &id) {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn play_and_kill(server: &mut Server, round: u64, decisions: usize, ledger: &Mutex<Ledger>) {
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let server = &*server;
        for player in 0..PLAYERS {
            let (name, seed, answered) = (format!("r{round}p{player}"), 100 * round + player, &answered);
            scope.spawn(move || play(server, &name, seed, ledger, answered));
        }
        wait_until("enough decisions are answered", || answered.load(Ordering::Relaxed) >= decisions);
        server.signal("KILL");
    });
    assert_eq!(server.ended().code(), None, "it ended by the signal");
}

/// Everything is asked and told again: what was answered has the same answer, what was not is there once.
fn again(server: &Server, ledger: &Mutex<Ledger>) {
    let (decisions, rewards) = {
        let ledger = ledger.lock().expect("nobody else has it");
        (ledger.decisions.clone(), ledger.rewards.clone())
    };
    for (id, (ask, _)) in &decisions {
        assert!(Ledger::rank(ledger, server, id, ask));
    }
    for (id, (decision, _)) in &rewards {
        assert!(Ledger::tell(ledger, server, id, decision));
    }
}

/// What the model knows, apart from its version.
fn known(server: &Server) -> Value {
    let mut report = server.get("/v1/models/row").json();
    report.as_object_mut().expect("an object").remove("version");
    report
}

#[test]
fn kill_9_loses_no_decision_and_no_reward_and_the_model_knows_what_it_knew() {
    let data = tempdir().expect("a directory");
    let (ledger, mut random) = (Mutex::default(), Random::new(11));
    for round in 1..=ROUNDS {
        let mut server = Server::start_with(data.path(), CONFIG);
        again(&server, &ledger);
        play_and_kill(&mut server, round, 20 + random.below(100) as usize, &ledger);
    }
    let server = Server::start_with(data.path(), CONFIG);
    again(&server, &ledger);
    // Told in sync, so that all before it is learnt.
    let open = server.post("/v1/rank/row", r#"{"id":"open","context":[1,1],"items":["a","b"]}"#);
    assert_eq!(open.status, 200, "{}", open.body);
    server.post("/v1/decisions/open/reward?sync=true", r#"{"value":1}"#);
    let before = known(&server);
    drop(server); // SIGKILL
    let mut server = Server::start_with(data.path(), CONFIG);
    assert_eq!(known(&server), before);
    let told = server.post("/v1/decisions/open/reward?sync=true", r#"{"value":2}"#);
    assert_eq!(told.json()["outcome"], "joined", "{}", told.body);
    let ledger = ledger.into_inner().expect("no player panicked");
    let count = ledger.decisions.len() as f64 + 1.0;
    wait_until("metrics are those of the books", || server.metric("saccade_decisions_total") == count);
    assert_eq!(server.metric("saccade_decisions_open"), count, "no window ended");
    assert_eq!(server.metric("saccade_join_outcomes_total"), ledger.rewards.len() as f64 + 2.0);
    server.stop_well();
    check_log(data.path(), &ledger);
}

/// Each decision and reward is logged once, and the checkpoint leads to the state that the log gives.
fn check_log(data: &std::path::Path, ledger: &Ledger) {
    let lines = run_for_lines(&["export"], data);
    let logged = |record: &str| {
        let ids = lines.iter().filter_map(|line| line[record]["id"].as_str());
        let mut ids: Vec<&str> = ids.filter(|id| *id != "open").collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(logged("decision"), ledger.decisions.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(logged("reward"), ledger.rewards.keys().map(String::as_str).collect::<Vec<_>>());
    let offsets: BTreeSet<u64> = lines.iter().filter_map(|line| line["offset"].as_u64()).collect();
    assert_eq!(offsets.len(), lines.len(), "each record has its own place");
    let config = data.join("saccade.toml");
    run_well(&["validate", "--config", &config.to_string_lossy()], data);
}
