//! What names a decision of another partition is carried there: appended and durable, then confirmed to the partition it left.
//!
//! Carrying is repeated after a restart for what was not confirmed, and may be: a partition takes in once what came from one place.

#[cfg(test)]
mod tests;

use super::commit::Reply;
use super::inbox::Inbox;
use super::partition::Message;
use super::{Shared, poison, waits_for_disk};
use crate::clock::now;
use crate::log::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use saccade_topology::decision::Landed;
use saccade_topology::{Arrived, Record};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether a partition has forgotten decisions.
const TIDY_INTERVAL: Duration = Duration::from_millis(500);

/// All that left a partition in one of its turns.
pub(super) struct Round {
    pub from: u16,
    /// Offset of the last record that let something go.
    pub until: u64,
    /// By partition.
    pub parts: Vec<(u16, RecordBatch)>,
}

pub(super) fn spawn(shared: Arc<Shared>, rounds: Receiver<Round>, inboxes: Vec<Inbox>) -> JoinHandle<()> {
    let run = move || {
        let mut forgotten = vec![0; inboxes.len()];
        let mut tidied = Instant::now();
        loop {
            let first = match rounds.recv_timeout(TIDY_INTERVAL) {
                Ok(round) => Some(round),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let taken: Vec<Round> = first.into_iter().chain(rounds.try_iter()).collect();
            // A partition that takes nothing in any more is stopping: what is not confirmed goes out again at the next start.
            if !taken.is_empty() && carry(&shared, &inboxes, taken).is_none() {
                return;
            }
            if tidied.elapsed() >= TIDY_INTERVAL {
                tidied = Instant::now();
                tidy(&shared, &mut forgotten);
            }
        }
    };
    std::thread::Builder::new().name("courier".into()).spawn(run).expect("the system starts a thread")
}

fn carry(shared: &Shared, inboxes: &[Inbox], rounds: Vec<Round>) -> Option<()> {
    // What arrives must not outlive that it left: it would be told of twice.
    if waits_for_disk(&shared.config)
        && let Err(error) = shared.log.sync()
    {
        poison("the log cannot be synced", &error);
    }
    let (mut answers, mut landed) = (vec![], vec![]);
    for Round { from, until, parts } in rounds {
        for (to, records) in parts {
            answers.push(send(&inboxes[usize::from(to)], records)?);
        }
        landed.push((from, until));
    }
    for answer in answers {
        answer.blocking_recv().ok()?;
    }
    for (from, until) in landed {
        let mut records = RecordBatch::default();
        records.push(&Arrived { ingest_time: now(), record: Record::Landed(Landed { until }) });
        send(&inboxes[usize::from(from)], records)?;
    }
    Some(())
}

fn send(inbox: &Inbox, records: RecordBatch) -> Option<tokio::sync::oneshot::Receiver<super::Receipt>> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let message = Message {
        records,
        arrived: Instant::now(),
        waited: Duration::ZERO,
        sync: false,
        is_urgent: false,
        claims: vec![],
        reply: Reply(reply),
    };
    inbox.send(message).ok().map(|()| answer)
}

fn tidy(shared: &Shared, forgotten: &mut [u64]) {
    for ((partition, generation), forgotten) in (0..).zip(&shared.over_generations).zip(forgotten) {
        let generation = generation.load(Ordering::Relaxed);
        if generation != std::mem::replace(forgotten, generation) {
            shared.decisions.forget(partition, generation);
        }
    }
}
