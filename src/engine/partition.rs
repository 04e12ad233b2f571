//! One partition: one inbox, one fold. Everything a batch goes through, once per turn; who makes the turns, says [`super::inbox`].

use super::checkpoint::{Walk, Writer};
use super::commit::{Appended, Reply};
use super::contexts::Places;
use super::courier::Round;
use super::decisions::Claim;
use super::learner::HandOver;
use super::load::{Load, Trend, Turn};
use super::mailbox::Sender;
use super::metrics::PartitionMetrics;
use super::pace::Pace;
use super::restore::Restored;
use super::stage::Stage;
use super::{Fold, Place, Receipt, Shared, poison};
use crate::clock::now;
use crate::log::{RecordBatch, decode};
use crossbeam_channel::{Receiver, bounded};
use saccade_topology::decision::Leaving;
use saccade_topology::{Arrived, Offset, Outcome, Record};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::warn;

/// Batches folded in one turn of the loop, and bytes after which no further batch is taken in.
const TURN_BATCHES: usize = 64;
const TURN_BYTES: usize = 256 << 10;
/// Records decoded, and their memory asked for, before the first of them is folded. With 64, of a million sessions, what was asked for
/// first was gone again.
pub(super) const FOLDED_AT_ONCE: usize = 20;
/// Contexts made at once after a restart, and how many times that many may wait to be published.
const RESTORED: usize = 2048;
const RESTORED_AHEAD: usize = 4;
/// Threads that publish them: they mostly wait for memory.
const PUBLISHERS_MAX: usize = 4;
/// Live sessions of one viewer from which on a warning is due, and again with each doubling.
const CROWD: usize = 256;
/// How long what waits may belong elsewhere before it is noticed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A part of a request for one partition.
pub(super) struct Message {
    pub records: RecordBatch,
    pub arrived: Instant,
    /// How long it had waited before it was read.
    pub waited: Duration,
    /// What is learnt from it is to be in a model version at once.
    pub sync: bool,
    /// It waits neither for other batches nor for the time of the next fsync.
    pub is_urgent: bool,
    /// Ids of the decisions among the records; let go once the decisions are published.
    pub claims: Vec<Claim>,
    pub reply: Reply,
}

pub(super) struct Partition {
    shared: Arc<Shared>,
    number: u16,
    fold: Fold,
    next: Offset,
    walk: Walk,
    learner: Option<HandOver>,
    committer: Sender<Vec<Appended>>,
    /// None where there is one partition only.
    courier: Option<crossbeam_channel::Sender<Round>>,
    metrics: PartitionMetrics,
    log_batch: RecordBatch,
    stage: Stage,
    load: Arc<Load>,
    trend: Trend,
    pace: Pace,
    /// The watermark, and when it or an event came last.
    moved: (Option<i64>, Instant),
    last_gauges: Instant,
    /// Sessions of one viewer at the last warning.
    warned: usize,
    /// It was said that the catalogue is full.
    is_full_told: bool,
    /// [`Fold::waited`] as it was looked last whether what begins to wait belongs elsewhere, and when all that waits was looked at.
    looked: (u64, Instant),
}

/// The threads that a partition hands its work on to.
pub(super) struct Onward {
    pub committer: Sender<Vec<Appended>>,
    pub writer: Writer,
    /// None without models.
    pub learner: Option<HandOver>,
    /// None where there is one partition only.
    pub courier: Option<crossbeam_channel::Sender<Round>>,
}

/// What became of a batch: of its events, and of its other records.
#[derive(Clone, Default)]
struct Folded {
    events: Receipt,
    others: Receipt,
}

impl Folded {
    fn receipt(self) -> Receipt {
        let mut receipt = self.events;
        receipt.add(self.others);
        receipt
    }
}

/// How many of the first batches that wait one turn takes.
fn turn_of(waiting: &[Message]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        let fits = bytes < TURN_BYTES;
        bytes += message.records.bytes().len();
        fits
    };
    waiting.iter().take(TURN_BATCHES).take_while(fits).count()
}

impl Partition {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: u16,
        restored: Restored,
        onward: Onward,
        load: Arc<Load>,
    ) -> Partition {
        let Onward { committer, writer, learner, courier } = onward;
        let checkpoint_interval = Duration::from_millis(shared.config.checkpoint.interval.0 as u64);
        let now = Instant::now();
        Partition {
            walk: Walk::new(number, &restored, writer, checkpoint_interval),
            metrics: PartitionMetrics::new(number),
            shared,
            number,
            fold: restored.fold,
            next: restored.next,
            learner,
            committer,
            courier,
            log_batch: RecordBatch::default(),
            stage: Stage::of(number, restored.arrived),
            load,
            trend: Trend::default(),
            pace: Pace::new(now),
            moved: (None, now),
            last_gauges: now - Duration::from_secs(60),
            warned: 0,
            is_full_told: false,
            looked: (0, now),
        }
    }

    /// Shows everything that was shown before the restart: one thread makes contexts, others put them where readers look.
    pub(super) fn publish_restored(&mut self) {
        let (sender, receiver) = bounded::<Stage>(RESTORED_AHEAD);
        let (shared, metrics) = (&self.shared, &self.metrics);
        let publish = |receiver: Receiver<Stage>| {
            receiver.into_iter().fold(Places::default(), |places, mut stage| {
                stage.places = places;
                stage.publish(shared, metrics);
                stage.places
            })
        };
        let publishers = std::thread::available_parallelism().map_or(1, usize::from).min(PUBLISHERS_MAX);
        std::thread::scope(|scope| {
            let publishers = (0..publishers).map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || publish(receiver))
            });
            let publishers: Vec<_> = publishers.collect();
            for places in self.fold.live_places().chunks(RESTORED) {
                let mut stage = Stage::default();
                self.fold.emit_places(places, &mut stage);
                // The publishers take all there are.
                let _ = sender.send(stage);
            }
            drop(sender);
            for publisher in publishers {
                self.stage.places.add(publisher.join().expect("publishing does not panic"));
            }
        });
        self.fold.emit_decisions(&mut self.stage);
        // What had not landed goes out again, or is confirmed.
        self.fold.emit_away(&mut self.stage);
        self.stage.arrived = HashSet::new();
        self.publish();
        // Before anything comes that it would be too late for.
        self.let_go(u64::MAX);
        self.append();
        self.publish();
    }

    fn publish(&mut self) {
        let generation = self.fold.over_generation();
        self.shared.over_generations[usize::from(self.number)].store(generation, Ordering::Relaxed);
        self.stage.decisions.publish(self.number, generation, &self.shared.decisions);
        self.stage.publish(&self.shared, &self.metrics);
        self.send_away();
    }

    /// After which time there is something to do without a batch.
    pub(super) fn wait(&self) -> Duration {
        // While a checkpoint has slices to hand out, the loop only looks in between them.
        let wait = if self.walk.is_due() { Duration::from_millis(1) } else { Duration::from_millis(20) };
        let learner = self.learner.as_ref().and_then(|learner| learner.wait(&self.fold));
        learner.map_or(wait, |learner| wait.min(learner))
    }

    fn hand_over(&mut self, now: bool) {
        if let Some(learner) = &mut self.learner {
            learner.step(&self.fold, self.next, now);
        }
    }

    /// Turns take much of the time.
    pub(super) fn is_busy(&self) -> bool {
        self.pace.is_busy()
    }

    /// How long to let batches come together first.
    pub(super) fn rest(&self) -> Duration {
        self.pace.rest(Instant::now())
    }

    /// Fold, append, publish, hand over to the committer: once for the first of these batches, as many as one turn takes.
    pub(super) fn turn(&mut self, waiting: &mut Vec<Message>) {
        let (begun, batches) = (Instant::now(), turn_of(waiting));
        self.look_again();
        let folded = self.fold(&waiting[..batches]);
        let mut appended = Vec::with_capacity(batches);
        let mut arrivals = Vec::with_capacity(batches);
        let (mut records, mut events, mut sync, mut claims, mut is_urgent) = (0, 0, false, vec![], false);
        let mut waited = Duration::ZERO;
        for (message, folded) in waiting.drain(..batches).zip(folded) {
            records += message.records.count();
            waited = waited.max(message.waited);
            is_urgent |= message.is_urgent;
            claims.extend(message.claims);
            arrivals.push((message.arrived, folded.events.accepted));
            events += folded.events.accepted + folded.events.late;
            sync |= message.sync;
            appended.push(Appended { receipt: folded.receipt(), reply: message.reply });
        }
        self.append();
        self.publish();
        drop(claims);
        self.hand_over(sync);
        for (arrived, accepted) in arrivals {
            self.shared.latency.record(arrived.elapsed(), accepted);
        }
        let _ = self.committer.send(appended);
        if is_urgent {
            self.committer.urge();
        }
        self.walk.step(&mut self.fold, self.next);
        self.gauges();
        let now = Instant::now();
        self.note_time(now, events);
        self.load.turned(&mut self.trend, Turn { batches, records, took: now - begun, waited }, now);
        self.pace.turned(begun, now);
    }

    /// What became of the records of each batch. Some are decoded and asked for at once, whatever batches they are of. Where they refresh very
    /// many contexts, the records so far are appended and their contexts shown.
    fn fold(&mut self, batches: &[Message]) -> Vec<Folded> {
        let mut folded = vec![Folded::default(); batches.len()];
        let mut records = batches.iter().enumerate().flat_map(|(batch, message)| {
            let records = RecordBatch::records(message.records.bytes());
            records.map(move |bytes| (batch, bytes.expect("the batch was encoded in this process")))
        });
        let mut encoded = Vec::with_capacity(FOLDED_AT_ONCE);
        loop {
            encoded.clear();
            encoded.extend(records.by_ref().take(FOLDED_AT_ONCE));
            if encoded.is_empty() {
                break;
            }
            let decoded = encoded.iter().map(|(_, bytes)| decode(bytes).expect("it was encoded in this process"));
            let decoded: Vec<Arrived<'_>> = decoded.collect();
            self.fold.warm(&decoded);
            for (nth, ((batch, bytes), arrived)) in encoded.iter().zip(&decoded).enumerate() {
                self.fold_record(nth, bytes, arrived, &mut folded[*batch]);
                if self.stage.is_full() {
                    self.append();
                    self.publish();
                }
            }
        }
        let mut events = Receipt::default();
        folded.iter().for_each(|batch| events.add(batch.events));
        self.metrics.accepted.increment(events.accepted);
        self.metrics.duplicate.increment(events.duplicates);
        self.metrics.late.increment(events.late);
        self.metrics.rejected.increment(events.rejected);
        folded
    }

    /// Folds the `nth` of those that were asked for, and takes it into the log where it is not set aside.
    fn fold_record(&mut self, nth: usize, bytes: &[u8], arrived: &Arrived<'_>, folded: &mut Folded) {
        let is_event = matches!(arrived.record, Record::Event(_));
        let receipt = if is_event { &mut folded.events } else { &mut folded.others };
        let outcome = self.fold.apply_warmed(nth, self.next, arrived, &mut self.stage);
        receipt.rewarded = self.stage.rewarded.take().or(receipt.rewarded);
        match outcome {
            Outcome::Accepted | Outcome::Ticked => receipt.accepted += 1,
            Outcome::Late(_) => receipt.late += 1,
            Outcome::Duplicate => {
                receipt.duplicates += 1;
                match arrived.record {
                    Record::Decision(_) => self.metrics.told_again[0].increment(1),
                    Record::Reward(_) => self.metrics.told_again[1].increment(1),
                    _ => {}
                }
                return;
            }
            Outcome::Refused if matches!(arrived.record, Record::Item(_)) => {
                receipt.no_room += 1;
                if !std::mem::replace(&mut self.is_full_told, true) {
                    warn!(
                        "the catalogue is full: it has a million items, or 1 GiB of them; further ones are rejected as catalogue_full"
                    );
                }
                return;
            }
            Outcome::Rejected(_) | Outcome::Refused => {
                receipt.rejected += 1;
                return;
            }
        }
        receipt.last = Some(Place { partition: self.number, offset: self.next.0 });
        self.log_batch.push_encoded(bytes);
        self.next.0 += 1;
        if self.fold.waited() != self.looked.0 {
            self.let_go(self.fold.waited() - self.looked.0);
        }
    }

    /// What waits may wait for a decision that came to another partition meanwhile.
    fn look_again(&mut self) {
        if self.looked.1.elapsed() >= LOOK_INTERVAL && self.fold.open_decisions().1 > 0 {
            self.looked.1 = Instant::now();
            self.let_go(u64::MAX);
        }
    }

    /// The newest of what waits leaves, where it waits for a decision of another partition.
    fn let_go(&mut self, newest: u64) {
        self.looked.0 = self.fold.waited();
        if self.courier.is_none() {
            return;
        }
        let elsewhere = |key| self.shared.decisions.place(key).filter(|to| *to != self.number);
        for (decision, to) in self.fold.awaited(newest, &elsewhere) {
            let record = Record::Leaving(Leaving { decision: &decision, to });
            let arrived = Arrived { ingest_time: now(), record };
            if self.fold.apply(self.next, &arrived, &mut self.stage) != Outcome::Accepted {
                // No more may be on its way.
                break;
            }
            self.log_batch.push(&arrived);
            self.next.0 += 1;
        }
    }

    fn send_away(&mut self) {
        if let (Some(round), Some(courier)) = (self.stage.take_left(), &self.courier) {
            // A courier that is gone has nothing more to carry before the next start.
            let _ = courier.send(round);
        }
    }

    /// Appends the records that were taken into the log since the last time: they end before the next offset.
    fn append(&mut self) {
        let count = self.log_batch.count();
        if count == 0 {
            return;
        }
        let (begin, first) = (Instant::now(), Offset(self.next.0 - count));
        if let Err(error) = self.shared.log.append(self.number, first, &self.log_batch) {
            poison("the log cannot be written", &error);
        }
        self.metrics.append.record(begin.elapsed());
        self.log_batch.clear();
    }

    /// Nothing arrived: time passes for sessions too, and checkpoints go on.
    pub(super) fn idle(&mut self) {
        let idle_timeout = Duration::from_millis(self.shared.config.time.idle_timeout.0 as u64);
        if self.moved.1.elapsed() >= idle_timeout && (self.fold.live().0 > 0 || self.fold.open_decisions() != (0, 0)) {
            self.tick();
        }
        self.look_again();
        if self.log_batch.count() > 0 {
            self.append();
            self.publish();
        }
        self.hand_over(false);
        self.walk.step(&mut self.fold, self.next);
        self.gauges();
    }

    fn tick(&mut self) {
        let arrived = Arrived { ingest_time: now(), record: Record::Tick };
        self.log_batch.push(&arrived);
        self.fold.apply(self.next, &arrived, &mut self.stage);
        self.next.0 += 1;
        self.append();
        self.publish();
        self.moved = (self.fold.watermark(), Instant::now());
    }

    /// Whether time may stand still: what was seen before, or is told of a decision, brings none. Late events do: their source is behind, and
    /// would be so for good if time went on without it.
    fn note_time(&mut self, now: Instant, events: u64) {
        let watermark = self.fold.watermark();
        if events > 0 || watermark != self.moved.0 {
            self.moved = (watermark, now);
        }
    }

    fn gauges(&mut self) {
        if self.last_gauges.elapsed() < Duration::from_millis(250) {
            return;
        }
        self.last_gauges = Instant::now();
        let (sessions, viewers) = self.fold.live();
        self.metrics.sessions.set(sessions as f64);
        self.metrics.viewers.set(viewers as f64);
        self.metrics.state_bytes.set(self.fold.state_bytes() as f64);
        self.metrics.queue.set(self.load.batches() as f64);
        self.metrics.offset.set(self.next.0 as f64);
        self.note_crowd();
        self.metrics.profile_late.absolute(self.fold.late_for_profile());
        if let Some(watermark) = self.fold.watermark() {
            self.metrics.watermark_lag.set((now().0 - watermark) as f64 / 1000.0);
        }
    }

    /// A viewer with so many sessions is hardly one person, and costs as much as all of them with each event.
    fn note_crowd(&mut self) {
        let (sessions, viewer) = self.fold.crowd();
        self.metrics.crowd.set(sessions as f64);
        if sessions >= CROWD.max(2 * self.warned) {
            self.warned = sessions;
            warn!(
                viewer,
                sessions,
                "each event of a viewer refreshes all of their live sessions; an id that stands for nobody belongs into ingest.nobody"
            );
        }
    }

    /// A proper stop: everything durable, a last checkpoint, and no offsets skipped by the next start.
    pub(super) fn finish(mut self) {
        if let Err(error) = self.shared.log.sync() {
            poison("the log cannot be synced", &error);
        }
        self.walk.finish(&mut self.fold, self.next);
        if let Err(error) = self.shared.log.reserve(self.number, self.next) {
            poison("the end of the log cannot be noted", &error);
        }
    }
}
