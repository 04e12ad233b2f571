//! The rows of one body: those that go into a batch, those that do not and why.

use super::auth::WriteKey;
use super::body::Reserved;
use super::decide::{note_misread, record_elsewhere};
use super::error::Refusal;
use super::metrics::Source;
use super::{App, threads};
use crate::engine::{Batch, Receipt, Sent};
use crate::wire::{OtherRow, RowError};
use bumpalo::Bump;
use saccade_topology::{Event, IngestTime};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rejected rows that an answer lists; all are counted.
const REJECTED_LISTED_MAX: usize = 100;
/// Code of a row whose time the fold would refuse.
const FUTURE: &str = "future";
const NO_ROOM: &str = "catalogue_full";

/// Rows so far.
pub(super) struct Rows {
    batch: Batch,
    /// Rows of either fate.
    seen: usize,
    rejected: Vec<RowError>,
    codes: BTreeMap<&'static str, u64>,
}

impl Rows {
    pub(super) fn new(app: &App, ingest_time: IngestTime) -> Rows {
        Rows { batch: Batch::new(&app.engine, ingest_time), seen: 0, rejected: Vec::new(), codes: BTreeMap::new() }
    }

    /// Of a body: records take less than what they are read from.
    pub(super) fn of(app: &App, ingest_time: IngestTime, body: &[u8]) -> Rows {
        let mut rows = Rows::new(app, ingest_time);
        rows.batch.reserve(body.len());
        rows
    }

    /// Takes the next row, as a reader hands it out.
    pub(super) fn take(&mut self, app: &App, row: Result<Event<'_>, RowError>) {
        let index = self.seen;
        self.seen += 1;
        let admitted = row.and_then(|event| {
            let refused = |message| RowError { index, code: FUTURE, message };
            app.engine.admit(&event, self.batch.ingest_time).map_err(refused).map(|()| event)
        });
        match admitted {
            Ok(event) => self.batch.push(&event),
            Err(error) => self.reject(error),
        }
    }

    /// As [`Rows::take`], of rows that may be decisions made elsewhere and things of the catalogue too.
    pub(super) fn take_any<'a>(&mut self, app: &App, row: Result<Event<'a>, RowError>, arena: &'a Bump) {
        let other = row.as_ref().ok().and_then(|event| OtherRow::of(event, arena));
        let Some(other) = other else { return self.take(app, row) };
        let (now, batch) = (self.batch.ingest_time, &mut self.batch);
        let taken = other.and_then(|other| match other {
            OtherRow::Item(item) => {
                app.engine.plan().models().iter().for_each(|model| note_misread(app, model, item.fields.into_iter()));
                batch.push_item(item);
                Ok(())
            }
            OtherRow::Decision(told) => record_elsewhere(app, &told, now, |decision| batch.push_decision(decision)),
        });
        let index = self.seen;
        self.seen += 1;
        if let Err(error) = taken {
            self.reject(RowError { index, ..error });
        }
    }

    /// Notes a row that is not taken.
    fn reject(&mut self, error: RowError) {
        *self.codes.entry(error.code).or_default() += 1;
        if self.rejected.len() < REJECTED_LISTED_MAX {
            self.rejected.push(error);
        }
    }

    /// Hands the events to the engine, within what `key` may send.
    ///
    /// On `Ok` every row is counted in one bucket. On `Err` the sender is told and keeps its rows, so that none is counted;
    /// those of a CMCD player, who is not told, are lost and counted as rejected.
    ///
    /// `reserved` is held meanwhile, so that the bound on bodies also bounds what waits for the engine.
    pub(super) async fn submit(
        self,
        app: &Arc<App>,
        key: WriteKey,
        source: Source,
        reserved: Option<Reserved>,
    ) -> Result<Submitted, Refusal> {
        let Rows { batch, seen, rejected, codes } = self;
        let events = batch.len() as u64;
        let told = Told { app: app.clone(), source, events, rejected, codes, _reserved: reserved };
        if let Err(refusal) = app.rates.take(key, seen) {
            return told.settle(Err(refusal));
        }
        if events == 0 || app.config.discard {
            return told.settle(Ok(Receipt { accepted: events, ..Receipt::default() }));
        }
        match app.engine.send(batch.waited(threads::wait())) {
            Ok(sent) => Unsettled(Some((sent, told))).settle().await,
            Err(error) => told.settle(Err(error.into())),
        }
    }
}

/// What is told of rows beside what became of their events.
struct Told {
    app: Arc<App>,
    source: Source,
    events: u64,
    rejected: Vec<RowError>,
    codes: BTreeMap<&'static str, u64>,
    _reserved: Option<Reserved>,
}

impl Told {
    /// Counts every row in its bucket.
    fn settle(self, receipt: Result<Receipt, Refusal>) -> Result<Submitted, Refusal> {
        let Told { app, source, events, rejected, codes, .. } = self;
        if receipt.is_ok() || source == Source::Cmcd {
            codes.iter().for_each(|(code, n)| app.metrics.rejected(source, code, *n));
        }
        let results = app.metrics.results(source);
        match receipt {
            Ok(receipt) => {
                results.accepted.increment(receipt.accepted);
                results.duplicate.increment(receipt.duplicates);
                results.late.increment(receipt.late);
                // The fold may still refuse what `admit` passed: it knows the clocks of running sessions.
                if receipt.rejected > 0 {
                    app.metrics.rejected(source, FUTURE, receipt.rejected);
                }
                if receipt.no_room > 0 {
                    app.metrics.rejected(source, NO_ROOM, receipt.no_room);
                }
                let rejected_total = codes.values().sum::<u64>() + receipt.rejected + receipt.no_room;
                Ok(Submitted { receipt, rejected, rejected_total })
            }
            Err(refusal) => {
                if source == Source::Cmcd {
                    app.metrics.rejected(source, refusal.code, events);
                }
                Err(refusal)
            }
        }
    }
}

/// A batch that waits for its answer. Where the sender hangs up meanwhile, as a page that is left does, it goes on as a task of its own:
/// its events count too.
struct Unsettled(Option<(Sent, Told)>);

impl Unsettled {
    async fn settle(mut self) -> Result<Submitted, Refusal> {
        let (sent, _) = self.0.as_mut().expect("it is there until it is settled");
        let receipt = sent.answer().await.map_err(Refusal::from);
        let (_, told) = self.0.take().expect("it is there until it is settled");
        told.settle(receipt)
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        // Without a runtime the process is stopping. What is spawned is not another of these: a runtime that stops drops it at once.
        if let (Some((mut sent, told)), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { told.settle(sent.answer().await.map_err(Refusal::from)) });
        }
    }
}

/// What became of a batch.
pub(super) struct Submitted {
    /// The events.
    pub(super) receipt: Receipt,
    /// The first rows that were not taken.
    pub(super) rejected: Vec<RowError>,
    /// All rows that were not taken.
    pub(super) rejected_total: u64,
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, request};
    use std::time::Duration;

    #[tokio::test]
    async fn a_row_that_is_not_taken_is_among_what_the_dashboard_calls_rejected() {
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../deploy/grafana/saccade.json")).expect("the dashboard is JSON");
        let mut panels = dashboard["panels"].as_array().expect("panels").iter();
        let panel = panels.find(|panel| panel["title"] == "Late and rejected").expect("it is there");
        let asked = panel["targets"][0]["expr"].as_str().expect("an expression");
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), format!("{}\n{{}}", event("e1", "s1"))).await;
        let served = site.metrics();
        let names = asked.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("saccade_"));
        for name in names {
            let is_counted = |line: &str| line.starts_with(name) && line.ends_with("result=\"rejected\"} 1");
            assert!(served.lines().any(is_counted), "{name} is not counted in\n{served}");
        }
    }

    #[tokio::test]
    async fn events_of_a_sender_that_hung_up_are_counted_too() {
        let site = Site::new(|_| {});
        let mut sent = 0;
        // Other threads answer, later; a busy machine may let them do it before this one looks.
        let mut is_answered = true;
        while is_answered {
            sent += 1;
            let mut sending = Box::pin(site.send(request("POST", "/v1/events"), event(&format!("e{sent}"), "s1")));
            is_answered = tokio::select! {
                biased;
                _ = &mut sending => true,
                () = std::future::ready(()) => false,
            };
        }
        let all = format!("saccade_ingest_events_total{{source=\"events\",result=\"accepted\"}} {sent}\n");
        let counted = async {
            while !site.metrics().contains(&all) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), counted).await.expect("it is counted");
    }
}
