//! A lane: the rows of all sessions, or of all viewers, of a partition, and the events still pending on each.
//!
//! Per key there is a row *current*, the fold of all events so far, and while events are pending another, *settled*, the fold of
//! events that all are before the horizon, with [rungs](crate::rungs) between the two where many are pending. In order, an event
//! is folded into `current` alone; out of order, `current` is folded again from the rung before it. Which events were settled when
//! is not visible outside.

use crate::pending::{Arriving, At as Place, IdWords, NONE, Slab};
use crate::pieces::Pieces;
use crate::prefetch::prefetch;
use crate::row::{HEADER, Life, RowPlan, START, Scratch};
use crate::rungs::{At, Reach, Rungs, STEP};
use crate::schedule::Schedule;
use crate::sparse;
use crate::table::Table;
use compact_str::CompactString;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Keys whose rows lie in one allocation.
const CHUNK: usize = 256;
/// No context was shown, or the names in it are no longer those.
pub(crate) const UNNAMED: u32 = NONE - 1;
/// No clock offset was measured.
pub(crate) const NO_SKEW: i64 = i64::MIN;

/// What is known of a key beside its rows. In order, so that it is two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Head {
    pub key: CompactString,
    pub hash: u64,
    /// Records before this offset are in the rows already (after a restart).
    pub as_of: u64,
    /// Event time of the last event in the rung above the settled row: once it is certain, that rung is the settled row.
    rung_time: i64,
    /// Event time of the last pending event.
    last_time: i64,
    /// Offset of the player's clock, measured at the key's first event that needed it.
    pub skew: i64,
    scheduled: i64,
    /// Offset of the record that refreshed the key last.
    pub version: u64,
    /// Events up to this time settled early, because too many were pending.
    pub floor: i64,
    first: u32,
    last: u32,
    pub pending: u32,
    /// Lowest and highest rung, the same where there is only the settled row; none without pending events.
    settled: u32,
    highest: u32,
    /// Pending events since the highest rung.
    tail: u32,
    /// Of a session the place of its viewer, of a viewer that of its session where it has one only.
    pub peer: u32,
    /// Of a session the place of the viewer its context names, of a viewer that of the session; [`UNNAMED`] where none was shown yet.
    pub named: u32,
    reach: Reach,
    pub closed: bool,
    dirty: bool,
    live: bool,
    /// Its place is in [`Lane::unsettled`]; stays where the key is removed.
    waits: bool,
}

const _: () = assert!(size_of::<Head>() == 128);

impl Head {
    fn is(&self, hash: u64, key: &str) -> bool {
        self.hash == hash && self.key == key
    }

    /// It is published by the record at this offset. True where that record has published it before: then it has to be told all of it again.
    pub(crate) fn publish(&mut self, offset: u64) -> bool {
        let is_again = self.version == offset;
        if is_again {
            self.named = UNNAMED;
        }
        self.version = self.version.max(offset);
        is_again
    }

    /// The current row is the settled one from now on.
    fn begin_rungs(&mut self, current: &[u64], rungs: &mut Rungs) {
        self.settled = rungs.take(current, At::LOWEST);
        (self.highest, self.rung_time) = (self.settled, i64::MAX);
    }

    /// Links a taken entry behind the last; true where the key now waits to be settled.
    #[must_use]
    fn link_last(&mut self, entry: u32, time: i64, slab: &mut Slab) -> bool {
        let begins_to_wait = self.pending == 0 && !self.waits;
        if self.pending == 0 {
            self.first = entry;
            self.waits = true;
        } else {
            slab.set_next(self.last, entry);
        }
        (self.last, self.last_time) = (entry, time);
        self.pending += 1;
        self.tail += 1;
        begins_to_wait
    }

    /// Makes `row` the highest rung: what `current` was after the pending event `last` at `time`, `count` events above the rung below.
    fn add_rung(&mut self, rungs: &mut Rungs, row: &[u64], last: u32, time: i64, count: u32) {
        let is_first = self.highest == self.settled;
        self.highest = rungs.take(row, At { lower: self.highest, upper: NONE, last, time, count });
        if is_first {
            self.rung_time = time;
        }
    }

    /// Takes the highest rung away; it is not the settled row.
    fn drop_highest(&mut self, rungs: &mut Rungs) {
        let rung = rungs.drop_highest(self.highest);
        self.highest = rung.lower;
        self.tail += rung.count;
        if self.highest == self.settled {
            self.rung_time = i64::MAX;
        }
    }

    /// The rung above the settled row takes its place; gives where it was.
    fn climb(&mut self, rungs: &mut Rungs) -> At {
        let (lowest, rung) = rungs.drop_lowest(self.settled);
        self.settled = lowest;
        self.rung_time = if rung.upper == NONE { i64::MAX } else { rungs.at(rung.upper).time };
        rung
    }
}

/// How a row holds the events that are pending on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// As they are: the row is all there is to know of its key.
    Whole,
    /// Where there are more than a few: by where they are in the log, in a twentieth of the bytes.
    ByOffset,
}

/// Pending events that a row holds as they are in any case: most keys are seen once or twice in the time in which events are pending, and
/// their rows need not be written again when they are not.
const WHOLE_MAX: u32 = 8;
/// Bits of a row's flags.
const CLOSED: u64 = 1;
const BY_OFFSET: u64 = 2;
/// Bytes of a number as `postcard` writes it.
const POSTCARD_I64_MAX: usize = 10;

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
        let head = Head {
            key: key.into(),
            hash,
            first: NONE,
            last: NONE,
            rung_time: i64::MAX,
            last_time: i64::MIN,
            pending: 0,
            settled: NONE,
            highest: NONE,
            tail: 0,
            reach: Reach::default(),
            version: 0,
            as_of: 0,
            floor: i64::MIN,
            skew: NO_SKEW,
            peer: NONE,
            named: UNNAMED,
            scheduled: i64::MAX,
            closed: false,
            dirty: false,
            live: true,
            waits: self.heads.get(i as usize).is_some_and(|head| head.waits),
        };
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

    /// Lets go of events that no event can come before any more: of all, or of those in the lowest rungs.
    fn settle(&mut self, i: u32, horizon: i64) {
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
    fn settle_all(&mut self, i: u32) {
        let (_, head, _, slab) = self.parts(i);
        slab.release(head.first, head.pending);
        head.pending = 0;
        self.end_rungs(i);
    }

    fn end_rungs(&mut self, i: u32) {
        let (_, head, rungs, _) = self.parts(i);
        while head.highest != head.settled {
            head.drop_highest(rungs);
        }
        rungs.drop_highest(head.settled);
        (head.settled, head.highest, head.rung_time, head.tail) = (NONE, NONE, i64::MAX, 0);
    }

    /// Settles every event that no other can come before any more.
    fn settle_exactly(&mut self, plan: &RowPlan, i: u32, horizon: i64, scratch: &mut Scratch) {
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
    fn settle_first(&mut self, plan: &RowPlan, i: u32, scratch: &mut Scratch) {
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

    /// Before [`Lane::export`]: lets go of what is certain; of all of it where a row is written whole, so that equal states give equal
    /// bytes.
    pub(crate) fn settle_for(&mut self, form: Pending, plan: &RowPlan, i: u32, horizon: i64, scratch: &mut Scratch) {
        match form {
            Pending::Whole => self.settle_exactly(plan, i, horizon, scratch),
            Pending::ByOffset => self.settle(i, horizon),
        }
    }

    /// Writes a key's state: heads, settled row, pending events as `form` says.
    pub(crate) fn export(&mut self, i: u32, form: Pending, out: &mut Vec<u8>) {
        self.heads[i as usize].dirty = false;
        let head = &self.heads[i as usize];
        let is_by_offset = form == Pending::ByOffset && head.pending > WHOLE_MAX;
        let flags = (u64::from(head.closed) * CLOSED) | (u64::from(is_by_offset) * BY_OFFSET);
        for word in [head.version, head.floor as u64, head.skew as u64, flags, u64::from(head.pending)] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let settled = if head.pending == 0 { self.current(i) } else { self.rungs.row(head.settled) };
        sparse::put(settled, |_| 0, out);
        if is_by_offset {
            self.export_places(i, out);
            // Before the log drops its events, and once they are certain, it is written without them.
            self.mark_dirty(i);
        } else {
            self.export_events(i, out);
        }
    }

    /// As time, offset and words, of which those are written that differ from the event's before: type, id, inputs.
    fn export_events(&mut self, i: u32, out: &mut Vec<u8>) {
        let (_, head, _, slab) = self.parts(i);
        if head.pending == 0 {
            return;
        }
        let (mut before, mut words, mut at) = (vec![0; slab.words()], vec![], head.first);
        for _ in 0..head.pending {
            let event = slab.event(at);
            out.extend_from_slice(&event.at.time.to_le_bytes());
            out.extend_from_slice(&event.at.offset.to_le_bytes());
            event.put_words(&mut words);
            sparse::put(&words, |word| before[word], out);
            (before, words) = (words, before);
            at = slab.next(at);
        }
    }

    fn export_places(&self, i: u32, out: &mut Vec<u8>) {
        let head = &self.heads[i as usize];
        self.prefetch_pending(head);
        let (mut i, mut before) = (head.first, Place { time: 0, offset: 0 });
        for _ in 0..head.pending {
            let at = self.slab.at(i);
            let step = (at.time.wrapping_sub(before.time), at.offset.wrapping_sub(before.offset) as i64);
            let mut bytes = [0; 2 * POSTCARD_I64_MAX];
            out.extend_from_slice(postcard::to_slice(&step, &mut bytes).expect("it has room for two numbers"));
            (before, i) = (at, self.slab.next(i));
        }
    }

    /// Asks for the places of pending events. Each is found through the one before it, so they are walked from all rungs at once.
    fn prefetch_pending(&self, head: &Head) {
        let settled = Some(head.settled).filter(|rung| *rung != NONE);
        let rungs =
            std::iter::successors(settled, |rung| Some(self.rungs.at(*rung).upper).filter(|rung| *rung != NONE));
        let mut walks: SmallVec<[u32; 16]> = rungs.skip(1).map(|rung| self.rungs.at(rung).last).collect();
        walks.push(head.first);
        for _ in 0..head.reach.step() {
            walks.iter_mut().for_each(|at| *at = self.slab.prefetch_along(*at));
        }
    }

    /// Puts a key back from bytes of [`Lane::export`]; `None` where they are not of this plan. Events that are to be read from the log
    /// are added to `awaited`; they are given by [`Lane::fill`], and then [`Lane::refold`] makes the row whole. Those before `first`
    /// are no longer in the log, and left out.
    pub(crate) fn import(
        &mut self,
        hash: u64,
        key: &str,
        bytes: &[u8],
        first: u64,
        awaited: &mut Vec<(u64, u32)>,
    ) -> Option<u32> {
        let (words, _) = bytes.as_chunks::<8>();
        let (head_words, rows) = words.split_first_chunk::<5>()?;
        let [version, floor, skew, flags, count] = head_words.each_ref().map(|bytes| u64::from_le_bytes(*bytes));
        let i = self.create(hash, key);
        let head = &mut self.heads[i as usize];
        (head.version, head.floor, head.skew) = (version, floor as i64, skew as i64);
        head.closed = flags & CLOSED != 0;
        let (current, head, rungs, _) = self.parts(i);
        let left = sparse::take(rows, current)?;
        if count > 0 {
            head.begin_rungs(current, rungs);
        }
        if flags & BY_OFFSET == 0 {
            self.import_events(i, left, count)?;
            return bytes.len().is_multiple_of(8).then_some(i);
        }
        let behind = bytes.len() % 8 + 8 * left.len();
        self.import_places(i, &bytes[bytes.len() - behind..], count, first, awaited)?;
        if self.heads[i as usize].pending == 0 {
            self.end_rungs(i);
        }
        self.mark_dirty(i);
        Some(i)
    }

    fn import_events(&mut self, i: u32, mut left: &[[u8; 8]], count: u64) -> Option<()> {
        let mut words = vec![0; self.slab.words()];
        for _ in 0..count {
            let ([time, offset], rest) = left.split_first_chunk::<2>()?;
            left = sparse::take(rest, &mut words)?;
            let at = Place { time: i64::from_le_bytes(*time), offset: u64::from_le_bytes(*offset) };
            let entry = self.slab.insert(&Arriving::of_words(at, &words)?);
            self.link_last(i, entry, at.time);
        }
        left.is_empty().then_some(())
    }

    fn import_places(
        &mut self,
        i: u32,
        mut bytes: &[u8],
        count: u64,
        first: u64,
        awaited: &mut Vec<(u64, u32)>,
    ) -> Option<()> {
        let mut at = Place { time: 0, offset: 0 };
        for _ in 0..count {
            let ((time, offset), rest) = postcard::take_from_bytes::<(i64, i64)>(bytes).ok()?;
            bytes = rest;
            at = Place { time: at.time.wrapping_add(time), offset: at.offset.wrapping_add(offset as u64) };
            if at.offset >= first {
                let entry = self.slab.reserve(at);
                self.link_last(i, entry, at.time);
                awaited.push((at.offset, entry));
            }
        }
        bytes.is_empty().then_some(())
    }

    /// Gives an entry that was awaited its event.
    pub(crate) fn fill(&mut self, entry: u32, kind: u64, id: IdWords, inputs: &[u64]) {
        self.slab.fill(entry, kind, id, inputs);
    }

    /// After a restart: folds the pending events of a key, all of which are there.
    pub(crate) fn refold(&mut self, plan: &RowPlan, i: u32, scratch: &mut Scratch) {
        if self.heads[i as usize].pending > 0 {
            self.fold_again(plan, i, scratch);
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
