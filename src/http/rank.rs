//! `POST /v1/rank/{model}`: decides, logs the decision, and answers once it is as durable as an event.
//!
//! A decision that is known by its id is answered from its record: by the same bytes, whatever the model has learnt since.

use super::asked::{Named, path, receive};
use super::body::Reserved;
use super::decide::{answer, decide, future, version};
use super::error::Refusal;
use super::query::Pairs;
use super::{App, body};
use crate::clock::now;
use crate::engine::Batch;
use crate::wire::RankRequest;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use saccade_topology::model::ModelVersion;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Ids of decisions whose request gives none: unlike those of other processes and earlier starts.
pub(super) struct Ids {
    start: u64,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Ids {
        use std::hash::{BuildHasher, RandomState};
        Ids { start: RandomState::new().hash_one(std::process::id()), next: AtomicU64::new(0) }
    }

    fn take(&self) -> String {
        format!("d-{:016x}-{:x}", self.start, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) async fn post(State(app): State<Arc<App>>, model: Named<String>, request: Request) -> Response {
    let begin = Instant::now();
    let done = take(&app, model, request).await;
    let response = match done {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    app.metrics.ranked(begin.elapsed(), response.status().as_u16());
    response
}

/// What a request comes to before the log is asked.
enum Made {
    /// The decision is known.
    Known(Vec<u8>),
    /// It is to be logged; then this is the answer.
    New { batch: Batch, id: String, json: Vec<u8> },
}

async fn take(app: &Arc<App>, model: Named<String>, request: Request) -> Result<Vec<u8>, Refusal> {
    let (parts, body) = request.into_parts();
    let asked = app.auth.decider(&parts).and_then(|key| {
        let version = version(app, &path(model)?)?;
        let explained = Pairs::of(&parts.uri).only(&["explain"])?.flag("explain")?;
        Ok((key, version, explained))
    });
    let ((key, version, explained), received) = receive(app, &parts.headers, body, asked).await?;
    if let Some(key) = key {
        app.rates.take(key, 1)?;
    }
    let read = Arc::clone(&version);
    let (made, _reserved): (_, Reserved) =
        body::digest(app, received, move |app, bytes| make(app, &read, bytes, explained)).await?;
    let (batch, id, json) = match made? {
        Made::Known(json) => return Ok(json),
        Made::New { batch, id, json } => (batch, id, json),
    };
    let receipt = app.engine.submit(batch.urgent()).await?;
    if receipt.duplicates > 0 {
        return known(app, &version, &id, explained).unwrap_or_else(|| Err(over(&id)));
    }
    if receipt.rejected > 0 {
        return Err(future(app));
    }
    Ok(json)
}

fn make(app: &App, version: &ModelVersion, bytes: &[u8], explained: bool) -> Result<Made, Refusal> {
    let arena = bumpalo::Bump::new();
    let mut request = RankRequest::read(bytes, &arena)?;
    request.viewer = app.reader.somebody(request.viewer);
    let id = match request.id {
        None => app.ids.take(),
        Some(id) => match known(app, version, id, explained) {
            Some(known) => return known.map(Made::Known),
            None => id.to_string(),
        },
    };
    let now = now();
    let mut batch = Batch::new(&app.engine, now);
    let json = decide(app, version, &request, &id, now, |decision| {
        let json = answer(version, &decision, explained);
        batch.push_decision(decision);
        json
    })?;
    Ok(Made::New { batch, id, json })
}

/// The answer of a decision that was made before and is not over.
fn known(app: &App, version: &ModelVersion, id: &str, explained: bool) -> Option<Result<Vec<u8>, Refusal>> {
    let open = app.engine.decisions().get(id)?;
    let decision = open.decision();
    let asked = &version.plan().spec.name;
    Some(match decision.model == asked {
        true => Ok(answer(version, &decision, explained)),
        false => {
            let message =
                format!("decision `{id}` is one of model `{}`, not of `{asked}`; take another id", decision.model);
            Err(Refusal::new(StatusCode::CONFLICT, "other_model", message))
        }
    })
}

fn over(id: &str) -> Refusal {
    let message = format!("decision `{id}` was made before and is over; take another id for another decision");
    Refusal::new(StatusCode::CONFLICT, "decision_over", message)
}

#[cfg(test)]
mod tests;
