//! What time does: windows close, decisions are over, rewards that waited in vain are set aside.

use super::join::dangled;
use super::learn::Slot;
use super::{Feedback, Moment};
use crate::decision::Served;
use crate::model::DecisionEnd;
use crate::sink::Sink;

impl Feedback {
    /// Does what the watermark has passed, in order of time.
    pub(crate) fn advance(&mut self, m: Moment<'_>, sink: &mut dyn Sink) {
        while let Some(place) = self.table.next_due(m.watermark) {
            let open = self.table.get(place);
            if m.watermark > open.last().saturating_add(m.lateness) {
                self.finish(m, place, sink);
            } else {
                self.look(m, place);
                self.reschedule(m, place);
            }
        }
        for held in self.waiting.take_before(m.horizon) {
            if let Some(told) = held.told() {
                self.books.dangling(m.offset, dangled(&told, held.time, held.offset, false));
            }
            self.waiting.recycle(held);
        }
    }

    pub(super) fn reschedule(&mut self, m: Moment<'_>, place: u32) {
        let open = self.table.get(place);
        let due = open.next_due(&m.models[open.model], m.lateness);
        self.table.schedule(place, due);
    }

    /// Closes the windows that are over, and leans on what is likely to be over.
    fn look(&mut self, m: Moment<'_>, place: u32) {
        let open = self.table.get(place);
        let Some(since) = open.state.since else { return };
        // Whether it was looked at where nothing was left to lean on must not show: a restart would not have looked.
        let leans = open.leans(&m.models[open.model]) && m.watermark > since.saturating_add(open.lean_age());
        let (picks, specs) = (open.state.picks.len(), open.state.picks.first().map_or(0, |pick| pick.specs.len()));
        for (pick, spec) in (0..picks).flat_map(|pick| (0..specs).map(move |spec| (pick, spec))) {
            let slot = Slot { place, pick, spec };
            let open = self.table.get(place);
            let state = &open.state.picks[pick].specs[spec];
            if state.is_closed {
                continue;
            }
            let (is_over, is_unknown) = (m.watermark > state.end(since), state.known.is_none());
            if is_over {
                self.close(m, slot);
            } else if let Some(reward) = self.reward_of(slot).filter(|_| leans && is_unknown) {
                self.lean(m, slot, reward.spec().default_reward);
            }
        }
        if leans {
            self.table.change(place).state.leans += 1;
        }
    }

    /// Nothing can be joined any more.
    fn finish(&mut self, m: Moment<'_>, place: u32, sink: &mut dyn Sink) {
        self.look(m, place);
        let open = self.table.get(place);
        let specs = || open.state.picks.iter().flat_map(|pick| &pick.specs);
        let end = match open.served {
            _ if open.state.since.is_none() => DecisionEnd::NotActivated,
            Served::HeldOut => DecisionEnd::HeldOut,
            Served::OptedOut => DecisionEnd::OptedOut,
            served if served.is_learnt() && !self.fits(m, open) => DecisionEnd::Unfit,
            _ if specs().any(|spec| !spec.observed.is_empty()) => DecisionEnd::Joined,
            _ => DecisionEnd::Default,
        };
        sink.decision_over(&open.id, end, &|| self.view_of(open));
        let open = self.table.remove(place, m.offset + 1);
        self.remember(m, &open.id);
        let specs = || open.state.picks.iter().flat_map(|pick| &pick.specs);
        let Some(books) = self.books.at(m.offset) else { return };
        let (book, rewards) = (&mut books.models[open.model], self.registry.model(open.model));
        book.ends[end as usize] += 1;
        if open.served.is_learnt() && open.state.since.is_some() {
            for spec in specs().filter(|spec| spec.is_closed && open.reward(rewards, spec.version).is_some()) {
                if let Some(book) = book.find_spec(spec.version) {
                    book.delays.closed(spec.delay(open.state.since.unwrap_or(open.time)));
                }
            }
        }
    }

    /// Makes room.
    pub(super) fn evict(&mut self, m: Moment<'_>, place: u32, sink: &mut dyn Sink) {
        let open = self.table.get(place);
        sink.decision_over(&open.id, DecisionEnd::Evicted, &|| self.view_of(open));
        // It is gone when the record that needs its room is taken in.
        let open = self.table.remove(place, m.offset);
        self.remember(m, &open.id);
        self.withdraw(m, &open);
        if let Some(books) = self.books.at(m.offset) {
            books.models[open.model].ends[DecisionEnd::Evicted as usize] += 1;
        }
    }
}
