//! Why a call to GitLab failed, as its status and text say. What that means for the work belongs to whoever made the call.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::outbound::BodyError;

/// How long to back off when a 429 does not say: GitLab's limits are per minute.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The longest pause that is kept to.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A call to GitLab failed.
#[derive(Debug, thiserror::Error)]
pub enum GitlabError {
    /// 404: it is gone, or the token must not see it.
    #[error("GitLab does not know it, or hides it from this token")]
    NotFound,
    /// 401: the token is wrong, expired or revoked.
    #[error("GitLab refuses the token")]
    Unauthorized,
    /// 403: the token's scopes or its user's role do not suffice.
    #[error("the token is not allowed to do this")]
    Forbidden,
    /// 429.
    #[error("GitLab's rate limit is reached")]
    RateLimited {
        /// How long to back off.
        retry_after: Duration,
    },
    /// 400 or 422: GitLab says what is wrong.
    #[error("GitLab refuses: {0}")]
    Rejected(String),
    /// It can't be reached, is too slow, or says that it is down (503).
    #[error("GitLab is unavailable")]
    Unavailable(#[source] Option<reqwest::Error>),
    /// Any other server error, which may be of this one request.
    #[error("GitLab failed (HTTP {})", .0.as_u16())]
    Failed(StatusCode),
    /// It answers something else than its documentation says.
    #[error("GitLab's answer is not understood")]
    Unexpected(#[source] Option<serde_json::Error>),
}

impl GitlabError {
    /// How the call ended, in a word, for metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected(_) => "refused",
            Self::Unavailable(_) | Self::Failed(_) => "unavailable",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

impl From<BodyError> for GitlabError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Interrupted(error) => Self::Unavailable(Some(error)),
            BodyError::TooLong(_) => Self::Unexpected(None),
        }
    }
}

/// What an answer that is no success means.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, text: &[u8]) -> GitlabError {
    match status {
        StatusCode::UNAUTHORIZED => GitlabError::Unauthorized,
        StatusCode::FORBIDDEN => GitlabError::Forbidden,
        StatusCode::NOT_FOUND => GitlabError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after =
                header_number(headers, "retry-after").map_or(DEFAULT_RETRY_AFTER, Duration::from_secs);
            GitlabError::RateLimited {
                retry_after: retry_after.clamp(Duration::from_secs(1), MAX_RETRY_AFTER),
            }
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => {
            GitlabError::Rejected(rejection_text(text))
        }
        StatusCode::SERVICE_UNAVAILABLE => GitlabError::Unavailable(None),
        status if status.is_server_error() => GitlabError::Failed(status),
        _ => GitlabError::Unexpected(None),
    }
}

/// GitLab's reason, wherever this endpoint puts it.
fn rejection_text(text: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(text).unwrap_or_default();
    let reason = ["message", "error"].into_iter().find_map(|field| answer.get(field)).unwrap_or(&Value::Null);
    let reason = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
    crate::text::clean(&reason, 300)
}

pub(super) fn header_number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
