//! Restart: checkpoint plus replay. The same fold over the same records as ever, so the state is the same, bit for bit.

use super::store::{Begun, Chain, Rows, Store, StoreError, Stored};
use super::{EngineError, Fold};
use crate::log::{Bounds, Log, LogError, decode};
use saccade_topology::{Arrived, Globals, Ignore, Offset, Plan, Restore, RestoreError, RowKind, Topology};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Blocks of rows that may wait to be put back.
const ROWS_AHEAD: usize = 64;
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
    /// The files of the checkpoint that the next one goes on from.
    pub chain: Chain,
}

/// Restores one partition.
pub(crate) fn restore(plan: &Arc<Plan>, log: &dyn Log, store: &Store, partition: u16) -> Result<Restored, EngineError> {
    let begin = Instant::now();
    let Bounds { first, kept_from, next, is_trimmed } = log.bounds(partition)?;
    let checkpoint = match load(plan, log, store, partition) {
        Ok(checkpoint) => checkpoint,
        Err(EngineError::Store(StoreError::Damaged { path, what })) => {
            set_aside(partition, format!("{} is damaged: {what}", path.display()))
        }
        Err(error) => return Err(error),
    };
    let (mut fold, from, ids, over, chain) = match checkpoint {
        Some(Loaded { globals: Globals { offset, .. }, .. }) if offset < kept_from.0 => {
            return Err(EngineError::Gap { partition, checkpoint: offset, kept_from: kept_from.0 });
        }
        Some(Loaded { fold, globals, over, chain }) => (fold, Offset(globals.offset), globals.ids, over, chain),
        None if is_trimmed => return Err(EngineError::Trimmed { partition, first: first.0 }),
        None => {
            store.clear(partition)?;
            (Topology::new(Arc::clone(plan)), first, (0, 0), (0, 0), Chain::default())
        }
    };
    let loaded = begin.elapsed();
    let records = replay(&mut fold, log, partition, from)?;
    if !log.reaches(partition, from) {
        return Err(EngineError::Short { partition, checkpoint: from.0 });
    }
    fold.caught_up();
    let (sessions, viewers) = fold.live();
    tracing::info!(partition, sessions, viewers, records, from = from.0, ?loaded, took = ?begin.elapsed(), "restored");
    Ok(Restored { fold, next, ids, over, chain })
}

/// No checkpoint.
fn set_aside<T>(partition: u16, why: impl std::fmt::Display) -> Option<T> {
    tracing::warn!(partition, %why, "the checkpoint is set aside; state is rebuilt from the log");
    None
}

/// The state of a checkpoint.
struct Loaded {
    fold: Fold,
    globals: Globals,
    /// Where its keys of decisions that are over stand.
    over: (u64, u64),
    chain: Chain,
}

/// Loads the last checkpoint. None where there is none, or one of another configuration or format: the log has to do.
fn load(plan: &Arc<Plan>, log: &dyn Log, store: &Store, partition: u16) -> Result<Option<Loaded>, EngineError> {
    let Some(stored) = store.checkpoint(partition)? else { return Ok(None) };
    let (globals, chain) = (stored.globals().clone(), stored.chain);
    let Begun { mut restore, over } = match stored.restore(plan)? {
        Ok(begun) => begun,
        Err(why) => return Ok(set_aside(partition, why)),
    };
    restore.log_begins(log.bounds(partition)?.first);
    let mut damaged = None::<RestoreError>;
    let gone = for_each_block(stored, &mut |rows| {
        if let Err(error) = put_back(&mut restore, &rows) {
            damaged.get_or_insert(error);
        }
    })?;
    if let Some(why) = damaged {
        return Ok(set_aside(partition, why));
    }
    gone.iter().for_each(|(kind, key, as_of)| restore.tombstone(*kind, key, Offset(*as_of)));
    read_awaited(&mut restore, log, partition)?;
    Ok(match restore.finish() {
        Ok(fold) => Some(Loaded { fold, globals, over, chain }),
        Err(why) => set_aside(partition, why),
    })
}

/// Puts rows back whose keys are not there yet, and gives their number.
pub(crate) fn put_back(restore: &mut Restore, rows: &Rows) -> Result<u64, RestoreError> {
    rows.iter().try_fold(0, |count, (kind, key, value)| Ok(count + u64::from(restore.row(kind, key, value)?)))
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

/// Visits all rows, which another thread reads meanwhile, and gives the tombstones.
fn for_each_block(stored: Stored, visit: &mut dyn FnMut(Rows)) -> Result<Vec<(RowKind, String, u64)>, StoreError> {
    let (sender, receiver) = sync_channel(ROWS_AHEAD);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            stored.rows(&mut |rows| {
                // The receiver takes all there are.
                let _ = sender.send(rows);
            })
        });
        receiver.into_iter().for_each(visit);
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
