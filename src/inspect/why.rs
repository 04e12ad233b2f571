//! Why a session's vector is what it is: its accepted events once more, in event-time order, through a fold of their own.
//!
//! What each event changed is what it did. A border between two lives of the session forgets what came before it. Slots of the
//! viewer also depend on other sessions and are followed in [`super::scan`] instead.

use super::report::{At, Border, Bucket, Move, finite, reason};
use super::scan::{Kept, Moves, note};
use saccade_topology::{Arrived, ContextRef, Event, EventTime, Kind, Plan, Record, SessionEnd, Sink, Topology};
use std::sync::Arc;

/// What the fold of the session alone says.
pub(super) struct Why {
    pub borders: Vec<Border>,
    /// Per slot.
    pub moves: Vec<Moves>,
    /// The vector after the last event.
    pub vector: Vec<f32>,
}

/// Folds the accepted ones of `events`, which are in event-time order.
pub(super) fn explain(plan: &Arc<Plan>, id: &str, events: &[Kept]) -> Why {
    let blank: Vec<f32> = plan.slots().iter().map(|s| s.absent as f32).collect();
    let mut why = Why { borders: vec![], moves: vec![None; blank.len()], vector: blank.clone() };
    let mut fold = Topology::new(Arc::clone(plan));
    for (place, kept) in events.iter().enumerate().filter(|(_, k)| k.bucket == Bucket::Accepted) {
        let event = kept.event();
        // Its clock was corrected already, by what was known of it when it arrived.
        let timed = Event { event_time: EventTime(kept.time), sent_at: None, sent_at_inferred: false, ..event };
        let arrived = Arrived { record: Record::Event(timed), ..kept.arrived() };
        let mut step = Step { id, border: None, vector: None };
        fold.apply(kept.offset, &arrived, &mut step);
        let Some(vector) = step.vector else { continue };
        if let Some(border) = step.border {
            why.borders.push(Border { before: place, ..border });
            why.moves.fill(None);
            why.vector.clone_from(&blank);
        }
        for (slot, (before, after)) in why.vector.iter().zip(&vector).enumerate() {
            if before.to_bits() != after.to_bits() {
                let (offset, event_id, kind) = (kept.offset.0, event.id.to_string(), event.kind.to_string());
                let (before, after) = (finite(*before), finite(*after));
                note(&mut why.moves[slot], Move { offset, event: event_id, kind, session: None, before, after });
            }
        }
        why.vector = vector;
    }
    why
}

/// Outputs of one event.
struct Step<'a> {
    id: &'a str,
    border: Option<Border>,
    vector: Option<Vec<f32>>,
}

impl Sink for Step<'_> {
    fn context(&mut self, c: &ContextRef<'_>) {
        if c.kind == Kind::Session && c.session == Some(self.id) {
            self.vector = Some(c.vector.to_vec());
        }
    }

    /// In event-time order a life is only ever ended by the event that begins the next, before its context is given.
    fn ended(&mut self, end: &SessionEnd<'_>) {
        if end.session == self.id && self.vector.is_none() {
            let (start, last, events) = (At(end.start), At(end.last), end.events);
            self.border = Some(Border { before: 0, reason: reason(end.reason), start, last, events });
        }
    }

    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}
