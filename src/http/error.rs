//! The one shape of every error answer: a status, a stable code, a message that names the way out.

use crate::engine::SubmitError;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A request that is not done, and what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Status of the answer.
    pub(super) status: StatusCode,
    /// Short, stable, snake_case; from a fixed set, so that it may label a metric.
    pub(super) code: &'static str,
    /// What was found, the rule, the way out.
    pub(super) message: String,
    /// A header that says when or how to try again.
    pub(super) hint: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal without a hint.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), hint: None }
    }

    /// Says in whole seconds when to try again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Refusal {
        self.hint = Some((header::RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        self
    }

    /// The process ends; another one will take the request.
    pub(super) fn stopping() -> Refusal {
        SubmitError::Stopping.into()
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Refusal {
        let message = error.to_string();
        match error {
            SubmitError::Overloaded => {
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message).retry_after(1)
            }
            SubmitError::DiskFull { .. } => Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message),
            SubmitError::Stopping => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).retry_after(1),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": {"code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.hint {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_not_to_take_a_batch_has_its_status() {
        let table = [
            (SubmitError::Overloaded, 429, "overloaded", true),
            (SubmitError::DiskFull { free: 7 }, 507, "disk_full", false),
            (SubmitError::Stopping, 503, "stopping", true),
        ];
        for (error, status, code, retry) in table {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status.as_u16(), refusal.code), (status, code));
            let response = refusal.into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retry);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        }
    }
}
