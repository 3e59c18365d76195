//! The `kid` of lifecycle tokens, which becomes part of a URL and so is checked first.

use std::fmt;

use super::TokenError;

/// Atlassian's are UUIDs, and slash-separated names on its newer key server; both are far shorter.
const MAX_BYTES: usize = 200;

const MAX_SEGMENTS: usize = 5;

/// A key id: one to five segments of ASCII letters, digits, `_` and `-`, joined by `/`, at most 200 bytes. It can
/// neither leave the key server's path nor start a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`TokenError::KeyId`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let usable = text.len() <= MAX_BYTES
            && text.split('/').take(MAX_SEGMENTS + 1).count() <= MAX_SEGMENTS
            && text.split('/').all(is_segment);
        if usable { Ok(Self(text.to_owned())) } else { Err(TokenError::KeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usable_ids() {
        let longest = "a".repeat(200);
        for text in ["123e4567-e89b-12d3-a456-426614174000", "a", "a/b_c/D-1", "1/2/3/4/5", longest.as_str()]
        {
            assert_eq!(KeyId::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a4_kids_with_odd_characters_are_refused() {
        let too_long = "a".repeat(201);
        for text in [
            "",
            "$#%",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a/./b",
            "1/2/3/4/5/6",
            "a b",
            "a?b",
            "a#b",
            "a%2fb",
            "a\\b",
            "a:b",
            "a@b",
            "a.b",
            "ä",
            "a\n",
            "a\0",
            "//evil.example",
            too_long.as_str(),
        ] {
            assert_eq!(KeyId::parse(text), Err(TokenError::KeyId), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_usable_id_stays_below_its_base(text in "[a-z0-9/._%?#@:\\\\-]{0,20}") {
            if let Ok(kid) = KeyId::parse(&text) {
                let url = url::Url::parse(&format!("https://keys.example/base/{kid}")).expect("a URL");
                prop_assert_eq!(url.path(), format!("/base/{text}"));
                prop_assert_eq!(url.host_str(), Some("keys.example"));
            }
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = KeyId::parse(&text);
        }
    }
}
