use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{APP_KEY, BUILDS, DEV_INFO, Installed, answer_of};
use crate::jira::provider::samples::{build, dev_info};
use crate::jira::{Api, REASON_HEADER, Signature, compact_token};
use shared::jwt::qsh::{CONTEXT_QSH, query_string_hash};

/// Sends dev info with this Authorization header: status and reason.
async fn with_header(world: &Installed, authorization: Option<String>) -> (u16, String) {
    let mut request = world.http.post(format!("{}{DEV_INFO}", world.site.base_url())).json(&dev_info());
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let response = request.send().await.unwrap();
    let reason = response.headers().get(REASON_HEADER).map(|reason| reason.to_str().unwrap().to_owned());
    (response.status().as_u16(), reason.unwrap_or_default())
}

fn claims() -> Value {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let qsh = query_string_hash("POST", DEV_INFO, None);
    json!({ "iss": APP_KEY, "iat": now, "exp": now + 180, "qsh": qsh })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_right_token_is_let_in_from_the_header_and_from_the_query() {
    let world = Installed::start().await;
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
    let token = world.token("POST", DEV_INFO);
    let url = format!("{}{DEV_INFO}?jwt={token}", world.site.base_url());
    assert_eq!(world.http.post(url).json(&dev_info()).send().await.unwrap().status(), 202);
    assert_eq!(world.site.recorded()[1].query.as_deref(), Some(""));
}

#[tokio::test]
async fn wrong_tokens_are_refused() {
    let world = Installed::start().await;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let jwt = |claims: &Value| Some(format!("JWT {}", world.signed(claims)));
    let hash = |method: &str, path: &str, query| json!(query_string_hash(method, path, query));
    let cases = [
        (None, "no JWT"),
        (Some("JWT not-a-token".to_owned()), "no JWT"),
        (Some(format!("Bearer {}", world.signed(&claims()))), "no JWT"),
        (jwt(&changed("iss", json!("another-app"))), "not the key of an installed app"),
        (jwt(&changed("exp", json!(now - 1))), "ExpiredSignature"),
        (jwt(&changed("exp", Value::Null)), "exp"),
        (jwt(&changed("exp", json!(now + 3600))), "too far ahead"),
        (jwt(&changed("iat", json!(now + 120))), "iat"),
        (jwt(&changed("iat", Value::Null)), "iat"),
        (jwt(&changed("qsh", json!(CONTEXT_QSH))), "qsh"),
        (jwt(&changed("qsh", Value::Null)), "qsh"),
        (jwt(&changed("qsh", hash("GET", DEV_INFO, None))), "qsh"),
        (jwt(&changed("qsh", hash("POST", BUILDS, None))), "qsh"),
        (jwt(&changed("qsh", hash("POST", DEV_INFO, Some("a=b")))), "qsh"),
    ];
    for (header, expected) in cases {
        let (status, reason) = with_header(&world, header).await;
        assert_eq!(status, 401, "{expected}");
        assert!(reason.contains(expected), "{reason} lacks {expected}");
    }
    assert_eq!(world.site.calls().answered(Api::DevInfo, 401), 14);
    assert!(world.site.recorded().is_empty());
}

#[tokio::test]
async fn only_hs256_with_the_shared_secret_counts() {
    let world = Installed::start().await;
    let (_, secret) = world.site.app_credentials().unwrap();
    let right = Signature::Hmac(secret.into_bytes());
    for (algorithm, signature) in
        [("HS256", Signature::Hmac(b"wrong".to_vec())), ("HS384", right.clone()), ("none", Signature::Empty)]
    {
        let token = compact_token(&json!({ "alg": algorithm }), &claims(), &signature);
        assert_eq!(with_header(&world, Some(format!("JWT {token}"))).await.0, 401, "{algorithm}");
    }
    let token = compact_token(&json!({ "alg": "HS256" }), &claims(), &right);
    assert_eq!(with_header(&world, Some(format!("JWT {token}"))).await.0, 202);
}

#[tokio::test]
async fn a_missing_module_or_scope_is_forbidden() {
    let world = Installed::start().await;
    world.app.change_descriptor(|descriptor| {
        descriptor["modules"].as_object_mut().unwrap().remove("jiraBuildInfoProvider");
        descriptor["scopes"] = json!(["READ", "WRITE"]);
    });
    world.site.install(&world.app.base_url).await.unwrap();
    let response = world.call(Method::POST, BUILDS, Some(&json!({ "builds": [build(1, &["PAY-1"])] }))).await;
    assert_eq!(response.headers()[REASON_HEADER], "the app lacks the module jiraBuildInfoProvider");
    assert_eq!(answer_of(response).await.0, 403);
    assert_eq!(world.delete("/rest/devinfo/0.10/repository/1").await, 403);
    assert_eq!(world.get("/rest/devinfo/0.10/repository/1").await.0, 404);
}

#[tokio::test]
async fn jira_rest_answers_apps_only() {
    let world = Installed::start().await;
    let response =
        world.http.get(format!("{}/rest/api/3/project/PAY", world.site.base_url())).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(world.get("/rest/api/3/project/PAY").await.0, 200);
}
