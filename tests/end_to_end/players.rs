//! A recorded player through HTTP: the session's state against what the video element did.

use super::server::{Server, parse};
use serde_json::Value;
use tempfile::tempdir;

const CAPTURE: &str = include_str!("../data/players/captures/hlsjs-cmcd2-event.jsonl");
const SESSION: &str = "11111111-1111-4111-8111-111111111111";

/// What the element did, by its own events.
#[derive(Debug, Default, PartialEq)]
struct Truth {
    played_s: f64,
    paused_s: f64,
    pauses: u32,
    seeks: u32,
    rebuffers: u32,
    ended: bool,
}

impl Truth {
    fn of(lines: &[Value]) -> Truth {
        let mut truth = Truth::default();
        let (mut playing_since, mut paused_since, mut seeking) = (None, None, false);
        let events: Vec<(&str, f64)> = lines
            .iter()
            .filter(|line| line["kind"] == "media_event")
            .map(|line| (line["event"].as_str().expect("a name"), line["t"].as_f64().expect("a time")))
            .collect();
        for (k, (name, t)) in events.iter().enumerate() {
            // An element pauses by itself when it comes to its end: that is not the viewer's doing.
            let is_end = *name == "pause" && events.get(k + 1).is_some_and(|(next, _)| *next == "ended");
            if ["pause", "seeking", "waiting", "ended"].contains(name)
                && let Some(since) = playing_since.take()
            {
                truth.played_s += (t - since) / 1000.0;
            }
            match *name {
                "playing" => {
                    playing_since = playing_since.or(Some(*t));
                    seeking = false;
                }
                "play" => truth.paused_s += paused_since.take().map_or(0.0, |since| (t - since) / 1000.0),
                "pause" if !is_end => (truth.pauses, paused_since) = (truth.pauses + 1, Some(*t)),
                "seeking" => (truth.seeks, seeking) = (truth.seeks + 1, true),
                "waiting" if !seeking => truth.rebuffers += 1,
                "ended" => truth.ended = true,
                _ => {}
            }
        }
        truth
    }
}

#[test]
fn a_recorded_player_gives_the_state_that_its_video_element_was_in() {
    let lines: Vec<Value> = CAPTURE.lines().map(parse).collect();
    let truth = Truth::of(&lines);
    assert_eq!((truth.pauses, truth.seeks, truth.rebuffers, truth.ended), (1, 2, 1, true), "{truth:?}");
    assert!((truth.paused_s - 2.0).abs() < 0.1 && truth.played_s > 20.0, "{truth:?}");

    let data = tempdir().expect("a directory");
    // The recording is from the past: an idle tick, at the time of now, would end its session.
    let server = Server::start_with(data.path(), "[time]\nidle_timeout = \"1d\"");
    let mut records = 0;
    for request in lines.iter().filter(|line| line["kind"] == "request" && line["method"] == "POST") {
        let body = request["body"].as_str().expect("a POST has a body");
        let answer = server.post_with("/v1/cmcd", &[("content-type", "application/cmcd")], body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{body}");
        records += body.lines().count();
    }
    let context = server.context(SESSION);
    let features = &context["features"];
    let slot =
        |name: &str| features[format!("playback.{name}")].as_f64().unwrap_or_else(|| panic!("{name}: {features}"));
    assert_eq!(features["events"].as_f64(), Some(records as f64), "every record counts");
    assert!((slot("played_s") - truth.played_s).abs() <= 0.3, "{} against {truth:?}", slot("played_s"));
    assert!((slot("paused_s") - truth.paused_s).abs() <= 0.3, "{} against {truth:?}", slot("paused_s"));
    assert_eq!(slot("pauses"), f64::from(truth.pauses));
    assert_eq!(slot("seeks"), f64::from(truth.seeks));
    assert_eq!(slot("rebuffers"), f64::from(truth.rebuffers));
    assert_eq!((slot("ended"), slot("playing")), (1.0, 0.0));
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_request_reports_by_its_query_or_by_its_four_headers() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    let headers = |session: &str| {
        [
            ("CMCD-Object", "br=3200,d=4004,ot=v,tb=6000".to_string()),
            ("CMCD-Request", "bl=21300,mtp=25400,nor=\"..%2F300kbps%2Fsegment35.m4v\"".to_string()),
            ("CMCD-Session", format!("cid=\"film-7\",pr=1,sf=h,sid=\"{session}\",st=v")),
            ("CMCD-Status", "bs,rtp=15000".to_string()),
        ]
    };
    let by_headers = headers("by-headers");
    let by_headers: Vec<(&str, &str)> = by_headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let query = headers("by-query").map(|(_, value)| value).join(",");
    for answer in [
        server.get_with("/v1/cmcd", &by_headers),
        server.get(&format!("/v1/cmcd?CMCD={}", encoded(&query))),
        // Records that name no session are of the one in the path.
        server.get(&format!("/v1/cmcd/by-path?CMCD={}", encoded("br=3200,mtp=25400,ot=v,bs"))),
    ] {
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }
    for session in ["by-headers", "by-query", "by-path"] {
        let features = &server.context(session)["features"];
        assert_eq!(features["events"], 1.0, "{session}");
        let near = |name: &str| (features[name].as_f64().unwrap_or_else(|| panic!("{name}: {features}")) * 1e3).round();
        assert_eq!((near("throughput"), near("bitrate")), (25_400.0, 3200.0), "{session}");
    }
}

#[test]
fn a_player_is_answered_204_whatever_it_sends() {
    let data = tempdir().expect("a directory");
    let server = Server::start_with(data.path(), "[auth]\nwrite_keys = [\"right\"]");
    let good = "e=ps,sid=\"s1\",sta=p,v=2";
    // So far over the limit that its rest does not fit into what the system holds: the player must not see a reset either.
    let long = "x".repeat(16 << 20);
    let headers = |name, value| [(name, value), ("x-write-key", "right")];
    for (path, headers, body) in [
        ("/v1/cmcd", headers("content-type", "application/cmcd"), "\u{0}\u{1}\u{2}"),
        ("/v1/cmcd", headers("content-type", "application/json"), "{\"not\": \"cmcd\"}"),
        ("/v1/cmcd", headers("content-type", "application/cmcd"), long.as_str()),
        ("/v1/cmcd", headers("content-encoding", "br"), good),
        ("/v1/cmcd", headers("content-encoding", "gzip"), good),
        ("/v1/cmcd/%FF", headers("content-type", "text/plain"), good),
        ("/v1/cmcd/a/b/c", headers("content-type", ""), ""),
        ("/v1/cmcd", [("x-write-key", "wrong"), ("content-type", "text/plain")], good),
    ] {
        let answer = server.post_with(path, &headers, body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path} {headers:?}");
    }
    for path in ["/v1/cmcd", "/v1/cmcd?CMCD=", "/v1/cmcd?CMCD=%FF%00", "/v1/cmcd/s1"] {
        assert_eq!(server.get_with(path, &[("x-write-key", "right")]).status, 204, "{path}");
    }
    // All but the empty body of a POST and the good record, whose path does not decode.
    assert_eq!(server.metric("saccade_ingest_rejected_total"), 10.0, "what is wrong is counted");
    assert_eq!(server.context("s1")["features"]["events"], 1.0);
}
