//! Forward decay: what an observation weighs, and half-lives.
//!
//! An observation at `t` weighs 2^((t − L) / half_life) for ever, seen from a landmark L; at a later moment `now` all weights are
//! scaled by one factor, 2^((L − now) / half_life) (Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009). So sums stay additive:
//! they can be merged in any order, and an old observation can be corrected with the weight it entered with.
//!
//! Landmarks lie on a grid of whole half-lives ([`Stamp::epoch`]), so moving one is an exact multiplication by a power of two.

use super::triangle::add_scaled;
use crate::spec::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// When a decision was made, on both clocks that half-lives may be counted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Event time, ms.
    pub event_time: i64,
    /// How many decisions of the model came before it, as the decision's record says.
    pub ordinal: i64,
}

impl At {
    /// The later of both, on each clock.
    pub(crate) fn later(self, other: At) -> At {
        At { event_time: self.event_time.max(other.event_time), ordinal: self.ordinal.max(other.ordinal) }
    }
}

/// How fast old observations lose weight: `"none"`, `"auto"` (see [`super::Ladder`]), a duration `"12h"`, or `{ decisions = 2000 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HalfLife {
    /// All observations weigh the same.
    None,
    /// Several are kept side by side; the one that predicts best is used.
    #[default]
    Auto,
    /// Half the weight after this event time.
    Duration(Duration),
    /// Half the weight after this many decisions of the model.
    Decisions(u32),
}

impl HalfLife {
    /// The weight of an observation at `at`, seen from the landmark of its epoch.
    pub fn stamp(self, at: At) -> Stamp {
        let (t, half_life) = match self {
            HalfLife::None | HalfLife::Auto => return Stamp { epoch: 0, weight: 1.0 },
            HalfLife::Duration(d) => (at.event_time, d.0.max(1)),
            HalfLife::Decisions(n) => (at.ordinal, i64::from(n.max(1))),
        };
        let part = t.rem_euclid(half_life) as f64 / half_life as f64;
        Stamp { epoch: t.div_euclid(half_life), weight: crate::math::exp2(part) }
    }
}

/// As people write it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a half-life is \"auto\", \"none\", a duration such as \"30d\", or { decisions = 2000 }")]
enum Written {
    Named(String),
    Counted { decisions: u32 },
}

/// As checkpoints hold it.
#[derive(Serialize, Deserialize)]
enum Stored {
    None,
    Auto,
    Duration(i64),
    Decisions(u32),
}

impl<'de> Deserialize<'de> for HalfLife {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return Ok(match Stored::deserialize(d)? {
                Stored::None => HalfLife::None,
                Stored::Auto => HalfLife::Auto,
                Stored::Duration(ms) => HalfLife::Duration(Duration(ms)),
                Stored::Decisions(decisions) => HalfLife::Decisions(decisions),
            });
        }
        let positive = "a half-life is positive; write \"none\" where nothing is forgotten";
        match Written::deserialize(d)? {
            Written::Counted { decisions: 0 } => Err(de::Error::custom(positive)),
            Written::Counted { decisions } => Ok(HalfLife::Decisions(decisions)),
            Written::Named(name) => match name.as_str() {
                "none" => Ok(HalfLife::None),
                "auto" => Ok(HalfLife::Auto),
                text => match Duration::parse(text).map_err(de::Error::custom)? {
                    Duration(0) => Err(de::Error::custom(positive)),
                    duration => Ok(HalfLife::Duration(duration)),
                },
            },
        }
    }
}

impl Serialize for HalfLife {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let named = |name: &str| Written::Named(name.to_owned());
        let (written, stored) = match *self {
            HalfLife::None => (named("none"), Stored::None),
            HalfLife::Auto => (named("auto"), Stored::Auto),
            HalfLife::Duration(duration) => (named(&duration.to_string()), Stored::Duration(duration.0)),
            HalfLife::Decisions(decisions) => (Written::Counted { decisions }, Stored::Decisions(decisions)),
        };
        if s.is_human_readable() { written.serialize(s) } else { stored.serialize(s) }
    }
}

/// A weight: `weight · 2^epoch`, with `weight` in [1, 2) for a whole observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// Whole half-lives since the clock's zero.
    pub epoch: i64,
    /// The rest, 2^(part of a half-life), times the share of the observation that counts.
    pub weight: f64,
}

impl Stamp {
    /// A part of the observation, for one whose reward is only partly certain.
    pub fn share(self, share: f64) -> Stamp {
        Stamp { weight: self.weight * share, ..self }
    }

    /// The weight seen from the landmark of `epoch`.
    pub(crate) fn seen_from(self, epoch: i64) -> f64 {
        self.weight * pow2(self.epoch.saturating_sub(epoch))
    }
}

/// The landmark that sums are seen from, moved before weights could overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Landmark(pub Option<i64>);

/// Weights reach at most 2^33 before the landmark moves.
const EPOCHS_AHEAD_MAX: i64 = 32;

impl Landmark {
    /// The factor to scale sums by before adding something of `epoch`; none while the landmark stays.
    pub(crate) fn advance(&mut self, epoch: i64) -> Option<f64> {
        match self.0 {
            None => {
                self.0 = Some(epoch);
                None
            }
            Some(old) if epoch.saturating_sub(old) > EPOCHS_AHEAD_MAX => {
                self.0 = Some(epoch);
                Some(pow2(old.saturating_sub(epoch)))
            }
            Some(_) => None,
        }
    }

    /// Moves on to `epoch` where it must, and with it the sums that are seen from here.
    pub(crate) fn carry(&mut self, sums: &mut [f64], epoch: i64) {
        if let Some(factor) = self.advance(epoch) {
            sums.iter_mut().for_each(|sum| *sum *= factor);
        }
    }

    /// Adds the terms of one observation to sums that are seen from here.
    pub(crate) fn add(&mut self, sums: &mut [f64], terms: &[f64], stamp: Stamp) {
        self.carry(sums, stamp.epoch);
        add_scaled(sums, terms, stamp.seen_from(self.epoch()));
    }

    /// Adds sums that are seen from another landmark; those of none are all 0.
    pub(crate) fn merge(&mut self, sums: &mut [f64], other: Landmark, others: &[f64]) {
        let Some(epoch) = other.0 else { return };
        self.carry(sums, epoch);
        add_scaled(sums, others, pow2(epoch.saturating_sub(self.epoch())));
    }

    pub(crate) fn epoch(self) -> i64 {
        self.0.unwrap_or(0)
    }

    /// The factor that carries sums to the moment of `now`.
    pub(crate) fn carried_to(self, now: Stamp) -> f64 {
        self.0.map_or(0.0, |epoch| pow2(epoch.saturating_sub(now.epoch)) / now.weight)
    }
}

/// 2^n, exact; zero below the range of `f64`.
pub(crate) fn pow2(n: i64) -> f64 {
    match n {
        ..=-1023 => 0.0,
        1024.. => f64::MAX,
        n => f64::from_bits(((n + 1023) as u64) << 52),
    }
}
