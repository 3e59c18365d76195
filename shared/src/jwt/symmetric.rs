//! Tokens signed by an installation's shared secret: what an installed tenant and its users call us with, and what we
//! call Jira with. HS256 only. Finding the secret, and the answer to a refusal, belong to the caller.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use thiserror::Error;

use super::qsh::CONTEXT_QSH;
use super::unverified::Unverified;
use super::{Request, TokenError, has_expired};
use crate::clock::Timestamp;

/// As long as a call with all its waiting may take, and what Atlassian's own libraries use.
const LIFETIME: Duration = Duration::from_secs(180);

/// Which token an endpoint accepts: one for this very request, or one for the page it is called from, never either
/// (<https://community.developer.atlassian.com/t/action-required-atlassian-connect-vulnerability-allows-bypass-of-app-qsh-verification-via-context-jwts/47072>).
#[derive(Clone, Copy, Debug)]
pub enum Qsh<'a> {
    /// The hash of this request: what Jira itself calls, pages and webhooks.
    Request(Request<'a>),
    /// The constant of tokens from `AP.context.getToken()`: what our page's script calls.
    Context,
    /// The hash of this request is expected but not insisted on; see [`TenantClaims::qsh_matches`].
    Reported(Request<'a>),
}

/// A token was verified, and this is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantClaims {
    /// The tenant (`iss`).
    pub client_key: String,
    /// The Atlassian account that acts (`sub`); absent for anonymous and system calls.
    pub account_id: Option<String>,
    /// When the token ends, in seconds since the epoch.
    pub expires_at: i64,
    /// Whether the query-string hash was the expected one. False only under [`Qsh::Reported`].
    pub qsh_matches: bool,
}

/// Verifies a token by the shared secret of the tenant that it claims to be from.
///
/// # Errors
///
/// [`TokenError`]. An empty secret verifies nothing.
pub fn verify(
    token: &Unverified<'_>,
    secret: &SecretString,
    qsh: &Qsh<'_>,
    now: Timestamp,
) -> Result<TenantClaims, TokenError> {
    verify_hs256(token, secret)?;
    let claims = &token.claims;
    let expires_at = claims.exp.filter(|exp| !has_expired(*exp, now)).ok_or(TokenError::Expired)?;
    let client_key = claims.iss.clone().filter(|iss| !iss.is_empty()).ok_or(TokenError::Issuer)?;
    let qsh_matches = qsh.matches(claims.qsh.as_deref());
    if !qsh_matches && !matches!(qsh, Qsh::Reported(_)) {
        return Err(TokenError::Qsh);
    }
    Ok(TenantClaims { client_key, account_id: claims.sub.clone(), expires_at, qsh_matches })
}

impl Qsh<'_> {
    /// A hash is 64 hex digits, so `context-qsh` never passes for one.
    fn matches(&self, claimed: Option<&str>) -> bool {
        match self {
            Self::Request(request) | Self::Reported(request) => claimed == Some(request.qsh().as_str()),
            Self::Context => claimed == Some(CONTEXT_QSH),
        }
    }
}

fn verify_hs256(token: &Unverified<'_>, secret: &SecretString) -> Result<(), TokenError> {
    if token.claimed_algorithm() != "HS256" {
        return Err(TokenError::Algorithm);
    }
    let secret = secret.expose_secret().as_bytes();
    if secret.is_empty() {
        return Err(TokenError::Signature);
    }
    let key = DecodingKey::from_secret(secret);
    let message = token.signed_part.as_bytes();
    match jsonwebtoken::crypto::verify(token.signature, message, &key, Algorithm::HS256) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

/// The claims of a call of ours: who calls, for how long, and which request.
#[derive(Clone, Debug, Serialize)]
pub struct AppClaims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    qsh: String,
}

impl<'a> AppClaims<'a> {
    /// Claims of the app `app_key` for `request`, whose path is relative to the tenant's `baseUrl`; good for 180 s.
    #[must_use]
    pub fn new(app_key: &'a str, request: &Request<'_>, now: Timestamp) -> Self {
        Self { iss: app_key, iat: now.seconds(), exp: now.after(LIFETIME).seconds(), qsh: request.qsh() }
    }
}

/// A token could not be made: the tenant has no shared secret, or the claims are no JSON.
#[derive(Debug, Error)]
#[error("the token for Jira could not be signed")]
pub struct SignError(#[source] Option<jsonwebtoken::errors::Error>);

/// The token to send as `Authorization: JWT <token>`.
///
/// # Errors
///
/// [`SignError`]; in particular for an empty secret, which would sign for everyone.
pub fn sign(claims: &AppClaims<'_>, secret: &SecretString) -> Result<SecretString, SignError> {
    let secret = secret.expose_secret().as_bytes();
    if secret.is_empty() {
        return Err(SignError(None));
    }
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .map(SecretString::from)
        .map_err(|error| SignError(Some(error)))
}

#[cfg(test)]
mod tests;
