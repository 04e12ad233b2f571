//! A lane: the rows of all sessions, or of all viewers, of a partition, and the events still pending on each.
//!
//! Per key there is a row *current*, the fold of all events so far, and while events are pending another, *settled*, the fold of
//! events that all are before the horizon, with [rungs](crate::rungs) between the two where many are pending. In order, an event
//! is folded into `current` alone; out of order, `current` is folded again from the rung before it. Which events were settled when
//! is not visible outside.

use crate::pending::{Arriving, At as Place, NONE, Slab};
use crate::pieces::Pieces;
use crate::prefetch::prefetch;
use crate::row::{HEADER, Life, RowPlan, START, Scratch};
use crate::rungs::{Rungs, STEP};
use crate::schedule::Schedule;
use crate::table::Table;
use compact_str::CompactString;
use head::Head;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

mod head;
mod settle;
mod stored;

pub(crate) use head::{NO_SKEW, UNNAMED};
pub use stored::Pending;

/// Keys whose rows lie in one allocation.
const CHUNK: usize = 256;

/// What an arrival did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Folded; `Some` where a new life of the key begins since: the one before.
    Folded(Option<Life>),
    /// An event with this time and id is pending.
    Duplicate,
    /// What it would amend had to settle early.
    SettledEarly,
}

/// What is left of a removed key until the next checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The key.
    pub key: CompactString,
    /// Records before this offset, the removal with them, are contained.
    pub as_of: u64,
}

type Rows = Box<[u64]>;

fn prefetch_key(heads: &[Head], chunks: &[Option<Rows>], words: usize, i: u32) {
    if let (Some(head), Some(Some(rows))) = (heads.get(i as usize), chunks.get(i as usize / CHUNK)) {
        prefetch(head);
        prefetch(&rows[(i as usize % CHUNK) * words..][..words]);
    }
}

#[derive(Debug)]
pub(crate) struct Lane {
    table: Table,
    pub heads: Vec<Head>,
    chunks: Vec<Option<Rows>>,
    chunk_live: Vec<u32>,
    free: BinaryHeap<Reverse<u32>>,
    slab: Slab,
    rungs: Rungs,
    schedule: Schedule,
    words: usize,
    pending_max: u32,
    /// Keys with pending events, and the time of one of those.
    unsettled: VecDeque<(i64, u32)>,
    /// The lowest offset that exported rows name; of none the greatest number.
    named_from: u64,
    pub dirty: Pieces<u32>,
    pub removed: Pieces<Tombstone>,
}

impl Lane {
    /// Of at most `keys_max` keys.
    pub(crate) fn new(plan: &RowPlan, inputs: usize, pending_max: u32, keys_max: u32) -> Self {
        // Room for all there may be, so that they are never moved: memory that is not written takes none. Where so much is refused, it grows.
        let mut heads = vec![];
        let _ = heads.try_reserve_exact(keys_max as usize);
        Lane {
            table: Table::new(),
            heads,
            chunks: vec![],
            chunk_live: vec![],
            free: BinaryHeap::new(),
            slab: Slab::new(inputs),
            rungs: Rungs::new(plan.words),
            schedule: Schedule::new(plan.gap),
            words: plan.words,
            pending_max,
            unsettled: VecDeque::new(),
            named_from: u64::MAX,
            dirty: Pieces::default(),
            removed: Pieces::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len() - self.free.len()
    }

    /// Bytes of state: rows, heads, keys, table, schedule and pending events.
    pub(crate) fn bytes(&self) -> usize {
        let per_key = 8 * self.words + size_of::<Head>() + 24 + 24 + 16;
        self.len() * per_key + self.slab.bytes() + self.rungs.bytes()
    }

    /// Finds the key, at `place` first.
    pub(crate) fn find_at(&self, place: u32, hash: u64, key: &str) -> Option<u32> {
        let is_there = self.heads.get(place as usize).is_some_and(|head| head.live && head.is(hash, key));
        if is_there { Some(place) } else { self.find(hash, key) }
    }

    pub(crate) fn find(&self, hash: u64, key: &str) -> Option<u32> {
        self.table.find(hash, |place| self.heads[place as usize].is(hash, key))
    }

    /// Asks for what is known of the key, and for its row.
    pub(crate) fn prefetch(&self, i: u32) {
        prefetch_key(&self.heads, &self.chunks, self.words, i);
    }

    /// Asks for what is known of the key, and for the first words of its row.
    pub(crate) fn prefetch_head(&self, i: u32) {
        if let (Some(head), Some(Some(rows))) = (self.heads.get(i as usize), self.chunks.get(i as usize / CHUNK)) {
            prefetch(head);
            prefetch(&rows[(i as usize % CHUNK) * self.words..][..HEADER]);
        }
    }

    /// Asks for what the next pending event is linked to; what is known of the key is read.
    pub(crate) fn prefetch_last(&self, i: u32) {
        if let Some(head) = self.heads.get(i as usize).filter(|head| head.pending > 0) {
            self.slab.prefetch_link(head.last);
        }
    }

    /// Places of the next `count` keys to be settled.
    pub(crate) fn unsettled(&self, count: usize) -> impl Iterator<Item = u32> {
        self.unsettled.iter().take(count).map(|(_, i)| *i)
    }

    /// Finds by hash alone.
    pub(crate) fn find_hash(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |place| self.heads[place as usize].hash == hash)
    }

    /// The place at which a key with this hash is, if it is anywhere, without a look at the keys.
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |_| true)
    }

    pub(crate) fn create(&mut self, hash: u64, key: &str) -> u32 {
        let i = self.free.pop().map_or(self.heads.len() as u32, |Reverse(i)| i);
        let waits = self.heads.get(i as usize).is_some_and(|head| head.waits);
        let head = Head::new(hash, key, waits);
        if i as usize == self.heads.len() {
            self.heads.push(head);
        } else {
            self.heads[i as usize] = head;
        }
        let chunk = i as usize / CHUNK;
        if chunk == self.chunks.len() {
            self.chunks.push(None);
            self.chunk_live.push(0);
        }
        self.chunk_live[chunk] += 1;
        let rows = self.chunks[chunk].get_or_insert_with(|| vec![0; CHUNK * self.words].into());
        rows[(i as usize % CHUNK) * self.words..][..self.words].fill(0);
        self.table.insert(hash, i);
        i
    }

    /// Forgets a key; its memory is free for the next.
    pub(crate) fn remove(&mut self, i: u32, as_of: u64) {
        if self.heads[i as usize].pending > 0 {
            self.settle_all(i);
        }
        let head = &mut self.heads[i as usize];
        let key = std::mem::take(&mut head.key);
        head.live = false;
        self.table.remove(head.hash, i);
        self.removed.push(Tombstone { key, as_of });
        self.free.push(Reverse(i));
        let chunk = i as usize / CHUNK;
        self.chunk_live[chunk] -= 1;
        if self.chunk_live[chunk] == 0 {
            self.chunks[chunk] = None;
        }
    }

    /// The fold of all events so far.
    pub(crate) fn current(&self, i: u32) -> &[u64] {
        let rows = self.chunks[i as usize / CHUNK].as_ref().expect("a live key has rows");
        &rows[(i as usize % CHUNK) * self.words..][..self.words]
    }

    /// Of the same key: the row that is the fold of all events, and what the others lie in.
    fn parts(&mut self, i: u32) -> (&mut [u64], &mut Head, &mut Rungs, &mut Slab) {
        let rows = self.chunks[i as usize / CHUNK].as_mut().expect("a live key has rows");
        let current = &mut rows[(i as usize % CHUNK) * self.words..][..self.words];
        (current, &mut self.heads[i as usize], &mut self.rungs, &mut self.slab)
    }

    pub(crate) fn is_live(&self, i: u32) -> bool {
        self.heads[i as usize].live
    }

    pub(crate) fn mark_dirty(&mut self, i: u32) {
        let head = &mut self.heads[i as usize];
        if !head.dirty {
            head.dirty = true;
            self.dirty.push(i);
        }
    }

    /// Folds one event into the key. `horizon`: no event before it can still come.
    pub(crate) fn arrive(
        &mut self,
        plan: &RowPlan,
        i: u32,
        event: &Arriving<'_>,
        horizon: i64,
        scratch: &mut Scratch,
    ) -> Arrival {
        self.settle(i, horizon);
        let Arriving { at: Place { time, .. }, id, .. } = *event;
        let (current, head, rungs, slab) = self.parts(i);
        if time <= head.floor {
            return Arrival::SettledEarly;
        }
        let in_order = head.pending == 0 || time > head.last_time || slab.order(head.last) < (time, id);
        let life = if in_order {
            if head.pending == 0 {
                head.begin_rungs(current, rungs);
            }
            let ended = plan.fold(current, time, event.kind, event.inputs, scratch);
            let entry = slab.insert(event);
            if head.link_last(entry, time, slab) {
                self.unsettled.push_back((time, i));
            }
            let (current, head, rungs, _) = self.parts(i);
            if head.tail >= head.reach.step() {
                head.add_rung(rungs, current, head.last, head.last_time, head.tail);
                head.tail = 0;
            }
            ended
        } else {
            if !self.insert(i, event) {
                return Arrival::Duplicate;
            }
            let start = self.current(i)[START] as i64;
            let ended = self.fold_again(plan, i, scratch);
            // Borders that were there before stay at or before its start.
            ended.filter(|_| self.current(i)[START] as i64 > start)
        };
        if self.heads[i as usize].pending > self.pending_max {
            self.settle_exactly(plan, i, horizon, scratch);
            if self.heads[i as usize].pending > self.pending_max {
                self.settle_first(plan, i, scratch);
            }
        }
        self.mark_dirty(i);
        Arrival::Folded(life)
    }

    /// Links a taken entry behind the last.
    fn link_last(&mut self, i: u32, entry: u32, time: i64) {
        let (_, head, _, slab) = self.parts(i);
        if head.link_last(entry, time, slab) {
            self.unsettled.push_back((time, i));
        }
    }

    /// Inserts before the last entry; false where the event is there already.
    fn insert(&mut self, i: u32, event: &Arriving<'_>) -> bool {
        let order = (event.at.time, event.id);
        let (_, head, rungs, slab) = self.parts(i);
        let (mut before, mut at) = (NONE, head.first);
        while head.highest != head.settled {
            let last = rungs.at(head.highest).last;
            if slab.order(last) <= order {
                (before, at) = (last, slab.next(last));
                break;
            }
            head.drop_highest(rungs);
        }
        let mut before_it = 0;
        while at != NONE && slab.order(at) < order {
            (before, at) = (at, slab.next(at));
            before_it += 1;
        }
        let is_there = |at: u32| at != NONE && slab.order(at) == order;
        if is_there(at) || is_there(before) {
            return false;
        }
        let entry = slab.insert(event);
        slab.set_next(entry, at);
        head.reach.note(head.tail - before_it);
        head.pending += 1;
        head.tail += 1;
        if before == NONE {
            head.first = entry;
        } else {
            slab.set_next(before, entry);
        }
        true
    }

    /// Folds `current` anew from the highest rung, and leaves rungs on the way. Gives the last life that ended.
    fn fold_again(&mut self, plan: &RowPlan, i: u32, scratch: &mut Scratch) -> Option<Life> {
        let (current, head, rungs, slab) = self.parts(i);
        current.copy_from_slice(rungs.row(head.highest));
        let mut at = if head.highest == head.settled { head.first } else { slab.next(rungs.at(head.highest).last) };
        let (mut ended, mut since) = (None, 0);
        for left in (0..head.tail).rev() {
            let event = slab.event(at);
            let time = event.at.time;
            ended = plan.fold(current, time, event.kind, event.inputs, scratch).or(ended);
            since += 1;
            if since >= STEP && left >= head.reach.unsure() {
                head.add_rung(rungs, current, at, time, since);
                since = 0;
            }
            at = slab.next(at);
        }
        head.tail = since;
        ended
    }

    /// Asks for [`Lane::next_due`] to name the key once the watermark has passed `time`.
    pub(crate) fn schedule(&mut self, i: u32, time: i64) {
        let head = &mut self.heads[i as usize];
        if time < head.scheduled {
            head.scheduled = time;
            self.schedule.push((time, head.hash, i));
        }
    }

    /// The next key whose scheduled time is behind `watermark`; its schedule is then empty.
    #[inline]
    pub(crate) fn next_due(&mut self, watermark: i64) -> Option<(i64, u32)> {
        if self.schedule.earliest() < watermark { self.take_due(watermark) } else { None }
    }

    fn take_due(&mut self, watermark: i64) -> Option<(i64, u32)> {
        loop {
            // Keys have been silent for long when their time comes.
            let prefetch = |i: u32| prefetch_key(&self.heads, &self.chunks, self.words, i);
            let (time, hash, i) = self.schedule.pop_before(watermark, prefetch)?;
            let head = &mut self.heads[i as usize];
            if head.live && head.hash == hash && head.scheduled == time {
                head.scheduled = i64::MAX;
                return Some((time, i));
            }
        }
    }

    /// Takes the keys changed since the last call; each is asked for again by its place.
    pub(crate) fn take_dirty(&mut self) -> Pieces<u32> {
        std::mem::take(&mut self.dirty)
    }

    /// Behind the last place.
    pub(crate) fn end(&self) -> u32 {
        self.heads.len() as u32
    }

    /// Places of all live keys.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.heads.len() as u32).filter(|i| self.heads[*i as usize].live)
    }
}
