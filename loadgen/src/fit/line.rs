//! One line of a log: an exported record, or an event as it was sent.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Times are within the years 1970 to 9999, epoch milliseconds: others are none, and sums of these do not overflow.
const TIMES: RangeInclusive<i64> = 0..=253_402_300_799_999;

/// What is used of an event.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    event_time: Time<'a>,
    #[serde(borrow, default)]
    sent_at: Option<Time<'a>>,
    #[serde(default)]
    sent_at_inferred: bool,
    #[serde(borrow, default)]
    pub(super) session: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) viewer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) item: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) device: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) country: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) timezone: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) playhead_s: Option<f64>,
    #[serde(default)]
    pub(super) duration_s: Option<f64>,
    #[serde(default)]
    pub(super) throughput_kbps: Option<f64>,
    #[serde(default)]
    pub(super) rtt_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Ms(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Time<'_> {
    fn ms(&self) -> Option<i64> {
        let ms = match self {
            Time::Ms(ms) => *ms,
            Time::Text(text) => text.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
        };
        TIMES.contains(&ms).then_some(ms)
    }
}

impl Event<'_> {
    /// When it happened by the player's clock, epoch milliseconds.
    pub(super) fn event_time(&self) -> Option<i64> {
        self.event_time.ms()
    }

    /// When it was sent by that clock, where the player says so.
    pub(super) fn sent_at(&self) -> Option<i64> {
        self.sent_at.as_ref().filter(|_| !self.sent_at_inferred)?.ms()
    }

    /// It was made of a CMCD record: the server gives it such an id, and infers when it was sent from `ts` where that is there.
    pub(super) fn is_cmcd(&self) -> bool {
        self.sent_at_inferred || self.id.starts_with("cmcd-")
    }
}

/// A decision of an exported log.
#[derive(Debug, Deserialize)]
pub(super) struct Decision<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) viewer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) session: Option<Cow<'a, str>>,
    pub(super) candidates: Vec<IgnoredAny>,
    pub(super) picks: Vec<IgnoredAny>,
}

/// What a line holds.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// Boxed: it is much larger than the rest. With when it came, epoch milliseconds, where that is said.
    Event(Box<Event<'a>>, Option<i64>),
    Decision(Decision<'a>),
    /// What a decision was worth, told as such.
    Reward,
    /// A record that tells nothing of viewers.
    Other,
}

/// Reads a line; none where it is neither a record nor an event.
pub(super) fn read(text: &str) -> Option<Line<'_>> {
    #[derive(Deserialize)]
    struct Record<'a> {
        #[serde(rename = "offset")]
        _offset: u64,
        #[serde(default)]
        ingest_time: Option<i64>,
        #[serde(borrow, default)]
        event: Option<Box<Event<'a>>>,
        #[serde(borrow, default)]
        decision: Option<Decision<'a>>,
        #[serde(default)]
        reward: Option<IgnoredAny>,
    }
    if !text.contains("\"offset\":") {
        return serde_json::from_str(text).ok().map(|event| Line::Event(event, None));
    }
    let record: Record<'_> = serde_json::from_str(text).ok()?;
    Some(match (record.event, record.decision) {
        (Some(event), _) => Line::Event(event, record.ingest_time.filter(|ms| TIMES.contains(ms))),
        (None, Some(decision)) => Line::Decision(decision),
        (None, None) if record.reward.is_some() => Line::Reward,
        (None, None) => Line::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_plain_or_in_records_and_what_is_neither_is_none() {
        let plain = r#"{"id":"a","type":"play","event_time":"2026-01-15T19:00:00Z","session":"s","more":{"x":[1]}}"#;
        let record = format!(r#"{{"offset":7,"partition":0,"ingest_time":5,"event":{plain}}}"#);
        for (text, came) in [(plain, None), (&record, Some(5))] {
            let Some(Line::Event(event, ingest_time)) = read(text) else { panic!("{text}") };
            assert_eq!(ingest_time, came);
            assert_eq!((event.kind.as_ref(), event.event_time()), ("play", Some(1_768_503_600_000)));
        }
        for (event_time, known) in
            [("-1", None), ("0", Some(0)), ("253402300799999", Some(253_402_300_799_999)), ("253402300800000", None)]
        {
            let text = format!(
                r#"{{"offset":7,"ingest_time":{event_time},"event":{{"type":"play","event_time":{event_time}}}}}"#
            );
            let Some(Line::Event(event, ingest_time)) = read(&text) else { panic!("{text}") };
            assert_eq!((event.event_time(), ingest_time), (known, known));
        }
        let cmcd = r#"{"id":"cmcd-1","type":"playing","event_time":7,"sent_at":9,"sent_at_inferred":true}"#;
        for (text, is_cmcd) in [(plain, false), (cmcd, true)] {
            let Some(Line::Event(event, None)) = read(text) else { panic!("{text}") };
            assert_eq!((event.is_cmcd(), event.sent_at()), (is_cmcd, None));
        }
        let decision = r#"{"offset":8,"partition":0,"ingest_time":5,"decision":{"id":"d","model":"home","candidates":[{"item":"a"}],"picks":[{}],"x":1}}"#;
        assert!(matches!(read(decision), Some(Line::Decision(d)) if d.model == "home" && d.candidates.len() == 1));
        let reward = r#"{"offset":8,"partition":0,"ingest_time":5,"reward":{"decision":"d","value":1.0}}"#;
        assert!(matches!(read(reward), Some(Line::Reward)));
        assert!(matches!(read(r#"{"offset":9,"partition":0,"ingest_time":5,"tick":true}"#), Some(Line::Other)));
        assert!(read("garbage").is_none() && read("{}").is_none());
    }
}
