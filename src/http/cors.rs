//! Which pages may send events: cross-origin rules of the ingest calls.
//!
//! Players send from any page, so that the default is any origin; without credentials then, because a browser must not mix
//! the two. Preflights are answered here, before any key is asked for.

use super::App;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Chromium caps it there.
const PREFLIGHT_AGE_S: &str = "7200";

/// Origins that may send.
pub(super) struct Origins {
    any: bool,
    listed: Vec<String>,
}

impl Origins {
    pub(super) fn new(allow_origins: &[String]) -> Origins {
        let plain = |origin: &String| origin.trim_end_matches('/').to_ascii_lowercase();
        Origins { any: allow_origins.iter().any(|o| o == "*"), listed: allow_origins.iter().map(plain).collect() }
    }

    /// Whether `origin` may send, and if so with credentials.
    fn grants(&self, origin: &HeaderValue) -> Option<bool> {
        let named = origin.to_str().is_ok_and(|o| o != "*" && self.listed.contains(&o.to_ascii_lowercase()));
        (named || self.any).then_some(named)
    }

    fn grant(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        let Some(credentials) = self.grants(origin) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
        if credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Middleware of the ingest calls: [`marked`].
pub(super) async fn allow(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    marked(&app.origins, request, |request| next.run(request)).await
}

/// Answers preflights, marks every other answer.
pub(super) async fn marked<B, F: Future<Output = Response>>(
    origins: &Origins,
    request: Request<B>,
    answer: impl FnOnce(Request<B>) -> F,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response =
        if request.method() == Method::OPTIONS { preflight(request.headers()) } else { answer(request).await };
    origins.grant(origin.as_ref(), response.headers_mut());
    response
}

fn preflight(asked: &HeaderMap) -> Response {
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S),
        (header::ALLOW, "GET, POST, OPTIONS"),
    ];
    let mut response = (StatusCode::NO_CONTENT, fixed).into_response();
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, request};

    #[tokio::test]
    async fn a_preflight_needs_no_key_and_echoes_what_was_asked() {
        let site = Site::new(|config| config.auth.write_keys = vec!["k".into()]);
        for path in ["/v1/events", "/v1/cmcd", "/v1/cmcd/s1"] {
            let asked = request("OPTIONS", path)
                .header("origin", "https://tv.example")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "content-type, cmcd-object");
            let answer = site.send(asked, "").await;
            assert_eq!(answer.status, 204, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "https://tv.example");
            assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
            assert_eq!(answer.header("access-control-allow-headers"), "content-type, cmcd-object");
            assert_eq!(answer.header("access-control-max-age"), "7200");
            assert_eq!(answer.header("vary"), "Origin");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "any origin goes without credentials");
        }
    }

    #[tokio::test]
    async fn only_a_listed_origin_is_echoed_and_with_credentials() {
        let site = Site::new(|config| config.ingest.allow_origins = vec!["https://TV.example/".into()]);
        for (origin, allowed, credentials) in
            [("https://tv.example", "https://tv.example", "true"), ("https://evil.example", "", ""), ("null", "", "")]
        {
            let answer = site.send(request("POST", "/v1/events").header("origin", origin), "[]").await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), credentials, "{origin}");
            assert_eq!(answer.header("vary"), "Origin");
        }
    }

    #[tokio::test]
    async fn a_page_can_read_a_refusal_too() {
        let site = Site::new(|config| config.auth.write_keys = vec!["k".into()]);
        let answer = site.send(request("POST", "/v1/events").header("origin", "https://tv.example"), "[]").await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("access-control-allow-origin"), "https://tv.example");
    }

    #[tokio::test]
    async fn reads_are_not_open_to_other_pages() {
        let answer = Site::new(|_| {}).send(request("GET", "/health").header("origin", "https://tv.example"), "").await;
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}
