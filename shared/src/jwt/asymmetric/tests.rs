use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::jwt::keystore::KeySource;
use crate::jwt::test_tokens::{TestKey, compact, hs256};
use crate::outbound::test_server::{Answer, TestServer};
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

const KID: &str = "123e4567-e89b-12d3-a456-426614174000";
const AUDIENCE: &str = "https://bundle.example/-/jira_connect";
const REQUEST: Request<'_> = Request { method: "POST", path: "/events/installed", query: None };

/// A verifier, the server it fetches keys from, and the key that is there.
struct Setup {
    server: TestServer,
    verifier: LifecycleVerifier,
}

impl Setup {
    /// Keys as Atlassian serves them.
    fn atlassian() -> Self {
        Self::with(|url| KeySource::configured(Some(""), [url]).expect("a source"), "")
    }

    /// Keys as a proxy serves them.
    fn proxy() -> Self {
        Self::with(
            |url| KeySource::configured(Some(url.as_str()), []).expect("a source"),
            "/-/jira_connect/public_keys",
        )
    }

    fn with(source: impl Fn(&Url) -> KeySource, path: &str) -> Self {
        let server = TestServer::start();
        server.answer(&format!("{path}/{KID}"), Answer::new(200, TestKey::rsa_3072().public_pem()));
        let guard = HostGuard::parse("127.0.0.1").expect("a list");
        let client = outbound_client(&guard, RedirectRule::None, None).expect("a client");
        let source = source(&Url::parse(&server.url("")).expect("a URL"));
        let keys = KeyStore::new(client, source, Arc::new(SystemClock));
        let audiences = ["https://other.example/-/jira_connect".to_owned(), format!("{AUDIENCE}/")];
        Self { server, verifier: LifecycleVerifier::new(keys, audiences, Arc::new(SystemClock)) }
    }

    async fn verify(&self, token: &str) -> Result<LifecycleClaims, LifecycleError> {
        self.verifier.verify(token, "tenant", &REQUEST).await
    }

    /// The refusal, which must have come before anything was fetched.
    async fn refused_unasked(&self, token: &str) -> TokenError {
        let outcome = self.verify(token).await;
        assert_eq!(self.server.requests(), Vec::<String>::new(), "{token}");
        match outcome {
            Err(LifecycleError::Refused(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn header() -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": KID})
}

fn claims() -> Value {
    let now = now().seconds();
    json!({"iss": "tenant", "sub": "admin", "aud": [AUDIENCE], "qsh": REQUEST.qsh(), "iat": now, "exp": now + 180})
}

fn with(mut value: Value, name: &str, part: Value) -> Value {
    value[name] = part;
    value
}

fn signed(header: &Value, claims: &Value) -> String {
    compact(header, claims, |message| TestKey::rsa_3072().sign(message))
}

#[tokio::test]
async fn a1_a_valid_token_is_accepted_and_its_key_fetched_once() {
    let setup = Setup::atlassian();
    for _ in 0..2 {
        let verified = setup.verify(&signed(&header(), &claims())).await.expect("accepted");
        assert_eq!((verified.client_key.as_str(), verified.account_id.as_deref()), ("tenant", Some("admin")));
        assert!(verified.expires_at > verified.issued_at);
    }
    assert_eq!(setup.server.requests(), [format!("GET /{KID}")]);
}

#[tokio::test]
async fn a2_a_kid_of_null_fetches_nothing() {
    let setup = Setup::atlassian();
    for kid in [Value::Null, json!("")] {
        let token = signed(&with(header(), "kid", kid), &claims());
        assert_eq!(setup.refused_unasked(&token).await, TokenError::KeyId);
    }
}

#[tokio::test]
async fn a4_kid_with_odd_characters_fetches_nothing() {
    let setup = Setup::atlassian();
    for kid in ["$#%", "../../secrets", "a//b", "//evil.example/key", "a?b", &"a".repeat(201)] {
        let token = signed(&with(header(), "kid", json!(kid)), &claims());
        assert_eq!(setup.refused_unasked(&token).await, TokenError::KeyId, "{kid}");
    }
}

#[tokio::test]
async fn a5_a_key_that_the_server_does_not_have_is_refused() {
    let setup = Setup::atlassian();
    let token = signed(&with(header(), "kid", json!("another/key")), &claims());
    assert_eq!(setup.verify(&token).await, Err(LifecycleError::Refused(TokenError::UnknownKey)));
    assert_eq!(setup.server.requests(), ["GET /another/key"]);
}

#[tokio::test]
async fn a7_a_wrong_signature_is_refused() {
    let setup = Setup::atlassian();
    let public_pem = TestKey::rsa_3072().public_pem();
    for token in [
        compact(&header(), &claims(), |message| TestKey::rsa_2048().sign(message)),
        compact(&header(), &claims(), |_| Vec::new()),
        compact(&header(), &claims(), |_| vec![0; 384]),
        compact(&header(), &claims(), hs256(public_pem.as_bytes())),
    ] {
        assert_eq!(
            setup.verify(&token).await,
            Err(LifecycleError::Refused(TokenError::Signature)),
            "{token}"
        );
    }
}

#[tokio::test]
async fn a7_what_is_not_a_token_is_refused() {
    let setup = Setup::atlassian();
    let oversized = signed(&header(), &with(claims(), "context", json!("x".repeat(8192))));
    for token in ["", "123", "a.b.c", "..", "not a token", oversized.as_str()] {
        assert_eq!(setup.refused_unasked(token).await, TokenError::Malformed, "{token}");
    }
}

#[tokio::test]
async fn a7_other_algorithms_are_refused_even_with_the_public_key_as_secret() {
    let setup = Setup::atlassian();
    let public_pem = TestKey::rsa_3072().public_pem();
    for alg in ["none", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256"] {
        let token = compact(&with(header(), "alg", json!(alg)), &claims(), hs256(public_pem.as_bytes()));
        assert_eq!(setup.refused_unasked(&token).await, TokenError::Algorithm, "{alg}");
    }
    let unsigned = compact(&with(header(), "alg", json!("none")), &claims(), |_| Vec::new());
    assert_eq!(setup.refused_unasked(&unsigned).await, TokenError::Algorithm);
}

#[tokio::test]
async fn a8_another_issuer_is_refused_before_any_fetch() {
    let setup = Setup::atlassian();
    for iss in [json!("another tenant"), Value::Null, json!("")] {
        let token = signed(&header(), &with(claims(), "iss", iss));
        assert_eq!(setup.refused_unasked(&token).await, TokenError::Issuer);
    }
    let nobody = signed(&header(), &with(claims(), "iss", json!("")));
    let outcome = setup.verifier.verify(&nobody, "", &REQUEST).await;
    assert_eq!(outcome, Err(LifecycleError::Refused(TokenError::Issuer)));
}

#[tokio::test]
async fn a9_another_qsh_is_refused_before_any_fetch() {
    let setup = Setup::atlassian();
    let uninstalled = Request { path: "/events/uninstalled", ..REQUEST }.qsh();
    for qsh in [json!(uninstalled), json!("context-qsh"), json!(""), Value::Null] {
        let token = signed(&header(), &with(claims(), "qsh", qsh));
        assert_eq!(setup.refused_unasked(&token).await, TokenError::Qsh);
    }
}

#[tokio::test]
async fn a10_keys_of_a_proxy_need_no_expiry() {
    let setup = Setup::proxy();
    let token = signed(&header(), &with(claims(), "exp", Value::Null));
    assert_eq!(setup.verify(&token).await.expect("accepted").expires_at, None);
    assert_eq!(setup.server.requests(), [format!("GET /-/jira_connect/public_keys/{KID}")]);

    let over = signed(&header(), &with(claims(), "exp", json!(now().seconds() - 31)));
    assert_eq!(setup.verify(&over).await, Err(LifecycleError::Refused(TokenError::Expired)));
}

#[tokio::test]
async fn a11_keys_of_atlassian_need_an_expiry() {
    let setup = Setup::atlassian();
    for exp in [Value::Null, json!(0), json!(-1), json!(now().seconds() - 31)] {
        let token = signed(&header(), &with(claims(), "exp", exp));
        assert_eq!(setup.refused_unasked(&token).await, TokenError::Expired);
    }
    let within_leeway = signed(&header(), &with(claims(), "exp", json!(now().seconds() - 20)));
    assert!(setup.verify(&within_leeway).await.is_ok());
}

#[tokio::test]
async fn audiences_are_compared_without_one_trailing_slash() {
    let setup = Setup::atlassian();
    for audience in [
        json!(AUDIENCE),
        json!(format!("{AUDIENCE}/")),
        json!([format!("{AUDIENCE}/")]),
        json!(["https://else.example", AUDIENCE]),
        json!("https://other.example/-/jira_connect"),
    ] {
        assert!(
            setup.verify(&signed(&header(), &with(claims(), "aud", audience.clone()))).await.is_ok(),
            "{audience}"
        );
    }
    let setup = Setup::atlassian();
    for audience in [
        Value::Null,
        json!([]),
        json!(""),
        json!("https://another-app.example/-/jira_connect"),
        json!(format!("{AUDIENCE}//")),
        json!(format!("{AUDIENCE}/x")),
        json!("https://bundle.example"),
        json!(AUDIENCE.to_uppercase()),
    ] {
        let token = signed(&header(), &with(claims(), "aud", audience.clone()));
        assert_eq!(setup.refused_unasked(&token).await, TokenError::Audience, "{audience}");
    }
}

#[tokio::test]
async fn an_outage_of_the_key_server_is_told_apart() {
    let setup = Setup::atlassian();
    setup.server.answer(&format!("/{KID}"), Answer::new(500, ""));
    let outcome = setup.verify(&signed(&header(), &claims())).await;
    assert!(matches!(outcome, Err(LifecycleError::KeyServerUnavailable(_))), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_altered_character_is_refused(index: prop::sample::Index, replacement in "[A-Za-z0-9_.-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let original = signed(&header(), &claims());
        let at = index.index(original.len());
        let mut altered = original.clone();
        altered.replace_range(at..=at, &replacement);
        prop_assume!(altered != original);
        let outcome = runtime.block_on(async { Setup::atlassian().verify(&altered).await });
        prop_assert!(matches!(outcome, Err(LifecycleError::Refused(_))), "{:?}", outcome);
    }
}

/// Prints what a verification costs beside the bare RSA operation. Run by hand, optimised:
/// `cargo test -p shared --lib --release -- --ignored --nocapture what_a_verification_costs`.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_verification_costs() {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    const ROUNDS: u32 = 20_000;
    let (setup, key) = (Setup::atlassian(), TestKey::rsa_2048());
    setup.server.answer(&format!("/{KID}"), Answer::new(200, key.public_pem()));
    let token = compact(&header(), &with(claims(), "exp", json!(now().seconds() + 9999)), |message| {
        key.sign(message)
    });
    setup.verify(&token).await.expect("accepted");
    let (message, _) = token.rsplit_once('.').expect("three parts");
    let signature = key.sign(message.as_bytes());
    let bare = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_pkcs1());
    let parsed = bare.parse().expect("a key");

    let mut times = [Duration::ZERO; 3];
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        bare.verify(message.as_bytes(), &signature).expect("verified");
        times[0] += start.elapsed();
        let start = std::time::Instant::now();
        parsed.verify_sig(message.as_bytes(), &signature).expect("verified");
        times[1] += start.elapsed();
        let start = std::time::Instant::now();
        setup.verify(&token).await.expect("accepted");
        times[2] += start.elapsed();
    }
    let [bare, parsed, whole] = times.map(|time| time / ROUNDS);
    println!("bare {bare:?}, bare with a parsed key {parsed:?}, whole verification {whole:?}");
}
