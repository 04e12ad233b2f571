//! Feedback as a checkpoint holds it: what is not per decision at one offset, open decisions as rows.

use super::held::Queue;
use super::open::{Open, State};
use super::pass::Gone;
use super::{Feedback, Moment};
use crate::model::StoredRewards;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What is not per decision, nor in the books: at the offset of the globals, as bytes. Empty where nothing was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFeedback(Vec<u8>);

impl StoredFeedback {
    /// Bytes from [`StoredFeedback::bytes`], checked.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, postcard::Error> {
        postcard::from_bytes::<Kept<'_>>(&bytes)?;
        Ok(StoredFeedback(bytes))
    }

    /// What is to be stored.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What the bytes are of.
#[derive(Default, Serialize, Deserialize)]
struct Kept<'a> {
    rewards: Vec<StoredRewards>,
    waiting: Cow<'a, Queue>,
    recent: Cow<'a, Queue>,
    away: Cow<'a, VecDeque<Gone>>,
}

/// A row.
#[derive(Serialize, Deserialize)]
struct StoredOpen<'a> {
    #[serde(borrow)]
    record: &'a [u8],
    state: Cow<'a, State>,
}

impl Open {
    /// Appends its row.
    pub(crate) fn export(&self, bytes: &mut Vec<u8>) {
        let row = StoredOpen { record: &self.record, state: Cow::Borrowed(&self.state) };
        *bytes = postcard::to_extend(&row, std::mem::take(bytes)).expect("memory takes any row");
    }
}

impl Feedback {
    pub(crate) fn stored(&self, names: impl Iterator<Item = String>) -> StoredFeedback {
        let kept = Kept {
            rewards: self.registry.stored(names),
            waiting: Cow::Borrowed(&self.waiting),
            recent: Cow::Borrowed(&self.recent),
            away: Cow::Borrowed(&self.away),
        };
        // One buffer, of its size at once: thousands of copies, or one that grows, would hold the partition up for milliseconds.
        let buffer = Vec::with_capacity(self.waiting.stored_len() + self.recent.stored_len());
        StoredFeedback(postcard::to_extend(&kept, buffer).expect("memory takes any state"))
    }

    pub(crate) fn restore(&mut self, stored: &StoredFeedback, model: impl Fn(&str) -> Option<usize>) {
        let kept = match stored.bytes() {
            [] => Kept::default(),
            bytes => postcard::from_bytes(bytes).expect("they were checked, or made here"),
        };
        for rewards in &kept.rewards {
            self.registry.restore(rewards, &model);
        }
        (self.waiting, self.recent) = (kept.waiting.into_owned().restored(), kept.recent.into_owned().restored());
        self.away = kept.away.into_owned();
        self.count_away();
        self.collect_kinds();
    }

    /// Appends the row of an open decision and gives its id; none where it is over. What is before the horizon is settled first:
    /// two states of the same decision then have the same row, however they came about.
    pub(crate) fn export(&mut self, place: u32, horizon: i64, bytes: &mut Vec<u8>) -> Option<&str> {
        self.table.at(place)?;
        self.settle(place, horizon);
        let open = self.table.export(place)?;
        open.export(bytes);
        Some(&open.id)
    }

    pub(super) fn settle(&mut self, place: u32, horizon: i64) {
        let Some(open) = self.table.settling(place) else { return };
        let rewards = self.registry.model(open.model);
        for spec in open.state.picks.iter_mut().flat_map(|pick| &mut pick.specs) {
            match rewards.spec_since(spec.version, open.state.offset) {
                Some(reward) => spec.observed.settle(reward, horizon),
                None => spec.observed.let_go(),
            }
        }
    }

    /// Puts a row back that contains the records before `as_of`. False where it is no row.
    pub(crate) fn import(&mut self, bytes: &[u8], as_of: u64, model: impl Fn(&str) -> Option<usize>) -> bool {
        let Ok(row) = postcard::from_bytes::<StoredOpen<'_>>(bytes) else { return false };
        // Of a model that is no longer configured: nothing is to be joined to it.
        let Some(open) = Open::restore(row.record, row.state.into_owned(), model) else { return true };
        let place = self.table.insert(open);
        self.table.change(place).as_of = as_of;
        true
    }

    /// After all rows: when each has to be looked at.
    pub(crate) fn schedule_all(&mut self, m: Moment<'_>) {
        for place in self.table.places() {
            self.reschedule(m, place);
        }
        for place in self.table.take_dirty() {
            self.table.export(place);
        }
    }

    /// Gives all open decisions to the sink.
    pub(crate) fn emit_all(&self, sink: &mut dyn crate::sink::Sink) {
        for place in self.table.places() {
            let open = self.table.get(place);
            sink.decided(&open.id, &open.record);
        }
    }

    /// Items changed since the last call.
    pub(crate) fn take_items(&mut self) -> Vec<Box<str>> {
        let mut items: Vec<_> = std::mem::take(&mut self.items_dirty).into_iter().collect();
        items.sort_unstable();
        items
    }

    /// Puts an item back, or notes its removal, as of an offset.
    pub(crate) fn import_item(&mut self, item: &str, fields: Option<&[u8]>, as_of: u64) {
        self.items_as_of.insert(item.into(), as_of);
        if let Some(fields) = fields {
            self.catalogue.set(item, fields);
        }
    }

    /// Notes a decision that is over. One that was open when the checkpoint began has a row of the same offset, and is there until then.
    pub(crate) fn bury(&mut self, id: &str, as_of: u64) {
        self.over_as_of.insert(id.into(), as_of);
        self.ending.insert((as_of, id.into()));
    }

    /// While catching up: decisions that had to make room by now do so. Time ends the others.
    pub(crate) fn make_room(&mut self, offset: u64) {
        while self.ending.first().is_some_and(|(as_of, _)| *as_of <= offset) {
            let Some((as_of, id)) = self.ending.pop_first() else { break };
            if let Some(place) = self.table.find(&id) {
                self.table.remove(place, as_of);
            }
        }
    }

    /// Ends catching up.
    pub(crate) fn caught_up(&mut self) {
        self.over_as_of = Default::default();
        self.ending = Default::default();
        self.items_as_of = Default::default();
    }
}
