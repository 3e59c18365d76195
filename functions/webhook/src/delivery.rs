//! The head of a delivery: what says which hook it comes from, and the headers that prove it together with the body.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::domain::SubscriptionId;
use shared::gitlab::signature::{SignedHeaders, token_digest};
use shared::http::Error;
use shared::sync::auth::WebhookCredentials;

/// GitLab's keys are UUIDs; a longer one is not GitLab's.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// A delivery that says which hook it comes from, not yet authenticated. Without its body, which strangers' is not read.
#[derive(Debug)]
pub(crate) struct GitlabHook {
    pub(crate) subscription: SubscriptionId,
    pub(crate) project: Option<u64>,
    pub(crate) idempotency_key: Option<String>,
    headers: HeaderMap,
}

#[derive(Deserialize)]
struct HookQuery {
    /// A project hook speaks for this project, and has secrets of its own.
    project: Option<u64>,
}

impl<S: Send + Sync> FromRequestParts<S> for GitlabHook {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(subscription) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown_hook())?;
        let subscription = subscription.parse().map_err(|_| unknown_hook())?;
        let query = Query::<HookQuery>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|_| unknown_hook())?;
        let headers = parts.headers.clone();
        let idempotency_key = text(&headers, "idempotency-key")
            .filter(|key| !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY)
            .map(str::to_owned);
        Ok(Self { subscription, project: query.project, idempotency_key, headers })
    }
}

impl GitlabHook {
    pub(crate) fn credentials<'a>(&'a self, body: &'a [u8]) -> WebhookCredentials<'a> {
        let header = |name| text(&self.headers, name);
        let signature = header("webhook-signature").map(|signature| SignedHeaders {
            id: header("webhook-id").unwrap_or_default(),
            timestamp: header("webhook-timestamp").unwrap_or_default(),
            signature,
        });
        WebhookCredentials {
            hook_project: self.project,
            token_digest: token_digest(header("x-gitlab-token").unwrap_or_default()),
            signature,
            body,
        }
    }
}

pub(crate) fn unknown_hook() -> Error {
    Error::new(StatusCode::NOT_FOUND, "There is no such hook.")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
