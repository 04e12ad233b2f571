//! What configuration says about time, sessions, viewers and features, before it is compiled into a plan.
//!
//! Only shapes and ranges of single values are checked here; what belongs together is checked by [`crate::Plan::compile`].

use crate::model::ModelSpec;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in milliseconds, written `"250ms"`, `"30s"`, `"10m"`, `"1h 30m"`, `"14d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

impl Duration {
    /// Milliseconds from seconds.
    pub const fn from_secs(s: i64) -> Self {
        Duration(s * 1000)
    }

    /// Parses `"1h 30m"`; `d` and `w` are 24 hours and 7 days.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = || {
            format!("`{text}` is not a duration; write for example \"250ms\", \"30s\", \"10m\", \"1h 30m\", \"14d\"")
        };
        let span: jiff::Span = text.parse().map_err(|_| rule())?;
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let ms = span.total((jiff::Unit::Millisecond, days)).map_err(|_| rule())?;
        if !(0.0..=3.2e12).contains(&ms) {
            return Err(format!("`{text}` is out of range; a duration is 0 to 100 years"));
        }
        Ok(Duration(ms as i64))
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ms, units) = (self.0, [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]);
        match units.iter().find(|(_, n)| ms >= *n && ms % n == 0) {
            Some((unit, n)) => write!(f, "{}{unit}", ms / n),
            None if ms == 0 => f.write_str("0s"),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a duration as text, for example \"250ms\", \"30s\", \"10m\", \"14d\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        Duration::parse(text).map_err(E::custom)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Event time: how far it is trusted and how long state can be amended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeSpec {
    /// The watermark trails the greatest event time by this much.
    pub out_of_orderness: Duration,
    /// Behind the watermark, events still amend state for this long; later ones are late.
    pub allowed_lateness: Duration,
    /// With no record for this long, ticks carry the watermark on.
    pub idle_timeout: Duration,
    /// An event further ahead of its arrival is rejected.
    pub max_future: Duration,
    /// A player's clock that is off by less is taken as it is.
    pub skew_tolerance: Duration,
}

impl Default for TimeSpec {
    fn default() -> Self {
        TimeSpec {
            out_of_orderness: Duration::from_secs(2),
            allowed_lateness: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(5),
            max_future: Duration::from_secs(300),
            skew_tolerance: Duration::from_secs(10),
        }
    }
}

/// Sessions: when one ends, and how much one may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionSpec {
    /// Silence, in event time, that ends a session.
    pub gap: Duration,
    /// A session older than this ends with its next event.
    pub max_length: Duration,
    /// Live sessions per partition; at the limit the one that would close first is evicted.
    pub sessions_max: u32,
    /// Events per session that may wait behind the watermark; at the limit the oldest settle early.
    pub pending_max: u32,
    /// Items per session with features of their own; at the limit the least recent leaves.
    pub items_max: u32,
}

impl Default for SessionSpec {
    fn default() -> Self {
        SessionSpec {
            gap: Duration::from_secs(1800),
            max_length: Duration::from_secs(12 * 3600),
            sessions_max: 1_000_000,
            pending_max: 1024,
            items_max: 4,
        }
    }
}

/// Viewers: profiles that outlive sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewerSpec {
    /// Keep profiles at all.
    pub enabled: bool,
    /// Silence, in event time, after which a profile is forgotten.
    pub retention: Duration,
    /// Profiles per partition; at the limit the one that would be forgotten first is evicted.
    pub viewers_max: u32,
}

impl Default for ViewerSpec {
    fn default() -> Self {
        ViewerSpec { enabled: true, retention: Duration::from_secs(90 * 86_400), viewers_max: 1_000_000 }
    }
}

/// Duplicates: how many event ids are remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupSpec {
    /// Event ids remembered per partition; at least the latest half of it is always known.
    pub events_max: u32,
}

impl Default for DedupSpec {
    fn default() -> Self {
        DedupSpec { events_max: 2_097_152 }
    }
}

/// Whose state a feature is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The session.
    #[default]
    Session,
    /// The viewer, across sessions.
    Viewer,
    /// The latest item within the session.
    Item,
}

/// What a feature computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureType {
    /// Events, each worth 2^(-age / half_life).
    DecayedCount,
    /// A field summed, each value worth 2^(-age / half_life).
    DecayedSum,
    /// `DecayedSum` over `DecayedCount` of the same events.
    DecayedMean,
    /// Events per second: `DecayedCount` × ln 2 / half_life.
    DecayedRate,
    /// Events.
    Count,
    /// A field summed.
    Sum,
    /// Greatest value of a field.
    Max,
    /// Least value of a field.
    Min,
    /// Seconds between the latest matching event and the latest event.
    TimeSince,
    /// The field at the greatest event time.
    Last,
    /// The field at the least event time.
    First,
    /// Different values of a field, by linear counting.
    Distinct,
    /// Matching events over base events.
    Ratio,
    /// Seconds between the first and the latest event.
    Age,
    /// What the player does: seconds played, pauses, seeks, rebuffering, unique seconds.
    Playback,
    /// Scroll depth and velocity.
    Scroll,
    /// One slot per listed value of a field.
    OneHot,
    /// A field hashed into a few slots.
    Hashed,
    /// Position of a field's value in a list.
    Index,
    /// Hour of day and day of week as sine and cosine in the viewer's time zone.
    LocalTime,
}

/// One `[[features]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Name; slots are called after it.
    pub name: String,
    /// What is computed.
    #[serde(rename = "type")]
    pub kind: FeatureType,
    /// Whose state.
    #[serde(default)]
    pub scope: Scope,
    /// Field of the event that is summed, kept, counted or encoded.
    pub field: Option<String>,
    /// Event types that count; all when absent.
    pub on: Option<Vec<String>>,
    /// One group of slots per listed value of this field.
    pub by: Option<String>,
    /// Values for `by`, `one_hot`, `index`.
    pub values: Option<Vec<String>>,
    /// Half-lives, one group of slots each.
    pub half_lives: Option<Vec<Duration>>,
    /// Base events of a ratio.
    pub over: Option<Vec<String>>,
    /// Which figures of `playback`, `scroll`, `local_time`.
    pub outputs: Option<Vec<String>>,
    /// Bits of a distinct count, slots of a hash.
    pub size: Option<u32>,
    /// The slot's value where nothing was seen.
    pub absent: Option<f64>,
    /// The slot is multiplied by this.
    pub scale: Option<f64>,
}

/// Everything the fold is configured with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Event time.
    pub time: TimeSpec,
    /// Sessions.
    pub session: SessionSpec,
    /// Viewers.
    pub viewer: ViewerSpec,
    /// Duplicates.
    pub dedup: DedupSpec,
    /// The vector, in order.
    pub features: Vec<FeatureSpec>,
    /// What is decided and learnt.
    pub models: Vec<ModelSpec>,
}
