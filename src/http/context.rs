//! `GET /v1/context/{session,viewer}/{id}`: the latest published context, and its JSON, which the stream shares.

use super::App;
use super::asked::{Named, path};
use super::error::Refusal;
use crate::engine::{Context, ContextKind};
use crate::wire::write_context;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) async fn session(State(app): State<Arc<App>>, id: Named<String>, headers: HeaderMap) -> Response {
    get(&app, ContextKind::Session, id, &headers)
}

pub(super) async fn viewer(State(app): State<Arc<App>>, id: Named<String>, headers: HeaderMap) -> Response {
    get(&app, ContextKind::Viewer, id, &headers)
}

fn get(app: &App, kind: ContextKind, id: Named<String>, headers: &HeaderMap) -> Response {
    match path(id) {
        Ok(id) => match app.engine.contexts().get(kind, &id) {
            Some(context) => answer(app, &context, headers),
            None => missing(app, kind, &id).into_response(),
        },
        Err(refusal) => refusal.into_response(),
    }
}

fn answer(app: &App, context: &Context, headers: &HeaderMap) -> Response {
    // The same version is another context where the configuration gives the vector another layout.
    let tag = format!("\"{}-{}\"", context.version, app.engine.layout().schema_version);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| matches_tag(value, &tag));
    let validators = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_string())];
    match known {
        true => (StatusCode::NOT_MODIFIED, validators).into_response(),
        false => (validators, [(header::CONTENT_TYPE, "application/json")], to_json(app, context)).into_response(),
    }
}

/// RFC 9110, 13.1.2: a list of tags compared weakly, or `*`.
fn matches_tag(value: &HeaderValue, tag: &str) -> bool {
    let listed = |value: &str| value.split(',').map(str::trim).any(|t| t == "*" || t.trim_start_matches("W/") == tag);
    value.to_str().is_ok_and(listed)
}

fn missing(app: &App, kind: ContextKind, id: &str) -> Refusal {
    if !app.engine.ready() {
        let message = "the log is still being replayed; see /ready";
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message).retry_after(1);
    }
    let message = match kind {
        ContextKind::Session => {
            format!("session `{id}` is unknown or has ended; its next accepted event makes a context")
        }
        ContextKind::Viewer => {
            format!("viewer `{id}` is unknown or was forgotten; their next accepted event makes a context")
        }
    };
    Refusal::new(StatusCode::NOT_FOUND, "no_context", message)
}

/// The context as readers get it.
pub(super) fn to_json(app: &App, context: &Context) -> String {
    let mut out = vec![];
    write_context(&mut out, &context.borrowed(ContextKind::Session), app.engine.layout());
    String::from_utf8(out).expect("JSON is text")
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, event_at, request};
    use crate::wire::rfc3339;
    use saccade_topology::Duration as Millis;

    #[tokio::test]
    async fn a_context_is_there_once_its_event_is_accepted() {
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), event("e1", "s 1/a")).await;
        let answer = site.send(request("GET", "/v1/context/session/s%201%2Fa"), "").await;
        let json = answer.json();
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!((&json["session"], &json["viewer"]), (&"s 1/a".into(), &"v-s 1/a".into()), "{json}");
        assert!(json["version"].is_u64() && json["schema_version"].is_string(), "{json}");
        let vector = json["vector"].as_array().expect("a vector");
        let features = json["features"].as_object().expect("features by name");
        assert_eq!(vector.iter().collect::<Vec<_>>(), features.values().collect::<Vec<_>>());
        let viewer = site.send(request("GET", "/v1/context/viewer/v-s%201%2Fa"), "").await;
        assert_eq!((viewer.status, &viewer.json()["session"]), (200, &json["session"]));
    }

    #[tokio::test]
    async fn a_reader_that_has_the_version_is_answered_304() {
        let site = Site::new(|_| {});
        site.send(request("POST", "/v1/events"), event("e1", "s1")).await;
        let get = || request("GET", "/v1/context/session/s1");
        let tag = site.send(get(), "").await.header("etag").to_string();
        for (known, status) in
            [(tag.clone(), 304), (format!("\"x\", W/{tag}"), 304), ("*".into(), 304), ("\"x\"".into(), 200)]
        {
            let answer = site.send(get().header("if-none-match", &known), "").await;
            assert_eq!((answer.status, answer.header("etag")), (status, tag.as_str()), "{known}");
        }
        site.send(request("POST", "/v1/events"), event("e2", "s1")).await;
        let newer = site.send(get().header("if-none-match", &tag), "").await;
        assert_eq!(newer.status, 200);
        assert_ne!(newer.header("etag"), tag);
    }

    #[tokio::test]
    async fn a_version_under_another_layout_has_another_tag() {
        let sites =
            [Site::new(|_| {}), Site::new(|config| config.features.retain(|feature| feature.name != "viewer_items"))];
        let mut seen = vec![];
        for site in &sites {
            site.send(request("POST", "/v1/events"), event("e1", "s1")).await;
            let answer = site.send(request("GET", "/v1/context/session/s1"), "").await;
            seen.push((answer.json()["version"].clone(), answer.header("etag").to_string()));
        }
        assert_eq!(seen[0].0, seen[1].0);
        assert_ne!(seen[0].1, seen[1].1);
    }

    #[tokio::test]
    async fn a_session_ends_though_what_it_sent_is_sent_again_and_again() {
        let site = Site::new(|config| {
            let time = &mut config.time;
            (time.idle_timeout, time.out_of_orderness, time.allowed_lateness) = (Millis(100), Millis(0), Millis(0));
            config.session.gap = Millis(1000);
        });
        let body = event("e1", "s1");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut status = 200;
        while status == 200 && std::time::Instant::now() < until {
            assert_eq!(site.send(request("POST", "/v1/events"), body.clone()).await.status, 202);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            status = site.send(request("GET", "/v1/context/session/s1"), "").await.status;
        }
        assert_eq!(status, 404, "duplicates bring no later time");
    }

    #[tokio::test]
    async fn an_unknown_session_is_explained() {
        let answer = Site::new(|_| {}).send(request("GET", "/v1/context/session/nobody"), "").await;
        assert_eq!((answer.status, answer.code()), (404, "no_context".into()));
        assert!(answer.body.contains("unknown or has ended") && answer.body.contains("nobody"), "{}", answer.body);
        assert_eq!(Site::new(|_| {}).send(request("GET", "/v1/context/viewer/%FF"), "").await.status, 400);
    }

    #[test]
    fn event_time_is_written_in_utc_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_384_619_913), "2026-11-22T21:56:59.913Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert!(rfc3339(i64::MAX).starts_with("9999-"));
        assert!(rfc3339(i64::MIN).starts_with("-009999-"));
    }

    #[tokio::test]
    async fn the_event_time_of_a_context_is_that_of_its_event() {
        let site = Site::new(|_| {});
        let ms = crate::http::testing::now_ms();
        site.send(request("POST", "/v1/events"), event_at("e1", "s1", ms)).await;
        let json = site.send(request("GET", "/v1/context/session/s1"), "").await.json();
        assert_eq!(json["event_time"], rfc3339(ms));
    }
}
