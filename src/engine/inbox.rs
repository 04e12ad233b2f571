//! Where batches wait for their partition, and who folds them: one thread at a time.
//!
//! A partition has a thread, which takes all that waits at once. While it has time, whoever sends a small batch makes the turn: nobody is
//! woken for it, and those who follow its contexts are told by a thread that is awake. Once the turns take much of the time, all is left to
//! the partition's thread, beside which requests are read.

use super::Shared;
use super::load::Load;
use super::mailbox::{Receiver, Sender, mailbox};
use super::partition::{Message, Onward, Partition};
use super::restore::Restored;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records of a batch that its sender folds: a thread that serves others too is not held up by more.
const SMALL: u64 = 64;

/// Where batches wait for their partition. Soft limit: requests that look at the same time may all still come in.
#[derive(Clone)]
pub(super) struct Inbox {
    sender: Sender<Message>,
    load: Arc<Load>,
    seat: Arc<Seat>,
}

/// The place at the partition, for one thread at a time; empty before it is ready and after its end.
type Seat = Mutex<Option<Seated>>;

struct Seated {
    partition: Partition,
    /// When its thread looks after it next, whether or not a batch comes.
    looks_at: Instant,
}

impl Inbox {
    /// For a batch that has waited for so long before it was read.
    pub(super) fn is_full(&self, waited: Duration) -> bool {
        self.load.is_full(waited)
    }

    pub(super) fn send(&self, message: Message) -> Result<(), ()> {
        self.load.sent(message.records.count());
        let Some(message) = self.fold_here(message) else { return Ok(()) };
        let is_urgent = message.is_urgent;
        self.sender.send(message).map_err(drop)?;
        if is_urgent {
            self.sender.urge();
        }
        Ok(())
    }

    /// Makes the turn of a small batch, where the partition has time and nobody is at it; else gives the batch back.
    fn fold_here(&self, message: Message) -> Option<Message> {
        if message.records.count() > SMALL {
            return Some(message);
        }
        let Ok(mut seat) = self.seat.try_lock() else { return Some(message) };
        let Some(seated) = seat.as_mut() else { return Some(message) };
        // What waits came before it.
        if seated.partition.is_busy() || !self.sender.is_empty() {
            return Some(message);
        }
        seated.partition.turn(&mut vec![message]);
        let wanted_at = Instant::now() + seated.partition.wait();
        if wanted_at < seated.looks_at {
            seated.looks_at = wanted_at;
            self.sender.call();
        }
        None
    }

    pub(super) fn stop(&self) {
        self.sender.close();
    }
}

/// Starts the thread of a partition; returns when everything that was published before the restart is there again.
pub(super) fn spawn(shared: Arc<Shared>, number: u16, restored: Restored, onward: Onward) -> (Inbox, JoinHandle<()>) {
    let (sender, receiver) = mailbox();
    let (published, waiting) = std::sync::mpsc::sync_channel(1);
    let wait_max = Duration::from_millis(shared.config.ingest.queue_wait_max.0 as u64);
    let load = Arc::new(Load::new(shared.config.ingest.queue_max, wait_max));
    let inbox = Inbox { sender, load: Arc::clone(&load), seat: Arc::default() };
    let seat = Arc::clone(&inbox.seat);
    let run = move || {
        let mut partition = Partition::new(shared, number, restored, onward, load);
        partition.publish_restored();
        let _ = published.send(());
        attend(partition, &seat, &receiver);
    };
    let thread = std::thread::Builder::new().name(format!("partition-{number}"));
    let thread = thread.spawn(run).expect("the system starts a thread");
    let _ = waiting.recv();
    (inbox, thread)
}

/// Looks after a partition until no batch can come any more.
fn attend(partition: Partition, seat: &Seat, receiver: &Receiver<Message>) {
    let lock = || seat.lock().expect("a partition whose turn has panicked is no longer attended to");
    *lock() = Some(Seated { partition, looks_at: Instant::now() });
    let (mut waiting, mut wait) = (vec![], Duration::ZERO);
    let last = loop {
        receiver.wait(wait);
        let mut seat = lock();
        let Seated { partition, looks_at } = seat.as_mut().expect("nobody else takes it away");
        if !receiver.take(&mut waiting) {
            break seat.take();
        }
        if waiting.is_empty() {
            partition.idle();
        }
        let rest = partition.rest();
        if !waiting.is_empty() && !rest.is_zero() {
            receiver.rest(rest);
            receiver.take(&mut waiting);
        }
        while !waiting.is_empty() {
            partition.turn(&mut waiting);
        }
        wait = partition.wait();
        *looks_at = Instant::now() + wait;
    };
    last.expect("nobody else takes it away").partition.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::config::{Config, Durability};
    use crate::engine::{Batch, ContextKind, Engine, Sent};
    use saccade_topology::{Event, EventTime};

    fn engine(directory: &tempfile::TempDir) -> Engine {
        let mut config = Config::default();
        config.log.durability = Durability::Buffered;
        config.ingest.queue_max = 100_000;
        Engine::open(&config, directory.path()).expect("an engine opens in an empty directory")
    }

    fn send(engine: &Engine, session: &str, first: u64, events: u64) -> Sent {
        let mut batch = Batch::new(engine, now());
        for nth in first..first + events {
            let id = format!("{session}-{nth}");
            batch.push(&Event { session: Some(session), ..Event::new(&id, "play", EventTime(now().0)) });
        }
        engine.send(batch).expect("there is room")
    }

    #[test]
    fn a_partition_with_time_has_a_small_batch_folded_when_it_is_sent() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = engine(&directory);
        // Its thread looks after it every now and then, and may be at it just now.
        let at_once = (0..100).filter(|nth| {
            std::thread::sleep(Duration::from_millis(2));
            let session = format!("s{nth}");
            let sent = send(&engine, &session, 0, 1);
            let is_there = engine.contexts().get(ContextKind::Session, &session).is_some();
            drop(sent);
            is_there
        });
        assert!(at_once.count() > 30);
    }

    #[test]
    fn a_batch_that_refreshes_very_many_contexts_is_shown_in_parts() {
        // Each event of the second batch refreshes all of the viewer's sessions.
        const SESSIONS: u64 = 400;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = engine(&directory);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let send = |first: u64| {
            let mut batch = Batch::new(&engine, now());
            for nth in first..first + SESSIONS {
                let (id, session) = (format!("e{nth}"), format!("s{}", nth % SESSIONS));
                let event = Event::new(&id, "play", EventTime(now().0));
                batch.push(&Event { session: Some(&session), viewer: Some("crowd"), ..event });
            }
            let mut sent = engine.send(batch).expect("there is room");
            runtime.block_on(sent.answer()).expect("it is answered")
        };
        send(0);
        let receipt = send(SESSIONS);
        assert_eq!(receipt.accepted, SESSIONS);
        let last = receipt.last.expect("a place").offset;
        let shown = |engine: &Engine| {
            let context = |nth| engine.contexts().get(ContextKind::Session, &format!("s{nth}"));
            (0..SESSIONS).map(|nth| context(nth).map(|c| (c.version, c.vector))).collect::<Option<Vec<_>>>()
        };
        let before = shown(&engine).expect("all are there");
        assert!(before.iter().all(|(version, _)| *version == last));
        engine.stop();
        drop(engine);
        // From the log alone.
        std::fs::remove_dir_all(directory.path().join("checkpoints")).expect("it was written at the stop");
        assert!(shown(&self::engine(&directory)) == Some(before));
    }

    #[test]
    fn whoever_folds_them_all_batches_are_answered_and_those_of_a_sender_keep_their_order() {
        const SENDERS: u64 = 4;
        const BATCHES: u64 = 80;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = engine(&directory);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let sending = |sender: u64| {
            let (session, mut first) = (format!("s{sender}"), 0);
            // Every seventh is too large to be folded by its sender.
            let sizes = (0..BATCHES).map(|nth| if nth % 7 == 0 { SMALL + 1 } else { 1 + nth % 3 });
            let sent = sizes.map(|size| {
                first += size;
                (size, send(&engine, &session, first - size, size))
            });
            sent.collect::<Vec<_>>()
        };
        let sent: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || sending(sender))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it sends all")).collect()
        });
        let (mut taken, mut end) = (0, None);
        for sent in sent {
            let mut last = None;
            for (size, mut sent) in sent {
                let receipt = runtime.block_on(sent.answer()).expect("it is answered");
                assert_eq!((receipt.accepted, receipt.duplicates), (size, 0));
                let place = receipt.last.map(|place| place.offset);
                assert!(place > last, "{place:?} after {last:?}");
                (last, taken) = (place, taken + size);
            }
            end = end.max(last);
        }
        assert_eq!(end, Some(taken - 1));
    }
}
