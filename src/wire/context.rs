//! The one JSON form of a context: for readers over HTTP, for streams and for replays.

use jiff::Timestamp;
use saccade_topology::{ContextRef, Plan};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

/// What a vector's numbers are called.
#[derive(Clone, Debug)]
pub struct Layout {
    /// One name per slot.
    pub names: Vec<String>,
    /// Names the layout itself.
    pub schema_version: String,
}

impl Layout {
    /// The layout of a plan.
    pub fn of(plan: &Plan) -> Layout {
        let names = plan.slots().iter().map(|s| s.name.clone()).collect();
        Layout { names, schema_version: plan.schema_version().to_string() }
    }
}

/// Appends `{"session","viewer","version","event_time","schema_version","vector","features"}`.
pub fn write_context(out: &mut Vec<u8>, context: &ContextRef<'_>, layout: &Layout) {
    serde_json::to_writer(out, &View { context, layout }).expect("a context holds only text, numbers and named slots");
}

struct View<'a> {
    context: &'a ContextRef<'a>,
    layout: &'a Layout,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let context = self.context;
        let mut object = serializer.serialize_struct("Context", 7)?;
        object.serialize_field("session", &context.session)?;
        object.serialize_field("viewer", &context.viewer)?;
        object.serialize_field("version", &context.version)?;
        object.serialize_field("event_time", &rfc3339(context.event_time))?;
        object.serialize_field("schema_version", &self.layout.schema_version)?;
        object.serialize_field("vector", context.vector)?;
        object.serialize_field("features", &Features { names: &self.layout.names, vector: context.vector })?;
        object.end()
    }
}

struct Features<'a> {
    names: &'a [String],
    vector: &'a [f32],
}

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.names.len()))?;
        for (name, value) in self.names.iter().zip(self.vector) {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}

/// Milliseconds since the epoch as RFC 3339 in UTC; held to the years a timestamp can name.
pub fn rfc3339(time_ms: i64) -> String {
    let held = time_ms.clamp(Timestamp::MIN.as_second() * 1000, Timestamp::MAX.as_second() * 1000);
    let time = Timestamp::from_millisecond(held).expect("clamped to what a timestamp holds");
    format!("{time:.3}")
}
