//! The pure stream topology of Saccade: state = fold(records).
//!
//! No clock, I/O, threads, async, logging or unkeyed randomness. It cannot fail: odd input is an output.

pub mod record;
pub mod spec;

pub use record::{Arrived, Event, EventTime, Fields, IngestTime, Offset, PlayState, Record, Value};
pub use spec::{Duration, FeatureSpec, FeatureType, Scope, Spec};
