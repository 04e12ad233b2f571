//! The steps of the hot path, each on its own, on the default configuration: what `paths` times and `instructions` counts.
//!
//! Inputs are made before, so that only the step itself is measured.

use bumpalo::Bump;
use saccade::config::Config;
use saccade::engine::{Contexts, Places};
use saccade::log::{RecordBatch, decode};
use saccade::wire::EventReader;
use saccade_topology::decision::{Act, Candidate, Control, ExplicitReward};
use saccade_topology::model::{Ask, Cutter, Given, ModelVersion, RankScratch, rank};
use saccade_topology::{
    Arrived, ContextRef, EventTime, Fields, Ignore, IngestTime, Kind, Offset, Part, Plan, Record, SessionEnd, Sink,
    Topology,
};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const T0: i64 = 1_790_000_000_000;
/// Events of a request.
const BATCH: usize = 20;
const SESSIONS: usize = 5_000;
const TYPES: [&str; 8] = ["impression", "progress", "scroll", "click", "play", "pause", "seek", "stop"];
/// Candidates of a decision.
const CANDIDATES: usize = 100;
/// Numbers that a decision is made from.
const FEATURES: usize = 16;
const SPEC: &str = r#"{"version": 1, "expression": "0.0", "default_reward": 0, "wait": "1h", "aggregation": "sum"}"#;

/// A step with inputs for a number of operations; each run takes the next ones.
pub type Work = Box<dyn FnMut(usize)>;

/// Name, what one operation is, and how it is made for so many of them.
type Step = (&'static str, &'static str, fn(usize) -> Work);

/// All steps.
pub const STEPS: [Step; 5] = [
    ("parse", "event of a request into a record", parse),
    ("fold", "event, with its contexts", fold),
    ("learn", "decision among 10, its reward, and a model version that knows it", learn),
    ("rank", "decision among 100", choose),
    ("publish", "context", publish),
];

/// The step of this name, with inputs for `operations`.
pub fn step(name: &str, operations: usize) -> Work {
    let step = STEPS.iter().find(|(known, ..)| *known == name);
    let (.., make) = step.unwrap_or_else(|| panic!("{name} is none of {:?}", STEPS.map(|(name, ..)| name)));
    make(operations)
}

fn config() -> Config {
    Config::load(None).expect("the default configuration is good")
}

fn plan() -> Arc<Plan> {
    Arc::new(Plan::compile(&config().spec()).expect("the default configuration compiles"))
}

/// Spreads numbers.
fn mix(n: usize) -> u64 {
    xxh3_64(&n.to_le_bytes())
}

fn text(i: usize) -> String {
    let (bits, session) = (mix(i), mix(i ^ 0xA5A5) as usize % SESSIONS);
    let (kind, item, playhead) = (TYPES[bits as usize % TYPES.len()], bits >> 40 & 0xFFF, bits % 7_200_000);
    format!(
        r#"{{"id":"e{i}","type":"{kind}","event_time":{},"session":"session-{session}","viewer":"viewer-{session}","item":"title-{item}","value":{}.25,"device":"tv","country":"DE","timezone":"Europe/Berlin","playhead_s":{}.{:03}}}"#,
        T0 + i as i64 / 2,
        bits % 100,
        playhead / 1000,
        playhead % 1000,
    )
}

/// From the bytes of a request to encoded records.
fn parse(operations: usize) -> Work {
    let reader = EventReader::new(&config().ingest).expect("the default configuration is good");
    let bodies: Vec<String> = (0..operations.div_ceil(BATCH))
        .map(|n| format!("[{}]", (n * BATCH..(n + 1) * BATCH).map(text).collect::<Vec<_>>().join(",")))
        .collect();
    let mut next = 0;
    let run = move |events: usize| {
        for _ in 0..events / BATCH {
            let (arena, mut records) = (Bump::new(), RecordBatch::default());
            let body = bodies[next % bodies.len()].as_bytes();
            let read = reader.read_body(body, &arena, &mut |row| {
                let event = row.expect("the rows are good");
                records.push(&Arrived { ingest_time: IngestTime(T0), record: Record::Event(event) });
            });
            read.expect("the body is good");
            black_box(records.bytes());
            next += 1;
        }
    };
    Box::new(run)
}

/// Contexts are made and looked at, as a partition does it.
struct Looked;

impl Sink for Looked {
    fn keeps_contexts(&self) -> bool {
        true
    }
    fn context(&mut self, context: &ContextRef<'_>) {
        black_box(context.vector);
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

/// Encoded events through the fold, with their contexts, once every session is known and old events settle.
fn fold(operations: usize) -> Work {
    // Beyond the lateness, 32 s at two a millisecond, so that as much settles as comes.
    const BEFORE: usize = 70_000;
    let reader = EventReader::new(&config().ingest).expect("the default configuration is good");
    let encoded = |range: std::ops::Range<usize>| {
        let mut records = RecordBatch::default();
        for i in range {
            let (text, arena) = (text(i), Bump::new());
            let event = reader.read_event(&text, &arena).expect("the rows are good");
            records.push(&Arrived { ingest_time: IngestTime(event.event_time.0), record: Record::Event(event) });
        }
        records
    };
    let mut topology = Topology::new(plan());
    let mut offset = 0;
    let mut apply = move |records: &RecordBatch| {
        let records: Vec<&[u8]> = RecordBatch::records(records.bytes()).map(|r| r.expect("it is whole")).collect();
        let records: Vec<Arrived<'_>> = records.iter().map(|r| decode(r).expect("it was encoded here")).collect();
        topology.warm(&records);
        for (nth, arrived) in records.iter().enumerate() {
            topology.apply_warmed(nth, Offset(offset), arrived, &mut Looked);
            offset += 1;
        }
    };
    for begin in (0..BEFORE).step_by(BATCH) {
        apply(&encoded(begin..begin + BATCH));
    }
    let ready = (BEFORE..BEFORE + operations).step_by(BATCH).map(|begin| encoded(begin..begin + BATCH));
    let mut ready = ready.collect::<Vec<_>>().into_iter();
    let run = move |events: usize| ready.by_ref().take(events / BATCH).for_each(|records| apply(&records));
    Box::new(run)
}

/// The model of `configs/bandit.toml`, and what it is asked.
struct Asked {
    plan: Arc<Plan>,
    names: Vec<String>,
    scratch: RankScratch,
}

impl Asked {
    fn new(candidates: usize) -> Asked {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/bandit.toml");
        let config = Config::load(Some(&path)).expect("the configuration is good");
        let plan = Arc::new(Plan::compile(&config.spec()).expect("the configuration compiles"));
        Asked { plan, names: (0..candidates).map(|i| format!("title-{i}")).collect(), scratch: RankScratch::default() }
    }

    /// Nothing learnt yet, and its next offset.
    fn topology(&self) -> (Topology, u64) {
        let mut state = (Topology::new(Arc::clone(&self.plan)), 0);
        for (action, spec) in [(Act::Propose, SPEC), (Act::Activate, "")] {
            take(&mut state, Record::Control(Control { model: "bandit", action, version: 1, spec, by: "bench" }));
        }
        state
    }

    /// Asks for decision `i` and hands it on.
    fn decide(&mut self, version: &ModelVersion, i: usize, then: &mut dyn FnMut(Record<'_>)) {
        let number = |n: usize| (mix(i * FEATURES + n) >> 11) as f64 / (1u64 << 53) as f64;
        let numbers: Vec<f64> = (0..FEATURES).map(number).collect();
        let candidates = self.names.iter().map(|item| Candidate { item, features: Fields::default() });
        let candidates: Vec<Candidate<'_>> = candidates.collect();
        let ask = Ask {
            id: &format!("d{i}"),
            session: None,
            viewer: None,
            event_time: EventTime(T0 + i as i64),
            context: Given::Numbers(&numbers),
            features: &|_| None,
            candidates: &candidates,
            k: 1,
            deferred: false,
            opt_out: false,
        };
        let decision = rank(version, &ask, &mut self.scratch).expect("the question can be answered");
        then(Record::Decision(Box::new(decision)));
    }
}

fn take((topology, next): &mut (Topology, u64), record: Record<'_>) {
    topology.apply(Offset(*next), &Arrived { ingest_time: IngestTime(T0), record }, &mut Ignore);
    *next += 1;
}

fn told(id: &str) -> Record<'_> {
    Record::Reward(ExplicitReward { decision: id, id: None, item: None, position: None, value: 1.0, event_time: None })
}

/// A decision among ten into the fold, its reward, and the model version that knows it.
fn learn(_: usize) -> Work {
    let mut asked = Asked::new(10);
    let mut state = asked.topology();
    let mut cutter = Cutter::new(&asked.plan, vec![state.0.learnt(Offset(state.1))]);
    let mut i = 0;
    let run = move |decisions: usize| {
        for _ in 0..decisions {
            let version = cutter.cut().remove(0);
            asked.decide(&version, i, &mut |decision| take(&mut state, decision));
            take(&mut state, told(&format!("d{i}")));
            cutter.take(0, state.0.learnt(Offset(state.1)));
            i += 1;
        }
    };
    Box::new(run)
}

/// A decision among a hundred, each with sums of its own.
fn choose(_: usize) -> Work {
    const LEARNT: usize = 2_000;
    let mut asked = Asked::new(CANDIDATES);
    let mut state = asked.topology();
    let mut cutter = Cutter::new(&asked.plan, vec![state.0.learnt(Offset(state.1))]);
    for i in 0..LEARNT {
        if i % 20 == 0 {
            cutter.take(0, state.0.learnt(Offset(state.1)));
        }
        let version = cutter.cut().remove(0);
        asked.decide(&version, i, &mut |decision| take(&mut state, decision));
        take(&mut state, told(&format!("d{i}")));
    }
    let (version, mut i) = (cutter.cut().remove(0), LEARNT);
    let run = move |decisions: usize| {
        for _ in 0..decisions {
            asked.decide(&version, i, &mut |decision| drop(black_box(decision)));
            i += 1;
        }
    };
    Box::new(run)
}

/// A context where readers look for it.
fn publish(_: usize) -> Work {
    let (contexts, mut places) = (Contexts::new(1, plan().slots().len(), plan().profile_slots()), Places::default());
    let names: Vec<(String, String)> = (0..SESSIONS).map(|i| (format!("session-{i}"), format!("viewer-{i}"))).collect();
    let vector = vec![1.0; plan().slots().len()];
    let mut version = 0;
    let run = move |count: usize| {
        for _ in 0..count {
            let place = mix(version as usize) as usize % SESSIONS;
            let (session, viewer) = (Some(&*names[place].0), Some(&*names[place].1));
            let (kind, place, event_time) = (Kind::Session, place as u32, version as i64);
            let (is_renamed, vector, part) = (version < SESSIONS as u64, &*vector, Part::Whole);
            let context = ContextRef {
                kind,
                place,
                session,
                viewer,
                is_renamed,
                version,
                is_again: false,
                event_time,
                vector,
                part,
            };
            contexts.publish(&mut places, &context);
            version += 1;
        }
    };
    Box::new(run)
}
