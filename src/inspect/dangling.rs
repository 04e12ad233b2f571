//! Rewards that never found their decision, or what they name in it: from the books, with what usually causes it.

use super::report::At;
use super::scan::Step;
use crate::engine::{decode_or_damaged, propose_configured};
use crate::log::{Bounds, Log, LogError};
use saccade_topology::model::{Dangled, RewardEnd};
use saccade_topology::{Ignore, Offset, Plan, Record, Topology};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// The latest rewards without a decision: the body of `GET /v1/inspect/dangling`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DanglingReport {
    /// All there ever were; the latest of each partition are listed.
    pub total: u64,
    /// Rewards that still wait for their decision; known where the log was read.
    pub waiting: Option<u64>,
    /// By partition and offset.
    pub rewards: Vec<Dangling>,
    /// What usually causes it.
    pub hints: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dangling {
    /// The decision it names.
    pub decision: String,
    /// The item it names.
    #[serde(default)]
    pub item: Option<String>,
    /// The position it names, from 0.
    #[serde(default)]
    pub position: Option<u32>,
    /// Event type, or `reward` for an explicit one.
    #[serde(rename = "type")]
    pub kind: String,
    pub event_time: At,
    pub partition: u16,
    pub offset: u64,
    /// The decision is there, but has no such item or position.
    #[serde(default)]
    pub decided: bool,
    /// What is known of its decision, where anything is.
    pub hint: Option<String>,
}

impl DanglingReport {
    /// From the books; `find` says where a decision is after all: partition and offset, the offset where it is known.
    pub(crate) fn new<'a>(
        total: u64,
        waiting: Option<u64>,
        dangled: impl Iterator<Item = (usize, &'a Dangled)>,
        find: impl Fn(&str) -> Option<(u16, Option<u64>)>,
    ) -> DanglingReport {
        let rewards = dangled.map(|(partition, dangled)| {
            let partition = partition as u16;
            let hint = match dangled.is_decided {
                true => Some(no_pick(dangled)),
                false => find(&dangled.decision).map(|found| hint(found, partition, dangled.offset)),
            };
            Dangling {
                decision: dangled.decision.clone(),
                item: dangled.item.clone(),
                position: dangled.position,
                kind: dangled.kind.clone(),
                event_time: At(dangled.event_time),
                partition,
                offset: dangled.offset,
                decided: dangled.is_decided,
                hint,
            }
        });
        let rewards: Vec<Dangling> = rewards.collect();
        let hints = if total == 0 { vec![] } else { hints(&rewards) };
        DanglingReport { total, waiting, rewards, hints }
    }
}

fn hint((home, offset): (u16, Option<u64>), partition: u16, at: u64) -> String {
    match offset {
        _ if home != partition => {
            format!(
                "the decision is in partition {home}: it was not known when the reward had waited for as long as the lateness allows"
            )
        }
        Some(offset) if offset > at => format!("the decision came later, at offset {offset}, too late for it"),
        Some(offset) => format!(
            "the decision is at offset {offset}, but was not taken in, or was deferred and not activated in time"
        ),
        None => "the decision is open, but came too late for it, or was deferred and not activated in time".into(),
    }
}

/// What it names that was not shown.
fn no_pick(dangled: &Dangled) -> String {
    match (&dangled.item, dangled.position) {
        (Some(item), _) => format!("the decision shows no item {item:?}"),
        (None, Some(position)) => format!("the decision has no position {position}; they count from 0"),
        (None, None) => "the decision shows several items, and it names neither item nor position".into(),
    }
}

fn hints(rewards: &[Dangling]) -> Vec<String> {
    let mut hints: Vec<String> = vec![];
    let lost = || rewards.iter().filter(|reward| !reward.decided);
    // All there were may be older than those that are listed.
    if lost().next().is_some() || rewards.is_empty() {
        hints.extend([
            "the id is not the `decision` of a rank answer: a request id or a truncated one was sent back".into(),
            "the decision was made by another server or data directory, or elsewhere without being told (an event of type decision)".into(),
            "the rank call failed or timed out and the client showed its own choice: send no decision id then".into(),
        ]);
    }
    if lost().any(|reward| reward.kind != "reward") {
        hints.push("a deferred decision was never activated: its events wait in vain".into());
    }
    if rewards.iter().any(|reward| reward.decided) {
        hints.push(
            "what was shown is in the decision's answer: name an item of it, or its position, of which the first is 0"
                .into(),
        );
    }
    hints
}

/// From a fold of the whole log; none where it was broken off.
pub(crate) fn inspect(log: &dyn Log, plan: &Arc<Plan>, step: Step<'_>) -> Result<Option<DanglingReport>, LogError> {
    let (mut total, mut waiting, mut dangled, mut records) = (0, 0, vec![], 0);
    for partition in 0..log.partitions() {
        let Bounds { next, is_trimmed, .. } = log.bounds(partition)?;
        let mut fold = Topology::without_changes(Arc::clone(plan));
        if is_trimmed {
            propose_configured(&mut fold);
        }
        let whole = each(log, partition, &mut records, step, &mut |offset, arrived| {
            fold.apply(offset, &arrived, &mut Ignore);
        })?;
        if !whole {
            return Ok(None);
        }
        waiting += fold.open_decisions().1 as u64;
        let books = fold.learnt(next).books;
        total += books.rewards[RewardEnd::Dangling as usize];
        dangled.extend(books.dangled.iter().map(|dangled| (usize::from(partition), Arc::clone(dangled))));
    }
    let mut homes: HashMap<&str, Option<(u16, u64)>> =
        dangled.iter().map(|(_, d)| (d.decision.as_str(), None)).collect();
    for partition in (0..log.partitions()).take_while(|_| !dangled.is_empty()) {
        let whole = each(log, partition, &mut records, step, &mut |offset, arrived| {
            if let Record::Decision(decision) = &arrived.record
                && let Some(home) = homes.get_mut(decision.id)
            {
                home.get_or_insert((partition, offset.0));
            }
        })?;
        if !whole {
            return Ok(None);
        }
    }
    let find = |id: &str| homes.get(id).copied().flatten().map(|(partition, offset)| (partition, Some(offset)));
    Ok(Some(DanglingReport::new(total, Some(waiting), dangled.iter().map(|(partition, d)| (*partition, &**d)), find)))
}

/// Visits the records of a partition. False where it was broken off.
fn each(
    log: &dyn Log,
    partition: u16,
    records: &mut u64,
    step: Step<'_>,
    take: &mut dyn FnMut(Offset, saccade_topology::Arrived<'_>),
) -> Result<bool, LogError> {
    let mut stopped = false;
    log.read(partition, Offset(0), &mut |offset, bytes| {
        *records += 1;
        let go_on = step(*records);
        stopped = go_on.is_break();
        take(offset, decode_or_damaged(partition, offset, bytes)?);
        Ok(go_on)
    })?;
    Ok(!stopped)
}
