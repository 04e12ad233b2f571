//! Where requests come in: events go to their handler at once, every other call through the router.
//!
//! Nearly all requests are batches of events. The router around their handler, its layers and their boxed futures took a tenth of the
//! time of the threads that read them.
//!
//! Until the log is replayed the door is closed: whoever watches over the process hears that it lives, all others that they are early. Players'
//! reports wait for it, as players take refusals badly.

use super::error::Refusal;
use super::{App, body, cmcd, cors, events, routes};
use crate::config::Config;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout};

/// All calls.
pub(super) struct Door {
    /// How long a request that is early may take to be read, or wait.
    patience: Duration,
    origins: cors::Origins,
    inside: SetOnce<Inside>,
}

struct Inside {
    app: Arc<App>,
    router: TowerToHyperService<Router>,
}

impl Door {
    /// A door that nobody comes through yet.
    pub(super) fn closed(config: &Config) -> Door {
        let patience = Duration::from_millis(config.server.body_timeout.0.unsigned_abs());
        let origins = cors::Origins::new(&config.ingest.allow_origins);
        Door { patience, origins, inside: SetOnce::new() }
    }

    /// From here on requests are answered by `app`.
    pub(super) fn open(&self, app: Arc<App>) {
        // It stays as it was opened first.
        let _ = self.inside.set(Inside { router: TowerToHyperService::new(routes::router(app.clone())), app });
    }

    pub(super) async fn call<B>(&self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Display,
    {
        if self.inside.get().is_none() && request.uri().path().starts_with(cmcd::PATH) {
            // Out of time, they are turned away like all others.
            let _ = timeout(self.patience, self.inside.wait()).await;
        }
        let Some(Inside { app, router }) = self.inside.get() else {
            return cors::marked(&self.origins, request, |request| self.turn_away(request)).await;
        };
        if request.method() == Method::POST && request.uri().path() == events::PATH {
            return cors::marked(&app.origins, request, |request| events::answer(app, request)).await;
        }
        let Ok(response) = router.call(request.map(Body::new)).await;
        response
    }

    async fn turn_away<B: HttpBody + Unpin>(&self, request: Request<B>) -> Response {
        if request.method() == Method::GET && request.uri().path() == routes::HEALTH {
            return routes::health().await.into_response();
        }
        let (parts, rest) = request.into_parts();
        body::discard(&parts.headers, rest, Instant::now() + self.patience).await;
        let message = "the log is still being replayed; the server's own log says how far it is";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message).retry_after(1).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Site, event, request};
    use http_body_util::BodyExt;

    async fn told(response: Response) -> (String, Bytes) {
        let (mut parts, body) = response.into_parts();
        // Where the router does not say it, the connection does.
        parts.headers.remove("content-length");
        let body = body.collect().await.expect("an answer ends").to_bytes();
        (format!("{} {:?}", parts.status, parts.headers), body)
    }

    #[tokio::test]
    async fn events_are_answered_as_the_router_would() {
        let site = Site::new(|config| config.auth.write_keys = vec!["k".into()]);
        let router = routes::router(site.app.clone());
        for (key, method, body, status) in [
            ("k", "POST", event("e1", "s1"), 202),
            ("other", "POST", event("e2", "s1"), 401),
            ("k", "POST", "x".to_string(), 400),
            ("k", "GET", String::new(), 405),
            ("k", "OPTIONS", String::new(), 204),
        ] {
            let ask = || {
                let request = request(method, events::PATH).header("origin", "https://tv.example");
                request.header("x-write-key", key)
            };
            let asked = ask().body(Body::from(body.clone())).expect("it is well formed");
            let by_router = told(tower::ServiceExt::oneshot(router.clone(), asked).await.expect("it answers")).await;
            let by_door = told(site.open(ask(), body).await).await;
            assert_eq!(by_door.0, by_router.0);
            assert!(by_door.0.starts_with(&status.to_string()), "{by_door:?}");
            // What was taken once is a duplicate afterwards.
            assert!(status == 202 || by_door.1 == by_router.1, "{by_door:?} {by_router:?}");
        }
    }
}
