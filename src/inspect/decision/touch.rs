//! One record that touched a decision, and what it changed.

use super::report::{Change, Touch};
use crate::inspect::report::At;
use saccade_topology::decision::Told;
use saccade_topology::{Arrived, DecisionView, Offset, Record};

/// A record that touched the decision.
pub(super) fn touch(
    partition: u16,
    offset: Offset,
    arrived: &Arrived<'_>,
    became: String,
    changes: Vec<Change>,
) -> Touch {
    let (mut id, mut of_item, mut value, mut time) = (None, None, None, None);
    // What came from another partition is what it was there.
    let passed = match &arrived.record {
        Record::Passed(passed) => Some(match passed.told {
            Told::Event(event) => Record::Event(event),
            Told::Reward(reward) => Record::Reward(reward),
        }),
        _ => None,
    };
    let what = match passed.as_ref().unwrap_or(&arrived.record) {
        Record::Event(event) => {
            (id, of_item, value, time) = (Some(event.id), event.item, event.value, Some(event.event_time.0));
            event.kind
        }
        Record::Reward(reward) => {
            (id, of_item, value) = (reward.id, reward.item, Some(reward.value));
            time = reward.event_time.map(|time| time.0);
            "reward"
        }
        Record::Activation(activation) => {
            time = activation.event_time.map(|time| time.0);
            "activation"
        }
        Record::Decision(decision) => {
            time = Some(decision.event_time.0);
            "decision"
        }
        _ => "time",
    };
    Touch {
        partition,
        offset: offset.0,
        ingest_time: At(arrived.ingest_time.0),
        event_time: time.map(At),
        what: what.to_string(),
        id: id.map(str::to_string),
        item: of_item.map(str::to_string),
        value,
        became,
        changes,
    }
}

/// What is another one now.
pub(super) fn changes(before: Option<&DecisionView>, after: &DecisionView) -> Vec<Change> {
    let mut changes = vec![];
    for (position, pick) in after.picks.iter().enumerate() {
        for now in &pick.rewards {
            let then =
                before.and_then(|view| view.picks.get(position)?.rewards.iter().find(|r| r.version == now.version));
            let value = |name: &str| then.and_then(|then| Some(then.signals.iter().find(|(n, _)| n == name)?.1));
            let signals = now.signals.iter().filter_map(|(name, is)| {
                // Before anything is observed, a signal has the value that it has now without having changed.
                let was = value(name).unwrap_or(if then.is_some() { f64::NAN } else { *is });
                (was.to_bits() != is.to_bits()).then(|| (name.clone(), was, *is))
            });
            let signals: Vec<_> =
                signals.map(|(name, was, is)| (name, if was.is_nan() { 0.0 } else { was }, is)).collect();
            let (was, closed) = then.map_or((None, false), |then| (then.reward, then.is_closed));
            let closed = now.is_closed && !closed;
            if !signals.is_empty() || was != now.reward || closed {
                let (version, after) = (now.version, now.reward);
                changes.push(Change { position, version, signals, before: was, after, closed });
            }
        }
    }
    changes
}
