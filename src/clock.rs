//! The server's clock: when something arrived, and how old what is stored is. Intervals are measured by [`std::time::Instant`].

use saccade_topology::IngestTime;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in epoch milliseconds; 0 where the clock stands before 1970.
pub(crate) fn now() -> IngestTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    IngestTime(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}
