//! What calls ask in common before they do their own: the path's parameters, and the body once all before it is in order.

use super::error::Refusal;
use super::{App, body};
use axum::body::{Bytes, HttpBody};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode};
use std::fmt::Display;

/// The path's parameters, as the router found them.
pub(super) type Named<T> = Result<Path<T>, PathRejection>;

/// The path's parameters, decoded.
pub(super) fn path<T>(named: Named<T>) -> Result<T, Refusal> {
    match named {
        Ok(Path(value)) => Ok(value),
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_id", error.body_text())),
    }
}

/// Reads the body of a request that passed what comes before; of one that did not, reads on without keeping it.
pub(super) async fn receive<T, B>(
    app: &App,
    headers: &HeaderMap,
    body: B,
    asked: Result<T, Refusal>,
) -> Result<(T, body::Received), Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    match asked {
        Ok(value) => Ok((value, body::receive(app, headers, body).await?)),
        Err(refusal) => {
            body::discard(headers, body, body::deadline(app)).await;
            Err(refusal)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, request};

    #[tokio::test]
    async fn a_path_that_does_not_decode_is_refused_alike_by_all_calls() {
        let site = Site::new(|_| {});
        for (method, path) in [
            ("GET", "/v1/context/session/%FF"),
            ("GET", "/v1/decisions/%FF"),
            ("GET", "/v1/models/%FF"),
            ("POST", "/v1/rank/%FF"),
            ("POST", "/v1/decisions/%FF/reward"),
            ("POST", "/v1/rewards/%FF?by=Ada"),
            ("POST", "/v1/rewards/home/first/activate?by=Ada"),
        ] {
            let answer = site.send(request(method, path), "{}").await;
            assert_eq!((answer.status, answer.code()), (400, "bad_id".into()), "{method} {path}");
        }
    }
}
