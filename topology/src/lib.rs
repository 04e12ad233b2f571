//! The pure stream topology of Saccade: state = fold(records).
//!
//! [`Topology::apply`] takes one record and gives contexts to a [`Sink`]. The same records give the same state and the same
//! outputs, bit for bit, on every machine. There is no clock, I/O, thread, async, logging or unkeyed randomness here, and no
//! error: odd input is an output ([`Outcome`]).
//!
//! Reading order: [`record`] what comes in, [`spec`] what is configured, [`plan`] how it is compiled, `fold` the walk of one
//! event, `lane` and `row` the state, `feature` what is computed, `snapshot` how it is kept. [`learn`] stands beside the fold:
//! what is learnt from decisions and their rewards.

pub mod decision;
mod dedup;
mod feature;
mod feedback;
mod fold;
mod lane;
pub mod learn;
mod map;
pub mod math;
pub mod model;
pub mod names;
mod notes;
mod orphans;
mod pending;
mod pieces;
pub mod plan;
mod prefetch;
pub mod record;
mod restore;
pub mod reward;
mod row;
mod rungs;
mod schedule;
mod shelf;
pub mod sink;
mod snapshot;
mod sparse;
pub mod spec;
mod table;
pub mod time;
mod zones;

pub use feedback::{Away, DecisionView, PickView, RewardView, StoredFeedback, decision_key};
pub use fold::{Counters, Late, Outcome, Topology};
pub use lane::{Pending, Tombstone};
pub use notes::{Note, Noted};
pub use plan::{Plan, PlanError, Slot};
pub use prefetch::prefetch;
pub use record::is_event_type;
pub use record::{Arrived, Event, EventTime, Fields, IngestTime, KIND_BYTES_MAX, Offset, PlayState, Record, Value};
pub use restore::{Restore, RestoreError, RestoreRows};
pub use sink::{ContextRef, EndReason, Ignore, Kind, Part, SessionEnd, Sink};
pub use snapshot::{Changes, FORMAT as CHECKPOINT_FORMAT, Globals, RowKind};
pub use spec::{DedupSpec, Duration, FeatureSpec, FeatureType, Scope, SessionSpec, Spec, TimeSpec, ViewerSpec};
pub use time::{Future, admit, check_future};
pub use zones::Zones;
