//! Where requests come in: events go to their handler at once, every other call through the router.
//!
//! Nearly all requests are batches of events. The router around their handler, its layers and their boxed futures took a tenth of the
//! time of the threads that read them.

use super::{App, cors, events, routes};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use axum::{BoxError, Router};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::fmt::Display;
use std::sync::Arc;

/// All calls.
pub(super) struct Door {
    app: Arc<App>,
    router: TowerToHyperService<Router>,
}

impl Door {
    pub(super) fn new(app: Arc<App>) -> Door {
        Door { router: TowerToHyperService::new(routes::router(app.clone())), app }
    }

    pub(super) async fn call<B>(&self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Display,
    {
        if request.method() == Method::POST && request.uri().path() == events::PATH {
            return cors::marked(&self.app, request, |request| events::answer(&self.app, request)).await;
        }
        let Ok(response) = self.router.call(request.map(Body::new)).await;
        response
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
