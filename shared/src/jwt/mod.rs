//! JSON Web Tokens as Atlassian's Connect uses them
//! (<https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/>), and as Forge does.
//!
//! A token is first [parsed without being verified](unverified), then verified as one of three kinds: [`symmetric`] for
//! calls of an installed tenant and for our calls to Jira, [`asymmetric`] for `installed` and `uninstalled`,
//! [`invocation`] for every call of a Forge app. Only a
//! verification hands out claims. Where a token is found in a request, and which answer a refusal gets, is `http`'s
//! business; whether a lifecycle token was used before is for whoever stores it to know.

pub mod asymmetric;
pub mod invocation;
pub mod key_id;
pub mod key_set;
pub mod keystore;
pub mod public_key;
pub mod qsh;
pub mod symmetric;
#[cfg(test)]
mod test_tokens;
pub mod unverified;

use std::time::Duration;

use thiserror::Error;

use crate::clock::Timestamp;

/// How long after its `exp` a token is still accepted. Atlassian's clocks and Lambda's are right to the second, but this
/// also runs on machines whose clock drifts; on a token of 15 minutes it is 3 %. Whoever remembers used tokens must
/// remember them until `exp` plus this.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The request that a token came with, as its query-string hash covers it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path below the base URL of whoever is called, as it was sent.
    pub path: &'a str,
    /// The raw query string without its `?`.
    pub query: Option<&'a str>,
}

impl Request<'_> {
    /// The query-string hash of this request.
    #[must_use]
    pub fn qsh(&self) -> String {
        qsh::query_string_hash(self.method, self.path, self.query)
    }
}

/// Why a token was refused. For our own log: callers outside learn only that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a JWT of at most 8192 bytes with the claims in their right types.
    #[error("the token is malformed")]
    Malformed,
    /// Signed by another algorithm than the one that its kind of call uses.
    #[error("the token names another algorithm")]
    Algorithm,
    /// No key id, or one that can't be part of a URL.
    #[error("the token has no usable key id")]
    KeyId,
    /// Made for another app.
    #[error("the token is for another audience")]
    Audience,
    /// Made by nobody, or by another tenant than the one it speaks of.
    #[error("the token is from another issuer")]
    Issuer,
    /// Its time is over, or it names no time and has to.
    #[error("the token has expired")]
    Expired,
    /// Made for another request, or of the wrong kind for this endpoint.
    #[error("the token is for another request")]
    Qsh,
    /// No key server knows the key.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// Signed by another key, or altered.
    #[error("the token's signature is wrong")]
    Signature,
}

/// Whether a token with this `exp` (seconds since the epoch) has expired.
fn has_expired(exp: i64, now: Timestamp) -> bool {
    now.before(LEEWAY).seconds() >= exp
}
