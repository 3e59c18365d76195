//! The one HTTP error: a status and at most a sentence for the caller; the cause goes to the log and nowhere else.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

use ::http::{StatusCode, header};
use axum::Json;
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde_json::json;

use crate::page::{Cause, PageError};
use crate::telemetry::with_causes;

/// A refusal or a failure.
#[derive(Debug)]
pub struct Error {
    status: StatusCode,
    sentence: Cow<'static, str>,
    /// What kind of refusal it is, for a page of ours.
    cause: Option<Cause>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

impl Error {
    /// Refuses a call without a sentence, as for callers that are not authenticated.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::new(status, "")
    }

    /// Refuses a call with a sentence that names the remedy.
    #[must_use]
    pub fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { status, sentence: sentence.into(), cause: None, source: None, retry_after: None }
    }

    /// 503: something we need is unavailable; the caller may try again.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Try again later.").because(source)
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl Error {
    /// The same answer as `{"error": SENTENCE}`, for callers that read nothing but JSON; of the page's API with its cause.
    #[must_use]
    pub fn into_json(self) -> Response {
        self.log();
        let body = match self.cause {
            None => json!({ "error": self.sentence }),
            Some(cause) => json!({ "error": self.sentence, "cause": cause }),
        };
        (self.status, Json(body)).into_response()
    }

    fn log(&self) {
        let cause = self.source.as_deref().map(|source| with_causes(source)).unwrap_or_default();
        if self.status.is_server_error() {
            tracing::error!(http.status = self.status.as_u16(), cause, "could not answer");
        } else {
            tracing::info!(http.status = self.status.as_u16(), cause, "refused");
        }
    }
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Self {
        let PageError { cause, sentence, source } = error;
        Self { cause: Some(cause), source, ..Self::new(cause.status(), sentence) }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let retry_after = self.retry_after.map(|wait| [(header::RETRY_AFTER, wait.as_secs())]);
        (self.status, retry_after.map(AppendHeaders), self.sentence).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn as_json_it_says_the_sentence_and_not_the_cause() {
        let error = Error::new(StatusCode::CONFLICT, "Reload the page.").because("a secret cause");
        let answer = error.into_json();
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = to_bytes(answer.into_body(), 1024).await.unwrap();
        assert_eq!(body.as_ref(), br#"{"error":"Reload the page."}"#);
    }
}
