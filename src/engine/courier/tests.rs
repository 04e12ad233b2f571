//! A courier whose disk is slow: what it carries, and when.

use crate::clock::now;
use crate::config::Config;
use crate::engine::{Batch, Engine, Store, partition_of_key, restore};
use crate::log::{Bounds, Log, LogError, MemoryLog, RecordBatch, VisitEach, decode};
use saccade_topology::decision::{Candidate, Decision, ExplicitReward, Leaving, Passed, Pick, Served, Told};
use saccade_topology::model::RewardEnd;
use saccade_topology::{Arrived, Event, EventTime, Fields, Offset, Plan, Record};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Where the decisions are, and where their rewards are told.
const HOME: u16 = 0;
const AWAY: u16 = 1;

/// How long what has to come may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A log whose disk answers some threads only when the test says so.
struct SlowLog {
    log: MemoryLog,
    /// Names of those that have to wait, and of those that do.
    held: Mutex<(Vec<&'static str>, Vec<String>)>,
    changed: Condvar,
}

impl SlowLog {
    fn hold(&self, threads: &[&'static str]) {
        self.held.lock().expect("nobody panics with it").0 = threads.to_vec();
        self.changed.notify_all();
    }

    fn is_waiting(&self, thread: &str) -> bool {
        self.held.lock().expect("nobody panics with it").1.iter().any(|waiting| waiting == thread)
    }

    /// How many records of a partition are of this kind.
    fn count(&self, partition: u16, is: impl Fn(&Record<'_>) -> bool) -> usize {
        let mut count = 0;
        let read = self.log.read(partition, Offset(0), &mut |_, bytes| {
            count += usize::from(is(&decode(bytes).expect("a record").record));
            Ok(ControlFlow::Continue(()))
        });
        read.expect("it is in memory");
        count
    }

    fn left(&self) -> usize {
        self.count(AWAY, |record| matches!(record, Record::Leaving(_)))
    }

    fn passed(&self) -> usize {
        self.count(HOME, |record| matches!(record, Record::Passed(_)))
    }

    fn landed(&self) -> usize {
        self.count(AWAY, |record| matches!(record, Record::Landed(_)))
    }
}

impl Log for SlowLog {
    fn sync(&self) -> Result<(), LogError> {
        let name = std::thread::current().name().unwrap_or_default().to_string();
        let mut held = self.held.lock().expect("nobody panics with it");
        held.1.push(name.clone());
        // Not for good: where the test fails, the engine still stops.
        let waited = self.changed.wait_timeout_while(held, 2 * PATIENCE, |held| held.0.contains(&&*name));
        let (mut held, _) = waited.expect("nobody panics with it");
        held.1.retain(|waiting| *waiting != name);
        self.log.sync()
    }

    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    fn append(&self, partition: u16, first: Offset, batch: &RecordBatch) -> Result<(), LogError> {
        self.log.append(partition, first, batch)
    }

    fn read_each(&self, from: &[(u16, Offset)], visit: VisitEach<'_>) -> Result<(), LogError> {
        self.log.read_each(from, visit)
    }

    fn bounds(&self, partition: u16) -> Result<Bounds, LogError> {
        self.log.bounds(partition)
    }

    fn reaches(&self, partition: u16, offset: Offset) -> bool {
        self.log.reaches(partition, offset)
    }

    fn reserve(&self, partition: u16, limit: Offset) -> Result<(), LogError> {
        self.log.reserve(partition, limit)
    }

    fn needs(&self, partition: u16, from: Offset) {
        self.log.needs(partition, from);
    }

    fn is_held_by(&self, partition: u16) -> bool {
        self.log.is_held_by(partition)
    }

    fn bytes(&self) -> u64 {
        self.log.bytes()
    }
}

fn until(what: &str, is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn decision<'a>(id: &'a str, viewer: &'a str) -> Decision<'a> {
    let pick =
        Pick { candidate: 0, propensity: 1.0, score: 0.0, joint: vec![], fields: Fields::default(), beliefs: vec![] };
    Decision {
        id,
        model: "home",
        event_time: EventTime(now().0),
        session: None,
        viewer: Some(viewer),
        served: Served::Policy,
        deferred: false,
        ordinal: 0,
        context_version: None,
        model_version: vec![],
        reward_version: 1,
        context: vec![],
        candidates: vec![Candidate { item: "i", features: Fields::default() }],
        distribution: vec![1.0],
        picks: vec![pick],
        preferred: None,
    }
}

/// Two partitions with a model; as few events are remembered as may be.
fn config() -> Config {
    let text = "[log]\npartitions = 2\n[dedup]\nevents_max = 1024\n[[features]]\nname = \"events\"\ntype = \"count\"\n\
                [[models]]\nname = \"home\"\n[models.reward]\nversion = 1\nexpression = \"0.0\"\n";
    Config::parse(text, Path::new("(test)")).expect("it is valid")
}

fn reward<'a>(decision: &'a str, id: &'a str) -> ExplicitReward<'a> {
    ExplicitReward { decision, id: Some(id), item: None, position: None, value: 1.0, event_time: None }
}

/// Where engines start, one after the other, over a log that can be slow.
struct Site {
    directory: tempfile::TempDir,
    config: Config,
    plan: Arc<Plan>,
    store: Arc<Store>,
    log: Arc<SlowLog>,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = config();
        let plan = Arc::new(Plan::compile(&config.spec()).expect("it compiles"));
        let store = Arc::new(Store::open(directory.path()).expect("an empty store opens"));
        let (held, changed) = Default::default();
        let log = Arc::new(SlowLog { log: MemoryLog::new(2), held, changed });
        Site { directory, config, plan, store, log }
    }

    fn engine(&self) -> Engine {
        let Site { directory, config, plan, store, log } = self;
        let log: Arc<dyn Log> = Arc::<SlowLog>::clone(log);
        Engine::start(config, directory.path(), Arc::clone(plan), log, Arc::clone(store)).expect("it starts")
    }
}

/// What was joined where the decisions are, and what has left and not landed.
fn ends(plan: &Arc<Plan>, log: &dyn Log, store: &Store) -> (u64, usize) {
    let folds = restore(plan, log, store, 0..2).expect("it is whole");
    let books = folds[usize::from(HOME)].fold.learnt(Offset(0)).books;
    (books.rewards[RewardEnd::Joined as usize], folds[usize::from(AWAY)].fold.away())
}

#[test]
fn what_arrived_before_a_kill_and_was_not_confirmed_counts_once_however_much_came_since() {
    let site = Site::new();
    let (plan, log, store) = (&site.plan, &site.log, &site.store);
    // The reward spec, and the decision with its reward, which comes once; the other one of its turn does not.
    let batch = |records: &[Record<'_>]| {
        let mut batch = RecordBatch::default();
        records.iter().for_each(|record| batch.push(&Arrived { ingest_time: now(), record: record.clone() }));
        batch
    };
    let append = |partition: u16, records: &[Record<'_>]| {
        let next = log.bounds(partition).expect("bounds").next;
        log.append(partition, next, &batch(records)).expect("it is in memory");
        next.0
    };
    site.engine().stop();
    store.set_aside(HOME).and_then(|()| store.set_aside(AWAY)).expect("what is stored is removed");
    append(HOME, &[Record::Decision(Box::new(decision("d", "v")))]);
    let offset = append(AWAY, &[Record::Reward(reward("d", "first")), Record::Reward(reward("d", "second"))]);
    append(AWAY, &[Record::Leaving(Leaving { decision: "d", to: HOME })]);
    let event_time = EventTime(now().0);
    let told = Told::Reward(reward("d", "first"));
    append(HOME, &[Record::Passed(Box::new(Passed { from: AWAY, offset, event_time, told }))]);
    // By now it is forgotten.
    for n in 0..3_000 {
        let id = format!("e{n}");
        append(HOME, &[Record::Event(Event { session: Some("s"), ..Event::new(&id, "play", event_time) })]);
    }
    let engine = site.engine();
    until("both are confirmed", || log.landed() == 1);
    engine.stop();
    assert_eq!(log.passed(), 2, "the second one");
    assert_eq!(ends(plan, &**log, store), (2, 0));
}

#[test]
fn a_slow_courier_carries_what_is_durable_confirms_what_is_and_leaves_nothing_behind() {
    let site = Site::new();
    let (plan, log, store) = (&site.plan, &site.log, &site.store);
    let engine = site.engine();

    let viewer = (0..).map(|n| format!("v{n}")).find(|viewer| partition_of_key(viewer, 2) == usize::from(HOME));
    let viewer = viewer.expect("some viewer hashes there");
    let mut batch = Batch::new(&engine, now());
    (0..3).for_each(|n| batch.push_decision(decision(&format!("d{n}"), &viewer)));
    drop(engine.send(batch).expect("there is room"));
    until("the decisions are known", || engine.decisions().len() == 3);
    let tell = |first: usize| {
        let mut batch = Batch::new(&engine, now());
        for n in first..first + 3 {
            let (decision, id) = (&*format!("d{}", n % 3), &*format!("r{n}"));
            batch.push_to(AWAY.into(), Record::Reward(reward(decision, id)));
        }
        drop(engine.send(batch).expect("there is room"));
    };

    log.hold(&["courier", "committer"]);
    tell(0);
    until("the courier waits for what left to be durable", || log.is_waiting("courier"));
    // The partition goes on meanwhile.
    tell(3);
    until("all that was told has left", || log.left() == 6);
    assert_eq!(log.passed(), 0, "what left is not durable");
    log.hold(&["committer"]);
    until("what was told first is there", || log.passed() == 3);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!((log.passed(), log.landed()), (3, 0), "what arrived is not durable");
    log.hold(&[]);
    until("all of it is there and confirmed", || (log.passed(), log.landed()) == (6, 2));
    engine.stop();
    assert_eq!(ends(plan, &**log, store), (6, 0));
}
