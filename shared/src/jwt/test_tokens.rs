//! Tokens and keys for this module's tests, put together by hand so that they can be wrong in any way.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// A compact JWT of these parts.
pub(super) fn compact(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Signs as HS256 does.
pub(super) fn hs256(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

/// PEM with this label.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An RSA key, made anew in each test process.
pub(super) struct TestKey(KeyPair);

impl TestKey {
    pub(super) fn rsa_2048() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::generate(KeySize::Rsa2048))
    }

    /// The size that GitLab's own tests use, and another key than [`Self::rsa_2048`].
    pub(super) fn rsa_3072() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| Self::generate(KeySize::Rsa3072))
    }

    fn generate(size: KeySize) -> Self {
        Self(KeyPair::generate(size).expect("a key"))
    }

    fn public(&self) -> &PublicKey {
        self.0.public_key()
    }

    pub(super) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", self.public().as_der().expect("DER").as_ref())
    }

    /// As a key set has it.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let components = PublicKeyComponents::<Vec<u8>>::from(self.public());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (encode(&components.n), encode(&components.e));
        serde_json::json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": e })
    }

    pub(super) fn public_pkcs1(&self) -> &[u8] {
        self.public().as_ref()
    }

    pub(super) fn private_der(&self) -> Vec<u8> {
        self.0.as_der().expect("DER").as_ref().to_vec()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("signed");
        signature
    }
}
