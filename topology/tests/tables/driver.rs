//! A topology driven by hand: events in, the latest contexts by name of slot out.

use saccade_topology::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Zero of event time in these tests: a Monday, midnight UTC.
pub const T0: i64 = 1_790_553_600_000;

/// A feature with nothing but its name and type.
pub fn feature(name: &str, kind: FeatureType) -> FeatureSpec {
    FeatureSpec {
        name: name.into(),
        kind,
        scope: Scope::Session,
        field: None,
        on: None,
        by: None,
        values: None,
        half_lives: None,
        over: None,
        outputs: None,
        size: None,
        absent: None,
        scale: None,
    }
}

pub fn list(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| word.to_string()).collect())
}

pub fn field(name: &str) -> Option<String> {
    Some(name.into())
}

pub fn seconds(half_lives: &[i64]) -> Option<Vec<Duration>> {
    Some(half_lives.iter().map(|s| Duration::from_secs(*s)).collect())
}

/// Default times and limits, an hour of lateness, these features.
pub fn spec(features: Vec<FeatureSpec>) -> Spec {
    let mut spec = Spec { features, ..Spec::default() };
    spec.time.allowed_lateness = Duration::from_secs(3600);
    spec
}

/// An event of session `s`, `ms` after [`T0`]. The driver gives it an id.
pub fn at(ms: i64, kind: &str) -> Event<'_> {
    Event { session: Some("s"), ..Event::new("", kind, EventTime(T0 + ms)) }
}

/// What came out, besides contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Session, start and last since T0, events, reason.
    Ended(String, i64, i64, u64, EndReason),
    Removed(Kind, String),
}

/// The latest context of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    pub session: Option<String>,
    pub viewer: Option<String>,
    pub event_time: i64,
    pub vector: Vec<f32>,
}

#[derive(Default)]
pub struct Seen {
    pub contexts: BTreeMap<(Kind, String), Context>,
    pub outputs: Vec<Output>,
}

impl Sink for Seen {
    fn context(&mut self, c: &ContextRef<'_>) {
        let key = if c.kind == Kind::Session { c.session } else { c.viewer };
        let context = Context {
            session: c.session.map(str::to_string),
            viewer: c.viewer.map(str::to_string),
            event_time: c.event_time - T0,
            vector: c.vector.to_vec(),
        };
        self.contexts.insert((c.kind, key.expect("a context has a key").to_string()), context);
    }
    fn ended(&mut self, end: &SessionEnd<'_>) {
        let (start, last) = (end.start - T0, end.last - T0);
        self.outputs.push(Output::Ended(end.session.to_string(), start, last, end.events, end.reason));
    }
    fn removed(&mut self, kind: Kind, _: u32, key: &str) {
        self.outputs.push(Output::Removed(kind, key.to_string()));
    }
}

pub struct Driver {
    pub topology: Topology,
    pub seen: Seen,
    offset: u64,
    ingest_time: i64,
}

impl Driver {
    pub fn new(spec: &Spec) -> Self {
        let plan = Plan::compile(spec).expect("the test's specification compiles");
        Driver { topology: Topology::new(Arc::new(plan)), seen: Seen::default(), offset: 0, ingest_time: i64::MIN }
    }

    /// Features over these events of session `s`, each arriving when it happens or with the latest before it.
    pub fn over(features: Vec<FeatureSpec>, events: &[Event<'_>]) -> Self {
        let mut driver = Driver::new(&spec(features));
        events.iter().for_each(|event| driver.accept(*event));
        driver
    }

    /// An event arrives at its own time, or with the latest arrival where that is later.
    pub fn send(&mut self, event: Event<'_>) -> Outcome {
        self.send_at(event.event_time.0 - T0, event)
    }

    /// An event arrives `ms` after [`T0`], or with the latest arrival where that is later.
    pub fn send_at(&mut self, ms: i64, event: Event<'_>) -> Outcome {
        let id = format!("e{:06}", self.offset);
        let event = Event { id: if event.id.is_empty() { &id } else { event.id }, ..event };
        self.record(ms, Record::Event(event))
    }

    pub fn accept(&mut self, event: Event<'_>) {
        assert_eq!(self.send(event), Outcome::Accepted, "{event:?}");
    }

    pub fn tick(&mut self, ms: i64) {
        assert_eq!(self.record(ms, Record::Tick), Outcome::Ticked);
    }

    fn record(&mut self, ms: i64, record: Record<'_>) -> Outcome {
        self.ingest_time = self.ingest_time.max(T0 + ms);
        let arrived = Arrived { ingest_time: IngestTime(self.ingest_time), record };
        self.offset += 1;
        self.topology.apply(Offset(self.offset), &arrived, &mut self.seen)
    }

    pub fn context(&self, kind: Kind, key: &str) -> &Context {
        self.seen.contexts.get(&(kind, key.to_string())).expect("the key has a context")
    }

    /// Slot of session `s`.
    pub fn slot(&self, name: &str) -> f64 {
        self.slot_of(Kind::Session, "s", name)
    }

    pub fn slot_of(&self, kind: Kind, key: &str, name: &str) -> f64 {
        let slots = self.topology.plan().slots();
        let place = slots.iter().position(|slot| slot.name == name);
        let place = place
            .unwrap_or_else(|| panic!("no slot {name} in {:?}", slots.iter().map(|s| &s.name).collect::<Vec<_>>()));
        let context = self.context(kind, key);
        // A viewer with a live session shows that session's vector.
        let vector = match (context.vector.is_empty(), &context.session) {
            (true, Some(session)) => &self.context(Kind::Session, session).vector,
            _ => &context.vector,
        };
        f64::from(vector[place])
    }

    /// Asserts slots of session `s`, to a millionth.
    pub fn check(&self, expected: &[(&str, f64)]) {
        for (name, value) in expected {
            assert_close(self.slot(name), *value, name);
        }
    }
}

/// To a millionth of the greater of 1 and the value: slots are `f32`.
pub fn assert_close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{what}: {got}, not {expected}");
}
