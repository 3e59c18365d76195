//! The signature of a delivery, in the way of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a signing token starts with.
const PREFIX: &str = "whsec_";
/// GitLab takes keys of exactly this many bytes.
const KEY_BYTES: usize = 32;

/// The key inside a signing token, or nothing if the token is not well formed.
pub(crate) fn key(signing_token: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(signing_token.strip_prefix(PREFIX)?).ok()?;
    (key.len() == KEY_BYTES).then_some(key)
}

/// `v1,` and the base64 of the HMAC over `<id>.<timestamp>.<body>`.
pub(crate) fn sign(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn signs_as_gitlab_does() {
        let key = key(TOKEN).unwrap();
        let signature =
            sign(&key, "a5461c4d-9c7f-4af9-add6-cddebe3c426f", "1767225600", br#"{"object_kind":"push"}"#);
        assert_eq!(signature, "v1,57nOe4915gJImjxTJTiclZ6Pu2BrXeLu1u8EpwT8S7A=");
    }

    #[test]
    fn refuses_tokens_of_another_form() {
        assert!(key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").is_none(), "no prefix");
        assert!(key("whsec_AAEC").is_none(), "too short");
        assert!(key("whsec_not base64").is_none());
    }
}
