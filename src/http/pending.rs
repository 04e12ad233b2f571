//! Stand-ins for what other branches bring: same names, same signatures, just enough behaviour for the tests.
//!
//! At merge: delete this file and replace `super::pending::` and `pending::` by `crate::`.

/// For `crate::wire`.
pub mod wire {
    use crate::config::Ingest;
    use crate::wire::RowError;
    use saccade_topology::{Event, EventTime};
    use serde_json::Value;

    #[derive(Debug, thiserror::Error)]
    #[error("the body is neither JSON nor NDJSON")]
    pub struct BodyError;

    pub struct EventReader;

    impl EventReader {
        pub fn new(_: &Ingest) -> Result<Self, String> {
            Ok(EventReader)
        }

        pub fn read_body<'a>(
            &self,
            body: &'a [u8],
            arena: &'a bumpalo::Bump,
            row: &mut dyn FnMut(Result<Event<'a>, RowError>),
        ) -> Result<(), BodyError> {
            let value: Value = serde_json::from_slice(body).map_err(|_| BodyError)?;
            let rows = match value {
                Value::Array(rows) => rows,
                one => vec![one],
            };
            for (index, value) in rows.iter().enumerate() {
                let text = |name: &str| value[name].as_str().map(|text| &*arena.alloc_str(text));
                row(match (text("id"), text("type"), value["event_time"].as_i64()) {
                    (Some(id), Some(kind), Some(time)) => {
                        let mut event = Event::new(id, kind, EventTime(time));
                        (event.session, event.viewer) = (text("session"), text("viewer"));
                        Ok(event)
                    }
                    _ => Err(RowError {
                        index,
                        code: "missing_field",
                        message: "an event has id, type, event_time".into(),
                    }),
                });
            }
            Ok(())
        }
    }
}

/// For `crate::cmcd`.
pub mod cmcd {
    use crate::config::Cmcd;
    use crate::wire::RowError;
    use bumpalo::Bump;
    use saccade_topology::{Event, EventTime, IngestTime};

    pub struct Request<'a> {
        pub session: Option<&'a str>,
        pub viewer: Option<&'a str>,
    }

    pub fn read_body<'a>(
        body: &'a str,
        request: &Request<'a>,
        arrival: IngestTime,
        _: &Cmcd,
        arena: &'a Bump,
        row: &mut dyn FnMut(Result<Event<'a>, RowError>),
    ) {
        for (index, line) in body.lines().enumerate() {
            row(record(index, line, request, arrival, arena));
        }
    }

    pub fn read_query<'a>(
        decoded: &'a str,
        request: &Request<'a>,
        arrival: IngestTime,
        config: &Cmcd,
        arena: &'a Bump,
        row: &mut dyn FnMut(Result<Event<'a>, RowError>),
    ) {
        read_body(decoded, request, arrival, config, arena, row);
    }

    pub fn read_headers<'a>(
        values: &[&'a str],
        request: &Request<'a>,
        arrival: IngestTime,
        config: &Cmcd,
        arena: &'a Bump,
        row: &mut dyn FnMut(Result<Event<'a>, RowError>),
    ) {
        read_body(arena.alloc_str(&values.join(",")), request, arrival, config, arena, row);
    }

    fn record<'a>(
        index: usize,
        line: &'a str,
        request: &Request<'a>,
        arrival: IngestTime,
        arena: &'a Bump,
    ) -> Result<Event<'a>, RowError> {
        let pair = |name: &str| line.split(',').filter_map(|p| p.split_once('=')).find(|p| p.0 == name).map(|p| p.1);
        let session = pair("sid").map(|sid| sid.trim_matches('"')).or(request.session);
        if session.is_none() {
            return Err(RowError { index, code: "no_session", message: "a record has a sid".into() });
        }
        let mut event = Event::new(arena.alloc_str(line), "play", EventTime(arrival.0));
        (event.session, event.viewer) = (session, request.viewer);
        Ok(event)
    }
}

/// For `crate::engine`.
pub mod engine {
    use crate::config::Config;
    pub use crate::engine::{Context, ContextKind, Receipt, SubmitError};
    use saccade_topology::{Event, IngestTime};
    use std::collections::{HashMap, HashSet};
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use tokio::sync::{broadcast, watch};

    pub struct Batch {
        pub ingest_time: IngestTime,
        events: Vec<(String, Option<String>, Option<String>, i64)>,
    }

    impl Batch {
        pub fn new(_: &Engine, ingest_time: IngestTime) -> Batch {
            Batch { ingest_time, events: Vec::new() }
        }
        pub fn push(&mut self, event: &Event<'_>) {
            let owned = |text: Option<&str>| text.map(str::to_string);
            self.events.push((event.id.into(), owned(event.session), owned(event.viewer), event.event_time.0));
        }
        pub fn len(&self) -> usize {
            self.events.len()
        }
    }

    type Key = (ContextKind, String);

    pub struct Engine {
        max_future: i64,
        slots: Vec<String>,
        seen: Mutex<HashSet<String>>,
        contexts: Contexts,
    }

    impl Engine {
        pub fn open(config: &Config, _: &Path) -> Result<Engine, String> {
            Ok(Engine {
                max_future: config.time.max_future.0,
                slots: vec!["events".into()],
                seen: Mutex::default(),
                contexts: Contexts {
                    latest: Mutex::default(),
                    watches: Mutex::default(),
                    all: broadcast::channel(config.publish.stream_buffer).0,
                },
            })
        }
        pub async fn submit(&self, batch: Batch) -> Result<Receipt, SubmitError> {
            let mut receipt = Receipt::default();
            let mut published = Vec::new();
            for (id, session, viewer, event_time) in batch.events {
                let mut seen = self.seen.lock().expect("shim");
                if !seen.insert(id) {
                    receipt.duplicates += 1;
                    continue;
                }
                receipt.accepted += 1;
                let version = seen.len() as u64;
                let (vector, updates) = (vec![version as f32], 0);
                published.push(self.contexts.publish(Context {
                    session,
                    viewer,
                    version,
                    event_time,
                    vector,
                    updates,
                }));
            }
            let _ = self.contexts.all.send(Arc::new(published));
            Ok(receipt)
        }
        pub fn admit(&self, event: &Event<'_>, ingest_time: IngestTime) -> Result<(), String> {
            let ahead = event.event_time.0 - ingest_time.0;
            if ahead > self.max_future { Err(format!("event_time is {ahead} ms ahead")) } else { Ok(()) }
        }
        pub fn contexts(&self) -> &Contexts {
            &self.contexts
        }
        pub fn ready(&self) -> bool {
            true
        }
        pub fn schema(&self) -> serde_json::Value {
            serde_json::json!({"schema_version": self.schema_version(), "slots": self.slots})
        }
        pub fn schema_version(&self) -> &str {
            "shim"
        }
        pub fn slot_names(&self) -> &[String] {
            &self.slots
        }
        pub fn metrics(&self) -> String {
            String::new()
        }
    }

    pub struct Contexts {
        latest: Mutex<HashMap<Key, Context>>,
        watches: Mutex<HashMap<Key, watch::Sender<u64>>>,
        all: broadcast::Sender<Arc<Vec<Context>>>,
    }

    impl Contexts {
        pub fn get(&self, kind: ContextKind, id: &str) -> Option<Context> {
            self.latest.lock().expect("shim").get(&(kind, id.to_string())).cloned()
        }
        pub fn watch(&self, kind: ContextKind, id: &str) -> watch::Receiver<u64> {
            let mut watches = self.watches.lock().expect("shim");
            watches.entry((kind, id.to_string())).or_insert_with(|| watch::channel(0).0).subscribe()
        }
        pub fn follow(&self) -> broadcast::Receiver<Arc<Vec<Context>>> {
            self.all.subscribe()
        }
        fn publish(&self, context: Context) -> Context {
            let session = context.session.clone().map(|id| (ContextKind::Session, id));
            let viewer = context.viewer.clone().map(|id| (ContextKind::Viewer, id));
            for key in session.into_iter().chain(viewer) {
                let mut latest = self.latest.lock().expect("shim");
                let updates = latest.get(&key).map_or(0, |context| context.updates) + 1;
                latest.insert(key.clone(), Context { updates, ..context.clone() });
                if let Some(watch) = self.watches.lock().expect("shim").get(&key) {
                    watch.send_replace(context.version);
                }
            }
            context
        }
    }
}
