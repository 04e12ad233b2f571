//! Where the outputs of the fold go: implemented by the publisher, the replay writers and the tests.

use crate::feedback::{Away, DecisionView};
use crate::model::{DecisionEnd, RewardEnd};
use std::sync::Arc;

/// Which of the two kinds of context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A session.
    Session,
    /// A viewer.
    Viewer,
}

/// Which slots of a context were refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All.
    Whole,
    /// Those about the viewer, as [`Plan::profile_slots`](crate::Plan::profile_slots) lists them, because of an event of another
    /// session of the viewer. The others are as they were.
    Profile,
}

/// A refreshed context. Borrowed from the fold: copy what is to be kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextRef<'a> {
    /// Whether this is the session's or the viewer's context.
    pub kind: Kind,
    /// Number of the key among those of its kind in this state; free for another key once this one was removed.
    pub place: u32,
    /// Session id; for a viewer, that of the latest live session.
    pub session: Option<&'a str>,
    /// Viewer id, where known.
    pub viewer: Option<&'a str>,
    /// False where session and viewer are those of the place's context before.
    pub is_renamed: bool,
    /// Offset of the record that caused it.
    pub version: u64,
    /// It takes the place of one that the same record caused, as whole as that: only this one is to be shown.
    pub is_again: bool,
    /// Greatest event time folded into it, epoch milliseconds.
    pub event_time: i64,
    /// One number per slot of `part`; none for a viewer whose latest session is alive: its vector is the session's.
    pub vector: &'a [f32],
    /// What is in `vector`: all slots, unless the sink [keeps](Sink::keeps_contexts) the context before.
    pub part: Part,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// No event for longer than `session.gap`.
    Gap,
    /// Older than `session.max_length`.
    MaxLength,
    /// `session.sessions_max` was reached.
    Evicted,
}

/// A session that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd<'a> {
    /// Session id.
    pub session: &'a str,
    /// First event time, epoch milliseconds.
    pub start: i64,
    /// Latest event time, epoch milliseconds.
    pub last: i64,
    /// Events folded.
    pub events: u64,
    /// Why.
    pub reason: EndReason,
}

/// Receives the outputs of [`crate::Topology::apply`] in order.
pub trait Sink {
    /// False where contexts need not be made, because nobody looks at them.
    fn takes_contexts(&self) -> bool {
        true
    }
    /// True where a context is kept until it is removed: it is then enough to be given the part that changed.
    fn keeps_contexts(&self) -> bool {
        false
    }
    /// A context was refreshed.
    fn context(&mut self, context: &ContextRef<'_>);
    /// The watermark passed a session's end. Within the allowed lateness an event may still reopen it.
    fn ended(&mut self, end: &SessionEnd<'_>);
    /// A decision was taken in; `record` is the `postcard` of its [`crate::decision::Decision`].
    fn decided(&mut self, _id: &str, _record: &Arc<[u8]>) {}
    /// A decision is over: nothing can be joined to it any more. `last` shows it as it was.
    fn decision_over(&mut self, _id: &str, _end: DecisionEnd, _last: &dyn Fn() -> DecisionView) {}
    /// A decision came when its windows were over: it was never open.
    fn decision_late(&mut self, _id: &str) {}
    /// What became of an explicit reward; none where it waits for its decision.
    fn rewarded(&mut self, _end: Option<RewardEnd>) {}
    /// Something leaves for the partition of the decision it names.
    fn left(&mut self, _away: &Away<'_>) {}
    /// State is gone: no event can amend it any more. Its place is free.
    fn removed(&mut self, kind: Kind, place: u32, key: &str);
}

/// Takes no notice of anything: for replays that only need the final state.
pub struct Ignore;

impl Sink for Ignore {
    fn takes_contexts(&self) -> bool {
        false
    }
    fn context(&mut self, _: &ContextRef<'_>) {}
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}
