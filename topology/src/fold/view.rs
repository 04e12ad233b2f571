//! What can be seen of a state from outside, beside what a sink is given.

use super::{Counters, Topology};
use crate::decision::Control;
use crate::feedback::DecisionView;
use crate::model::{ControlError, Learnt, Registry, Rewards};
use crate::plan::Plan;
use crate::record::Offset;
use std::sync::Arc;

impl Topology {
    /// The plan it folds by.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Events by bucket.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Events folded into their session, but too late for their viewer's profile, because too many events of the viewer were
    /// pending. Counted since the process began.
    pub fn late_for_profile(&self) -> u64 {
        self.late_for_profile
    }

    /// Most sessions that a viewer has had alive at once since the process began, and the viewer who was the first with more than half of
    /// them. An event of a viewer refreshes them all.
    pub fn crowd(&self) -> (usize, &str) {
        (self.crowd.0, &self.crowd.1)
    }

    /// Live sessions and viewers.
    pub fn live(&self) -> (usize, usize) {
        (self.sessions.len(), self.viewers.len())
    }

    /// Bytes of state, with what is remembered of event ids.
    pub fn state_bytes(&self) -> usize {
        self.sessions.bytes() + self.viewers.bytes() + self.dedup.bytes() + self.feedback.bytes()
    }

    /// Bytes of the sessions' state alone.
    pub fn session_bytes(&self) -> usize {
        self.sessions.bytes()
    }

    /// What was learnt, for a state that contains the records before `offset`: a cheap copy.
    pub fn learnt(&self, offset: Offset) -> Learnt {
        Learnt {
            offset: offset.0,
            books: self.feedback.books.to_read(),
            registry: self.feedback.registry.clone(),
            catalogue: self.feedback.catalogue.clone(),
        }
    }

    /// Grows whenever what was learnt, the reward specs or the catalogue change.
    pub fn learnt_revision(&self) -> u64 {
        self.feedback.books.revision
    }

    /// Decisions that something can still be joined to, and rewards that wait for their decision.
    pub fn open_decisions(&self) -> (usize, usize) {
        (self.feedback.table.len(), self.feedback.waiting())
    }

    /// The reward specs of the model at this place of the plan.
    pub fn rewards(&self, model: usize) -> &Rewards {
        self.feedback.registry.model(model)
    }

    /// The reward specs of all models.
    pub fn registry(&self) -> &Registry {
        &self.feedback.registry
    }

    /// What is known of an open decision.
    pub fn decision_view(&self, id: &str) -> Option<DecisionView> {
        self.feedback.view(id)
    }

    /// Grows with each record that may have changed an open decision; none where it is not open.
    pub fn decision_revision(&self, id: &str) -> Option<u64> {
        self.feedback.revision(id)
    }

    /// Ends of rewards so far, by [`RewardEnd`](crate::model::RewardEnd).
    pub fn reward_ends(&self) -> &[u64] {
        &self.feedback.books.rewards
    }

    /// What a control record would change, as an error where it would change nothing.
    pub fn check_control(&self, control: &Control<'_>) -> Result<(), ControlError> {
        let model = self.plan.model(control.model).ok_or_else(|| ControlError::Model(control.model.to_string()))?;
        self.feedback.registry.check(model, control).map(drop)
    }

    /// Event time before which no event is expected, epoch ms; `None` before the first event.
    pub fn watermark(&self) -> Option<i64> {
        (self.progress.event_time_max != i64::MIN).then(|| self.progress.watermark(&self.plan.spec.time))
    }
}
