//! Versions and decisions on small models whose books are written by hand.

mod ranking;
mod reports;
mod versions;

use super::*;
use crate::decision::Candidate;
use crate::learn::{At, Entry, Stream};
use crate::plan::Plan;
use crate::record::{EventTime, Fields, Offset, Value};
use crate::reward::{Reward, RewardSpec};
use crate::spec::Spec;
use crate::{Topology, learn};
use std::sync::Arc;

/// Nothing that depends on when a frame was revised.
const PLAIN: &str = r#""prior":{"ridge":1,"scaled":false,"centre":0,"noise":1},"half_life":"none""#;

/// Weights that all items share beside their own, of 5 numbers of the context.
const HYBRID: &str =
    r#""context":["clicks.*","plays.*"],"items":[{"field":"age"}],"estimator":"hybrid","half_life":{"decisions":64}"#;

fn spec(version: u32) -> RewardSpec {
    let spec = serde_json::json!({
        "version": version, "expression": "clicked", "signals": {"clicked": {"fold": "any", "on": ["click"]}}
    });
    serde_json::from_value(spec).expect("a reward spec")
}

/// A plan with one model of these further keys, in JSON.
fn plan(keys: &str) -> Arc<Plan> {
    let comma = if keys.is_empty() { "" } else { "," };
    let reward = serde_json::to_string(&spec(1)).expect("plain data");
    let model = format!(r#"{{"name":"home","reward":{reward}{comma}{keys}}}"#);
    let model: ModelSpec = serde_json::from_str(&model).expect("a model");
    let feature = |name: &str, kind: &str, on: &str| {
        serde_json::from_value(serde_json::json!({"name": name, "type": kind, "on": [on], "half_lives": ["1m", "10m"]}))
            .expect("a feature")
    };
    let features = vec![feature("clicks", "decayed_count", "click"), feature("plays", "decayed_count", "play")];
    Arc::new(Plan::compile(&Spec { features, models: vec![model], ..Spec::default() }).expect("the plan compiles"))
}

/// What partitions learnt, written directly.
struct World {
    plan: Arc<Plan>,
    learnt: Vec<Learnt>,
    key: learn::Key,
    drawn: u64,
    /// Items that a partition can know.
    room: usize,
}

impl World {
    fn new(plan: &Arc<Plan>, partitions: usize) -> World {
        let mut learnt = Topology::new(Arc::clone(plan)).learnt(Offset(0));
        let running = |version| Running {
            reward: Arc::new(Reward::compile(&spec(version)).expect("compiles")),
            by: "test".into(),
            since: u64::from(version),
        };
        let rewards = &mut learnt.registry.models[0];
        (rewards.running, rewards.active) = (vec![running(1), running(2)], 1);
        let key = learn::Key::new(3, b"world");
        World { plan: Arc::clone(plan), learnt: vec![learnt; partitions], key, drawn: 0, room: 1000 }
    }

    /// Tells all partitions how old items are.
    fn describe(&mut self, items: &[&str]) {
        for (age, item) in items.iter().enumerate() {
            let fields = fields(&[("age", Value::Number(age as f64 / 4.0))]);
            for learnt in &mut self.learnt {
                learnt.catalogue.set(item, &fields);
            }
        }
    }

    fn normals(&mut self, n: usize) -> Vec<f64> {
        self.drawn += n as u64;
        let first = self.drawn - n as u64;
        (0..n as u64).map(|i| self.key.normal(Stream::Choice, first + i)).collect()
    }

    /// A context as a model takes it.
    fn context(&mut self, n: usize) -> Vec<f64> {
        let mut x = self.normals(n);
        x[0] = 1.0;
        x
    }

    /// A decision for `item` in a partition, and its reward.
    fn learn(&mut self, partition: usize, item: &str, x: &[f64], reward: f64) {
        let model = &self.plan.models()[0];
        let learnt = &mut self.learnt[partition];
        let known = learnt.catalogue.get(item).unwrap_or_default();
        let mut joint = vec![];
        model.joint_of(x, &[known], &mut joint);
        let n = learnt.offset as i64;
        let book = &mut learnt.books.models[0];
        let action = book.action(item, learnt.offset, self.room);
        let at = At { event_time: n * 1000, ordinal: n };
        let entry = Entry { action: Some(action), context: x, joint: &joint, at, expected: 0.0, deviation: 0.0 };
        book.decisions += 1;
        book.ends[DecisionEnd::Joined as usize] += 1;
        let evidence = book.spec(1).evidence(&model.learning, &entry).expect("it fits");
        evidence.decide(&entry);
        evidence.outcome(&entry, reward);
        learnt.offset += 1;
        learnt.books.revision += 1;
    }

    /// Rounds over these items, each better on another number of the context.
    fn teach(&mut self, rounds: usize, items: &[&str], n: usize) {
        for round in 0..rounds {
            let x = self.context(n);
            let item = round % items.len();
            let reward = 0.3 * x[item % n] + 0.1 * self.normals(1)[0];
            self.learn(round % self.learnt.len(), items[item], &x, reward);
        }
    }

    fn cut(&self) -> Arc<ModelVersion> {
        Cutter::new(&self.plan, self.learnt.clone()).cut().remove(0)
    }
}

fn candidates<'a>(items: &[&'a str]) -> Vec<Candidate<'a>> {
    items.iter().map(|item| Candidate { item, features: Fields::default() }).collect()
}

fn ask<'a>(id: &'a str, x: &'a [f64], candidates: &'a [Candidate<'a>], k: usize) -> Ask<'a> {
    Ask {
        id,
        session: None,
        viewer: None,
        event_time: EventTime(1_000_000),
        context: Given::Features(x, None),
        features: &|_| None,
        candidates,
        k,
        deferred: false,
        opt_out: false,
    }
}

/// Expected rewards of all candidates, by the version's own choice.
fn scores(version: &ModelVersion, x: &[f64], items: &[&str]) -> Vec<f64> {
    let candidates = candidates(items);
    let mut scratch = RankScratch::default();
    let decision = rank(version, &ask("scores", x, &candidates, items.len()), &mut scratch).expect("ranks");
    let mut scores = vec![0.0; items.len()];
    decision.picks.iter().for_each(|pick| scores[pick.candidate as usize] = pick.score);
    scores
}

fn fields(pairs: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut bytes = vec![];
    pairs.iter().for_each(|(name, value)| Fields::push(&mut bytes, name, *value));
    bytes
}
