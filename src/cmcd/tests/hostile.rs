//! Input that means harm: each line still gives exactly one row, and quickly.

use super::{ARRIVAL, outcome, outcomes, with_rows_from};
use crate::cmcd::{Request, read_headers, read_query};
use crate::config::{Cmcd, Ingest};
use crate::wire::{EventReader, read_record, write_record};
use bumpalo::Bump;
use proptest::prelude::*;
use saccade_topology::{Arrived, Event, Offset, Record};

/// Checks what holds for any body: a row a line, and events within their bounds that are exported and imported as they are.
fn check(body: &str) {
    check_from(body, &Request::default());
}

/// As [`check`], whatever the address says.
fn check_from(body: &str, request: &Request<'_>) {
    let lines = body.split('\n').filter(|line| !line.chars().all(|c| matches!(c, ' ' | '\t' | '\r'))).count();
    let is_id = |id: &str| (1..=128).contains(&id.len()) && !id.chars().any(char::is_control);
    with_rows_from(body, request, &Cmcd::default(), |rows| {
        assert_eq!(rows.len(), lines, "{body:?}");
        for (index, row) in rows.iter().enumerate() {
            match row {
                Err(error) => assert_eq!(error.index, index),
                Ok(event) => {
                    assert!((1..=64).contains(&event.kind.len()) && is_snake_case(event.kind), "{}", event.kind);
                    assert_eq!(event.id.len(), 37);
                    assert!(event.session.is_some_and(is_id), "{:?}", event.session);
                    assert!(event.viewer.is_none_or(is_id), "{:?}", event.viewer);
                    assert!(event.item.is_none_or(|cid| (1..=256).contains(&cid.len())));
                    assert!(event.event_time.0 > 0);
                    assert!(event.playhead_s.is_none_or(|s| s.is_finite() && s >= 0.0));
                    check_record(event);
                }
            }
        }
    });
}

/// A record of the event is read again as it was written.
fn check_record(event: &Event<'_>) {
    let (mut line, arena) = (vec![], Bump::new());
    let reader = EventReader::new(&Ingest::default()).expect("the default compiles");
    write_record(&mut line, 0, Offset(7), &Arrived { ingest_time: ARRIVAL, record: Record::Event(*event) });
    let line = String::from_utf8(line).expect("JSON is text");
    let (_, _, arrived) = read_record(&reader, &line, &arena).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    let Record::Event(read) = arrived.record else { panic!("{line}") };
    let told = |e: &Event<'_>| (e.event_time, e.sent_at, e.playhead_s, e.throughput_kbps, e.value, e.state);
    assert_eq!(told(&read), told(event), "{line}");
    assert_eq!(
        (read.id, read.kind, read.session, read.viewer, read.item),
        (event.id, event.kind, event.session, event.viewer, event.item)
    );
}

fn is_snake_case(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A value as a player, a careless player or an attacker may write it.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        "-?[0-9]{1,18}(\\.[0-9]{1,5})?",
        "\"[ -~]{0,12}\"",
        "\\(([0-9]{1,4}(;[va])?( [0-9]{1,4};[va])?)?\\)",
        "\\?[01]",
        "\\PC{0,8}",
    ]
}

/// A record with real keys.
fn record() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "e", "sid", "cid", "cen", "sta", "ts", "sn", "v", "mtp", "pr", "pt", "ttlb", "x-y", "bg",
    ]);
    prop::collection::vec((key, value()), 0..8).prop_map(|pairs| {
        let members = pairs.iter().map(|(key, value)| format!("{key}={value}"));
        std::iter::once("sid=\"s\"".to_string()).chain(members).collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #[test]
    fn any_text_gives_a_row_a_line(body in "(?s).{0,200}") {
        check(&body);
    }

    #[test]
    fn text_of_the_alphabet_of_records_gives_a_row_a_line(body in "[a-z0-9=\",;:()\\\\?.\\- \t\r\n*%@\u{e5}\0]{0,120}") {
        check(&body);
    }

    #[test]
    fn any_query_and_any_headers_give_one_row_or_none(text in prop_oneof![record(), "(?s).{0,200}"], more in "(?s).{0,40}") {
        let (arena, config) = (Bump::new(), Cmcd::default());
        let (mut of_query, mut of_headers) = (vec![], vec![]);
        read_query(&text, ARRIVAL, &Request::default(), &config, &arena, &mut |row| of_query.push(row));
        let headers = [&*text, &more];
        read_headers(&headers, ARRIVAL, &Request::default(), &config, &arena, &mut |row| of_headers.push(row));
        let blank = |text: &str| text.chars().all(|c| matches!(c, ' ' | '\t' | '\r'));
        prop_assert_eq!(of_query.len(), usize::from(!blank(&text)));
        prop_assert_eq!(of_headers.len(), usize::from(!blank(&text) || !blank(&more)));
    }

    #[test]
    fn whatever_the_address_says_ids_are_within_their_bounds(session in "(?s).{0,150}", viewer in "(?s).{0,150}") {
        check_from("e=t\ne=t,sid=\"s\"", &Request { session: Some(&session), viewer: Some(&viewer) });
    }

    #[test]
    fn records_with_any_values_give_a_row_a_line(records in prop::collection::vec(record(), 0..6)) {
        check(&records.join("\n"));
    }
}

#[test]
fn five_megabytes_on_a_line_give_one_row() {
    const BYTES: usize = 5 << 20;
    let table = [
        ("(", "!cmcd_syntax"),
        ("a,", "!cmcd_syntax"),
        ("x-y=,", "!cmcd_syntax"),
        ("\"", "!cmcd_syntax"),
        ("\\", "!cmcd_syntax"),
        ("\0", "!cmcd_syntax"),
        ("\u{e5}", "!cmcd_syntax"),
        ("sid=", "!cmcd_syntax"),
    ];
    for (part, expected) in table {
        let body = part.repeat(BYTES / part.len());
        assert_eq!(outcomes(&body), [expected], "{part:?}");
    }
    for part in ["(1 2;v);x", "\"\\\"\u{e5}\"", "%\"%0a\"", "1e9"] {
        let members: String = format!(",a-b={part}").repeat(BYTES / (part.len() + 5));
        assert_eq!(outcomes(&format!("e=t,sid=\"s\"{members}")), ["progress"], "{part:?}");
    }
    let custom: String = (0..BYTES / 16).map(|n| format!(",k-{n}={n}")).collect();
    assert_eq!(outcomes(&format!("e=t,sid=\"s\"{custom}")), ["progress"]);
}

#[test]
fn ids_of_the_address_are_taken_at_their_limits_and_refused_beyond() {
    let (at, beyond) = ("a".repeat(128), "a".repeat(129));
    for (session, viewer, expected) in [
        (at.as_str(), at.as_str(), "progress"),
        (&beyond, "v", "!cmcd_sid_too_long"),
        ("s", &beyond, "!cmcd_viewer_too_long"),
        ("s\n", "v", "!cmcd_control_character"),
        ("s", "v\u{7f}", "!cmcd_control_character"),
        ("s", "", "progress"),
    ] {
        let request = Request { session: Some(session), viewer: Some(viewer) };
        with_rows_from("e=t", &request, &Cmcd::default(), |rows| {
            assert_eq!(outcome(&rows[0]), expected, "{session:?} {viewer:?}")
        });
    }
}

#[test]
fn extreme_numbers_neither_wrap_nor_count_as_times() {
    let table = [
        "ts=999999999999999,ttlb=999999999999999,e=rr",
        "ts=-999999999999999,e=t",
        "ts=99999999999999999999999999,e=t",
        "ts=0,e=t",
        "ts=0.5,e=t",
        "ts=--,v=-1",
    ];
    for record in table {
        check(&format!("sid=\"s\",{record}"));
    }
}
