//! An open decision: what it was, what was observed of it, and what of that the books know.

use crate::decision::{Decision, Served};
use crate::learn::Provisional;
use crate::model::{ModelPlan, Rewards};
use crate::reward::{Observed, Reward, RewardSpec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A decision while something can still be joined to it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub id: Box<str>,
    /// The decision, as [`decode`] reads it.
    pub record: Arc<[u8]>,
    /// Place of its model in the plan.
    pub model: usize,
    /// Viewer and session, by hash; 0 where there is none.
    pub owners: [u64; 2],
    pub served: Served,
    /// The reward spec in force when it was made.
    pub reward_version: u32,
    /// When it was made.
    pub time: i64,
    pub state: State,
    /// The state contains the records before this offset.
    pub as_of: u64,
    /// When it has to be looked at next.
    pub due: i64,
    pub is_dirty: bool,
    /// Grows with each change.
    pub revision: u64,
}

/// The part that changes, as checkpoints hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Offset of the decision's record.
    pub offset: u64,
    /// When its windows are counted from; none before it is activated.
    pub since: Option<i64>,
    /// Offset of the record by which it is shown: its own or, of a deferred one, its activation's.
    pub shown_by: u64,
    pub picks: Vec<OpenPick>,
    /// How often it was looked at whether its reward is likely to be in.
    pub leans: u32,
    /// Fingerprints of the ids of events that name it and count, up to [`NAMED_MAX`]: one that is sent again when its id is
    /// forgotten counts once.
    pub named: Vec<u64>,
}

/// Events that name a decision and are known by it; with as many, what is late counts no more, as it may have counted before.
pub(super) const NAMED_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenPick {
    pub item: Box<str>,
    pub specs: Vec<OpenSpec>,
}

/// A pick under one reward spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenSpec {
    pub version: u32,
    /// How long its window is, ms.
    pub wait: i64,
    pub observed: Observed,
    /// The reward that the books know.
    pub known: Option<f64>,
    /// Its window is over.
    pub is_closed: bool,
}

impl OpenSpec {
    /// The last moment of its window, counted from `since`.
    pub(crate) fn end(&self, since: i64) -> i64 {
        since.saturating_add(self.wait)
    }

    /// From `since` to what was observed first, ms.
    pub(crate) fn delay(&self, since: i64) -> Option<i64> {
        self.observed.first().map(|time| time - since)
    }
}

/// Seeds of the hashes of owners: a viewer and a session of one name are two.
const VIEWER: u64 = 0x7669_6577;
const SESSION: u64 = 0x7365_7373;

/// Hashes of viewer and session; 0 where there is none.
pub(crate) fn owners(viewer: Option<&str>, session: Option<&str>) -> [u64; 2] {
    let hash = |name: Option<&str>, seed| name.map_or(0, |name| xxh3_64_with_seed(name.as_bytes(), seed).max(1));
    [hash(viewer, VIEWER), hash(session, SESSION)]
}

/// The decision of a record.
pub(crate) fn decode(record: &[u8]) -> Decision<'_> {
    postcard::from_bytes(record).expect("the record was encoded by this program, and rows carry a checksum")
}

/// When nothing has been observed yet, the first look at whether a reward is likely to be in, ms; each further one waits half
/// as long again.
const LEAN_FIRST: i64 = 1000;

impl Open {
    pub(crate) fn new(d: &Decision<'_>, model: usize, rewards: &Rewards, offset: u64) -> Open {
        let fresh = |spec: &RewardSpec| OpenSpec {
            version: spec.version,
            wait: spec.wait.0,
            observed: Observed::default(),
            known: None,
            is_closed: false,
        };
        let specs: Vec<OpenSpec> = rewards.running.iter().map(|r| fresh(r.reward.spec())).collect();
        let item = |candidate: u32| d.candidates.get(candidate as usize).map_or("", |c| c.item);
        let picks = d.picks.iter().map(|pick| OpenPick { item: item(pick.candidate).into(), specs: specs.clone() });
        let record = postcard::to_extend(d, vec![]).expect("memory takes any record");
        let since = (!d.deferred).then_some(d.event_time.0);
        Open {
            id: d.id.into(),
            record: record.into(),
            model,
            owners: owners(d.viewer, d.session),
            served: d.served,
            reward_version: d.reward_version,
            time: d.event_time.0,
            state: State { offset, since, shown_by: offset, picks: picks.collect(), leans: 0, named: vec![] },
            as_of: 0,
            due: i64::MAX,
            is_dirty: false,
            revision: 0,
        }
    }

    /// From a record and a state that were stored; none where the model is not there any more.
    pub(crate) fn restore(record: &[u8], state: State, model: impl Fn(&str) -> Option<usize>) -> Option<Open> {
        let d = postcard::from_bytes::<Decision<'_>>(record).ok()?;
        Some(Open {
            id: d.id.into(),
            record: record.into(),
            model: model(d.model)?,
            owners: owners(d.viewer, d.session),
            served: d.served,
            reward_version: d.reward_version,
            time: d.event_time.0,
            state,
            as_of: 0,
            due: i64::MAX,
            is_dirty: false,
            revision: 0,
        })
    }

    /// The last moment of all its windows, also of specs that do not run any more.
    pub(crate) fn last(&self) -> i64 {
        let since = self.state.since.unwrap_or(self.time);
        let specs = self.state.picks.first().into_iter().flat_map(|pick| &pick.specs);
        specs.map(|spec| spec.end(since)).max().unwrap_or(since)
    }

    /// The spec that it is still rewarded by, of those that ran when it was made.
    pub(crate) fn reward<'r>(&self, rewards: &'r Rewards, version: u32) -> Option<&'r Arc<Reward>> {
        rewards.spec_since(version, self.state.offset)
    }

    /// The moment after which it has to be looked at next: a window closes, a reward is likely to be in, or all is over.
    pub(crate) fn next_due(&self, plan: &ModelPlan, lateness: i64) -> i64 {
        let over = self.last().saturating_add(lateness);
        let Some(since) = self.state.since else { return over };
        let specs = || self.state.picks.iter().flat_map(|pick| &pick.specs).filter(|spec| !spec.is_closed);
        let closing = specs().map(|spec| spec.end(since)).min().unwrap_or(over);
        match self.leans(plan) {
            true => closing.min(since.saturating_add(self.lean_age())),
            false => closing,
        }
    }

    /// Whether a reward that is not in may be leant on before its window is over.
    pub(crate) fn leans(&self, plan: &ModelPlan) -> bool {
        let mut specs = self.state.picks.iter().flat_map(|pick| &pick.specs);
        plan.learning.provisional == Provisional::Weighted && specs.any(|spec| !spec.is_closed && spec.known.is_none())
    }

    /// Age at which it is looked at next whether its reward is likely to be in, ms.
    pub(crate) fn lean_age(&self) -> i64 {
        (0..self.state.leans.min(64)).fold(LEAN_FIRST, |age, _| age.saturating_add(age / 2))
    }

    /// Which pick an event or reward is about: of the item, else of the position, else the only one.
    pub(crate) fn pick(&self, item: Option<&str>, position: Option<u32>) -> Option<usize> {
        let picks = &self.state.picks;
        let of_item = |item: &str| picks.iter().position(|pick| *pick.item == *item);
        match (item, position) {
            (Some(item), _) if of_item(item).is_some() => of_item(item),
            (Some(_), _) if picks.len() > 1 => None,
            (_, Some(position)) if picks.len() > 1 => Some(position as usize).filter(|p| *p < picks.len()),
            _ => (picks.len() == 1).then_some(0),
        }
    }

    /// How long before the decision an event of this time and item is dated, at most `tolerance`, ms; 0 where it is in its window.
    /// None where it cannot belong to it.
    pub(crate) fn covers(&self, time: i64, item: &str, tolerance: i64, reward: &Reward) -> Option<i64> {
        let since = self.state.since?;
        let before = since.saturating_sub(time).max(0);
        let (begins, ends) = (reward.spec().start_after.0, reward.spec().wait.0);
        let is_rewarded = (since.saturating_add(begins)..=since.saturating_add(ends)).contains(&self.dated(time));
        (is_rewarded && self.is_near(time, tolerance) && self.state.picks.iter().any(|pick| *pick.item == *item))
            .then_some(before)
    }

    /// A hash of who it was made for: of the viewer, else of the session, else of itself.
    pub(crate) fn whose(&self) -> u64 {
        let named = self.owners.into_iter().find(|owner| *owner != 0);
        named.unwrap_or_else(|| super::decision_key(&self.id))
    }

    /// Places of the specs of a pick: of the one of this version, or all.
    pub(crate) fn specs(&self, pick: usize, version: Option<u32>) -> impl Iterator<Item = usize> + use<> {
        let specs = &self.state.picks[pick].specs;
        match version {
            None => 0..specs.len(),
            Some(version) => {
                let at = specs.iter().position(|spec| spec.version == version);
                at.map_or(0..0, |at| at..at + 1)
            }
        }
    }

    /// Whether an event of this time is in its windows or, by another clock, just before them.
    pub(crate) fn is_near(&self, time: i64, tolerance: i64) -> bool {
        let since = self.state.since;
        since.is_some_and(|since| self.dated(time) >= since && time >= since.saturating_sub(tolerance))
    }

    /// The time of what belongs to the decision: what is dated before it is dated by another clock, as who names it knew it. Before
    /// it was shown is something else.
    pub(crate) fn dated(&self, time: i64) -> i64 {
        if self.state.since == Some(self.time) { time.max(self.time) } else { time }
    }

    /// Bytes of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let specs: usize = self.state.picks.iter().map(|pick| pick.specs.len() * size_of::<OpenSpec>()).sum();
        size_of::<Open>() + self.record.len() + self.state.picks.len() * size_of::<OpenPick>() + specs
    }
}
