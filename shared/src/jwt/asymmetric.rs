//! Tokens of the lifecycle calls `installed` and `uninstalled`, signed by Atlassian (or by a proxy that forwards
//! them), RS256 only. Whether a token was used before, and the answer to a refusal, belong to the caller.

use thiserror::Error;

use super::key_id::KeyId;
use super::keystore::{KeyError, KeyStore};
use super::unverified::Unverified;
use super::{Request, TokenError, has_expired};
use crate::clock::SharedClock;

/// Why a lifecycle call was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LifecycleError {
    /// The token is not good for this call. One answer for all reasons: 401, empty.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// The token could not be verified, because its key could not be fetched. Holds the cause.
    #[error("the key server is unavailable: {0}")]
    KeyServerUnavailable(String),
}

/// A lifecycle token was verified, and this is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifecycleClaims {
    /// The tenant (`iss`), which is also the body's `clientKey`.
    pub client_key: String,
    /// The admin who installs or uninstalls, when Jira says so.
    pub account_id: Option<String>,
    /// When the token was made, in seconds since the epoch.
    pub issued_at: Option<i64>,
    /// When it ends, in seconds since the epoch. Always present for tokens signed by Atlassian.
    pub expires_at: Option<i64>,
}

/// Verifies lifecycle tokens for one app.
#[derive(Clone, Debug)]
pub struct LifecycleVerifier {
    keys: KeyStore,
    audiences: Vec<String>,
    clock: SharedClock,
}

impl LifecycleVerifier {
    /// A verifier for tokens made for any of `audiences`, which are base URLs of the app; one trailing `/` doesn't
    /// count.
    #[must_use]
    pub fn new(keys: KeyStore, audiences: impl IntoIterator<Item = String>, clock: SharedClock) -> Self {
        let audiences = audiences.into_iter().map(|audience| stripped(&audience).to_owned()).collect();
        Self { keys, audiences, clock }
    }

    /// Verifies that `token` was made for this app and this request, for the tenant `client_key` that the body names.
    /// What anybody could check is checked first, so that a stranger's token costs no fetch and no RSA.
    ///
    /// # Errors
    ///
    /// [`LifecycleError`].
    pub async fn verify(
        &self,
        token: &str,
        client_key: &str,
        request: &Request<'_>,
    ) -> Result<LifecycleClaims, LifecycleError> {
        let token = Unverified::parse(token)?;
        let kid = self.check_claims(&token, client_key, request)?;
        let key = self.keys.key(&kid).await.map_err(|error| match error {
            KeyError::Unknown => LifecycleError::Refused(TokenError::UnknownKey),
            KeyError::Unavailable(cause) => LifecycleError::KeyServerUnavailable(cause),
        })?;
        key.verify_rs256(&token)?;
        let claims = token.claims;
        Ok(LifecycleClaims {
            client_key: client_key.to_owned(),
            account_id: claims.sub,
            issued_at: claims.iat,
            expires_at: claims.exp,
        })
    }

    fn check_claims(
        &self,
        token: &Unverified<'_>,
        client_key: &str,
        request: &Request<'_>,
    ) -> Result<KeyId, TokenError> {
        if token.claimed_algorithm() != "RS256" {
            return Err(TokenError::Algorithm);
        }
        let kid = KeyId::parse(token.claimed_key_id().ok_or(TokenError::KeyId)?)?;
        if !token.claimed_audience().iter().any(|audience| self.is_ours(audience)) {
            return Err(TokenError::Audience);
        }
        match token.claimed_expiry() {
            Some(exp) if has_expired(exp, self.clock.now()) => return Err(TokenError::Expired),
            None if self.keys.source().expiry_required() => return Err(TokenError::Expired),
            Some(_) | None => {}
        }
        if client_key.is_empty() || token.claimed_issuer() != Some(client_key) {
            return Err(TokenError::Issuer);
        }
        if token.claimed_qsh() != Some(request.qsh().as_str()) {
            return Err(TokenError::Qsh);
        }
        Ok(kid)
    }

    fn is_ours(&self, audience: &str) -> bool {
        self.audiences.iter().any(|ours| ours == stripped(audience))
    }
}

fn stripped(audience: &str) -> &str {
    audience.strip_suffix('/').unwrap_or(audience)
}

#[cfg(test)]
mod tests;
