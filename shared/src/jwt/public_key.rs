//! RSA public keys as key servers and key sets hand them out. Where they come from is `keystore`'s business.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::TokenError;
use super::unverified::Unverified;

/// A text is not an RSA public key of 2048 to 8192 bits in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an RSA public key of 2048 to 8192 bits in PEM")]
pub struct PublicKeyError;

/// An RSA public key, parsed once so that a verification costs little more than the RSA operation.
#[derive(Clone)]
pub struct PublicKey {
    key: ParsedPublicKey,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(RSA)")
    }
}

impl PublicKey {
    /// Reads PEM (RFC 7468): SubjectPublicKeyInfo, as Atlassian sends it, or PKCS #1.
    ///
    /// The ASN.1 inside goes to the crypto library alone: the PEM reader that comes with the JWT library descends into
    /// nested ASN.1 without a limit, and this text comes from the network.
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`], also for private keys.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        let body =
            ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| between_markers(pem.trim(), label));
        let base64: String = body.ok_or(PublicKeyError)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| PublicKeyError)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| PublicKeyError)?;
        Ok(Self { key })
    }

    /// Puts a key together from its modulus and exponent, big-endian, as key sets have them (RFC 7518, 6.3.1).
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`].
    pub fn from_components(n: &[u8], e: &[u8]) -> Result<Self, PublicKeyError> {
        // Some writers put a zero in front, so that the number does not look negative.
        let unpadded =
            |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let components = PublicKeyComponents { n: unpadded(n), e: unpadded(e) };
        let der = components.as_der().map_err(|_| PublicKeyError)?;
        let key =
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref()).map_err(|_| PublicKeyError)?;
        Ok(Self { key })
    }

    /// Checks a token's RS256 signature.
    pub(super) fn verify_rs256<C>(&self, token: &Unverified<'_, C>) -> Result<(), TokenError> {
        if token.claimed_algorithm() != "RS256" {
            return Err(TokenError::Algorithm);
        }
        let signature = token.signature_bytes()?;
        self.key.verify_sig(token.signed_part.as_bytes(), &signature).map_err(|_| TokenError::Signature)
    }
}

fn between_markers<'a>(pem: &'a str, label: &str) -> Option<&'a str> {
    let body = pem.strip_prefix("-----BEGIN ")?.strip_prefix(label)?.strip_prefix("-----")?;
    body.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jwt::test_tokens::{TestKey, pem};

    #[test]
    fn reads_both_forms_with_any_line_ends() {
        let key = TestKey::rsa_2048();
        for text in [
            key.public_pem(),
            key.public_pem().replace('\n', "\r\n"),
            format!("\n {} \n", key.public_pem()),
            pem("RSA PUBLIC KEY", key.public_pkcs1()),
        ] {
            assert!(PublicKey::from_pem(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_public_rsa_key() {
        let key = TestKey::rsa_2048();
        let public = key.public_pem();
        for text in [
            String::new(),
            "<html>not found</html>".to_owned(),
            pem("PRIVATE KEY", &key.private_der()),
            pem("PUBLIC KEY", &key.private_der()),
            pem("CERTIFICATE", key.public_pkcs1()),
            pem("PUBLIC KEY", b""),
            pem("PUBLIC KEY", &[0x30; 3000]),
            public.replacen('M', "!", 1),
            public.replace("-----END PUBLIC KEY-----", ""),
            format!("{public}{public}"),
        ] {
            assert_eq!(PublicKey::from_pem(&text).err(), Some(PublicKeyError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", der: Vec<u8>) {
            let _ = PublicKey::from_pem(&text);
            prop_assert!(PublicKey::from_pem(&pem("PUBLIC KEY", &der)).is_err());
        }
    }
}
