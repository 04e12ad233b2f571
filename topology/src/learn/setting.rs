//! Numbers of configuration that are measured unless somebody knows better: `"auto"` or a number.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that is measured unless configured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Setting {
    /// From the data.
    #[default]
    Auto,
    /// As configured.
    Fixed(f64),
}

impl Setting {
    pub(crate) fn or(self, measured: f64) -> f64 {
        match self {
            Setting::Auto => measured,
            Setting::Fixed(value) => value,
        }
    }
}

/// As people write it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or \"auto\"")]
enum Written {
    Number(f64),
    Named(Named),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    Auto,
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return Ok(Option::<f64>::deserialize(d)?.map_or(Setting::Auto, Setting::Fixed));
        }
        Ok(match Written::deserialize(d)? {
            Written::Number(value) => Setting::Fixed(value),
            Written::Named(Named::Auto) => Setting::Auto,
        })
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (written, stored) = match *self {
            Setting::Auto => (Written::Named(Named::Auto), None),
            Setting::Fixed(value) => (Written::Number(value), Some(value)),
        };
        if s.is_human_readable() { written.serialize(s) } else { stored.serialize(s) }
    }
}
