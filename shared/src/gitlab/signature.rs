//! What proves that a delivery came from a hook we made: the secret token in clear, and from GitLab 19.0 on a signature
//! after Standard Webhooks
//! (<https://docs.gitlab.com/user/project/integrations/webhooks/#validate-payloads-by-using-a-signing-token>).

use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;

/// The prefix of a signing token.
const PREFIX: &str = "whsec_";

/// A signature older or newer than this is refused: the window Standard Webhooks proposes.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// How many signatures of one delivery are looked at: one per key of a rotation, and some room.
const MAX_SIGNATURES: usize = 5;

/// The three headers of a signed delivery.
#[derive(Clone, Debug)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, seconds since the epoch.
    pub timestamp: &'a str,
    /// `webhook-signature`: `v1,<base64>`, several separated by spaces.
    pub signature: &'a str,
}

/// Why a delivery is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The secret token is wrong or missing.
    #[error("the secret token does not match")]
    Token,
    /// The signature is wrong or missing although this hook signs.
    #[error("the signature does not match")]
    Signature,
    /// The signature is right but too old or from the future.
    #[error("the signature's timestamp is more than five minutes off")]
    Stale,
}

/// A new secret token: 32 random bytes in hex.
///
/// # Errors
/// When the system has no randomness.
pub fn generate_token() -> Result<SecretString, aws_lc_rs::error::Unspecified> {
    random().map(|bytes| SecretString::from(hex::encode(bytes)))
}

/// A new signing token: `whsec_` and 32 random bytes in base64.
///
/// # Errors
/// When the system has no randomness.
pub fn generate_signing_token() -> Result<SecretString, aws_lc_rs::error::Unspecified> {
    random().map(|bytes| SecretString::from(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

fn random() -> Result<[u8; 32], aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

/// Compares the secret token in constant time.
///
/// # Errors
/// [`SignatureError::Token`].
pub fn verify_token(given: Option<&str>, expected: &SecretString) -> Result<(), SignatureError> {
    verify_token_digest(&token_digest(given.unwrap_or_default()), expected)
}

/// What stands for a token where the token itself must not be kept.
#[must_use]
pub fn token_digest(token: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

/// [`verify_token`] for a [`token_digest`].
///
/// # Errors
/// [`SignatureError::Token`].
pub fn verify_token_digest(given: &str, expected: &SecretString) -> Result<(), SignatureError> {
    let expected = token_digest(expected.expose_secret());
    constant_time::verify_slices_are_equal(given.as_bytes(), expected.as_bytes())
        .map_err(|_| SignatureError::Token)
}

/// Checks the signature over the raw body.
///
/// # Errors
/// [`SignatureError::Signature`] or [`SignatureError::Stale`].
pub fn verify_signature(
    headers: &SignedHeaders<'_>,
    body: &[u8],
    signing_token: &SecretString,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let key = STANDARD
        .decode(signing_token.expose_secret().trim_start_matches(PREFIX))
        .map_err(|_| SignatureError::Signature)?;
    let mut tag = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for part in [headers.id.as_bytes(), b".", headers.timestamp.as_bytes(), b".", body] {
        tag.update(part);
    }
    let tag = tag.sign();
    let valid = headers
        .signature
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .any(|signature| constant_time::verify_slices_are_equal(tag.as_ref(), &signature).is_ok());
    if !valid {
        return Err(SignatureError::Signature);
    }
    let sent_at = headers.timestamp.parse().map_err(|_| SignatureError::Signature)?;
    let drift = now.seconds().abs_diff(sent_at);
    if drift > TOLERANCE.as_secs() { Err(SignatureError::Stale) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#"{"object_kind":"push"}"#;

    fn signing_token() -> SecretString {
        SecretString::from("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    }

    fn headers(signature: &str) -> SignedHeaders<'_> {
        SignedHeaders { id: "a5461c4d-9c7f-4af9-add6-cddebe3c426f", timestamp: "1767225600", signature }
    }

    /// The signing-token vector of group Q.
    #[test]
    fn q_signing_token_vector() {
        let now = Timestamp(1_767_225_600_000);
        let signature = "v1,57nOe4915gJImjxTJTiclZ6Pu2BrXeLu1u8EpwT8S7A=";
        assert_eq!(verify_signature(&headers(signature), BODY, &signing_token(), now), Ok(()));
        let rotated = format!("v1,AAAA {signature}");
        assert_eq!(verify_signature(&headers(&rotated), BODY, &signing_token(), now), Ok(()));
        assert_eq!(
            verify_signature(&headers(signature), b"{}", &signing_token(), now),
            Err(SignatureError::Signature)
        );
        let late = now.after(Duration::from_secs(301));
        assert_eq!(
            verify_signature(&headers(signature), BODY, &signing_token(), late),
            Err(SignatureError::Stale)
        );
    }

    #[test]
    fn tokens_are_compared_whole() {
        let token = generate_token().expect("randomness");
        assert_eq!(verify_token(Some(token.expose_secret()), &token), Ok(()));
        assert_eq!(verify_token(Some(&token.expose_secret()[..63]), &token), Err(SignatureError::Token));
        assert_eq!(verify_token(None, &token), Err(SignatureError::Token));
    }

    proptest! {
        #[test]
        fn any_other_signature_is_refused(id in ".*", timestamp in ".*", signature in ".*", body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let headers = SignedHeaders { id: &id, timestamp: &timestamp, signature: &signature };
            prop_assert!(verify_signature(&headers, &body, &signing_token(), Timestamp(0)).is_err());
        }
    }
}
