//! `POST /v1/events`: answered when every event of the body is durable, set aside or named as rejected.

use super::asked::receive;
use super::error::Refusal;
use super::metrics::Source;
use super::rows::{Rows, Submitted};
use super::{App, body, threads};
use crate::clock::now;
use crate::engine::SubmitError;
use crate::wire::{BodyError, RowError};
use axum::Json;
use axum::body::{Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt::Display;
use std::sync::Arc;

#[derive(Serialize)]
struct Answer {
    accepted: u64,
    duplicates: u64,
    late: u64,
    /// The first of them; `rejected_total` counts all.
    rejected: Vec<RowError>,
    rejected_total: u64,
}

/// What this module answers when it is posted.
pub(super) const PATH: &str = "/v1/events";

/// [`answer`], for the router.
pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await
}

/// Takes one object, an array, an envelope or NDJSON, whatever content type it carries.
pub(super) async fn answer<B>(app: &Arc<App>, request: Request<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let response = match take(app, request).await {
        Ok(Submitted { receipt, rejected, rejected_total }) => {
            let (accepted, duplicates, late) = (receipt.accepted, receipt.duplicates, receipt.late);
            (StatusCode::ACCEPTED, Json(Answer { accepted, duplicates, late, rejected, rejected_total }))
                .into_response()
        }
        Err(refusal) => refusal.into_response(),
    };
    app.metrics.request(Source::Events, response.status().as_u16());
    response
}

async fn take<B>(app: &Arc<App>, request: Request<B>) -> Result<Submitted, Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let (parts, body) = request.into_parts();
    let asked = app.auth.writer(&parts).and_then(|key| match app.engine.is_overloaded(threads::wait()) {
        // Before its body is parsed: that takes longer than all else.
        true => Err(SubmitError::Overloaded.into()),
        false => Ok(key),
    });
    let (key, received) = receive(app, &parts.headers, body, asked).await?;
    app.metrics.bytes(received.len());
    let (rows, reserved) = body::digest(app, received, read).await?;
    rows?.submit(app, key, Source::Events, Some(reserved)).await
}

fn read(app: &App, body: &[u8]) -> Result<Rows, Refusal> {
    let arena = bumpalo::Bump::new();
    let mut rows = Rows::of(app, now(), body);
    app.reader.read_body(body, &arena, &mut |row| rows.take_any(app, row, &arena))?;
    Ok(rows)
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        let (status, code) = match error {
            BodyError::TooManyEvents { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_events"),
            BodyError::NotUtf8 { .. } | BodyError::Empty | BodyError::NotJson { .. } => {
                (StatusCode::BAD_REQUEST, "unreadable_body")
            }
        };
        Refusal::new(status, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, event_at, now_ms, request};

    #[tokio::test]
    async fn any_content_type_and_none_is_taken() {
        let site = Site::new(|_| {});
        let types = ["", "application/json", "application/x-ndjson", "text/plain;charset=UTF-8", "image/png"];
        for (i, content_type) in types.into_iter().enumerate() {
            let mut post = request("POST", "/v1/events");
            if !content_type.is_empty() {
                post = post.header("content-type", content_type);
            }
            let answer = site.send(post, event(&format!("e{i}"), "s1")).await;
            assert_eq!(
                (answer.status, &answer.json()["accepted"]),
                (202, &1.into()),
                "{content_type}: {}",
                answer.body
            );
        }
    }

    #[tokio::test]
    async fn a_bad_row_is_named_and_does_not_fail_the_others() {
        let body = format!("[{},{{\"type\":\"play\"}},{}]", event("e1", "s1"), event("e2", "s1"));
        let answer = Site::new(|_| {}).send(request("POST", "/v1/events"), body).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["accepted"], &json["rejected_total"]), (202, &2.into(), &1.into()), "{json}");
        assert_eq!(json["rejected"][0]["index"], 1);
        assert!(json["rejected"][0]["code"].is_string() && json["rejected"][0]["message"].is_string(), "{json}");
    }

    #[tokio::test]
    async fn the_same_event_again_is_a_duplicate() {
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), event("e1", "s1")).await;
        let again = site.send(request("POST", "/v1/events"), event("e1", "s1")).await;
        assert_eq!((again.status, &again.json()["duplicates"]), (202, &1.into()), "{}", again.body);
    }

    #[tokio::test]
    async fn an_event_too_far_ahead_is_rejected_as_future() {
        let body = event_at("e1", "s1", now_ms() + 10 * 86_400_000);
        let answer = Site::new(|_| {}).send(request("POST", "/v1/events"), body).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["accepted"], &json["rejected"][0]["code"]),
            (202, &0.into(), &"future".into())
        );
    }

    #[tokio::test]
    async fn a_body_without_any_event_in_it_is_a_bad_request() {
        let answer = Site::new(|_| {}).send(request("POST", "/v1/events"), "<html>").await;
        assert_eq!((answer.status, answer.code()), (400, "unreadable_body".into()), "{}", answer.body);
    }

    #[tokio::test]
    async fn more_events_than_a_body_may_hold_are_told_apart_from_a_body_that_is_none() {
        let site = Site::new(|config| config.ingest.batch_events_max = 2);
        for (count, status) in [(2, 202), (3, 413)] {
            let rows: Vec<String> = (0..count).map(|i| event(&format!("e{i}"), "s1")).collect();
            let answer = site.send(request("POST", "/v1/events"), rows.join("\n")).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            if status == 413 {
                assert_eq!(answer.code(), "too_many_events");
                assert!(answer.body.contains("ingest.batch_events_max = 2"), "{}", answer.body);
            }
        }
    }

    #[tokio::test]
    async fn the_list_of_rejected_rows_is_capped_and_the_rest_counted() {
        let body = format!("[{}{{}}]", "{},".repeat(100));
        let json = Site::new(|_| {}).send(request("POST", "/v1/events"), body).await.json();
        assert_eq!(json["rejected"].as_array().map(Vec::len), Some(100));
        assert_eq!(json["rejected_total"], 101);
    }

    #[tokio::test]
    async fn without_a_valid_key_nothing_is_taken() {
        let site = Site::new(|config| config.auth.write_keys = vec!["right".into()]);
        for path in ["/v1/events", "/v1/events?key=wrong"] {
            let answer = site.send(request("POST", path), event("e1", "s1")).await;
            assert_eq!((answer.status, answer.code()), (401, "unauthorized".into()));
        }
        let answer = site.send(request("POST", "/v1/events?key=right"), event("e1", "s1")).await;
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &1.into()));
    }

    #[tokio::test]
    async fn a_key_over_its_rate_is_told_when_to_come_back() {
        let site = Site::new(|config| config.ingest.rate_max = 2);
        let three = format!("[{},{},{}]", event("a", "s"), event("b", "s"), event("c", "s"));
        let too_many = site.send(request("POST", "/v1/events"), three).await;
        assert_eq!((too_many.status, too_many.code()), (413, "batch_too_large".into()));
        let mut told = false;
        for i in 0..50 {
            let answer = site.send(request("POST", "/v1/events"), event(&format!("e{i}"), "s1")).await;
            told |= answer.status == 429 && answer.header("retry-after") == "1";
        }
        assert!(told, "fifty events at once pass a limit of two per second");
    }

    #[tokio::test]
    async fn every_row_is_counted_in_one_bucket() {
        let site = Site::new(|_| {});
        let body = format!("[{},{},{{}}]", event("e1", "s1"), event("e1", "s1"));
        site.send(request("POST", "/v1/events"), body).await;
        for line in [
            "saccade_ingest_events_total{source=\"events\",result=\"accepted\"} 1",
            "saccade_ingest_events_total{source=\"events\",result=\"duplicate\"} 1",
            "saccade_ingest_events_total{source=\"events\",result=\"rejected\"} 1",
            "saccade_ingest_requests_total{route=\"/v1/events\",status=\"202\"} 1",
        ] {
            assert!(site.metrics().contains(line), "{line} is not in\n{}", site.metrics());
        }
    }
}
