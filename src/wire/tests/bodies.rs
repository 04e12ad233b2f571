//! Shapes of bodies, told by their first bytes, and what is taken of broken ones.

use super::*;
use saccade_topology::Value;
use std::collections::BTreeMap;

#[test]
fn one_object_an_array_and_lines_are_told_apart() {
    let (a, b, c) = (row("a"), row("b"), row("c"));
    let pretty = a.replace(',', ",\n  ").replace('{', "{\n  ").replace('}', "\n}");
    for (text, expected) in [
        (a.clone(), vec!["a"]),
        (format!(" \r\n{a}\n"), vec!["a"]),
        (format!("\u{feff}{a}\r\n{b}\r\n\r\n  \n{c}"), vec!["a", "b", "c"]),
        (format!("[{a},{b}, {c} ]\n"), vec!["a", "b", "c"]),
        (format!("\u{feff}[\n{pretty},\n{b}\n]"), vec!["a", "b"]),
        (pretty.clone(), vec!["a"]),
        ("[]".into(), vec![]),
        ("[ ]".into(), vec![]),
        (format!("{{\"events\":[{a},{b}]}}"), vec!["a", "b"]),
        (format!("{{\"batch\":[{a}],\"events\":[{b}]}}"), vec!["a", "b"]),
        ("{\"events\":[]}".into(), vec![]),
        ("{\"events\":5}".into(), vec!["0 missing_field"]),
        (row_with("\"events\":[1]"), vec!["e"]),
        (format!("{a}{b}"), vec!["0 invalid_json"]),
        (format!("{a} x\n{b}"), vec!["0 invalid_json", "b"]),
        (format!("junk\n{b}"), vec!["0 invalid_json", "b"]),
        (format!("{{\"a\":x\"}}\n{{\"b\":1\"}}\n{c}"), vec!["0 invalid_json", "1 invalid_json", "c"]),
        (format!("{}\n{{\"b\":2]}}", "{\"a\":[1}"), vec!["0 invalid_json", "1 invalid_json"]),
        (pretty[..pretty.len() - 2].into(), vec!["0 invalid_json"]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(String::from).collect();
        assert_eq!(body(&reader(""), text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn an_array_that_breaks_gives_the_rows_before_and_one_error() {
    let (a, b) = (row("a"), row("b"));
    for (text, expected) in [
        (format!("[{a},{b}"), vec!["a", "b", "2 invalid_json"]),
        (format!("[{a},{}", &b[..20]), vec!["a", "1 invalid_json"]),
        (format!("[{a} {b}]"), vec!["a", "1 invalid_json"]),
        (format!("[{a},]"), vec!["a", "1 invalid_json"]),
        (format!("[{a}],{b}"), vec!["a", "1 invalid_json"]),
        ("[".into(), vec!["0 invalid_json"]),
        (format!("[{a},{{\"x\":nul}},12,{b}]"), vec!["a", "1 invalid_json", "2 wrong_type", "b"]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(String::from).collect();
        assert_eq!(body(&reader(""), text.as_bytes()), Ok(expected), "{text}");
    }
    let mut message = String::new();
    let text = format!("[{a} {b}]");
    reader("")
        .read_body(text.as_bytes(), &Bump::new(), &mut |e| message = e.map_or_else(|e| e.message, |_| String::new()))
        .expect("a body");
    assert!(message.contains("breaks here") && message.contains("could not be read"), "{message}");
}

#[test]
fn rows_of_an_array_end_where_they_end_whatever_stands_in_their_strings() {
    let event = |n: usize, rest: &str| {
        format!(r#"{{"id":"e{n}","type":"play","event_time":1790000000000,"session":"s"{rest}}}"#)
    };
    let odd = [
        "",
        r#","item":"},{""#,
        r#","item":"a\"},{\"b""#,
        r#","fields":{"x":"}]"}"#,
        r#","value":-1"#,
        r#","tags":[1,{"y":"]"}]"#,
        " ",
    ];
    let rows: Vec<String> = (0..70).map(|n| event(n, odd[n * 5 % odd.len()])).collect();
    let body = format!("[ {} ]", rows.join(" ,\n"));
    let arena = Bump::new();
    let mut found = vec![];
    let reader = reader("");
    reader.read_body(body.as_bytes(), &arena, &mut |row| found.push(row.expect("all are good"))).expect("a body");
    let alone: Vec<_> = rows.iter().map(|row| reader.read_event(row, &arena).expect("it is good")).collect();
    assert_eq!(found, alone);
}

#[test]
fn bodies_of_which_nothing_can_be_read_are_refused_as_a_whole() {
    for (bytes, expected) in [
        (&b""[..], BodyError::Empty),
        (b" \r\n\t", BodyError::Empty),
        ("\u{feff}".as_bytes(), BodyError::Empty),
        (b"[{\"a\":\"\xff\"}]", BodyError::NotUtf8 { valid_up_to: 7 }),
        (b"{\"a\":\"\xff\"}\n", BodyError::NotUtf8 { valid_up_to: 6 }),
        (b"{\n\"a\":\"\xff\"\n}", BodyError::NotUtf8 { valid_up_to: 7 }),
        (b"{\n\"a\":\"\xff\"\n", BodyError::NotUtf8 { valid_up_to: 7 }),
        (b"\xff\n{\xfe\n", BodyError::NotUtf8 { valid_up_to: 0 }),
    ] {
        assert_eq!(body(&reader(""), bytes), Err(expected));
    }
    let garbage = "x1,\n".repeat(250_000);
    let refused = body(&reader(""), garbage.as_bytes()).expect_err("garbage");
    assert!(matches!(&refused, BodyError::NotJson { message } if message.len() < 200), "{refused}");
}

#[test]
fn bytes_that_are_no_text_cost_only_their_line() {
    let (a, b) = (row("a"), row("b"));
    let bad = b"{\"id\":\"\xff\",\"type\":\"play\"}".to_vec();
    for (lines, expected) in [
        (vec![a.as_bytes(), &bad, b.as_bytes()], vec!["a", "1 invalid_utf8", "b"]),
        (vec![&bad, b"", a.as_bytes()], vec!["0 invalid_utf8", "a"]),
        (vec![b"\xff", a.as_bytes()], vec!["0 invalid_utf8", "a"]),
        (vec![b"{\"id\":\"\xff", a.as_bytes()], vec!["0 invalid_utf8", "a"]),
        (vec![b"\xef\xbb\xbf{\"id\":1}", &bad], vec!["0 missing_field", "1 invalid_utf8"]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(String::from).collect();
        assert_eq!(body(&reader(""), &lines.join(&b"\r\n"[..])), Ok(expected));
    }
    let many = [a.as_bytes(), &bad, b.as_bytes(), b.as_bytes()].join(&b'\n');
    assert_eq!(body(&reader("batch_events_max = 3"), &many), Err(BodyError::TooManyEvents { max: 3 }));
}

#[test]
fn more_events_than_allowed_are_refused_before_the_first_is_taken() {
    let reader = reader("batch_events_max = 3");
    for count in [3, 4] {
        let rows: Vec<String> = (0..count).map(|i| row(&format!("e{i}"))).collect();
        for text in [rows.join("\n\n"), format!("[{}]", rows.join(",")), format!("{{\"events\":[{}]}}", rows.join(","))]
        {
            match body(&reader, text.as_bytes()) {
                Ok(taken) => assert_eq!((count, taken.len()), (3, 3)),
                Err(error) => assert_eq!((count, error), (4, BodyError::TooManyEvents { max: 3 })),
            }
        }
        for text in [format!("[{}]", vec!["0"; count].join(",")), format!("[{}]", vec!["[]"; count].join(" ,"))] {
            assert_eq!(body(&reader, text.as_bytes()).is_ok(), count == 3, "{text}");
        }
    }
}

#[test]
fn a_line_of_five_megabytes_is_one_bad_row() {
    let text = format!("{}\n{{\"x\":\"{}\"}}\n{}", row("a"), "y".repeat(5 << 20), row("b"));
    assert_eq!(body(&reader(""), text.as_bytes()), Ok(vec!["a".into(), "1 too_long".into(), "b".into()]));
}

#[test]
fn rows_inherit_the_fields_of_their_envelope_but_for_its_id() {
    let reader = reader("map = { session = \"sid\" }");
    let text = r#"{"id":"batch","events":[{"id":"a","type":"play"},{"id":"b","type":"stop","session":"own","device":"tv",
        "fields":{"app":"b"}},{"type":"play"}],"sid":"s","viewer":7,"device":"web","event_time":1760000000000,
        "why":"timer","fields":{"app":"a","v":[1]}}"#;
    let arena = Bump::new();
    let mut events = Vec::new();
    reader.read_body(text.as_bytes(), &arena, &mut |e| events.push(e.expect("a good row"))).expect("a body");
    let seen: Vec<_> = events.iter().map(|e| (e.session, e.viewer, e.device)).collect();
    let (s, v) = (Some("s"), Some("7"));
    assert_eq!(seen, [(s, v, Some("web")), (Some("own"), v, Some("tv")), (s, v, Some("web"))]);
    assert_eq!((events[0].id, events[1].id, events[2].id.len()), ("a", "b", 34));
    assert_eq!(events[1].fields.get("app"), Some(Value::Text("b")));
    assert_eq!(events[0].fields.get("v"), Some(Value::Json("[1]")));
    assert_eq!(events[0].fields.get("why"), None);
}

#[test]
fn a_viewer_that_stands_for_nobody_is_absent() {
    let viewers = |config: &str, viewer: &str| {
        let row = format!(r#"{{"id":"a","type":"play","event_time":1760000000000,"session":"s","viewer":{viewer}}}"#);
        let inherited = format!(
            r#"{{"viewer":{viewer},"session":"s","events":[{{"id":"b","type":"play","event_time":1760000000000}}]}}"#
        );
        let (reader, arena) = (reader(config), Bump::new());
        let mut viewers = vec![];
        for text in [&row, &inherited] {
            let mut take = |e: Result<saccade_topology::Event<'_>, _>| {
                viewers.push(e.expect("a good row").viewer.map(String::from))
            };
            reader.read_body(text.as_bytes(), &arena, &mut take).expect("a body");
        }
        assert_eq!(viewers[0], viewers[1], "{row}");
        viewers.swap_remove(0)
    };
    for nobody in ["0", "\"null\"", "\"anonymous\"", "\"anon\\u0079mous\"", "\"00000000-0000-0000-0000-000000000000\""]
    {
        assert_eq!(viewers("", nobody), None, "{nobody}");
    }
    for (config, viewer) in
        [("", "anonymous-1"), ("", "Anonymous"), ("nobody = []", "anonymous"), ("nobody = [\"x\"]", "0")]
    {
        assert_eq!(viewers(config, &format!("{viewer:?}")).as_deref(), Some(viewer));
    }
    let alone = r#"{"id":"a","type":"play","event_time":1760000000000,"viewer":"guest"}"#;
    let error = reader("").read_event(alone, &Bump::new()).expect_err("it is nobody's");
    assert_eq!(error.code, "missing_field");
    assert!(error.message.contains("ingest.nobody"), "{}", error.message);
}

#[test]
fn a_bad_field_of_an_envelope_is_reported_for_each_row() {
    let text = format!("{{\"session\":true,\"events\":[{},{}]}}", row("a"), row("b"));
    assert_eq!(body(&reader(""), text.as_bytes()), Ok(vec!["0 wrong_type".into(), "1 wrong_type".into()]));
}

#[test]
fn equal_rows_without_id_are_one_event_and_those_of_other_sessions_are_not() {
    let rows = r#"{"type":"play","event_time":1760000000000,"viewer":"v"}"#;
    let ids = body(&reader(""), format!("{rows}\n{rows}").as_bytes()).expect("lines");
    let array = body(&reader(""), format!("[{rows}]").as_bytes()).expect("an array");
    assert!(ids[0] == ids[1] && ids[0] == array[0] && ids[0].starts_with("h-") && ids[0].len() == 34, "{ids:?}");
    let enveloped = |head: &str| body(&reader(""), format!("{{{head}\"events\":[{rows}]}}").as_bytes()).expect("rows");
    assert_eq!(enveloped("")[0], ids[0]);
    assert_ne!(enveloped("\"session\":\"a\",")[0], ids[0]);
    assert_ne!(enveloped("\"session\":\"a\",")[0], enveloped("\"session\":\"b\",")[0]);
    assert_ne!(enveloped("\"session\":\"a\",")[0], enveloped("\"viewer\":\"a\",")[0]);
}

/// Two beacons as a page sent them (players/captures/dom-beacon.jsonl), rows shortened in number.
const BEACONS: [&str; 2] = [
    r#"{"sid":"44444444-4444-4444-8444-444444444444","why":"timer","sent":1795385142048,"events":[{"type":"impression","seq":0,"ts":1795385140063,"mono":414.8,"el":"wrap","ratio":1},{"type":"obscure","seq":2,"ts":1795385140063,"mono":414.8,"el":"card2","ratio":0},{"type":"play","seq":3,"ts":1795385141151,"mono":1502.7,"pt":0,"pr":1,"muted":false},{"type":"timeupdate","seq":5,"ts":1795385141414,"mono":1765.3,"pt":173,"bl":7827}]}"#,
    r#"{"sid":"44444444-4444-4444-8444-444444444444","why":"timer","sent":1795385144048,"events":[{"type":"timeupdate","seq":6,"ts":1795385142480,"mono":2831.9,"pt":1240,"bl":6760}]}"#,
];

#[test]
fn a_pages_own_beacons_are_read_completely_under_a_map() {
    let map = r#"map = { session = "sid", sent_at = "sent", event_time = "ts", playhead_s = { from = "pt", scale = 0.001 } }"#;
    let reader = reader(map);
    let arena = Bump::new();
    let mut events = BTreeMap::new();
    for beacon in BEACONS {
        let read = reader.read_body(beacon.as_bytes(), &arena, &mut |e| {
            let e = e.expect("a good row");
            let seen = (e.event_time.0, e.playhead_s, e.fields.get("seq"), e.sent_at.map(|t| t.0));
            events.insert(e.id, seen);
        });
        assert_eq!(read, Ok(()));
    }
    assert_eq!(events.len(), 5);
    let last = events.values().max_by_key(|e| e.0).expect("five events");
    assert_eq!(*last, (1_795_385_142_480, Some(1.24), Some(Value::Number(6.0)), Some(1_795_385_144_048)));
}
