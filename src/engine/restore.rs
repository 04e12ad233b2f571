//! Restart: checkpoint plus replay. The same fold over the same records as ever, so the state is the same, bit for bit.

use super::partition::FOLDED_AT_ONCE;
use super::store::{Begun, Chain, Rows, Store, StoreError, Stored};
use super::{EngineError, Fold};
use crate::log::{Bounds, Log, LogError, RecordBatch, decode};
use saccade_topology::{Arrived, Globals, Ignore, Offset, Plan, Restore, RestoreError, RestoreRows, RowKind, Topology};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Blocks of rows that are handed on at once, and how many times that many may wait to be put back.
const BLOCKS_AT_ONCE: usize = 16;
const ROWS_AHEAD: usize = 8;
/// Bytes of records that are handed on at once, and how many times that many may wait to be folded.
const AHEAD_BYTES: usize = 256 << 10;
const AHEAD_MAX: usize = 4;
/// Records read in a row though no row waits for them: to seek takes longer.
const PASSED_MAX: usize = 1024;

/// A partition as it was when the process ended.
pub(crate) struct Restored {
    /// State after the last record of the log.
    pub fold: Fold,
    /// It comes from the log alone: a checkpoint that there is, is not of this state.
    pub is_anew: bool,
    /// Offset of the next record.
    pub next: Offset,
    /// The log has dropped none from here on.
    pub kept_from: Offset,
    /// Where the stored ids stand.
    pub ids: (u64, u64),
    /// Where the stored keys of decisions that are over stand.
    pub over: (u64, u64),
    /// The files of the checkpoint that the next one goes on from.
    pub chain: Chain,
}

/// Restores one partition; what is stored stays as it is.
pub(crate) fn restore(plan: &Arc<Plan>, log: &dyn Log, store: &Store, partition: u16) -> Result<Restored, EngineError> {
    let begin = Instant::now();
    let Bounds { first, kept_from, next, is_trimmed } = log.bounds(partition)?;
    let checkpoint = match load(plan, log, kept_from, store, partition) {
        Err(EngineError::Store(StoreError::Damaged { path, what })) => {
            Found::Unfit(format!("{} is damaged: {what}", path.display()))
        }
        found => found?,
    };
    let is_anew = !matches!(checkpoint, Found::Loaded(_));
    let (mut fold, from, ids, over, chain) = match checkpoint {
        Found::Loaded(loaded) => {
            let Loaded { fold, globals, over, chain } = *loaded;
            check_kept(partition, kept_from, Offset(globals.offset))?;
            (fold, Offset(globals.offset), globals.ids, over, chain)
        }
        Found::Unfit(why) if is_trimmed => return Err(EngineError::Trimmed { partition, why, first: first.0 }),
        Found::Nothing if is_trimmed => {
            return Err(EngineError::Trimmed { partition, why: "there is no checkpoint".into(), first: first.0 });
        }
        found => {
            if let Found::Unfit(why) = found {
                tracing::warn!(partition, %why, "the checkpoint is set aside; state is rebuilt from the log");
            }
            (Topology::new(Arc::clone(plan)), first, (0, 0), (0, 0), Chain::default())
        }
    };
    let loaded = begin.elapsed();
    let records = replay(&mut fold, log, partition, from)?;
    fold.caught_up();
    let (sessions, viewers) = fold.live();
    tracing::info!(partition, sessions, viewers, records, from = from.0, ?loaded, took = ?begin.elapsed(), "restored");
    Ok(Restored { fold, is_anew, next, kept_from, ids, over, chain })
}

/// What there is to begin with.
enum Found {
    Nothing,
    /// One that is damaged, or of another configuration or format: the log has to do.
    Unfit(String),
    Loaded(Box<Loaded>),
}

/// The state of a checkpoint.
struct Loaded {
    fold: Fold,
    globals: Globals,
    /// Where its keys of decisions that are over stand.
    over: (u64, u64),
    chain: Chain,
}

/// Loads the last checkpoint.
fn load(
    plan: &Arc<Plan>,
    log: &dyn Log,
    kept_from: Offset,
    store: &Store,
    partition: u16,
) -> Result<Found, EngineError> {
    let unfit = |why: RestoreError| Ok(Found::Unfit(why.to_string()));
    let Some(stored) = store.checkpoint(partition)? else { return Ok(Found::Nothing) };
    let (globals, chain) = (stored.globals().clone(), stored.chain);
    if stored.missing_ids() > 0 {
        let (missing, of) = (stored.missing_ids(), globals.ids.1);
        tracing::warn!(
            partition,
            missing,
            of,
            "remembered event ids are missing: events that are sent again may count twice"
        );
    }
    let Begun { mut restore, over, until } = match stored.restore(plan)? {
        Ok(begun) => begun,
        Err(why) => return unfit(why),
    };
    check_reached(partition, log, until)?;
    let back = match put_back(stored, &mut restore)? {
        Ok(back) => back,
        Err(why) => return unfit(why),
    };
    back.gone.iter().for_each(|(kind, key, as_of)| restore.tombstone(*kind, key, Offset(*as_of)));
    restore.awaits().map_or(Ok(()), |awaited| check_kept(partition, kept_from, awaited))?;
    read_awaited(&mut restore, log, partition)?;
    match restore.finish() {
        Ok(fold) => Ok(Found::Loaded(Box::new(Loaded { fold, globals, over, chain }))),
        Err(why) => unfit(why),
    }
}

/// An error where the log has dropped records from `needed` on: where catching up begins, or of events that rows name.
pub(crate) fn check_kept(partition: u16, kept_from: Offset, needed: Offset) -> Result<(), EngineError> {
    match needed < kept_from {
        true => Err(EngineError::Gap { partition, checkpoint: needed.0, kept_from: kept_from.0 }),
        false => Ok(()),
    }
}

/// An error where the log ends before what the checkpoint knows of.
pub(crate) fn check_reached(partition: u16, log: &dyn Log, until: Offset) -> Result<(), EngineError> {
    match log.reaches(partition, until) {
        true => Ok(()),
        false => Err(EngineError::Short { partition, checkpoint: until.0 }),
    }
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

/// Rows that are back.
pub(crate) struct Back {
    /// How many.
    pub rows: u64,
    /// Tombstones: kind and key, and the offset.
    pub gone: Vec<(RowKind, String, u64)>,
}

/// Puts all rows back that are the newest of their key, those of sessions beside all others, while more are read.
pub(crate) fn put_back(stored: Stored, restore: &mut Restore) -> Result<Result<Back, RestoreError>, StoreError> {
    std::thread::scope(|scope| {
        let halves = restore.rows().map(|half| {
            let (sender, receiver) = sync_channel(ROWS_AHEAD);
            (sender, scope.spawn(move || put_half(half, &receiver)))
        });
        let mut blocks = vec![];
        let send = |blocks: &mut Vec<Rows>| {
            let blocks = Arc::new(std::mem::take(blocks));
            for (half, _) in &halves {
                // One that has ended found damage.
                let _ = half.send(Arc::clone(&blocks));
            }
        };
        let gone = stored.rows(&mut |rows| {
            blocks.push(rows);
            if blocks.len() == BLOCKS_AT_ONCE {
                send(&mut blocks);
            }
        })?;
        send(&mut blocks);
        let rows = halves.map(|(sender, half)| {
            drop(sender);
            half.join().expect("putting rows back does not panic")
        });
        Ok(rows.into_iter().try_fold(0, |sum, rows| Ok(sum + rows?)).map(|rows| Back { rows, gone }))
    })
}

/// Puts the rows back that belong here, and gives their number.
fn put_half(mut half: RestoreRows<'_>, blocks: &Receiver<Arc<Vec<Rows>>>) -> Result<u64, RestoreError> {
    let mut count = 0;
    for blocks in blocks {
        for (kind, key, value) in blocks.iter().flat_map(Rows::iter) {
            count += u64::from(half.row(kind, key, value)?);
        }
    }
    Ok(count)
}

/// Records that are read and wait to be folded.
#[derive(Default)]
struct Ahead {
    encoded: RecordBatch,
    offsets: Vec<Offset>,
}

/// Folds the log from `from` on, which another thread reads meanwhile, and gives the number of records.
fn replay(fold: &mut Fold, log: &dyn Log, partition: u16, from: Offset) -> Result<u64, LogError> {
    let (sender, receiver) = sync_channel::<Ahead>(AHEAD_MAX);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut ahead = Ahead::default();
            log.read(partition, from, &mut |offset, bytes| {
                ahead.encoded.push_encoded(bytes);
                ahead.offsets.push(offset);
                let is_much = ahead.encoded.bytes().len() >= AHEAD_BYTES;
                // Nobody takes it where a record before it is damaged.
                Ok(match is_much && sender.send(std::mem::take(&mut ahead)).is_err() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })?;
            let _ = sender.send(ahead);
            Ok(())
        });
        let folded = fold_all(fold, partition, receiver);
        let read = reader.join().expect("reading the log does not panic");
        folded.and_then(|records| read.map(|()| records))
    })
}

fn fold_all(fold: &mut Fold, partition: u16, read: Receiver<Ahead>) -> Result<u64, LogError> {
    let (mut records, mut said) = (0, Instant::now());
    for Ahead { encoded, offsets } in read {
        let encoded = RecordBatch::records(encoded.bytes()).map(|record| record.expect("it was put together here"));
        let encoded: Vec<&[u8]> = encoded.collect();
        for (encoded, offsets) in encoded.chunks(FOLDED_AT_ONCE).zip(offsets.chunks(FOLDED_AT_ONCE)) {
            let decoded =
                encoded.iter().zip(offsets).map(|(bytes, offset)| decode_or_damaged(partition, *offset, bytes));
            let decoded = decoded.collect::<Result<Vec<Arrived<'_>>, _>>()?;
            fold.warm(&decoded);
            for (nth, (arrived, offset)) in decoded.iter().zip(offsets).enumerate() {
                fold.apply_warmed(nth, *offset, arrived, &mut Ignore);
            }
        }
        records += encoded.len() as u64;
        if let Some(offset) = offsets.last().filter(|_| said.elapsed() > Duration::from_secs(2)) {
            said = Instant::now();
            tracing::info!(partition, records, offset = offset.0, "replaying the log");
        }
    }
    Ok(records)
}

/// Decodes a record of the log; an error names where the log is damaged.
pub(crate) fn decode_or_damaged(partition: u16, offset: Offset, bytes: &[u8]) -> Result<Arrived<'_>, LogError> {
    decode(bytes).map_err(|error| LogError::Damaged { partition, offset: offset.0, what: error.to_string() })
}
