use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::jwt::test_tokens::{TestKey, compact, hs256};
use crate::outbound::test_server::{Answer, TestServer};
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

const APP: &str = "ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555";
const CLOUD: &str = "99999999-8888-7777-6666-555555555555";

struct Setup {
    server: TestServer,
    verifier: InvocationVerifier,
}

impl Setup {
    fn new() -> Self {
        let server = TestServer::start();
        let set = json!({ "keys": [TestKey::rsa_2048().jwk("forge/key-1")] }).to_string();
        server.answer("/jwks.json", Answer::new(200, set));
        let guard = HostGuard::parse("127.0.0.1").expect("a list");
        let client = outbound_client(&guard, RedirectRule::None, None).expect("a client");
        let url = Url::parse(&server.url("/jwks.json")).expect("a URL");
        let keys = KeySet::new(client, url, Arc::new(SystemClock));
        Self { server, verifier: InvocationVerifier::new(keys, APP.to_owned(), Arc::new(SystemClock)) }
    }

    async fn outcome(&self, claims: &Value) -> Result<Invocation, InvocationError> {
        self.verifier.verify(&signed(claims)).await
    }
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "RS256", "kid": "forge/key-1" })
}

fn claims() -> Value {
    let now = SystemClock.now().seconds();
    json!({
        "iss": "forge/invocation-token", "aud": APP, "iat": now, "nbf": now, "exp": now + 25, "jti": "1",
        "app": {
            "id": APP, "appVersion": "2.1.0", "installationId": "ari:cloud:ecosystem::installation/1",
            "apiBaseUrl": format!("https://api.atlassian.com/ex/jira/{CLOUD}"),
            "installation": { "id": "ari:cloud:ecosystem::installation/1",
                "contexts": [{ "name": "jira", "cloudId": CLOUD }] },
            "environment": { "type": "PRODUCTION", "id": "ari:cloud:ecosystem::environment/1" },
            "module": { "type": "jira:adminPage", "key": "gitlab" },
        },
        "context": { "cloudId": CLOUD, "siteUrl": "https://acme.atlassian.net", "moduleKey": "gitlab" },
        "principal": "admin-1",
    })
}

fn with(mut value: Value, pointer: &str, part: Value) -> Value {
    *value.pointer_mut(pointer).expect("there") = part;
    value
}

fn signed(claims: &Value) -> String {
    compact(&header(), claims, |message| TestKey::rsa_2048().sign(message))
}

/// F1.
#[tokio::test]
async fn f1_a_token_of_a_page_says_who_and_where() {
    let invocation = Setup::new().outcome(&claims()).await.expect("accepted");
    assert_eq!(invocation.installation_id, "ari:cloud:ecosystem::installation/1");
    assert_eq!((invocation.cloud_id.as_str(), invocation.app_version.as_deref()), (CLOUD, Some("2.1.0")));
    let person = invocation.person.expect("a person");
    assert_eq!((person.account_id.as_str(), person.is_on_admin_page), ("admin-1", true));
    assert_eq!(person.site_url.as_deref(), Some("https://acme.atlassian.net"));
}

#[tokio::test]
async fn a_call_of_a_trigger_needs_no_context_and_no_person() {
    let setup = Setup::new();
    let mut claims = claims();
    for name in ["context", "principal"] {
        claims.as_object_mut().expect("an object").remove(name);
    }
    let invocation = setup.outcome(&claims).await.expect("accepted");
    assert_eq!((invocation.cloud_id.as_str(), invocation.person), (CLOUD, None));
    claims["app"].as_object_mut().expect("an object").remove("installation");
    assert_eq!(setup.outcome(&claims).await.expect("accepted").cloud_id, CLOUD);
}

/// F3, F4, F5; and what else anybody could see without a key.
#[tokio::test]
async fn what_can_be_refused_without_a_key_fetches_nothing() {
    let setup = Setup::new();
    let now = SystemClock.now().seconds();
    for (claims, expected) in [
        (with(claims(), "/exp", json!(now - 6)), TokenError::Expired),
        (with(claims(), "/exp", Value::Null), TokenError::Expired),
        (with(claims(), "/nbf", json!(now + 60)), TokenError::Expired),
        (with(claims(), "/iss", json!("forge/other")), TokenError::Issuer),
        (with(claims(), "/iss", Value::Null), TokenError::Issuer),
        (with(claims(), "/aud", json!("ari:cloud:ecosystem::app/other")), TokenError::Audience),
        (with(claims(), "/aud", Value::Null), TokenError::Audience),
        (with(claims(), "/app/installationId", Value::Null), TokenError::Malformed),
    ] {
        assert_eq!(setup.outcome(&claims).await, Err(InvocationError::Refused(expected)), "{claims}");
    }
    for (header, expected) in [
        (json!({ "alg": "HS256", "kid": "forge/key-1" }), TokenError::Algorithm),
        (json!({ "alg": "none", "kid": "forge/key-1" }), TokenError::Algorithm),
        (json!({ "alg": "RS256" }), TokenError::KeyId),
        (json!({ "alg": "RS256", "kid": "a?b" }), TokenError::KeyId),
    ] {
        let token = compact(&header, &claims(), hs256(TestKey::rsa_2048().public_pkcs1()));
        assert_eq!(setup.verifier.verify(&token).await, Err(InvocationError::Refused(expected)), "{header}");
    }
    // F7.
    let not_a_token = setup.verifier.verify("not.a.jwt").await;
    assert_eq!(not_a_token, Err(InvocationError::Refused(TokenError::Malformed)));
    assert_eq!(setup.server.requests(), Vec::<String>::new());
}

/// F2, F6.
#[tokio::test]
async fn other_keys_are_refused() {
    let setup = Setup::new();
    let other = compact(&header(), &claims(), |message| TestKey::rsa_3072().sign(message));
    assert_eq!(setup.verifier.verify(&other).await, Err(InvocationError::Refused(TokenError::Signature)));
    let header = json!({ "alg": "RS256", "kid": "another" });
    let unknown = compact(&header, &claims(), |message| TestKey::rsa_2048().sign(message));
    assert_eq!(setup.verifier.verify(&unknown).await, Err(InvocationError::Refused(TokenError::UnknownKey)));
}

#[tokio::test]
async fn only_production_counts() {
    let setup = Setup::new();
    for environment in ["DEVELOPMENT", "STAGING", ""] {
        let claims = with(claims(), "/app/environment/type", json!(environment));
        assert!(matches!(setup.outcome(&claims).await, Err(InvocationError::Environment(_))));
    }
    assert!(setup.outcome(&with(claims(), "/app/environment/type", json!("production"))).await.is_ok());
}

#[tokio::test]
async fn ids_that_could_be_anything_else_are_refused() {
    let setup = Setup::new();
    for (pointer, id) in [
        ("/context/cloudId", json!("../../other")),
        ("/context/cloudId", json!("")),
        ("/context/cloudId", json!("a".repeat(65))),
        ("/app/installationId", json!("")),
        ("/app/installationId", json!("a".repeat(MAX_ID + 1))),
        ("/iat", Value::Null),
    ] {
        let outcome = setup.outcome(&with(claims(), pointer, id)).await;
        assert_eq!(outcome, Err(InvocationError::Refused(TokenError::Malformed)), "{pointer}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in ".*", claims in ".*") {
        static SETUP: std::sync::LazyLock<Setup> = std::sync::LazyLock::new(Setup::new);
        let verifier = &SETUP.verifier;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        prop_assert!(runtime.block_on(verifier.verify(&text)).is_err());
        let token = compact(&header(), &json!(claims), |_| vec![1]);
        prop_assert!(runtime.block_on(verifier.verify(&token)).is_err());
    }
}
