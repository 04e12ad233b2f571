//! What real players sent: recorded bodies, and records with the result of an independent decoder.

use super::super::record::{self, Keys, Scalar};
use super::{ARRIVAL, outcome, with_rows};
use crate::cmcd::{Request, read_headers, read_query};
use crate::config::Cmcd;
use bumpalo::Bump;
use saccade_topology::record::{EventTime, PlayState, Value};
use serde_json::Value as Json;
use std::collections::HashSet;

const GOLDEN: &str = include_str!("../../../tests/data/players/cmcd-golden.jsonl");
pub(super) const EVENTS: &str = include_str!("../../../tests/data/players/captures/hlsjs-cmcd2-event.jsonl");
pub(super) const CUSTOM_KEYS: &str =
    include_str!("../../../tests/data/players/captures/hlsjs-cmcd2-event-customkeys.jsonl");
pub(super) const COLLECTOR_503: &str = include_str!("../../../tests/data/players/captures/hlsjs-collector-503.jsonl");

pub(super) fn json_lines(text: &str) -> impl Iterator<Item = Json> {
    text.lines().map(|line| serde_json::from_str(line).expect("fixtures are JSON lines"))
}

/// Bodies of the CMCD requests of a capture, in order of arrival.
fn bodies(capture: &str) -> Vec<String> {
    let posts = json_lines(capture).filter(|line| line["kind"] == "request" && line["method"] == "POST");
    posts.map(|line| line["body"].as_str().expect("a POST has a body").to_string()).collect()
}

/// `a*2 b` as `a a b`.
fn repeated(runs: &str) -> Vec<String> {
    let run = |run: &str| match run.split_once('*') {
        Some((kind, times)) => vec![kind.to_string(); times.parse().expect("run length is a number")],
        None => vec![run.to_string()],
    };
    runs.split_whitespace().flat_map(run).collect()
}

/// True where `ours` is the value `theirs`, or its first item where that is a list.
fn is_equal(ours: Option<Scalar<'_>>, theirs: &Json) -> bool {
    match (ours, theirs) {
        (_, Json::Array(items)) => is_equal(ours, &items[0]),
        (Some(Scalar::Number(number)), Json::Number(expected)) => expected.as_f64() == Some(number),
        (Some(Scalar::Bool(truth)), Json::Bool(expected)) => *expected == truth,
        (Some(Scalar::Text(text)), Json::String(expected)) => expected == text,
        (Some(Scalar::Token(token)), Json::Object(object)) => object["token"] == token,
        _ => false,
    }
}

#[test]
fn golden_records_decode_to_the_values_of_an_independent_decoder() {
    let arena = Bump::new();
    let mut records = 0;
    for line in json_lines(GOLDEN) {
        let raw = arena.alloc_str(line["raw"].as_str().expect("golden lines have raw"));
        let mut keys = Keys::default();
        record::parse(raw, &[], &arena, &mut keys).expect("golden records are valid");
        let decoded = line["decoded"].as_object().expect("golden lines have decoded");
        assert_eq!(keys.iter().count(), decoded.len(), "{raw}");
        for (key, expected) in decoded {
            assert!(is_equal(keys.get(key), expected), "{key} in {raw}: {:?}, not {expected}", keys.get(key));
        }
        records += 1;
    }
    assert_eq!(records, 73);
}

#[test]
fn golden_records_each_give_one_event() {
    for line in json_lines(GOLDEN) {
        let raw = line["raw"].as_str().expect("golden lines have raw").to_string();
        let request = Request { session: Some("from-the-address"), viewer: None };
        super::with_rows_from(&raw, &request, &Cmcd::default(), |rows| assert!(matches!(rows, [Ok(_)]), "{raw}"));
    }
}

#[test]
fn captured_bodies_give_their_events_in_order() {
    let captures = [
        (
            EVENTS,
            "progress rate_change preload segment quality_change segment*9 start playing segment*2 progress segment pause
             playing segment seeking waiting segment*2 playing segment*8 progress rate_change segment*2 rate_change
             segment*4 progress like progress waiting progress segment playing segment*2 quality_change segment*8 seeking
             waiting segment*2 playing segment*2 progress ended",
        ),
        (
            CUSTOM_KEYS,
            "preload progress rate_change quality_change segment*10 progress start playing progress*2 segment*2 progress*2
             segment pause progress*2 playing segment progress seeking waiting segment*2 playing segment*6 progress
             segment*2 progress",
        ),
        (
            COLLECTOR_503,
            "preload progress*2 preload progress*2 start playing progress*4 pause progress*2 playing progress seeking
             waiting playing progress*2",
        ),
    ];
    for (capture, expected) in captures {
        let kinds: Vec<String> = bodies(capture)
            .iter()
            .flat_map(|body| with_rows(body, |rows| rows.iter().map(outcome).collect::<Vec<_>>()))
            .collect();
        assert_eq!(kinds, repeated(expected));
    }
}

#[test]
fn a_captured_record_fills_the_event() {
    let body = "bl=(7900),br=(352),cid=\"testsrc-60s\",com.example-pt=3951,e=ps,mtp=(32400),sf=h,sid=\"1111\",sn=24,st=v,\
                sta=a,ts=1795384693846,v=2\n";
    super::with_event(body, |event| {
        assert_eq!((event.kind, event.state), ("pause", Some(PlayState::Paused)));
        assert_eq!((event.session, event.item, event.viewer), (Some("1111"), Some("testsrc-60s"), None));
        assert_eq!(event.event_time, EventTime(1_795_384_693_846));
        assert_eq!((event.sent_at, event.sent_at_inferred), (Some(event.event_time), true));
        assert_eq!((event.playhead_s, event.throughput_kbps), (Some(3.951), Some(32_400.0)));
        let fields: Vec<_> = event.fields.iter().collect();
        let expected = [
            ("bl", Value::Number(7900.0)),
            ("br", Value::Number(352.0)),
            ("com.example-pt", Value::Number(3951.0)),
            ("sf", Value::Text("h")),
            ("sn", Value::Number(24.0)),
            ("st", Value::Text("v")),
            ("sta", Value::Text("a")),
        ];
        assert_eq!(fields, expected);
    });
}

#[test]
fn records_resent_to_a_failing_collector_keep_their_ids_and_others_differ() {
    let mut records = HashSet::new();
    let mut ids = HashSet::new();
    let mut sent = 0;
    for body in bodies(COLLECTOR_503) {
        sent += 1;
        records.insert(body.trim().to_string());
        ids.insert(with_rows(&body, |rows| rows[0].as_ref().expect("captured records are valid").id.to_string()));
    }
    assert_eq!((sent, records.len(), ids.len()), (22, 19, 19));
}

#[test]
fn headers_make_one_record() {
    let arena = Bump::new();
    let values = ["br=(352),d=2000,ot=v", "bl=(5900),mtp=(50500)", "cid=\"testsrc-60s\",sid=\"1111\",v=2", " bs "];
    let mut rows = Vec::new();
    let mut row = |row| rows.push(row);
    read_headers(&values, ARRIVAL, &Request::default(), &Cmcd::default(), &arena, &mut row);
    read_headers(&["", " "], ARRIVAL, &Request::default(), &Cmcd::default(), &arena, &mut row);
    let [Ok(event)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((event.kind, event.event_time.0, event.sent_at), ("segment", ARRIVAL.0, None));
    assert_eq!((event.session, event.throughput_kbps), (Some("1111"), Some(50_500.0)));
    assert_eq!(event.fields.get("bs"), Some(Value::Bool(true)));
}

#[test]
fn a_query_of_shaka_4_16_is_one_record_with_a_quoted_event() {
    let arena = Bump::new();
    let mut rows = Vec::new();
    let mut row = |row| rows.push(row);
    let query = "br=48,cid=\"x\",e=\"t\",mtp=14800,sid=\"1111\",ts=1795384693846,v=2";
    read_query(query, ARRIVAL, &Request::default(), &Cmcd::default(), &arena, &mut row);
    read_query("", ARRIVAL, &Request::default(), &Cmcd::default(), &arena, &mut row);
    let [Ok(event)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((event.kind, event.throughput_kbps), ("progress", Some(14_800.0)));
}
