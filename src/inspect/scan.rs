//! Reads the log for one session: the fold of `serve` over whole partitions, with an eye on one key.
//!
//! What readers of the context see is followed in order of arrival; why the vector is what it is, [`super::why`] finds out
//! from the events kept here. Memory is bounded: [`EVENTS_MAX`] events, [`BYTES_MAX`] bytes, the newest stay.

use super::alike::Alike;
use super::report::{At, Bucket, Counts, EventView, Inspection, Move, SlotView, Status, View, finite, reason};
use super::why;
use crate::engine::decode_or_damaged;
use crate::log::{Bounds, Log, LogError, decode};
use saccade_topology::spec::Scope;
use saccade_topology::{Arrived, ContextRef, EndReason, Event, Kind, Late, Offset, Outcome, Plan, Record};
use saccade_topology::{SessionEnd, Sink, Topology};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Events of the session that are listed; the newest where there are more.
pub(crate) const EVENTS_MAX: usize = 10_000;
/// Bytes of encoded events that are kept.
const BYTES_MAX: usize = 64 << 20;

/// What was found.
pub(crate) enum Found {
    Session(Box<Inspection>),
    /// No event of it is in the log; the text says what is.
    Unknown(String),
    /// The caller broke it off.
    Stopped,
}

/// Called with the records read so far, once per record.
pub(crate) type Step<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Looks for session `id` in all partitions of `log`.
pub(crate) fn inspect(log: &dyn Log, plan: &Arc<Plan>, id: &str, step: Step<'_>) -> Result<Found, LogError> {
    let (mut views, mut alike, mut records) = (vec![], Alike::new(id), 0);
    for partition in 0..log.partitions() {
        let Bounds { first, is_trimmed, .. } = log.bounds(partition)?;
        let mut scan = Scan::new(plan, id);
        let mut stopped = false;
        log.read(partition, Offset(0), &mut |offset, bytes| {
            records += 1;
            stopped = step(records).is_break();
            if stopped {
                return Ok(ControlFlow::Break(()));
            }
            scan.take(offset, bytes, &decode_or_damaged(partition, offset, bytes)?, &mut alike);
            Ok(ControlFlow::Continue(()))
        })?;
        if stopped {
            return Ok(Found::Stopped);
        }
        if scan.counts.total() > 0 {
            views.push(scan.view(partition, is_trimmed.then_some(first.0)));
        }
    }
    if views.is_empty() {
        return Ok(Found::Unknown(alike.explain()));
    }
    let (session, schema_version) = (id.to_string(), plan.schema_version().to_string());
    Ok(Found::Session(Box::new(Inspection { session, schema_version, partitions: views })))
}

/// True where the fold puts the event into session `id`: one without a session goes to its viewer's own.
fn belongs(event: &Event<'_>, id: &str) -> bool {
    match event.session {
        Some(session) => session == id,
        None => id.strip_prefix("viewer:").is_some_and(|viewer| viewer == event.viewer.unwrap_or("")),
    }
}

/// An event of the session as it stands in the log, and what became of it.
pub(super) struct Kept {
    pub arrival: u64,
    pub offset: Offset,
    /// After clock correction.
    pub time: i64,
    pub late_by_ms: i64,
    pub bucket: Bucket,
    bytes: Vec<u8>,
}

impl Kept {
    pub(super) fn arrived(&self) -> Arrived<'_> {
        decode(&self.bytes).expect("it was decoded once")
    }

    pub(super) fn event(&self) -> Event<'_> {
        match self.arrived().record {
            Record::Event(event) => event,
            _ => unreachable!("only events are kept"),
        }
    }

    fn view(&self) -> EventView {
        let event = self.event();
        EventView {
            arrival: self.arrival,
            offset: self.offset.0,
            ingest_time: At(self.arrived().ingest_time.0),
            event_time: At(self.time),
            clock_offset_ms: self.time.saturating_sub(event.event_time.0),
            late_by_ms: self.late_by_ms,
            bucket: self.bucket,
            id: event.id.to_string(),
            kind: event.kind.to_string(),
            item: event.item.map(str::to_string),
            viewer: event.viewer.map(str::to_string),
        }
    }
}

/// One partition.
struct Scan<'a> {
    id: &'a str,
    fold: Topology,
    follow: Follow<'a>,
    counts: Counts,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

impl<'a> Scan<'a> {
    fn new(plan: &Arc<Plan>, id: &'a str) -> Self {
        let fold = Topology::without_changes(Arc::clone(plan));
        let follow = Follow::new(plan, id);
        Scan { id, fold, follow, counts: Counts::default(), kept: VecDeque::new(), kept_bytes: 0 }
    }

    fn take(&mut self, offset: Offset, bytes: &[u8], arrived: &Arrived<'_>, alike: &mut Alike<'_>) {
        let Record::Event(event) = &arrived.record else {
            self.fold.apply(offset, arrived, &mut self.follow);
            return;
        };
        alike.see(event);
        let own = belongs(event, self.id);
        let before = own.then(|| (self.fold.corrected_time(event, arrived.ingest_time).0, self.fold.watermark()));
        self.follow.own = own;
        let outcome = self.fold.apply(offset, arrived, &mut self.follow);
        self.follow.attribute(offset, event, own);
        if let Some((time, watermark)) = before {
            let late_by_ms = watermark.map_or(0, |w| w.saturating_sub(time).max(0));
            let bucket = self.count(outcome);
            let arrival = self.counts.total();
            self.keep(Kept { arrival, offset, time, late_by_ms, bucket, bytes: bytes.to_vec() });
        }
    }

    fn count(&mut self, outcome: Outcome) -> Bucket {
        let (count, bucket) = match outcome {
            Outcome::Accepted | Outcome::Ticked => (&mut self.counts.accepted, Bucket::Accepted),
            Outcome::Late(Late::BehindHorizon) => (&mut self.counts.late, Bucket::Late),
            Outcome::Late(Late::SettledEarly) => (&mut self.counts.late, Bucket::SettledEarly),
            Outcome::Duplicate => (&mut self.counts.duplicates, Bucket::Duplicate),
            Outcome::Rejected(_) | Outcome::Refused => (&mut self.counts.rejected, Bucket::Rejected),
        };
        *count += 1;
        bucket
    }

    fn keep(&mut self, kept: Kept) {
        self.kept_bytes += kept.bytes.len();
        self.kept.push_back(kept);
        while self.kept.len() > EVENTS_MAX || self.kept_bytes > BYTES_MAX {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |k| k.bytes.len());
        }
    }

    fn view(mut self, partition: u16, log_begins_at: Option<u64>) -> View {
        let plan = Arc::clone(self.fold.plan());
        let alive = self.fold.has(Kind::Session, self.id);
        let mut kept: Vec<Kept> = self.kept.into();
        kept.sort_by(|a, b| (a.time, a.event().id).cmp(&(b.time, b.event().id)));
        let why = why::explain(&plan, self.id, &kept);
        let published = self.follow.published.take();
        let ended = self.follow.ended;
        let slots =
            published.as_ref().map_or(vec![], |p| slots(&plan, &p.vector, why.moves, self.follow.moves, &why.vector));
        let viewer = published.as_ref().and_then(|p| p.viewer.clone());
        View {
            partition,
            status: match (&published, alive, ended) {
                (None, ..) => Status::Never,
                (_, false, _) => Status::Removed,
                (_, true, Some(_)) => Status::Ended,
                (_, true, None) => Status::Live,
            },
            ended_by: ended.map(reason),
            viewer_context: viewer.as_deref().map(|v| format!("/v1/context/viewer/{}", percent_encoded(v))),
            viewer,
            version: published.as_ref().map(|p| p.version),
            event_time: published.as_ref().map(|p| At(p.event_time)),
            watermark: self.fold.watermark().map(At),
            log_begins_at,
            counts: self.counts,
            events: kept.iter().map(Kept::view).collect(),
            borders: why.borders,
            slots,
        }
    }
}

/// Last and greatest move of one slot.
pub(super) type Moves = Option<(Move, Move)>;

/// Notes a move of a slot.
pub(super) fn note(moves: &mut Moves, moved: Move) {
    let most = match moves.take() {
        Some((_, most)) if !moved.outweighs(&most) => most,
        _ => moved.clone(),
    };
    *moves = Some((moved, most));
}

fn slots(plan: &Plan, vector: &[f32], own: Vec<Moves>, viewers: Vec<Moves>, explained: &[f32]) -> Vec<SlotView> {
    let moves = own.into_iter().zip(viewers);
    let mut views = vec![];
    for (index, ((slot, value), (own, viewers))) in plan.slots().iter().zip(vector).zip(moves).enumerate() {
        let of_viewer = slot.scope == Scope::Viewer;
        let absent = value.to_bits() == (slot.absent as f32).to_bits();
        let moves = if of_viewer { viewers } else { own }.filter(|_| !absent);
        let (moved_last, moved_most) = moves.unzip();
        views.push(SlotView {
            index,
            name: slot.name.clone(),
            unit: slot.unit.to_string(),
            value: finite(*value),
            absent,
            explained: absent || (moved_last.is_some() && (of_viewer || explained[index].to_bits() == value.to_bits())),
            moved_last,
            moved_most,
        });
    }
    views
}

/// A published context of the session.
struct Published {
    viewer: Option<String>,
    version: u64,
    event_time: i64,
    vector: Vec<f32>,
}

/// Follows what is published of one session.
struct Follow<'a> {
    id: &'a str,
    of_viewer: Vec<bool>,
    absent: Vec<f32>,
    published: Option<Published>,
    ended: Option<EndReason>,
    /// The record being folded is an event of the session.
    own: bool,
    /// Slots of the viewer that the record being folded moved: place, before, after.
    moved: Vec<(usize, f32, f32)>,
    moves: Vec<Moves>,
}

impl<'a> Follow<'a> {
    fn new(plan: &Plan, id: &'a str) -> Self {
        Follow {
            id,
            of_viewer: plan.slots().iter().map(|s| s.scope == Scope::Viewer).collect(),
            absent: plan.slots().iter().map(|s| s.absent as f32).collect(),
            published: None,
            ended: None,
            own: false,
            moved: vec![],
            moves: vec![None; plan.slots().len()],
        }
    }

    fn attribute(&mut self, offset: Offset, event: &Event<'_>, own: bool) {
        for (slot, before, after) in self.moved.drain(..) {
            let (event_id, kind) = (event.id.to_string(), event.kind.to_string());
            let session = event.session.filter(|_| !own).map(str::to_string);
            let (before, after) = (finite(before), finite(after));
            let moved = Move { offset: offset.0, event: event_id, kind, session, before, after };
            note(&mut self.moves[slot], moved);
        }
    }
}

impl Sink for Follow<'_> {
    fn context(&mut self, c: &ContextRef<'_>) {
        if c.kind != Kind::Session || c.session != Some(self.id) {
            return;
        }
        // Other sessions of the viewer refresh an ended session too; only its own events reopen it.
        if std::mem::take(&mut self.own) {
            self.ended = None;
        }
        let before = self.published.as_ref().map_or(&self.absent, |p| &p.vector);
        for (slot, (before, after)) in before.iter().zip(c.vector).enumerate() {
            if self.of_viewer[slot] && before.to_bits() != after.to_bits() {
                self.moved.push((slot, *before, *after));
            }
        }
        let viewer = c.viewer.map(str::to_string);
        let (version, event_time, vector) = (c.version, c.event_time, c.vector.to_vec());
        self.published = Some(Published { viewer, version, event_time, vector });
    }

    fn ended(&mut self, end: &SessionEnd<'_>) {
        if end.session == self.id {
            self.ended = Some(end.reason);
        }
    }

    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

/// For one segment of a path.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
