//! Recorded players: what hls.js sent while a person used it, dated to now and under a session id of its own.
//!
//! Pauses between requests and the order of arrival are those of the recording; only `ts` and `sid` are changed. What the
//! collector answered then (503 to one of them) is not played: what the player sent because of it is.

use serde_json::Value;

const RECORDINGS: [(&str, &str); 3] = [
    ("hls.js", include_str!("../../../tests/data/players/captures/hlsjs-cmcd2-event.jsonl")),
    ("hls.js with playhead", include_str!("../../../tests/data/players/captures/hlsjs-cmcd2-event-customkeys.jsonl")),
    ("hls.js after a 503", include_str!("../../../tests/data/players/captures/hlsjs-collector-503.jsonl")),
];

/// What one player did, from opening the page to leaving it.
pub(super) struct Recording {
    /// Which player.
    pub player: &'static str,
    /// When it began, epoch milliseconds.
    pub began_ms: i64,
    pub steps: Vec<Step>,
}

/// One line of a recording.
pub(super) struct Step {
    /// Milliseconds since the recording began.
    pub at_ms: u64,
    pub what: What,
}

/// What happened.
#[derive(Debug, PartialEq)]
pub(super) enum What {
    /// The player sent these CMCD records, one a line.
    Sent(String),
    /// The person at the player (or the network) did this.
    Did(String),
}

impl Recording {
    /// Time from its beginning to its last line.
    pub(super) fn length_ms(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.at_ms)
    }
}

/// All recordings in the binary.
pub(super) fn recordings() -> Vec<Recording> {
    RECORDINGS.iter().map(|(player, text)| read(player, text)).collect()
}

fn read(player: &'static str, text: &str) -> Recording {
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("recordings are JSON, a test reads them all"))
        .collect();
    let time = |line: &Value| line["t"].as_i64().unwrap_or_default();
    let began_ms = lines.first().map_or(0, time);
    let step = |line: &Value| {
        let at_ms = u64::try_from(time(line) - began_ms).unwrap_or_default();
        what(line).map(|what| Step { at_ms, what })
    };
    Recording { player, began_ms, steps: lines.iter().filter_map(step).collect() }
}

fn what(line: &Value) -> Option<What> {
    match line["kind"].as_str() {
        Some("request") if line["method"] == "POST" => line["body"].as_str().map(|body| What::Sent(body.to_string())),
        Some("action") => Some(What::Did(in_words(line))),
        _ => None,
    }
}

/// What the driver of the recording did, as a person would say it.
fn in_words(action: &Value) -> String {
    let to = match &action["to"] {
        Value::String(to) => to.clone(),
        to => to.to_string(),
    };
    match action["action"].as_str().unwrap_or_default() {
        "open" => "opened the page".into(),
        "play" => "pressed play".into(),
        "pause" => "pressed pause".into(),
        "seek" => format!("seeks to {to} s"),
        "rate" => format!("plays at {to}x"),
        "scroll" => format!("scrolled to the {to}"),
        "click" => "clicked beside the player".into(),
        "network-stall" => "lost the network".into(),
        "network-back" => "has network again".into(),
        "ended-seen" => "saw the end".into(),
        "destroy" | "leave-page" | "close" => "left".into(),
        other => other.replace('-', " "),
    }
}

/// The same records of another session, `shift_ms` later.
pub(super) fn redate(records: &str, shift_ms: i64, session: &str) -> String {
    let record = |line: &str| {
        let member = |member: &str| match member.split_once('=') {
            Some(("ts", ms)) => match ms.parse::<i64>() {
                Ok(ms) => format!("ts={}", ms + shift_ms),
                Err(_) => member.to_string(),
            },
            Some(("sid", _)) => format!("sid=\"{session}\""),
            _ => member.to_string(),
        };
        members(line).into_iter().map(member).collect::<Vec<_>>().join(",")
    };
    records.lines().map(record).collect::<Vec<_>>().join("\n") + "\n"
}

/// The members of a record: between commas that are in no string.
fn members(line: &str) -> Vec<&str> {
    let mut quoted = false;
    line.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .collect()
}

/// The play state a record reports, in words: the meaning of `sta`.
pub(super) fn reported(records: &str) -> Option<&'static str> {
    let state = members(records.lines().last()?).into_iter().find_map(|member| member.strip_prefix("sta="))?;
    Some(match state {
        "d" => "preloading",
        "s" => "starting",
        "p" => "playing",
        "k" => "seeking",
        "r" | "w" => "rebuffering",
        "a" => "paused",
        "e" => "ended",
        "f" => "failed",
        "q" => "gone",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmcd;
    use saccade_topology::IngestTime;

    /// Session and event time of each record, as the server reads them.
    fn read_back(records: &str, arrival_ms: i64) -> Vec<(String, i64)> {
        let mut events = vec![];
        let config = crate::config::Cmcd::default();
        let request = cmcd::Request { session: None, viewer: None };
        let arena = bumpalo::Bump::new();
        cmcd::read_body(records, IngestTime(arrival_ms), &request, &config, &arena, &mut |row| {
            let event = row.expect("a recorded record is read");
            events.push((event.session.unwrap_or_default().to_string(), event.event_time.0));
        });
        events
    }

    #[test]
    fn redating_changes_the_session_and_keeps_every_gap() {
        for recording in recordings() {
            for step in &recording.steps {
                let What::Sent(records) = &step.what else { continue };
                let before = read_back(records, recording.began_ms);
                let after = read_back(&redate(records, 86_400_123, "mine"), recording.began_ms);
                assert!(!before.is_empty(), "{records}");
                let shifted: Vec<_> = before.iter().map(|(_, time)| ("mine".to_string(), time + 86_400_123)).collect();
                assert_eq!(after, shifted, "{records}");
            }
        }
    }

    #[test]
    fn redating_leaves_everything_else_as_it_was() {
        let record = "br=(352),cid=\"a,ts=1\",e=rr,sid=\"x\",sn=4,ts=1000,url=\"http://h/?a=1,sid=2\",v=2\n";
        let expected = "br=(352),cid=\"a,ts=1\",e=rr,sid=\"s1\",sn=4,ts=1500,url=\"http://h/?a=1,sid=2\",v=2\n";
        assert_eq!(redate(record, 500, "s1"), expected);
    }

    #[test]
    fn recordings_go_forward_and_hold_what_the_player_sent_and_the_person_did() {
        for recording in recordings() {
            assert!(recording.steps.is_sorted_by_key(|step| step.at_ms), "{}", recording.player);
            let sent = recording.steps.iter().filter(|step| matches!(step.what, What::Sent(_))).count();
            assert!(sent > 20, "{} sent {sent}", recording.player);
            assert!(recording.steps.iter().any(|step| step.what == What::Did("pressed pause".into())));
        }
    }

    #[test]
    fn the_state_a_record_reports_has_a_word() {
        assert_eq!(reported("cid=\"a,sta=p\",e=ps,sta=a,ts=1,v=2\n"), Some("paused"));
        assert_eq!(reported("e=m,ts=1,v=2\n"), None);
    }
}
