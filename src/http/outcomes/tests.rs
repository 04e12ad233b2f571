//! Outcomes of decisions in several partitions: wherever they are sent, they end in one bucket, once.

use crate::config::Config;
use crate::engine::partition_of_key;
use crate::http::testing::{Answer, Site, now_ms, request};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const COUNT: usize = 3;
const DAY: i64 = 86_400_000;

fn site() -> Site {
    Site::new(|config| {
        let bandit = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/bandit.toml");
        *config = Config::load(Some(bandit.as_ref())).expect("the configuration loads");
        config.log.partitions = COUNT as u16;
    })
}

async fn post(site: &Site, path: &str, body: Value) -> Answer {
    site.send(request("POST", path), body.to_string()).await
}

async fn outcome(site: &Site, id: &str, body: Value) -> String {
    let answer = post(site, &format!("/v1/decisions/{id}/reward"), body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["outcome"].as_str().expect("an outcome").to_string()
}

/// A viewer whose events are in this partition.
fn viewer_of(partition: usize) -> String {
    let mut names = (0..).map(|n| format!("v{n}"));
    names.find(|name| partition_of_key(name, COUNT) == partition).expect("some viewer hashes there")
}

/// Partitions that are not where what names `id` waits while nobody knows it.
fn elsewhere(id: &str) -> usize {
    (partition_of_key(id, COUNT) + 1) % COUNT
}

async fn rank(site: &Site, id: &str, viewer: &str, event_time: i64) -> Answer {
    let body = json!({"id": id, "viewer": viewer, "context": [1], "items": ["a"], "event_time": event_time});
    post(site, "/v1/rank/bandit", body).await
}

/// Rewards by outcome, once the model knows `total` of them.
async fn ends(site: &Site, total: u64) -> Vec<(&'static str, u64)> {
    let begin = Instant::now();
    loop {
        let version = site.app.engine.version("bandit").expect("the model is there");
        let ends: Vec<_> = version.reward_ends().filter(|(_, count)| *count > 0).collect();
        if ends.iter().map(|(_, count)| count).sum::<u64>() >= total {
            return ends;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{ends:?} after 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A decision whose windows were over when it came, in this partition.
async fn over(site: &Site, id: &str, partition: usize) {
    let (viewer, now) = (viewer_of(partition), now_ms());
    assert_eq!(rank(site, &format!("clock of {id}"), &viewer, now).await.status, 200);
    assert_eq!(rank(site, id, &viewer, now - 30 * DAY).await.status, 200);
}

#[tokio::test]
async fn a_reward_that_comes_before_its_decision_is_joined_to_it_in_another_partition() {
    let mut site = site();
    assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "waiting");
    assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "duplicate");
    assert_eq!(rank(&site, "d", &viewer_of(elsewhere("d")), now_ms()).await.status, 200);
    assert_eq!(ends(&site, 1).await, [("joined", 1)]);
    for _ in 0..2 {
        assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "duplicate");
        assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "duplicate");
        site = site.restarted().await;
    }
    assert_eq!(ends(&site, 1).await, [("joined", 1)]);
}

#[tokio::test]
async fn an_event_is_joined_to_the_decision_it_names_wherever_its_viewer_is() {
    let mut site = Site::new(|config| config.log.partitions = COUNT as u16);
    let now = now_ms();
    let body = json!({"id": "d", "viewer": viewer_of(0), "items": ["a"], "event_time": now});
    assert_eq!(post(&site, "/v1/rank/home", body).await.status, 200);
    let click = json!({"id": "c", "type": "click", "event_time": now, "session": "s", "viewer": viewer_of(1), "decision": "d", "item": "a"});
    for duplicates in 0..2 {
        assert_eq!(post(&site, "/v1/events", click.clone()).await.json()["duplicates"], duplicates);
        let ends = || site.app.engine.version("home").expect("the model is there").reward_ends().next();
        while ends() != Some(("joined", 1)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site = site.restarted().await;
    }
}

#[tokio::test]
async fn what_is_told_of_a_decision_that_is_over_is_late_and_told_twice_a_duplicate() {
    let mut site = site();
    over(&site, "d", elsewhere("d")).await;
    assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "late");
    for _ in 0..2 {
        assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "r"})).await, "duplicate");
        assert_eq!(post(&site, "/v1/decisions/d/activate", json!({})).await.code(), "not_deferred");
        for partition in 0..COUNT {
            let again = rank(&site, "d", &viewer_of(partition), now_ms()).await;
            assert_eq!((again.status, again.code()), (409, "decision_over".into()));
        }
        assert_eq!(ends(&site, 1).await, [("late", 1)]);
        site = site.restarted().await;
    }
    assert_eq!(outcome(&site, "d", json!({"value": 1, "id": "s"})).await, "late");
}

#[tokio::test]
async fn one_id_asked_for_at_once_for_many_viewers_is_one_decision() {
    let site = site();
    for n in 0..20 {
        let (id, now) = (format!("d{n}"), now_ms());
        let viewers: Vec<String> = (0..COUNT).map(viewer_of).collect();
        let (a, b, c) = tokio::join!(
            rank(&site, &id, &viewers[0], now),
            rank(&site, &id, &viewers[1], now),
            rank(&site, &id, &viewers[2], now)
        );
        assert_eq!((a.status, &a.body, &a.body), (200, &b.body, &c.body));
    }
    assert_eq!(site.app.engine.decisions().len(), 20);
}

#[tokio::test]
async fn a_reward_for_no_item_of_its_decision_dangles_and_says_so() {
    let site = site();
    let body = json!({"id": "d", "context": [1], "items": ["a", "b"], "k": 2});
    assert_eq!(post(&site, "/v1/rank/bandit", body).await.status, 200);
    assert_eq!(outcome(&site, "d", json!({"value": 1, "item": "b"})).await, "joined");
    assert_eq!(outcome(&site, "d", json!({"value": 1, "item": "c"})).await, "dangling");
    assert_eq!(outcome(&site, "d", json!({"value": 1, "event_time": now_ms() + 1_500})).await, "joined");
}
