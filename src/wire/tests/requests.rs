//! Requests at their limits and beyond, and what refusals say.

use super::*;
use proptest::prelude::*;
use saccade_topology::decision::Candidate;
use saccade_topology::{EventTime, Fields, Value};

/// What a rank request gives: `ok`, or code and message.
fn rank(body: &str) -> String {
    RankRequest::read(body.as_bytes(), &Bump::new())
        .map_or_else(|e| format!("{} {}", e.code, e.message), |_| "ok".into())
}

fn reward(body: &str) -> String {
    RewardRequest::read(body.as_bytes(), &Bump::new())
        .map_or_else(|e| format!("{} {}", e.code, e.message), |_| "ok".into())
}

/// A request with these items and more members.
fn asking(items: &str, more: &str) -> String {
    format!("{{\"items\":[{items}]{more}}}")
}

fn expect(found: &str, input: &str, expected: &str) {
    assert!(found.len() < 600, "{} bytes of message", found.len());
    let shown = &input[..input.floor_char_boundary(120)];
    assert!(
        if expected == "ok" { found == "ok" } else { found.contains(expected) },
        "{shown}\n gives {found}\n not {expected}"
    );
}

#[test]
fn a_whole_request_is_read_as_it_stands() {
    let body = r#" {"id":"d1","viewer":7,"session":"s","k":2,"deferred":true,"opt_out":false,
        "items":["a",12,{"id":"c","features":{"year":1999,"hd":true,"row":"härifrån","genres":["a",
        "b"],"none":null}},"x\u0041"],
        "exclude":["a","unknown"],"features":{"hour":21.5,"hour":22},"context":[1,-0.5,2e3],
        "event_time":"2026-11-22T20:15:00Z"} "#;
    let arena = Bump::new();
    let request = RankRequest::read(body.as_bytes(), &arena).expect("good");
    let mut bytes = vec![];
    Fields::push(&mut bytes, "year", Value::Number(1999.0));
    Fields::push(&mut bytes, "hd", Value::Bool(true));
    Fields::push(&mut bytes, "row", Value::Text("härifrån"));
    Fields::push(&mut bytes, "genres", Value::Json("[\"a\",         \"b\"]"));
    let features = Fields::from_bytes(&bytes);
    let none = Fields::default();
    let candidates = vec![
        Candidate { item: "12", features: none },
        Candidate { item: "c", features },
        Candidate { item: "xA", features: none },
    ];
    let expected = RankRequest {
        id: Some("d1"),
        viewer: Some("7"),
        session: Some("s"),
        candidates,
        k: 2,
        features: vec![("hour", 21.5), ("hour", 22.0)],
        context: Some(vec![1.0, -0.5, 2000.0]),
        event_time: Some(EventTime(1_795_378_500_000)),
        deferred: true,
        opt_out: false,
    };
    assert_eq!(request, expected);
    assert_eq!((request.feature("hour"), request.feature("day")), (Some(22.0), None));
}

#[test]
fn the_least_request_has_defaults_and_borrows_from_the_body() {
    let (body, arena) = (br#"{"items":["a"],"viewer":null}"#, Bump::new());
    let request = RankRequest::read(body, &arena).expect("good");
    assert_eq!((request.k, request.id, request.viewer, request.context.is_none()), (1, None, None, true));
    assert!(body.as_ptr_range().contains(&request.candidates[0].item.as_ptr()));
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn bad_rank_requests_are_told_field_value_and_rule() {
    for (body, expected) in [
        ("", "invalid_json the body is empty"),
        (" \n", "invalid_json the body is empty"),
        ("[]", "wrong_type expected a rank request as a JSON object, found an array"),
        ("\u{feff}{\"items\":[\"a\"]}", "ok"),
        ("{\"items\":[\"a\"]}x", "invalid_json"),
        ("{\"items\":[\"a\",]}", "invalid_json"),
        ("{}", "missing_field `items` of a rank request is missing; send what to choose from"),
        ("{\"items\":null}", "missing_field"),
        ("{\"items\":\"a\"}", "wrong_type `items` is \"a\"; expected a list"),
        ("{\"items\":[]}", "bad_value `items` is empty; expected 1 to 10000 items"),
        (
            "{\"itmes\":[\"a\"],\"items\":[\"a\"]}",
            "unknown_key `itmes` is no key of a rank request; did you mean `items`?",
        ),
        ("{\"items\":[\"a\"],\"items\":[\"b\"]}", "bad_value `items` of a rank request is given twice"),
        ("{\"items\":[\"a\"],\"k\":NaN}", "invalid_json `k` is NaN, which JSON does not have"),
    ] {
        expect(&rank(body), body, expected);
    }
    for (items, more, expected) in [
        (r#""a","a""#, "", "bad_value items[1]: \"a\" is given twice"),
        (r#"1,{"id":"1"}"#, "", "bad_value items[1]: \"1\" is given twice"),
        (r#""a",true"#, "", "wrong_type items[1]: `id` is true"),
        (r#""a",[]"#, "", "wrong_type items[1]: `id` is an array"),
        (r#""a",null"#, "", "wrong_type items[1]: `id` is null"),
        (r#""""#, "", "bad_value items[0]: `id` is \"\"; leave it out or send 1 to 256 bytes"),
        (r#"{}"#, "", "missing_field items[0]: `id` of an item is missing"),
        (r#"{"id":"a","propensity":1}"#, "", "unknown_key items[0]: `propensity` is no key of an item"),
        (r#"{"id":"a","feature":{}}"#, "", "did you mean `features`?"),
        (r#"{"id":"a","features":[]}"#, "", "wrong_type items[0]: `features` is an array; expected an object"),
        (r#"{"id":"a","features":{"x":{}}}"#, "", "wrong_type items[0]: `x` in `features` is an object"),
        (
            r#"{"id":"a","features":{"x":1e31}}"#,
            "",
            "out_of_range items[0]: `x` in `features` is 1e31; expected a number from -1e30 to 1e30",
        ),
        (r#"{"id":"a","features":{"":1}}"#, "", "bad_value items[0]"),
        (r#""a""#, r#","k":0"#, "out_of_range `k` is 0; expected 1 to 10000"),
        (r#""a""#, r#","k":10000"#, "ok"),
        (r#""a""#, r#","k":10001"#, "out_of_range `k`"),
        (r#""a""#, r#","k":1.5"#, "bad_value `k` is 1.5"),
        (r#""a","b""#, r#","exclude":["b","a"]"#, "bad_value `exclude` names all 2 of `items`"),
        (r#""a""#, r#","exclude":[{}]"#, "wrong_type exclude[0]"),
        (r#""a""#, r#","exclude":[]"#, "ok"),
        (r#""a""#, r#","features":{"x":1e30,"y":null}"#, "ok"),
        (r#""a""#, r#","features":{"x":-1.1e30}"#, "out_of_range in `features`, \"x\""),
        (r#""a""#, r#","features":{"x":true}"#, "wrong_type in `features`, \"x\""),
        (r#""a""#, r#","features":3"#, "wrong_type `features` is 3; expected an object of numbers"),
        (r#""a""#, r#","context":[]"#, "ok"),
        (r#""a""#, r#","context":[1,"2"]"#, "wrong_type context[1]: `context` is \"2\"; expected a number"),
        (r#""a""#, r#","context":[1e999]"#, "invalid_json"),
        (r#""a""#, r#","event_time":1760000000"#, "out_of_range `event_time` is 1760000000; that looks like seconds"),
        (r#""a""#, r#","event_time":"now""#, "bad_value `event_time` is \"now\""),
        (r#""a""#, r#","deferred":1"#, "wrong_type `deferred` is 1"),
        (r#""a""#, r#","viewer":"a\u0000""#, "bad_value `viewer`"),
        (r#""a""#, r#","id":1.5"#, "wrong_type `id`"),
    ] {
        let body = asking(items, more);
        expect(&rank(&body), &body, expected);
    }
    assert_eq!(RankRequest::read(b"{\"items\":[\"\xff\"]}", &Bump::new()).map_err(|e| e.code), Err("invalid_json"));
}

#[test]
fn sizes_are_taken_at_the_limit_and_refused_beyond() {
    for (name, max) in [("id", 128), ("viewer", 128), ("session", 128)] {
        let with = |n: usize| rank(&asking("1", &format!(",\"{name}\":\"{}\"", "a".repeat(n))));
        assert_eq!(with(max), "ok");
        expect(&with(max + 1), name, "too_long");
    }
    let item = |n: usize| rank(&asking(&format!("\"{}\"", "a".repeat(n)), ""));
    assert_eq!(item(256), "ok");
    expect(&item(257), "item", "too_long items[0]");
    expect(&item(1_000_000), "item", "too_long items[0]");
    let many = |n: usize, one: fn(usize) -> String| (0..n).map(one).collect::<Vec<_>>().join(",");
    let items = |n: usize| rank(&asking(&many(n, |i| i.to_string()), ""));
    assert_eq!(items(ITEMS_MAX), "ok");
    expect(&items(ITEMS_MAX + 1), "items", "too_long `items` is a list of more than 10000 elements");
    let context = |n: usize| rank(&asking("1", &format!(",\"context\":[{}]", many(n, |_| "0.5".into()))));
    assert_eq!(context(NUMBERS_MAX), "ok");
    expect(&context(NUMBERS_MAX + 1), "context", "too_long `context`");
    let features = |n: usize| many(n, |i| format!("\"f{i}\":1"));
    let of_request = |n: usize| rank(&asking("1", &format!(",\"features\":{{{}}}", features(n))));
    assert_eq!(of_request(NUMBERS_MAX), "ok");
    expect(&of_request(NUMBERS_MAX + 1), "features", "too_long `features`");
    let of_item = |n: usize| rank(&asking(&format!("{{\"id\":1,\"features\":{{{}}}}}", features(n)), ""));
    assert_eq!(of_item(NUMBERS_MAX), "ok");
    expect(&of_item(NUMBERS_MAX + 1), "item's features", "too_long items[0]");
    let text = |n: usize| rank(&asking(&format!("{{\"id\":1,\"features\":{{\"x\":\"{}\"}}}}", "a".repeat(n)), ""));
    assert_eq!(text(65_535), "ok");
    expect(&text(65_536), "text", "too_long items[0]");
    expect(&text(1_000_000), "text", "too_long items[0]");
}

#[test]
fn hostile_bodies_are_refused_without_using_the_stack_or_repeating_them() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let keys = (0..100_000).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",");
    for body in [
        "[".repeat(1_000_000),
        deep(500_000),
        "{\"items\":".repeat(100_000),
        asking(&deep(100_000), ""),
        asking(&format!("{{\"id\":1,\"features\":{{\"x\":{}}}}}", deep(100_000)), ""),
        asking("1", &format!(",\"{}\":1", "k".repeat(1_000_000))),
        asking("1", &format!(",{keys}")),
        asking("1", &format!(",\"viewer\":\"{}\"", "\\u0041".repeat(200_000))),
        asking("1", &format!(",\"event_time\":\"{}\"", "2".repeat(1_000_000))),
        asking("1", &format!(",\"k\":{}", "9".repeat(1_000_000))),
        format!("\"{}\"", "a".repeat(1_000_000)),
    ] {
        let found = rank(&body);
        assert!(found != "ok" && found.len() < 600, "{} {found:.200}", &body[..20]);
    }
    let lists = |n: usize| rank(&asking(&format!("{{\"id\":1,\"features\":{{\"x\":{}}}}}", deep(n)), ""));
    assert_eq!(lists(60), "ok");
    expect(&lists(61), "lists", "invalid_json");
}

#[test]
fn rewards_and_activations_are_read_and_refused_by_their_rules() {
    let arena = Bump::new();
    let body = br#"{"value":-0.5,"event_time":1760000000000,"item":"i","position":2,"id":9}"#;
    let read = RewardRequest::read(body, &arena).expect("good").of("d1");
    let expected = saccade_topology::decision::ExplicitReward {
        decision: "d1",
        id: Some("9"),
        item: Some("i"),
        position: Some(2),
        value: -0.5,
        event_time: Some(EventTime(1_760_000_000_000)),
    };
    assert_eq!(read, expected);
    for (body, expected) in [
        (r#"{"value":1e30}"#, "ok"),
        (r#"{"value":1}"#, "ok"),
        (r#"{"value":1.1e30}"#, "out_of_range `value` is 1.1e30; expected a number from -1e30 to 1e30"),
        (r#"{"value":true}"#, "wrong_type `value` is true"),
        (r#"{"value":Infinity}"#, "invalid_json"),
        (r#"{}"#, "missing_field `value` of a reward is missing"),
        (r#"{"valu":1,"value":1}"#, "did you mean `value`?"),
        (r#"{"value":1,"position":-1}"#, "out_of_range `position`"),
        (r#"{"value":1,"item":""}"#, "bad_value `item`"),
        ("", "invalid_json the body is empty"),
    ] {
        expect(&reward(body), body, expected);
    }
    let activate =
        |body: &[u8]| ActivateRequest::read(body, &arena).map(|a| a.event_time.map(|t| t.0)).map_err(|e| e.code);
    assert_eq!((activate(b""), activate(b" \r\n"), activate(b"{}")), (Ok(None), Ok(None), Ok(None)));
    assert_eq!(activate(br#"{"event_time":1760000000000}"#), Ok(Some(1_760_000_000_000)));
    assert_eq!((activate(b"[]"), activate(br#"{"time":1}"#)), (Err("wrong_type"), Err("unknown_key")));
    assert_eq!(decision_id("d").map_err(|e| e.code), Ok("d"));
    let long = "a".repeat(129);
    for (id, code) in [("", "bad_value"), ("a\u{1}", "bad_value"), (&*long, "too_long")] {
        assert_eq!(decision_id(id).map_err(|e| e.code), Err(code));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_and_near_requests_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "[\\[\\]{}\",:\\\\ \nu0-9a-eé.-]{0,60}",
        key in prop::sample::select(vec!["id", "viewer", "k", "exclude", "features", "context", "event_time", "items", "value"]),
    ) {
        let near = [format!("{{\"items\":[{text}]}}"), format!("{{\"items\":[\"a\"],\"{key}\":{text}}}"), format!("{{\"items\":[{{\"id\":\"a\",\"features\":{{{text}}}}}]}}"), text];
        for body in near.iter().map(String::as_bytes).chain([&bytes[..]]) {
            let arena = Bump::new();
            let _ = (RankRequest::read(body, &arena), RewardRequest::read(body, &arena), ActivateRequest::read(body, &arena));
        }
    }

    #[test]
    fn numbers_of_a_request_are_those_that_were_sent(context in prop::collection::vec(-1e30..1e30_f64, 0..8), small in prop::num::f64::SUBNORMAL) {
        let context = [&context[..], &[small, -0.0]].concat();
        let body = asking("1", &format!(",\"context\":{}", serde_json::to_string(&context).expect("numbers")));
        let arena = Bump::new();
        let read = RankRequest::read(body.as_bytes(), &arena).expect("good").context.expect("there");
        let bits = |all: &[f64]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read), bits(&context));
    }
}
