//! A world of few viewers and items, whose happenings come in any order.

use proptest::prelude::*;
use saccade_topology::decision::*;
use saccade_topology::model::{Attribute, ModelSpec};
use saccade_topology::*;
use std::sync::Arc;

pub const T0: i64 = 1_790_000_000_000;

/// Watched seconds, with a click worth 10; explicit rewards add up. The second spec rewards clicks alone, and sooner.
/// The third depends on the order of events.
pub const REWARDS: [&str; 3] = [
    r#"{"version": 1, "expression": "10.0 * clicked + watched", "default_reward": -1, "wait": "1h", "aggregation": "sum",
        "signals": {"clicked": {"fold": "any", "on": ["click"]}, "watched": {"fold": "sum", "on": ["progress"], "field": "value"}}}"#,
    r#"{"version": 2, "expression": "clicked", "wait": "2m",
        "signals": {"clicked": {"fold": "count", "on": ["click"]}}}"#,
    r#"{"version": 3, "expression": "seen + first - last + until", "wait": "30m", "signals": {"seen": {"fold": "unique_seconds"},
        "first": {"fold": "first", "field": "value"}, "last": {"fold": "last", "field": "value", "on": ["progress"]},
        "until": {"fold": "time_until", "on": ["click"]}}}"#,
];

pub fn model(change: impl FnOnce(&mut ModelSpec)) -> ModelSpec {
    let json = r#"{"name": "home", "reward": "unused.toml"}"#;
    let mut model = serde_json::from_str(json).expect("a model with defaults");
    change(&mut model);
    model
}

pub fn plan(model: ModelSpec) -> Arc<Plan> {
    plan_with(model, |_| {})
}

pub fn plan_with(model: ModelSpec, change: impl FnOnce(&mut Spec)) -> Arc<Plan> {
    let count = serde_json::from_str(r#"{"name": "events", "type": "count"}"#).expect("a feature");
    let mut spec = Spec { models: vec![model], features: vec![count], ..Spec::default() };
    spec.session.gap = Duration::from_secs(60);
    change(&mut spec);
    Arc::new(Plan::compile(&spec).expect("the test's plan compiles"))
}

#[derive(Clone, Debug)]
pub enum What {
    Decision {
        id: usize,
        viewer: u8,
        items: Vec<u8>,
        is_deferred: bool,
        served: Served,
    },
    Activation {
        id: usize,
    },
    Event {
        n: usize,
        viewer: u8,
        item: u8,
        kind: &'static str,
        value: f64,
        decision: Option<usize>,
    },
    Reward {
        n: usize,
        id: usize,
        value: f64,
    },
    Item {
        item: u8,
        stars: f64,
    },
    /// What waits for it leaves.
    Leaving {
        id: usize,
    },
    /// A reward comes from another partition: twice the same where `n` is.
    Passed {
        n: usize,
        id: usize,
        value: f64,
    },
    /// What left by records before the last `ago` has landed.
    Landed {
        ago: u64,
    },
    /// A spec is put in force, retired or proposed again; `is_other`: if it is the second, one that looks at something else.
    Control {
        version: u32,
        action: Act,
        is_other: bool,
    },
}

/// Something that happens `at` ms after the beginning and arrives `delay` ms later.
#[derive(Clone, Debug)]
pub struct Happening {
    pub at: i64,
    pub delay: i64,
    pub what: What,
}

fn what(n: usize) -> impl Strategy<Value = What> {
    let known = (n / 2).max(1);
    let served = prop_oneof![
        6 => Just(Served::Policy),
        1 => Just(Served::HeldOut),
        1 => Just(Served::OptedOut),
        1 => Just(Served::Elsewhere),
    ];
    let items = prop::sample::subsequence(vec![0u8, 1, 2, 3], 1..3).prop_shuffle();
    prop_oneof![
        3 => (0..4u8, items, prop::bool::weighted(0.2), served)
            .prop_map(move |(viewer, items, is_deferred, served)| What::Decision { id: n, viewer, items, is_deferred, served }),
        1 => (0..known).prop_map(|id| What::Activation { id }),
        6 => (0..4u8, 0..5u8, prop::sample::select(vec!["click", "progress", "scroll"]), 0..100u8, prop::option::weighted(0.3, 0..n + 1))
            .prop_map(move |(viewer, item, kind, value, decision)| What::Event { n, viewer, item, kind, value: f64::from(value) / 7.0, decision }),
        2 => (0..known, -50..50i8).prop_map(move |(id, value)| What::Reward { n, id, value: f64::from(value) / 3.0 }),
        1 => (0..4u8, 0..6u8).prop_map(|(item, stars)| What::Item { item, stars: f64::from(stars) }),
    ]
}

/// As [`what`], of a partition among others.
fn what_among(n: usize) -> impl Strategy<Value = What> {
    let known = (n / 2).max(1);
    prop_oneof![
        12 => what(n),
        1 => (0..n + 1).prop_map(|id| What::Leaving { id }),
        1 => (n / 2..n + 1, 0..n + 1, -50..50i8).prop_map(|(n, id, value)| What::Passed { n, id, value: f64::from(value) / 3.0 }),
        1 => (0..known as u64).prop_map(|ago| What::Landed { ago }),
        1 => (1..3u32, prop::sample::select(vec![Act::Activate, Act::Propose, Act::Retire]), any::<bool>())
            .prop_map(|(version, action, is_other)| What::Control { version, action, is_other }),
    ]
}

/// A history in order of event time; delays are below `delay_max` ms.
pub fn history(count: usize, every: i64, delay_max: i64) -> impl Strategy<Value = Vec<Happening>> {
    in_order((0..count).map(|n| (0..every, 0..delay_max, what(n)).boxed()).collect())
}

/// As [`history`], of a partition that exchanges with others.
pub fn history_among(count: usize, every: i64, delay_max: i64) -> impl Strategy<Value = Vec<Happening>> {
    in_order((0..count).map(|n| (0..every, 0..delay_max, what_among(n)).boxed()).collect())
}

fn in_order(steps: Vec<BoxedStrategy<(i64, i64, What)>>) -> impl Strategy<Value = Vec<Happening>> {
    steps.prop_map(|steps| {
        let mut now = 0;
        let happenings = steps.into_iter().map(|(step, delay, what)| {
            now += step;
            Happening { at: now, delay, what }
        });
        happenings.collect()
    })
}

/// The same in order of arrival.
pub fn arrivals(history: &[Happening]) -> Vec<Happening> {
    let mut arrivals = history.to_vec();
    arrivals.sort_by_key(|h| h.at + h.delay);
    arrivals
}

/// Of the second version, but with more signals and a longer window.
pub const OTHER: &str = r#"{"version": 2, "expression": "clicked + watched + seen", "wait": "20m", "aggregation": "sum", "signals": {
    "clicked": {"fold": "count", "on": ["click"]}, "watched": {"fold": "max", "on": ["progress"], "field": "value"},
    "seen": {"fold": "sum", "on": ["click"], "field": "value"}}}"#;

pub fn control<'a>(version: u32, action: Act) -> Record<'a> {
    control_by(version, action, REWARDS.get(version as usize - 1).copied().unwrap_or_default())
}

fn control_by(version: u32, action: Act, spec: &str) -> Record<'_> {
    let spec = if action == Act::Propose { spec } else { "" };
    Record::Control(Control { model: "home", action, version, spec, by: "test" })
}

/// Proposes both specs, the first in force.
pub fn begin(topology: &mut Topology, sink: &mut dyn Sink) -> u64 {
    let records = [control(1, Act::Propose), control(1, Act::Activate), control(2, Act::Propose)];
    for (offset, record) in (0..).zip(records) {
        let arrived = Arrived { ingest_time: IngestTime(T0), record };
        assert_eq!(topology.apply(Offset(offset), &arrived, sink), Outcome::Accepted);
    }
    3
}

/// As [`begin`], with the third spec too.
pub fn begin_with_all(topology: &mut Topology, sink: &mut dyn Sink) -> u64 {
    let offset = begin(topology, sink);
    let arrived = Arrived { ingest_time: IngestTime(T0), record: control(3, Act::Propose) };
    assert_eq!(topology.apply(Offset(offset), &arrived, sink), Outcome::Accepted);
    offset + 1
}

/// Applies what happened, as it arrives.
pub fn feed(topology: &mut Topology, offset: u64, h: &Happening, sink: &mut dyn Sink) -> Outcome {
    let ingest_time = IngestTime(T0 + h.at + h.delay);
    let time = EventTime(T0 + h.at);
    let name = |prefix: char, n: usize| format!("{prefix}{n}");
    let mut apply = |record| topology.apply(Offset(offset), &Arrived { ingest_time, record }, sink);
    match &h.what {
        What::Decision { id, viewer, items, is_deferred, served } => {
            let (id, viewer) = (name('d', *id), name('v', usize::from(*viewer)));
            let items: Vec<String> = items.iter().map(|item| name('i', usize::from(*item))).collect();
            apply(Record::Decision(Box::new(Decision {
                served: *served,
                deferred: *is_deferred,
                ..decision(&id, &viewer, time, &items)
            })))
        }
        What::Activation { id } => {
            apply(Record::Activation(Activation { decision: &name('d', *id), event_time: Some(time) }))
        }
        What::Event { n, viewer, item, kind, value, decision } => {
            let (id, viewer, item) = (name('e', *n), name('v', usize::from(*viewer)), name('i', usize::from(*item)));
            let decision = decision.map(|id| name('d', id));
            apply(Record::Event(Event {
                viewer: Some(&viewer),
                item: Some(&item),
                value: Some(*value),
                playhead_s: Some(*value),
                decision: decision.as_deref(),
                ..Event::new(&id, kind, time)
            }))
        }
        What::Reward { n, id, value } => {
            let (id, decision) = (name('r', *n), name('d', *id));
            apply(Record::Reward(ExplicitReward {
                decision: &decision,
                id: Some(&id),
                item: None,
                position: None,
                value: *value,
                event_time: Some(time),
            }))
        }
        What::Leaving { id } => apply(Record::Leaving(Leaving { decision: &name('d', *id), to: 7 })),
        What::Passed { n, id, value } => {
            let (id, decision) = (name('r', *n), name('d', *id));
            let (value, event_time) = (*value, None);
            let told =
                ExplicitReward { decision: &decision, id: Some(&id), item: None, position: None, value, event_time };
            let passed = Passed { from: 3, offset: *n as u64, event_time: time, told: Told::Reward(told) };
            apply(Record::Passed(Box::new(passed)))
        }
        What::Control { version, action, is_other } => {
            let spec = if *is_other && *version == 2 { OTHER } else { REWARDS[*version as usize - 1] };
            apply(control_by(*version, *action, spec))
        }
        What::Landed { ago } => apply(Record::Landed(Landed { until: offset.saturating_sub(*ago) })),
        What::Item { item, stars } => {
            let (item, mut fields) = (name('i', usize::from(*item)), vec![]);
            Fields::push(&mut fields, "stars", Value::Number(*stars));
            let fields = (*stars > 0.0).then(|| Fields::from_bytes(&fields));
            apply(Record::Item(Item { id: &item, fields }))
        }
    }
}

/// A decision for the items in order, each drawn with certainty.
pub fn decision<'a>(id: &'a str, viewer: &'a str, time: EventTime, items: &'a [String]) -> Decision<'a> {
    let pick = |candidate| Pick {
        candidate,
        propensity: 1.0,
        score: 0.5,
        joint: vec![],
        fields: Fields::default(),
        beliefs: vec![Belief { spec: 1, expected: 0.5, deviation: 0.25 }],
    };
    Decision {
        id,
        model: "home",
        event_time: time,
        session: None,
        viewer: Some(viewer),
        served: Served::Policy,
        deferred: false,
        ordinal: (time.0 - T0) as u64 / 1000,
        context_version: None,
        model_version: vec![0],
        reward_version: 1,
        context: vec![1.0, (time.0 % 17) as f64],
        candidates: items.iter().map(|item| Candidate { item, features: Fields::default() }).collect(),
        distribution: vec![1.0 / items.len() as f64; items.len()],
        picks: (0..items.len() as u32).map(pick).collect(),
        preferred: None,
    }
}

/// Time passes.
pub fn pass(topology: &mut Topology, offset: u64, to: i64, sink: &mut dyn Sink) {
    topology.apply(Offset(offset), &Arrived { ingest_time: IngestTime(T0 + to), record: Record::Tick }, sink);
}

pub fn attribute(attribute: Attribute) -> Arc<Plan> {
    plan(model(|model| model.attribute = attribute))
}
