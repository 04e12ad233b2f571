//! What the interface counts. Labels come from fixed sets only.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

const EVENTS: &str = "saccade_ingest_events_total";
const REQUESTS: &str = "saccade_ingest_requests_total";
const REJECTED: &str = "saccade_ingest_rejected_total";
const BYTES: &str = "saccade_ingest_bytes_total";
const RANK: &str = "saccade_rank_seconds";
const RANKED: &str = "saccade_rank_requests_total";
/// Statuses that are counted from the start, so that a first one is seen as an increase: what to look for.
const TROUBLE: [u16; 6] = [400, 401, 413, 429, 503, 507];
const UNLISTED: &str = "saccade_rank_unlisted_features_total";
const MISREAD: &str = "saccade_item_features_misread_total";
const STREAMS: &str = "saccade_streams";
const CONNECTIONS: &str = "saccade_connections";
/// Bytes of a sender's name that the server's own log repeats.
const NAME_SHOWN_MAX: usize = 64;

/// By which call events came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `/v1/events`
    Events,
    /// `/v1/cmcd`
    Cmcd,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Events => "events",
            Source::Cmcd => "cmcd",
        }
    }

    fn route(self) -> &'static str {
        match self {
            Source::Events => "/v1/events",
            Source::Cmcd => "/v1/cmcd",
        }
    }
}

/// Handles of what is counted for every request, so that no registry is searched for them.
pub(super) struct Metrics {
    events: Results,
    cmcd: Results,
    bytes: Counter,
    /// Requests for a decision, and those that were answered.
    rank: Histogram,
    decided: Counter,
    /// Readers of the context stream.
    pub(super) streams: Gauge,
    /// Models of which a feature that is not listed was told in the server's own log, and models with features of items that were
    /// of another type.
    told: Mutex<BTreeSet<(String, Option<String>)>>,
}

/// Counters of one source, one for each bucket an event can end in.
pub(super) struct Results {
    /// Requests that went as usual, and the status that says so.
    usual: (u16, Counter),
    pub(super) accepted: Counter,
    pub(super) duplicate: Counter,
    pub(super) late: Counter,
    pub(super) rejected: Counter,
}

fn requests(source: Source, status: u16) -> Counter {
    counter!(REQUESTS, "route" => source.route(), "status" => status.to_string())
}

fn ranked(status: u16) -> Counter {
    counter!(RANKED, "status" => status.to_string())
}

impl Results {
    fn new(source: Source) -> Results {
        let of = |result: &'static str| counter!(EVENTS, "source" => source.name(), "result" => result);
        let status = if source == Source::Events { 202 } else { 204 };
        Results {
            usual: (status, requests(source, status)),
            accepted: of("accepted"),
            duplicate: of("duplicate"),
            late: of("late"),
            rejected: of("rejected"),
        }
    }
}

impl Metrics {
    /// Describes and registers; the recorder has to be installed before.
    pub(super) fn new() -> Metrics {
        describe_counter!(EVENTS, Unit::Count, "Events received, by source and by the one bucket each ended in");
        describe_counter!(REQUESTS, Unit::Count, "Requests that bring events, by route and status");
        describe_counter!(
            REJECTED,
            Unit::Count,
            "Rows not taken, by code; a CMCD request dropped unread counts as one"
        );
        describe_counter!(BYTES, Unit::Bytes, "Bytes of requests that bring events, as sent");
        describe_counter!(
            UNLISTED,
            Unit::Count,
            "Numbers in `features` of requests for a decision that their model does not list, so that they count for nothing"
        );
        describe_counter!(
            MISREAD,
            Unit::Count,
            "Features of items, in requests for a decision or rows of the catalogue, that a model looks at and whose values are of another type, so that they count as absent"
        );
        describe_counter!(RANKED, Unit::Count, "Requests for a decision, by status");
        for status in TROUBLE {
            [Source::Events, Source::Cmcd].iter().for_each(|source| requests(*source, status).absolute(0));
            ranked(status).absolute(0);
        }
        describe_gauge!(STREAMS, Unit::Count, "Readers of /v1/context/stream");
        describe_histogram!(
            RANK,
            Unit::Seconds,
            "All requests for a decision, refused ones too, from their head to their answer"
        );
        Metrics {
            events: Results::new(Source::Events),
            cmcd: Results::new(Source::Cmcd),
            bytes: counter!(BYTES),
            rank: histogram!(RANK),
            decided: ranked(200),
            streams: gauge!(STREAMS),
            told: Mutex::default(),
        }
    }

    /// Buckets of one source.
    pub(super) fn results(&self, source: Source) -> &Results {
        match source {
            Source::Events => &self.events,
            Source::Cmcd => &self.cmcd,
        }
    }

    /// Counts `n` rows of `source` that were not taken.
    pub(super) fn rejected(&self, source: Source, code: &'static str, n: u64) {
        self.results(source).rejected.increment(n);
        counter!(REJECTED, "code" => code).increment(n);
    }

    /// Counts `n` features that a request for a decision brought for nothing; `name` is that of the first.
    pub(super) fn unlisted(&self, model: &str, n: u64, name: &str) {
        counter!(UNLISTED, "model" => model.to_owned()).increment(n);
        if self.is_news(model, None) {
            let name = &name[..name.floor_char_boundary(NAME_SHOWN_MAX)];
            tracing::warn!(model, feature = ?name, "requests bring a feature that the model does not list; it counts for nothing");
        }
    }

    /// Counts `n` items with a feature of another type than the model takes.
    pub(super) fn misread(&self, model: &str, field: &str, n: u64) {
        counter!(MISREAD, "model" => model.to_owned(), "field" => field.to_owned()).increment(n);
        if self.is_news(model, Some(field)) {
            tracing::warn!(
                model,
                field,
                "an item has a feature of another type, which counts as absent: without `values` it is a number or truth value, with them a text or a list of texts"
            );
        }
    }

    fn is_news(&self, model: &str, field: Option<&str>) -> bool {
        let mut told = self.told.lock().expect("nobody panics while they hold it");
        told.insert((model.to_owned(), field.map(str::to_owned)))
    }

    /// Counts a request and its answer.
    pub(super) fn request(&self, source: Source, status: u16) {
        match &self.results(source).usual {
            (usual, counter) if *usual == status => counter.increment(1),
            _ => requests(source, status).increment(1),
        }
    }

    /// Counts a request for a decision and its answer.
    pub(super) fn ranked(&self, took: Duration, status: u16) {
        self.rank.record(took);
        match status {
            200 => self.decided.increment(1),
            status => ranked(status).increment(1),
        }
    }

    /// Counts bytes as they were sent.
    pub(super) fn bytes(&self, n: usize) {
        self.bytes.increment(n as u64);
    }
}

/// Open connections: there are some before there is anything else to count.
pub(super) fn connections() -> Gauge {
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections");
    gauge!(CONNECTIONS)
}

/// Adds one to a gauge for as long as it lives.
pub(super) struct Held(Gauge);

impl Held {
    pub(super) fn new(gauge: &Gauge) -> Held {
        gauge.increment(1.0);
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::BTreeSet;
    use crate::http::testing::{Site, event, request};

    const DASHBOARD: &str = include_str!("../../deploy/grafana/saccade.json");

    /// Names in the expressions of a dashboard.
    fn asked(value: &serde_json::Value, names: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => object.values().for_each(|value| asked(value, names)),
            serde_json::Value::Array(list) => list.iter().for_each(|value| asked(value, names)),
            serde_json::Value::String(text) => {
                let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names
                    .extend(words.filter(|w| w.starts_with("saccade_") || w.starts_with("process_")).map(String::from));
            }
            _ => {}
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_serves_every_metric_that_the_dashboard_asks_for() {
        let site = Site::counted_by_the_process();
        let body = format!("{}\n{}", event("e1", "s"), r#"{"id":"e2"}"#);
        assert_eq!(site.send(request("POST", "/v1/events"), body).await.status, 202);
        // A stop writes a checkpoint.
        let engine = site.app.engine.clone();
        tokio::task::spawn_blocking(move || engine.stop()).await.expect("the engine stops");
        let served = site.send(request("GET", "/metrics"), "").await.body;
        let samples = served.lines().filter(|line| !line.starts_with('#'));
        let served: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
        let mut names = BTreeSet::new();
        asked(&serde_json::from_str(DASHBOARD).expect("the dashboard is JSON"), &mut names);
        assert!(names.len() > 20, "{names:?}");
        let missing: Vec<&String> = names.iter().filter(|name| !served.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?} are not among {served:?}");
    }
}
