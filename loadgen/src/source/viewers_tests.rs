use super::super::Source;
use super::*;
use crate::schedule::{Arrivals, Shape};
use serde_json::Value;
use std::collections::BTreeMap;

const EPOCH_MS: u64 = 1_767_000_000_000;

fn source(name: &str, rate: u64, events: u64, are_calls_made: bool, change: impl FnOnce(&mut Profile)) -> Viewers {
    let mut profile = Profile::load(name).expect("it is shipped");
    profile.load.rate = rate;
    change(&mut profile);
    let plan = Plan { rate, shape: Shape::Constant, arrivals: Arrivals::Even, batch: 1..=20, events, seed: 5 };
    Viewers { epoch_ms: EPOCH_MS, ..Viewers::new(&profile, plan, are_calls_made) }
}

fn requests(mut source: Viewers) -> (Vec<Request>, u64) {
    let all = std::iter::from_fn(|| source.next()).collect();
    (all, source.repeated)
}

fn events(requests: &[Request]) -> Vec<(u64, Value)> {
    let read = |request: &Request| {
        let events: Vec<Value> = serde_json::from_slice(&request.body).expect("bodies are JSON arrays");
        assert_eq!(events.len(), request.events as usize);
        let due_ns = request.due_ns;
        events.into_iter().map(move |event| (due_ns, event))
    };
    requests.iter().filter(|request| request.call == Call::Events).flat_map(read).collect()
}

#[test]
fn same_profile_and_seed_same_bytes() {
    let bytes = || {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut source = Source::Viewers(Box::new(source("bad_network", 20_000, 100_000, false, |_| ())));
        while let Some(request) = source.next() {
            // FNV-1a.
            request.body.iter().for_each(|b| hash = (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
            source.recycle(request);
        }
        hash
    };
    let first = bytes();
    assert_eq!(first, bytes());
    // Pinned: whoever changes it breaks the comparison of runs over versions, and says so in CHANGELOG.
    assert_eq!(format!("{first:016x}"), "5ed9ea8f19ae1fe2");
}

#[test]
fn every_place_of_the_schedule_is_taken_once_and_due_times_are_in_order() {
    let (requests, repeated) = requests(source("steady_evening", 2_000, 20_000, false, |p| p.disorder.retries = 0.0));
    assert_eq!(requests.iter().map(|request| u64::from(request.events)).sum::<u64>(), 20_000);
    assert!(requests.windows(2).all(|pair| pair[0].due_ns <= pair[1].due_ns));
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for (_, event) in events(&requests) {
        *times.entry(event["id"].to_string()).or_insert(0) += 1;
    }
    let twice = times.values().filter(|n| **n == 2).count() as u64;
    assert!(times.values().all(|n| *n <= 2) && repeated == twice, "{repeated} for {twice}");
    assert!((60..140).contains(&twice), "{twice} of 20,000 at 0.5 percent");
}

#[test]
fn events_are_dated_when_they_are_due_less_what_they_were_under_way() {
    let change = |p: &mut Profile| {
        p.disorder.late = 0.02;
        p.disorder.reordered = 0.1;
        p.disorder.duplicates = 0.0;
        p.disorder.retries = 0.0;
        p.clocks.wrong = 0.0;
    };
    let (requests, _) = requests(source("steady_evening", 2_000, 40_000, false, change));
    let late_s: Vec<f64> = events(&requests)
        .iter()
        .map(|(due_ns, event)| {
            let due_ms = EPOCH_MS as f64 + *due_ns as f64 / 1e6;
            (due_ms - event["event_time"].as_f64().expect("epoch ms")) / 1e3
        })
        .collect();
    assert!(late_s.iter().all(|s| *s >= -0.001 && *s < 90.1));
    let share = |from: f64, to: f64| late_s.iter().filter(|s| (from..to).contains(*s)).count() as f64 / 40_000.0;
    // A batch takes up to 20 events to fill, which is 10 ms.
    assert!((share(0.02, 2.0) - 0.1).abs() < 0.01, "{}", share(0.02, 2.0));
    assert!((share(39.0, 91.0) - 0.02).abs() < 0.004, "{}", share(39.0, 91.0));
    // From the beginning: in the first second as in the last.
    let half = late_s[..20_000].iter().filter(|s| **s > 39.0).count() as f64 / 20_000.0;
    assert!((half - 0.02).abs() < 0.005, "{half}");
}

#[test]
fn a_clock_that_is_wrong_is_wrong_for_all_events_of_a_viewer_and_they_say_so() {
    let (requests, _) = requests(source("bad_network", 1_000, 20_000, false, |p| p.disorder.late = 0.0));
    let mut off: BTreeMap<String, i64> = BTreeMap::new();
    let mut wrong = 0;
    for (due_ns, event) in events(&requests) {
        let Some(sent_at) = event["sent_at"].as_i64() else { continue };
        wrong += 1;
        let due_ms = EPOCH_MS as i64 + (due_ns / 1_000_000) as i64;
        let known = *off.entry(event["viewer"].to_string()).or_insert(sent_at - due_ms);
        // What is held back or repeated is sent when a place is free, up to a batch later.
        assert!((sent_at - due_ms - known).abs() < 23_000, "{event}");
    }
    assert!((wrong as f64 / 20_000.0 - 0.15).abs() < 0.05, "{wrong}");
}

#[test]
fn a_request_that_is_sent_again_is_the_same_and_later() {
    let (requests, repeated) = requests(source("steady_evening", 2_000, 20_000, false, |p| {
        p.disorder.retries = 0.1;
        p.disorder.duplicates = 0.0;
    }));
    let mut seen: BTreeMap<&[u8], u64> = BTreeMap::new();
    let (mut again, mut repeats) = (0, 0);
    for request in &requests {
        match seen.insert(&request.body, request.due_ns) {
            None => {}
            Some(first_ns) => {
                assert_eq!(request.due_ns - first_ns, 1_000_000_000);
                again += 1;
                repeats += u64::from(request.events);
            }
        }
    }
    assert_eq!(repeats, repeated);
    assert!((again as f64 / requests.len() as f64 - 0.09).abs() < 0.03, "{again} of {}", requests.len());
}

#[test]
fn players_report_by_cmcd_where_somebody_is_there() {
    let (with, _) = requests(source("steady_evening", 1_000, 20_000, true, |p| p.cmcd.share = 0.5));
    let records: Vec<&Request> = with.iter().filter(|request| request.call == Call::Cmcd).collect();
    assert!((7_000..10_000).contains(&records.len()), "{}", records.len());
    let text = String::from_utf8_lossy(&records[0].body);
    assert!(text.ends_with(",v=2") && text.contains(",sid=\"s5-") && !text.contains('\n'), "{text}");
    assert!(records[0].path.starts_with(b"/v1/cmcd/s5-"));
    let (without, _) = requests(source("steady_evening", 1_000, 5_000, false, |p| p.cmcd.share = 0.5));
    assert!(without.iter().all(|request| request.call == Call::Events));
}

#[test]
fn decisions_are_asked_for_by_their_id_and_rewards_name_it() {
    [false, true].into_iter().for_each(check_decisions);
}

fn check_decisions(sync: bool) {
    let mut source = source("steady_evening", 1_000, 40_000, true, |p| {
        p.rank.share = 1.0;
        p.rank.explicit = 1.0;
        p.rank.sync = sync;
    });
    let path_end: &[u8] = if sync { b"/reward?sync=true" } else { b"/reward" };
    let (mut asked, mut told) = (0, 0);
    while let Some(request) = source.next() {
        match request.call {
            Call::Rank { slot, decision } => {
                assert_eq!(request.path, b"/v1/rank/home");
                let body: Value = serde_json::from_slice(&request.body).expect("JSON");
                assert_eq!(body["id"], format!("d5-{decision}"));
                let answer = serde_json::json!({ "items": body["items"].as_array().expect("items")[..4].iter()
                    .map(|id| serde_json::json!({ "id": id })).collect::<Vec<_>>() });
                source.answer(slot, decision, answer.to_string().as_bytes());
                asked += 1;
            }
            Call::Reward => {
                told += 1;
                assert!(request.path.starts_with(b"/v1/decisions/d5-") && request.path.ends_with(path_end));
            }
            _ => {}
        }
    }
    assert!(asked > 200 && told > asked * 8 / 10 && told <= asked, "{told} of {asked}");
    assert_eq!(source.so_far().unanswered, 0);
}
