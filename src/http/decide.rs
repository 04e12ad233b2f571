//! From a request to a decision: looks up model version and context, asks the topology, and writes the answer.

use super::App;
use super::error::Refusal;
use crate::engine::{Context, ContextKind};
use crate::wire::{ElsewhereDecision, RankRequest, RowError, write_rank};
use axum::http::StatusCode;
use saccade_topology::decision::Decision;
use saccade_topology::model::{
    Ask, Explained, Given, ModelPlan, ModelVersion, RankError, RankScratch, elsewhere, explain, rank,
};
use saccade_topology::{EventTime, Fields, IngestTime, check_future};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The latest version of a model.
pub(super) fn version(app: &App, model: &str) -> Result<Arc<ModelVersion>, Refusal> {
    app.engine.version(model).ok_or_else(|| {
        let names: Vec<&str> = app.engine.plan().models().iter().map(|model| model.spec.name.as_str()).collect();
        let message = match names.is_empty() {
            true => {
                format!("there is no model `{model}`, nor any other; a [[models]] table of the configuration makes one")
            }
            false => format!("there is no model `{model}`; there is {}", names.join(", ")),
        };
        Refusal::new(StatusCode::NOT_FOUND, "no_model", message)
    })
}

/// Of what is dated too far ahead of its arrival.
pub(super) fn future(app: &App) -> Refusal {
    let message = format!("`event_time` is further ahead than {} (time.max_future)", app.config.time.max_future);
    Refusal::new(StatusCode::BAD_REQUEST, "future", message)
}

/// The published context a request is about: its session's, else its viewer's.
fn published(app: &App, session: Option<&str>, viewer: Option<&str>) -> Option<Context> {
    let contexts = app.engine.contexts();
    let of_session = session.and_then(|session| contexts.get(ContextKind::Session, session));
    of_session.or_else(|| contexts.get(ContextKind::Viewer, viewer?))
}

/// Makes the decision that `request` asks for, under the id it gives or `id`, and hands it with `version` to `take`.
pub(super) fn decide<T>(
    app: &App,
    version: &ModelVersion,
    request: &RankRequest<'_>,
    id: &str,
    now: IngestTime,
    take: impl FnOnce(Decision<'_>) -> T,
) -> Result<T, RankError> {
    let mut scratch = RankScratch::default();
    asked(app, version, request, id, now, |ask| rank(version, ask, &mut scratch).map(take))
}

/// Hands the record of a decision that was made elsewhere to `take`.
pub(super) fn record_elsewhere(
    app: &App,
    told: &ElsewhereDecision<'_>,
    now: IngestTime,
    take: impl FnOnce(Decision<'_>),
) -> Result<(), RowError> {
    let problem = |message| RowError { index: 0, code: "bad_value", message };
    let time = told.request.event_time.map_or(now.0, |time| time.0);
    check_future(&app.config.time, time, now).map_err(|future| {
        let message = future.to_string();
        RowError { index: 0, code: "future", message }
    })?;
    let version = version(app, told.model).map_err(|refusal| problem(refusal.message))?;
    let shown: Vec<(u32, f64)> = told.shown.iter().map(|shown| (shown.candidate, shown.propensity)).collect();
    let mut scratch = RankScratch::default();
    let recorded = asked(app, &version, &told.request, told.id, now, |ask| {
        elsewhere(&version, ask, &shown, &mut scratch).map(take)
    });
    recorded.map_err(|error| problem(error.to_string()))
}

fn asked<T>(
    app: &App,
    version: &ModelVersion,
    request: &RankRequest<'_>,
    id: &str,
    now: IngestTime,
    answer: impl FnOnce(&Ask<'_>) -> T,
) -> T {
    note_unlisted(app, version, request);
    let wants_context = version.plan().slots.is_some() && request.context.is_none();
    let context = wants_context.then(|| published(app, request.session, request.viewer)).flatten();
    let given = match (&request.context, &context) {
        (Some(numbers), _) => Given::Numbers(numbers),
        (None, Some(context)) => Given::Vector(&context.vector, context.version),
        (None, None) => Given::Nothing,
    };
    answer(&Ask {
        id,
        session: request.session,
        viewer: request.viewer,
        event_time: request.event_time.unwrap_or(EventTime(now.0)),
        context: given,
        features: &|name| request.feature(name),
        candidates: &request.candidates,
        k: request.k as usize,
        deferred: request.deferred,
        opt_out: request.opt_out,
    })
}

/// Counts features of the request that the model knows nothing of.
fn note_unlisted(app: &App, version: &ModelVersion, request: &RankRequest<'_>) {
    let spec = &version.plan().spec;
    let mut unlisted = request.features.iter().filter(|(name, _)| spec.features.iter().all(|listed| listed != name));
    if let Some((first, _)) = unlisted.next() {
        app.metrics.unlisted(&spec.name, 1 + unlisted.count() as u64, first);
    }
    note_misread(app, version.plan(), request.candidates.iter().map(|candidate| candidate.features));
}

/// Counts features of items that a model looks at and that are of another type.
pub(super) fn note_misread<'a>(app: &App, model: &ModelPlan, items: impl Iterator<Item = Fields<'a>>) {
    let mut misread: BTreeMap<&str, u64> = BTreeMap::new();
    for fields in items {
        model.misread(fields).for_each(|field| *misread.entry(field).or_default() += 1);
    }
    misread.into_iter().for_each(|(field, count)| app.metrics.misread(&model.spec.name, field, count));
}

/// The answer to a rank request: of a decision made now or before.
pub(super) fn answer(version: &ModelVersion, decision: &Decision<'_>, explained: bool) -> Vec<u8> {
    let policy = version.plan().spec.answers(decision.served).map_or("elsewhere", |policy| policy.name());
    let mut out = vec![];
    write_rank(&mut out, decision, policy);
    // A decision is explained by the version it was made with; the one at hand may be a newer one.
    if explained
        && decision.model_version == version.covers
        && let Ok(explained) = explain(version, decision)
    {
        out.pop();
        out.extend_from_slice(b",\"explanation\":");
        let list: Vec<_> = explained.iter().map(explanation).collect();
        serde_json::to_writer(&mut out, &list).expect("memory takes any text");
        out.push(b'}');
    }
    out
}

fn explanation(of: &Explained<'_>) -> serde_json::Value {
    let contributions: serde_json::Map<String, serde_json::Value> =
        of.contributions.iter().map(|(group, value)| (group.to_string(), (*value).into())).collect();
    serde_json::json!({
        "id": of.item,
        "score": of.score,
        "uncertainty": of.uncertainty,
        "probability": of.probability,
        "contributions": contributions,
    })
}

impl From<RankError> for Refusal {
    fn from(error: RankError) -> Refusal {
        let (status, code) = match error {
            RankError::TooMany { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_candidates"),
            RankError::Empty => (StatusCode::BAD_REQUEST, "no_candidates"),
            RankError::Dimension { .. } => (StatusCode::BAD_REQUEST, "wrong_dimension"),
            RankError::NoPosition | RankError::Value(_) => (StatusCode::BAD_REQUEST, "out_of_range"),
        };
        Refusal::new(status, code, error.to_string())
    }
}

impl From<RowError> for Refusal {
    fn from(error: RowError) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error.code, error.message)
    }
}
