//! Checkpoints without a stop: the partition hands out a few rows between batches, a writer thread stores them.
//!
//! Order of a checkpoint: begin (globals and new ids, at one offset) → slices of rows, each with its own `as_of` → tombstones →
//! complete. A slice is written only after the log is synced, so that no stored row knows of a record the log may lose.

use super::store::{Store, row_key};
use super::{Fold, Restored, Shared, poison};
use crossbeam_channel::{Receiver, Sender, bounded};
use saccade_topology::{Changes, Globals, Offset};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Rows handed out between two batches, and the time after which no further one is.
const SLICE_ROWS: usize = 512;
const SLICE_TIME: Duration = Duration::from_micros(500);
/// Slices that may wait for the writer; beyond, the partition goes on without handing out any.
const SLICES_WAITING: usize = 16;

/// What the partition gives to the writer.
pub(super) enum Slice {
    /// A checkpoint begins: fingerprints that came since the last one.
    Begin { partition: u16, ids: Vec<(u64, u64, Vec<u64>)> },
    /// Rows and tombstones by store key, and the departures that must not come after them.
    Rows { partition: u16, rows: Vec<(Vec<u8>, Vec<u8>)>, departures: Vec<(u64, u64)> },
    /// A checkpoint is complete. The sender is told when it is on the disk.
    Complete { partition: u16, globals: Globals, begun: Instant, pause: Duration, done: Option<Sender<()>> },
}

/// The partition's side of a checkpoint.
pub(super) struct Walk {
    partition: u16,
    writer: Sender<Slice>,
    interval: Duration,
    last: Instant,
    ids: (u64, u64),
    running: Option<Running>,
}

struct Running {
    globals: Globals,
    changes: Changes,
    begun: Instant,
    pause: Duration,
}

impl Walk {
    pub(super) fn new(partition: u16, restored: &Restored, writer: Sender<Slice>, interval: Duration) -> Self {
        Walk { partition, writer, interval, last: Instant::now(), ids: restored.ids, running: None }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Goes on with the checkpoint, or begins one when it is time.
    pub(super) fn step(&mut self, fold: &mut Fold, next: Offset) {
        if self.running.is_none() && self.last.elapsed() >= self.interval {
            self.begin(fold, next);
        } else if self.running.is_some() && self.writer.len() < SLICES_WAITING {
            self.slice(fold, next);
            if self.is_exhausted() {
                self.complete(None);
            }
        }
    }

    fn begin(&mut self, fold: &mut Fold, next: Offset) {
        let begun = Instant::now();
        self.last = begun;
        let globals = fold.globals(next);
        let ids: Vec<_> = fold.ids_since(self.ids).into_iter().map(|(g, at, ids)| (g, at, ids.to_vec())).collect();
        let changes = fold.take_changes();
        if ids.is_empty() && changes.places.is_empty() && changes.removed.is_empty() {
            return;
        }
        self.ids = globals.ids;
        let _ = self.writer.send(Slice::Begin { partition: self.partition, ids });
        self.running = Some(Running { globals, changes, begun, pause: begun.elapsed() });
    }

    /// Tombstones go first: a key that came back before the checkpoint began then overwrites its own.
    fn slice(&mut self, fold: &mut Fold, next: Offset) {
        let Some(running) = &mut self.running else { return };
        let begin = Instant::now();
        let mut rows = vec![];
        let departures = fold.take_departures();
        while rows.len() < SLICE_ROWS && begin.elapsed() < SLICE_TIME {
            if let Some((kind, tombstone)) = running.changes.removed.pop() {
                rows.push((row_key(kind, self.partition, &tombstone.key), tombstone.as_of.to_le_bytes().to_vec()));
            } else if let Some((kind, place)) = running.changes.places.pop() {
                let mut bytes = vec![];
                if let Some(key) = fold.export(kind, place, next, &mut bytes) {
                    rows.push((row_key(kind, self.partition, key), bytes));
                }
            } else {
                break;
            }
        }
        let _ = self.writer.send(Slice::Rows { partition: self.partition, rows, departures });
        running.pause = running.pause.max(begin.elapsed());
    }

    fn is_exhausted(&self) -> bool {
        self.running.as_ref().is_none_or(|r| r.changes.places.is_empty() && r.changes.removed.is_empty())
    }

    fn complete(&mut self, done: Option<Sender<()>>) {
        if let Some(Running { globals, begun, pause, .. }) = self.running.take() {
            let _ = self.writer.send(Slice::Complete { partition: self.partition, globals, begun, pause, done });
        }
    }

    /// Writes a whole checkpoint and waits for it: the process is about to end.
    pub(super) fn finish(&mut self, fold: &mut Fold, next: Offset) {
        self.drain(fold, next);
        self.complete(None);
        self.begin(fold, next);
        if self.running.is_some() {
            self.drain(fold, next);
            let (done, waiting) = bounded(1);
            self.complete(Some(done));
            let _ = waiting.recv();
        }
    }

    fn drain(&mut self, fold: &mut Fold, next: Offset) {
        while !self.is_exhausted() {
            self.slice(fold, next);
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
}

pub(super) fn spawn(shared: Arc<Shared>, store: Arc<Store>, restored: &[Restored]) -> (Sender<Slice>, JoinHandle<()>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let partitions = restored.iter().map(|r| Written {
        old_tombstones: r.tombstones.iter().cloned().collect(),
        departures: r.departures,
        first_departures: r.departures,
        ..Written::default()
    });
    let mut partitions: Vec<Written> = partitions.collect();
    let run = move || {
        if let Err(error) = write(&shared, &store, &receiver, &mut partitions) {
            poison("a checkpoint cannot be written", &*error);
        }
    };
    let thread = std::thread::Builder::new().name("checkpoints".into());
    (sender, thread.spawn(run).expect("the system starts a thread"))
}

fn write(
    shared: &Shared,
    store: &Store,
    receiver: &Receiver<Slice>,
    partitions: &mut [Written],
) -> Result<(), Box<dyn std::error::Error>> {
    for slice in receiver {
        let mut changes = store.change();
        match slice {
            Slice::Begin { partition, ids } => {
                let written = &mut partitions[usize::from(partition)];
                written.old_tombstones.extend(std::mem::take(&mut written.tombstones));
                written.first_departures = written.departures;
                (written.rows, written.bytes) = (0, 0);
                for (generation, at, ids) in &ids {
                    changes.ids(partition, *generation, *at, ids);
                }
                changes.commit(false)?;
            }
            Slice::Rows { partition, rows, departures } => {
                // No stored row may know of a record that the log can still lose.
                shared.log.sync()?;
                let written = &mut partitions[usize::from(partition)];
                for (key, bytes) in rows {
                    changes.row(&key, &bytes);
                    written.rows += 1;
                    written.bytes += (key.len() + bytes.len()) as u64;
                    written.old_tombstones.remove(&key);
                    if bytes.len() == 8 {
                        written.tombstones.insert(key);
                    } else {
                        written.tombstones.remove(&key);
                    }
                }
                if !departures.is_empty() {
                    changes.departures(partition, written.departures, &departures);
                    written.departures += 1;
                }
                changes.commit(false)?;
            }
            Slice::Complete { partition, globals, begun, pause, done } => {
                let written = &mut partitions[usize::from(partition)];
                written.old_tombstones.drain().for_each(|key| changes.remove_row(&key));
                changes.remove_departures(partition, written.first_departures)?;
                if let Some(old) = globals.ids.0.checked_sub(2) {
                    changes.remove_ids(partition, old)?;
                }
                changes.globals(partition, &globals);
                changes.commit(true)?;
                report(partition, written, &globals, begun.elapsed(), pause);
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
        }
    }
    Ok(())
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
