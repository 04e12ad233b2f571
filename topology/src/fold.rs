//! The fold: one record in, outcome and refreshed contexts out.
//!
//! `apply` walks an event through the operators in one direction: deduplicate → correct the clock → judge lateness → sessionize
//! and fold into the session's lane → fold into the viewer's lane → publish → advance the watermark → close. It reads no
//! clock and cannot fail. The same records give the same state and outputs, bit for bit.

use crate::decision::Control;
use crate::dedup::Dedup;
use crate::feedback::{DecisionView, Feedback, Moment};
use crate::lane::{Arrival, Lane, NO_SKEW, UNNAMED};
use crate::model::{ControlError, Learnt, Registry, Rewards};
use crate::notes::{Kept, Note, Noted, Taking};
use crate::orphans::Orphans;
use crate::pending::{Arriving, At, IdWords, NONE};
use crate::plan::Plan;
use crate::plan::input;
use crate::prefetch::prefetch;
use crate::record::{Arrived, Event, EventTime, IngestTime, Offset, Record};
use crate::row::{EVENTS, LAST, Life, START, Scratch, VIEWER};
use crate::sink::{ContextRef, EndReason, Kind, Part, SessionEnd, Sink};
use crate::time::{self, Future, Progress};
use compact_str::CompactString;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Keys looked at per record, at most, to settle what has become certain; invisible from outside.
const SWEEP: usize = 2;

/// Further sessions of a viewer that are warmed.
const OTHERS: usize = 4;

/// Records that are warmed side by side.
const WARM: usize = 64;

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

/// Places of sessions; few viewers have more.
type Members = SmallVec<[u32; 4]>;

/// What is known of a record before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Warmed {
    fingerprint: u64,
    /// Hash of the session.
    hash: u64,
    /// Hash of the viewer.
    viewer_hash: u64,
    /// Where the session was, and the viewer.
    place: u32,
    viewer_place: u32,
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
    pub(crate) counters: Counters,
    /// While catching up: keys (by hash) that were removed, and the offset their removal is contained in.
    pub(crate) tombstones: BTreeMap<(Kind, u64), u64>,
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

impl Warmed {
    const NOTHING: Warmed = Warmed { fingerprint: 0, hash: 0, viewer_hash: 0, place: NONE, viewer_place: NONE };

    fn of(event: &Event<'_>, plan: &Plan, made: &mut String) -> Warmed {
        let hash = xxh3_64(session_key(event, made).as_bytes());
        let viewer = event.viewer.filter(|_| plan.spec.viewer.enabled);
        let viewer_hash = viewer.map_or(0, |viewer| input::hash(viewer.as_bytes()));
        Warmed { fingerprint: Dedup::fingerprint(event.id), hash, viewer_hash, ..Warmed::NOTHING }
    }
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
            counters: Counters::default(),
            tombstones: BTreeMap::new(),
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

    /// Asks, side by side, for the memory that applying these records will look at. Changes nothing.
    ///
    /// Each loop reads what the one before has asked for: places, then heads, then the other sessions of viewers.
    pub fn warm(&mut self, records: &[Arrived<'_>]) {
        self.warmed.clear();
        for records in records.chunks(WARM) {
            let first = self.warmed.len();
            self.warmed.extend(records.iter().map(|arrived| match &arrived.record {
                Record::Event(event) => Warmed::of(event, &self.plan, &mut self.key),
                _ => Warmed::NOTHING,
            }));
            let warmed = &mut self.warmed[first..];
            for warmed in &mut *warmed {
                self.dedup.prefetch(warmed.fingerprint);
                warmed.place = self.sessions.likely(warmed.hash).unwrap_or(NONE);
                if warmed.viewer_hash != 0 {
                    warmed.viewer_place = self.viewers.likely(warmed.viewer_hash).unwrap_or(NONE);
                }
            }
            let warmed = &self.warmed[first..];
            for warmed in warmed {
                self.prefetch_rows(*warmed);
                if let Some(others) = self.members.get(warmed.viewer_place as usize) {
                    prefetch(others);
                }
            }
            for warmed in warmed {
                self.sessions.prefetch_last(warmed.place);
                self.viewers.prefetch_last(warmed.viewer_place);
                self.prefetch_others(*warmed);
            }
            self.sessions.unsettled(records.len()).for_each(|i| self.sessions.prefetch_last(i));
        }
    }

    fn prefetch_rows(&self, warmed: Warmed) {
        self.sessions.prefetch(warmed.place);
        self.viewers.prefetch(warmed.viewer_place);
    }

    /// The other sessions of the viewer are published too.
    fn prefetch_others(&self, warmed: Warmed) {
        let viewer = warmed.viewer_place as usize;
        let sessions = match self.viewers.heads.get(viewer) {
            None => &[],
            // The list of a viewer with one session need not be read.
            Some(head) if head.peer != NONE => std::slice::from_ref(&head.peer),
            Some(_) => &self.members[viewer][..],
        };
        for other in sessions.iter().filter(|i| **i != warmed.place).take(OTHERS) {
            if self.keeps_contexts { self.sessions.prefetch_head(*other) } else { self.sessions.prefetch(*other) }
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
            self.feedback.late_event(moment(&self.plan, &self.progress, offset), event);
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

    fn create_viewer(&mut self, hash: u64, viewer: &str, offset: Offset, sink: &mut dyn Sink) -> u32 {
        if self.viewers.len() >= self.plan.spec.viewer.viewers_max as usize {
            self.evict_viewer(offset, sink);
        }
        let i = self.viewers.create(hash, viewer);
        self.make_members();
        for session in self.orphans.take(hash) {
            self.link(session);
        }
        i
    }

    /// Every viewer has a list of sessions.
    pub(crate) fn make_members(&mut self) {
        let viewers = self.viewers.end() as usize;
        if self.members.len() < viewers {
            self.members.resize_with(viewers, Members::new);
        }
    }

    /// Makes the session's viewer the one its latest event names; gives the one before where that changed.
    pub(crate) fn link(&mut self, session: u32) -> u32 {
        if !self.plan.spec.viewer.enabled {
            return NONE;
        }
        let wanted = self.sessions.current(session)[VIEWER];
        let peer = self.sessions.heads[session as usize].peer;
        let linked = peer != NONE && self.viewers.heads[peer as usize].hash == wanted;
        let names_nobody = wanted == 0 && peer == NONE && self.orphans.is_empty();
        if linked || names_nobody {
            return NONE;
        }
        let found = self.viewers.find_hash(wanted).filter(|_| wanted != 0);
        if found.is_none() && self.orphans.has(session, wanted) {
            return NONE;
        }
        self.unlink(session);
        let Some(viewer) = found else {
            if wanted != 0 {
                self.orphans.add(session, wanted);
            }
            return peer;
        };
        self.sessions.heads[session as usize].peer = viewer;
        self.members[viewer as usize].push(session);
        self.note_only_member(viewer);
        self.note_crowd(viewer);
        peer
    }

    /// Asks for what [`Topology::link`] will look at.
    pub(crate) fn prefetch_link(&self, session: u32) {
        let Some(viewer) = self.viewers.likely(self.sessions.current(session)[VIEWER]) else { return };
        self.viewers.prefetch_head(viewer);
        if let Some(members) = self.members.get(viewer as usize) {
            prefetch(members);
        }
    }

    fn note_crowd(&mut self, viewer: u32) {
        let sessions = self.members[viewer as usize].len();
        if sessions > self.crowd.0 {
            self.crowd.0 = sessions;
            if sessions.is_power_of_two() {
                self.crowd.1.clone_from(&self.viewers.heads[viewer as usize].key);
            }
        }
    }

    /// Most viewers have one live session: it is noted where the viewer itself is.
    fn note_only_member(&mut self, viewer: u32) {
        let only = if let [only] = *self.members[viewer as usize] { only } else { NONE };
        self.viewers.heads[viewer as usize].peer = only;
    }

    fn unlink(&mut self, session: u32) {
        if !self.orphans.is_empty() {
            self.orphans.remove(session);
        }
        let peer = std::mem::replace(&mut self.sessions.heads[session as usize].peer, NONE);
        if peer != NONE {
            self.members[peer as usize].retain(|s| *s != session);
            self.note_only_member(peer);
        }
    }

    /// Publishes the session, the other sessions of the event's viewer, and the viewer.
    fn publish(&mut self, session: Option<u32>, viewer: Option<u32>, offset: Offset, sink: &mut dyn Sink) {
        let mut shown = NONE;
        if let Some(session) = session {
            let left = self.link(session);
            self.publish_session(session, NONE, offset, sink);
            if left == NONE {
                shown = self.sessions.heads[session as usize].peer;
            }
            self.depart(left, offset, sink);
        }
        let is_alone = |viewer: &u32| session == Some(self.viewers.heads[*viewer as usize].peer);
        if let Some(viewer) = viewer.filter(|viewer| !is_alone(viewer)) {
            for at in 0..self.members[viewer as usize].len() {
                let other = self.members[viewer as usize][at];
                if Some(other) != session {
                    self.publish_other(other, shown == viewer, offset, sink);
                    shown = viewer;
                }
            }
        }
        let peer = session.map_or(NONE, |i| self.sessions.heads[i as usize].peer);
        if peer != NONE {
            self.publish_viewer(peer, offset, sink);
        }
        if let Some(viewer) = viewer.filter(|v| *v != peer) {
            self.publish_viewer(viewer, offset, sink);
        }
    }

    /// Publishes a session to whose viewer an event of another session came. `is_shown`: the viewer's slots, as they are now, are in
    /// the vector.
    fn publish_other(&mut self, i: u32, is_shown: bool, offset: Offset, sink: &mut dyn Sink) {
        let head = &mut self.sessions.heads[i as usize];
        let peer = head.peer;
        self.keeps_contexts = sink.keeps_contexts();
        if !self.keeps_contexts || head.named != peer || head.version == offset.0 {
            return self.publish_session(i, if is_shown { peer } else { NONE }, offset, sink);
        }
        head.version = head.version.max(offset.0);
        self.sessions.mark_dirty(i);
        if !is_shown {
            self.plan.viewer.read(self.viewers.current(peer), &mut self.vector, &mut self.scratch);
        }
        self.profile.clear();
        self.profile.extend(self.plan.profile_slots.iter().map(|slot| self.vector[*slot as usize]));
        let head = &self.sessions.heads[i as usize];
        let (session, viewer) = (Some(&*head.key), Some(&*self.viewers.heads[peer as usize].key));
        let event_time = self.sessions.current(i)[LAST] as i64;
        let (kind, place, is_renamed, version) = (Kind::Session, i, false, head.version);
        let (vector, part) = (&*self.profile, Part::Profile);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again: false,
            event_time,
            vector,
            part,
        });
    }

    /// `shown`: a viewer whose slots, as they are now, are in the vector; else [`NONE`].
    fn publish_session(&mut self, i: u32, shown: u32, offset: Offset, sink: &mut dyn Sink) {
        let is_again = self.sessions.heads[i as usize].publish(offset.0);
        self.sessions.mark_dirty(i);
        self.emit_session(i, shown, is_again, sink);
    }

    pub(crate) fn emit_session(&mut self, i: u32, shown: u32, is_again: bool, sink: &mut dyn Sink) {
        if !sink.takes_contexts() {
            return;
        }
        self.read_session(i, shown);
        let head = &mut self.sessions.heads[i as usize];
        let is_renamed = std::mem::replace(&mut head.named, head.peer) != head.peer;
        let head = &self.sessions.heads[i as usize];
        let viewer = (head.peer != NONE).then(|| &*self.viewers.heads[head.peer as usize].key);
        let event_time = self.sessions.current(i)[LAST] as i64;
        let (session, version, vector) = (Some(&*head.key), head.version, &*self.vector);
        let (kind, place, part) = (Kind::Session, i, Part::Whole);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again,
            event_time,
            vector,
            part,
        });
    }

    /// Reads a session's vector, with its viewer's slots.
    fn read_session(&mut self, i: u32, shown: u32) {
        self.plan.session.read(self.sessions.current(i), &mut self.vector, &mut self.scratch);
        let peer = self.sessions.heads[i as usize].peer;
        if self.plan.spec.viewer.enabled && (peer == NONE || peer != shown) {
            let row = if peer == NONE { &self.blank[..self.plan.viewer.words] } else { self.viewers.current(peer) };
            self.plan.viewer.read(row, &mut self.vector, &mut self.scratch);
        }
    }

    fn publish_viewer(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        let is_again = self.viewers.heads[i as usize].publish(offset.0);
        self.viewers.mark_dirty(i);
        self.emit_viewer(i, is_again, sink);
    }

    /// A viewer's context is that of the viewer's latest session, which stands for it without a vector, or the profile alone.
    pub(crate) fn emit_viewer(&mut self, i: u32, is_again: bool, sink: &mut dyn Sink) {
        if !sink.takes_contexts() {
            return;
        }
        let recency = |s: &u32| (self.sessions.current(*s)[LAST], &*self.sessions.heads[*s as usize].key);
        let latest = match self.viewers.heads[i as usize].peer {
            NONE => self.members[i as usize].iter().copied().max_by(|a, b| recency(a).cmp(&recency(b))),
            only => Some(only),
        };
        if latest.is_none() {
            let blank = &self.blank[..self.plan.session.words];
            self.plan.session.read(blank, &mut self.vector, &mut self.scratch);
            self.plan.viewer.read(self.viewers.current(i), &mut self.vector, &mut self.scratch);
        }
        let vector = if latest.is_none() { &*self.vector } else { &[] };
        let session = latest.map(|s| &*self.sessions.heads[s as usize].key);
        let event_time = self.viewers.current(i)[LAST] as i64;
        let named = latest.unwrap_or(NONE);
        let is_renamed = std::mem::replace(&mut self.viewers.heads[i as usize].named, named) != named;
        let head = &self.viewers.heads[i as usize];
        let (viewer, version) = (Some(&*head.key), head.version);
        let (kind, place, part) = (Kind::Viewer, i, Part::Whole);
        sink.context(&ContextRef {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            is_again,
            event_time,
            vector,
            part,
        });
    }

    /// Ends and removes what the watermark has passed, in order of time.
    pub(crate) fn close(&mut self, offset: Offset, sink: &mut dyn Sink) {
        let watermark = self.progress.watermark(&self.plan.spec.time);
        let lateness = self.plan.spec.time.allowed_lateness.0;
        self.catch_up_parted(offset, sink);
        while let Some((scheduled, i)) = self.sessions.next_due(watermark) {
            let due = self.plan.session.due(self.sessions.current(i));
            let closed = self.sessions.heads[i as usize].closed;
            let acts_at = if closed { due + lateness } else { due };
            if acts_at > scheduled {
                self.sessions.schedule(i, acts_at);
            } else if closed {
                self.remove_session(i, offset, sink);
            } else {
                let reason = if due == self.sessions.current(i)[LAST] as i64 + self.plan.spec.session.gap.0 {
                    EndReason::Gap
                } else {
                    EndReason::MaxLength
                };
                self.end_session(i, reason, sink);
                // Nothing can reopen it: it goes at once.
                if lateness == 0 {
                    self.remove_session(i, offset, sink);
                } else {
                    self.sessions.schedule(i, due + lateness);
                }
            }
        }
        while self.plan.spec.viewer.enabled
            && let Some((scheduled, i)) = self.viewers.next_due(watermark)
        {
            let gone_at = self.viewer_gone_at(i);
            if gone_at > scheduled {
                self.viewers.schedule(i, gone_at);
            } else {
                self.remove_viewer(i, offset, sink);
            }
        }
        if !self.plan.models.is_empty() {
            self.feedback.advance(moment(&self.plan, &self.progress, offset), sink);
        }
    }

    /// Publishes a viewer whose session has left.
    fn depart(&mut self, viewer: u32, offset: Offset, sink: &mut dyn Sink) {
        if viewer != NONE {
            let hash = self.viewers.heads[viewer as usize].hash;
            self.taking.note(offset.0, hash, Noted::Left);
            self.publish_viewer(viewer, offset, sink);
        }
    }

    /// While catching up: publishes the viewers that lost sessions, and the sessions that lost their viewer, whose rows do not show it any
    /// more.
    fn catch_up_parted(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some(notes) = self.kept.next_parted(offset.0) {
            for Note { offset, key: viewer, what } in notes {
                let there = self.viewers.find_hash(viewer);
                if what == Noted::Forgotten {
                    let back = there.map_or(Members::new(), |i| self.members[i as usize].clone());
                    for session in self.orphans.of(viewer).into_iter().chain(back) {
                        self.publish_session(session, NONE, Offset(offset), sink);
                    }
                } else if let Some(i) = there {
                    self.publish_viewer(i, Offset(offset), sink);
                }
            }
        }
    }

    fn end_session(&mut self, i: u32, reason: EndReason, sink: &mut dyn Sink) {
        self.sessions.heads[i as usize].closed = true;
        self.sessions.mark_dirty(i);
        let row = self.sessions.current(i);
        let (start, last, events) = (row[START] as i64, row[LAST] as i64, row[EVENTS]);
        sink.ended(&SessionEnd { session: &self.sessions.heads[i as usize].key, start, last, events, reason });
    }

    fn remove_session(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        let peer = self.sessions.heads[i as usize].peer;
        self.unlink(i);
        self.depart(peer, offset, sink);
        let head = &self.sessions.heads[i as usize];
        if head.skew != NO_SKEW {
            self.taking.note(offset.0, head.hash, Noted::Clock(head.skew));
        }
        sink.removed(Kind::Session, i, &head.key);
        self.sessions.remove(i, offset.0 + 1);
    }

    fn remove_viewer(&mut self, i: u32, offset: Offset, sink: &mut dyn Sink) {
        sink.removed(Kind::Viewer, i, &self.viewers.heads[i as usize].key);
        let viewer = self.viewers.heads[i as usize].hash;
        self.viewers.remove(i, offset.0 + 1);
        let sessions = std::mem::take(&mut self.members[i as usize]);
        if !sessions.is_empty() {
            self.taking.note(offset.0, viewer, Noted::Forgotten);
        }
        for session in sessions {
            let head = &mut self.sessions.heads[session as usize];
            (head.peer, head.named) = (NONE, UNNAMED);
            // One that has just named another viewer is published with that one's slots.
            if self.sessions.current(session)[VIEWER] == viewer {
                self.orphans.add(session, viewer);
                self.publish_session(session, NONE, offset, sink);
            }
        }
    }

    fn viewer_gone_at(&self, i: u32) -> i64 {
        let due = self.plan.viewer.due(self.viewers.current(i));
        due.saturating_add(self.plan.spec.time.allowed_lateness.0)
    }

    /// Makes room: removes the viewer that would be forgotten first.
    fn evict_viewer(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some((scheduled, i)) = self.viewers.next_due(i64::MAX) {
            let gone_at = self.viewer_gone_at(i);
            if gone_at <= scheduled {
                return self.remove_viewer(i, offset, sink);
            }
            self.viewers.schedule(i, gone_at);
        }
    }

    /// Makes room: removes the session that would close first.
    fn evict(&mut self, offset: Offset, sink: &mut dyn Sink) {
        while let Some((scheduled, i)) = self.sessions.next_due(i64::MAX) {
            let closed = self.sessions.heads[i as usize].closed;
            let due = self.plan.session.due(self.sessions.current(i));
            let acts_at = if closed { due + self.plan.spec.time.allowed_lateness.0 } else { due };
            if acts_at > scheduled {
                self.sessions.schedule(i, acts_at);
                continue;
            }
            if !closed {
                self.end_session(i, EndReason::Evicted, sink);
            }
            self.remove_session(i, offset, sink);
            return;
        }
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
