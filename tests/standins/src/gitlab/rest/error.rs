//! The refusals of the API, in GitLab's own wording.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A call that is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    body: Value,
}

impl Refusal {
    fn message(status: StatusCode, text: &str) -> Self {
        Refusal { status, body: json!({ "message": text }) }
    }

    fn error(status: StatusCode, text: &str) -> Self {
        Refusal { status, body: json!({ "error": text }) }
    }

    /// No credential, or one that GitLab does not know.
    pub(crate) fn unauthorized() -> Self {
        Refusal::message(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    /// A credential that worked once.
    pub(crate) fn invalid_token(why: &str) -> Self {
        let body = json!({ "error": "invalid_token", "error_description": why });
        Refusal { status: StatusCode::UNAUTHORIZED, body }
    }

    /// The credential is good, but not for this.
    pub(crate) fn insufficient_scope(scopes: &[&str]) -> Self {
        let body = json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": scopes.join(" "),
        });
        Refusal { status: StatusCode::FORBIDDEN, body }
    }

    pub(crate) fn forbidden() -> Self {
        Refusal::message(StatusCode::FORBIDDEN, "403 Forbidden")
    }

    pub(crate) fn blocked() -> Self {
        Refusal::message(StatusCode::FORBIDDEN, "403 Forbidden - Your account has been blocked.")
    }

    /// It does not exist, or the caller may not know that it does.
    pub(crate) fn not_found(what: &str) -> Self {
        Refusal::message(StatusCode::NOT_FOUND, &format!("404 {what} Not Found"))
    }

    pub(crate) fn plain_not_found() -> Self {
        Refusal::message(StatusCode::NOT_FOUND, "404 Not found")
    }

    /// There is no such route, or not in this version.
    pub(crate) fn no_route() -> Self {
        Refusal::error(StatusCode::NOT_FOUND, "404 Not Found")
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Refusal::error(StatusCode::BAD_REQUEST, &format!("{parameter} is missing"))
    }

    pub(crate) fn invalid(parameter: &str) -> Self {
        Refusal::error(StatusCode::BAD_REQUEST, &format!("{parameter} is invalid"))
    }

    pub(crate) fn no_valid_value(parameter: &str) -> Self {
        Refusal::error(StatusCode::BAD_REQUEST, &format!("{parameter} does not have a valid value"))
    }

    pub(crate) fn bad_request(why: &str) -> Self {
        Refusal::message(StatusCode::BAD_REQUEST, &format!("400 Bad request - {why}"))
    }

    pub(crate) fn no_keyset() -> Self {
        Refusal::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "Keyset pagination is not yet available for this type of request",
        )
    }

    pub(crate) fn unprocessable(text: &str) -> Self {
        Refusal::error(StatusCode::UNPROCESSABLE_ENTITY, text)
    }

    pub(crate) fn not_valid(field: &str, why: &str) -> Self {
        Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, body: json!({ "message": { field: [why] } }) }
    }

    pub(crate) fn too_many() -> Self {
        let text = "This endpoint has been requested too many times. Try again later.";
        Refusal { status: StatusCode::TOO_MANY_REQUESTS, body: json!({ "message": { "error": text } }) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.body.to_string()).into_response()
    }
}
