//! Keys and compact tokens: what Atlassian signs with, and what someone else might try.
//!
//! Tokens are put together by hand, so that a test can sign any header and any claims with any key.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::random;

/// PEM's line length.
const PEM_LINE: usize = 64;

/// An RSA-2048 key pair with the id under which an install-keys server publishes it.
#[derive(Debug)]
pub struct RsaKey {
    kid: String,
    pair: KeyPair,
}

impl RsaKey {
    /// A new key with a random id, published nowhere.
    ///
    /// # Errors
    /// When the cryptographic library can't make a key.
    pub fn generate() -> anyhow::Result<Self> {
        let pair =
            KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow::anyhow!("RSA key generation failed"))?;
        Ok(Self { kid: random::uuid(), pair })
    }

    /// The key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as PEM text (SubjectPublicKeyInfo), the form of `connect-install-keys.atlassian.com`.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> =
            self.pair.public_key().as_der().expect("a generated RSA public key has a DER form");
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for start in (0..text.len()).step_by(PEM_LINE) {
            pem.push_str(&text[start..text.len().min(start + PEM_LINE)]);
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// The public half as an entry of a key set (RFC 7517).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let components = PublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (encode(&components.n), encode(&components.e));
        json!({ "kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": n, "e": e })
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a 2048-bit key signs SHA-256 digests");
        signature
    }
}

/// How a token is signed. Independent of what its header claims.
#[derive(Clone, Debug)]
pub enum Signature {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa(std::sync::Arc<RsaKey>),
    /// HMAC with SHA-256 over these bytes as the key.
    Hmac(Vec<u8>),
    /// An empty signature, as `alg: none` has it.
    Empty,
}

/// The compact form of a token with this header and these claims.
#[must_use]
pub fn compact_token(header: &Value, claims: &Value, signature: &Signature) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = match signature {
        Signature::Rsa(key) => key.sign(message.as_bytes()),
        Signature::Hmac(secret) => {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes()).as_ref().to_vec()
        }
        Signature::Empty => Vec::new(),
    };
    format!("{message}.{}", encode(&signature))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn another_library_verifies_what_is_signed_here() {
        let key = Arc::new(RsaKey::generate().unwrap());
        let claims = json!({ "exp": 4_000_000_000_u64 });
        let token = compact_token(&json!({ "alg": "RS256" }), &claims, &Signature::Rsa(key.clone()));
        let public = DecodingKey::from_rsa_pem(key.public_pem().as_bytes()).unwrap();
        assert_eq!(
            decode::<Value>(&token, &public, &Validation::new(Algorithm::RS256)).unwrap().claims,
            claims
        );

        let token = compact_token(&json!({ "alg": "HS256" }), &claims, &Signature::Hmac(b"secret".to_vec()));
        let secret = DecodingKey::from_secret(b"secret");
        assert_eq!(decode::<Value>(&token, &secret, &Validation::default()).unwrap().claims, claims);
    }

    #[test]
    fn an_unsigned_token_ends_with_a_dot() {
        assert!(compact_token(&json!({ "alg": "none" }), &json!({}), &Signature::Empty).ends_with('.'));
    }
}
