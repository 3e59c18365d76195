use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::jwt::test_tokens::{TestKey, compact, hs256};

const NOW: Timestamp = Timestamp(1_767_225_600_000);
const SECRET: &str = "planted-shared-secret";

const REQUEST: Request<'_> = Request { method: "GET", path: "/subscriptions", query: Some("b=2&jwt=x&a=1") };

fn secret() -> SecretString {
    SecretString::from(SECRET)
}

fn claims() -> Value {
    json!({"iss": "tenant", "sub": "account", "iat": NOW.seconds(), "exp": NOW.seconds() + 900, "qsh": REQUEST.qsh()})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn token(claims: &Value) -> String {
    compact(&json!({"typ": "JWT", "alg": "HS256"}), claims, hs256(SECRET.as_bytes()))
}

fn verified(token: &str, qsh: &Qsh<'_>) -> Result<TenantClaims, TokenError> {
    verify(&Unverified::parse(token)?, &secret(), qsh, NOW)
}

#[test]
fn a_token_for_this_request_is_accepted() {
    let verified = verified(&token(&claims()), &Qsh::Request(REQUEST)).expect("accepted");
    let expected = TenantClaims {
        client_key: "tenant".to_owned(),
        account_id: Some("account".to_owned()),
        expires_at: NOW.seconds() + 900,
        qsh_matches: true,
    };
    assert_eq!(verified, expected);
}

#[test]
fn an_endpoint_accepts_one_kind_of_token() {
    let (own, context) = (token(&claims()), token(&with("qsh", json!("context-qsh"))));
    let other_request = Request { path: "/installations", ..REQUEST };
    let none = token(&with("qsh", Value::Null));
    for (token, qsh, outcome) in [
        (&own, Qsh::Request(REQUEST), Ok(true)),
        (&own, Qsh::Reported(REQUEST), Ok(true)),
        (&own, Qsh::Context, Err(TokenError::Qsh)),
        (&own, Qsh::Request(other_request), Err(TokenError::Qsh)),
        (&own, Qsh::Reported(other_request), Ok(false)),
        (&context, Qsh::Context, Ok(true)),
        (&context, Qsh::Request(REQUEST), Err(TokenError::Qsh)),
        (&context, Qsh::Reported(REQUEST), Ok(false)),
        (&none, Qsh::Request(REQUEST), Err(TokenError::Qsh)),
        (&none, Qsh::Context, Err(TokenError::Qsh)),
    ] {
        assert_eq!(verified(token, &qsh).map(|claims| claims.qsh_matches), outcome, "{qsh:?}");
    }
}

#[test]
fn times_are_checked_with_a_leeway() {
    let leeway = i64::try_from(crate::jwt::LEEWAY.as_secs()).expect("seconds");
    for (exp, outcome) in [
        (json!(NOW.seconds() + 1), Ok(())),
        (json!(NOW.seconds() - leeway + 1), Ok(())),
        (json!(NOW.seconds() - leeway), Err(TokenError::Expired)),
        (json!(0), Err(TokenError::Expired)),
        (json!(i64::MIN), Err(TokenError::Expired)),
        (json!(i64::MAX), Ok(())),
        (Value::Null, Err(TokenError::Expired)),
        (json!("tomorrow"), Err(TokenError::Malformed)),
    ] {
        let outcome_of_token =
            verified(&token(&with("exp", exp.clone())), &Qsh::Request(REQUEST)).map(|_| ());
        assert_eq!(outcome_of_token, outcome, "{exp}");
    }
}

#[test]
fn a_token_without_a_tenant_is_refused() {
    for iss in [Value::Null, json!("")] {
        assert_eq!(verified(&token(&with("iss", iss)), &Qsh::Request(REQUEST)), Err(TokenError::Issuer));
    }
}

#[test]
fn other_algorithms_are_refused() {
    let hs256_of = |alg: &str| compact(&json!({"alg": alg}), &claims(), hs256(SECRET.as_bytes()));
    for alg in ["none", "None", "", "hs256", "HS384", "HS512", "RS256", "ES256"] {
        assert_eq!(verified(&hs256_of(alg), &Qsh::Request(REQUEST)), Err(TokenError::Algorithm), "{alg}");
    }
    let unsigned = compact(&json!({"alg": "none"}), &claims(), |_| Vec::new());
    assert_eq!(verified(&unsigned, &Qsh::Request(REQUEST)), Err(TokenError::Algorithm));
    let rsa = compact(&json!({"alg": "RS256"}), &claims(), |message| TestKey::rsa_2048().sign(message));
    assert_eq!(verified(&rsa, &Qsh::Request(REQUEST)), Err(TokenError::Algorithm));
}

#[test]
fn wrong_signatures_are_refused() {
    let header = json!({"alg": "HS256"});
    for token in [
        compact(&header, &claims(), hs256(b"another secret")),
        compact(&header, &claims(), |_| Vec::new()),
        compact(&header, &claims(), |message| hs256(SECRET.as_bytes())(message)[..16].to_vec()),
        token(&claims()) + "A",
        token(&claims()).rsplit_once('.').map(|(message, _)| format!("{message}.!")).expect("three parts"),
    ] {
        assert_eq!(verified(&token, &Qsh::Request(REQUEST)), Err(TokenError::Signature), "{token}");
    }
}

#[test]
fn an_empty_secret_neither_verifies_nor_signs() {
    let empty = SecretString::from("");
    let token = compact(&json!({"alg": "HS256"}), &claims(), hs256(b""));
    let token = Unverified::parse(&token).expect("a token");
    assert_eq!(verify(&token, &empty, &Qsh::Request(REQUEST), NOW), Err(TokenError::Signature));
    assert!(sign(&AppClaims::new("app", &REQUEST, NOW), &empty).is_err());
}

#[test]
fn our_tokens_say_who_calls_and_what_for_three_minutes() {
    let request = Request { method: "POST", path: "/rest/devinfo/0.10/bulk", query: None };
    let signed = sign(&AppClaims::new("app-key", &request, NOW), &secret()).expect("signed");
    let expected = json!({
        "iss": "app-key", "iat": 1_767_225_600, "exp": 1_767_225_780,
        "qsh": "8cc25e28719a5c3212595a135795bfe0a0e54b0395b1291f91d8b8c47373672c",
    });
    let (message, _) = signed.expose_secret().rsplit_once('.').expect("three parts");
    let parts: Vec<Value> = message
        .split('.')
        .map(|part| {
            let json = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, part)
                .expect("base64");
            serde_json::from_slice(&json).expect("JSON")
        })
        .collect();
    assert_eq!(parts, [json!({"typ": "JWT", "alg": "HS256"}), expected]);
    assert!(verified(signed.expose_secret(), &Qsh::Request(request)).is_ok());
    assert!(!format!("{signed:?}").contains(message));
}

proptest! {
    #[test]
    fn any_altered_character_is_refused(index: prop::sample::Index, replacement in "[A-Za-z0-9_.-]") {
        let original = token(&claims());
        let at = index.index(original.len());
        let mut altered = original.clone();
        altered.replace_range(at..=at, &replacement);
        prop_assume!(altered != original);
        prop_assert!(verified(&altered, &Qsh::Request(REQUEST)).is_err());
    }

    #[test]
    fn never_panics(text in ".*", secret in ".*") {
        if let Ok(token) = Unverified::parse(&text) {
            prop_assert!(verify(&token, &SecretString::from(secret), &Qsh::Context, NOW).is_err());
        }
    }
}
