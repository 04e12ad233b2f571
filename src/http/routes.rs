//! Every call there is, in one table: the router, the page at `/` and the test of `openapi.json` are made from it.

use super::error::Refusal;
use super::{App, cmcd, context, cors, events, inspect, models, outcomes, rank, rewards, stream};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Json, Router};
use std::sync::Arc;

/// Answered from the start.
pub(super) const HEALTH: &str = "/health";

const OPENAPI: &str = include_str!("openapi.json");

/// What a call asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Nothing: for the machines that watch over the process.
    Open,
    /// The read token.
    Read,
    /// A write key, checked by the handler, and the rules of other origins.
    Write,
}

struct Route {
    path: &'static str,
    methods: &'static str,
    about: &'static str,
    access: Access,
    handler: MethodRouter<Arc<App>>,
}

fn table() -> Vec<Route> {
    use Access::{Open, Read, Write};
    let route = |path, methods, about, access, handler| Route { path, methods, about, access, handler };
    // Calls that other origins may make bring their fallback, because it has to answer to the rules of other origins too.
    vec![
        route("/", "GET", "this list", Read, get(index)),
        route(
            events::PATH,
            "POST",
            "send events: one object, an array or NDJSON",
            Write,
            post(events::post).fallback(method_not_allowed),
        ),
        route(cmcd::PATH, "GET POST", "CMCD v2 reports of players", Write, any(cmcd::any)),
        route("/v1/cmcd/", "GET POST", "the same", Write, any(cmcd::any)),
        // A wildcard, because a player must not be told 404 for a slash in its session.
        route("/v1/cmcd/{*session}", "GET POST", "the same, for records without a session id", Write, any(cmcd::any)),
        route("/v1/context/session/{id}", "GET", "latest context of a session", Read, get(context::session)),
        route("/v1/context/viewer/{id}", "GET", "latest context of a viewer", Read, get(context::viewer)),
        route(
            "/v1/context/stream",
            "GET",
            "contexts as they are refreshed: ?session= or ?viewer=",
            Read,
            get(stream::follow),
        ),
        route(
            "/v1/rank/{model}",
            "POST",
            "decide: which of these items, in which order",
            Write,
            post(rank::post).fallback(method_not_allowed),
        ),
        route(
            "/v1/decisions/{id}/activate",
            "POST",
            "a deferred decision was shown",
            Write,
            post(outcomes::activate).fallback(method_not_allowed),
        ),
        route(
            "/v1/decisions/{id}/reward",
            "POST",
            "tell what came of a decision",
            Write,
            post(outcomes::reward).fallback(method_not_allowed),
        ),
        route("/v1/decisions/{id}", "GET", "the record of a decision that is open", Read, get(outcomes::get)),
        route("/v1/models", "GET", "the models there are", Read, get(models::list)),
        route("/v1/models/{model}", "GET", "what a model knows, per action", Read, get(models::get)),
        route("/v1/rewards", "GET", "reward specs that run", Read, get(rewards::list)),
        route(
            "/v1/rewards/{model}",
            "GET POST",
            "those of a model; POST proposes one: it runs in shadow",
            Read,
            get(rewards::get).post(rewards::propose),
        ),
        route(
            "/v1/rewards/{model}/rollback",
            "POST",
            "puts the spec before in force again",
            Read,
            post(rewards::rollback),
        ),
        route(
            "/v1/rewards/{model}/{version}/activate",
            "POST",
            "puts a spec that runs in force",
            Read,
            post(rewards::activate),
        ),
        route(
            "/v1/rewards/{model}/{version}/retire",
            "POST",
            "ends a spec that is not in force",
            Read,
            post(rewards::retire),
        ),
        route("/v1/inspect/session/{id}", "GET", "how a session's vector came about", Read, get(inspect::session)),
        route(
            "/v1/inspect/decision/{id}",
            "GET",
            "why a decision was made, and what followed",
            Read,
            get(inspect::decision),
        ),
        route("/v1/inspect/dangling", "GET", "rewards that never found their decision", Read, get(inspect::dangling)),
        route("/v1/schema", "GET", "what each slot of the vector means", Read, get(schema)),
        route("/v1/openapi.json", "GET", "this interface, for machines", Read, get(openapi)),
        route("/metrics", "GET", "Prometheus metrics", Read, get(metrics)),
        route(HEALTH, "GET", "200 while the process lives", Open, get(health)),
        route("/ready", "GET", "200 once the log is replayed", Open, get(ready)),
    ]
}

/// The router of all calls.
pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { path, access, handler, .. } in table() {
        let layered = match access {
            Access::Open => handler,
            Access::Read => handler.layer(middleware::from_fn_with_state(app.clone(), with_read_token)),
            Access::Write => handler.layer(middleware::from_fn_with_state(app.clone(), cors::allow)),
        };
        router = router.route(path, layered);
    }
    router.method_not_allowed_fallback(method_not_allowed).fallback(not_found).with_state(app)
}

async fn with_read_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match app.auth.reader(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("there is no call {}; GET / lists all", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    let message = format!("{} does not take {method}; GET / lists what there is", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

async fn index() -> String {
    let mut page = format!("Saccade {}: player events in, fresh context vectors out\n\n", env!("CARGO_PKG_VERSION"));
    for Route { path, methods, about, .. } in table() {
        page.push_str(&format!("{methods:<8} {:<27} {about}\n", path.replace("{*", "{")));
    }
    page
}

async fn schema(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    Json(app.engine.schema())
}

async fn openapi() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn metrics(State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.engine.metrics())
}

pub(super) async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({"status": "ok"}))
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.engine.ready() && !*app.stopping.borrow() {
        return match app.engine.check_disk() {
            Ok(()) => Json(serde_json::json!({"status": "ready"})).into_response(),
            Err(why) => Json(serde_json::json!({"status": "read_only", "why": why.to_string()})).into_response(),
        };
    }
    Refusal::stopping().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Site, request};
    use std::collections::BTreeSet;

    #[test]
    fn the_openapi_document_describes_every_call_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        let mut described = BTreeSet::new();
        for (path, calls) in document["paths"].as_object().expect("paths") {
            for method in calls.as_object().expect("methods of a path").keys().filter(|key| *key != "parameters") {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let mut served = BTreeSet::new();
        for Route { path, methods, .. } in table() {
            let path = path.replace("{*", "{");
            let path = if path == "/" { "/" } else { path.trim_end_matches('/') };
            served.extend(methods.split(' ').map(|method| format!("{method} {path}")));
        }
        assert_eq!(described, served);
    }

    #[tokio::test]
    async fn each_call_of_the_table_is_served_with_its_methods_and_no_other() {
        let site = Site::new(|_| {});
        for Route { path, methods, .. } in table() {
            let path =
                path.replace("{*session}", "x").replace("{id}", "x").replace("{model}", "x").replace("{version}", "1");
            for method in ["GET", "POST", "DELETE"] {
                let answer = site.send_head(request(method, &path)).await;
                let refused = answer == 405;
                let expected = !methods.split(' ').any(|m| m == method) && !path.starts_with("/v1/cmcd");
                assert_eq!(refused, expected, "{method} {path}: {answer}");
            }
        }
    }

    #[tokio::test]
    async fn errors_of_the_router_are_json_too() {
        let site = Site::new(|_| {});
        for (method, path, status, code) in
            [("GET", "/v2/events", 404, "not_found"), ("GET", "/v1/events", 405, "method_not_allowed")]
        {
            let answer = site.send(request(method, path), "").await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code));
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(status == 404 || answer.header("allow").contains("POST"), "{}", answer.header("allow"));
        }
    }

    #[tokio::test]
    async fn reading_needs_the_token_and_watching_over_the_process_does_not() {
        let site = Site::new(|config| config.auth.read_token = Some("t".into()));
        for Route { path, methods, access, .. } in table().into_iter().filter(|route| route.access != Access::Write) {
            let path = path.replace("{id}", "x").replace("{model}", "x");
            let path = path.replace("{version}", "1");
            let method = methods.split(' ').next().expect("each call has a method");
            let without = site.send_head(request(method, &path)).await;
            let with = site.send_head(request(method, &format!("{path}?token=t"))).await;
            let bearer = site.send_head(request(method, &path).header("authorization", "Bearer t")).await;
            assert_eq!(without == 401, access == Access::Read, "{path}: {without}");
            assert!(with != 401 && bearer != 401, "{path}: {with} {bearer}");
        }
    }

    #[tokio::test]
    async fn the_pages_for_people_and_machines_are_of_their_types() {
        let site = Site::new(|_| {});
        for (path, content_type, part) in [
            ("/", "text/plain; charset=utf-8", "/v1/cmcd/{session}"),
            ("/v1/schema", "application/json", "schema_version"),
            ("/v1/openapi.json", "application/json", "\"openapi\""),
            ("/metrics", "text/plain; version=0.0.4; charset=utf-8", ""),
            ("/health", "application/json", "ok"),
            ("/ready", "application/json", "ready"),
        ] {
            let answer = site.send(request("GET", path), "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{path}");
            assert!(answer.body.contains(part), "{path}: {}", answer.body);
        }
    }
}
