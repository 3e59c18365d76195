//! A delivery as it arrives: the raw body, and the headers that say and prove where it comes from.

use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::domain::SubscriptionId;
use shared::gitlab::signature::{SignedHeaders, token_digest};
use shared::http::Error;
use shared::sync::auth::WebhookCredentials;

/// GitLab's keys are UUIDs; a longer one is not GitLab's.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// A delivery that says which hook it comes from, not yet authenticated.
#[derive(Debug)]
pub(crate) struct GitlabHook {
    pub(crate) subscription: SubscriptionId,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body: Bytes,
    project: Option<u64>,
    headers: HeaderMap,
}

#[derive(Deserialize)]
struct HookQuery {
    /// A project hook speaks for this project, and has secrets of its own.
    project: Option<u64>,
}

impl<S: Send + Sync> FromRequest<S> for GitlabHook {
    type Rejection = Error;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Error> {
        use axum::RequestExt;
        let unknown = || Error::new(StatusCode::NOT_FOUND, "There is no such hook.");
        let Path(subscription) = request.extract_parts::<Path<String>>().await.map_err(|_| unknown())?;
        let subscription = subscription.parse().map_err(|_| unknown())?;
        let Query(query) = request.extract_parts::<Query<HookQuery>>().await.map_err(|_| unknown())?;
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await.map_err(|_| {
            Error::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 6 MB; the event is skipped.")
        })?;
        let idempotency_key = text(&headers, "idempotency-key")
            .filter(|key| !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY)
            .map(str::to_owned);
        Ok(Self { subscription, idempotency_key, body, project: query.project, headers })
    }
}

impl GitlabHook {
    pub(crate) fn credentials(&self) -> WebhookCredentials<'_> {
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
            body: &self.body,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
