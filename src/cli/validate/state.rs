//! Checks of the checkpoint: is it whole, and does it lead to the state the log says?

use super::Verdict;
use super::log::{Folded, Scanned};
use crate::counted::{counted, either};
use crate::engine::{
    Back, Begun, EngineError, Restored, Store, StoreError, Stored as Checkpoint, check_kept, check_reached,
    check_specs, put_back, restore,
};
use crate::log::{Bounds, EmbeddedLog, Log, LogError};
use saccade_topology::{Offset, Plan, Restore, RowKind, Topology};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Keys that are named.
const NAMED_MAX: usize = 5;

/// The checkpoint store of a data directory.
pub(super) struct Stored<'a> {
    plan: &'a Arc<Plan>,
    log: &'a EmbeddedLog,
    folded: &'a [Folded],
    /// What is wrong with the store itself, or that there is none.
    store: Result<Store, Verdict>,
}

/// A whole state, small enough to keep two.
pub(super) struct Picture {
    digest: u128,
    /// RowKind, key and hash of each row, in order.
    rows: Vec<(RowKind, String, u64)>,
}

impl Picture {
    pub(super) fn of(fold: &mut Topology) -> Picture {
        let rows = fold.rows().into_iter().map(|(kind, key, row)| (kind, key, xxh3_64(&row))).collect();
        Picture { digest: fold.digest(), rows }
    }

    /// Keys whose rows are not the same in both.
    fn differences(&self, other: &Picture) -> Vec<String> {
        let missing = |from: &Picture, row: &(RowKind, String, u64)| from.rows.binary_search(row).is_err();
        let here = self.rows.iter().filter(|row| missing(other, row));
        let there = other.rows.iter().filter(|row| missing(self, row));
        let mut keys: Vec<_> = here.chain(there).map(|(kind, key, _)| (*kind, key.as_str())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.iter().take(NAMED_MAX).map(|(kind, key)| format!("{kind:?} {key:?}").to_lowercase()).collect()
    }
}

impl<'a> Stored<'a> {
    pub(super) fn new(data: &Path, plan: &'a Arc<Plan>, log: &'a EmbeddedLog, scanned: &'a Scanned) -> Stored<'a> {
        let store = match Store::exists(data) {
            true => Store::open(data).map_err(|e| {
                let to_do = match e.is_forbidden() {
                    true => "give the user that runs the server access to it",
                    false => "move what it names away; the state is rebuilt from the log, where that has all records",
                };
                Verdict::fail(e.to_string(), to_do)
            }),
            false => Err(Verdict::skip("there are no checkpoints yet; the state is rebuilt from the log")),
        };
        Stored { plan, log, folded: &scanned.folded, store }
    }

    /// Tries every partition's checkpoint as a restart would.
    pub(super) fn checkpoint(&self) -> Verdict {
        let store = match &self.store {
            Ok(store) => store,
            Err(verdict) => return verdict.clone(),
        };
        let mut found = vec![];
        for partition in 0..self.log.partitions() {
            match self.fits(store, partition) {
                Ok(text) => found.push(text),
                Err(verdict) => return verdict,
            }
        }
        Verdict::pass(found.join("\n"))
    }

    /// Reads globals, ids and rows, and leaves them as they are: a checkpoint that does not fit is not set aside here.
    fn fits(&self, store: &Store, partition: u16) -> Result<String, Verdict> {
        let unread = |e: LogError| Verdict::fail(format!("partition {partition}: {e}"), "see log-readable");
        let Bounds { first, kept_from, is_trimmed, .. } = self.log.bounds(partition).map_err(unread)?;
        let first = first.0;
        let to_do = match is_trimmed {
            true => format!(
                "`serve` will not start: the log begins at offset {first}, so that the state cannot be rebuilt from it. Start with the configuration \
                 and the program it was written by, put the checkpoints back from a copy, or start once with `serve --rebuild` to go on with what is kept"
            ),
            false => "nothing: the log has all records, and the next start rebuilds the state from it".to_string(),
        };
        let fail = |what: String| Verdict::fail(format!("partition {partition}: {what}"), to_do.clone());
        let unreadable = |error: StoreError| match error.is_forbidden() {
            true => Verdict::fail(error.to_string(), "give the user that runs the server access to it"),
            false => fail(error.to_string()),
        };
        let Some(checkpoint) = store.checkpoint(partition).map_err(unreadable)? else {
            return match is_trimmed {
                true => Err(fail(format!("there is no checkpoint, and the log only begins at offset {first}"))),
                false => Ok(format!("partition {partition}: none yet")),
            };
        };
        let offset = checkpoint.globals().offset;
        // In the order of a start: one that does not fit is set aside, whatever the log has.
        let begun = checkpoint.restore(self.plan).map_err(unreadable)?.map_err(|e| fail(e.to_string()))?;
        let Begun { mut restore, until, dropped, .. } = begun;
        let refused = |error: EngineError| Verdict::fail(error.to_string(), "until then `serve` does not start");
        check_kept(partition, kept_from, Offset(offset)).map_err(refused)?;
        check_reached(partition, self.log, until).map_err(refused)?;
        let back = rows(checkpoint, &mut restore).map_err(fail)?;
        restore.awaits().map_or(Ok(()), |awaited| check_kept(partition, kept_from, awaited)).map_err(refused)?;
        check_specs(self.plan, restore.registry()).map_err(refused)?;
        if let Some((model, decisions)) = dropped.first() {
            let decisions = counted(*decisions, "decision");
            return Err(Verdict::fail(
                format!(
                    "partition {partition}: the configuration has no model {model:?}, which has learnt from {decisions}"
                ),
                "put it back, or start without it: what it learnt is then dropped with the first checkpoint",
            ));
        }
        let (rows, tombstones) = (counted(back.rows, "row"), counted(back.gone.len() as u64, "tombstone"));
        if first > offset {
            let text = format!("partition {partition}: at offset {offset}; the log goes on at {first}");
            return Ok(format!("{text}; {rows}, {tombstones}"));
        }
        Ok(format!("partition {partition}: at offset {offset}, {rows}, {tombstones}"))
    }

    /// Compares what a restart would have with the fold of the whole log.
    pub(super) fn state(&self) -> Verdict {
        let checkpoint = self.checkpoint();
        let store = match &self.store {
            Ok(store) if checkpoint.outcome == super::Outcome::Pass => store,
            _ => return Verdict::skip(format!("no checkpoint to compare with: {}", checkpoint.found)),
        };
        let (mut found, mut compared) = (vec![], 0);
        for partition in 0..self.log.partitions() {
            match self.compare(store, partition) {
                Ok(Ok(text)) => {
                    compared += 1;
                    found.push(text);
                }
                Ok(Err(why_not)) => found.push(why_not),
                Err(verdict) => return verdict,
            }
        }
        if compared == 0 { Verdict::skip(found.join("\n")) } else { Verdict::pass(found.join("\n")) }
    }

    fn compare(&self, store: &Store, partition: u16) -> Result<Result<String, String>, Verdict> {
        let to_do = "if [[models]] were changed since the log began (one left out, renamed, given other limits), this is why: the checkpoint goes on from what was learnt before. \
                     Else keep a copy of the directory and report it; to go on, move `checkpoints` away, the state is then rebuilt from the log";
        let fail = |found| Verdict::fail(format!("partition {partition}: {found}"), to_do);
        let folded = self.folded.get(usize::from(partition));
        let Bounds { first, is_trimmed, .. } = self.log.bounds(partition).map_err(|e| fail(e.to_string()))?;
        let Some(Folded { whole: Some(whole) }) = folded else {
            return Ok(Err(match is_trimmed {
                true => {
                    format!("partition {partition}: the log begins at offset {}; older records are dropped", first.0)
                }
                false => format!("partition {partition}: the log is damaged; see log-readable"),
            }));
        };
        let Some(checkpoint) = store.checkpoint(partition).map_err(|e| fail(e.to_string()))? else {
            return Ok(Err(format!("partition {partition}: there is no checkpoint yet")));
        };
        let restored = restore(self.plan, self.log, store, partition..partition + 1);
        let Restored { mut fold, .. } = restored.map_err(|e| fail(e.to_string()))?.remove(0);
        let restored = Picture::of(&mut fold);
        if restored.digest == whole.digest {
            let (sessions, viewers) = fold.live();
            let (sessions, viewers) = (counted(sessions as u64, "session"), counted(viewers as u64, "viewer"));
            let from = checkpoint.globals().offset;
            return Ok(Ok(format!(
                "partition {partition}: the checkpoint at {from} and replay equal the whole log: {sessions}, {viewers}"
            )));
        }
        let keys = restored.differences(whole);
        let what = if keys.is_empty() { "only in what is not per key" } else { "for example in" };
        Err(fail(format!("checkpoint and replay differ from the fold of the whole log, {what}")).examples(keys))
    }
}

/// Puts its rows back.
fn rows(checkpoint: Checkpoint, restore: &mut Restore) -> Result<Back, String> {
    let missing = checkpoint.missing_ids();
    if missing > 0 {
        let of = counted(checkpoint.globals().ids.1, "remembered event id");
        return Err(format!("{missing} of {of} {} missing", either(missing, "is", "are")));
    }
    put_back(checkpoint, restore).map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
