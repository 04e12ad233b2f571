//! Where a decision's record is, and which ids are like it where it is nowhere.

use super::{Home, named};
use crate::engine::decode_or_damaged;
use crate::inspect::alike::Alike;
use crate::inspect::scan::Step;
use crate::log::{Log, LogError};
use saccade_topology::{Offset, Record};
use std::ops::ControlFlow;

pub(super) enum Sought {
    Found(Home),
    Missing {
        /// Records that name it.
        named: u64,
        /// Partition and offset of the first.
        first: Option<(u16, u64)>,
    },
    Stopped,
}

/// Reads until the decision's first record.
pub(super) fn find(log: &dyn Log, id: &str, alike: &mut Alike<'_>, step: Step<'_>) -> Result<Sought, LogError> {
    let (mut home, mut count, mut first, mut stopped) = (None, 0, None, false);
    for partition in 0..log.partitions() {
        log.read(partition, Offset(0), &mut |offset, bytes| {
            stopped = step(0).is_break();
            let arrived = decode_or_damaged(partition, offset, bytes)?;
            if let Record::Decision(decision) = &arrived.record {
                alike.see_id(decision.id);
                if decision.id == id {
                    home = Some(Home { partition, offset: offset.0, bytes: bytes.to_vec() });
                }
            } else if named(&arrived.record) == Some(id) {
                count += 1;
                first.get_or_insert((partition, offset.0));
            }
            Ok(if stopped || home.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if stopped {
            return Ok(Sought::Stopped);
        }
        if let Some(home) = home {
            return Ok(Sought::Found(home));
        }
    }
    Ok(Sought::Missing { named: count, first })
}
