//! Checkpoints without a stop: the partition hands out a few rows between batches, a writer thread stores them.
//!
//! Order of a checkpoint: begin (globals, at one offset) → new ids → slices of rows, each with its own `as_of`, and of the keys that are gone →
//! complete, with the books. It is made of what changed, or of all there is where the store [asks for it](super::store::Chain::is_full_due). The log is
//! synced before it is completed, so that no stored row knows of a record the log may lose.

#[cfg(test)]
mod tests;
mod write;

pub(super) use write::spawn;

use super::store::Rows;
use super::{Fold, Restored};
use crate::log::Log;
use crossbeam_channel::{Receiver, Sender, bounded};
use saccade_topology::model::Books;
use saccade_topology::{Changes, Globals, Note, Offset, Pending, RowKind, StoredFeedback};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows handed out between two batches, and the time after which no further one is.
const SLICE_ROWS: usize = 64;
const SLICE_TIME: Duration = Duration::from_micros(150);
/// The time for keys that are gone, a part of that since the last slice and this at most. Where they go faster than a fixed number between two
/// batches, a checkpoint would never end.
const GONE_SHARE: u32 = 10;
const GONE_TIME_MAX: Duration = Duration::from_millis(1);
/// Remembered ids copied between two batches.
const SLICE_IDS: u64 = 8192;
/// So few are copied as it begins: where batches are large beside what is remembered, they would be forgotten before the next slice.
const IDS_AT_ONCE: u64 = 4 * SLICE_IDS;
/// Share of the interval over which the rows of a checkpoint are spread: the disk and the processors are shared with what is live.
const SPREAD: f64 = 0.8;
/// Slices that may wait for the writer; beyond, the partition goes on without handing out any.
const SLICES_WAITING: usize = 16;
/// How long a stop waits before it looks again whether the writer has taken some.
const WRITER_TIME: Duration = Duration::from_micros(200);

/// What the partition gives to the writer.
pub(super) enum Slice {
    /// A checkpoint begins: of what changed, or of all there is.
    Begin { partition: u16, is_full: bool },
    /// Fingerprints that the ones before do not have, and keys of decisions that are over.
    Ids { partition: u16, ids: Ids, over: Ids },
    /// Rows, tombstones, and the notes that must not be missing where they are.
    Rows { partition: u16, rows: Rows, gone: Rows, notes: Vec<Note> },
    /// A checkpoint is complete. The sender is told when it is on the disk.
    Complete { partition: u16, rest: Box<Rest>, begun: Instant, pause: Duration, done: Option<Sender<()>> },
}

impl Slice {
    fn partition(&self) -> u16 {
        match self {
            Slice::Begin { partition, .. }
            | Slice::Ids { partition, .. }
            | Slice::Rows { partition, .. }
            | Slice::Complete { partition, .. } => *partition,
        }
    }
}

/// What is not in rows: globals and feedback as when the checkpoint began, the books as late as any of its rows.
pub(super) struct Rest {
    needs: Offset,
    globals: Globals,
    feedback: StoredFeedback,
    books: Books,
}

/// Fingerprints: (generation, place of the first, ids).
type Ids = Vec<(u64, u64, Vec<u64>)>;

/// The way to the writer, and buffers that came back from it.
#[derive(Clone)]
pub(super) struct Writer {
    log: Arc<dyn Log>,
    slices: Sender<Slice>,
    spare: Receiver<Rows>,
    told: Arc<[Told]>,
}

/// What the writer tells a partition.
struct Told {
    /// The next checkpoint has to be of all there is.
    is_full_due: AtomicBool,
    /// How many checkpoints were given up. What had changed in one is not known any more: the next has to be of all there is, whatever else is told.
    given_up: AtomicU64,
}

impl Writer {
    fn is_full_due(&self, partition: u16) -> bool {
        self.told[usize::from(partition)].is_full_due.load(Ordering::Relaxed)
    }

    fn given_up(&self, partition: u16) -> u64 {
        self.told[usize::from(partition)].given_up.load(Ordering::Relaxed)
    }

    /// A buffer to be filled.
    fn buffer(&self) -> Rows {
        self.spare.try_recv().unwrap_or_default()
    }

    fn send(&self, slice: Slice) {
        // A writer that failed has ended the process.
        let _ = self.slices.send(slice);
    }
}

/// The partition's side of a checkpoint.
pub(super) struct Walk {
    partition: u16,
    writer: Writer,
    interval: Duration,
    last: Instant,
    /// When the last slice was handed out.
    sliced: Instant,
    ids: (u64, u64),
    /// Where the stored keys of decisions that are over stand.
    over: (u64, u64),
    /// Where ids stood when the last slice of them was copied.
    marked: (u64, u64),
    /// What was learnt when the last one began.
    revision: u64,
    running: Option<Running>,
    /// Checkpoints that were given up before the one that began last.
    given_up: u64,
    /// Records from here on the log keeps until the next checkpoint but one is there: rows may name them. It never goes back.
    needs: Offset,
}

struct Running {
    /// Records from here on a restart needs: those from the globals' offset on, and those that rows name.
    needs: Offset,
    globals: Globals,
    feedback: StoredFeedback,
    changes: Changes,
    begun: Instant,
    pause: Duration,
    /// Ids that are to be copied.
    ids_left: u64,
    /// What was to be handed out when it began.
    total: u64,
}

impl Running {
    /// What is to be handed out, in slices of rows.
    fn left(&self) -> u64 {
        self.changes.len() as u64 / SLICE_ROWS as u64 + self.ids_left / SLICE_IDS
    }
}

impl Walk {
    pub(super) fn new(partition: u16, restored: &Restored, writer: Writer, interval: Duration) -> Self {
        let (ids, over) = (restored.ids, restored.over);
        let last = Instant::now();
        Walk {
            partition,
            writer,
            interval,
            last,
            sliced: last,
            ids,
            over,
            marked: ids,
            revision: 0,
            running: None,
            given_up: 0,
            needs: restored.kept_from,
        }
    }

    /// Goes on with the checkpoint, or begins one when it is time. What the writer gave up is not gone on with.
    pub(super) fn step(&mut self, fold: &mut Fold, next: Offset) {
        if self.running.is_some() && self.writer.given_up(self.partition) != self.given_up {
            self.running = None;
            fold.end_changes();
        } else if self.running.is_none() && self.last.elapsed() >= self.interval {
            self.begin(fold, next);
        } else if self.is_due() && (self.writer.slices.len() < SLICES_WAITING || self.has_ids_left()) {
            self.slice(fold, next, Pending::ByOffset { from: self.needs.0 });
            if self.is_exhausted() {
                self.complete(fold, next, None);
            }
        }
    }

    /// They do not wait for the writer: those of two generations ago are forgotten.
    fn has_ids_left(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.ids_left > 0)
    }

    /// Whether the running checkpoint is behind its pace. Ids have none.
    pub(super) fn is_due(&self) -> bool {
        let Some(running) = &self.running else { return false };
        if self.has_ids_left() {
            return true;
        }
        let passed = running.begun.elapsed().as_secs_f64() / (SPREAD * self.interval.as_secs_f64());
        running.total.saturating_sub(running.left()) as f64 <= running.total as f64 * passed
    }

    fn begin(&mut self, fold: &mut Fold, next: Offset) {
        let begun = Instant::now();
        self.last = begun;
        let globals = fold.globals(next);
        let changes = fold.take_changes();
        let is_unchanged = globals.ids == self.ids && changes.is_empty() && self.revision == fold.learnt_revision();
        // What the log keeps for a partition begins at its checkpoint before the last. Where nothing changes there would be no further one, and
        // no partition's records would ever be dropped from there on: two that say no more than that nothing has changed let them go.
        let given_up = self.writer.given_up(self.partition);
        let is_cut = std::mem::replace(&mut self.given_up, given_up) != given_up;
        if is_unchanged && !is_cut && !self.writer.log.is_held_by(self.partition) {
            return fold.end_changes();
        }
        self.revision = fold.learnt_revision();
        let feedback = fold.stored_feedback();
        let is_full = is_cut || self.writer.is_full_due(self.partition);
        let changes = if is_full { fold.all_of(changes) } else { changes };
        if is_full {
            for (generation, at) in [&mut self.ids, &mut self.over] {
                (*generation, *at) = (generation.saturating_sub(1), 0);
            }
        }
        self.marked = globals.ids;
        self.writer.send(Slice::Begin { partition: self.partition, is_full });
        let [ids, over] = [fold.ids_since(self.ids), fold.over_since(self.over)];
        let ids_left = ids.iter().chain(&over).map(|(.., ids)| ids.len() as u64).sum();
        // What rows of one that was given up have named.
        let _ = fold.take_named_from();
        let needs = Offset(globals.offset);
        let running = Running { needs, globals, feedback, changes, begun, pause: begun.elapsed(), ids_left, total: 0 };
        self.running = Some(Running { total: running.left(), ..running });
        if ids_left <= IDS_AT_ONCE {
            while !self.slice_ids(fold) {}
        }
        if let Some(running) = &mut self.running {
            running.pause = begun.elapsed();
        }
    }

    /// How many ids are copied now: as many again as have come since the last slice, so that they are not forgotten before.
    fn ids_at_once(&mut self, fold: &Fold) -> u64 {
        let (generation, count) = fold.ids_mark();
        let (before, counted) = std::mem::replace(&mut self.marked, (generation, count));
        let came = if generation == before { count - counted } else { u64::MAX / 2 };
        (2 * came).max(SLICE_IDS)
    }

    /// Copies some of the ids that came before the checkpoint began, and of the keys of decisions that are over; true once there is none left.
    fn slice_ids(&mut self, fold: &Fold) -> bool {
        if !self.has_ids_left() {
            return true;
        }
        let at_once = self.ids_at_once(fold);
        let Some(running) = &mut self.running else { return true };
        let (until, mut left) = (running.globals.ids, at_once);
        let ids = some_of(&fold.ids_since(self.ids), until, &mut self.ids, &mut left);
        let over = some_of(&fold.over_since(self.over), ALL, &mut self.over, &mut left);
        running.ids_left = if left > 0 { 0 } else { running.ids_left.saturating_sub(at_once) };
        self.writer.send(Slice::Ids { partition: self.partition, ids, over });
        false
    }

    fn slice(&mut self, fold: &mut Fold, next: Offset, pending: Pending) {
        let begin = Instant::now();
        self.add_removed(fold);
        if !self.slice_ids(fold) {
            return;
        }
        let Some(running) = &mut self.running else { return };
        let (mut rows, mut gone) = (self.writer.buffer(), self.writer.buffer());
        let notes = fold.take_notes();
        let gone_time = (begin.duration_since(self.sliced) / GONE_SHARE).clamp(SLICE_TIME, GONE_TIME_MAX);
        while begin.elapsed() < gone_time
            && let Some((kind, tombstone)) = running.changes.next_removed()
        {
            bury(&mut gone, kind, &tombstone.key, Offset(tombstone.as_of));
        }
        let rows_begin = Instant::now();
        while rows.len() < SLICE_ROWS && rows_begin.elapsed() < SLICE_TIME {
            if let Some(id) = running.changes.next_ended(rows.value()) {
                rows.close(RowKind::Decision, &id);
            } else if let Some((kind, place)) = running.changes.next_place() {
                match fold.export(kind, place, next, pending, rows.value()) {
                    Some(key) => rows.close(kind, key),
                    None => rows.cancel(),
                }
            } else if let Some(item) = running.changes.next_item(fold) {
                match fold.export_item(&item, next, rows.value()) {
                    true => rows.close(RowKind::Item, &item),
                    false => bury(&mut gone, RowKind::Item, &item, next),
                }
            } else {
                break;
            }
        }
        running.needs = fold.take_named_from().map_or(running.needs, |named| named.min(running.needs));
        self.writer.send(Slice::Rows { partition: self.partition, rows, gone, notes });
        running.pause = running.pause.max(begin.elapsed());
        self.sliced = Instant::now();
    }

    /// What went since: a checkpoint is not complete without, as its books know of it.
    fn add_removed(&mut self, fold: &mut Fold) {
        if let Some(running) = &mut self.running {
            fold.add_removed(&mut running.changes);
        }
    }

    fn is_exhausted(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.ids_left == 0 && running.changes.is_empty())
    }

    fn complete(&mut self, fold: &mut Fold, next: Offset, done: Option<Sender<()>>) {
        if let Some(Running { needs, globals, feedback, begun, pause, .. }) = self.running.take() {
            fold.end_changes();
            let mut left = u64::MAX;
            let over = some_of(&fold.over_since(self.over), ALL, &mut self.over, &mut left);
            self.needs = needs;
            let rest = Box::new(Rest { needs, globals, feedback, books: fold.books(next) });
            (self.ids, self.over) = (rest.globals.ids, rest.books.over);
            // As late as the books.
            self.writer.send(Slice::Ids { partition: self.partition, ids: vec![], over });
            self.writer.send(Slice::Complete { partition: self.partition, rest, begun, pause, done });
        }
    }

    /// Writes a whole checkpoint and waits for it: the process is about to end, and the log may be trimmed before the next start.
    pub(super) fn finish(&mut self, fold: &mut Fold, next: Offset) {
        self.drain(fold, next);
        self.complete(fold, next, None);
        self.begin(fold, next);
        if self.running.is_some() {
            self.drain(fold, next);
            let (done, waiting) = bounded(1);
            self.complete(fold, next, Some(done));
            let _ = waiting.recv();
        }
    }

    fn drain(&mut self, fold: &mut Fold, next: Offset) {
        self.add_removed(fold);
        while !self.is_exhausted() {
            // All that is alive at once would take as much memory again.
            while self.writer.slices.len() >= SLICES_WAITING {
                std::thread::sleep(WRITER_TIME);
            }
            self.slice(fold, next, Pending::Whole);
        }
    }
}

/// A tombstone: what is removed at offsets before this is contained.
fn bury(gone: &mut Rows, kind: RowKind, key: &str, as_of: Offset) {
    gone.value().extend_from_slice(&as_of.0.to_le_bytes());
    gone.close(kind, key);
}

/// A mark behind all ids.
const ALL: (u64, u64) = (u64::MAX, 0);

/// Copies `left` at most of these ids, up to a mark, and moves `mark` behind them.
fn some_of(all: &[(u64, u64, &[u64])], until: (u64, u64), mark: &mut (u64, u64), left: &mut u64) -> Ids {
    let mut ids = vec![];
    for &(generation, at, all) in all {
        let end = if generation == until.0 { until.1.saturating_sub(at) } else { all.len() as u64 };
        let count = if generation > until.0 { 0 } else { end.min(*left).min(all.len() as u64) };
        if count > 0 {
            ids.push((generation, at, all[..count as usize].to_vec()));
            *mark = (generation, at + count);
            *left -= count;
        }
    }
    ids
}
