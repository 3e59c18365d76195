//! Why a call to Jira failed, as its status and headers say. What that means for a site's work belongs to `sync`.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::answer::{RateLimitReason, error_text, retry_after};
use crate::domain::Api;
use crate::outbound::{BodyError, read_body};

/// Jira's answers are lists of ids; anything larger is not one.
pub(super) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Jira did not take a call.
#[derive(Debug, thiserror::Error)]
pub enum JiraError {
    /// 400, with Jira's text.
    #[error("Jira refuses the data: {0}")]
    BadRequest(String),
    /// 413, with Jira's text.
    #[error("Data too large: {0}")]
    TooLarge(String),
    /// 401: the credential is wrong or was revoked.
    #[error("Jira refuses the credential")]
    Unauthorized,
    /// 403: the credential does not cover this API.
    #[error("the app does not support {0}")]
    Forbidden(Api),
    /// 401 or 403 in the first minutes of a Forge installation, when that is normal.
    #[error("Jira does not let the new app in yet")]
    PermissionsPropagating,
    /// 3xx: the site has another name.
    #[error("the Jira site was renamed")]
    Renamed,
    /// 404 on an API that must be there: the site is gone or deactivated.
    #[error("Jira does not know the site or the API")]
    NotFound,
    /// 429.
    #[error("Rate limit exceeded")]
    RateLimited {
        /// What it is about.
        reason: RateLimitReason,
        /// How long to back off, if Jira says.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("Service unavailable ({status})")]
    Unavailable {
        /// The status.
        status: StatusCode,
        /// How long to back off, if Jira says.
        retry_after: Option<Duration>,
    },
    /// No answer: nobody knows whether the call arrived.
    #[error("Jira did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// No answer in the time that the call had as a whole, its token included: nobody knows whether it arrived.
    #[error("Jira did not answer in time")]
    OutOfTime,
    /// Something that Atlassian does not document.
    #[error("Jira's answer is not understood ({0})")]
    Unexpected(StatusCode),
}

impl JiraError {
    /// How a call ended, in a word.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::TooLarge(_) => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::PermissionsPropagating => "settling",
            Self::Renamed => "renamed",
            Self::NotFound => "not_found",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } | Self::NoAnswer(_) | Self::OutOfTime => "unavailable",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

/// Reads an answer, and says what a refusal means.
pub(super) async fn read(api: Api, response: reqwest::Response) -> Result<Vec<u8>, JiraError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_body(response, MAX_ANSWER).await.map_err(|error| match error {
        BodyError::Interrupted(error) => JiraError::NoAnswer(error),
        BodyError::TooLong(_) => JiraError::Unexpected(status),
    })?;
    if status.is_success() { Ok(body) } else { Err(refusal(api, status, &headers, &body)) }
}

fn refusal(api: Api, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> JiraError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match status {
        StatusCode::BAD_REQUEST => JiraError::BadRequest(error_text(body)),
        StatusCode::PAYLOAD_TOO_LARGE => JiraError::TooLarge(error_text(body)),
        StatusCode::UNAUTHORIZED => JiraError::Unauthorized,
        StatusCode::FORBIDDEN => JiraError::Forbidden(api),
        StatusCode::NOT_FOUND => JiraError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => JiraError::RateLimited {
            reason: RateLimitReason::parse(text("ratelimit-reason")),
            retry_after: retry_after(text("retry-after")),
        },
        status if status.is_redirection() => JiraError::Renamed,
        status if status.is_server_error() => {
            JiraError::Unavailable { status, retry_after: retry_after(text("retry-after")) }
        }
        _ => JiraError::Unexpected(status),
    }
}
