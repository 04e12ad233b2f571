use super::*;
use crate::population::{Output, Population};
use serde_json::Value;

fn population(change: impl FnOnce(&mut Profile)) -> (Profile, Population, Wire) {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    profile.load.rate = 300;
    change(&mut profile);
    let population = Population::new(&profile, 7, true);
    let wire = Wire::new(&profile, 7);
    (profile, population, wire)
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

#[test]
fn events_are_json_under_the_canonical_names() {
    let allowed = "id type event_time sent_at session viewer item decision position playhead_s duration_s value device country \
                   timezone throughput_kbps rtt_ms br";
    let (profile, mut population, wire) = population(|_| ());
    let mut out = Vec::new();
    for number in 0..20_000 {
        let Output::Act(act) = population.next() else { continue };
        out.clear();
        wire.event(&mut out, &population, &act, Stamp { number, event_time: 1_767_000_000_123, sent_at: None });
        let event = json(&out);
        for (key, _) in event.as_object().expect("an event is an object") {
            assert!(allowed.split_whitespace().any(|name| name == key), "{key}");
        }
        assert_eq!(event["id"], format!("l7-{number}"));
        assert_eq!(event["session"], format!("s7-{}-{}", act.viewer, act.visit));
        let country = profile.countries.iter().find(|country| event["timezone"] == country.timezone);
        assert!(country.is_some_and(|country| event["country"] == country.code));
        let at = |name: &str| event[name].as_f64();
        if let (Some(playhead), Some(duration)) = (at("playhead_s"), at("duration_s")) {
            assert!(playhead <= duration, "{event}");
        }
    }
}

#[test]
fn a_clock_that_is_wrong_says_when_it_sent() {
    let (_, mut population, wire) = population(|profile| profile.rank.share = 0.0);
    let Output::Act(act) = population.next() else { panic!("nobody asks") };
    let mut out = Vec::new();
    wire.event(&mut out, &population, &act, Stamp { number: 1, event_time: 5, sent_at: Some(9) });
    assert_eq!((&json(&out)["event_time"], &json(&out)["sent_at"]), (&5.into(), &9.into()));
}

#[test]
fn rank_requests_and_rewards_are_what_the_server_reads() {
    for features in [false, true] {
        let (profile, mut population, wire) = population(|profile| {
            profile.rank.share = 1.0;
            profile.rank.features = features;
        });
        let ask = loop {
            if let Output::Ask(ask) = population.next() {
                break ask;
            }
        };
        let mut out = Vec::new();
        wire.ask(&mut out, &ask, population.questions.candidates(ask.slot));
        let request = json(&out);
        assert_eq!(request["items"].as_array().map(Vec::len), Some(profile.rank.candidates as usize));
        assert_eq!((&request["id"], &request["k"]), (&"d7-0".into(), &4.into()));
        assert_eq!(request["items"][0].is_object(), features);
    }
    let (_, _, wire) = population(|_| ());
    let mut out = Vec::new();
    wire.reward(&mut out, &Reward { decision: 3, position: 1, value: -0.5 }, 99);
    assert_eq!(json(&out), serde_json::json!({"id": "rd7-3", "position": 1, "value": -0.5, "event_time": 99}));
}

#[test]
fn an_answer_gives_its_items_in_their_order() {
    let body = br#"{"decision":"d1","items":[{"id":"i3","propensity":0.5,"score":1},{"id":"i12","propensity":0.5}]}"#;
    assert_eq!(answered_items(body), [3, 12]);
    assert!(answered_items(b"{}").is_empty());
}
