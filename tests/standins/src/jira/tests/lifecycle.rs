use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use shared::jwt::qsh::{CONTEXT_QSH, query_string_hash};

use super::{APP_KEY, DEV_INFO, Installed, Received};
use crate::jira::provider::samples::dev_info;
use crate::jira::{RsaKey, Signature, User};

impl Installed {
    /// The claims of a lifecycle call, verified as an app does.
    async fn verified(&self, received: &Received) -> Value {
        let token = received.authorization.as_deref().unwrap().strip_prefix("JWT ").unwrap();
        let kid = decode_header(token).unwrap().kid.unwrap();
        let pem = self.http.get(format!("{}/{kid}", self.jira.install_keys_url())).send().await.unwrap();
        assert_eq!(pem.status(), 200);
        let key = DecodingKey::from_rsa_pem(pem.text().await.unwrap().as_bytes()).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[&self.app.base_url]);
        decode::<Value>(token, &key, &rules).unwrap().claims
    }
}

#[tokio::test]
async fn installing_sends_a_signed_callback() {
    let world = Installed::start().await;
    world.site.add_user(User::admin("admin-1", "Ada"));
    world.site.act_as("admin-1");
    world.site.set_display_url("https://jira.acme.example");
    world.site.install(&world.app.base_url).await.unwrap();

    let received = &world.app.received()[1];
    assert_eq!(received.target, "/base/events/installed?user_key=admin-1");
    let claims = world.verified(received).await;
    let client_key = world.site.client_key();
    assert_eq!(
        (claims["iss"].as_str(), claims["sub"].as_str()),
        (Some(client_key.as_str()), Some("admin-1"))
    );
    let qsh = query_string_hash("POST", "/events/installed", Some("user_key=admin-1"));
    assert_eq!(claims["qsh"], json!(qsh));
    let (key, secret) = world.site.app_credentials().unwrap();
    let display = "https://jira.acme.example";
    for (field, value) in [
        ("key", key.as_str()),
        ("clientKey", client_key.as_str()),
        ("sharedSecret", secret.as_str()),
        ("baseUrl", world.site.base_url().as_str()),
        ("displayUrl", display),
        ("displayUrlServicedeskHelpCenter", display),
        ("productType", "jira"),
        ("eventType", "installed"),
    ] {
        assert_eq!(received.body[field], json!(value), "{field}");
    }
}

#[tokio::test]
async fn unknown_keys_are_not_found() {
    let world = Installed::start().await;
    let response = world.http.get(format!("{}/nothing", world.jira.install_keys_url())).send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn a_refused_installation_leaves_the_site_as_it_was() {
    let world = Installed::start().await;
    let before = world.site.app_credentials().unwrap();
    world.app.answer(500);
    let error = world.site.reinstall_with_new_secret().await.unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    assert_eq!(world.site.app_credentials().unwrap(), before);

    world.app.change_descriptor(|descriptor| descriptor["scopes"] = json!(["ROOT"]));
    assert!(world.site.install(&world.app.base_url).await.is_err());
    assert_eq!(world.site.app_credentials().unwrap(), before);

    let fresh = world.jira.site("fresh").await.unwrap();
    world.app.change_descriptor(|descriptor| descriptor["scopes"] = json!(["READ"]));
    assert!(fresh.install(&world.app.base_url).await.is_err());
    assert!(fresh.app_credentials().is_err());
}

#[tokio::test]
async fn a_rotated_secret_ends_the_old_one() {
    let world = Installed::start().await;
    let old = world.token("POST", DEV_INFO);
    world.site.reinstall_with_new_secret().await.unwrap();
    let request = world.http.post(format!("{}{DEV_INFO}", world.site.base_url())).json(&dev_info());
    assert_eq!(request.header("authorization", format!("JWT {old}")).send().await.unwrap().status(), 401);
    assert_eq!(world.post(DEV_INFO, &dev_info()).await.0, 202);
    let secrets: Vec<_> = world.app.received().iter().map(|call| call.body["sharedSecret"].clone()).collect();
    assert_ne!(secrets[0], secrets[1]);
    world.site.redeliver_installed().await.unwrap();
    assert_eq!(world.app.received()[2].body["sharedSecret"], secrets[1]);
}

#[tokio::test]
async fn uninstalling_removes_the_app_and_its_data() {
    let world = Installed::start().await;
    world.post(DEV_INFO, &dev_info()).await;
    let token = world.token("POST", DEV_INFO);
    world.app.answer(500);
    assert_eq!(world.site.uninstall().await.unwrap(), 500);

    let received = &world.app.received()[1];
    assert_eq!(
        (received.target.as_str(), &received.body["sharedSecret"]),
        ("/base/events/uninstalled", &Value::Null)
    );
    let claims = world.verified(received).await;
    assert_eq!(claims["qsh"], json!(query_string_hash("POST", "/events/uninstalled", None)));
    assert!(world.site.issue("PAY-1").is_empty());
    assert!(world.site.uninstall().await.is_err());
    let request = world.http.post(format!("{}{DEV_INFO}", world.site.base_url())).json(&dev_info());
    assert_eq!(request.header("authorization", format!("JWT {token}")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_import_is_a_new_tenant_at_the_same_place() {
    let world = Installed::start().await;
    world.post(DEV_INFO, &dev_info()).await;
    world.site.import_into_new_tenant().await.unwrap();
    let calls = world.app.received();
    assert_ne!(calls[0].body["clientKey"], calls[1].body["clientKey"]);
    assert_eq!(calls[0].body["baseUrl"], calls[1].body["baseUrl"]);
    assert!(world.site.issue("PAY-1").is_empty());
}

#[tokio::test]
async fn hostile_calls_are_as_the_test_says() {
    let world = Installed::start().await;
    let call = world.site.lifecycle_call("installed").unwrap();
    let decoded = |token: &str| jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap();

    let forged =
        call.clone().claim("aud", json!(["https://other"])).claim("exp", Value::Null).header("kid", "../x");
    let token = decoded(&forged.token());
    assert_eq!(
        (token.header.kid.as_deref(), &token.claims["aud"]),
        (Some("../x"), &json!(["https://other"]))
    );
    assert!(token.claims.get("exp").is_none());

    let stranger = std::sync::Arc::new(RsaKey::generate().unwrap());
    let right = DecodingKey::from_rsa_pem(world.jira.signing_key().public_pem().as_bytes()).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_aud = false;
    assert!(decode::<Value>(call.token(), &right, &rules).is_ok());
    assert!(
        decode::<Value>(call.clone().signed_with(Signature::Rsa(stranger)).token(), &right, &rules).is_err()
    );

    // The classic confusion: the public key's text as the secret of an HMAC.
    let pem = world.jira.signing_key().public_pem().into_bytes();
    let confused = call.clone().header("alg", "HS256").signed_with(Signature::Hmac(pem.clone()));
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_aud = false;
    assert!(decode::<Value>(confused.token(), &DecodingKey::from_secret(&pem), &rules).is_ok());

    assert_eq!(call.field("clientKey", "someone-else").unauthorized().send().await.unwrap(), 204);
    let received = world.app.received().pop().unwrap();
    assert_eq!((received.authorization, &received.body["clientKey"]), (None, &json!("someone-else")));
}

#[tokio::test]
async fn tenant_tokens_carry_a_real_hash_or_the_context_constant() {
    let world = Installed::start().await;
    let (_, secret) = world.site.app_credentials().unwrap();
    let secret = DecodingKey::from_secret(secret.as_bytes());
    let verified =
        |token: String| decode::<Value>(token, &secret, &Validation::default()).map(|token| token.claims);

    let request = world.site.token_for("GET", "/workspaces/search?searchQuery=a&page=1").unwrap();
    let claims = verified(request.clone().account("user-1").compact()).unwrap();
    assert_eq!(
        claims["qsh"],
        json!(query_string_hash("GET", "/workspaces/search", Some("page=1&searchQuery=a")))
    );
    assert_eq!(
        (claims["iss"].as_str(), &claims["sub"]),
        (Some(world.site.client_key().as_str()), &json!("user-1"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);

    assert_eq!(verified(world.site.context_token().unwrap().compact()).unwrap()["qsh"], json!(CONTEXT_QSH));
    assert!(verified(request.clone().expiring_in(-120).compact()).is_err());
    assert!(verified(request.clone().signed_with(Signature::Empty).compact()).is_err());
    assert!(verified(request.clone().algorithm("none").compact()).is_err());
    assert!(verified(request.claim("sub", Value::Null).compact()).unwrap().get("sub").is_none());
}

#[tokio::test]
async fn urls_that_jira_opens_carry_a_token_for_exactly_themselves() {
    let world = Installed::start().await;
    let (_, secret) = world.site.app_credentials().unwrap();
    let page = world.site.page_url("postInstallPage", "user-1").unwrap();
    let branch = world.site.create_branch_url("PAY-1", "Retry & log {jwt}", "user-1").unwrap();
    for url in [&page, &branch] {
        let target = url.strip_prefix(&world.app.base_url).unwrap();
        let (path, query) = target.split_once('?').unwrap();
        let mut parameters = url::form_urlencoded::parse(query.as_bytes());
        let token = parameters.find(|(name, _)| name == "jwt").unwrap().1.into_owned();
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = decode::<Value>(token, &key, &Validation::default()).unwrap().claims;
        assert_eq!(claims["qsh"], json!(query_string_hash("GET", path, Some(query))), "{url}");
    }
    assert!(page.contains("&xdm_c=channel-app-under-test__configuration&cp=&"));
    assert!(branch.contains("?key=PAY%2D1&summary=Retry%20%26%20log%20%7Bjwt%7D&jwt=ey"));
    assert!(branch.ends_with(&format!("&app={}", APP_KEY.replace('-', "%2D"))));
    assert!(world.site.page_url("configurePage", "user-1").is_err());
}
