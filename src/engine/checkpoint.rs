//! Checkpoints without a stop: the partition hands out a few rows between batches, a writer thread stores them.
//!
//! Order of a checkpoint: begin (globals and new ids, at one offset) → slices of rows, each with its own `as_of` → tombstones →
//! complete. A slice is written only after the log is synced, so that no stored row knows of a record the log may lose. What is in the
//! row of a decision is in the books too: such rows are held back and go in with the books, as one, or neither would be as late as the
//! other after a kill between the two.

use super::rows::{Giver, Rows, spare};
use super::store::Store;
use super::{Fold, Restored, Shared, poison};
use crate::aside;
use crate::log::Log;
use crossbeam_channel::{Receiver, Sender, bounded};
use saccade_topology::model::Books;
use saccade_topology::{Changes, Globals, Offset, Pending, RowKind, StoredFeedback};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rows handed out between two batches, and the time after which no further one is.
const SLICE_ROWS: usize = 64;
const SLICE_TIME: Duration = Duration::from_micros(150);
/// Rows stored after one sync of the log.
const WRITE_ROWS: usize = 1024;
/// Remembered ids copied between two batches.
const SLICE_IDS: u64 = 8192;
/// Share of the interval over which the rows of a checkpoint are spread: the disk and the processors are shared with what is live.
const SPREAD: f64 = 0.8;
/// Slices that may wait for the writer; beyond, the partition goes on without handing out any.
const SLICES_WAITING: usize = 16;

/// What the partition gives to the writer.
pub(super) enum Slice {
    /// A checkpoint begins.
    Begin { partition: u16 },
    /// Fingerprints that came since the last one: (generation, place of the first, ids).
    Ids { partition: u16, ids: Ids },
    /// Rows and tombstones by store key, and the departures that must not come after them.
    Rows { partition: u16, rows: Rows, departures: Vec<(u64, u64)> },
    /// A checkpoint is complete. The sender is told when it is on the disk.
    Complete { partition: u16, rest: Box<Rest>, begun: Instant, pause: Duration, done: Option<Sender<()>> },
}

/// What is not in rows: globals and feedback as when the checkpoint began, the books as late as any of its rows.
pub(super) struct Rest {
    globals: Globals,
    feedback: StoredFeedback,
    books: Books,
    /// Keys of decisions that ended since the last one.
    over: Ids,
}

/// Fingerprints: (generation, place of the first, ids).
type Ids = Vec<(u64, u64, Vec<u64>)>;

/// The way to the writer, and buffers that came back from it.
#[derive(Clone)]
pub(super) struct Writer {
    slices: Sender<Slice>,
    spare: Receiver<Rows>,
}

impl Writer {
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
    ids: (u64, u64),
    /// Where the stored keys of decisions that are over stand.
    over: (u64, u64),
    /// What was learnt when the last one began.
    revision: u64,
    running: Option<Running>,
}

struct Running {
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
        Walk { partition, writer, interval, last: Instant::now(), ids, over, revision: 0, running: None }
    }

    /// Goes on with the checkpoint, or begins one when it is time.
    pub(super) fn step(&mut self, fold: &mut Fold, next: Offset) {
        if self.running.is_none() && self.last.elapsed() >= self.interval {
            self.begin(fold, next);
        } else if self.is_due() && self.writer.slices.len() < SLICES_WAITING {
            self.slice(fold, next, Pending::ByOffset);
            if self.is_exhausted() {
                self.complete(fold, next, None);
            }
        }
    }

    /// Whether the running checkpoint is behind its pace.
    pub(super) fn is_due(&self) -> bool {
        let Some(running) = &self.running else { return false };
        let passed = running.begun.elapsed().as_secs_f64() / (SPREAD * self.interval.as_secs_f64());
        running.total.saturating_sub(running.left()) as f64 <= running.total as f64 * passed
    }

    fn begin(&mut self, fold: &mut Fold, next: Offset) {
        let begun = Instant::now();
        self.last = begun;
        let globals = fold.globals(next);
        let changes = fold.take_changes();
        if globals.ids == self.ids && changes.is_empty() && self.revision == fold.learnt_revision() {
            return;
        }
        self.revision = fold.learnt_revision();
        let feedback = fold.stored_feedback();
        self.writer.send(Slice::Begin { partition: self.partition });
        let ids_left = fold.ids_since(self.ids).iter().map(|(.., ids)| ids.len() as u64).sum();
        let running = Running { globals, feedback, changes, begun, pause: begun.elapsed(), ids_left, total: 0 };
        self.running = Some(Running { total: running.left(), ..running });
    }

    /// Copies some of the ids that came before the checkpoint began; true once there is none left.
    fn slice_ids(&mut self, fold: &Fold) -> bool {
        let Some(running) = &mut self.running else { return true };
        let until = running.globals.ids;
        let (mut ids, mut left) = (vec![], SLICE_IDS);
        for (generation, at, all) in fold.ids_since(self.ids) {
            let end = if generation == until.0 { until.1.saturating_sub(at) } else { all.len() as u64 };
            let count = if generation > until.0 { 0 } else { end.min(left).min(all.len() as u64) };
            if count > 0 {
                ids.push((generation, at, all[..count as usize].to_vec()));
                self.ids = (generation, at + count);
                left -= count;
            }
        }
        running.ids_left = running.ids_left.saturating_sub(SLICE_IDS - left);
        if ids.is_empty() {
            (self.ids, running.ids_left) = (until, 0);
            return true;
        }
        self.writer.send(Slice::Ids { partition: self.partition, ids });
        false
    }

    /// Tombstones go first: a key that came back before the checkpoint began then overwrites its own.
    fn slice(&mut self, fold: &mut Fold, next: Offset, pending: Pending) {
        let begin = Instant::now();
        if !self.slice_ids(fold) {
            return;
        }
        let Some(running) = &mut self.running else { return };
        let mut rows = self.writer.spare.try_recv().unwrap_or_default();
        let departures = fold.take_departures();
        while rows.len() < SLICE_ROWS && begin.elapsed() < SLICE_TIME {
            if let Some((kind, tombstone)) = running.changes.next_removed() {
                rows.value().extend_from_slice(&tombstone.as_of.to_le_bytes());
                rows.close(kind, self.partition, &tombstone.key);
            } else if let Some((kind, place)) = running.changes.next_place() {
                match fold.export(kind, place, next, pending, rows.value()) {
                    Some(key) => rows.close(kind, self.partition, key),
                    None => rows.cancel(),
                }
            } else if let Some(item) = running.changes.next_item() {
                if !fold.export_item(&item, next, rows.value()) {
                    rows.value().extend_from_slice(&next.0.to_le_bytes());
                }
                rows.close(RowKind::Item, self.partition, &item);
            } else {
                break;
            }
        }
        self.writer.send(Slice::Rows { partition: self.partition, rows, departures });
        running.pause = running.pause.max(begin.elapsed());
    }

    fn is_exhausted(&self) -> bool {
        let done = |r: &Running| r.changes.is_empty() && r.globals.ids == self.ids;
        self.running.as_ref().is_none_or(done)
    }

    fn complete(&mut self, fold: &Fold, next: Offset, done: Option<Sender<()>>) {
        if let Some(Running { globals, feedback, begun, pause, .. }) = self.running.take() {
            let over =
                fold.over_since(self.over).into_iter().map(|(generation, at, ids)| (generation, at, ids.to_vec()));
            let rest = Box::new(Rest { globals, feedback, books: fold.books(next), over: over.collect() });
            self.over = rest.books.over;
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
        while !self.is_exhausted() {
            self.slice(fold, next, Pending::Whole);
        }
    }
}

/// What the writer remembers of a partition's checkpoints.
#[derive(Default)]
struct Written {
    /// Tombstones of this checkpoint and of the ones before: the latter go when this one is complete.
    tombstones: HashSet<Vec<u8>>,
    old_tombstones: HashSet<Vec<u8>>,
    /// Number of the next set of departures, and of the first of this checkpoint.
    departures: u64,
    first_departures: u64,
    rows: u64,
    bytes: u64,
    /// Where catching up begins.
    begins: u64,
    /// Not stored yet.
    waiting: Vec<Rows>,
    /// Rows and tombstones of decisions, until the books are there.
    held: Rows,
    waiting_departures: Vec<(u64, u64)>,
}

pub(super) fn spawn(shared: Arc<Shared>, store: Arc<Store>, restored: &[Restored]) -> (Writer, JoinHandle<()>) {
    let (slices, receiver) = crossbeam_channel::unbounded();
    let (giver, spare) = spare();
    let partitions = restored.iter().map(|r| Written {
        old_tombstones: r.tombstones.iter().cloned().collect(),
        departures: r.departures,
        first_departures: r.departures,
        ..Written::default()
    });
    let mut partitions: Vec<Written> = partitions.collect();
    let run = move || {
        aside::give_way();
        if let Err(error) = write(&*shared.log, &store, &receiver, &giver, &mut partitions) {
            poison("a checkpoint cannot be written", &*error);
        }
    };
    let thread = std::thread::Builder::new().name("checkpoints".into());
    (Writer { slices, spare }, thread.spawn(run).expect("the system starts a thread"))
}

fn write(
    log: &dyn Log,
    store: &Store,
    receiver: &Receiver<Slice>,
    giver: &Giver,
    partitions: &mut [Written],
) -> Result<(), Box<dyn std::error::Error>> {
    for slice in receiver {
        let mut changes = store.change();
        match slice {
            Slice::Begin { partition } => {
                let written = &mut partitions[usize::from(partition)];
                written.old_tombstones.extend(std::mem::take(&mut written.tombstones));
                written.first_departures = written.departures;
                (written.rows, written.bytes) = (0, 0);
            }
            Slice::Ids { partition, ids } => {
                for (generation, at, ids) in &ids {
                    changes.ids(partition, *generation, *at, ids);
                }
                changes.commit(false)?;
            }
            Slice::Rows { partition, rows, departures } => {
                let written = &mut partitions[usize::from(partition)];
                written.waiting.push(rows);
                written.waiting_departures.extend(departures);
                if written.waiting.iter().map(Rows::len).sum::<usize>() >= WRITE_ROWS {
                    store_rows(log, store, giver, partition, written)?;
                }
            }
            Slice::Complete { partition, rest, begun, pause, done } => {
                let Rest { globals, feedback, books, over } = *rest;
                let written = &mut partitions[usize::from(partition)];
                store_rows(log, store, giver, partition, written)?;
                let held = std::mem::take(&mut written.held);
                held.iter().for_each(|(key, value)| put_row(&mut changes, written, key, value));
                written.old_tombstones.drain().for_each(|key| changes.remove_row(&key));
                changes.remove_departures(partition, written.first_departures)?;
                if let Some(old) = globals.ids.0.checked_sub(2) {
                    changes.remove_ids(partition, old)?;
                }
                for (generation, at, ids) in &over {
                    changes.over(partition, *generation, *at, ids);
                }
                if let Some(old) = books.over.0.checked_sub(2) {
                    changes.remove_over(partition, old)?;
                }
                changes.complete(partition, &globals, &feedback, &books);
                changes.commit(true)?;
                // Rows name events that are pending from somewhat before it.
                log.needs(partition, Offset(std::mem::replace(&mut written.begins, globals.offset)));
                report(partition, written, &globals, begun.elapsed(), pause);
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
        }
    }
    Ok(())
}

fn store_rows(
    log: &dyn Log,
    store: &Store,
    giver: &Giver,
    partition: u16,
    written: &mut Written,
) -> Result<(), Box<dyn std::error::Error>> {
    // No stored row may know of a record that the log can still lose.
    log.sync()?;
    let departures = std::mem::take(&mut written.waiting_departures);
    if !departures.is_empty() {
        let mut changes = store.change();
        changes.departures(partition, written.departures, &departures);
        changes.commit(false)?;
        written.departures += 1;
    }
    for rows in std::mem::take(&mut written.waiting) {
        let mut changes = store.change();
        for (key, value) in rows.iter() {
            match key.first() == Some(&(RowKind::Decision as u8)) {
                true => written.held.push(key, value),
                false => put_row(&mut changes, written, key, value),
            }
        }
        giver.give(rows);
        changes.commit(false)?;
        aside::step_aside();
    }
    Ok(())
}

fn put_row(changes: &mut super::store::Changes<'_>, written: &mut Written, key: &[u8], value: &[u8]) {
    changes.row(key, value);
    written.rows += 1;
    written.bytes += (key.len() + value.len()) as u64;
    written.old_tombstones.remove(key);
    if value.len() == 8 {
        written.tombstones.insert(key.to_vec());
    } else {
        written.tombstones.remove(key);
    }
}

fn report(partition: u16, written: &Written, globals: &Globals, took: Duration, pause: Duration) {
    let p = partition.to_string();
    metrics::histogram!("saccade_checkpoint_seconds").record(took);
    metrics::histogram!("saccade_checkpoint_pause_seconds").record(pause);
    metrics::gauge!("saccade_checkpoint_rows").set(written.rows as f64);
    metrics::gauge!("saccade_checkpoint_bytes").set(written.bytes as f64);
    metrics::gauge!("saccade_checkpoint_offset", "partition" => p).set(globals.offset as f64);
    tracing::debug!(partition, rows = written.rows, offset = globals.offset, ?took, ?pause, "checkpoint complete");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLog;

    #[test]
    fn rows_of_decisions_go_in_with_the_books_and_not_before() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(place.path()).expect("an empty store opens");
        let (sender, receiver) = crossbeam_channel::unbounded();
        let mut rows = Rows::default();
        let mut row = |kind, key: &str, value: &[u8]| {
            rows.value().extend_from_slice(value);
            rows.close(kind, 0, key);
        };
        (0..WRITE_ROWS).for_each(|n| row(RowKind::Session, &n.to_string(), &[0; 16]));
        row(RowKind::Decision, "open", &[0; 16]);
        row(RowKind::Decision, "gone", &[0; 8]);
        sender.send(Slice::Begin { partition: 0 }).expect("it is read below");
        let slice = Slice::Rows { partition: 0, rows, departures: vec![] };
        sender.send(slice).expect("it is read below");
        drop(sender);
        let mut written = [Written::default()];
        let (giver, spare) = spare();
        write(&MemoryLog::new(1), &store, &receiver, &giver, &mut written).expect("the store takes rows");
        let count = |kind: RowKind| store.entries().iter().filter(|(_, key, _)| key[0] == kind as u8).count();
        assert_eq!((count(RowKind::Session), count(RowKind::Decision), written[0].held.len()), (WRITE_ROWS, 0, 2));
        assert_eq!(spare.len(), 1, "its buffer came back");
    }
}
