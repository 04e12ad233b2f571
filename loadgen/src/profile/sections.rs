//! The sections of a profile. `configs/load/steady_evening.toml` explains every key and has its default.

use crate::schedule::{Arrivals, Shape};
use crate::span::Span;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How much is sent, and when.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Acts a second where the shape is at its base: events, and calls of other kinds.
    pub rate: u64,
    /// Length of the run.
    pub duration: Span,
    /// How the rate changes.
    pub shape: Shape,
    /// How acts are spread.
    pub arrivals: Arrivals,
    /// Smallest and largest batch of events.
    pub batch: [u32; 2],
    /// Keep-alive connections.
    pub connections: u16,
}

/// Who they are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Viewers {
    /// How many; 0 is as many as the rate needs for their time to pass like the clock's.
    pub count: u32,
    /// True where as many are there as the rate needs at the time; else the same ones act faster where it is high.
    pub follow_rate: bool,
    /// Share of the acts that are those of one viewer.
    pub hot_share: f64,
    /// Devices and their shares.
    pub devices: BTreeMap<String, f64>,
}

/// A country, or the part of one that has a time zone of its own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Country {
    /// As it is sent.
    pub code: String,
    /// IANA name.
    pub timezone: String,
    /// Share of the viewers.
    pub share: f64,
}

/// When they are there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Hour of the day at the start, UTC.
    pub starts: f64,
    /// Viewers' time in which a day passes.
    pub length: Span,
    /// Local hour at which most come.
    pub evening: f64,
    /// How many more come then, and fewer twelve hours later, as a part of the mean.
    pub swing: f64,
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Items.
    pub items: u32,
    /// Zipf exponent of their popularity.
    pub zipf: f64,
    /// Shortest and longest item.
    pub length: [Span; 2],
}

/// What they do before they watch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Browse {
    /// Mean time between two acts.
    pub step: Span,
    /// Share of the acts; what is left is `leave`.
    pub impression: f64,
    /// Likewise.
    pub scroll: f64,
    /// Likewise.
    pub hover: f64,
    /// Likewise: then it is played.
    pub click: f64,
    /// Likewise.
    pub add_to_list: f64,
    /// Likewise.
    pub not_interested: f64,
}

/// What they do while they watch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// From the click to the picture, mean.
    pub startup: Span,
    /// Between two reports of the player.
    pub progress: Span,
    /// Probability per report that there is a pause instead.
    pub pause: f64,
    /// Likewise.
    pub seek: f64,
    /// Likewise, for want of data.
    pub rebuffer: f64,
    /// Likewise.
    pub quality_change: f64,
    /// Likewise, that they stop before the end.
    pub abandon: f64,
    /// Likewise, that the player fails.
    pub error: f64,
    /// Shortest and longest pause.
    pub pause_length: [Span; 2],
    /// Pareto exponent of pauses.
    pub pause_tail: f64,
    /// Probability that nobody comes back from a pause.
    pub pause_leave: f64,
    /// Mean time without data.
    pub rebuffer_length: Span,
    /// Probability that the next one follows at the end.
    pub binge: f64,
    /// Probability that they leave after they stopped, where nothing follows.
    pub leave: f64,
}

/// How long they are gone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Away {
    /// Share that comes back into the same session.
    pub return_share: f64,
    /// Mean time until then.
    pub return_after: Span,
    /// Mean time until the next session.
    pub length: Span,
}

/// What their network is like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Median throughput of a session.
    pub throughput_kbps: f64,
    /// Deviation of its logarithm.
    pub throughput_spread: f64,
    /// Median round trip of a session.
    pub rtt_ms: f64,
    /// Deviation of its logarithm.
    pub rtt_spread: f64,
}

/// How their clocks are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clocks {
    /// Share of the viewers whose clock is wrong; their events have `sent_at`.
    pub wrong: f64,
    /// By how much at most, either way.
    pub off_max: Span,
}

/// What happens to events on their way.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disorder {
    /// Share of the events that others overtake.
    pub reordered: f64,
    /// Longest delay of those.
    pub reordered_max: Span,
    /// Share of the events that are sent long after.
    pub late: f64,
    /// Shortest and longest delay of those.
    pub late_by: [Span; 2],
    /// Share of the events that are sent twice.
    pub duplicates: f64,
    /// Longest time until they are sent again.
    pub duplicates_after: Span,
    /// Share of the requests that are sent again as a whole.
    pub retries: f64,
    /// Time until they are.
    pub retries_after: Span,
}

/// Those that are no people.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bots {
    /// Share of the viewers.
    pub share: f64,
    /// Mean time between two acts.
    pub step: Span,
}

/// Decisions that are asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// Share of the visits to the home page that ask.
    pub share: f64,
    /// Model that is asked.
    pub model: String,
    /// Most popular items that candidates are taken from.
    pub pool: u32,
    /// Candidates of a request.
    pub candidates: u32,
    /// Positions.
    pub k: u32,
    /// True where candidates are sent with their cluster.
    pub features: bool,
    /// When viewers look at the row.
    pub look_after: Span,
    /// Probability of a click on the best and, in the limit, on the worst cluster.
    pub liking: [f64; 2],
    /// Clusters of items.
    pub clusters: u32,
    /// Probability that what was clicked is played.
    pub played: f64,
    /// Probability that what was not clicked is sent away.
    pub sent_away: f64,
    /// Share of the decisions whose reward is told as such.
    pub explicit: f64,
    /// True where the answer to such a reward waits until the next decision knows of it.
    pub sync: bool,
}

/// Players that report by CMCD.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cmcd {
    /// Share of the viewers.
    pub share: f64,
}
