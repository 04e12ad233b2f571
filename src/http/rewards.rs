//! `/v1/rewards…`: reward specs that run, beside each other; propose, activate, retire, roll back.
//!
//! Each change is a record in the log, with who made it. A spec that cannot be used is refused with its place, and the one in force
//! stays in force.

use super::asked::{Named, path, receive};
use super::decide::version;
use super::error::Refusal;
use super::query::Pairs;
use super::{App, body};
use crate::engine::ChangeError;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use saccade_topology::decision::{Act, Control};
use saccade_topology::model::{ControlError, ModelVersion};
use saccade_topology::reward::RewardSpec;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer waits for the model version that shows the change.
const SHOWN_MAX: Duration = Duration::from_secs(10);
/// Bytes of the name of who changes what runs.
const BY_BYTES_MAX: usize = 256;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    let models: Vec<_> = app.engine.versions().iter().map(|version| of(version)).collect();
    Json(serde_json::json!({ "models": models }))
}

pub(super) async fn get(State(app): State<Arc<App>>, model: Named<String>) -> Response {
    match path(model).and_then(|model| version(&app, &model)) {
        Ok(version) => Json(of(&version)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// What runs of a model, and what was in force when.
fn of(version: &ModelVersion) -> serde_json::Value {
    let rewards = version.rewards();
    let running = rewards.running.iter().map(|running| {
        let spec = running.reward.spec();
        let active = spec.version == rewards.active;
        serde_json::json!({ "version": spec.version, "active": active, "by": running.by, "since": running.since, "spec": spec })
    });
    serde_json::json!({
        "model": version.plan().spec.name,
        "active": rewards.active,
        "running": running.collect::<Vec<_>>(),
        "history": rewards.history,
    })
}

/// Proposes the spec of the body: it runs in shadow from now on.
pub(super) async fn propose(State(app): State<Arc<App>>, model: Named<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let proposed = async {
        let model = path(model).and_then(|model| version(&app, &model));
        let (version, received) = receive(&app, &parts.headers, body, model).await?;
        let (spec, _reserved) = body::digest(&app, received, |_, bytes| read(bytes)).await?;
        let spec = spec?;
        let json = serde_json::to_string(&spec).expect("a spec is plain data");
        control(&app, &version, &parts, (Act::Propose, spec.version, &json)).await
    };
    proposed.await.unwrap_or_else(Refusal::into_response)
}

/// Puts a spec that runs in force; the one before stays in shadow.
pub(super) async fn activate(app: State<Arc<App>>, named: Named<(String, u32)>, request: Request) -> Response {
    act(app, named, request, Act::Activate).await
}

/// Ends a spec that is not in force; its sums are dropped.
pub(super) async fn retire(app: State<Arc<App>>, named: Named<(String, u32)>, request: Request) -> Response {
    act(app, named, request, Act::Retire).await
}

async fn act(State(app): State<Arc<App>>, named: Named<(String, u32)>, request: Request, act: Act) -> Response {
    let (parts, _) = request.into_parts();
    let done = async {
        let (model, number) = path(named)?;
        let version = version(&app, &model)?;
        control(&app, &version, &parts, (act, number, "")).await
    };
    done.await.unwrap_or_else(Refusal::into_response)
}

/// Puts the spec in force again that was before the one in force.
pub(super) async fn rollback(State(app): State<Arc<App>>, model: Named<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let done = async {
        let version = path(model).and_then(|model| version(&app, &model))?;
        let rewards = version.rewards();
        let before = rewards.history.iter().rev().map(|activated| activated.version);
        let Some(to) = before.skip_while(|version| *version == rewards.active).find(|v| rewards.spec(*v).is_some())
        else {
            let message = format!("version {} is in force, and none that was before it still runs", rewards.active);
            return Err(Refusal::new(StatusCode::CONFLICT, "no_version_before", message));
        };
        control(&app, &version, &parts, (Act::Activate, to, "")).await
    };
    done.await.unwrap_or_else(Refusal::into_response)
}

/// A spec as JSON, or as TOML where it does not begin like JSON.
fn read(bytes: &[u8]) -> Result<RewardSpec, Refusal> {
    let refuse = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "bad_spec", message);
    let text = std::str::from_utf8(bytes).map_err(|e| refuse(format!("the body is not UTF-8: {e}")))?;
    match text.trim_start().starts_with('{') {
        true => RewardSpec::from_json(text).map_err(|e| refuse(e.to_string())),
        false => toml::from_str(text).map_err(|e| refuse(e.to_string().trim_end().to_string())),
    }
}

/// Logs the change, made by `?by=`, and answers with what runs once a model version shows them.
async fn control(
    app: &App,
    version: &ModelVersion,
    parts: &Parts,
    change: (Act, u32, &str),
) -> Result<Response, Refusal> {
    let query = Pairs::of(&parts.uri);
    let by = query.get("by").filter(|by| (1..=BY_BYTES_MAX).contains(&by.len())).ok_or_else(|| {
        let rule = format!("say who does it: ?by=NAME of 1 to {BY_BYTES_MAX} bytes; it is kept in the log");
        Refusal::new(StatusCode::BAD_REQUEST, "missing_by", rule)
    })?;
    let model = version.plan().spec.name.as_str();
    let (action, number, spec) = change;
    let control = Control { model, action, version: number, spec, by };
    let receipt = app.engine.change(&[control]).await.map_err(|error| match error {
        ChangeError::Control(error) => refused(error),
        ChangeError::Submit(error) => error.into(),
    })?;
    if let Some(place) = receipt.last {
        // The change holds either way; a version that shows it is cut within milliseconds.
        let _ = tokio::time::timeout(SHOWN_MAX, app.engine.learnt(place)).await;
    }
    let latest = app.engine.version(model);
    Ok((StatusCode::OK, Json(latest.map(|version| of(&version)))).into_response())
}

fn refused(error: ControlError) -> Refusal {
    let (status, code) = match error {
        ControlError::Spec(_) => (StatusCode::BAD_REQUEST, "bad_spec"),
        ControlError::Model(_) | ControlError::Unknown(_) => (StatusCode::NOT_FOUND, "no_version"),
        ControlError::Taken(_) | ControlError::Configured(_) | ControlError::InForce(_) | ControlError::Full => {
            (StatusCode::CONFLICT, "conflict")
        }
    };
    Refusal::new(status, code, error.to_string())
}
