//! Callers that are a person in an installed Jira: tokens signed with the secret that both sides hold.

use std::sync::Arc;

use ::http::{StatusCode, header};
use axum::extract::{FromRef, FromRequestParts, OriginalUri};
use axum::http::request::Parts;

use super::lifecycle::token_of;
use super::measured::CameThrough;
use super::{Error, connect_path};
use crate::clock::SharedClock;
use crate::domain::{Connection, Installation, Site};
use crate::envelope::{Context, Envelope, Purpose};
use crate::jwt::symmetric::{self, Qsh};
use crate::jwt::unverified::Unverified;
use crate::jwt::{self};
use crate::store::Store;

/// What tenants' calls are verified with.
#[derive(Clone, Debug)]
pub struct TenantGate {
    /// Knows the tenants.
    pub store: Store,
    /// Opens their secrets.
    pub envelope: Arc<Envelope>,
    /// Tells the time.
    pub clock: SharedClock,
}

/// A call signed by Jira for this tenant and, as far as has been proved in practice, this request: a mismatch of the
/// query-string hash is logged and let pass on the pages that people open from a link.
#[derive(Clone, Debug)]
pub struct JiraUser {
    /// The site.
    pub site: Site,
    /// The installation that signed.
    pub installation: Installation,
    /// The Atlassian account that acts.
    pub account_id: Option<String>,
}

/// A load of a page that Jira opened in a frame for this tenant: the token was signed for this very request.
#[derive(Clone, Debug)]
pub struct JiraFrame(pub JiraUser);

/// A call that the script of a page makes in Jira's frame, with the token that Jira gives the script for it.
#[derive(Clone, Debug)]
pub struct JiraScript(pub JiraUser);

/// Which request a token must have been signed for.
#[derive(Clone, Copy, Debug)]
enum Covers {
    ThisRequestReported,
    ThisRequest,
    ThePage,
}

impl<S> FromRequestParts<S> for JiraUser
where
    S: Send + Sync,
    TenantGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        TenantGate::from_ref(state).verify(parts, Covers::ThisRequestReported).await
    }
}

impl<S> FromRequestParts<S> for JiraFrame
where
    S: Send + Sync,
    TenantGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        TenantGate::from_ref(state).verify(parts, Covers::ThisRequest).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for JiraScript
where
    S: Send + Sync,
    TenantGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        TenantGate::from_ref(state).verify(parts, Covers::ThePage).await.map(Self)
    }
}

impl TenantGate {
    async fn verify(&self, parts: &Parts, covers: Covers) -> Result<JiraUser, Error> {
        let uri =
            parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.clone(), |uri| uri.0.clone());
        let token = token(&uri, parts).ok_or_else(forbidden)?;
        let token = Unverified::parse(&token).map_err(|error| forbidden().because(error))?;
        let client_key = token.claimed_issuer().ok_or_else(forbidden)?;
        let (site, installation) = self
            .store
            .installation_by_client_key(client_key)
            .await
            .map_err(Error::unavailable)?
            .ok_or_else(|| forbidden().because("no installation with this clientKey"))?;
        let Connection::Connect { shared_secret, .. } = &installation.connection else {
            return Err(forbidden());
        };
        let context = Context::installation(site.id, installation.id, Purpose::SharedSecret);
        let secret = self.envelope.open(shared_secret, &context).await.map_err(Error::unavailable)?;
        let request =
            jwt::Request { method: parts.method.as_str(), path: connect_path(&uri), query: uri.query() };
        let qsh = match covers {
            Covers::ThisRequestReported => Qsh::Reported(request),
            Covers::ThisRequest => Qsh::Request(request),
            Covers::ThePage => Qsh::Context,
        };
        let claims = symmetric::verify(&token, &secret, &qsh, self.clock.now())
            .map_err(|error| forbidden().because(error))?;
        CameThrough::of(&parts.extensions).note(installation.connection.kind());
        if !claims.qsh_matches {
            tracing::warn!(site.id = %site.id, "the token's query-string hash is of another request");
        }
        Ok(JiraUser { site, installation, account_id: claims.account_id })
    }
}

fn forbidden() -> Error {
    Error::status(StatusCode::FORBIDDEN)
}

/// The query's `jwt`, or the header's.
fn token(uri: &::http::Uri, parts: &Parts) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    let in_query = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "jwt");
    match in_query {
        Some((_, token)) => Some(token.into_owned()),
        None => {
            let header = parts.headers.get(header::AUTHORIZATION);
            header.and_then(|value| token_of("JWT", value)).map(str::to_owned)
        }
    }
}
