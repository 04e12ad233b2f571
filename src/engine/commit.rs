//! The committer: answers batches once they are durable. One fsync covers all that waited for it.

use super::mailbox::{Receiver, Sender, mailbox};
use super::metrics::CLOCK_STEPS;
use super::{Receipt, Shared, poison, waits_for_disk};
use crate::clock::Watch;
use crate::log::free_bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Under load an fsync begins this long after the one before at the earliest: fewer of them cover more batches each. A decision, for
/// which a viewer waits, does not wait for it.
const FSYNC_INTERVAL: Duration = Duration::from_millis(2);
/// Batches of one fsync that count as load.
const LOADED: usize = 2;

/// Where the answer to a batch goes.
pub(super) struct Reply(pub tokio::sync::oneshot::Sender<Receipt>);

/// A batch that is in the log but maybe not on the disk.
pub(super) struct Appended {
    pub receipt: Receipt,
    pub reply: Reply,
}

pub(super) fn spawn(shared: Arc<Shared>, data: PathBuf) -> (Sender<Vec<Appended>>, JoinHandle<()>) {
    let (sender, receiver) = mailbox();
    let thread = std::thread::Builder::new()
        .name("committer".into())
        .spawn(move || run(&shared, &data, &receiver))
        .expect("the system starts a thread");
    (sender, thread)
}

fn run(shared: &Shared, data: &std::path::Path, receiver: &Receiver<Vec<Appended>>) {
    let fsync = metrics::histogram!("saccade_log_fsync_seconds");
    let (log_bytes, disk_free) = (metrics::gauge!("saccade_log_bytes"), metrics::gauge!("saccade_disk_free_bytes"));
    let (mut last_fsync, mut last_group) = (Instant::now(), 0);
    let mut groups = vec![];
    let mut measured = Instant::now() - Duration::from_secs(1);
    let (mut clock, steps) = (Watch::new(), metrics::counter!(CLOCK_STEPS));
    loop {
        receiver.wait(Duration::from_millis(500));
        if !receiver.take(&mut groups) {
            return;
        }
        if last_group >= LOADED && last_fsync.elapsed() < FSYNC_INTERVAL {
            receiver.rest(FSYNC_INTERVAL.saturating_sub(last_fsync.elapsed()));
            receiver.take(&mut groups);
        }
        let batches: Vec<Appended> = groups.drain(..).flatten().collect();
        last_group = batches.len();
        if !batches.is_empty() && waits_for_disk(&shared.config) {
            let begin = Instant::now();
            last_fsync = begin;
            if let Err(error) = shared.log.sync() {
                poison("the log cannot be synced", &error);
            }
            fsync.record(begin.elapsed());
        }
        for appended in batches {
            // A sender that has gone away does not need its answer.
            let _ = appended.reply.0.send(appended.receipt);
        }
        if measured.elapsed() >= Duration::from_millis(500) {
            measured = Instant::now();
            let free = free_bytes(data);
            tell_of_disk(shared, free);
            if let Some(step) = clock.look() {
                tell_of_clock(step);
                steps.increment(1);
            }
            disk_free.set(free as f64);
            log_bytes.set(shared.log.bytes() as f64);
            shared.contexts.tidy();
            shared.decisions.tidy();
            crate::telemetry::upkeep();
        }
    }
}

/// Event time is never taken back: what the clock says ahead of time, events are late for.
fn tell_of_clock(step_ms: i64) {
    let by = Duration::from_millis(step_ms.unsigned_abs());
    let what = if step_ms > 0 { "set ahead, or the machine slept" } else { "set back" };
    tracing::warn!(
        ?by,
        "the clock of this machine was {what}: players' clocks are corrected by it, and events are late for as long as event time is ahead of it"
    );
}

/// From here on events are refused, or taken again, by what the disk has free; says so.
pub(super) fn tell_of_disk(shared: &Shared, free: u64) {
    let before = shared.check_disk();
    shared.disk_free.store(free, Ordering::Relaxed);
    match (before, shared.check_disk()) {
        (Ok(()), Err(why)) => {
            tracing::warn!(%why, "events and decisions are refused with 507 until there is room again")
        }
        (Err(_), Ok(())) => tracing::info!(free, "the disk has room again: events and decisions are taken"),
        _ => {}
    }
}
