//! Decisions, activations, rewards, catalogue items and reward specs as JSON, for `export` and back.

use saccade_topology::Record;

/// Appends `"decision":{…}`, `"activation":{…}`, `"reward":{…}`, `"item":{…}` or `"control":{…}`.
pub(super) fn write(_out: &mut Vec<u8>, _record: &Record<'_>) {}
