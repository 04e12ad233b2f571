//! The learner: one thread that cuts model versions from what the partitions learnt, and publishes them.
//!
//! A partition hands over a cheap copy when something changed, the copy before is worked off and `learner.cut_interval` has passed;
//! at once where somebody waits for it. Versions are a function of the copies (`Cutter`): when they come does not matter.

use super::mailbox::{Receiver, Sender, mailbox};
use super::{Fold, metrics};
use arc_swap::ArcSwap;
use saccade_topology::model::{Cutter, Learnt, ModelVersion};
use saccade_topology::{Offset, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The latest version of each model.
pub(crate) struct Versions {
    models: Vec<ArcSwap<ModelVersion>>,
    covers: watch::Sender<Vec<u64>>,
}

impl Versions {
    /// The latest version of the model at this place of the plan.
    pub fn get(&self, model: usize) -> Arc<ModelVersion> {
        self.models[model].load_full()
    }

    pub fn iter(&self) -> impl Iterator<Item = Arc<ModelVersion>> {
        self.models.iter().map(ArcSwap::load_full)
    }

    /// Changes with each cut: offsets per partition before which the log is learnt.
    pub fn covers(&self) -> watch::Receiver<Vec<u64>> {
        self.covers.subscribe()
    }

    /// Gives the versions before.
    fn publish(&self, versions: Vec<Arc<ModelVersion>>) -> Vec<Arc<ModelVersion>> {
        let covers = versions.first().map(|version| version.covers.clone()).unwrap_or_default();
        let before = self.models.iter().zip(versions).map(|(current, version)| current.swap(version)).collect();
        self.covers.send_replace(covers);
        before
    }
}

/// The partition's side.
pub(super) struct HandOver {
    sender: Sender<(u16, Learnt)>,
    partition: u16,
    /// The learner has a copy that it has not worked off.
    busy: Arc<AtomicBool>,
    interval: Duration,
    last: Instant,
    /// Of what was handed over last.
    revision: u64,
}

impl HandOver {
    /// How long the partition may wait for batches; none where nothing is to be handed over.
    pub(super) fn wait(&self, fold: &Fold) -> Option<Duration> {
        (fold.learnt_revision() != self.revision).then_some(self.interval)
    }

    /// Hands over what was learnt where it is time, or `now`.
    pub(super) fn step(&mut self, fold: &Fold, next: Offset, now: bool) {
        let is_time =
            || self.wait(fold).is_some() && self.last.elapsed() >= self.interval && !self.busy.load(Ordering::Acquire);
        if !now && !is_time() {
            return;
        }
        self.revision = fold.learnt_revision();
        self.last = Instant::now();
        self.busy.store(true, Ordering::Release);
        // The learner ends after the partitions.
        let _ = self.sender.send((self.partition, fold.learnt(next)));
    }
}

/// The running learner.
pub(super) struct Learner {
    pub versions: Arc<Versions>,
    /// One per partition.
    pub hand_overs: Vec<HandOver>,
    pub thread: JoinHandle<()>,
}

/// Cuts the first versions and starts the thread; none without models.
pub(super) fn spawn(plan: &Arc<Plan>, restored: Vec<(&Fold, Offset)>, interval: Duration) -> Option<Learner> {
    if plan.models().is_empty() {
        return None;
    }
    let (sender, receiver) = mailbox();
    let hand_over = |(partition, (fold, _)): (u16, &(&Fold, Offset))| HandOver {
        sender: sender.clone(),
        partition,
        busy: Arc::default(),
        interval,
        last: Instant::now(),
        revision: fold.learnt_revision(),
    };
    let hand_overs: Vec<HandOver> = (0..).zip(&restored).map(hand_over).collect();
    drop(sender);
    let mut cutter = Cutter::new(plan, restored.iter().map(|(fold, next)| fold.learnt(*next)).collect());
    let first = cutter.cut();
    let covers = watch::Sender::new(first.first().map(|version| version.covers.clone()).unwrap_or_default());
    let models = first.into_iter().map(ArcSwap::new).collect();
    let versions = Arc::new(Versions { models, covers });
    let published = Arc::clone(&versions);
    let busy = hand_overs.iter().map(|hand_over| Arc::clone(&hand_over.busy)).collect();
    let thread = std::thread::Builder::new()
        .name("learner".into())
        .spawn(move || run(cutter, &receiver, &published, busy))
        .expect("the system starts a thread");
    Some(Learner { versions, hand_overs, thread })
}

fn run(mut cutter: Cutter, receiver: &Receiver<(u16, Learnt)>, versions: &Versions, busy: Vec<Arc<AtomicBool>>) {
    let cuts = metrics::cut_seconds();
    // Versions that a request may still look at: it is not to be the one that takes them apart.
    let mut looked_at = vec![];
    let mut handed = vec![];
    loop {
        receiver.wait(Duration::from_millis(500));
        looked_at.retain(|version| Arc::strong_count(version) > 1);
        if !receiver.take(&mut handed) {
            return;
        }
        if handed.is_empty() {
            continue;
        }
        let begin = Instant::now();
        let mut taken = vec![];
        for (partition, learnt) in handed.drain(..) {
            cutter.take(usize::from(partition), learnt);
            taken.push(usize::from(partition));
        }
        looked_at.extend(versions.publish(cutter.cut()));
        cuts.record(begin.elapsed());
        taken.into_iter().for_each(|partition| busy[partition].store(false, Ordering::Release));
    }
}
