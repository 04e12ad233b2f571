//! The records of the loop, as the fold takes them: known or new, of a model there is, not dated ahead.

use super::{fingerprints, passed_fingerprint};
use crate::decision::{Activation, Control, Decision, ExplicitReward, Item, Landed, Leaving, Passed, Told};
use crate::fold::{Late, Outcome, Topology, moment};
use crate::record::{Event, EventTime, IngestTime, Offset};
use crate::sink::Sink;
use crate::time::{self, Future};

impl Topology {
    pub(crate) fn feedback_event(&mut self, offset: Offset, event: &Event<'_>, time: i64) {
        let is_known = event.decision.is_some_and(|id| self.is_known(offset, id));
        self.feedback.event(moment(&self.plan, &self.progress, offset), event, time, is_known);
    }

    /// Of an event that came too late for its session.
    pub(crate) fn feedback_late(&mut self, offset: Offset, event: &Event<'_>, time: i64) {
        let is_known = event.decision.is_some_and(|id| self.is_known(offset, id));
        self.feedback.late_event(moment(&self.plan, &self.progress, offset), event, time, is_known);
    }

    /// Checks when something is said to have happened, where that is said.
    fn check_told(&self, event_time: Option<EventTime>, ingest_time: IngestTime) -> Result<(), Future> {
        event_time.map_or(Ok(()), |time| time::check_future(&self.plan.spec.time, time.0, ingest_time))
    }

    /// Whether a decision of this id was made once, as far as is remembered.
    fn is_known(&self, offset: Offset, id: &str) -> bool {
        self.dedup.contains(fingerprints(id, None)) || self.feedback.is_over(id, offset.0)
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
        self.feedback.make_room(offset.0);
        let fingerprint = fingerprints(d.id, None);
        let is_known = self.feedback.is_open(d.id) || self.feedback.is_over(d.id, offset.0);
        if self.dedup.contains(fingerprint) || (is_known && !self.feedback.contains(d.id, offset.0)) {
            return Outcome::Duplicate;
        }
        self.dedup.insert(fingerprint);
        let m = moment(&self.plan, &self.progress, offset);
        let is_contained = self.feedback.contains(d.id, offset.0);
        let is_taken = is_contained || self.feedback.decision(m, model, d, sink);
        if is_contained && !d.deferred {
            self.feedback.claimed(m, d.id);
        }
        self.progress.event(d.event_time.0, ingest_time);
        self.close(offset, sink);
        if is_taken { Outcome::Accepted } else { Outcome::Late(Late::BehindHorizon) }
    }

    pub(crate) fn activation(
        &mut self,
        offset: Offset,
        activation: &Activation<'_>,
        ingest_time: IngestTime,
    ) -> Outcome {
        if let Err(future) = self.check_told(activation.event_time, ingest_time) {
            return Outcome::Rejected(future);
        }
        let m = moment(&self.plan, &self.progress, offset);
        if self.feedback.activation(m, activation) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn reward(
        &mut self,
        offset: Offset,
        reward: &ExplicitReward<'_>,
        ingest_time: IngestTime,
        sink: &mut dyn Sink,
    ) -> Outcome {
        if let Err(future) = self.check_told(reward.event_time, ingest_time) {
            return Outcome::Rejected(future);
        }
        if let Some(id) = reward.id {
            let fingerprint = fingerprints(reward.decision, Some(id));
            if self.dedup.contains(fingerprint) {
                return Outcome::Duplicate;
            }
            self.dedup.insert(fingerprint);
        }
        let is_known = self.is_known(offset, reward.decision);
        // Before the first event there is no other time than that of its arrival.
        let event_time = reward.event_time.or((!self.progress.is_begun()).then_some(EventTime(ingest_time.0)));
        let reward = ExplicitReward { event_time, ..*reward };
        sink.rewarded(self.feedback.reward(moment(&self.plan, &self.progress, offset), &reward, is_known));
        Outcome::Accepted
    }

    pub(crate) fn leaving(&mut self, offset: Offset, leaving: &Leaving<'_>, sink: &mut dyn Sink) -> Outcome {
        let m = moment(&self.plan, &self.progress, offset);
        if self.feedback.leave(m, leaving, sink) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn passed(&mut self, offset: Offset, passed: &Passed<'_>) -> Outcome {
        let fingerprint = passed_fingerprint(passed.from, passed.offset);
        if self.dedup.contains(fingerprint) {
            return Outcome::Duplicate;
        }
        self.dedup.insert(fingerprint);
        let id = match &passed.told {
            Told::Reward(reward) => reward.id.map(|id| fingerprints(reward.decision, Some(id))),
            Told::Event(_) => None,
        };
        let is_told = id.is_some_and(|id| self.dedup.contains(id));
        if let Some(id) = id.filter(|_| !is_told) {
            self.dedup.insert(id);
        }
        let is_known = self.is_known(offset, passed.told.decision());
        self.feedback.passed(moment(&self.plan, &self.progress, offset), passed, is_known, is_told);
        Outcome::Accepted
    }

    pub(crate) fn landed(&mut self, landed: &Landed) -> Outcome {
        if self.feedback.landed(landed) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn item(&mut self, offset: Offset, item: &Item<'_>) -> Outcome {
        if self.feedback.item(offset.0, item) { Outcome::Accepted } else { Outcome::Refused }
    }

    pub(crate) fn control(&mut self, offset: Offset, control: &Control<'_>, ingest_time: IngestTime) -> Outcome {
        let Some(model) = self.plan.model(control.model) else {
            self.feedback.books.lapse(control.model);
            return Outcome::Refused;
        };
        let m = moment(&self.plan, &self.progress, offset);
        match self.feedback.control(m, model, control, ingest_time.0) {
            Ok(()) => Outcome::Accepted,
            Err(_) => Outcome::Refused,
        }
    }
}
