//! The records of the loop, as the fold takes them: known or new, of a model there is, not dated ahead.

use super::fingerprints;
use crate::decision::{Activation, Control, Decision, ExplicitReward, Item};
use crate::fold::{Late, Outcome, Topology, moment};
use crate::record::{Event, IngestTime, Offset};
use crate::sink::Sink;
use crate::time;

impl Topology {
    pub(crate) fn feedback_event(&mut self, offset: Offset, event: &Event<'_>, time: i64) {
        let is_known = event.decision.is_some_and(|id| self.dedup.contains(fingerprints(id, None)));
        self.feedback.event(moment(&self.plan, &self.progress, offset), event, time, is_known);
    }

    pub(crate) fn decision(
        &mut self,
        offset: Offset,
        d: &Decision<'_>,
        ingest_time: IngestTime,
        sink: &mut dyn Sink,
    ) -> Outcome {
        let Some(model) = self.plan.model(d.model) else { return Outcome::Refused };
        if let Err(future) = time::check_future(&self.plan.spec.time, d.event_time.0, ingest_time) {
            return Outcome::Rejected(future);
        }
        let fingerprint = fingerprints(d.id, None);
        if self.dedup.contains(fingerprint) || (self.feedback.is_open(d.id) && !self.feedback.contains(d.id, offset.0))
        {
            return Outcome::Duplicate;
        }
        self.dedup.insert(fingerprint);
        let m = moment(&self.plan, &self.progress, offset);
        let is_contained = self.feedback.contains(d.id, offset.0);
        let is_taken = match is_contained {
            true => self.feedback.claimed(d.id),
            false => self.feedback.decision(m, model, d, sink),
        };
        self.progress.event(d.event_time.0, ingest_time);
        self.close(offset, sink);
        if is_taken { Outcome::Accepted } else { Outcome::Late(Late::BehindHorizon) }
    }

    pub(crate) fn activation(&mut self, offset: Offset, activation: &Activation<'_>) -> Outcome {
        let m = moment(&self.plan, &self.progress, offset);
        if self.feedback.activation(m, activation) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn reward(&mut self, offset: Offset, reward: &ExplicitReward<'_>, ingest_time: IngestTime) -> Outcome {
        if let Some(time) = reward.event_time
            && let Err(future) = time::check_future(&self.plan.spec.time, time.0, ingest_time)
        {
            return Outcome::Rejected(future);
        }
        if let Some(id) = reward.id {
            let fingerprint = fingerprints(reward.decision, Some(id));
            if self.dedup.contains(fingerprint) {
                return Outcome::Duplicate;
            }
            self.dedup.insert(fingerprint);
        }
        let is_known = self.dedup.contains(fingerprints(reward.decision, None));
        self.feedback.reward(moment(&self.plan, &self.progress, offset), reward, is_known);
        Outcome::Accepted
    }

    pub(crate) fn item(&mut self, offset: Offset, item: &Item<'_>) -> Outcome {
        if self.feedback.item(offset.0, item) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn control(&mut self, offset: Offset, control: &Control<'_>, ingest_time: IngestTime) -> Outcome {
        let Some(model) = self.plan.model(control.model) else { return Outcome::Refused };
        let m = moment(&self.plan, &self.progress, offset);
        match self.feedback.control(m, model, control, ingest_time.0) {
            Ok(()) => Outcome::Accepted,
            Err(_) => Outcome::Refused,
        }
    }
}
