//! What an inspection says: the body of `GET /v1/inspect/session/{id}`, and what the command line shows.

use crate::wire::rfc3339;
use saccade_topology::EndReason;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment, epoch milliseconds; RFC 3339 in UTC with milliseconds in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(pub i64);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse::<jiff::Timestamp>().map(|t| At(t.as_millisecond())).map_err(de::Error::custom)
    }
}

/// A session, from the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Inspection {
    pub session: String,
    /// Names the layout of the vector.
    pub schema_version: String,
    /// One view per partition that holds events of the session: more than one only where some of its events named a viewer
    /// and some did not, or named different ones.
    pub partitions: Vec<View>,
}

/// The session in one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    pub partition: u16,
    pub status: Status,
    /// Why it ended, where it has: `gap`, `max_length`, `evicted`.
    pub ended_by: Option<String>,
    pub viewer: Option<String>,
    /// Where the viewer's context is read.
    pub viewer_context: Option<String>,
    /// Offset of the record that refreshed the context last.
    pub version: Option<u64>,
    /// Greatest event time in the vector.
    pub event_time: Option<At>,
    /// The partition's.
    pub watermark: Option<At>,
    /// Offset of the first record that is still in the log, where older ones were dropped: they are not in this view.
    pub log_begins_at: Option<u64>,
    pub counts: Counts,
    /// In event-time order; the newest arrivals where there are too many.
    pub events: Vec<EventView>,
    pub borders: Vec<Border>,
    pub slots: Vec<SlotView>,
}

/// Whether readers get a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Open.
    Live,
    /// The watermark has passed its end; an event within the allowed lateness may reopen it.
    Ended,
    /// Its state is gone; the vector is the last one that was published.
    Removed,
    /// None of its events was accepted.
    Never,
}

/// Records of the session by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub accepted: u64,
    pub late: u64,
    /// Left by `saccade import`; `serve` logs none.
    pub duplicates: u64,
    pub rejected: u64,
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.accepted + self.late + self.duplicates + self.rejected
    }
}

/// The one bucket an event ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bucket {
    Accepted,
    /// Before the horizon: watermark − allowed lateness.
    Late,
    /// Older than what had to settle early, `session.pending_max`.
    SettledEarly,
    Duplicate,
    /// Too far ahead of its arrival.
    Rejected,
}

impl Bucket {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Bucket::Accepted => "accepted",
            Bucket::Late => "late",
            Bucket::SettledEarly => "settled_early",
            Bucket::Duplicate => "duplicate",
            Bucket::Rejected => "rejected",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventView {
    /// Place among the session's arrivals, from 1.
    pub arrival: u64,
    pub offset: u64,
    pub ingest_time: At,
    /// After clock correction.
    pub event_time: At,
    /// What clock correction added, ms; 0 where the player's clock was taken as it is.
    pub clock_offset_ms: i64,
    /// How far behind the watermark it was when it arrived, ms; 0 where it was not.
    pub late_by_ms: i64,
    pub bucket: Bucket,
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub item: Option<String>,
    pub viewer: Option<String>,
}

/// Where one life of the session ended and the next began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Border {
    /// Place in `events` of the first event of the next life.
    pub before: usize,
    /// `gap` or `max_length`.
    pub reason: String,
    /// First and last event time, and events, of the life that ended.
    pub start: At,
    pub last: At,
    pub events: u64,
}

/// One number of the vector. Numbers that are not finite are null, as in a context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotView {
    pub index: usize,
    pub name: String,
    pub unit: String,
    pub value: Option<f32>,
    /// Nothing was seen: the value is the slot's absent value, or it has not moved.
    pub absent: bool,
    /// The event that moved it last; time passing moves decayed slots with every event.
    pub moved_last: Option<Move>,
    /// The event that moved it most.
    pub moved_most: Option<Move>,
    /// False where the moves do not add up to the value: part of the session is no longer in the log, not listed, or was evicted.
    pub explained: bool,
}

/// What an event did to a slot. For slots of the viewer, moves are in order of arrival and may come from other sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub offset: u64,
    pub event: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's session, where it is another one.
    pub session: Option<String>,
    pub before: Option<f32>,
    pub after: Option<f32>,
}

impl Move {
    /// `after` − `before`.
    pub(crate) fn delta(&self) -> f32 {
        self.after.unwrap_or(f32::NAN) - self.before.unwrap_or(f32::NAN)
    }

    /// True where this moved the slot at least as much as `other`.
    pub(crate) fn outweighs(&self, other: &Move) -> bool {
        let (own, others) = (self.delta().abs(), other.delta().abs());
        own >= others || others.is_nan()
    }
}

/// A finite number, or nothing.
pub(crate) fn finite(x: f32) -> Option<f32> {
    x.is_finite().then_some(x)
}

pub(crate) fn reason(reason: EndReason) -> String {
    match reason {
        EndReason::Gap => "gap",
        EndReason::MaxLength => "max_length",
        EndReason::Evicted => "evicted",
    }
    .to_string()
}
