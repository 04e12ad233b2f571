//! `GET /v1/inspect/session/{id}`: how a session's vector came about, read from the log beside the loop.
//!
//! An inspection reads the whole log in a blocking thread; there is one at a time, and it ends when its reader goes away or the
//! server stops. The partitions do not notice it but for the disk and the processor it uses.

use super::App;
use super::error::Refusal;
use crate::inspect::{Found, inspect};
use crate::log::LogError;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets its flag when the handler is dropped: the reader has gone away.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn session(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    let id = match id {
        Ok(Path(id)) => id,
        Err(error) => return Refusal::new(StatusCode::BAD_REQUEST, "bad_id", error.body_text()).into_response(),
    };
    let Ok(permit) = Arc::clone(&app.inspections).try_acquire_owned() else {
        let message = "another inspection is reading the log; there is one at a time";
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "inspecting", message).retry_after(2).into_response();
    };
    let abandon = Abandon(Arc::default());
    let abandoned = Arc::clone(&abandon.0);
    let read = tokio::task::spawn_blocking(move || {
        let _one_at_a_time = permit;
        inspect(app.engine.log(), app.engine.plan(), &id, &mut |_| match abandoned.load(Ordering::Relaxed)
            || *app.stopping.borrow()
        {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    });
    let found = read.await;
    drop(abandon);
    match found {
        Ok(found) => answer(found),
        Err(error) => failed(error.to_string()).into_response(),
    }
}

fn answer(found: Result<Found, LogError>) -> Response {
    match found {
        Ok(Found::Session(inspection)) => Json(inspection).into_response(),
        Ok(Found::Unknown(why)) => Refusal::new(StatusCode::NOT_FOUND, "no_session", why).into_response(),
        Ok(Found::Stopped) => Refusal::stopping().into_response(),
        Err(error) => failed(error.to_string()).into_response(),
    }
}

fn failed(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "inspection_failed", message)
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, request};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_inspection_shows_the_events_and_the_vector_that_is_published() {
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), event("e1", "s 1/a")).await;
        site.send(request("POST", "/v1/events"), event("e2", "s 1/a")).await;
        let context = site.send(request("GET", "/v1/context/session/s%201%2Fa"), "").await.json();
        let answer = site.send(request("GET", "/v1/inspect/session/s%201%2Fa"), "").await;
        let json = answer.json();
        assert_eq!((answer.status, &json["session"]), (200, &context["session"]));
        let view = &json["partitions"][0];
        for key in ["version", "event_time", "viewer"] {
            assert_eq!(view[key], context[key], "{key}");
        }
        assert_eq!(view["viewer_context"], "/v1/context/viewer/v-s%201%2Fa");
        let values: Vec<_> = view["slots"].as_array().expect("slots").iter().map(|s| s["value"].clone()).collect();
        assert_eq!(&values, context["vector"].as_array().expect("a vector"));
        assert_eq!(view["events"].as_array().map(Vec::len), Some(2));
        assert_eq!(view["slots"][0]["moved_last"]["event"], "e2", "{view}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unknown_session_is_told_what_is_there() {
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), event("e1", "session-12")).await;
        let answer = site.send(request("GET", "/v1/inspect/session/session-13"), "").await;
        assert_eq!((answer.status, answer.code()), (404, "no_session".into()));
        assert!(answer.body.contains("1 sessions") && answer.body.contains("session-12"), "{}", answer.body);
        assert_eq!(site.send(request("GET", "/v1/inspect/session/%FF"), "").await.status, 400);
    }

    #[tokio::test]
    async fn a_second_inspection_at_a_time_is_refused() {
        let site = Site::new(|_| {});
        let permit = site.app.inspections.clone().try_acquire_owned().expect("nobody inspects yet");
        let answer = site.send(request("GET", "/v1/inspect/session/x"), "").await;
        assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (429, "inspecting".into(), "2"));
        drop(permit);
        assert_eq!(site.send(request("GET", "/v1/inspect/session/x"), "").await.status, 404);
    }
}
