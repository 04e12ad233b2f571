//! A key as bytes, for checkpoints, and back.

use super::Lane;
use super::head::Head;
use crate::pending::{Arriving, At, IdWords, NONE};
use crate::row::{RowPlan, Scratch};
use crate::sparse;
use smallvec::SmallVec;

/// How a row holds the events that are pending on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// As they are: the row is all there is to know of its key.
    Whole,
    /// Where there are more than a few: by where they are in the log, in a twentieth of the bytes. As they are where the log need not keep one
    /// of them.
    ByOffset {
        /// From here on the log keeps its records.
        from: u64,
    },
}

/// Pending events that a row holds as they are in any case: most keys are seen once or twice in the time in which events are pending, and
/// their rows need not be written again when they are not.
const WHOLE_MAX: u32 = 8;

/// Bits of a row's flags.
const CLOSED: u64 = 1;
const BY_OFFSET: u64 = 2;

/// Bytes of a number as `postcard` writes it.
const POSTCARD_I64_MAX: usize = 10;

impl Lane {
    /// Before [`Lane::export`]: lets go of what is certain; of all of it where a row is written whole, so that equal states give equal
    /// bytes.
    pub(crate) fn settle_for(&mut self, form: Pending, plan: &RowPlan, i: u32, horizon: i64, scratch: &mut Scratch) {
        match form {
            Pending::Whole => self.settle_exactly(plan, i, horizon, scratch),
            Pending::ByOffset { .. } => self.settle(i, horizon),
        }
    }

    /// Writes a key's state: heads, settled row, pending events as `form` says.
    pub(crate) fn export(&mut self, i: u32, form: Pending, out: &mut Vec<u8>) {
        self.heads[i as usize].dirty = false;
        let begin = out.len();
        if let Pending::ByOffset { from } = form
            && self.heads[i as usize].pending > WHOLE_MAX
        {
            self.export_head(i, true, out);
            if self.export_places(i, from, out) {
                // Once its events are certain, it is written without them: until then the log has to keep them.
                return self.mark_dirty(i);
            }
            out.truncate(begin);
        }
        self.export_head(i, false, out);
        self.export_events(i, out);
    }

    /// What is not of its pending events.
    fn export_head(&self, i: u32, is_by_offset: bool, out: &mut Vec<u8>) {
        let head = &self.heads[i as usize];
        let flags = (u64::from(head.closed) * CLOSED) | (u64::from(is_by_offset) * BY_OFFSET);
        for word in [head.version, head.floor as u64, head.skew as u64, flags, u64::from(head.pending)] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let settled = if head.pending == 0 { self.current(i) } else { self.rungs.row(head.settled) };
        sparse::put(settled, |_| 0, out);
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

    /// False where one of them is before `from`; what was written is then of no use.
    fn export_places(&mut self, i: u32, from: u64, out: &mut Vec<u8>) -> bool {
        let head = &self.heads[i as usize];
        self.prefetch_pending(head);
        let (mut i, mut before, mut lowest) = (head.first, At { time: 0, offset: 0 }, u64::MAX);
        for _ in 0..head.pending {
            let at = self.slab.at(i);
            let step = (at.time.wrapping_sub(before.time), at.offset.wrapping_sub(before.offset) as i64);
            let mut bytes = [0; 2 * POSTCARD_I64_MAX];
            out.extend_from_slice(postcard::to_slice(&step, &mut bytes).expect("it has room for two numbers"));
            if at.offset < from {
                return false;
            }
            lowest = lowest.min(at.offset);
            (before, i) = (at, self.slab.next(i));
        }
        self.named_from = self.named_from.min(lowest);
        true
    }

    /// The lowest offset that the rows exported since the last call name.
    pub(crate) fn take_named_from(&mut self) -> Option<u64> {
        let lowest = std::mem::replace(&mut self.named_from, u64::MAX);
        (lowest != u64::MAX).then_some(lowest)
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
    /// are added to `awaited`; they are given by [`Lane::fill`], and then [`Lane::refold`] makes the row whole.
    pub(crate) fn import(&mut self, hash: u64, key: &str, bytes: &[u8], awaited: &mut Vec<(u64, u32)>) -> Option<u32> {
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
        self.import_places(i, &bytes[bytes.len() - behind..], count, awaited)?;
        self.mark_dirty(i);
        Some(i)
    }

    fn import_events(&mut self, i: u32, mut left: &[[u8; 8]], count: u64) -> Option<()> {
        let mut words = vec![0; self.slab.words()];
        for _ in 0..count {
            let ([time, offset], rest) = left.split_first_chunk::<2>()?;
            left = sparse::take(rest, &mut words)?;
            let at = At { time: i64::from_le_bytes(*time), offset: u64::from_le_bytes(*offset) };
            let entry = self.slab.insert(&Arriving::of_words(at, &words)?);
            self.link_last(i, entry, at.time);
        }
        left.is_empty().then_some(())
    }

    fn import_places(&mut self, i: u32, mut bytes: &[u8], count: u64, awaited: &mut Vec<(u64, u32)>) -> Option<()> {
        let mut at = At { time: 0, offset: 0 };
        for _ in 0..count {
            let ((time, offset), rest) = postcard::take_from_bytes::<(i64, i64)>(bytes).ok()?;
            bytes = rest;
            at = At { time: at.time.wrapping_add(time), offset: at.offset.wrapping_add(offset as u64) };
            let entry = self.slab.reserve(at);
            self.link_last(i, entry, at.time);
            awaited.push((at.offset, entry));
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
}
