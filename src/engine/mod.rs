//! The running loop: batches in, one thread at a time at each partition, contexts out.
//!
//! `Engine::submit` is the only way in and [`Contexts`] the only way out. Between them, in this order:
//! inbox → fold → log → publish → fsync → answer. A partition's state belongs to the thread that makes its turn; contexts are published once
//! their records are with the operating system, and answered once they are as durable as configured.

mod batch;
mod checkpoint;
mod commit;
mod contexts;
mod courier;
mod decisions;
#[cfg(test)]
mod frozen;
mod inbox;
mod latency;
mod learner;
mod load;
mod mailbox;
mod metrics;
mod pace;
mod partition;
mod restore;
mod specs;
mod stage;
mod store;
mod watch;

pub use batch::{Batch, Place, Receipt, partition_of, partition_of_decision, partition_of_key};
pub use contexts::{Context, ContextKind, Contexts, Places};
pub use decisions::{Decisions, OpenDecision};
pub use latency::Latency;
use restore::restore_or_rebuild;
pub(crate) use restore::{Back, Restored, check_kept, check_reached, decode_or_damaged, put_back, restore};
pub use specs::ChangeError;
pub(crate) use specs::{Configured, check_specs, propose_configured};
#[cfg(test)]
pub(crate) use store::edit;
pub(crate) use store::{Begun, Stored};
pub use store::{Store, StoreError};
pub use watch::RewardFiles;

use crate::config::{Config, Durability};
use crate::log::{EmbeddedLog, Log, LogError, RecordBatch};
use crate::wire::Layout;
use commit::Reply;
use inbox::Inbox;
use learner::Versions;
use partition::{Message, Onward};
use saccade_topology::model::{ModelVersion, Registry};
use saccade_topology::{Event, IngestTime, Plan, PlanError, Topology, decision_key};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Why a batch was not taken; nothing of it was, or the process is ending.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The partition's queue is full: 429, Retry-After.
    #[error("the queue of a partition is full; try again in a moment")]
    Overloaded,
    /// The disk is nearly full: 507.
    #[error("the disk has {free} bytes free, less than log.disk_reserve_bytes")]
    DiskFull {
        /// Bytes free.
        free: u64,
    },
    /// The process is stopping: 503.
    #[error("the server is stopping")]
    Stopping,
}

/// Why the loop could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The features cannot be compiled.
    #[error("configuration: {0}")]
    Plan(#[from] PlanError),
    /// The log cannot be opened or read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state can be rebuilt from neither.
    #[error(
        "partition {partition}: {why}, and the log begins at offset {first}: what came before was dropped by retention. Start with the configuration and the program that it was written by or, to go on with what is kept, once with `serve --rebuild`"
    )]
    Trimmed {
        /// Partition.
        partition: u16,
        /// Why there is no checkpoint to begin with.
        why: String,
        /// First offset kept.
        first: u64,
    },
    /// Records are missing behind the checkpoint.
    #[error(
        "partition {partition}: the checkpoint needs the log from offset {checkpoint} on, and the log begins at {kept_from}: the records in between are gone. Put back the log that belongs to it or, to go on with what is kept, start once with `serve --rebuild`"
    )]
    Gap {
        /// Partition.
        partition: u16,
        /// Where catching up would begin, or the first record that is pending on a row.
        checkpoint: u64,
        /// From where on the log has all records.
        kept_from: u64,
    },
    /// There are checkpoints and no log.
    #[error(
        "{path} has checkpoints and no log, which is the only truth: put the log back (is its disk mounted?), or move `checkpoints` away to begin with nothing"
    )]
    NoLog {
        /// The data directory.
        path: PathBuf,
    },
    /// Records are missing at the end of the log.
    #[error(
        "partition {partition}: the checkpoint knows of records before offset {checkpoint}, and the log ends before: records that were acknowledged are gone. Put back the log that belongs to it. To go on without them, export the log and import it into a new data directory"
    )]
    Short {
        /// Partition.
        partition: u16,
        /// It contains nothing from here on.
        checkpoint: u64,
    },
    /// The reward spec of the configuration cannot run.
    #[error("configuration: `reward` of model \"{model}\": {why}")]
    Reward {
        /// Name of the model.
        model: String,
        /// Why not.
        why: String,
    },
    /// The checkpoint store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the threads of the loop share.
pub(crate) struct Shared {
    pub config: Config,
    pub plan: Arc<Plan>,
    pub log: Arc<dyn Log>,
    pub contexts: Contexts,
    pub decisions: Decisions,
    /// By partition: the generation that decisions which end now are remembered in.
    pub over_generations: Vec<AtomicU64>,
    /// None without models.
    pub versions: Option<Arc<Versions>>,
    pub latency: Latency,
    pub stopping: AtomicBool,
    pub disk_free: AtomicU64,
}

impl Shared {
    /// An error where the disk is so full that nothing is taken in any more.
    fn check_disk(&self) -> Result<(), SubmitError> {
        let free = self.disk_free.load(Ordering::Relaxed);
        if free < self.config.log.disk_reserve_bytes { Err(SubmitError::DiskFull { free }) } else { Ok(()) }
    }
}

/// A batch that was taken, and those who will answer.
pub struct Sent {
    waiting: VecDeque<tokio::sync::oneshot::Receiver<Receipt>>,
    total: Receipt,
}

impl Sent {
    /// What became of it, when it is published and as durable as configured. May be given up and asked for again.
    pub async fn answer(&mut self) -> Result<Receipt, SubmitError> {
        while let Some(answer) = self.waiting.front_mut() {
            self.total.add(answer.await.map_err(|_| SubmitError::Stopping)?);
            self.waiting.pop_front();
        }
        Ok(self.total)
    }
}

/// The running loop.
pub struct Engine {
    shared: Arc<Shared>,
    inboxes: Vec<Inbox>,
    /// The reward specs as they are once all is folded that was sent. Held while a change is on its way: see [`Engine::change`].
    registry: tokio::sync::Mutex<Registry>,
    threads: std::sync::Mutex<Vec<std::thread::JoinHandle<()>>>,
    layout: Layout,
    data: std::path::PathBuf,
}

impl Engine {
    /// Opens or makes the data directory, restores the checkpoint, replays the log and starts the partitions. Progress is
    /// reported through `tracing`.
    pub fn open(config: &Config, data: &Path) -> Result<Engine, EngineError> {
        let plan = Arc::new(Plan::compile(&config.spec())?);
        if !EmbeddedLog::exists(data) && Store::exists(data) && Store::open(data)?.has(0)? {
            return Err(EngineError::NoLog { path: data.to_path_buf() });
        }
        let log = EmbeddedLog::open(data, &config.log, Some(config.log.partitions))?;
        let store = Arc::new(Store::open(data)?);
        Engine::start(config, data, plan, Arc::new(log), store)
    }

    fn start(
        config: &Config,
        data: &Path,
        plan: Arc<Plan>,
        log: Arc<dyn Log>,
        store: Arc<Store>,
    ) -> Result<Engine, EngineError> {
        metrics::describe();
        let mut restored = restore_or_rebuild(&plan, &*log, &store, 0..log.partitions(), config.rebuild)?;
        specs::complete(&plan, &*log, &mut restored)?;
        specs::ensure(&plan, &*log, &mut restored)?;
        // A start that is refused leaves them where they are.
        for (partition, _) in (0..).zip(&restored).filter(|(_, restored)| restored.is_anew) {
            store.set_aside(partition)?;
        }
        let registry = restored.first().map(|first| first.fold.registry().clone()).unwrap_or_default();
        let interval = Duration::from_millis(config.learner.cut_interval.0.unsigned_abs());
        let folds = restored.iter().map(|restored| (&restored.fold, restored.next)).collect();
        let learner = learner::spawn(&plan, folds, interval);
        let versions = learner.as_ref().map(|learner| Arc::clone(&learner.versions));
        let (hand_overs, learner_thread) = learner.map_or((vec![], None), |l| (l.hand_overs, Some(l.thread)));
        let mut hand_overs = hand_overs.into_iter();
        let shared = Arc::new(Shared {
            config: config.clone(),
            decisions: Decisions::new(log.partitions()),
            over_generations: restored.iter().map(|r| AtomicU64::new(r.fold.over_generation())).collect(),
            versions,
            contexts: Contexts::new(config.publish.stream_buffer, plan.slots().len(), plan.profile_slots()),
            latency: Latency::default(),
            stopping: AtomicBool::new(false),
            disk_free: AtomicU64::new(u64::MAX),
            plan: Arc::clone(&plan),
            log: Arc::clone(&log),
        });
        commit::tell_of_disk(&shared, crate::log::free_bytes(data));
        let (committer, commit_thread) = commit::spawn(Arc::clone(&shared), data.to_path_buf());
        let (writer, writer_thread) = checkpoint::spawn(Arc::clone(&shared), store, &restored);
        for (partition, restored) in (0..).zip(&restored) {
            shared.decisions.restored(partition, &restored.fold);
        }
        let (courier, rounds) = crossbeam_channel::unbounded();
        let courier = (restored.len() > 1).then_some(courier);
        let mut threads = vec![];
        let mut inboxes: Vec<Inbox> = vec![];
        for (partition, restored) in (0..).zip(restored) {
            let (committer, writer) = (committer.clone(), writer.clone());
            let onward = Onward { committer, writer, learner: hand_overs.next(), courier: courier.clone() };
            let (inbox, thread) = inbox::spawn(Arc::clone(&shared), partition, restored, onward);
            inboxes.push(inbox);
            threads.push(thread);
        }
        if courier.is_some() {
            threads.push(courier::spawn(Arc::clone(&shared), rounds, inboxes.clone()));
        }
        drop(courier);
        threads.extend([commit_thread, writer_thread]);
        threads.extend(learner_thread);
        let (registry, threads) = (tokio::sync::Mutex::new(registry), std::sync::Mutex::new(threads));
        Ok(Engine { shared, inboxes, registry, threads, layout: Layout::of(&plan), data: data.to_path_buf() })
    }

    /// Takes a batch; returns when it is published and as durable as configured.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
        self.send(batch)?.answer().await
    }

    /// Takes a batch: from here on it counts, whether or not somebody waits for its answer.
    pub fn send(&self, batch: Batch) -> Result<Sent, SubmitError> {
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(SubmitError::Stopping);
        }
        self.shared.check_disk()?;
        // Nothing may be taken by one partition and refused by another: places in all inboxes come first.
        let mut claims = batch.claims;
        let parts: Vec<(usize, RecordBatch)> =
            batch.parts.into_iter().enumerate().filter(|(_, p)| p.count() > 0).collect();
        if parts.iter().any(|(i, _)| self.inboxes[*i].is_full(batch.waited)) {
            return Err(SubmitError::Overloaded);
        }
        let mut sent = Sent { waiting: VecDeque::with_capacity(parts.len()), total: Receipt::default() };
        for (i, records) in parts {
            let (reply, answer) = tokio::sync::oneshot::channel::<Receipt>();
            let claims = claims.extract_if(.., |(place, _)| *place == i).map(|(_, claim)| claim).collect();
            let Batch { arrived, waited, sync, is_urgent, .. } = batch;
            let message = Message { records, arrived, waited, sync, is_urgent, claims, reply: Reply(reply) };
            self.inboxes[i].send(message).map_err(|_| SubmitError::Stopping)?;
            sent.waiting.push_back(answer);
        }
        Ok(sent)
    }

    /// No partition takes anything now that has waited for so long.
    pub fn is_overloaded(&self, waited: Duration) -> bool {
        self.inboxes.iter().all(|inbox| inbox.is_full(waited))
    }

    /// What the fold would refuse for its time: `Err` is the rule that was broken, with the value.
    pub fn admit(&self, event: &Event<'_>, ingest_time: IngestTime) -> Result<(), String> {
        saccade_topology::admit(&self.shared.config.time, event, ingest_time).map_err(|future| future.to_string())
    }

    /// Published contexts.
    pub fn contexts(&self) -> &Contexts {
        &self.shared.contexts
    }

    /// Decisions that are not over.
    pub fn decisions(&self) -> &Decisions {
        &self.shared.decisions
    }

    /// The latest version of a model; none where there is no such model.
    pub fn version(&self, model: &str) -> Option<Arc<ModelVersion>> {
        Some(self.shared.versions.as_ref()?.get(self.shared.plan.model(model)?))
    }

    /// The latest version of each model, in the plan's order.
    pub fn versions(&self) -> Vec<Arc<ModelVersion>> {
        self.shared.versions.iter().flat_map(|versions| versions.iter()).collect()
    }

    /// The partition that what is told of a decision belongs to: where it is, open or over; else, where it waits for a decision that is
    /// yet to come, by hash of the id.
    pub fn partition_of_decision(&self, id: &str) -> usize {
        let place = self.shared.decisions.place(decision_key(id)).map(usize::from);
        place.unwrap_or_else(|| partition_of_key(id, self.inboxes.len()))
    }

    /// Returns once the model versions cover a record that was sent [`Batch::at_once`].
    pub async fn learnt(&self, place: Place) {
        let Some(versions) = &self.shared.versions else { return };
        let covers = |covers: &Vec<u64>| covers.get(usize::from(place.partition)).is_none_or(|c| *c > place.offset);
        // An error is a learner that is gone: the process is stopping.
        let _ = versions.covers().wait_for(covers).await;
    }

    /// Arrival → published, so far.
    pub fn latency(&self) -> &Latency {
        &self.shared.latency
    }

    /// False once it is told to stop.
    pub fn ready(&self) -> bool {
        !self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Why nothing is taken in now, where the disk is too full for it. What is known is served all the same.
    pub fn check_disk(&self) -> Result<(), SubmitError> {
        self.shared.check_disk()
    }

    /// The layout of the vector: the body of `GET /v1/schema`.
    pub fn schema(&self) -> serde_json::Value {
        crate::engine::schema(&self.shared.plan)
    }

    /// Names of the vector's slots, and of their layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All metrics as Prometheus text.
    pub fn metrics(&self) -> String {
        self.shared.latency.export();
        for version in self.versions() {
            metrics::export_model(&version);
        }
        if let Some(version) = self.versions().first() {
            metrics::export_rewards(version);
        }
        let mut text = crate::telemetry::render();
        self.shared.latency.write(&mut text);
        text
    }

    /// The log, to be read beside the loop.
    pub fn log(&self) -> &dyn Log {
        &*self.shared.log
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.shared.plan
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Takes no more batches, answers those it has, writes a last checkpoint and ends the threads.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for inbox in &self.inboxes {
            inbox.stop();
        }
        let threads = self.threads.lock().map(|mut t| std::mem::take(&mut *t)).unwrap_or_default();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The layout of a plan's vector: the body of `GET /v1/schema`.
pub fn schema(plan: &Plan) -> serde_json::Value {
    let slots: Vec<serde_json::Value> = plan
        .slots()
        .iter()
        .enumerate()
        .map(|(index, slot)| {
            let mut value = serde_json::to_value(slot).expect("a slot is plain data");
            value["index"] = index.into();
            value
        })
        .collect();
    serde_json::json!({ "schema_version": plan.schema_version(), "size": slots.len(), "slots": slots })
}

/// Ends the process: state in memory is no longer what the log says, or the log can no longer be written. Restart and replay
/// is the only recovery.
pub(crate) fn poison(what: &str, error: &dyn std::error::Error) -> ! {
    tracing::error!(error = %error, "{what}; stopping: what was acknowledged is in the log, a restart replays it");
    // A test removes its data directory while the threads of its engine may still run: only they end then.
    if cfg!(test) {
        panic!("{what}: {error}");
    }
    std::process::exit(1)
}

/// The fold of a partition.
pub(crate) type Fold = Topology;

/// True where an acknowledgment waits for the disk.
pub(crate) fn waits_for_disk(config: &Config) -> bool {
    config.log.durability == Durability::Fsync
}
