//! How a decision came about and what followed, from the log.
//!
//! First the decision's record is looked for; then each partition is folded up to what the decision was made from, the decision's
//! own until the decision is over. Memory is that of one fold at a time, [`TOUCHES_MAX`] records that touched the decision, and
//! what the partitions had learnt.

mod again;
mod find;
mod follow;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod tests;
mod touch;
mod view;
mod watch;
mod words;

#[cfg(test)]
pub(crate) use follow::TOUCHES_MAX;
pub(crate) use report::DecisionReport;
pub(crate) use words::{number, signed};

use super::alike::Alike;
use super::scan::Step;
use crate::counted::either;
use crate::log::{Log, LogError, decode};
use saccade_topology::decision::Decision;
use saccade_topology::{Arrived, Plan, Record};
use std::sync::Arc;

/// What was found.
pub(crate) enum Found {
    Decision(Box<DecisionReport>),
    /// It is not in the log; the text says what is.
    Unknown(String),
    /// The caller broke it off.
    Stopped,
}

/// A decision's record in the log.
pub(super) struct Home {
    pub partition: u16,
    pub offset: u64,
    bytes: Vec<u8>,
}

impl Home {
    fn arrived(&self) -> Arrived<'_> {
        decode(&self.bytes).expect("it was decoded once")
    }
}

/// Looks for decision `id` in all partitions of `log`. `step` may be called twice per record.
pub(crate) fn inspect(log: &dyn Log, plan: &Arc<Plan>, id: &str, step: Step<'_>) -> Result<Found, LogError> {
    let mut alike = Alike::new(id);
    let mut records = 0;
    let mut counted = |_: u64| {
        records += 1;
        step(records)
    };
    let home = match find::find(log, id, &mut alike, &mut counted)? {
        find::Sought::Found(home) => home,
        find::Sought::Missing { named, first } => return Ok(Found::Unknown(missing(id, &alike, named, first))),
        find::Sought::Stopped => return Ok(Found::Stopped),
    };
    let arrived = home.arrived();
    let Record::Decision(decision) = &arrived.record else { unreachable!("only decisions are looked for") };
    let Some(followed) = follow::follow(log, plan, &home, decision, &mut counted)? else { return Ok(Found::Stopped) };
    let again = again::again(plan, log.partitions(), decision, &followed);
    let report = view::report(plan, &home, arrived.ingest_time.0, decision, followed, again);
    Ok(Found::Decision(Box::new(words::told(report))))
}

fn missing(id: &str, alike: &Alike<'_>, named: u64, first: Option<(u16, u64)>) -> String {
    let (count, nearest) = (alike.count("decision"), alike.nearest());
    let orphans = match first {
        Some((partition, offset)) => format!(
            "; {named} {} it all the same, the first in partition {partition} at offset {offset}: `saccade inspect dangling`",
            either(named, "record names", "records name")
        ),
        None => String::new(),
    };
    format!("decision {id:?} is not in the log, which holds {count}{nearest}{orphans}")
}

/// The decision that a record names.
fn named<'a>(record: &'a Record<'a>) -> Option<&'a str> {
    match record {
        Record::Event(event) => event.decision,
        Record::Reward(reward) => Some(reward.decision),
        Record::Activation(activation) => Some(activation.decision),
        Record::Decision(decision) => Some(decision.id),
        Record::Leaving(leaving) => Some(leaving.decision),
        Record::Passed(passed) => Some(passed.told.decision()),
        Record::Tick | Record::Item(_) | Record::Control(_) | Record::Landed(_) => None,
    }
}

/// The item at a place of the candidates.
fn item<'a>(decision: &Decision<'a>, candidate: u32) -> &'a str {
    decision.candidates.get(candidate as usize).map_or("", |candidate| candidate.item)
}
