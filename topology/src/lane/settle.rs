//! Settling: lets go of events that are certain, because no other can come before them any more. Not visible outside.

use super::Lane;
use crate::pending::NONE;
use crate::row::{RowPlan, Scratch};

impl Lane {
    /// Lets go of events that no event can come before any more: of all, or of those in the lowest rungs.
    pub(super) fn settle(&mut self, i: u32, horizon: i64) {
        let head = &self.heads[i as usize];
        if head.pending == 0 || (head.last_time >= horizon && head.rung_time >= horizon) {
            return;
        }
        if head.last_time < horizon {
            return self.settle_all(i);
        }
        let (_, head, rungs, slab) = self.parts(i);
        while head.rung_time < horizon {
            let rung = head.climb(rungs);
            let next = slab.next(rung.last);
            slab.release(head.first, rung.count);
            head.first = next;
            head.pending -= rung.count;
        }
    }

    /// Without a pending event the current row is the settled one.
    pub(super) fn settle_all(&mut self, i: u32) {
        let (_, head, _, slab) = self.parts(i);
        slab.release(head.first, head.pending);
        head.pending = 0;
        self.end_rungs(i);
    }

    pub(super) fn end_rungs(&mut self, i: u32) {
        let (_, head, rungs, _) = self.parts(i);
        while head.highest != head.settled {
            head.drop_highest(rungs);
        }
        rungs.drop_highest(head.settled);
        (head.settled, head.highest, head.rung_time, head.tail) = (NONE, NONE, i64::MAX, 0);
    }

    /// Settles every event that no other can come before any more.
    pub(super) fn settle_exactly(&mut self, plan: &RowPlan, i: u32, horizon: i64, scratch: &mut Scratch) {
        self.settle(i, horizon);
        while self.first_time(i).is_some_and(|time| time < horizon) {
            self.fold_first(plan, i, scratch);
        }
    }

    /// Event time of the first pending event.
    fn first_time(&self, i: u32) -> Option<i64> {
        let head = &self.heads[i as usize];
        (head.pending > 0).then(|| self.slab.at(head.first).time)
    }

    /// Folds the first pending event into the settled row.
    fn fold_first(&mut self, plan: &RowPlan, i: u32, scratch: &mut Scratch) {
        let (_, head, rungs, slab) = self.parts(i);
        let first = head.first;
        let event = slab.event(first);
        plan.fold(rungs.row_mut(head.settled), event.at.time, event.kind, event.inputs, scratch);
        head.first = slab.next(first);
        head.pending -= 1;
        slab.release(first, 1);
        match rungs.at(head.settled).upper {
            NONE => head.tail -= 1,
            upper if rungs.shorten(upper) == 0 => drop(head.climb(rungs)),
            _ => {}
        }
    }

    /// At the limit: settles the oldest pending events, all of one time, ahead of the horizon.
    pub(super) fn settle_first(&mut self, plan: &RowPlan, i: u32, scratch: &mut Scratch) {
        let Some(time) = self.first_time(i) else { return };
        while self.first_time(i) == Some(time) {
            self.fold_first(plan, i, scratch);
        }
        if self.heads[i as usize].pending == 0 {
            self.end_rungs(i);
        }
        self.heads[i as usize].floor = time;
    }

    /// Settles a few of the keys whose events are all certain: what is silent does not keep its memory, and few rows and events
    /// stay in the near caches. Other keys are settled as events arrive. `newest`: the greatest time there was.
    pub(crate) fn sweep(&mut self, count: usize, horizon: i64, newest: i64) {
        self.slab.set_newest(newest);
        for _ in 0..count {
            // Those in front are the oldest, but for some of clocks that are ahead: they must not keep the others waiting.
            let Some((_, i)) = self.unsettled.front().copied().filter(|(time, _)| *time < horizon || *time > newest)
            else {
                return;
            };
            self.unsettled.pop_front();
            let head = &self.heads[i as usize];
            if head.pending > 0 {
                let last = head.last_time;
                if last < horizon { self.settle_all(i) } else { self.unsettled.push_back((last, i)) }
            }
            self.heads[i as usize].waits = self.heads[i as usize].pending > 0;
        }
    }
}
