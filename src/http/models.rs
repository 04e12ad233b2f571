//! `GET /v1/models` and `GET /v1/models/{model}`: what there is, and what each knows.

use super::App;
use super::asked::{Named, path};
use super::decide::version;
use super::error::Refusal;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    let versions = app.engine.versions();
    let models = versions.iter().map(|version| {
        let spec = &version.plan().spec;
        serde_json::json!({
            "model": spec.name,
            "mode": spec.mode,
            "policy": spec.policy.name(),
            "version": version.covers,
            "reward_version": version.active,
            "decisions": version.decisions,
            "actions": version.items().iter().count(),
        })
    });
    Json(serde_json::json!({ "models": models.collect::<Vec<_>>() }))
}

pub(super) async fn get(State(app): State<Arc<App>>, model: Named<String>) -> Response {
    let version = match path(model).and_then(|model| version(&app, &model)) {
        Ok(version) => version,
        Err(refusal) => return refusal.into_response(),
    };
    // Posterior draws for many actions take milliseconds.
    match tokio::task::spawn_blocking(move || version.report()).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "report_failed", error.to_string()).into_response()
        }
    }
}
