//! The head of a delivery: what says which hook it comes from, and the headers that authenticate it together with the body.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use shared::domain::SubscriptionId;
use shared::gitlab::signature::{SignedHeaders, token_digest};
use shared::http::Error;
use shared::sync::auth::WebhookCredentials;

/// GitLab's ids are UUIDs; a longer one is not GitLab's.
const MAX_DELIVERY_ID: usize = 200;

/// A delivery that says which hook it comes from, not yet authenticated. Without its body, which strangers' is not read.
#[derive(Debug)]
pub(crate) struct GitlabHook {
    pub(crate) subscription: SubscriptionId,
    pub(crate) project: Option<u64>,
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
        Ok(Self { subscription, project: query.project, headers })
    }
}

impl GitlabHook {
    /// What GitLab calls the delivery, the same when it is sent again: `webhook-id`, which is signed, or else
    /// `Idempotency-Key` (<https://docs.gitlab.com/user/project/integrations/webhooks/#delivery-headers>).
    pub(crate) fn delivery_id(&self) -> Option<&str> {
        let header = |name| text(&self.headers, name);
        let signed = header("webhook-signature").and_then(|_| header("webhook-id"));
        signed
            .or_else(|| header("idempotency-key"))
            .filter(|id| !id.is_empty() && id.len() <= MAX_DELIVERY_ID)
    }

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
