//! What a decision and a model version cost: `cargo run --release -p saccade-topology --example ranking`.
//!
//! Fills a model through the fold, as a server does, and measures hand-over, cut and rank apart. One thread.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example measures with the machine's clock"
)]

use saccade_topology::decision::{Act, Candidate, Control, Decision, ExplicitReward};
use saccade_topology::model::{Ask, Cutter, Given, ModelSpec, ModelVersion, RankScratch, rank};
use saccade_topology::{Arrived, EventTime, Fields, Ignore, IngestTime, Offset, Plan, Record, Spec, Topology};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONTEXT: usize = 32;
const REWARD: &str = r#"{"version":1,"expression":"0.0","aggregation":"sum"}"#;

struct Loop {
    fold: Topology,
    cutter: Cutter,
    next: u64,
    items: Vec<String>,
    x: u64,
}

impl Loop {
    fn new(policy: &str, items: usize) -> Loop {
        let model = format!(r#"{{"name":"m","policy":{policy},"reward":{REWARD}}}"#);
        let model: ModelSpec = serde_json::from_str(&model).expect("a model");
        let events = serde_json::from_str(r#"{"name":"events","type":"count"}"#).expect("a feature");
        let spec = Spec { models: vec![model], features: vec![events], ..Spec::default() };
        let plan = Arc::new(Plan::compile(&spec).expect("compiles"));
        let fold = Topology::new(Arc::clone(&plan));
        let cutter = Cutter::new(&plan, vec![fold.learnt(Offset(0))]);
        let items = (0..items).map(|item| format!("item-{item}")).collect();
        let mut this = Loop { fold, cutter, next: 0, items, x: 1 };
        for action in [Act::Propose, Act::Activate] {
            this.apply(Record::Control(Control { model: "m", action, version: 1, spec: REWARD, by: "bench" }));
        }
        this
    }

    fn apply(&mut self, record: Record<'_>) {
        let ingest_time = IngestTime(1_700_000_000_000 + self.next as i64);
        self.fold.apply(Offset(self.next), &Arrived { ingest_time, record }, &mut Ignore);
        self.next += 1;
    }

    fn context(&mut self) -> Vec<f64> {
        let mut draw = || {
            self.x = self.x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.x >> 33) as f64 / f64::from(1_u32 << 31) * 2.0 - 1.0
        };
        std::iter::once(1.0).chain(std::iter::repeat_with(&mut draw).take(CONTEXT - 1)).collect()
    }

    fn cut(&mut self) -> (Arc<ModelVersion>, Duration, Duration) {
        let begin = Instant::now();
        let learnt = self.fold.learnt(Offset(self.next));
        let handed = begin.elapsed();
        let begin = Instant::now();
        self.cutter.take(0, learnt);
        let version = self.cutter.cut().remove(0);
        (version, handed, begin.elapsed())
    }
}

fn main() {
    for (name, policy) in [("lin_ucb", r#"{"name":"lin_ucb"}"#), ("thompson", r#"{"name":"thompson"}"#)] {
        for count in [10, 100, 1000] {
            measure(name, policy, count);
        }
    }
}

fn measure(name: &str, policy: &str, count: usize) {
    let mut this = Loop::new(policy, count);
    let rounds = 4000;
    let names = this.items.clone();
    let candidates: Vec<Candidate<'_>> =
        names.iter().map(|item| Candidate { item, features: Fields::default() }).take(100).collect();
    let (mut handed, mut cut, mut ranked) = (vec![], vec![], vec![]);
    let mut scratch = RankScratch::default();
    let (mut version, ..) = this.cut();
    for round in 0..rounds {
        let x = this.context();
        let id = format!("d{round}");
        let begin = Instant::now();
        let decision: Decision<'_> = rank(&version, &ask(&id, &x, &candidates), &mut scratch).expect("ranks");
        ranked.push(begin.elapsed());
        this.apply(Record::Decision(Box::new(decision)));
        let reward =
            ExplicitReward { decision: &id, id: None, item: None, position: None, value: x[1], event_time: None };
        this.apply(Record::Reward(reward));
        let (new, handing, cutting) = this.cut();
        version = new;
        handed.push(handing);
        cut.push(cutting);
    }
    let of = |mut times: Vec<Duration>| {
        times.sort();
        let us = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
        format!("{:7.1} {:7.1}", us(0.5), us(0.99))
    };
    println!(
        "{name:<9} {count:>5} items  µs p50 p99: rank {} candidates {}  hand-over {}  cut {}",
        candidates.len(),
        of(ranked),
        of(handed),
        of(cut)
    );
}

fn ask<'a>(id: &'a str, x: &'a [f64], candidates: &'a [Candidate<'a>]) -> Ask<'a> {
    Ask {
        id,
        session: None,
        viewer: None,
        event_time: EventTime(1_700_000_000_000),
        context: Given::Numbers(x),
        features: &|_| None,
        candidates,
        k: 1,
        deferred: false,
        opt_out: false,
    }
}
