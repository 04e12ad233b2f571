//! Both sides of a checkpoint, without their threads.

use super::super::{SLICES_WAITING, Walk};
use super::*;
use crate::config::Config;
use crate::engine::{Fold, restore};
use crate::log::{MemoryLog, RecordBatch};
use crossbeam_channel::Receiver;
use saccade_topology::{Arrived, Event, EventTime, Ignore, IngestTime, Plan, Record};

/// A partition, and a writer that writes when it is told to.
struct Site {
    place: tempfile::TempDir,
    plan: Arc<Plan>,
    log: Arc<MemoryLog>,
    fold: Fold,
    next: Offset,
    walk: Walk,
    slices: Receiver<Slice>,
    writing: Writing,
}

impl Site {
    fn new(sessions_max: u32) -> Site {
        let place = tempfile::tempdir().expect("a temporary directory");
        let store = Arc::new(Store::open(place.path()).expect("an empty store opens"));
        let mut spec = Config::default().spec();
        spec.session.sessions_max = sessions_max;
        let plan = Arc::new(Plan::compile(&spec).expect("it compiles"));
        Site::start(place, store, plan, Arc::new(MemoryLog::new(1)))
    }

    fn start(place: tempfile::TempDir, store: Arc<Store>, plan: Arc<Plan>, log: Arc<MemoryLog>) -> Site {
        let restored = restore(&plan, &*log, &store, 0..1).expect("it is whole").remove(0);
        let (sender, slices) = crossbeam_channel::unbounded();
        let (giver, spare) = spare();
        let told: Arc<[Told]> = Arc::new([Told { is_full_due: AtomicBool::new(true), given_up: AtomicU64::new(0) }]);
        let writer = Writer { log: Arc::<MemoryLog>::clone(&log), slices: sender, spare, told: Arc::clone(&told) };
        // It is always time for the next, and for the next slice.
        let walk = Walk::new(0, &restored, writer, Duration::from_nanos(1));
        let partitions = vec![Written::new(Chain::default())];
        let writing = Writing { log: Arc::<MemoryLog>::clone(&log), store, giver, told, reserve_bytes: 0, partitions };
        Site { place, plan, log, fold: restored.fold, next: restored.next, walk, slices, writing }
    }

    /// An event of this session.
    fn event(&mut self, session: usize) {
        let (id, session) = (format!("e{}", self.next.0), format!("s{session}"));
        let event = Event { session: Some(&session), ..Event::new(&id, "play", EventTime(1_000)) };
        let arrived = Arrived { ingest_time: IngestTime(1_000), record: Record::Event(event) };
        let mut batch = RecordBatch::default();
        batch.push(&arrived);
        self.log.append(0, self.next, &batch).expect("it is in memory");
        self.fold.apply(self.next, &arrived, &mut Ignore);
        self.next.0 += 1;
    }

    /// As after kill -9.
    fn again(self) -> Site {
        Site::start(self.place, self.writing.store, self.plan, self.log)
    }

    /// What waits is written, or given up where less than so many bytes are free.
    fn write(&mut self, reserve_bytes: u64) {
        self.writing.reserve_bytes = reserve_bytes;
        self.slices.try_iter().for_each(|slice| self.writing.write(slice).expect("it is written or given up"));
    }

    /// Makes a checkpoint, which has to be there after a few steps.
    fn checkpoint(&mut self) {
        let needs = |site: &Site| site.writing.partitions[0].needs;
        let before = needs(self);
        let is_there = (0..1_000).any(|_| {
            self.walk.step(&mut self.fold, self.next);
            self.write(0);
            needs(self) != before
        });
        assert!(is_there, "there is no checkpoint after 1,000 steps");
    }

    /// A start from the checkpoint has the same state.
    fn check(&mut self) {
        let restored = restore(&self.plan, &*self.log, &self.writing.store, 0..1).expect("it is whole").remove(0);
        assert!(!restored.is_anew);
        let mut fold = restored.fold;
        assert!(fold.digest() == self.fold.digest());
    }
}

#[test]
fn after_a_checkpoint_that_was_given_up_the_next_is_of_all_there_is() {
    // As it begins, and once its rows are handed out.
    for is_begun in [false, true] {
        let mut site = Site::new(1_000);
        (0..200).for_each(|session| site.event(session));
        site.checkpoint();
        site.event(7);
        site.walk.step(&mut site.fold, site.next);
        if is_begun {
            site.write(0);
            site.walk.step(&mut site.fold, site.next);
        }
        site.write(u64::MAX);
        assert_eq!(site.writing.told[0].given_up.load(Ordering::Relaxed), 1);
        // Of session 7 nothing is known to have changed any more.
        site.event(8);
        site.checkpoint();
        site.check();
    }
}

#[test]
fn after_a_start_from_the_log_alone_the_first_checkpoint_is_of_all_there_is() {
    let mut site = Site::new(100);
    // Of those that are gone more than are kept.
    (0..6_000).for_each(|session| site.event(session));
    let mut site = site.again();
    site.event(6_000);
    site.checkpoint();
    site.check();
    site.event(5_950);
    site.checkpoint();
    site.check();
}

#[test]
fn a_stop_hands_out_no_more_than_a_few_slices_ahead_of_what_is_written() {
    let mut site = Site::new(10_000);
    (0..5_000).for_each(|session| site.event(session));
    let Site { mut walk, mut fold, next, slices, .. } = site;
    let writer = std::thread::spawn(move || {
        let slow = |_: Slice| {
            std::thread::sleep(Duration::from_millis(2));
            slices.len()
        };
        slices.iter().map(slow).max()
    });
    walk.finish(&mut fold, next);
    drop(walk);
    let most = writer.join().expect("it takes all").expect("there are slices");
    // And what begins a checkpoint.
    assert!(most <= SLICES_WAITING + 4, "{most} slices waited");
}
