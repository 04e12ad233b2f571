//! A log with sessions, decisions and rewards: folded as the engine folds, and cut as its learner cuts.

use crate::config::Config;
use crate::inspect::decision::{DecisionReport, Found, inspect};
use crate::log::{Log, MemoryLog, RecordBatch};
use saccade_topology::decision::*;
use saccade_topology::model::{Ask, Cutter, Given, ModelVersion, RankScratch, rank};
use saccade_topology::*;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub(crate) const T0: i64 = 1_790_000_000_000;

const CONFIG: &str = r#"
[[features]]
name = "plays"
type = "count"
on = ["play"]
[[features]]
name = "clicks"
type = "count"
on = ["click"]
[[models]]
name = "home"
context = ["plays", "clicks"]
features = ["evening"]
[[models.items]]
field = "length"
[models.reward]
version = 1
description = "clicks"
expression = "clicked"
wait = "10m"
[models.reward.signals.clicked]
fold = "any"
on = ["click"]
"#;

const SHADOW: &str = r#"{"version": 2, "description": "stays", "expression": "watched_s / 60", "wait": "20m",
    "signals": {"watched_s": {"fold": "sum", "on": ["progress"], "field": "value"}}}"#;

/// The test's configuration, with more keys of the model.
pub(crate) fn config(keys: &str) -> Config {
    let text = CONFIG.replace("name = \"home\"\n", &format!("name = \"home\"\n{keys}\n"));
    Config::parse(&text, Path::new("(test)")).expect("the test's configuration is valid")
}

pub(crate) struct World {
    pub plan: Arc<Plan>,
    pub log: MemoryLog,
    folds: Vec<Topology>,
    pub next: Vec<u64>,
    cutter: Cutter,
    version: Arc<ModelVersion>,
    contexts: Contexts,
    /// Encoded records, to be written again.
    pub records: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Contexts(HashMap<String, (Vec<f32>, u64)>);

impl Sink for Contexts {
    fn context(&mut self, c: &ContextRef<'_>) {
        if c.kind == Kind::Session {
            self.0.insert(c.session.unwrap_or_default().to_string(), (c.vector.to_vec(), c.version));
        }
    }
    fn ended(&mut self, _: &SessionEnd<'_>) {}
    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

impl World {
    pub(crate) fn new(keys: &str, partitions: u16) -> World {
        let plan = Arc::new(Plan::compile(&config(keys).spec()).expect("the test's plan compiles"));
        let folds: Vec<_> = (0..partitions).map(|_| Topology::new(Arc::clone(&plan))).collect();
        let mut cutter = Cutter::new(&plan, folds.iter().map(|fold| fold.learnt(Offset(0))).collect());
        let version = cutter.cut().swap_remove(0);
        let next = folds.iter().map(|_| 0).collect();
        let (log, contexts) = (MemoryLog::new(partitions), Contexts::default());
        let mut world = World { plan, log, folds, next, cutter, version, contexts, records: vec![] };
        let spec = serde_json::to_string(&reward(&world.plan)).expect("plain data");
        for partition in 0..usize::from(partitions) {
            for (action, version, spec) in
                [(Act::Propose, 1, spec.as_str()), (Act::Activate, 1, ""), (Act::Propose, 2, SHADOW)]
            {
                world.put(partition, 0, Record::Control(Control { model: "home", action, version, spec, by: "test" }));
            }
        }
        world.cut();
        world
    }

    /// Appends a record that arrived `at` seconds after the beginning, and gives its offset.
    pub(crate) fn put(&mut self, partition: usize, at: i64, record: Record<'_>) -> u64 {
        let arrived = Arrived { ingest_time: IngestTime(T0 + at * 1000), record };
        let offset = Offset(self.next[partition]);
        self.folds[partition].apply(offset, &arrived, &mut self.contexts);
        let mut batch = RecordBatch::default();
        batch.push(&arrived);
        self.log.append(partition as u16, offset, &batch).expect("the log takes a batch");
        if partition == 0 {
            self.records.push(RecordBatch::records(batch.bytes()).next().expect("one").expect("whole").to_vec());
        }
        self.next[partition] += 1;
        offset.0
    }

    /// An event of session `s`, viewer `v`.
    pub(crate) fn event(&mut self, at: i64, id: &str, kind: &str, item: Option<&str>, decision: Option<&str>) {
        let event = Event::new(id, kind, EventTime(T0 + at * 1000));
        let value = Some(30.0);
        self.put(0, at, Record::Event(Event { session: Some("s"), viewer: Some("v"), item, decision, value, ..event }));
    }

    pub(crate) fn item(&mut self, id: &str, length: f64) {
        let mut fields = vec![];
        Fields::push(&mut fields, "length", Value::Number(length));
        self.put(0, 0, Record::Item(Item { id, fields: Some(Fields::from_bytes(&fields)) }));
    }

    pub(crate) fn reward(&mut self, at: i64, decision: &str, value: f64) -> u64 {
        let event_time = Some(EventTime(T0 + at * 1000));
        let reward = ExplicitReward { decision, id: None, item: None, position: None, value, event_time };
        self.put(0, at, Record::Reward(reward))
    }

    /// Cuts a version, as the learner may at any time.
    pub(crate) fn cut(&mut self) {
        for (partition, fold) in self.folds.iter().enumerate() {
            self.cutter.take(partition, fold.learnt(Offset(self.next[partition])));
        }
        self.version = self.cutter.cut().swap_remove(0);
    }

    /// Asks the latest version and logs the decision.
    pub(crate) fn decide(&mut self, at: i64, id: &str, k: usize, deferred: bool) -> String {
        let features = [[("length", 0.5)], [("length", 1.0)]].map(|fields| {
            let mut bytes = vec![];
            fields.iter().for_each(|(name, x)| Fields::push(&mut bytes, name, Value::Number(*x)));
            bytes
        });
        let candidates = ["a", "b", "c", "d"].iter().enumerate().map(|(i, item)| {
            let features = features.get(i).map_or(Fields::default(), |bytes| Fields::from_bytes(bytes));
            Candidate { item, features }
        });
        let candidates: Vec<_> = candidates.collect();
        let context = self.contexts.0.get("s").cloned();
        let ask = Ask {
            id,
            session: Some("s"),
            viewer: Some("v"),
            event_time: EventTime(T0 + at * 1000),
            context: context.as_ref().map_or(Given::Nothing, |(vector, version)| Given::Vector(vector, *version)),
            features: &|name| (name == "evening").then_some(0.25),
            candidates: &candidates,
            k,
            deferred,
            opt_out: false,
        };
        let (version, mut scratch) = (Arc::clone(&self.version), RankScratch::default());
        let decision = rank(&version, &ask, &mut scratch).expect("it is decided");
        let first = decision.candidates[decision.picks[0].candidate as usize].item.to_string();
        self.put(0, at, Record::Decision(Box::new(decision)));
        first
    }

    /// `rounds` of playing, deciding and clicking, with versions cut at odd times.
    pub(crate) fn learn(&mut self, rounds: i64) {
        self.item("c", 2.0);
        for round in 0..rounds {
            let (at, id) = (round * 20, format!("d{round}"));
            self.event(at, &format!("p{round}"), "play", None, None);
            let first = self.decide(at + 1, &id, 1 + (round % 3) as usize, false);
            if (round + i64::from(first == "b")) % 3 > 0 {
                self.event(at + 5, &format!("c{round}"), "click", Some(&first), Some(&id));
            }
            if round % 4 == 0 {
                self.event(at + 8, &format!("w{round}"), "progress", Some(&first), None);
            }
            if round % 7 != 1 {
                self.cut();
            }
        }
    }

    pub(crate) fn found(&self, id: &str) -> Found {
        found(&self.log, &self.plan, id)
    }

    pub(crate) fn inspected(&self, id: &str) -> DecisionReport {
        report(self.found(id))
    }

    /// The first partition's log once more, each record changed by `change`.
    pub(crate) fn tampered(&self, change: impl Fn(&mut Decision<'_>)) -> MemoryLog {
        let log = MemoryLog::new(self.next.len() as u16);
        for (offset, bytes) in (0..).zip(&self.records) {
            let mut arrived = crate::log::decode(bytes).expect("it was encoded here");
            if let Record::Decision(decision) = &mut arrived.record {
                change(decision);
            }
            let mut batch = RecordBatch::default();
            batch.push(&arrived);
            log.append(0, Offset(offset), &batch).expect("the log takes a batch");
        }
        log
    }
}

pub(crate) fn found(log: &dyn Log, plan: &Arc<Plan>, id: &str) -> Found {
    inspect(log, plan, id, &mut |_| ControlFlow::Continue(())).expect("the log is whole")
}

pub(crate) fn report(found: Found) -> DecisionReport {
    match found {
        Found::Decision(report) => *report,
        Found::Unknown(why) => panic!("{why}"),
        Found::Stopped => panic!("nobody stopped it"),
    }
}

fn reward(plan: &Plan) -> reward::RewardSpec {
    match &plan.models()[0].spec.reward {
        model::RewardSource::Inline(spec) => (**spec).clone(),
        model::RewardSource::File(file) => panic!("{file}"),
    }
}
