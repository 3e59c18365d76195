//! Callers that are Jira itself, reporting an install or uninstall: body limit, signature, then what the body says.
//! Follows "Security for Connect apps" (<https://developer.atlassian.com/cloud/jira/platform/security-for-connect-apps/>).

use std::time::Duration;

use ::http::{StatusCode, header};
use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, OriginalUri, Request};
use secrecy::SecretString;
use serde::Deserialize;

use super::measured::CameThrough;
use super::{Error, connect_path};
use crate::clock::{SharedClock, Timestamp};
use crate::domain::ConnectionKind;
use crate::jwt::asymmetric::{LifecycleError, LifecycleVerifier};
use crate::jwt::{self, LEEWAY};
use crate::store::Store;

/// Lifecycle bodies are below 2 KB.
const MAX_BODY: usize = 64 * 1024;

/// Tokens without `exp` come from proxies, whose keys are gone after five minutes.
const PROXY_TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// What lifecycle calls are verified with.
#[derive(Clone, Debug)]
pub struct LifecycleGate {
    /// Verifies tokens.
    pub verifier: LifecycleVerifier,
    /// Remembers the tokens that were used.
    pub store: Store,
    /// Tells the time.
    pub clock: SharedClock,
}

/// What a lifecycle event reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleKind {
    /// The app was installed, or something about the install changed.
    Installed,
    /// The app was uninstalled.
    Uninstalled,
}

/// The tenant as the body describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Jira's name of the tenant.
    pub client_key: String,
    /// What both sides sign with from now on; only when installing.
    pub shared_secret: Option<SecretString>,
    /// Where its REST API is.
    pub base_url: Option<String>,
    /// Where people see it.
    pub display_url: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
}

/// A lifecycle call that Atlassian signed, for this app, this tenant and this request, used for the first time.
#[derive(Clone, Debug)]
pub struct JiraLifecycle {
    /// The tenant.
    pub tenant: Tenant,
    /// When the token was made.
    pub issued_at: Option<Timestamp>,
}

impl<S> FromRequest<S> for JiraLifecycle
where
    S: Send + Sync,
    LifecycleGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let gate = LifecycleGate::from_ref(state);
        let uri = request
            .extensions()
            .get::<OriginalUri>()
            .map_or_else(|| request.uri().clone(), |uri| uri.0.clone());
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let connection = CameThrough::of(request.extensions());
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| token_of("JWT", value))
            .ok_or_else(unauthorized)?
            .to_owned();
        let body = axum::body::to_bytes(request.into_body(), MAX_BODY)
            .await
            .map_err(|_| Error::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KiB."))?;
        let tenant = read_tenant(&headers, &body).ok_or_else(unauthorized)?;
        let called = jwt::Request { method: method.as_str(), path: connect_path(&uri), query: uri.query() };
        let claims =
            gate.verifier.verify(&token, &tenant.client_key, &called).await.map_err(|error| match error {
                LifecycleError::Refused(reason) => unauthorized().because(reason),
                LifecycleError::KeyServerUnavailable(_) => Error::unavailable(error),
            })?;
        let now = gate.clock.now();
        let expires_at = claims.expires_at.map_or_else(
            || now.after(PROXY_TOKEN_LIFETIME),
            |seconds| Timestamp(seconds.saturating_mul(1000)).after(LEEWAY),
        );
        if !gate.store.use_token(&token, expires_at).await.map_err(Error::unavailable)? {
            return Err(unauthorized().because("the token was used before"));
        }
        connection.note(ConnectionKind::Connect);
        let issued_at = claims.issued_at.map(|seconds| Timestamp(seconds.saturating_mul(1000)));
        Ok(Self { tenant, issued_at })
    }
}

fn unauthorized() -> Error {
    Error::status(StatusCode::UNAUTHORIZED)
}

/// What follows `scheme`, if that and nothing else is there. Jira calls a Connect app with `JWT`, Forge a remote with
/// `Bearer`; schemes are compared case-insensitively (<https://www.rfc-editor.org/rfc/rfc9110#section-11.1>).
pub(super) fn token_of<'a>(scheme: &str, value: &'a header::HeaderValue) -> Option<&'a str> {
    let mut words = value.to_str().ok()?.split_ascii_whitespace();
    let (said, token, more) = (words.next()?, words.next()?, words.next());
    (said.eq_ignore_ascii_case(scheme) && more.is_none()).then_some(token)
}

/// Jira sends JSON; an instance that forwards lifecycle events sends a form.
fn read_tenant(headers: &header::HeaderMap, body: &Bytes) -> Option<Tenant> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return serde_json::from_slice(body).ok();
    }
    let fields: serde_json::Map<String, serde_json::Value> =
        url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into())).collect();
    serde_json::from_value(fields.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FF6.
    #[test]
    fn ff6_only_the_scheme_that_is_asked_for_brings_a_token() {
        let token = |scheme, text: &str| {
            let value = header::HeaderValue::from_str(text).expect("a value");
            token_of(scheme, &value).map(str::to_owned)
        };
        for (scheme, other) in [("JWT", "Bearer"), ("Bearer", "JWT")] {
            for text in [format!("{scheme} a.b.c"), format!("{}  a.b.c ", scheme.to_lowercase())] {
                assert_eq!(token(scheme, &text).as_deref(), Some("a.b.c"), "{text}");
            }
            for text in [
                format!("{other} a.b.c"),
                "Basic a.b.c".to_owned(),
                "a.b.c".to_owned(),
                format!("{scheme} "),
                format!("{scheme} a.b.c d"),
                format!("{scheme}: a.b.c"),
                format!("{scheme},{other} a.b.c"),
                String::new(),
            ] {
                assert_eq!(token(scheme, &text), None, "{scheme}: {text}");
            }
        }
    }
}
