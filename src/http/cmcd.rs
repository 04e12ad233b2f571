//! `/v1/cmcd`: reports of stock players, always answered 204 and empty.
//!
//! Players take refusals badly: on a 410 dash.js sends hundreds of requests a second, on a 503 hls.js sends everything again
//! with each event. So whatever is wrong is counted here and never told.

use super::asked::receive;
use super::error::Refusal;
use super::metrics::Source;
use super::query::Pairs;
use super::rows::Rows;
use super::{App, body};
use crate::clock::now;
use crate::cmcd;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::sync::Arc;

/// What the paths of reports begin with.
pub(super) const PATH: &str = "/v1/cmcd";

const HEADERS: [&str; 4] = ["cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status"];

/// Takes event mode (POST) and the one-record forms (GET with `?CMCD=` or `CMCD-*` headers).
pub(super) async fn any(
    State(app): State<Arc<App>>,
    session: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A path that does not decode carries no session; its records may.
    let session = session.ok().map(|Path(session)| session).filter(|session| !session.is_empty());
    if let Err(refusal) = take(&app, session, request).await {
        app.metrics.rejected(Source::Cmcd, refusal.code, 1);
    }
    app.metrics.request(Source::Cmcd, 204);
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response()
}

/// `Err` is a request that was not read at all.
async fn take(app: &Arc<App>, session: Option<String>, request: Request) -> Result<(), Refusal> {
    let (parts, body) = request.into_parts();
    let asked = app.auth.writer(&parts);
    let query = Pairs::of(&parts.uri);
    let owner = Owner {
        session: session.or_else(|| query.get("sid").map(str::to_string)),
        viewer: app.reader.somebody(query.get("viewer")).map(str::to_string),
    };
    let (key, rows, reserved) = match parts.method {
        Method::POST => {
            let (key, received) = receive(app, &parts.headers, body, asked).await?;
            app.metrics.bytes(received.len());
            let (rows, reserved) = body::digest(app, received, move |app, bytes| read_body(app, bytes, &owner)).await?;
            (key, rows, Some(reserved))
        }
        Method::GET | Method::HEAD => (asked?, read_one(app, &parts, &query, &owner)?, None),
        _ => return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "send POST or GET")),
    };
    // A refusal of the engine is counted with the rows it costs, and not told.
    let _ = rows.submit(app, key, Source::Cmcd, reserved).await;
    Ok(())
}

/// Whose records these are, where they do not say.
struct Owner {
    session: Option<String>,
    viewer: Option<String>,
}

impl Owner {
    fn request(&self) -> cmcd::Request<'_> {
        cmcd::Request { session: self.session.as_deref(), viewer: self.viewer.as_deref() }
    }
}

fn read_body(app: &App, body: &[u8], owner: &Owner) -> Rows {
    let (arena, arrival) = (bumpalo::Bump::new(), now());
    let mut rows = Rows::new(app, arrival);
    // A record with a byte that is not UTF-8 is lost; the other lines are not.
    let text = String::from_utf8_lossy(body);
    cmcd::read_body(&text, arrival, &owner.request(), &app.config.cmcd, &arena, &mut |row| rows.take(app, row));
    rows
}

fn read_one(app: &App, parts: &Parts, query: &Pairs, owner: &Owner) -> Result<Rows, Refusal> {
    let (arena, arrival) = (bumpalo::Bump::new(), now());
    let mut rows = Rows::new(app, arrival);
    let mut row = |row: Result<_, _>| rows.take(app, row);
    let headers = cmcd_headers(&parts.headers);
    let headers: Vec<&str> = headers.iter().map(|value| &**value).collect();
    match (headers.is_empty(), query.get("CMCD")) {
        (false, _) => {
            app.metrics.bytes(headers.iter().map(|value| value.len()).sum());
            cmcd::read_headers(&headers, arrival, &owner.request(), &app.config.cmcd, &arena, &mut row);
        }
        (true, Some(decoded)) => {
            app.metrics.bytes(decoded.len());
            cmcd::read_query(decoded, arrival, &owner.request(), &app.config.cmcd, &arena, &mut row);
        }
        (true, None) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "empty", "neither CMCD-* headers nor ?CMCD="));
        }
    }
    Ok(rows)
}

/// A byte that is not UTF-8 costs the value it is in, as in a body.
fn cmcd_headers(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let values = HEADERS.iter().flat_map(|name| headers.get_all(*name));
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, gzip, now_ms, request};
    use axum::http::HeaderValue;

    fn record(session: &str) -> String {
        format!("e=ps,sid=\"{session}\",sn=1,sta=p,ts={},v=2", now_ms())
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02X}")).collect()
    }

    fn accepted(site: &Site) -> bool {
        site.metrics().contains("saccade_ingest_events_total{source=\"cmcd\",result=\"accepted\"} 1")
    }

    #[tokio::test]
    async fn a_record_is_taken_from_body_query_or_headers() {
        let query = format!("/v1/cmcd?CMCD={}", encoded(&record("s1")));
        let plain = || request("GET", "/v1/cmcd/s1");
        let posted = request("POST", "/v1/cmcd").header("content-type", "application/cmcd");
        let packed = request("POST", "/v1/cmcd?sid=s1&viewer=v1").header("content-encoding", "gzip");
        let headed = plain().header("cmcd-session", record("s1")).header("cmcd-status", "bs");
        let latin = [record("s1").as_bytes(), b",cid=\"caf\xe9\""].concat();
        let latin = HeaderValue::from_bytes(&latin).expect("a header may hold it");
        for (what, request, body) in [
            ("body", posted, format!("{}\n", record("s1")).into_bytes()),
            ("compressed body", packed, gzip(record("s1").as_bytes())),
            ("query", request("GET", &query), Vec::new()),
            ("headers", headed, Vec::new()),
            ("a header that is not UTF-8", plain().header("cmcd-session", latin), Vec::new()),
        ] {
            let site = Site::new(|_| {});
            let answer = site.send(request, body).await;
            assert_eq!((answer.status, answer.body.as_str(), answer.header("content-type")), (204, "", ""), "{what}");
            assert!(accepted(&site), "{what}\n{}", site.metrics());
        }
    }

    #[tokio::test]
    async fn a_viewer_that_stands_for_nobody_is_none_of_a_record_either() {
        for (asked, viewer) in [("guest", serde_json::Value::Null), ("guest-7", "guest-7".into())] {
            let site = Site::new(|_| {});
            let path = format!("/v1/cmcd/s1?viewer={asked}");
            site.send(request("POST", &path).header("content-type", "application/cmcd"), record("s1")).await;
            let context = site.send(request("GET", "/v1/context/session/s1"), "").await.json();
            assert_eq!((&context["session"], &context["viewer"]), (&"s1".into(), &viewer), "{context}");
        }
    }

    #[tokio::test]
    async fn headers_win_over_the_query() {
        let site = Site::new(|_| {});
        let path = format!("/v1/cmcd?CMCD={}", encoded(&record("from-query")));
        site.send(request("GET", &path).header("cmcd-session", record("from-headers")), "").await;
        assert_eq!(site.send(request("GET", "/v1/context/session/from-headers"), "").await.status, 200);
        assert_eq!(site.send(request("GET", "/v1/context/session/from-query"), "").await.status, 404);
    }

    #[tokio::test]
    async fn whatever_is_wrong_the_answer_is_204_and_it_is_counted() {
        let long = "x".repeat(4096);
        let of_nobody = format!("/v1/cmcd/s1?viewer={long}");
        let table = [
            ("POST", "/v1/cmcd", "", long.as_str(), "body_too_large"),
            ("POST", "/v1/cmcd", "br", "x", "unsupported_encoding"),
            ("POST", "/v1/cmcd", "gzip", "x", "bad_encoding"),
            ("POST", "/v1/cmcd/?key=wrong", "", "x", "unauthorized"),
            ("GET", "/v1/cmcd/s1", "", "", "empty"),
            ("DELETE", "/v1/cmcd/a/b", "", "", "method_not_allowed"),
            ("POST", &of_nobody, "", "e=t", "cmcd_viewer_too_long"),
        ];
        for (method, path, encoding, body, code) in table {
            let wrong_key = code == "unauthorized";
            let site = Site::new(|config| {
                config.ingest.body_bytes_max = 1024;
                config.auth.write_keys = if wrong_key { vec!["right".into()] } else { Vec::new() };
            });
            let mut asked = request(method, path);
            if !encoding.is_empty() {
                asked = asked.header("content-encoding", encoding);
            }
            let answer = site.send(asked, body.to_string()).await;
            assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{method} {path} {code}");
            let line = format!("saccade_ingest_rejected_total{{code=\"{code}\"}} 1");
            assert!(site.metrics().contains(&line), "{line} is not in\n{}", site.metrics());
        }
        for (method, path) in
            [("POST", "/v1/cmcd/%FF"), ("HEAD", "/v1/cmcd"), ("PUT", "/v1/cmcd"), ("GET", "/v1/cmcd?CMCD=%FF")]
        {
            assert_eq!(Site::new(|_| {}).send(request(method, path), "").await.status, 204, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn records_over_the_rate_are_dropped_and_counted_and_the_player_is_not_told() {
        let site = Site::new(|config| config.ingest.rate_max = 1);
        let two = format!("{}\n{}", record("s1"), record("s2"));
        assert_eq!(site.send(request("POST", "/v1/cmcd"), two).await.status, 204);
        assert!(
            site.metrics().contains("saccade_ingest_rejected_total{code=\"batch_too_large\"} 2"),
            "{}",
            site.metrics()
        );
    }
}
