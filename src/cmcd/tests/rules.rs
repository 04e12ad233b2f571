//! The rules one by one: kinds, states, times, ids, limits.

use super::super::event::TEXT_BYTES_MAX;
use super::super::record::{CUSTOM_KEY_BYTES_MAX, CUSTOM_KEYS_MAX};
use super::{ARRIVAL, outcomes, with_event, with_rows, with_rows_from};
use crate::cmcd::Request;
use crate::config::Cmcd;
use crate::wire::{ID_BYTES_MAX, ITEM_BYTES_MAX};
use saccade_topology::record::{EventTime, PlayState, Value};

#[test]
fn event_tokens_have_their_kinds() {
    let table = [
        ("e=ps,sta=d", "preload", Some(PlayState::Preloading)),
        ("e=ps,sta=s", "start", Some(PlayState::Starting)),
        ("e=ps,sta=p", "playing", Some(PlayState::Playing)),
        ("e=ps,sta=k", "seeking", Some(PlayState::Seeking)),
        ("e=ps,sta=r", "waiting", Some(PlayState::Rebuffering)),
        ("e=ps,sta=w", "waiting", Some(PlayState::Rebuffering)),
        ("e=ps,sta=a", "pause", Some(PlayState::Paused)),
        ("e=ps,sta=e", "ended", Some(PlayState::Ended)),
        ("e=ps,sta=f", "error", Some(PlayState::Failed)),
        ("e=ps,sta=q", "stop", Some(PlayState::Quit)),
        ("e=\"ps\",sta=\"p\"", "playing", Some(PlayState::Playing)),
        ("e=ps", "play_state", None),
        ("e=ps,sta=x", "play_state", None),
        ("e=t,sta=p", "progress", Some(PlayState::Playing)),
        ("e=rr,sta=p", "segment", None),
        ("sta=p", "segment", None),
        ("e=e,ec=27,sta=p", "error", Some(PlayState::Playing)),
        ("e=bc", "quality_change", None),
        ("e=pr", "rate_change", None),
        ("e=c", "content_change", None),
        ("e=m", "mute", None),
        ("e=um", "unmute", None),
        ("bg,e=b", "background", None),
        ("bg=?0,e=b", "foreground", None),
        ("e=b", "foreground", None),
        ("e=pe", "expand", None),
        ("e=pc", "collapse", None),
        ("e=as", "ad_start", None),
        ("e=ae", "ad_end", None),
        ("e=abs", "ad_break_start", None),
        ("e=abe", "ad_break_end", None),
        ("e=sk", "ad_skip", None),
        ("e=h", "host_change", None),
        ("cen=\"like\",e=ce", "like", None),
        ("cen=\"addToList\",e=ce", "add_to_list", None),
        ("cen=\" Add  to-List! \",e=ce", "add_to_list", None),
        ("cen=\"2 fast\",e=ce", "custom_2_fast", None),
        ("cen=\"---\",e=ce", "custom", None),
        ("e=ce", "custom", None),
        ("e=Ne/w", "cmcd_ne_w", None),
        ("e=\"\"", "cmcd_unknown", None),
        ("e=5", "cmcd_unknown", None),
    ];
    for (keys, kind, state) in table {
        with_event(&format!("sid=\"s\",{keys}"), |event| {
            assert_eq!((event.kind, event.state), (kind, state), "{keys}")
        });
    }
}

#[test]
fn a_kind_has_at_most_64_bytes() {
    for (length, expected) in [(63, 63), (64, 64), (65, 64), (5000, 64)] {
        let record = format!("sid=\"s\",e=ce,cen=\"{}\"", "a".repeat(length));
        with_event(&record, |event| assert_eq!(event.kind.len(), expected));
        let record = format!("sid=\"s\",e=ce,cen=\"{}\"", "aB".repeat(length));
        with_event(&record, |event| assert!(event.kind.len() <= 64 && !event.kind.ends_with('_')));
    }
}

#[test]
fn the_rate_is_the_value_of_its_change_and_a_field_elsewhere() {
    with_event("e=pr,pr=1.5,sid=\"s\"", |event| assert_eq!(event.value, Some(1.5)));
    with_event("e=pr,sid=\"s\"", |event| assert_eq!(event.value, Some(1.0)));
    with_event("e=t,pr=1.5,sid=\"s\"", |event| {
        assert_eq!((event.value, event.fields.get("pr")), (None, Some(Value::Number(1.5))));
    });
}

#[test]
fn a_list_stands_for_its_video_or_else_first_item() {
    let table = [
        ("(300;v 48;a)", Some(300.0)),
        ("(48;a 300;v)", Some(300.0)),
        ("(48;a 300;v 200;v)", Some(300.0)),
        ("(48;a 300)", Some(48.0)),
        ("(300;v);x=1", Some(300.0)),
        ("300", Some(300.0)),
        ("()", None),
    ];
    for (value, expected) in table {
        with_event(&format!("e=t,mtp={value},sid=\"s\""), |event| {
            assert_eq!(event.throughput_kbps, expected, "{value}")
        });
    }
}

#[test]
fn of_a_key_given_twice_the_last_value_counts() {
    let table = [
        ("mtp=1,mtp=2", Some(2.0)),
        ("mtp=(1;v),mtp=(2;a 3)", Some(2.0)),
        ("mtp=1,mtp=()", None),
        ("mtp=1,mtp=", None),
        ("mtp=,mtp=2", Some(2.0)),
    ];
    for (keys, expected) in table {
        with_event(&format!("sid=\"s\",{keys}"), |event| assert_eq!(event.throughput_kbps, expected, "{keys}"));
    }
}

#[test]
fn lines_may_end_in_any_way_and_stand_apart() {
    let record = "e=t,sid=\"s\"";
    for body in
        [format!("{record}\n{record}"), format!("{record}\r\n\r\n {record}\t \n\n"), format!("\n{record} \n{record}\n")]
    {
        assert_eq!(outcomes(&body), ["progress", "progress"], "{body:?}");
    }
    let body = format!("{record}\n{{\"e\":\"t\",\"sid\":\"s\"}}\n{record}, v=3\n\ne=t\n{record}");
    assert_eq!(outcomes(&body), ["progress", "!cmcd_syntax", "!cmcd_version", "!cmcd_no_session", "progress"]);
    with_rows(&body, |rows| assert_eq!(rows[3].as_ref().map_err(|error| error.index).err(), Some(3)));
}

#[test]
fn faults_cost_a_value_or_the_record() {
    let table = [
        ("e=t,sid=\"s\",br=", "progress"),
        ("e=t,sid=\"s\",cid=my film", "progress"),
        ("e=t,sid=\"s\",Br-X=1", "progress"),
        ("e=t,sid=\"s\",mtp=\"fast\"", "progress"),
        ("e=t,sid=\"s\",v=\"3\"", "progress"),
        ("e=t,sid=\"s\",v=2", "progress"),
        ("e=t,sid=\"s\",v=2.5", "!cmcd_version"),
        ("e=t,sid=\"s\",", "!cmcd_syntax"),
        ("e=t,sid=\"s\",url=\"http", "!cmcd_syntax"),
        ("e=t,sid=\"s\",br=(1", "!cmcd_syntax"),
        ("e=,sid=\"s\"", "!cmcd_syntax"),
        ("e=t,sid=1111-2222", "!cmcd_syntax"),
        ("e=t,sid=\"s\",not a key", "!cmcd_syntax"),
        ("hello", "!cmcd_syntax"),
        ("e=t,sid=\"\"", "!cmcd_no_session"),
    ];
    for (record, expected) in table {
        assert_eq!(outcomes(record), [expected], "{record}");
    }
}

#[test]
fn values_that_players_send_against_the_rules_are_understood() {
    let record = "br=352.12345,cid=\"h\u{e4}rifr\u{e5}n \\\"1\\\"\",e=t,pr=junk junk,sid=\"s\",ts=1795384693846.25";
    with_event(record, |event| {
        assert_eq!(event.item, Some("h\u{e4}rifr\u{e5}n \"1\""));
        assert_eq!(event.event_time, EventTime(1_795_384_693_846));
        assert_eq!(event.fields.iter().collect::<Vec<_>>(), [("br", Value::Number(352.12345))]);
    });
}

#[test]
fn session_and_viewer_come_from_the_address_where_the_record_has_none() {
    let request = Request { session: Some("address"), viewer: Some("ada") };
    with_rows_from("e=t\ne=t,sid=\"own\"", &request, &Cmcd::default(), |rows| {
        let who: Vec<_> = rows.iter().flatten().map(|event| (event.session, event.viewer)).collect();
        assert_eq!(who, [(Some("address"), Some("ada")), (Some("own"), Some("ada"))]);
    });
}

#[test]
fn sent_at_is_the_latest_end_in_the_body() {
    let body = "e=rr,sid=\"s\",ts=1000,ttlb=8729\ne=t,sid=\"s\",ts=5000,ttlb=90000\nbr=1,sid=\"s\"";
    with_rows(body, |rows| {
        let sent: Vec<_> =
            rows.iter().flatten().map(|event| (event.event_time.0, event.sent_at, event.sent_at_inferred)).collect();
        let end = Some(EventTime(9729));
        assert_eq!(sent, [(1000, end, true), (5000, end, true), (ARRIVAL.0, None, false)]);
    });
}

#[test]
fn an_id_depends_on_session_and_record_alone() {
    let id = |record: &str, session: &str| {
        let request = Request { session: Some(session), viewer: Some(&record[..4]) };
        with_rows_from(record, &request, &Cmcd::default(), |rows| {
            rows.last().and_then(|row| row.as_ref().ok()).expect("records are valid").id.to_string()
        })
    };
    let record = "e=t,sn=1,ts=1000";
    assert_eq!(id(record, "a"), id(" e=t,sn=1,ts=1000 \r\n", "a"));
    assert_eq!(id(record, "a"), id("e=ps,ts=900\ne=t,sn=1,ts=1000\n", "a"));
    assert_eq!(id(record, "a").len(), "cmcd-".len() + 32);
    for (other, session) in
        [(record, "b"), ("e=t,sn=2,ts=1000", "a"), ("e=t,sn=1,ts=1001", "a"), ("e=b,sn=1,ts=1000", "a")]
    {
        assert_ne!(id(record, "a"), id(other, session), "{other} {session}");
    }
}

#[test]
fn records_that_nothing_tells_apart_are_told_apart_by_their_place() {
    with_rows("br=352,sid=\"s\"\nbr=352,sid=\"s\"", |rows| {
        let ids: Vec<_> = rows.iter().flatten().map(|event| event.id).collect();
        assert_ne!(ids[0], ids[1]);
    });
}

#[test]
fn limits_hold_at_the_limit_and_one_above() {
    let table = [("sid", ID_BYTES_MAX, "!cmcd_sid_too_long"), ("cid", ITEM_BYTES_MAX, "!cmcd_cid_too_long")];
    for (key, max, code) in table {
        let record = |bytes| format!("e=t,sid=\"s\",{key}=\"{}\"", "x".repeat(bytes));
        assert_eq!(outcomes(&record(max)), ["progress"]);
        assert_eq!(outcomes(&record(max + 1)), [code]);
    }
    let config = Cmcd { batch_records_max: 2, ..Cmcd::default() };
    with_rows_from("e=t,sid=\"s\"\nnot a record\ne=t,sid=\"s\"\n\nx\n", &Request::default(), &config, |rows| {
        let outcomes: Vec<_> = rows.iter().map(super::outcome).collect();
        assert_eq!(outcomes, ["progress", "!cmcd_syntax", "!batch_too_long", "!batch_too_long"]);
        assert_eq!(rows[3].as_ref().map_err(|error| error.index).err(), Some(3));
    });
}

#[test]
fn what_is_kept_of_a_record_is_bounded() {
    let url = format!("e=t,sid=\"s\",url=\"{}\u{e5}\"", "x".repeat(TEXT_BYTES_MAX - 1));
    with_event(&url, |event| match event.fields.get("url") {
        Some(Value::Text(text)) => assert_eq!(text.len(), TEXT_BYTES_MAX - 1),
        other => panic!("{other:?}"),
    });
    let custom: String = (0..=CUSTOM_KEYS_MAX).map(|n| format!(",com.x-k{n}={n}")).collect();
    with_event(&format!("e=t,sid=\"s\"{custom}"), |event| assert_eq!(event.fields.iter().count(), CUSTOM_KEYS_MAX));
    for (bytes, kept) in [(CUSTOM_KEY_BYTES_MAX, 1), (CUSTOM_KEY_BYTES_MAX + 1, 0)] {
        let key = format!("k-{}", "x".repeat(bytes - 2));
        with_event(&format!("e=t,sid=\"s\",{key}=1,unknown=2"), |event| assert_eq!(event.fields.iter().count(), kept));
    }
}

#[test]
fn the_playhead_is_the_first_configured_key_with_a_value() {
    let config = Cmcd { playhead_keys: vec!["place".into(), "pt".into()], ..Cmcd::default() };
    let table =
        [("pt=500,place=1500", Some(1.5)), ("pt=500", Some(0.5)), ("pt=500,place=?0", Some(0.5)), ("pt=-1", None)];
    for (keys, expected) in table {
        with_rows_from(&format!("e=t,sid=\"s\",{keys}"), &Request::default(), &config, |rows| {
            assert_eq!(rows[0].as_ref().map(|event| event.playhead_s), Ok(expected), "{keys}");
        });
    }
}
