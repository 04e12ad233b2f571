//! The server's own fold, offline: what the contexts of some viewers have to be after exactly these events.

use bumpalo::Bump;
use saccade::config::Config;
use saccade::wire::EventReader;
use saccade_topology::{
    Arrived, ContextRef, IngestTime, Kind, Offset, Outcome, Plan, Record, SessionEnd, Sink, Topology,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Configuration, compiled as the server does.
pub struct Folder {
    plan: Arc<Plan>,
    reader: EventReader,
    config: Config,
}

/// A context as it has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Greatest event time, epoch milliseconds.
    pub event_time: i64,
    /// One number per slot.
    pub vector: Vec<f32>,
}

/// Contexts of sessions that are live after the last event.
pub type Contexts = BTreeMap<String, Expected>;

impl Folder {
    /// Of the server's configuration file, or of the built-in default.
    pub fn new(path: Option<&Path>) -> Result<Folder, String> {
        let config = Config::load(path).map_err(|e| e.to_string())?;
        let plan = Arc::new(Plan::compile(&config.spec()).map_err(|e| format!("configuration: {e}"))?);
        let reader = EventReader::new(&config.ingest).map_err(|e| format!("configuration: {e}"))?;
        Ok(Folder { plan, reader, config })
    }

    /// Names the layout of its vectors.
    pub fn schema_version(&self) -> &str {
        self.plan.schema_version()
    }

    /// A player's clock that is off by more is corrected by its arrival at the server, which only the server knows.
    pub fn skew_tolerance_ms(&self) -> i64 {
        self.config.time.skew_tolerance.0
    }

    /// Silence after which a session may have ended, milliseconds.
    pub fn session_gap_ms(&self) -> i64 {
        self.config.session.gap.0
    }

    /// Folds events, each with the time at which it was sent. Arrival order changes nothing within the lateness, so they are
    /// taken in event-time order: then none is late here.
    pub fn fold<'a>(&self, events: impl Iterator<Item = (&'a str, i64)>) -> Result<Contexts, String> {
        let arena = Bump::new();
        let mut records = vec![];
        for (text, sent_ms) in events {
            let read = self.reader.read_event(text, &arena);
            let event = read.map_err(|e| format!("{}: {} in {text}", e.code, e.message))?;
            records.push((event, IngestTime(sent_ms)));
        }
        records.sort_by(|(a, _), (b, _)| (a.event_time, a.id).cmp(&(b.event_time, b.id)));
        let mut fold = Topology::new(Arc::clone(&self.plan));
        let mut contexts = Latest::default();
        for (offset, (event, ingest_time)) in (1..).zip(records) {
            let arrived = Arrived { ingest_time, record: Record::Event(event) };
            match fold.apply(Offset(offset), &arrived, &mut contexts) {
                Outcome::Accepted => {}
                other => return Err(format!("the server accepted `{}`, the fold here says {other:?}", event.id)),
            }
        }
        Ok(contexts.sessions)
    }
}

/// The latest context of every session. What has ended stays as it was published last, which readers may still have seen.
#[derive(Default)]
struct Latest {
    sessions: Contexts,
}

impl Sink for Latest {
    fn context(&mut self, context: &ContextRef<'_>) {
        let (Kind::Session, Some(session)) = (context.kind, context.session) else { return };
        let expected = Expected { event_time: context.event_time, vector: context.vector.to_vec() };
        self.sessions.insert(session.into(), expected);
    }

    fn ended(&mut self, _: &SessionEnd<'_>) {}

    fn removed(&mut self, _: Kind, _: u32, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    fn event(id: &str, after_ms: i64) -> String {
        let event_time = START + after_ms;
        format!(r#"{{"id":"{id}","type":"click","event_time":{event_time},"session":"s","viewer":"v"}}"#)
    }

    #[test]
    fn the_fold_is_that_of_the_events_in_any_order() {
        let folder = Folder::new(None).expect("the default configuration loads");
        let events = [event("a", 1_000), event("b", 2_000), event("c", 3_000)];
        let in_order = folder.fold(events.iter().map(|text| (text.as_str(), START + 3_000))).expect("valid events");
        let reversed =
            folder.fold(events.iter().rev().map(|text| (text.as_str(), START + 3_000))).expect("valid events");
        assert_eq!(in_order, reversed);
        assert_eq!((in_order["s"].event_time, in_order["s"].vector[0]), (START + 3_000, 3.0));
    }

    #[test]
    fn one_event_less_is_another_vector() {
        let folder = Folder::new(None).expect("the default configuration loads");
        let events = [event("a", 1_000), event("b", 2_000)];
        let fold =
            |n: usize| folder.fold(events[..n].iter().map(|text| (text.as_str(), START + 2_000))).expect("valid");
        assert_ne!(fold(1)["s"].vector, fold(2)["s"].vector);
    }

    #[test]
    fn an_event_that_the_fold_does_not_take_is_told() {
        let folder = Folder::new(None).expect("the default configuration loads");
        let twice = [event("a", 1_000), event("a", 1_000)];
        let error = folder.fold(twice.iter().map(|text| (text.as_str(), START + 1_000))).expect_err("a duplicate");
        assert!(error.contains("`a`") && error.contains("Duplicate"), "{error}");
        assert!(folder.fold([("{}", 0)].into_iter()).expect_err("no event").contains("missing_field"));
    }
}
