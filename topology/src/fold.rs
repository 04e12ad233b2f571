//! The fold: one record in, outcome and refreshed contexts out.
//!
//! `apply` walks an event through the operators in one direction: deduplicate → correct the clock → judge lateness → sessionize
//! and fold into the session's lane → fold into the viewer's lane → publish → advance the watermark → close. It reads no
//! clock and cannot fail. The same records give the same state and outputs, bit for bit.

use crate::dedup::Dedup;
use crate::feedback::{Feedback, Moment};
use crate::lane::{Arrival, Lane, NO_SKEW};
use crate::notes::{Kept, Noted, Taking};
use crate::orphans::Orphans;
use crate::pending::{Arriving, At, IdWords};
use crate::plan::Plan;
use crate::record::{Arrived, Event, EventTime, IngestTime, Offset, Record};
use crate::row::{Life, START, Scratch};
use crate::schedule::Schedule;
use crate::sink::{EndReason, Kind, SessionEnd, Sink};
use crate::time::{self, Future, Progress};
use compact_str::CompactString;
use members::Members;
use std::collections::BTreeMap;
use std::sync::Arc;
use warm::Warmed;
use xxhash_rust::xxh3::xxh3_64;

mod close;
mod members;
mod publish;
mod view;
mod warm;

/// Keys looked at per record, at most, to settle what has become certain; invisible from outside.
const SWEEP: usize = 2;

/// Why an event was set aside without touching state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Its event time is before the horizon (watermark − allowed lateness).
    BehindHorizon,
    /// More than `session.pending_max` events of its session had to settle before it came.
    SettledEarly,
}

/// The one bucket a record ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Folded; contexts were refreshed.
    Accepted,
    /// Its id was seen before; nothing changed.
    Duplicate,
    /// Set aside; no session or viewer changed.
    Late(Late),
    /// Too far ahead of its arrival; nothing changed.
    Rejected(Future),
    /// About a model, spec or deferred decision that there is not, or there is no room; nothing changed.
    Refused,
    /// A tick.
    Ticked,
}

/// Events by bucket, since the beginning of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Folded.
    pub accepted: u64,
    /// Set aside.
    pub late: u64,
}

/// State of one partition, and the operators that fold records into it.
#[derive(Debug)]
pub struct Topology {
    pub(crate) plan: Arc<Plan>,
    pub(crate) progress: Progress,
    pub(crate) dedup: Dedup,
    pub(crate) sessions: Lane,
    pub(crate) viewers: Lane,
    /// Live sessions of each viewer, by place in the lanes.
    pub(crate) members: Vec<Members>,
    /// Live sessions that name a viewer who is not there.
    orphans: Orphans,
    /// Sessions that have ended, by when; those that are gone or go on again among them.
    ended: Schedule,
    /// How many are in it.
    ended_noted: usize,
    pub(crate) counters: Counters,
    /// While catching up: keys (by hash) that were removed, and the offset their removal is contained in.
    pub(crate) tombstones: BTreeMap<(Kind, u64), u64>,
    /// For checkpoints; see [`Topology::without_changes`].
    pub(crate) keeps_changes: bool,
    pub(crate) taking: Taking,
    pub(crate) kept: Kept,
    pub(crate) scratch: Scratch,
    pub(crate) inputs: Vec<u64>,
    pub(crate) viewer_inputs: Vec<u64>,
    vector: Vec<f32>,
    /// The viewer's slots of it.
    profile: Vec<f32>,
    blank: Vec<u64>,
    key: String,
    warmed: Vec<Warmed>,
    /// The sink that was given a context of another session last does: rows of other sessions are then not read.
    keeps_contexts: bool,
    late_for_profile: u64,
    /// Most sessions that a viewer has had at once, and who had half of them first.
    crowd: (usize, CompactString),
    pub(crate) feedback: Feedback,
}

/// An event on its way through the operators.
struct Incoming<'a> {
    offset: Offset,
    ingest_time: IngestTime,
    event: &'a Event<'a>,
    /// Its session's key.
    session: &'a str,
    id: IdWords,
    /// Bit of its type.
    kind: u64,
    warmed: Warmed,
}

/// The session's id, or one made from the viewer's where the event names no session.
fn session_key<'k>(event: &Event<'k>, made: &'k mut String) -> &'k str {
    event.session.unwrap_or_else(|| {
        made.clear();
        made.push_str("viewer:");
        made.push_str(event.viewer.unwrap_or(""));
        made
    })
}

impl Topology {
    /// Empty state.
    pub fn new(plan: Arc<Plan>) -> Self {
        let pending_max = plan.spec.session.pending_max;
        let viewers_max = if plan.spec.viewer.enabled { plan.spec.viewer.viewers_max } else { 0 };
        Topology {
            progress: Progress::START,
            dedup: Dedup::new(plan.spec.dedup.events_max),
            sessions: Lane::new(&plan.session, plan.session_inputs.len(), pending_max, plan.spec.session.sessions_max),
            viewers: Lane::new(&plan.viewer, plan.viewer_inputs.len(), pending_max.saturating_mul(8), viewers_max),
            members: vec![],
            orphans: Orphans::default(),
            ended: Schedule::new(plan.spec.time.allowed_lateness.0),
            ended_noted: 0,
            counters: Counters::default(),
            tombstones: BTreeMap::new(),
            keeps_changes: true,
            taking: Taking::default(),
            kept: Kept::default(),
            scratch: Scratch::new(plan.session.half_lives.len().max(plan.viewer.half_lives.len())),
            inputs: vec![0; plan.session_inputs.len()],
            viewer_inputs: vec![0; plan.viewer_inputs.len()],
            vector: vec![0.0; plan.slots.len()],
            profile: vec![],
            blank: vec![0; plan.viewer.words.max(plan.session.words)],
            key: String::new(),
            warmed: vec![],
            keeps_contexts: false,
            late_for_profile: 0,
            crowd: Default::default(),
            feedback: Feedback::new(&plan.models, plan.spec.dedup.events_max),
            plan,
        }
    }

    /// The event's time as [`Topology::apply`] would take it now: corrected where the player's clock is off.
    pub fn corrected_time(&mut self, event: &Event<'_>, ingest_time: IngestTime) -> EventTime {
        let key = session_key(event, &mut self.key);
        let known = self.sessions.find(xxh3_64(key.as_bytes()), key);
        let known_skew = known.map_or(NO_SKEW, |i| self.sessions.heads[i as usize].skew);
        let time = &self.plan.spec.time;
        EventTime(time::correct(time, event, ingest_time, known_skew, self.progress.horizon(time)).0)
    }

    /// Folds one record.
    pub fn apply(&mut self, offset: Offset, arrived: &Arrived<'_>, sink: &mut dyn Sink) -> Outcome {
        self.record(offset, arrived, None, sink)
    }

    /// As [`Topology::apply`], of the record that is the `nth` of those that were given to [`Topology::warm`] last.
    pub fn apply_warmed(&mut self, nth: usize, offset: Offset, arrived: &Arrived<'_>, sink: &mut dyn Sink) -> Outcome {
        // What was loaded for the next is near, but no longer the nearest.
        if let Some(next) = self.warmed.get(nth + 1) {
            self.prefetch_rows(*next);
            self.prefetch_others(*next);
            self.dedup.prefetch(next.fingerprint);
        }
        self.record(offset, arrived, Some(self.warmed[nth]), sink)
    }

    fn record(
        &mut self,
        offset: Offset,
        arrived: &Arrived<'_>,
        warmed: Option<Warmed>,
        sink: &mut dyn Sink,
    ) -> Outcome {
        match &arrived.record {
            Record::Tick => {
                self.progress.tick(arrived.ingest_time);
                self.close(offset, sink);
                Outcome::Ticked
            }
            Record::Decision(decision) => self.decision(offset, decision, arrived.ingest_time, sink),
            Record::Activation(activation) => self.activation(offset, activation, arrived.ingest_time),
            Record::Reward(reward) => self.reward(offset, reward, arrived.ingest_time, sink),
            Record::Leaving(leaving) => self.leaving(offset, leaving, sink),
            Record::Passed(passed) => self.passed(offset, passed),
            Record::Landed(landed) => self.landed(landed),
            Record::Item(item) => self.item(offset, item),
            Record::Control(control) => self.control(offset, control, arrived.ingest_time),
            Record::Event(event) => {
                let warmed = warmed.unwrap_or_else(|| Warmed::of(event, &self.plan, &mut self.key));
                debug_assert_eq!(warmed.fingerprint, Dedup::fingerprint(event.id), "it was warmed");
                // Taken out, so that a name made in it can be borrowed while the state changes.
                let mut made = std::mem::take(&mut self.key);
                let session = session_key(event, &mut made);
                let (id, kind) = (IdWords::new(event.id), self.plan.kind_bit(event.kind));
                let incoming = Incoming { offset, ingest_time: arrived.ingest_time, event, session, id, kind, warmed };
                let outcome = self.event(&incoming, sink);
                self.key = made;
                outcome
            }
        }
    }

    fn event(&mut self, incoming: &Incoming<'_>, sink: &mut dyn Sink) -> Outcome {
        let Incoming { offset, ingest_time, event, session: key, warmed, .. } = *incoming;
        let Warmed { fingerprint, hash, place, .. } = warmed;
        if self.dedup.contains(fingerprint) {
            return Outcome::Duplicate;
        }
        let known = self.sessions.find_at(place, hash, key);
        let known_skew = known.map_or(NO_SKEW, |i| self.sessions.heads[i as usize].skew);
        let known_skew = self.kept.clock(hash, offset.0).unwrap_or(known_skew);
        let horizon = self.progress.horizon(&self.plan.spec.time);
        let (time, skew) = time::correct(&self.plan.spec.time, event, ingest_time, known_skew, horizon);
        if let Err(future) = time::check_future(&self.plan.spec.time, time, ingest_time) {
            return Outcome::Rejected(future);
        }
        if time < horizon {
            self.dedup.insert(fingerprint);
            self.feedback_late(offset, event, time);
            self.counters.late += 1;
            return Outcome::Late(Late::BehindHorizon);
        }
        self.plan.session_inputs.extract(event, &mut self.inputs);
        let session = known.or_else(|| self.create_session(hash, key, offset, sink));
        let outcome = match session {
            Some(i) => self.fold_session(i, incoming, time, horizon, sink),
            None => self.contained(offset),
        };
        if outcome == Outcome::Duplicate {
            return outcome;
        }
        if let Some(i) = session.filter(|i| offset.0 >= self.sessions.heads[*i as usize].as_of) {
            let before = std::mem::replace(&mut self.sessions.heads[i as usize].skew, skew);
            if before != skew {
                self.taking.note(offset.0, hash, Noted::Clock(before));
                self.sessions.mark_dirty(i);
            }
        }
        self.dedup.insert(fingerprint);
        if outcome == Outcome::Accepted {
            self.counters.accepted += 1;
            let viewer = self.fold_viewer(incoming, time, horizon, sink);
            self.publish(session, viewer, offset, sink);
            if !self.plan.models.is_empty() {
                self.feedback_event(offset, event, time);
            }
            self.progress.event(time, ingest_time);
            self.close(offset, sink);
        } else {
            self.feedback_late(offset, event, time);
            self.counters.late += 1;
        }
        let (horizon, newest) = (self.progress.horizon(&self.plan.spec.time), self.progress.event_time_max);
        self.sessions.sweep(SWEEP, horizon, newest);
        if self.plan.spec.viewer.enabled {
            self.viewers.sweep(SWEEP, horizon, newest);
        }
        outcome
    }

    /// `None` while catching up with the removal of the key.
    fn create_session(&mut self, hash: u64, key: &str, offset: Offset, sink: &mut dyn Sink) -> Option<u32> {
        if self.is_buried(Kind::Session, hash, offset) {
            return None;
        }
        if self.sessions.len() >= self.plan.spec.session.sessions_max as usize {
            self.evict(offset, sink);
        }
        Some(self.sessions.create(hash, key))
    }

    fn is_buried(&self, kind: Kind, hash: u64, offset: Offset) -> bool {
        self.tombstones.get(&(kind, hash)).is_some_and(|as_of| offset.0 < *as_of)
    }

    /// While catching up: what became of an event that its session contains, if the session is still there.
    fn contained(&self, offset: Offset) -> Outcome {
        let is_late = self.kept.is_settled_early(offset.0);
        if is_late { Outcome::Late(Late::SettledEarly) } else { Outcome::Accepted }
    }

    fn fold_session(
        &mut self,
        i: u32,
        incoming: &Incoming<'_>,
        time: i64,
        horizon: i64,
        sink: &mut dyn Sink,
    ) -> Outcome {
        let Incoming { offset, id, kind, .. } = *incoming;
        if offset.0 < self.sessions.heads[i as usize].as_of {
            return self.contained(offset);
        }
        let at = At { time, offset: offset.0 };
        let arriving = Arriving { at, id, kind, inputs: &self.inputs };
        match self.sessions.arrive(&self.plan.session, i, &arriving, horizon, &mut self.scratch) {
            Arrival::Duplicate => return Outcome::Duplicate,
            Arrival::SettledEarly => {
                self.taking.note(offset.0, incoming.warmed.hash, Noted::SettledEarly);
                return Outcome::Late(Late::SettledEarly);
            }
            Arrival::Folded(Some(Life { start, last, events })) if !self.sessions.heads[i as usize].closed => {
                let next = self.sessions.current(i)[START] as i64;
                let reason =
                    if next - last > self.plan.spec.session.gap.0 { EndReason::Gap } else { EndReason::MaxLength };
                let session = &self.sessions.heads[i as usize].key;
                sink.ended(&SessionEnd { session, start, last, events, reason });
            }
            Arrival::Folded(_) => {}
        }
        self.sessions.heads[i as usize].closed = false;
        let due = self.plan.session.due(self.sessions.current(i));
        self.sessions.schedule(i, due);
        Outcome::Accepted
    }

    fn fold_viewer(&mut self, incoming: &Incoming<'_>, time: i64, horizon: i64, sink: &mut dyn Sink) -> Option<u32> {
        let Incoming { offset, event, id, kind, .. } = *incoming;
        let viewer = event.viewer.filter(|_| self.plan.spec.viewer.enabled)?;
        let Warmed { viewer_hash: hash, viewer_place: place, .. } = incoming.warmed;
        let i = match self.viewers.find_at(place, hash, viewer) {
            Some(i) => i,
            None if self.is_buried(Kind::Viewer, hash, offset) => return None,
            None => self.create_viewer(hash, viewer, offset, sink),
        };
        if offset.0 >= self.viewers.heads[i as usize].as_of {
            self.plan.viewer_inputs.extract(event, &mut self.viewer_inputs);
            let at = At { time, offset: offset.0 };
            let arriving = Arriving { at, id, kind, inputs: &self.viewer_inputs };
            let arrival = self.viewers.arrive(&self.plan.viewer, i, &arriving, horizon, &mut self.scratch);
            self.late_for_profile += u64::from(arrival == Arrival::SettledEarly);
            self.viewers.schedule(i, self.viewer_gone_at(i));
        }
        Some(i)
    }
}

/// The place of a record in time.
pub(crate) fn moment<'a>(plan: &'a Plan, progress: &Progress, offset: Offset) -> Moment<'a> {
    let time = &plan.spec.time;
    Moment {
        models: &plan.models,
        offset: offset.0,
        now: progress.event_time_max,
        watermark: progress.watermark(time),
        horizon: progress.horizon(time),
        lateness: time.allowed_lateness.0,
    }
}
