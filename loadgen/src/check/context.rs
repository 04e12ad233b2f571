//! A context as the server gives it, over streams and GET alike.

use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;

/// What is looked at of a context.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Context {
    /// Offset of the record that caused it.
    pub version: u64,
    /// Greatest event time folded into it, epoch milliseconds.
    #[serde(deserialize_with = "epoch_ms")]
    pub event_time: i64,
    /// One number per slot. Shortest decimal texts name one `f32` each, so equal bits are equal texts.
    pub vector: Vec<f32>,
}

fn epoch_ms<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_to_the_millisecond_and_the_bit() {
        let text = r#"{"session":"s","viewer":null,"version":7,"event_time":"2026-11-22T21:56:59.913Z","schema_version":"x","vector":[0.1,-1.0],"features":{"a":0.1}}"#;
        let context: Context = serde_json::from_str(text).expect("a context");
        assert_eq!(context, Context { version: 7, event_time: 1_795_384_619_913, vector: vec![0.1, -1.0] });
        assert!(serde_json::from_str::<Context>(&text.replace("2026-11", "2026-13")).is_err());
    }
}
