//! A token's claims before anybody has verified them. Good for two things only: finding the key to check them with, and
//! refusing cheaply. Verification lives in the modules beside this one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::TokenError;

/// GitLab's limit for the same tokens; Atlassian's are below 2 KB.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// A parsed token that nobody has vouched for: anyone can make one that says anything. The accessors are named after
/// that, and the remaining claims are handed out by a verification only.
#[derive(Debug)]
pub struct Unverified<'a, C = Claims> {
    pub(super) signed_part: &'a str,
    pub(super) signature: &'a str,
    header: Header,
    pub(super) claims: C,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11), and none is.
    crit: Option<IgnoredAny>,
}

/// The claims that Connect's tokens are checked by.
#[derive(Debug, Deserialize)]
pub struct Claims {
    pub(super) iss: Option<String>,
    pub(super) sub: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) aud: Vec<String>,
    pub(super) qsh: Option<String>,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) iat: Option<i64>,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) exp: Option<i64>,
}

impl<'a> Unverified<'a> {
    /// Splits and decodes a token of Connect's.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], for any text that is not a JWT in compact form (RFC 7519) of at most
    /// [`MAX_TOKEN_BYTES`].
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        Self::parse_as(token)
    }

    /// The issuer that the token claims: the key to look up a shared secret by.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.iss.as_deref()
    }

    /// The audiences that the token claims.
    #[must_use]
    pub fn claimed_audience(&self) -> &[String] {
        &self.claims.aud
    }

    /// The query-string hash that the token claims.
    #[must_use]
    pub fn claimed_qsh(&self) -> Option<&str> {
        self.claims.qsh.as_deref()
    }

    /// When the token claims to end, in seconds since the epoch.
    #[must_use]
    pub fn claimed_expiry(&self) -> Option<i64> {
        self.claims.exp
    }
}

impl<'a, C: DeserializeOwned> Unverified<'a, C> {
    /// Splits and decodes a token with other claims than Connect's.
    ///
    /// # Errors
    ///
    /// As [`Unverified::parse`].
    pub(super) fn parse_as(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed_part, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed_part.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = decode(header)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        Ok(Self { signed_part, signature, header, claims: decode(claims)? })
    }
}

impl<C> Unverified<'_, C> {
    /// The algorithm that the token claims to be signed by.
    #[must_use]
    pub fn claimed_algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The id of the key that the token claims to be signed by.
    #[must_use]
    pub fn claimed_key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The signature's bytes.
    pub(super) fn signature_bytes(&self) -> Result<Vec<u8>, TokenError> {
        URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| TokenError::Malformed)
    }
}

/// When a token of somebody else's says that it ends, in seconds since the epoch. Good for not using one that is over.
#[must_use]
pub fn claimed_expiry(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Expiry {
        #[serde(default, deserialize_with = "numeric_date")]
        exp: Option<i64>,
    }
    Unverified::<Expiry>::parse_as(token).ok()?.claims.exp
}

/// Two dots were found, and a part with a third is not base64. Nesting is bounded by the JSON parser.
fn decode<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

/// RFC 7519 allows a single audience outside an array.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an audience or a list of audiences")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut many: A) -> Result<Self::Value, A::Error> {
            let mut audiences = Vec::new();
            while let Some(audience) = many.next_element()? {
                audiences.push(audience);
            }
            Ok(audiences)
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

/// RFC 7519 allows fractions of a second; they are cut off.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and dates beyond i64 are as good as its ends"
)]
pub(super) fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(deserializer)?;
    Ok(number.and_then(|number| number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::jwt::test_tokens::compact;

    fn parsed(claims: &serde_json::Value) -> Result<(), TokenError> {
        Unverified::parse(&compact(&json!({"alg": "HS256"}), claims, |_| vec![1])).map(|_| ())
    }

    #[test]
    fn reads_what_a_key_is_found_by() {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": "a/b", "jku": "https://evil.example"});
        let claims =
            json!({"iss": "tenant", "aud": ["a", "b"], "qsh": "q", "exp": 5.9, "context": {"x": [1]}});
        let token = compact(&header, &claims, |_| vec![1]);
        let token = Unverified::parse(&token).expect("a token");
        assert_eq!((token.claimed_algorithm(), token.claimed_key_id()), ("RS256", Some("a/b")));
        assert_eq!((token.claimed_issuer(), token.claimed_qsh()), (Some("tenant"), Some("q")));
        assert_eq!(
            (token.claimed_audience(), token.claimed_expiry()),
            (&["a".to_owned(), "b".to_owned()][..], Some(5))
        );
    }

    #[test]
    fn a12_a_token_that_is_a_bare_number_has_no_issuer() {
        assert_eq!(Unverified::parse("123").err(), Some(TokenError::Malformed));
        let token = compact(&json!({"alg": "none"}), &json!({}), |_| Vec::new());
        assert_eq!(Unverified::parse(&token).expect("a token").claimed_issuer(), None);
    }

    #[test]
    fn absent_claims_and_nulls_are_the_same() {
        let claims = json!({"iss": null, "sub": null, "aud": null, "qsh": null, "iat": null, "exp": null});
        let token = compact(&json!({"alg": "HS256", "kid": null, "crit": null}), &claims, |_| vec![1]);
        let token = Unverified::parse(&token).expect("a token");
        assert_eq!(
            (token.claimed_key_id(), token.claimed_issuer(), token.claimed_expiry()),
            (None, None, None)
        );
        assert!(token.claimed_audience().is_empty());
    }

    #[test]
    fn what_is_not_a_token() {
        let whole = compact(&json!({"alg": "HS256"}), &json!({}), |_| vec![1]);
        let (header, rest) = whole.split_once('.').expect("three parts");
        let (claims, signature) = rest.split_once('.').expect("three parts");
        for token in [
            String::new(),
            "..".to_owned(),
            format!("{header}.{claims}"),
            format!("{whole}.{signature}"),
            format!("{header}=.{claims}.{signature}"),
            format!("{header} .{claims}.{signature}"),
            format!("{claims}.{claims}.{signature}"),
            format!("{header}.!.{signature}"),
            format!("{header}.bm90IGpzb24.{signature}"),
            format!("{header}.W10.{signature}"),
            compact(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &json!({}), |_| vec![1]),
            compact(&json!({"alg": 1}), &json!({}), |_| vec![1]),
            compact(&json!({"kid": "x"}), &json!({}), |_| vec![1]),
        ] {
            assert_eq!(Unverified::parse(&token).err(), Some(TokenError::Malformed), "{token}");
        }
    }

    #[test]
    fn claims_of_wrong_types_are_refused() {
        for claims in [
            json!({"iss": 1}),
            json!({"aud": 1}),
            json!({"aud": [1]}),
            json!({"aud": {"a": "b"}}),
            json!({"exp": "tomorrow"}),
            json!({"exp": true}),
            json!({"qsh": ["q"]}),
            json!([]),
            json!("iss"),
        ] {
            assert_eq!(parsed(&claims), Err(TokenError::Malformed), "{claims}");
        }
        let doubled = format!("e30.{}.AQ", URL_SAFE_NO_PAD.encode(r#"{"iss":"a","iss":"b"}"#));
        let doubled = doubled.replace("e30", &URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
        assert_eq!(Unverified::parse(&doubled).err(), Some(TokenError::Malformed));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert_eq!(parsed(&json!({"iss": "x".repeat(MAX_TOKEN_BYTES)})), Err(TokenError::Malformed));
        for (claim, depth) in [("aud", 2000), ("context", 2000)] {
            let json = format!(r#"{{"{claim}":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
            let token = format!("{header}.{}.AQ", URL_SAFE_NO_PAD.encode(json));
            assert!(token.len() <= MAX_TOKEN_BYTES);
            // Either is fine, as long as it neither overflows the stack nor is read as an audience.
            assert!(
                Unverified::parse(&token).map_or(true, |token| token.claimed_audience().is_empty()),
                "{claim}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", header in ".*", claims in ".*") {
            let _ = Unverified::parse(&text);
            let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
            let _ = Unverified::parse(&format!("{}.{}.{}", encode(&header), encode(&claims), encode(&text)));
        }

        #[test]
        fn any_number_is_a_date(exp: f64) {
            let number = serde_json::Number::from_f64(exp);
            let outcome = parsed(&json!({"exp": exp}));
            prop_assert!(number.is_none() || outcome.is_ok());
        }
    }
}
