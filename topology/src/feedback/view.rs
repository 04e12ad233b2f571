//! An open decision as people look at it.

use super::Feedback;
use super::open::{Open, decode};
use crate::decision::Served;
use serde::Serialize;

/// What is known of an open decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionView {
    /// Offset of its record.
    pub offset: u64,
    /// Whose choice it was.
    pub served: Served,
    /// When its windows are counted from, epoch ms; none before it is activated.
    pub since: Option<i64>,
    /// By position.
    pub picks: Vec<PickView>,
}

/// One position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PickView {
    /// The item.
    pub item: String,
    /// Under each reward spec that ran when it was made.
    pub rewards: Vec<RewardView>,
}

/// A pick under one reward spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RewardView {
    /// Version of the spec.
    pub version: u32,
    /// Whether it was in force.
    pub in_force: bool,
    /// Signals so far.
    pub signals: Vec<(String, f64)>,
    /// The reward as it was learnt; none where none is known yet.
    pub reward: Option<f64>,
    /// Its expression failed: that is the default reward.
    pub has_failed: bool,
    /// From the window's beginning to what was observed first, ms.
    pub delay_ms: Option<i64>,
    /// Whether the window is over.
    pub is_closed: bool,
    /// The window's last moment, epoch ms.
    pub until: i64,
}

impl Feedback {
    pub(crate) fn view(&self, id: &str) -> Option<DecisionView> {
        Some(self.view_of(self.table.get(self.table.find(id)?)))
    }

    /// Grows with each change of an open decision; none where it is not open.
    pub(crate) fn revision(&self, id: &str) -> Option<u64> {
        Some(self.table.get(self.table.find(id)?).revision)
    }

    pub(super) fn view_of(&self, open: &Open) -> DecisionView {
        let rewards = self.registry.model(open.model);
        let since = open.state.since.unwrap_or(open.time);
        let d = decode(&open.record);
        let picks = open.state.picks.iter().zip(&d.picks).map(|(pick, decided)| {
            let views = pick.specs.iter().map(|spec| {
                let reward = open.reward(rewards, spec.version);
                let worth = reward.and_then(|reward| spec.observed.value(reward, since, decided.fields));
                RewardView {
                    version: spec.version,
                    in_force: spec.version == open.reward_version,
                    signals: reward.map_or(vec![], |reward| spec.observed.signals(reward, since)),
                    reward: spec.known,
                    has_failed: worth.is_some_and(|worth| worth.failed),
                    delay_ms: spec.delay(since),
                    is_closed: spec.is_closed,
                    until: spec.end(since),
                }
            });
            PickView { item: pick.item.to_string(), rewards: views.collect() }
        });
        DecisionView { offset: open.state.offset, served: open.served, since: open.state.since, picks: picks.collect() }
    }
}
