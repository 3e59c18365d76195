//! The stored form of a secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cipher::{Encrypted, TAG_BYTES};

/// How a secret was sealed. It is authenticated together with the context, so it can't be changed from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Under a data key of the record's own. Secrets are opened so, and not sealed so any more.
    OwnKey = 1,
    /// Under a data key of the site and purpose.
    SharedKey = 2,
}

/// Secrets are tokens and keys of at most a few hundred bytes; Forge's system tokens are the longest, a few kilobytes.
pub(super) const MAX_SECRET_BYTES: usize = 16 * 1024;

/// KMS's ciphertexts are never longer
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>).
const MAX_WRAPPED_BYTES: usize = 6144;

/// A secret that only [`Envelope::open`](super::Envelope::open) can read, and only in the context it was sealed for.
/// As JSON: a version, and the wrapped data key, nonce and ciphertext in base64. Lengths are checked when it is read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SealedJson", into = "SealedJson")]
pub struct Sealed {
    pub(super) version: Version,
    pub(super) wrapped: Vec<u8>,
    pub(super) encrypted: Encrypted,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed([redacted])")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedJson {
    v: u8,
    key: String,
    nonce: String,
    data: String,
}

/// Stored bytes are not a sealed secret.
#[derive(Debug, Error)]
enum SealedFormatError {
    #[error("sealed by an unknown version ({0})")]
    Version(u8),
    #[error("the sealed {0} is not base64")]
    Base64(&'static str),
    #[error("the sealed {0} has an impossible length")]
    Length(&'static str),
}

impl TryFrom<SealedJson> for Sealed {
    type Error = SealedFormatError;

    fn try_from(json: SealedJson) -> Result<Self, SealedFormatError> {
        let version = match json.v {
            1 => Version::OwnKey,
            2 => Version::SharedKey,
            other => return Err(SealedFormatError::Version(other)),
        };
        let wrapped = decode("key", &json.key, 1, MAX_WRAPPED_BYTES)?;
        let nonce = decode("nonce", &json.nonce, 0, usize::MAX)?;
        let nonce = nonce.try_into().map_err(|_| SealedFormatError::Length("nonce"))?;
        let ciphertext = decode("data", &json.data, TAG_BYTES, MAX_SECRET_BYTES + TAG_BYTES)?;
        Ok(Self { version, wrapped, encrypted: Encrypted { nonce, ciphertext } })
    }
}

impl From<Sealed> for SealedJson {
    fn from(sealed: Sealed) -> Self {
        Self {
            v: sealed.version as u8,
            key: STANDARD.encode(sealed.wrapped),
            nonce: STANDARD.encode(sealed.encrypted.nonce),
            data: STANDARD.encode(sealed.encrypted.ciphertext),
        }
    }
}

fn decode(part: &'static str, text: &str, least: usize, most: usize) -> Result<Vec<u8>, SealedFormatError> {
    let bytes = STANDARD.decode(text).map_err(|_| SealedFormatError::Base64(part))?;
    if bytes.len() < least || bytes.len() > most { Err(SealedFormatError::Length(part)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_stored_form_is_stable() {
        let encrypted = Encrypted { nonce: [1; 12], ciphertext: vec![2; 17] };
        for (version, number) in [(Version::OwnKey, 1), (Version::SharedKey, 2)] {
            let sealed = Sealed { version, wrapped: vec![3; 4], encrypted: encrypted.clone() };
            let json = serde_json::to_string(&sealed).expect("JSON");
            let rest = r#""key":"AwMDAw==","nonce":"AQEBAQEBAQEBAQEB","data":"AgICAgICAgICAgICAgICAgI="}"#;
            assert_eq!(json, format!(r#"{{"v":{number},{rest}"#));
            assert_eq!(serde_json::from_str::<Sealed>(&json).expect("sealed"), sealed);
        }
    }

    #[test]
    fn impossible_forms_are_refused() {
        let (key, nonce, data) = ("AwMDAw==", "AQEBAQEBAQEBAQEB", "AgICAgICAgICAgICAgICAgI=");
        let long = STANDARD.encode(vec![0; 20_000]);
        for (v, key, nonce, data) in [
            (0, key, nonce, data),
            (3, key, nonce, data),
            (1, "", nonce, data),
            (1, long.as_str(), nonce, data),
            (1, "*", nonce, data),
            (1, key, "", data),
            (1, key, "AQEB", data),
            (1, key, data, data),
            (1, key, nonce, ""),
            (1, key, nonce, nonce),
            (1, key, nonce, &long),
        ] {
            let json = serde_json::json!({"v": v, "key": key, "nonce": nonce, "data": data});
            assert!(serde_json::from_value::<Sealed>(json.clone()).is_err(), "{json}");
        }
        let extra = serde_json::json!({"v": 1, "key": key, "nonce": nonce, "data": data, "plaintext": "x"});
        assert!(serde_json::from_value::<Sealed>(extra).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*", key in ".*", nonce in ".*", data in ".*") {
            let _ = serde_json::from_str::<Sealed>(&text);
            let _ = serde_json::from_value::<Sealed>(serde_json::json!({"v": 2, "key": key, "nonce": nonce, "data": data}));
        }
    }
}
