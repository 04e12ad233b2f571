//! Restart: checkpoint plus replay. The same fold over the same records as ever, so the state is the same, bit for bit.

use super::partition::FOLDED_AT_ONCE;
use super::store::{Begun, Chain, Rows, Store, StoreError, Stored};
use super::{EngineError, Fold, propose_configured};
use crate::log::{Bounds, Log, LogError, RecordBatch, decode};
use saccade_topology::{
    Arrived, Globals, Ignore, Offset, Plan, Record, Restore, RestoreError, RestoreRows, RowKind, Topology,
};
use std::collections::{HashSet, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Blocks of rows that are handed on at once, and how many times that many may wait to be put back.
const BLOCKS_AT_ONCE: usize = 16;
const ROWS_AHEAD: usize = 8;
/// Bytes of records that are handed on at once, of however many partitions, and how many times that many may wait to be folded.
const AHEAD_BYTES: usize = 256 << 10;
const AHEAD_MAX: usize = 4;
/// Things that came from other partitions and are known by where they left: those that may not be confirmed are the last.
const CAME_MAX: usize = 1 << 16;
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
    /// What left for other partitions and is in their logs: where it went, and its offset here. Whether that was confirmed or not.
    pub arrived: HashSet<(u16, u64)>,
}

/// Restores partitions; what is stored stays as it is.
pub(crate) fn restore(
    plan: &Arc<Plan>,
    log: &dyn Log,
    store: &Store,
    partitions: Range<u16>,
) -> Result<Vec<Restored>, EngineError> {
    restore_or_rebuild(plan, log, store, partitions, false)
}

/// As [`restore`]; with `rebuild` from what the log still has, where there is nothing else.
pub(super) fn restore_or_rebuild(
    plan: &Arc<Plan>,
    log: &dyn Log,
    store: &Store,
    partitions: Range<u16>,
    rebuild: bool,
) -> Result<Vec<Restored>, EngineError> {
    let begin = Instant::now();
    let loaded = partitions.map(|partition| load_or_begin(plan, log, store, partition, rebuild));
    let mut behind = loaded.collect::<Result<Vec<_>, _>>()?;
    let loaded = begin.elapsed();
    catch_up(&mut behind, log)?;
    tell_arrived(&mut behind);
    let restored = behind.into_iter().map(|Behind { partition, from, records, mut restored, .. }| {
        restored.fold.caught_up();
        // Of a state that comes from the log alone, the first checkpoint is of all there is.
        restored.fold.keep_changes();
        let (sessions, viewers) = restored.fold.live();
        tracing::info!(partition, sessions, viewers, records, from = from.0, ?loaded, took = ?begin.elapsed(), "restored");
        restored
    });
    Ok(restored.collect())
}

/// A partition that has to catch up with the log.
struct Behind {
    partition: u16,
    /// The first record that may not be in its state.
    from: Offset,
    /// How many were folded since.
    records: u64,
    /// Of those the last that came from other partitions: whence, and their offsets there.
    came: VecDeque<(u16, u64)>,
    restored: Restored,
}

/// Tells each what of that which left it has come to the others: it is not sent again, however much they have forgotten since.
fn tell_arrived(behind: &mut [Behind]) {
    let Some(first) = behind.first().map(|behind| behind.partition) else { return };
    for nth in 0..behind.len() {
        let (to, came) = (behind[nth].partition, std::mem::take(&mut behind[nth].came));
        for (from, offset) in came {
            let source = from.checked_sub(first).and_then(|nth| behind.get_mut(usize::from(nth)));
            source.map(|source| source.restored.arrived.insert((to, offset)));
        }
    }
}

/// The state of the last checkpoint; an empty one where the log has to do.
fn load_or_begin(
    plan: &Arc<Plan>,
    log: &dyn Log,
    store: &Store,
    partition: u16,
    rebuild: bool,
) -> Result<Behind, EngineError> {
    let Bounds { first, kept_from, next, is_trimmed } = log.bounds(partition)?;
    let checkpoint = match load(plan, log, kept_from, store, partition) {
        Err(EngineError::Store(StoreError::Damaged { path, what })) => {
            Found::Unfit(format!("{} is damaged: {what}", path.display()))
        }
        Err(gap @ EngineError::Gap { .. }) if rebuild => Found::Unfit(gap.to_string()),
        Ok(Found::Loaded(loaded)) => match check_kept(partition, kept_from, Offset(loaded.globals.offset)) {
            Err(gap) if rebuild => Found::Unfit(gap.to_string()),
            kept => kept.map(|()| Found::Loaded(loaded))?,
        },
        found => found?,
    };
    let is_anew = !matches!(checkpoint, Found::Loaded(_));
    let (fold, from, ids, over, chain) = match checkpoint {
        Found::Loaded(loaded) => {
            let Loaded { fold, globals, over, chain } = *loaded;
            (fold, Offset(globals.offset), globals.ids, over, chain)
        }
        Found::Unfit(why) if is_trimmed && !rebuild => {
            return Err(EngineError::Trimmed { partition, why, first: first.0 });
        }
        Found::Nothing if is_trimmed && !rebuild => {
            return Err(EngineError::Trimmed { partition, why: "there is no checkpoint".into(), first: first.0 });
        }
        found => {
            if let Found::Unfit(why) = found {
                tracing::warn!(partition, %why, "the checkpoint is not gone on from, and is kept in checkpoints/set-aside; state is rebuilt from the log");
            }
            let mut fold = Topology::without_changes(Arc::clone(plan));
            if is_trimmed {
                tracing::warn!(partition, first = first.0, "--rebuild: state is of what the log has from there on");
                // What put its spec in force may be among what was dropped.
                propose_configured(&mut fold);
            }
            (fold, first, (0, 0), (0, 0), Chain::default())
        }
    };
    let restored = Restored { fold, is_anew, next, kept_from, ids, over, chain, arrived: HashSet::new() };
    Ok(Behind { partition, from, records: 0, came: VecDeque::new(), restored })
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
    let Begun { mut restore, over, until, dropped } = match stored.restore(plan)? {
        Ok(begun) => begun,
        Err(why) => return unfit(why),
    };
    check_reached(partition, log, until)?;
    for (model, decisions) in &dropped {
        tracing::warn!(
            partition,
            model,
            decisions,
            "the configuration has no such model any more: what it learnt is dropped with the next checkpoint; stop now and put it back to keep that"
        );
    }
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
    if log.reaches(partition, until) {
        return Ok(());
    }
    // Where it ends because it is damaged, that is to be told.
    log.read(partition, Offset(0), &mut |_, _| Ok(ControlFlow::Continue(())))?;
    Err(EngineError::Short { partition, checkpoint: until.0 })
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

/// Records of a partition that are read and wait to be folded.
#[derive(Clone, Default)]
struct Ahead {
    encoded: RecordBatch,
    offsets: Vec<Offset>,
}

/// Folds what the log has of all of them, which another thread reads meanwhile, in one pass.
fn catch_up(behind: &mut [Behind], log: &dyn Log) -> Result<(), LogError> {
    let from: Vec<(u16, Offset)> = behind.iter().map(|behind| (behind.partition, behind.from)).collect();
    let (sender, receiver) = sync_channel::<Vec<Ahead>>(AHEAD_MAX);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let nothing = vec![Ahead::default(); from.len()];
            let (mut all, mut bytes) = (nothing.clone(), 0);
            log.read_each(&from, &mut |nth, offset, record| {
                all[nth].encoded.push_encoded(record);
                all[nth].offsets.push(offset);
                bytes += record.len();
                if bytes < AHEAD_BYTES {
                    return Ok(ControlFlow::Continue(()));
                }
                bytes = 0;
                // Nobody takes it where a record before it is damaged.
                Ok(match sender.send(std::mem::replace(&mut all, nothing.clone())) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                })
            })?;
            let _ = sender.send(all);
            Ok(())
        });
        let folded = fold_all(behind, receiver);
        let read = reader.join().expect("reading the log does not panic");
        folded.and(read)
    })
}

fn fold_all(behind: &mut [Behind], read: Receiver<Vec<Ahead>>) -> Result<(), LogError> {
    let mut said = Instant::now();
    for all in read {
        for (behind, ahead) in behind.iter_mut().zip(&all) {
            fold(behind, ahead)?;
        }
        if said.elapsed() > Duration::from_secs(2) {
            said = Instant::now();
            let records: u64 = behind.iter().map(|behind| behind.records).sum();
            tracing::info!(records, "replaying the log");
        }
    }
    Ok(())
}

fn fold(behind: &mut Behind, Ahead { encoded, offsets }: &Ahead) -> Result<(), LogError> {
    let Behind { partition, records, came, restored: Restored { fold, .. }, .. } = behind;
    let encoded = RecordBatch::records(encoded.bytes()).map(|record| record.expect("it was put together here"));
    let encoded: Vec<&[u8]> = encoded.collect();
    for (encoded, offsets) in encoded.chunks(FOLDED_AT_ONCE).zip(offsets.chunks(FOLDED_AT_ONCE)) {
        let decoded = encoded.iter().zip(offsets).map(|(bytes, offset)| decode_or_damaged(*partition, *offset, bytes));
        let decoded = decoded.collect::<Result<Vec<Arrived<'_>>, _>>()?;
        fold.warm(&decoded);
        for (nth, (arrived, offset)) in decoded.iter().zip(offsets).enumerate() {
            fold.apply_warmed(nth, *offset, arrived, &mut Ignore);
            if let Record::Passed(passed) = &arrived.record {
                came.push_back((passed.from, passed.offset));
                if came.len() > CAME_MAX {
                    came.pop_front();
                }
            }
        }
    }
    *records += encoded.len() as u64;
    Ok(())
}

/// Decodes a record of the log; an error names where the log is damaged.
pub(crate) fn decode_or_damaged(partition: u16, offset: Offset, bytes: &[u8]) -> Result<Arrived<'_>, LogError> {
    decode(bytes).map_err(|error| LogError::Damaged { partition, offset: offset.0, what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::log::MemoryLog;
    use saccade_topology::{Event, EventTime, IngestTime};

    #[test]
    fn all_partitions_are_restored_with_one_pass_over_the_log() {
        const PARTITIONS: u16 = 5;
        let plan = Arc::new(Plan::compile(&Config::default().spec()).expect("it compiles"));
        let log = MemoryLog::new(PARTITIONS);
        let mut straight: Vec<Topology> = (0..PARTITIONS).map(|_| Topology::new(Arc::clone(&plan))).collect();
        for nth in 0..100_u64 {
            let (partition, offset) = ((nth % u64::from(PARTITIONS)) as u16, Offset(nth / u64::from(PARTITIONS)));
            let (id, session, at) = (format!("e{nth}"), format!("s{}", nth % 7), 1_000 * nth as i64);
            let event = Event { session: Some(&session), ..Event::new(&id, "play", EventTime(at)) };
            let arrived = Arrived { ingest_time: IngestTime(at), record: Record::Event(event) };
            let mut batch = RecordBatch::default();
            batch.push(&arrived);
            log.append(partition, offset, &batch).expect("it is in memory");
            straight[usize::from(partition)].apply(offset, &arrived, &mut Ignore);
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path()).expect("the store opens");
        let restored = restore(&plan, &log, &store, 0..PARTITIONS).expect("there is nothing but the log");
        let digests = restored.into_iter().map(|mut restored| restored.fold.digest());
        assert!(digests.eq(straight.iter_mut().map(Topology::digest)));
        assert_eq!(log.passes(), 1);
    }
}
