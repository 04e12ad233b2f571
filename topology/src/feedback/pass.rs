//! What names a decision of another partition: it leaves, arrives there once, and is then forgotten here.
//!
//! A partition cannot know where a decision is; who asks it to let go does (`Leaving`). From then on what waited here is *away*: it
//! neither dangles nor makes room, and ends in no bucket here. Its copy (`Passed`) is known by where it came from, so that it may be
//! sent again until its taking in is confirmed (`Landed`), and counts where the decision is.

use super::held::{HELD_BYTES_MAX, Held, bytes_of};
use super::{Feedback, Moment, decision_key};
use crate::decision::{ExplicitReward, Landed, Leaving, Passed, Told};
use crate::fold::Topology;
use crate::model::RewardEnd;
use crate::record::{Event, EventTime};
use crate::sink::Sink;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Things on their way to other partitions, at most; beyond, what belongs there waits here.
const AWAY_MAX: usize = 16_384;

/// Something on its way to another partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Away<'a> {
    /// The partition it goes to.
    pub to: u16,
    /// Offset of the record that let it go.
    pub left: u64,
    /// Offset of its own record.
    pub offset: u64,
    /// Its event time, corrected.
    pub event_time: EventTime,
    /// What it is.
    pub told: Told<'a>,
}

/// As it is kept until it has landed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gone {
    to: u16,
    left: u64,
    held: Held,
}

impl Gone {
    fn emit(&self, sink: &mut dyn Sink) {
        let Some(told) = self.held.told() else { return };
        let (event_time, offset) = (EventTime(self.held.time), self.held.offset);
        sink.left(&Away { to: self.to, left: self.left, offset, event_time, told });
    }
}

impl Held {
    /// What was told of a decision.
    pub(super) fn told(&self) -> Option<Told<'_>> {
        match self.is_explicit {
            true => postcard::from_bytes::<ExplicitReward<'_>>(&self.bytes).ok().map(Told::Reward),
            false => postcard::from_bytes::<Event<'_>>(&self.bytes).ok().map(Told::Event),
        }
    }
}

impl Feedback {
    /// Lets go of what waits for a decision. False where nothing does, or too much is on its way.
    pub(crate) fn leave(&mut self, m: Moment<'_>, l: &Leaving<'_>, sink: &mut dyn Sink) -> bool {
        let about = decision_key(l.decision);
        if self.away.len() >= AWAY_MAX || self.away_bytes > HELD_BYTES_MAX || !self.waiting.has(about) {
            return false;
        }
        for held in self.waiting.take(about) {
            let gone = Gone { to: l.to, left: m.offset, held };
            gone.emit(sink);
            self.away_bytes += gone.held.bytes.len();
            self.away.push_back(gone);
        }
        true
    }

    /// Forgets what arrived. False where nothing was on its way.
    pub(crate) fn landed(&mut self, l: &Landed) -> bool {
        let before = self.away.len();
        self.away.retain(|gone| gone.left > l.until);
        self.count_away();
        self.away.len() < before
    }

    pub(super) fn count_away(&mut self) {
        self.away_bytes = bytes_of(self.away.iter().map(|gone| &gone.held));
    }

    /// Takes in what came from another partition. `is_known`: its decision was made once; `is_told`: the reward's id is known.
    pub(crate) fn passed(&mut self, m: Moment<'_>, p: &Passed<'_>, is_known: bool, is_told: bool) {
        match p.told {
            Told::Reward(_) if is_told => self.books.reward(m.offset, RewardEnd::Duplicate),
            Told::Reward(reward) => {
                self.reward(m, &ExplicitReward { event_time: Some(p.event_time), ..reward }, is_known);
            }
            // As it would be in the partition's own events.
            Told::Event(event) if p.event_time.0 < m.horizon => self.late_event(m, &event, p.event_time.0, is_known),
            Told::Event(event) => self.event(m, &event, p.event_time.0, is_known),
        }
    }

    /// The decisions that the `newest` of what waits here wait for and that are elsewhere, as `elsewhere` says by their keys.
    pub(crate) fn awaited(&self, newest: u64, elsewhere: &dyn Fn(u64) -> Option<u16>) -> Vec<(String, u16)> {
        let mut seen = BTreeSet::new();
        let newest = self.waiting.iter().rev().take(usize::try_from(newest).unwrap_or(usize::MAX));
        let first = newest.filter(|held| seen.insert(held.about));
        let found = first.filter_map(|held| {
            let to = elsewhere(held.about)?;
            Some((held.told()?.decision().to_string(), to))
        });
        found.collect()
    }

    /// Things on their way.
    pub(crate) fn away(&self) -> usize {
        self.away.len()
    }

    /// Gives all that is on its way to the sink.
    pub(crate) fn emit_away(&self, sink: &mut dyn Sink) {
        self.away.iter().for_each(|gone| gone.emit(sink));
    }

    /// Remembers a decision that is over.
    pub(super) fn remember(&mut self, m: Moment<'_>, id: &str) {
        // As the books, what is remembered contains the log before an offset.
        if self.books.at(m.offset).is_some() {
            self.over.insert(decision_key(id));
        }
    }
}

/// For who carries what belongs elsewhere, and has to know where that is.
impl Topology {
    /// Grows with each reward that begins to wait for its decision.
    pub fn waited(&self) -> u64 {
        self.feedback.waited
    }

    /// The decisions that the `newest` rewards that wait here are for and that are in other partitions: `elsewhere` says where, by
    /// [`decision_key`](crate::decision_key).
    pub fn awaited(&self, newest: u64, elsewhere: &dyn Fn(u64) -> Option<u16>) -> Vec<(String, u16)> {
        self.feedback.awaited(newest, elsewhere)
    }

    /// Rewards on their way to other partitions.
    pub fn away(&self) -> usize {
        self.feedback.away()
    }

    /// Gives all that is on its way to other partitions to the sink, in the order it left.
    pub fn emit_away(&self, sink: &mut dyn Sink) {
        self.feedback.emit_away(sink);
    }

    /// Decisions that are over, by [`decision_key`](crate::decision_key), each with the number of its generation: the generation
    /// before the latest is forgotten as a whole when the next begins.
    pub fn over(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.feedback.over.iter()
    }

    /// Decisions that something can still be joined to, by [`decision_key`](crate::decision_key).
    pub fn open_keys(&self) -> impl Iterator<Item = u64> + '_ {
        let table = &self.feedback.table;
        table.places().into_iter().map(|place| decision_key(&table.get(place).id))
    }

    /// Number of the generation that decisions which end now belong to.
    pub fn over_generation(&self) -> u64 {
        self.feedback.over.mark().0
    }
}
