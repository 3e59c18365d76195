//! Answers: the error bodies of each API, and refusals that say why.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::api::Api;
use super::random;

/// Why the stand-in refused a call that the real service answers without a body. For whoever reads a failing test.
pub const REASON_HEADER: &str = "x-stand-in-reason";

/// A refused call.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub reason: String,
}

impl Refusal {
    pub(super) fn unauthorized(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, reason: reason.into() }
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::debug!(
            status = self.status.as_u16(),
            reason = self.reason,
            "the Jira stand-in refused a call"
        );
        let mut response = self.status.into_response();
        if let Ok(reason) = HeaderValue::from_str(&self.reason) {
            response.headers_mut().insert(REASON_HEADER, reason);
        }
        response
    }
}

/// An error in the shape of the API: an object for dev info, a bare array for the other provider APIs,
/// `errorMessages` as plain texts for Jira's own REST API.
pub(super) fn error(api: Api, status: StatusCode, messages: &[String]) -> Response {
    let traced = || -> Vec<Value> { messages.iter().map(|message| error_message(message)).collect() };
    let body = match api {
        Api::DevInfo => json!({ "errorMessages": traced() }),
        Api::Builds | Api::Deployments | Api::FeatureFlags => Value::Array(traced()),
        Api::Token => json!({ "error": "server_error", "error_description": messages.join("; ") }),
        Api::Rest | Api::Edge => json!({ "errorMessages": messages, "errors": {} }),
    };
    (status, Json(body)).into_response()
}

/// Atlassian's ErrorMessage object.
pub(super) fn error_message(message: &str) -> Value {
    json!({ "message": message, "errorTraceId": random::uuid() })
}
