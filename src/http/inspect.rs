//! `GET /v1/inspect/…`: how a session's vector or a decision came about, read from the log beside the loop; and rewards that never
//! found their decision.
//!
//! An inspection reads the whole log in a blocking thread; there is one at a time, and it ends when its reader goes away or the
//! server stops. The partitions do not notice it but for the disk and the processor it uses.

use super::App;
use super::asked::{Named, path};
use super::error::Refusal;
use crate::inspect::dangling::DanglingReport;
use crate::inspect::{Found, Step, decision, inspect};
use crate::log::LogError;
use axum::Json;
use axum::extract::State;
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

type Id = Named<String>;

pub(super) async fn session(State(app): State<Arc<App>>, id: Id) -> Response {
    let read = |app: &App, id: &str, step: Step<'_>| inspect(app.engine.log(), app.engine.plan(), id, step);
    beside_the_loop(app, id, read).await.map_or_else(Refusal::into_response, |found| match found {
        Found::Session(inspection) => Json(inspection).into_response(),
        Found::Unknown(why) => Refusal::new(StatusCode::NOT_FOUND, "no_session", why).into_response(),
        Found::Stopped => Refusal::stopping().into_response(),
    })
}

pub(super) async fn decision(State(app): State<Arc<App>>, id: Id) -> Response {
    let read = |app: &App, id: &str, step: Step<'_>| decision::inspect(app.engine.log(), app.engine.plan(), id, step);
    beside_the_loop(app, id, read).await.map_or_else(Refusal::into_response, |found| match found {
        decision::Found::Decision(report) => Json(report).into_response(),
        decision::Found::Unknown(why) => Refusal::new(StatusCode::NOT_FOUND, "no_decision", why).into_response(),
        decision::Found::Stopped => Refusal::stopping().into_response(),
    })
}

/// From the books of the latest model versions, without reading the log.
pub(super) async fn dangling(State(app): State<Arc<App>>) -> Json<DanglingReport> {
    let versions = app.engine.versions();
    let Some(version) = versions.first() else { return Json(DanglingReport::default()) };
    let total = version.reward_ends().find(|(end, _)| *end == "dangling").map_or(0, |(_, count)| count);
    let find = |id: &str| app.engine.decisions().get(id).map(|open| (open.partition, None));
    Json(DanglingReport::new(total, None, version.dangled(), find))
}

/// Reads the log in a thread of its own.
async fn beside_the_loop<T: Send + 'static>(
    app: Arc<App>,
    id: Id,
    read: impl FnOnce(&App, &str, Step<'_>) -> Result<T, LogError> + Send + 'static,
) -> Result<T, Refusal> {
    let id = path(id)?;
    let permit = Arc::clone(&app.inspections).try_acquire_owned().map_err(|_| {
        let message = "another inspection is reading the log; there is one at a time";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "inspecting", message).retry_after(2)
    })?;
    let abandon = Abandon(Arc::default());
    let abandoned = Arc::clone(&abandon.0);
    let read = tokio::task::spawn_blocking(move || {
        let _one_at_a_time = permit;
        read(&app, &id, &mut |_| match abandoned.load(Ordering::Relaxed) || *app.stopping.borrow() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    });
    let found = read.await;
    drop(abandon);
    found.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

fn failed(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "inspection_failed", message)
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, event_at, now_ms, request};
    use serde_json::{Value, json};

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
        assert!(answer.body.contains("1 event of 1 session;") && answer.body.contains("session-12"), "{}", answer.body);
        assert_eq!(site.send(request("GET", "/v1/inspect/session/%FF"), "").await.status, 400);
    }

    async fn post(site: &Site, path: &str, body: Value) {
        let answer = site.send(request("POST", path), body.to_string()).await;
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn decisions_of_a_running_server_are_reproduced_bit_for_bit() {
        let site = Site::new(|config| config.log.durability = crate::config::Durability::Buffered);
        let begin = now_ms() - 600_000;
        for round in 0..300 {
            let (id, at) = (format!("d{round}"), begin + 1000 * round);
            if round % 3 == 0 {
                let body = event_at(&format!("e{round}"), "s", at);
                site.send(request("POST", "/v1/events"), body).await;
            }
            let items = json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]);
            let ask = json!({"id": id, "session": "s", "items": items, "k": 1 + round % 2, "event_time": at});
            post(&site, "/v1/rank/home", ask).await;
            let sync = if round % 5 == 0 { "?sync=true" } else { "" };
            let told = json!({"value": f64::from(round as i32 % 7) / 10.0, "event_time": at + 100});
            post(&site, &format!("/v1/decisions/{id}/reward{sync}"), told).await;
        }
        for round in [0, 1, 2, 150, 151, 298, 299] {
            let answer = site.send(request("GET", &format!("/v1/inspect/decision/d{round}")), "").await;
            let report = answer.json();
            assert_eq!(
                (answer.status, &report["reproduction"]["says"]),
                (200, &json!("reproduced bit for bit")),
                "{report}"
            );
            assert_eq!(
                (&report["made_from"]["check"], &report["decision"]),
                (&json!("matches"), &json!(format!("d{round}")))
            );
            assert_eq!(report["followed"]["history"][1]["became"], "joined", "{report}");
        }
        let unknown = site.send(request("GET", "/v1/inspect/decision/d300"), "").await;
        assert_eq!((unknown.status, unknown.code()), (404, "no_decision".into()));
        assert!(unknown.body.contains("300 decisions") && unknown.body.contains("d30"), "{}", unknown.body);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_dangled_is_listed_from_the_books() {
        let site = Site::new(|_| {});
        let none = site.send(request("GET", "/v1/inspect/dangling"), "").await.json();
        assert_eq!((&none["total"], none["rewards"].as_array().map(Vec::len)), (&json!(0), Some(0)));
        let begin = now_ms() - 7_200_000;
        site.send(request("POST", "/v1/events"), event_at("e1", "s", begin)).await;
        post(&site, "/v1/decisions/nowhere/reward", json!({"value": 1, "event_time": begin})).await;
        site.send(request("POST", "/v1/events"), event_at("e2", "s", begin + 7_000_000)).await;
        // Waits for a version that covers it.
        post(&site, "/v1/decisions/waits/reward?sync=true", json!({"value": 1})).await;
        let report = site.send(request("GET", "/v1/inspect/dangling"), "").await.json();
        let (first, total) = (&report["rewards"][0], &report["total"]);
        assert_eq!(
            (&first["decision"], &first["type"], total),
            (&json!("nowhere"), &json!("reward"), &json!(1)),
            "{report}"
        );
        assert!(report["hints"].as_array().is_some_and(|hints| !hints.is_empty()), "{report}");
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
