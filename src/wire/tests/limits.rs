//! Values at the limit and one beyond, and the codes and messages of refusals.

use super::*;
use saccade_topology::{Event, EventTime, PlayState, Value};

/// Reads a complete row with more keys, expected to be good.
fn with_event(more: &str, check: impl FnOnce(Event<'_>)) {
    let (text, arena) = (row_with(more), Bump::new());
    check(reader("").read_event(&text, &arena).unwrap_or_else(|e| panic!("{more}: {e:?}")));
}

#[test]
fn lengths_are_taken_at_the_limit_and_refused_beyond() {
    for (name, max) in [
        ("id", 128),
        ("type", 64),
        ("session", 128),
        ("viewer", 128),
        ("decision", 128),
        ("item", 256),
        ("device", 64),
        ("country", 8),
        ("timezone", 64),
    ] {
        let with = |n: usize| code(&row_with(&format!(r#""{name}":"{}""#, "a".repeat(n))));
        assert_eq!((name, with(1), with(max), with(max + 1)), (name, "ok", "ok", "too_long"));
        assert_eq!((name, with(0)), (name, "bad_value"));
    }
}

#[test]
fn an_event_is_taken_at_the_limit_of_its_bytes_and_refused_beyond() {
    let text = row("e");
    for (max, expected) in [(text.len(), "e"), (text.len() - 1, "0 too_long")] {
        let reader = reader(&format!("event_bytes_max = {max}"));
        assert_eq!(body(&reader, text.as_bytes()), Ok(vec![expected.to_string()]));
    }
}

#[test]
fn single_values_get_the_code_of_what_is_wrong_with_them() {
    for (more, expected) in [
        (r#""position":0"#, "ok"),
        (r#""position":3.0"#, "ok"),
        (r#""position":4294967295"#, "ok"),
        (r#""position":4294967296"#, "out_of_range"),
        (r#""position":-1"#, "out_of_range"),
        (r#""position":1.5"#, "bad_value"),
        (r#""position":"1""#, "wrong_type"),
        (r#""playhead_s":0"#, "ok"),
        (r#""playhead_s":-0.001"#, "out_of_range"),
        (r#""duration_s":-1"#, "out_of_range"),
        (r#""value":-1e308"#, "ok"),
        (r#""value":1e999"#, "invalid_json"),
        (r#""value":NaN"#, "invalid_json"),
        (r#""value":Infinity"#, "invalid_json"),
        (r#""value":[1]"#, "wrong_type"),
        (r#""network":{"throughput_kbps":-1}"#, "out_of_range"),
        (r#""network":{"rtt_ms":-1}"#, "out_of_range"),
        (r#""network":5"#, "wrong_type"),
        (r#""network":null"#, "ok"),
        (r#""fields":[]"#, "wrong_type"),
        (r#""state":"paused""#, "ok"),
        (r#""state":"asleep""#, "ok"),
        (r#""state":1"#, "ok"),
        (r#""sent_at_inferred":1"#, "wrong_type"),
        (r#""device":1"#, "wrong_type"),
        (r#""item":true"#, "wrong_type"),
        (r#""item":1.5"#, "wrong_type"),
        (r#""item":18446744073709551615"#, "ok"),
        (r#""item":18446744073709551616"#, "wrong_type"),
        (r#""item":"a\u0000b""#, "bad_value"),
        (r#""item":"a\u007fb""#, "bad_value"),
        (r#""item":"a\u0085bcdefghijklm""#, "bad_value"),
        (r#""item":"häst""#, "ok"),
        (r#""type":"Play""#, "bad_value"),
        (r#""type":"1play""#, "bad_value"),
        (r#""type":"_play""#, "bad_value"),
        (r#""type":7"#, "wrong_type"),
        (r#""item":"a\ud800""#, "invalid_json"),
        (r#""item":"a\x""#, "invalid_json"),
        (r#""x":"\uZZZZ""#, "invalid_json"),
        (r#""x":["\uZZZZ"]"#, "invalid_json"),
    ] {
        assert_eq!((more, code(&row_with(more))), (more, expected));
    }
}

#[test]
fn rows_that_are_no_event_get_the_code_of_why() {
    for (text, expected) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("{\"a\":1}}", "invalid_json"),
        ("nonsense", "invalid_json"),
        ("[1]", "wrong_type"),
        ("null", "wrong_type"),
        ("12", "wrong_type"),
        ("\"text\"", "wrong_type"),
        ("{}", "missing_field"),
        (r#"{"type":"play","session":"s"}"#, "missing_field"),
        (r#"{"type":"play","event_time":1760000000000}"#, "missing_field"),
        (r#"{"event_time":1760000000000,"viewer":"v"}"#, "missing_field"),
        (r#"{"type":"play","event_time":1760000000000,"viewer":null,"session":null}"#, "missing_field"),
        (r#"{"type":"play","event_time":1760000000000,"viewer":"v"}"#, "ok"),
    ] {
        assert_eq!((text, code(text)), (text, expected));
    }
}

#[test]
fn times_are_milliseconds_or_rfc_3339_from_2000_to_2199() {
    for (time, expected) in [
        ("946684800000", Ok(946_684_800_000)),
        ("946684799999", Err("out_of_range")),
        ("7258118399999", Ok(7_258_118_399_999)),
        ("7258118400000", Err("out_of_range")),
        ("18446744073709551615", Err("out_of_range")),
        ("-1", Err("out_of_range")),
        ("1e300", Err("out_of_range")),
        ("1760000000000.6", Ok(1_760_000_000_001)),
        ("1760000000", Err("out_of_range")),
        ("\"2026-11-22T20:15:00Z\"", Ok(1_795_378_500_000)),
        ("\"2026-11-22T22:15:00.250+02:00\"", Ok(1_795_378_500_250)),
        ("\"2199-12-31T23:59:59.999Z\"", Ok(7_258_118_399_999)),
        ("\"3000-01-01T00:00:00Z\"", Err("out_of_range")),
        ("\"2026-11-22T20:15:00\"", Err("bad_value")),
        ("\"yesterday\"", Err("bad_value")),
        ("true", Err("wrong_type")),
        ("{}", Err("wrong_type")),
    ] {
        for name in ["event_time", "sent_at"] {
            let text = row_with(&format!("\"{name}\":{time}"));
            let arena = Bump::new();
            let event = reader("").read_event(&text, &arena).map_err(|e| e.code);
            let found = event.map(|e| if name == "sent_at" { e.sent_at.map_or(0, |t| t.0) } else { e.event_time.0 });
            assert_eq!((name, time, found), (name, time, expected));
        }
    }
}

#[test]
fn messages_name_field_value_and_rule() {
    let reader = reader("map = { event_time = \"ts\" }");
    for (text, parts) in [
        (
            row_with(r#""event_time":"yesterday""#),
            ["`event_time` is \"yesterday\"; expected RFC 3339 such as 2026-11-22T20:15:00Z or epoch milliseconds", ""],
        ),
        (row_with(r#""ts":1760000000"#), ["`event_time` (sent as `ts`) is 1760000000", "looks like seconds"]),
        (row_with(r#""type":"timeUpdate""#), ["`type` is \"timeUpdate\"", "\"time_update\""]),
        (row_with(r#""type":"2 Fast-Clicks!""#), ["`type` is \"2 Fast-Clicks!\"", "\"fast_clicks\""]),
        (row_with(&format!(r#""item":"{}""#, "é".repeat(200))), ["it has 400 bytes, allowed are 1 to 256", "éé\"…"]),
        (r#"{"type":"play","session":"s"}"#.to_string(), ["`event_time` (or `ts`) is missing", "RFC 3339"]),
        ("[]".to_string(), ["expected a JSON object", ""]),
    ] {
        let error = reader.read_event(&text, &Bump::new()).expect_err(&text);
        assert_eq!(error.index, 0);
        assert!(error.message.len() < 400, "{}", error.message);
        assert!(parts.iter().all(|part| error.message.contains(part)), "{:?} has {parts:?}", error.message);
    }
}

#[test]
fn the_last_of_equal_keys_wins_and_null_is_absent() {
    with_event(r#""item":"a","item":"b","item":null"#, |e| assert_eq!(e.item, Some("b")));
    with_event(r#""item":true,"position":1,"item":"b""#, |e| assert_eq!(e.item, Some("b")));
    assert_eq!(code(&row_with(r#""item":true,"position":-1,"item":"b""#)), "out_of_range");
    assert_eq!(code(&row_with(r#""item":"b","item":true"#)), "wrong_type");
}

#[test]
fn a_mapped_name_wins_over_the_canonical_one_whatever_their_order() {
    let reader = reader("map = { item = \"asset\", playhead_s = { from = \"pt\", scale = 0.001 } }");
    for (more, item, playhead) in [
        (r#""asset":"a","item":"b","pt":1500,"playhead_s":9"#, "a", 1.5),
        (r#""item":true,"asset":"a","playhead_s":-9,"pt":1500"#, "a", 1.5),
        (r#""item":"b","playhead_s":9"#, "b", 9.0),
        (r#""item":"b","asset":null,"playhead_s":9"#, "b", 9.0),
    ] {
        let (text, arena) = (row_with(more), Bump::new());
        let event = reader.read_event(&text, &arena).unwrap_or_else(|e| panic!("{more}: {e:?}"));
        assert_eq!((event.item, event.playhead_s), (Some(item), Some(playhead)), "{more}");
    }
}

#[test]
fn escapes_and_numeric_ids_become_text() {
    with_event(r#""item":"\ud83d\ude00 \"\\\/\u00e5","viewer":-12,"decision":345"#, |e| {
        assert_eq!((e.item, e.viewer, e.decision), (Some("😀 \"\\/å"), Some("-12"), Some("345")));
    });
    with_event(r#""it\u0065m":"x""#, |e| assert_eq!(e.item, Some("x")));
}

#[test]
fn strings_without_escapes_are_slices_of_the_input() {
    let (text, arena) = (row("e"), Bump::new());
    let event = reader("").read_event(&text, &arena).expect("a good row");
    assert!(text.as_bytes().as_ptr_range().contains(&event.id.as_ptr()));
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn unknown_keys_become_free_fields() {
    let more = r#""br":352,"live":true,"row":"ä","none":null,"tags":[1,
{"a":"\n"}],"fields":{"id":3,"o":{}},"network":{"rtt_ms":7,"kind":"4g"},"state":"playing""#;
    with_event(more, |e| {
        let fields: Vec<_> = e.fields.iter().collect();
        let expected = [
            ("br", Value::Number(352.0)),
            ("live", Value::Bool(true)),
            ("row", Value::Text("ä")),
            ("tags", Value::Json(r#"[1, {"a":"\n"}]"#)),
            ("id", Value::Number(3.0)),
            ("o", Value::Json("{}")),
            ("network.kind", Value::Text("4g")),
        ];
        assert_eq!(fields, expected);
        assert_eq!((e.rtt_ms, e.state, e.id), (Some(7.0), Some(PlayState::Playing), "e"));
        assert_eq!(e.event_time, EventTime(1_760_000_000_000));
    });
}

#[test]
fn a_state_that_is_no_state_of_a_player_is_a_free_field() {
    with_event(r#""state":"hidden""#, |e| {
        assert_eq!((e.state, e.fields.get("state")), (None, Some(Value::Text("hidden"))));
    });
    for (state, expected) in [
        ("1", Value::Number(1.0)),
        ("true", Value::Bool(true)),
        ("[1]", Value::Json("[1]")),
        (r#"{"a":{}}"#, Value::Json(r#"{"a":{}}"#)),
    ] {
        with_event(&format!(r#""state":{state},"x":[]"#), |e| {
            assert_eq!((e.state, e.fields.get("state")), (None, Some(expected)), "{state}");
        });
        with_event(&format!(r#""state":{state}"#), |e| assert_eq!(e.fields.get("state"), Some(expected), "{state}"));
    }
    with_event(r#""state":"paused","x":[]"#, |e| assert_eq!(e.state, Some(PlayState::Paused)));
}

#[test]
fn free_fields_are_taken_at_their_limits_and_refused_beyond() {
    let text = |n: usize| code(&row_with(&format!(r#""x":"{}""#, "a".repeat(n))));
    assert_eq!((text(65_535), text(65_536)), ("ok", "too_long"));
    let name = |n: usize| code(&row_with(&format!(r#""{}":1"#, "a".repeat(n))));
    assert_eq!((name(65_535), name(65_536)), ("ok", "too_long"));
    let nested = |n: usize| code(&row_with(&format!(r#""x":{}{}"#, "[".repeat(n), "]".repeat(n))));
    assert_eq!((nested(64), nested(65), nested(10_000)), ("ok", "invalid_json", "invalid_json"));
}

#[test]
fn deep_nesting_is_refused_without_using_the_stack() {
    let whole = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for text in
        ["[".repeat(10_000), whole(10_000), "{\"a\":".repeat(10_000), row_with(&format!("\"x\":{}", whole(100_000)))]
    {
        assert_eq!(code(&text), "invalid_json", "{}", &text[..20]);
        assert_eq!(body(&reader(""), text.as_bytes()), Ok(vec!["0 invalid_json".to_string()]), "{}", &text[..20]);
    }
    let inside = format!("[{},{}]", row("a"), "[".repeat(1_000_000));
    assert_eq!(body(&reader(""), inside.as_bytes()), Ok(vec!["a".into(), "1 invalid_json".into()]));
}
