//! `POST /v1/decisions/{id}/reward`, `…/activate` and `GET /v1/decisions/{id}`: what is told of a decision, and its record.

use super::asked::{Named, path, receive};
use super::decide::future;
use super::error::Refusal;
use super::query::Pairs;
use super::{App, body};
use crate::clock::now;
use crate::engine::{Batch, Receipt};
use crate::wire::{ActivateRequest, RewardRequest, decision_id, write_decision};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use saccade_topology::model::RewardEnd;
use saccade_topology::{Record, check_future};
use std::sync::Arc;
use std::time::Duration;

/// How long `?sync=true` waits for the learner.
const SYNC_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
enum Told {
    Reward,
    Activation,
}

pub(super) async fn reward(State(app): State<Arc<App>>, id: Named<String>, request: Request) -> Response {
    tell(&app, id, request, Told::Reward).await.unwrap_or_else(Refusal::into_response)
}

pub(super) async fn activate(State(app): State<Arc<App>>, id: Named<String>, request: Request) -> Response {
    tell(&app, id, request, Told::Activation).await.unwrap_or_else(Refusal::into_response)
}

async fn tell(app: &Arc<App>, id: Named<String>, request: Request, what: Told) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let asked = app.auth.decider(&parts).and_then(|key| {
        let id = path(id)?;
        decision_id(&id)?;
        let sync = Pairs::of(&parts.uri).only(&["sync"])?.flag("sync")?;
        Ok((key, id, sync))
    });
    let ((key, id, sync), received) = receive(app, &parts.headers, body, asked).await?;
    if let Some(key) = key {
        app.rates.take(key, 1)?;
    }
    let named = id.clone();
    let (batch, _reserved) = body::digest(app, received, move |app, bytes| read(app, &named, bytes, what)).await?;
    let batch = if sync { batch?.at_once() } else { batch? };
    let is_open = app.engine.decisions().get(&id).is_some();
    let receipt = app.engine.submit(batch).await?;
    let outcome = outcome(app, &id, what, is_open, receipt)?;
    if let Some(place) = receipt.last.filter(|_| sync)
        && tokio::time::timeout(SYNC_MAX, app.engine.learnt(place)).await.is_err()
    {
        let message = "the outcome is in the log, but no model version covers it yet";
        return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "not_learnt", message));
    }
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "decision": id, "outcome": outcome }))).into_response())
}

fn read(app: &App, id: &str, bytes: &[u8], what: Told) -> Result<Batch, Refusal> {
    let (arena, now) = (bumpalo::Bump::new(), now());
    let mut batch = Batch::new(&app.engine, now);
    let partition = app.engine.partition_of_decision(id);
    match what {
        Told::Reward => batch.push_to(partition, Record::Reward(RewardRequest::read(bytes, &arena)?.of(id))),
        Told::Activation => {
            let request = ActivateRequest::read(bytes, &arena)?;
            // A record that is not taken does not say why: one that is of no deferred decision would look the same.
            if request.event_time.is_some_and(|time| check_future(&app.config.time, time.0, now).is_err()) {
                return Err(future(app));
            }
            batch.push_to(partition, Record::Activation(request.of(id)));
        }
    }
    Ok(batch)
}

fn outcome(app: &App, id: &str, what: Told, is_open: bool, receipt: Receipt) -> Result<&'static str, Refusal> {
    match (what, receipt) {
        (_, Receipt { duplicates: 1.., .. }) => Ok("duplicate"),
        (Told::Activation, Receipt { rejected: 1.., .. }) => {
            let why = if is_open { "is not deferred, or was activated before" } else { "is unknown or over" };
            let message =
                format!("decision `{id}` {why}; only open decisions that were asked for with `deferred` are activated");
            Err(Refusal::new(StatusCode::CONFLICT, "not_deferred", message))
        }
        (Told::Reward, Receipt { rejected: 1.., .. }) => Err(future(app)),
        (Told::Activation, _) => Ok("activated"),
        (Told::Reward, _) => Ok(receipt.rewarded.flatten().map_or("waiting", RewardEnd::name)),
    }
}

/// The record of a decision that is not over, and its answer.
pub(super) async fn get(State(app): State<Arc<App>>, id: Named<String>) -> Response {
    let id = match path(id) {
        Ok(id) => id,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(open) = app.engine.decisions().get(&id) else {
        let message = format!("decision `{id}` is unknown or over; `saccade inspect decision` finds those in the log");
        return Refusal::new(StatusCode::NOT_FOUND, "no_decision", message).into_response();
    };
    let mut out = vec![];
    write_decision(&mut out, open.decision());
    ([(header::CONTENT_TYPE, "application/json")], out).into_response()
}

#[cfg(test)]
mod tests;
