//! The loop over HTTP: decide, tell, decide otherwise.

use crate::config::Config;
use crate::http::testing::{Answer, Site, event, now_ms, request};
use crate::log::decode;
use saccade_topology::learn::{Policy, Setting};
use saccade_topology::model::{Ask, Cutter, ModelVersion, RankScratch, rank};
use saccade_topology::{Ignore, Offset, Record, Topology};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A site with one model whose requests bring their own context, and the default's `home`.
fn site(edit: impl FnOnce(&mut Config)) -> Site {
    Site::new(|config| {
        let bandit = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/bandit.toml");
        let bandit = Config::load(Some(bandit.as_ref())).expect("the configuration loads");
        config.models.extend(bandit.models);
        edit(config);
    })
}

async fn post(site: &Site, path: &str, body: Value) -> Answer {
    site.send(request("POST", path), body.to_string()).await
}

async fn ok(site: &Site, path: &str, body: Value) -> Value {
    let answer = post(site, path, body).await;
    assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    answer.json()
}

#[tokio::test]
async fn a_reward_that_is_told_in_sync_is_in_the_next_decision() {
    let site = site(|_| {});
    let ask = |id: &str| json!({"id": id, "context": [1, 0.5], "items": ["a", "b"], "k": 2});
    let score = |answer: &Value, item: &str| {
        let items = answer["items"].as_array().expect("items");
        items.iter().find(|of| of["id"] == item).expect("both are placed")["score"].as_f64().expect("a number")
    };
    let mut scores = vec![];
    for round in 0..5 {
        let answer = ok(&site, "/v1/rank/bandit", ask(&format!("d{round}"))).await;
        scores.push(score(&answer, "a"));
        assert_eq!((&answer["policy"], &answer["reward_version"]), (&json!("lin_ucb"), &json!(1)));
        for (item, value) in [("a", 1.0), ("b", 0.0)] {
            let told =
                ok(&site, &format!("/v1/decisions/d{round}/reward?sync=true"), json!({"value": value, "item": item}))
                    .await;
            assert_eq!(told["outcome"], "joined");
        }
    }
    assert!(scores.windows(2).all(|pair| pair[1] != pair[0]), "each round knows the one before: {scores:?}");
    assert!(scores[4] > 0.6, "{scores:?}");
    let report = site.send(request("GET", "/v1/models/bandit"), "").await.json();
    let best = &report["actions"][0];
    assert_eq!((&best["item"], &best["decisions"], &best["rewards"]), (&json!("a"), &json!(5), &json!(5)));
    assert!(best["probability_best"].as_f64().expect("a number") > 0.5, "{report}");
    assert_eq!((&report["decisions"], &report["open"]), (&json!(5), &json!(5)));
    let list = site.send(request("GET", "/v1/models"), "").await.json();
    assert_eq!(list["models"].as_array().map(Vec::len), Some(2), "{list}");
}

#[tokio::test]
async fn the_same_id_has_the_same_bytes_whatever_was_learnt_since() {
    let site = site(|_| {});
    let ask = json!({"id": "d1", "context": [1], "items": ["a", "b", "c"], "k": 2});
    let first = post(&site, "/v1/rank/bandit", ask.clone()).await;
    ok(&site, "/v1/decisions/d1/reward?sync=true", json!({"value": 3})).await;
    assert_eq!(post(&site, "/v1/rank/bandit", ask.clone()).await.body, first.body);
    let other = post(&site, "/v1/rank/home", ask).await;
    assert_eq!((other.status, other.code()), (409, "other_model".into()));
    let record = site.send(request("GET", "/v1/decisions/d1"), "").await.json();
    assert_eq!(record["decision"]["candidates"].as_array().map(Vec::len), Some(3), "{record}");
    assert_eq!(site.send(request("GET", "/v1/decisions/d2"), "").await.status, 404);
}

#[tokio::test]
async fn decisions_are_made_from_the_session_and_joined_by_events() {
    let site = site(|_| {});
    ok(&site, "/v1/events", serde_json::from_str(&event("e1", "s1")).expect("JSON")).await;
    let answer =
        ok(&site, "/v1/rank/home?explain=true", json!({"id": "d1", "session": "s1", "items": ["a", "b"]})).await;
    assert!(answer["context_version"].is_u64(), "{answer}");
    let why = &answer["explanation"][0];
    let sum: f64 = why["contributions"].as_object().expect("by group").values().filter_map(Value::as_f64).sum();
    assert!((sum - why["score"].as_f64().expect("a number")).abs() < 1e-9, "{why}");
    let picked = &answer["items"][0]["id"];
    let click = json!({"id": "e2", "type": "click", "event_time": now_ms() + 5, "session": "s1", "viewer": "v-s1",
        "decision": "d1", "item": picked});
    ok(&site, "/v1/events", click).await;
    // The next hand-over covers the click; asking in sync for another outcome waits for it.
    ok(&site, "/v1/decisions/none/reward?sync=true", json!({"value": 1})).await;
    let report = site.send(request("GET", "/v1/models/home"), "").await.json();
    assert_eq!(report["rewards"][0]["rewards"], 1, "{report}");
    let served = &report["served"][0];
    assert_eq!((&served["average_so_far"], &served["average"]), (&json!(0.3), &json!(null)), "{report}");
    assert_eq!(report["rewards"][0]["in_force"][0], *served);
    let unknown = ok(&site, "/v1/rank/home", json!({"session": "nobody", "items": ["a"]})).await;
    assert!(
        unknown["context_version"].is_null() && unknown["decision"].as_str().is_some_and(|id| id.starts_with("d-"))
    );
}

#[tokio::test]
async fn a_reward_for_what_was_not_shown_dangles_and_is_listed() {
    let site = site(|_| {});
    ok(&site, "/v1/rank/bandit", json!({"id": "d1", "context": [1], "items": ["a", "b", "c"], "k": 2})).await;
    for (about, key) in [(json!(2), "position"), (json!("z"), "item")] {
        let told = ok(&site, "/v1/decisions/d1/reward?sync=true", json!({"value": 1, key: about})).await;
        assert_eq!(told["outcome"], "dangling");
    }
    let report = site.send(request("GET", "/v1/inspect/dangling"), "").await.json();
    let hints: Vec<&Value> = (0..2).map(|n| &report["rewards"][n]["hint"]).collect();
    let expected = ["the decision has no position 2; they count from 0", "the decision shows no item \"z\""];
    assert_eq!((&report["total"], hints), (&json!(2), vec![&json!(expected[0]), &json!(expected[1])]));
    let hints = report["hints"].as_array().expect("hints");
    assert!(hints.len() == 1 && hints[0].as_str().is_some_and(|hint| hint.contains("the first is 0")), "{hints:?}");
}

#[tokio::test]
async fn a_viewer_that_stands_for_nobody_is_none_of_a_decision_either() {
    let site = site(|_| {});
    let ask = |id: &str, session: &str| json!({"id": id, "session": session, "viewer": "anonymous", "items": ["a"]});
    ok(&site, "/v1/rank/home", ask("d1", "s1")).await;
    let record = site.send(request("GET", "/v1/decisions/d1"), "").await.json();
    assert_eq!(
        (&record["decision"]["session"], &record["decision"]["viewer"]),
        (&json!("s1"), &json!(null)),
        "{record}"
    );
    // So what others who are not known do with the item is not taken for an outcome.
    for (session, rewards) in [("s2", 0), ("s1", 1)] {
        let click = json!({"id": session, "type": "click", "event_time": now_ms() + 5, "session": session, "viewer": "anonymous",
            "item": "a"});
        ok(&site, "/v1/events", click).await;
        ok(&site, &format!("/v1/decisions/none-{session}/reward?sync=true"), json!({"value": 1})).await;
        let report = site.send(request("GET", "/v1/models/home"), "").await.json();
        assert_eq!(report["rewards"][0]["rewards"], rewards, "{session}: {report}");
    }
}

#[tokio::test]
async fn outcomes_say_what_became_of_them() {
    let site = site(|_| {});
    let told = ok(&site, "/v1/decisions/later/reward", json!({"value": 1, "id": "r1"})).await;
    assert_eq!(told["outcome"], "waiting");
    let again = ok(&site, "/v1/decisions/later/reward", json!({"value": 1, "id": "r1"})).await;
    assert_eq!(again["outcome"], "duplicate");
    let unknown = post(&site, "/v1/decisions/later/activate", json!({})).await;
    assert_eq!((unknown.status, unknown.code()), (409, "not_deferred".into()));
    ok(&site, "/v1/rank/bandit", json!({"id": "d", "context": [1], "items": ["a"], "deferred": true})).await;
    let ahead = post(&site, "/v1/decisions/d/activate", json!({"event_time": "2199-01-01T00:00:00Z"})).await;
    assert_eq!((ahead.status, ahead.code()), (400, "future".into()));
    let shown = site.send(request("POST", "/v1/decisions/d/activate"), "").await;
    assert_eq!((shown.status, &shown.json()["outcome"]), (202, &json!("activated")));
    assert_eq!(post(&site, "/v1/decisions/d/activate", json!({})).await.status, 409);
}

#[tokio::test]
async fn what_cannot_be_decided_names_what_was_found_and_what_is_allowed() {
    let site = site(|config| config.models[1].candidates_max = 2);
    for (path, body, status, code, part) in [
        ("/v1/rank/hoem", json!({"items": ["a"]}), 404, "no_model", "there is home, bandit"),
        ("/v1/rank/bandit", json!({"items": ["a", "b", "c"]}), 413, "too_many_candidates", "allowed: 2"),
        ("/v1/rank/bandit", json!({"items": []}), 400, "bad_value", "1 to"),
        ("/v1/rank/home", json!({"items": ["a"], "context": [1, 2]}), 400, "wrong_dimension", "allowed: 14"),
        ("/v1/rank/home", json!({"items": ["a"], "contexts": [1]}), 400, "unknown_key", "contexts"),
        ("/v1/rank/home", json!({"items": ["a"], "event_time": now_ms() + 86_400_000}), 400, "future", "max_future"),
        ("/v1/decisions/d/reward", json!({"value": "x"}), 400, "wrong_type", "value"),
    ] {
        let answer = post(&site, path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
        assert!(answer.body.contains(part), "no {part} in {}", answer.body);
    }
}

#[tokio::test]
async fn rows_of_events_tell_of_items_and_of_decisions_made_elsewhere() {
    let site = site(|_| {});
    let now = now_ms();
    let answer = ok(
        &site,
        "/v1/events",
        json!([
            {"id": "i1", "type": "item", "event_time": now, "item": "a", "fields": {"genre": "drama"}},
            {"id": "x1", "type": "decision", "event_time": now, "session": "s", "decision": "d9", "fields": {
                "model": "bandit", "items": [{"id": "a", "propensity": 0.5}], "context": [1, 2]}},
            {"id": "x2", "type": "decision", "event_time": now, "session": "s", "fields": {
                "model": "none", "items": [{"id": "a", "propensity": 0.5}]}},
            {"id": "x3", "type": "decision", "event_time": now + 864_000_000, "session": "s", "fields": {
                "model": "bandit", "items": [{"id": "a", "propensity": 0.5}], "context": [1, 2]}},
        ]),
    )
    .await;
    assert_eq!((&answer["accepted"], &answer["rejected_total"]), (&json!(2), &json!(2)), "{answer}");
    assert_eq!((&answer["rejected"][1]["index"], &answer["rejected"][1]["code"]), (&json!(3), &json!("future")));
    assert!(answer["rejected"][0]["message"].as_str().is_some_and(|m| m.contains("there is home, bandit")), "{answer}");
    ok(&site, "/v1/decisions/d9/reward?sync=true", json!({"value": 2})).await;
    let report = site.send(request("GET", "/v1/models/bandit"), "").await.json();
    assert_eq!(
        (&report["actions"][0]["item"], &report["actions"][0]["average"]),
        (&json!("a"), &json!(2.0)),
        "{report}"
    );
    assert_eq!(report["served"][0]["served"], "elsewhere");
}

#[tokio::test]
async fn a_write_key_and_the_read_token_may_both_ask() {
    let site = site(|config| {
        config.auth.write_keys = vec!["w".into()];
        config.auth.read_token = Some("r".into());
    });
    let ask = || json!({"context": [1], "items": ["a"]}).to_string();
    for (query, status) in [("", 401), ("?key=w", 200), ("?token=r", 200), ("?key=r", 401)] {
        let answer = site.send(request("POST", &format!("/v1/rank/bandit{query}")), ask()).await;
        assert_eq!(answer.status, status, "{query} {}", answer.body);
    }
}

#[tokio::test]
async fn reward_specs_are_proposed_activated_and_rolled_back_by_somebody() {
    let site = site(|_| {});
    let spec = |version: u32, expression: &str| json!({"version": version, "expression": expression, "signals": {"clicked": {"fold": "any", "on": ["click"]}}});
    for by in [String::new(), "?by=".into(), format!("?by={}", "x".repeat(257))] {
        let unnamed = post(&site, &format!("/v1/rewards/home{by}"), spec(2, "clicked")).await;
        assert_eq!((unnamed.status, unnamed.code()), (400, "missing_by".into()), "{by}");
    }
    let bad = post(&site, "/v1/rewards/home?by=ann", spec(2, "clickt")).await;
    assert_eq!((bad.status, bad.code()), (400, "bad_spec".into()));
    let never = post(&site, "/v1/rewards/home?by=ann", spec(2, "clicked == true ? 1 : 0")).await;
    assert_eq!((never.status, never.code()), (400, "bad_spec".into()), "{}", never.body);
    assert!(bad.body.contains("clickt"), "{}", bad.body);
    let taken = post(&site, "/v1/rewards/home?by=ann", spec(1, "clicked")).await;
    assert_eq!((taken.status, taken.code()), (409, "conflict".into()));
    let proposed = ok(&site, "/v1/rewards/home?by=ann", spec(2, "clicked * 2.0")).await;
    assert_eq!((&proposed["active"], &proposed["running"][1]["by"]), (&json!(1), &json!("ann")), "{proposed}");
    let toml = site.send(request("POST", "/v1/rewards/home?by=bob"), "version = 3\nexpression = \"1.0\"\n").await;
    assert_eq!(toml.status, 200, "{}", toml.body);
    let shadow = ok(&site, "/v1/rank/home", json!({"id": "d1", "items": ["a", "b"]})).await;
    assert_eq!(shadow["reward_version"], 1);
    let record = site.send(request("GET", "/v1/decisions/d1"), "").await.json();
    let beliefs = record["decision"]["picks"][0]["beliefs"].as_array().expect("one a spec").len();
    assert_eq!(beliefs, 3, "the spec in force and both shadows");
    ok(&site, "/v1/rewards/home/2/activate?by=ann", json!({})).await;
    assert_eq!(ok(&site, "/v1/rank/home", json!({"items": ["a"]})).await["reward_version"], 2);
    assert_eq!(post(&site, "/v1/rewards/home/2/retire?by=ann", json!({})).await.status, 409);
    assert_eq!(post(&site, "/v1/rewards/home/7/activate?by=ann", json!({})).await.status, 404);
    let back = ok(&site, "/v1/rewards/home/rollback?by=ann", json!({})).await;
    assert_eq!((&back["active"], back["history"].as_array().map(Vec::len)), (&json!(1), Some(3)), "{back}");
    let retired = ok(&site, "/v1/rewards/home/3/retire?by=ann", json!({})).await;
    assert_eq!(retired["running"].as_array().map(Vec::len), Some(2));
    let all = site.send(request("GET", "/v1/rewards"), "").await.json();
    assert_eq!((&all["models"][0]["model"], &all["models"][0]["active"]), (&json!("home"), &json!(1)));
}

#[tokio::test]
async fn a_decision_outlives_a_restart_and_its_reward_is_joined_after() {
    let site = site(|_| {});
    let ask = || json!({"id": "d1", "context": [1, 2], "items": ["a", "b", "c"], "k": 2});
    let first = post(&site, "/v1/rank/bandit", ask()).await;
    let site = site.restarted().await;
    assert_eq!(post(&site, "/v1/rank/bandit", ask()).await.body, first.body);
    let told = ok(&site, "/v1/decisions/d1/reward?sync=true", json!({"value": 1})).await;
    assert_eq!(told["outcome"], "joined");
    let before = site.send(request("GET", "/v1/models/bandit"), "").await.json();
    assert_eq!(before["rewards"][0]["rewards"], 1, "{before}");
    let site = site.restarted().await;
    let after = site.send(request("GET", "/v1/models/bandit"), "").await.json();
    for part in ["decisions", "rewards", "served", "actions", "history", "outcomes"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    ok(&site, "/v1/rank/bandit", json!({"id": "d2", "context": [1, 2], "items": ["a", "b"]})).await;
}

#[tokio::test]
async fn several_partitions_learn_one_model() {
    let site = site(|config| config.log.partitions = 3);
    let mut partitions = std::collections::BTreeSet::new();
    for round in 0..12 {
        let ask = json!({"id": format!("d{round}"), "viewer": format!("v{round}"), "context": [1], "items": ["a"]});
        let answer = ok(&site, "/v1/rank/bandit", ask).await;
        assert_eq!(answer["model_version"].as_str().map(|version| version.split('.').count()), Some(3));
        let open = site.app.engine.decisions().get(&format!("d{round}")).expect("it is open");
        partitions.insert(open.partition);
        let path = format!("/v1/decisions/d{round}/reward?sync=true");
        assert_eq!(ok(&site, &path, json!({"value": 1})).await["outcome"], "joined");
    }
    assert_eq!(partitions.len(), 3);
    let report = site.send(request("GET", "/v1/models/bandit"), "").await.json();
    let action = &report["actions"][0];
    assert_eq!((&action["decisions"], &action["rewards"], &action["average"]), (&json!(12), &json!(12), &json!(1.0)));
    ok(&site, "/v1/rewards/bandit?by=ann", json!({"version": 2, "expression": "1.0"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_the_books_hold() {
    let site = Site::counted_by_the_process();
    ok(&site, "/v1/rank/home", json!({"id": "d1", "items": ["a"]})).await;
    ok(&site, "/v1/decisions/d1/reward?sync=true", json!({"value": 1})).await;
    let served = site.send(request("GET", "/metrics"), "").await.body;
    // Counters are the process's: other tests of it may have counted too.
    for (name, least) in [
        ("saccade_decisions_total{model=\"home\",served=\"policy\"} ", 1.0),
        ("saccade_join_outcomes_total{model=\"home\",kind=\"decision\",outcome=\"joined\"} ", 0.0),
        ("saccade_join_outcomes_total{model=\"\",kind=\"reward\",outcome=\"joined\"} ", 1.0),
        ("saccade_decisions_open{model=\"home\"} ", 0.0),
        ("saccade_rank_seconds_count ", 1.0),
        ("saccade_model_cut_seconds_count ", 1.0),
    ] {
        let value = served.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= least), "{name}{value:?} in {served}");
    }
}

/// The version of a model that contains the first `until` records of the only partition.
fn version_of(site: &Site, model: &str, until: u64) -> Arc<ModelVersion> {
    let plan = site.app.engine.plan();
    let mut fold = Topology::new(Arc::clone(plan));
    let visit = &mut |offset: Offset, bytes: &[u8]| {
        if offset.0 >= until {
            return Ok(ControlFlow::Break(()));
        }
        fold.apply(offset, &decode(bytes).expect("the log is whole"), &mut Ignore);
        Ok(ControlFlow::Continue(()))
    };
    site.app.engine.log().read(0, Offset(0), visit).expect("the log can be read");
    let versions = Cutter::new(plan, vec![fold.learnt(Offset(until))]).cut();
    Arc::clone(&versions[plan.model(model).expect("it is configured")])
}

#[tokio::test]
async fn every_decision_is_made_again_from_the_log_bit_for_bit() {
    let site =
        site(|config| config.models[1].policy = Policy::Thompson { scale: Setting::Auto, draws: 16, floor: 0.01 });
    ok(
        &site,
        "/v1/events",
        json!({"id": "i", "type": "item", "event_time": now_ms(), "item": "a", "fields": {"x": 1}}),
    )
    .await;
    for round in 0..30 {
        let session = format!("s{}", round % 3);
        let body = event(&format!("e{round}"), &session);
        ok(&site, "/v1/events", serde_json::from_str(&body).expect("JSON")).await;
        let x = f64::from(round % 5) / 5.0;
        for (model, context) in [("bandit", json!([1, x])), ("home", Value::Null)] {
            let id = format!("{model}-{round}");
            let ask = json!({"id": id, "session": session, "context": context, "items": ["a", "b", "c"], "k": 2});
            ok(&site, &format!("/v1/rank/{model}"), ask).await;
            let path = format!("/v1/decisions/{id}/reward{}", if round % 4 == 0 { "?sync=true" } else { "" });
            ok(&site, &path, json!({"value": x})).await;
        }
    }
    let mut records = vec![];
    let visit = &mut |_: Offset, bytes: &[u8]| {
        records.push(bytes.to_vec());
        Ok(ControlFlow::Continue(()))
    };
    site.app.engine.log().read(0, Offset(0), visit).expect("the log can be read");
    let mut seen = 0;
    for record in &records {
        let Record::Decision(logged) = decode(record).expect("the log is whole").record else { continue };
        let version = version_of(&site, logged.model, logged.model_version[0]);
        let mut scratch = RankScratch::default();
        let again = rank(&version, &Ask::again(&logged), &mut scratch).expect("it was decided once");
        assert_eq!(again, *logged);
        seen += 1;
    }
    assert_eq!(seen, 60);
}

#[tokio::test]
async fn features_that_the_model_does_not_list_are_counted() {
    let site = site(|config| config.models[0].features = vec!["hour".into()]);
    let model = "/v1/rank/home";
    ok(&site, model, json!({"items": ["a"], "features": {"hour": 3}})).await;
    assert!(!site.metrics().contains("saccade_rank_unlisted_features_total{"));
    ok(&site, model, json!({"items": ["a"], "features": {"hour": 3, "huor": 3, "day": 1}})).await;
    let told = site.metrics();
    assert!(told.contains("saccade_rank_unlisted_features_total{model=\"home\"} 2"), "{told}");
}

#[tokio::test]
async fn features_of_items_that_are_of_another_type_are_counted() {
    let feature = |json: Value| serde_json::from_value(json).expect("a feature of items");
    let site = site(|config| {
        let items = [json!({"field": "stars"}), json!({"field": "genre", "values": ["drama"]})];
        config.models[0].items = items.into_iter().map(feature).collect();
    });
    let item = |id: &str, features: Value| json!({"id": id, "features": features});
    let right =
        json!({"items": [item("a", json!({"stars": 3, "genre": "news"})), item("b", json!({"genre": ["drama"]}))]});
    ok(&site, "/v1/rank/home", right).await;
    assert!(!site.metrics().contains("saccade_item_features_misread_total{"));
    ok(&site, "/v1/rank/home", json!({"items": [item("a", json!({"stars": "3", "genre": 5}))]})).await;
    ok(
        &site,
        "/v1/events",
        json!({"type": "item", "item": "a", "event_time": now_ms(), "fields": {"stars": true, "genre": 7}}),
    )
    .await;
    let told = site.metrics();
    for (field, count) in [("stars", 1), ("genre", 2)] {
        let sample = format!("saccade_item_features_misread_total{{model=\"home\",field=\"{field}\"}} {count}");
        assert!(told.contains(&sample), "{sample} in {told}");
    }
}
