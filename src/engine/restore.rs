//! Restart: checkpoint plus replay. The same fold over the same records as ever, so the state is the same, bit for bit.

use super::store::{Store, StoreError, StoredRow, row_key};
use super::{EngineError, Fold};
use crate::log::{Bounds, Log, LogError, decode};
use saccade_topology::{Arrived, Globals, Ignore, Offset, Plan, Restore, RestoreError, Topology};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Rows read at once, and how many times that many may wait to be put back.
const ROWS: usize = 512;
const ROWS_AHEAD: usize = 16;
/// Records read in a row though no row waits for them: to seek takes longer.
const PASSED_MAX: usize = 1024;

/// A partition as it was when the process ended.
pub(crate) struct Restored {
    /// State after the last record of the log.
    pub fold: Fold,
    /// Offset of the next record.
    pub next: Offset,
    /// Where the stored ids stand.
    pub ids: (u64, u64),
    /// Where the stored keys of decisions that are over stand.
    pub over: (u64, u64),
    pub tombstones: Tombstones,
    /// Number of the next stored set of departures.
    pub departures: u64,
}

/// Restores one partition.
pub(crate) fn restore(plan: &Arc<Plan>, log: &dyn Log, store: &Store, partition: u16) -> Result<Restored, EngineError> {
    let begin = Instant::now();
    let Bounds { first, kept_from, next, is_trimmed } = log.bounds(partition)?;
    let checkpoint = match store.globals(partition)? {
        Some(globals) => match load(plan, log, store, partition, &globals)? {
            Ok(loaded) => Some((globals, loaded)),
            Err(why) => {
                tracing::warn!(partition, %why, "the checkpoint is set aside; state is rebuilt from the log");
                None
            }
        },
        None => None,
    };
    let (mut fold, from, ids, tombstones, over) = match checkpoint {
        Some((globals, _)) if globals.offset < kept_from.0 => {
            return Err(EngineError::Gap { partition, checkpoint: globals.offset, kept_from: kept_from.0 });
        }
        Some((globals, Loaded { fold, tombstones, over })) => {
            (fold, Offset(globals.offset), globals.ids, tombstones, over)
        }
        None if is_trimmed => return Err(EngineError::Trimmed { partition, first: first.0 }),
        None => {
            store.clear(partition)?;
            (Topology::new(Arc::clone(plan)), first, (0, 0), vec![], (0, 0))
        }
    };
    let loaded = begin.elapsed();
    let records = replay(&mut fold, log, partition, from)?;
    fold.caught_up();
    // Numbers of departures only need to grow; offsets do, and there are never more sets than offsets.
    let departures = next.0;
    let (sessions, viewers) = fold.live();
    tracing::info!(partition, sessions, viewers, records, from = from.0, ?loaded, took = ?begin.elapsed(), "restored");
    Ok(Restored { fold, next, ids, over, tombstones, departures })
}

/// The store keys of tombstones.
type Tombstones = Vec<Vec<u8>>;

/// The state of a checkpoint, and what the next one goes on from.
struct Loaded {
    fold: Fold,
    tombstones: Tombstones,
    over: (u64, u64),
}

/// The checkpoint's state; the inner error where it is of another configuration or format and the log has to do.
fn load(
    plan: &Arc<Plan>,
    log: &dyn Log,
    store: &Store,
    partition: u16,
    globals: &Globals,
) -> Result<Result<Loaded, RestoreError>, EngineError> {
    let previous = match globals.ids.0.checked_sub(1) {
        Some(generation) => store.ids(partition, generation)?,
        None => vec![],
    };
    let current = store.ids(partition, globals.ids.0)?;
    let mut restore = match Restore::new(Arc::clone(plan), globals, &previous, &current) {
        Ok(restore) => restore,
        Err(why) => return Ok(Err(why)),
    };
    restore.log_begins(log.bounds(partition)?.first);
    let (feedback, books) = store.learnt(partition)?;
    let over = books.over;
    restore.feedback(&feedback);
    if let Err(why) = store.restore_books(partition, books, &mut restore)? {
        return Ok(Err(why));
    }
    restore.departures(&store.departures(partition)?);
    let (mut tombstones, mut damaged) = (vec![], None::<RestoreError>);
    for_each_row(store, partition, &mut |row| match row {
        StoredRow::Row(kind, key, bytes) => {
            if let Err(error) = restore.row(kind, &key, &bytes) {
                damaged.get_or_insert(error);
            }
        }
        StoredRow::Tombstone(kind, key, as_of) => {
            restore.tombstone(kind, &key, Offset(as_of));
            tombstones.push(row_key(kind, partition, &key));
        }
    })?;
    if let Some(why) = damaged {
        return Ok(Err(why));
    }
    read_awaited(&mut restore, log, partition)?;
    Ok(restore.finish().map(|fold| Loaded { fold, tombstones, over }))
}

/// Gives rows the records that they wait for. What lies between is passed over: an event dated ahead may be pending on a row for long.
fn read_awaited(restore: &mut Restore, log: &dyn Log, partition: u16) -> Result<(), LogError> {
    while let Some(from) = restore.awaits() {
        let mut passed = 0;
        log.read(partition, from, &mut |offset, bytes| {
            match restore.awaits() {
                Some(awaited) if awaited == offset => {
                    restore.record(offset, &decode_or_damaged(partition, offset, bytes)?);
                    passed = 0;
                }
                Some(awaited) if awaited > offset && passed < PASSED_MAX => passed += 1,
                _ => return Ok(ControlFlow::Break(())),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // It is not there: the restart ends with an error that names it.
        if restore.awaits() == Some(from) {
            break;
        }
    }
    Ok(())
}

/// Visits all rows of a partition, which another thread reads meanwhile.
fn for_each_row(store: &Store, partition: u16, visit: &mut dyn FnMut(StoredRow)) -> Result<(), StoreError> {
    let (sender, receiver) = sync_channel(ROWS_AHEAD);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut rows = Vec::with_capacity(ROWS);
            let read = store.rows(partition, &mut |row| {
                rows.push(row);
                if rows.len() == ROWS {
                    // The receiver takes all there are.
                    let _ = sender.send(std::mem::replace(&mut rows, Vec::with_capacity(ROWS)));
                }
            });
            let _ = sender.send(rows);
            read
        });
        receiver.into_iter().flatten().for_each(visit);
        reader.join().expect("the store does not panic")
    })
}

fn replay(fold: &mut Fold, log: &dyn Log, partition: u16, from: Offset) -> Result<u64, LogError> {
    let (mut records, mut said) = (0u64, Instant::now());
    log.read(partition, from, &mut |offset, bytes| {
        fold.apply(offset, &decode_or_damaged(partition, offset, bytes)?, &mut Ignore);
        records += 1;
        if said.elapsed() > Duration::from_secs(2) {
            said = Instant::now();
            tracing::info!(partition, records, offset = offset.0, "replaying the log");
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}

/// Decodes a record of the log; an error names where the log is damaged.
pub(crate) fn decode_or_damaged(partition: u16, offset: Offset, bytes: &[u8]) -> Result<Arrived<'_>, LogError> {
    decode(bytes).map_err(|error| LogError::Damaged { partition, offset: offset.0, what: error.to_string() })
}
