//! The writer's side of checkpoints: a thread that gives way puts into files what the partitions hand out.
//!
//! A checkpoint that the disk has no room for is given up, and those that would go on from it: the one before stays what a restart begins
//! with, the log keeps all records from there on, and the next one is made of all there is. Any other failure ends the process.

#[cfg(test)]
mod tests;

use super::{Rest, Slice, Told, Writer};
use crate::aside;
use crate::clock::now;
use crate::engine::metrics::GIVEN_UP;
use crate::engine::store::{Chain, Giver, Making, Store, StoreError, spare};
use crate::engine::{Restored, Shared, poison};
use crate::log::Log;
use saccade_topology::{Globals, Offset};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The part of `log.disk_reserve_bytes` at which a checkpoint is given up. It begins only where it should leave all of them.
const SPARE_SHARE: u64 = 2;

/// What the writer remembers of a partition's checkpoints.
struct Written {
    /// The file that is being written, where a checkpoint has begun and was not given up.
    making: Option<Making>,
    /// One was given up: what has changed since the one before it is not known any more, so only one of all there is can follow.
    is_cut: bool,
    /// Bytes of rows that the disk had no room for.
    too_many: u64,
    /// The files of the last one.
    chain: Chain,
    rows: u64,
    bytes: u64,
    /// Records from here on a restart from it needs.
    needs: Offset,
}

impl Written {
    fn new(chain: Chain) -> Written {
        Written { making: None, is_cut: false, too_many: 0, chain, rows: 0, bytes: 0, needs: Offset(0) }
    }
}

pub(in crate::engine) fn spawn(
    shared: Arc<Shared>,
    store: Arc<Store>,
    restored: &[Restored],
) -> (Writer, JoinHandle<()>) {
    let (slices, receiver) = crossbeam_channel::unbounded();
    let (giver, spare) = spare();
    let tell = |restored: &Restored| Told {
        is_full_due: AtomicBool::new(restored.chain.is_full_due()),
        given_up: AtomicU64::new(0),
    };
    let told: Arc<[Told]> = restored.iter().map(tell).collect();
    let mut writing = Writing {
        log: Arc::clone(&shared.log),
        store,
        giver,
        told: Arc::clone(&told),
        reserve_bytes: shared.config.log.disk_reserve_bytes,
        partitions: restored.iter().map(|restored| Written::new(restored.chain)).collect(),
    };
    let run = move || {
        aside::give_way();
        for slice in receiver {
            if let Err(error) = writing.write(slice) {
                poison("a checkpoint cannot be written", &*error);
            }
            aside::step_aside();
        }
    };
    let thread = std::thread::Builder::new().name("checkpoints".into());
    (
        Writer { log: Arc::clone(&shared.log), slices, spare, told },
        thread.spawn(run).expect("the system starts a thread"),
    )
}

/// The writer thread's side.
struct Writing {
    log: Arc<dyn Log>,
    store: Arc<Store>,
    giver: Giver,
    told: Arc<[Told]>,
    /// Bytes of the disk that are kept for the log.
    reserve_bytes: u64,
    partitions: Vec<Written>,
}

impl Writing {
    fn write(&mut self, slice: Slice) -> Result<(), Box<dyn Error>> {
        let partition = slice.partition();
        let Err(error) = self.put(slice) else { return Ok(()) };
        match error.downcast_ref::<StoreError>().filter(|error| error.is_for_room()) {
            Some(why) => Ok(self.give_up(partition, why)?),
            None => Err(error),
        }
    }

    fn put(&mut self, slice: Slice) -> Result<(), Box<dyn Error>> {
        let written = &mut self.partitions[usize::from(slice.partition())];
        match slice {
            Slice::Begin { is_full: false, .. } if written.is_cut => {}
            Slice::Begin { partition, is_full } => {
                let bytes = if is_full { written.chain.full_bytes().max(written.too_many) } else { 0 };
                self.store.check_room(self.reserve_bytes.saturating_add(bytes))?;
                written.making = Some(self.store.begin(partition, is_full)?);
                (written.is_cut, written.rows, written.bytes) = (false, 0, 0);
            }
            Slice::Ids { ids, over, .. } => {
                let Some(making) = &mut written.making else { return Ok(()) };
                ids.iter().try_for_each(|(generation, at, ids)| making.ids(*generation, *at, ids))?;
                over.iter().try_for_each(|(generation, at, keys)| making.over(*generation, *at, keys))?;
            }
            Slice::Rows { rows, gone, notes, .. } => {
                let Some(making) = &mut written.making else { return Ok(()) };
                self.store.check_room(self.reserve_bytes / SPARE_SHARE)?;
                for rows in [&rows, &gone] {
                    written.rows += rows.len() as u64;
                    written.bytes += rows.bytes();
                }
                if !notes.is_empty() {
                    making.notes(&notes)?;
                }
                if !gone.is_empty() {
                    making.gone(&gone)?;
                }
                if !rows.is_empty() {
                    making.rows(&rows)?;
                }
                self.giver.give(rows);
                self.giver.give(gone);
            }
            Slice::Complete { partition, rest, begun, pause, done } => {
                // Whoever waits for the end of one that was given up hears that nobody will tell.
                let Some(making) = written.making.take() else { return Ok(()) };
                // No stored row may know of a record that the log can still lose.
                self.log.sync()?;
                let Rest { needs, globals, feedback, books } = *rest;
                written.chain = self.store.complete(making, &globals, &feedback, &books, written.chain)?;
                written.too_many = 0;
                let told = &self.told[usize::from(partition)];
                told.is_full_due.store(written.chain.is_full_due(), Ordering::Relaxed);
                // What the one before needs stays, too.
                self.log.needs(partition, std::mem::replace(&mut written.needs, needs));
                report(partition, written, &globals, begun.elapsed(), pause);
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }

    /// There is no room for the checkpoint that is being made: the one before stays, and what the log has had since.
    fn give_up(&mut self, partition: u16, why: &StoreError) -> Result<(), StoreError> {
        let written = &mut self.partitions[usize::from(partition)];
        if !std::mem::replace(&mut written.is_cut, true) {
            tracing::warn!(
                partition,
                %why,
                "no room for a checkpoint: it was given up. A restart begins with the one before and reads the log from there; make room on the disk"
            );
        }
        (written.making, written.too_many) = (None, written.too_many.max(written.bytes));
        self.told[usize::from(partition)].given_up.fetch_add(1, Ordering::Relaxed);
        self.store.remove_unfinished(partition)?;
        metrics::counter!(GIVEN_UP).increment(1);
        Ok(())
    }
}

fn report(partition: u16, written: &Written, globals: &Globals, took: Duration, pause: Duration) {
    let p = partition.to_string();
    metrics::histogram!("saccade_checkpoint_seconds").record(took);
    metrics::histogram!("saccade_checkpoint_pause_seconds").record(pause);
    metrics::gauge!("saccade_checkpoint_rows", "partition" => p.clone()).set(written.rows as f64);
    metrics::gauge!("saccade_checkpoint_bytes", "partition" => p.clone()).set(written.bytes as f64);
    metrics::gauge!("saccade_checkpoint_offset", "partition" => p.clone()).set(globals.offset as f64);
    metrics::gauge!("saccade_checkpoint_timestamp_seconds", "partition" => p).set(now().0 as f64 / 1000.0);
    tracing::debug!(partition, rows = written.rows, offset = globals.offset, ?took, ?pause, "checkpoint complete");
}
