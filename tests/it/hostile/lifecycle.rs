//! Who may say that the app was installed or removed: Atlassian alone, for this app, this tenant and this request, once.
//! The body is not signed, so a token that is good for one call must be good for no other.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::jwt::qsh::query_string_hash;
use standins::gitlab::Version;
use standins::jira::{LifecycleCall, RsaKey, Signature};

use super::{Fortress, refused};

/// More than the body of any lifecycle call may have.
const TOO_LARGE: usize = 64 * 1024 + 1;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The same call with a token of its own: tokens of one second are equal, and none is taken twice.
fn another(call: LifecycleCall, number: usize) -> LifecycleCall {
    call.claim("jti", number)
}

/// A2, A4, A5, A7, A8, A9.
fn bad_tokens(fortress: &Fortress, call: &LifecycleCall) -> Vec<(&'static str, LifecycleCall)> {
    let call = || call.clone();
    let stranger = Arc::new(RsaKey::generate().unwrap());
    let public_pem = fortress.world.jira.signing_key().public_pem().into_bytes();
    let (_, shared_secret) = fortress.world.site.app_credentials().unwrap();
    let (pem, secret) = (|| Signature::Hmac(public_pem.clone()), Signature::Hmac(shared_secret.into_bytes()));
    vec![
        ("a2 no kid", call().header("kid", Value::Null)),
        ("a4 a kid that climbs", call().header("kid", "../..")),
        ("a4 a kid that climbs later", call().header("kid", "a/../../b")),
        ("a4 odd characters", call().header("kid", "$#%")),
        ("a4 a query", call().header("kid", "a?b")),
        ("a4 a long kid", call().header("kid", "a".repeat(300))),
        ("a4 an empty kid", call().header("kid", "")),
        ("a4 a kid of another type", call().header("kid", 7)),
        ("a5 an unknown kid", call().header("kid", "123e4567-e89b-12d3-a456-426614174000")),
        (
            "a5 a stranger's key",
            call().header("kid", stranger.kid()).signed_with(Signature::Rsa(stranger.clone())),
        ),
        ("a7 a stranger under the right kid", call().signed_with(Signature::Rsa(stranger))),
        ("a7 no signature", call().signed_with(Signature::Empty)),
        ("alg none", call().header("alg", "none").signed_with(Signature::Empty)),
        ("alg nOnE", call().header("alg", "nOnE").signed_with(Signature::Empty)),
        ("no alg", call().header("alg", Value::Null)),
        ("HS256 with the public key as secret", call().header("alg", "HS256").signed_with(pem())),
        ("HMAC under the name of RS256", call().signed_with(pem())),
        ("HS256 with the shared secret", call().header("alg", "HS256").signed_with(secret)),
        ("another RSA algorithm", call().header("alg", "RS512")),
        ("extensions that must be understood", call().header("crit", json!(["b64"]))),
        ("another app", call().claim("aud", "https://another-app.example/-/jira_connect")),
        (
            "a longer audience",
            call().claim("aud", format!("{}.evil.example", fortress.world.connect_base_url())),
        ),
        ("no audience", call().claim("aud", Value::Null)),
        ("an empty list of audiences", call().claim("aud", json!([]))),
        ("a8 another issuer", call().claim("iss", "somebody-else")),
        ("a8 no issuer", call().claim("iss", Value::Null)),
        ("a8 another tenant in the body", call().field("clientKey", "somebody-else")),
        ("no tenant in the body", call().field("clientKey", Value::Null)),
        ("nobody at all", call().field("clientKey", "").claim("iss", "")),
        ("a9 another request", call().claim("qsh", query_string_hash("GET", "/subscriptions", None))),
        ("a9 another method", call().claim("qsh", query_string_hash("PUT", "/events/installed", None))),
        ("a9 a page's token", call().claim("qsh", "context-qsh")),
        ("a9 no qsh", call().claim("qsh", Value::Null)),
        ("expired", call().claim("exp", now() - 60)),
        ("expired for ever", call().claim("exp", i64::MIN)),
        ("no end", call().claim("exp", Value::Null)),
        ("an end in words", call().claim("exp", "tomorrow")),
        ("oversized", call().claim("context", "x".repeat(9_000))),
    ]
}

/// E9, and the groups of bad tokens above.
#[tokio::test]
async fn e9_bad_tokens_are_refused_and_change_nothing() {
    let fortress = Fortress::new().await;
    for event in ["installed", "uninstalled"] {
        // What the attacker wants stored.
        let call = fortress.call(event).field("sharedSecret", "planted by a stranger");
        for (case, call) in bad_tokens(&fortress, &call) {
            let answer = fortress.send(&call).await;
            fortress.holds(answer, 401, &format!("{event}: {case}")).await;
        }
    }
}

/// A12 and A7: texts that are no token at all, and a probe without any, as documented for health checks.
#[tokio::test]
async fn a12_what_is_no_token_is_refused() {
    let fortress = Fortress::new().await;
    let call = fortress.call("installed");
    let token = call.token();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(json!({"iss": fortress.world.site.client_key()}).to_string());
    for authorization in [
        String::new(),
        "JWT".to_owned(),
        "JWT ".to_owned(),
        "JWT 123".to_owned(),
        "JWT ..".to_owned(),
        token.clone(),
        // FF6: a scheme that Jira does not use.
        format!("Bearer {token}"),
        format!("Basic {token}"),
        format!("JWT {token} {token}"),
        format!("JWT {signed}"),
        format!("JWT {signed}."),
        format!("JWT {token}.{token}"),
        format!("JWT {header}.{claims}.{}", token.rsplit('.').next().unwrap()),
        format!("JWT {header}.{header}.{header}"),
        format!("JWT {}", "[".repeat(8_000)),
    ] {
        let answer = fortress.send_with(&call, &authorization).await;
        fortress.holds(answer, 401, &authorization).await;
    }
    let answer = fortress.http.post(call.url()).header("authorization", b"JWT \xff\xfe".as_slice());
    fortress.holds(answer.json(call.body()).send().await.unwrap(), 401, "not even text").await;
    for path in ["installed", "uninstalled"] {
        let url = format!("{}/events/{path}", fortress.world.connect_base_url());
        let answer = fortress.http.post(url).send().await.unwrap();
        assert!(fortress.call(path).unauthorized().send().await.unwrap() == 401);
        fortress.holds(answer, 401, "a health probe").await;
    }
}

#[tokio::test]
async fn a_token_is_good_for_one_call() {
    let mut fortress = Fortress::new().await;
    let call = another(fortress.call("installed"), 1);
    assert_eq!(fortress.send(&call).await.status(), 200);
    fortress.remember().await;
    let stolen = call.clone().field("sharedSecret", "planted by a stranger");
    fortress.holds(fortress.send(&call).await, 401, "again").await;
    fortress.holds(fortress.send(&stolen).await, 401, "again with another body").await;
    // The last character of the signature carries four bits that mean nothing.
    let token = call.token();
    let (rest, last) = token.split_at(token.len() - 1);
    for twin in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        if !last.starts_with(twin) {
            let answer = fortress.send_with(&stolen, &format!("JWT {rest}{twin}")).await;
            refused(answer, 401, "the same token in other letters").await;
        }
    }
    for authorization in [format!("Bearer {token}"), format!("jwt  {token} x"), format!("JWT {token}=")] {
        fortress.holds(fortress.send_with(&stolen, &authorization).await, 401, &authorization).await;
    }
}

#[tokio::test]
async fn of_many_at_once_one_uses_the_token() {
    let fortress = Fortress::new().await;
    let call = another(fortress.call("installed"), 1);
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let call = call.clone();
        sent.spawn(async move { call.send().await.unwrap() });
    }
    let mut answers = sent.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [vec![200], vec![401; 15]].concat());
}

/// What a body may be before anybody has looked whether its sender may speak.
#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let fortress = Fortress::new().await;
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, &str, Vec<u8>, u16)> = vec![
        ("empty", json, Vec::new(), 401),
        ("no JSON", json, b"clientKey".to_vec(), 401),
        ("not UTF-8", json, b"{\"clientKey\":\"\xff\xfe\"}".to_vec(), 401),
        ("cut off", json, b"{\"clientKey\":".to_vec(), 401),
        ("a list", json, b"[]".to_vec(), 401),
        ("deep", json, deep(30_000).into_bytes(), 401),
        (
            "deep where the tenant stands",
            json,
            format!("{{\"clientKey\":{}}}", deep(30_000)).into_bytes(),
            401,
        ),
        ("twice the tenant", json, b"{\"clientKey\":\"a\",\"clientKey\":\"b\"}".to_vec(), 401),
        ("a form that is none", form, b"%ff%fe=%zz&&&===".to_vec(), 401),
        ("too large", json, vec![b' '; TOO_LARGE], 413),
        ("too large a form", form, vec![b'a'; TOO_LARGE], 413),
    ];
    for (case, content_type, body, status) in cases {
        let call = fortress.call("installed");
        let request = fortress.http.post(call.url()).header("authorization", format!("JWT {}", call.token()));
        let answer = request.header("content-type", content_type).body(body).send().await.unwrap();
        fortress.holds(answer, status, case).await;
    }
}

/// E4: a tenant that proves itself and says something that can't be worked with.
#[tokio::test]
async fn e4_a_tenant_without_a_usable_site_is_refused() {
    let fortress = Fortress::new().await;
    let urls = [
        Value::Null,
        json!(""),
        json!("acme.atlassian.net"),
        json!("https://evil.example"),
        json!("http://acme.atlassian.net"),
        json!("https://acme.atlassian.net.evil.example"),
        json!("https://evil.example/.atlassian.net"),
        json!("https://evil.example\\.atlassian.net"),
        json!("https://evil.example?.atlassian.net"),
        json!("https://atlassian.net"),
        json!("https://acme.atlassian.net:8443"),
        json!("https://user@acme.atlassian.net"),
        json!("https://acme.atlassian.net@evil.example"),
        json!("https://acme.atlassian.net/#x"),
        json!("https://acme.atlassian.net/somewhere"),
        json!("https://acme.atlassian.net/?x=1"),
        json!("https://169.254.169.254"),
        json!("https://10.0.0.1"),
        json!("file:///etc/passwd"),
    ];
    for (number, url) in urls.into_iter().enumerate() {
        let case = url.to_string();
        let call = another(fortress.call("installed"), number).field("baseUrl", url);
        fortress.holds(fortress.send(&call).await, 422, &case).await;
    }
    for (number, secret) in [Value::Null, json!("")].into_iter().enumerate() {
        let call = another(fortress.call("installed"), 100 + number).field("sharedSecret", secret);
        fortress.holds(fortress.send(&call).await, 422, "no shared secret").await;
    }
}

#[tokio::test]
async fn sites_that_are_not_on_the_list_stay_outside() {
    let variables = [("ALLOWED_JIRA_SITES", "acme.atlassian.net, other.atlassian.net")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    let error = world.install().await.unwrap_err().to_string();
    assert!(error.contains("422"), "{error}");
    assert_eq!(world.command(Command::SiteList).await.unwrap(), json!({"sites": []}));
}

/// Names of hosts are the same in any letters, on the list and from Jira.
#[tokio::test]
async fn sites_on_the_list_come_in() {
    let fortress = Fortress::new().await;
    let variables = [("ALLOWED_JIRA_SITES", "Acme.Atlassian.net,127.0.0.1:1")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    // The stand-in's own address is not on the list, so the token's body names one that is.
    assert!(world.install().await.is_err());
    let call = fortress.call("installed");
    let keys = world.jira.signing_key();
    let call = call
        .header("kid", keys.kid())
        .signed_with(Signature::Rsa(keys))
        .claim("aud", world.connect_base_url())
        .field("baseUrl", "https://ACME.atlassian.net/");
    let url = call.url().replace(fortress.world.base_url(), world.base_url());
    let answer = fortress.http.post(url).header("authorization", format!("JWT {}", call.token()));
    assert_eq!(answer.json(call.body()).send().await.unwrap().status(), 200);
    let sites = world.command(Command::SiteList).await.unwrap();
    assert_eq!(sites["sites"][0]["base_url"], "https://acme.atlassian.net");
}

/// A tenant that names the address of another becomes neither that other one nor somebody new.
#[tokio::test]
async fn a_tenant_that_names_another_ones_address_stays_who_it_is() {
    let fortress = Fortress::new().await;
    let other = fortress.world.jira.site("other").await.unwrap();
    other.install(&fortress.world.connect_base_url()).await.unwrap();
    let list = async || fortress.world.command(Command::SiteList).await.unwrap()["sites"].clone();
    let before = list().await;
    let of =
        |sites: &Value, id: &Value| sites.as_array().unwrap().iter().find(|site| site["id"] == *id).cloned();
    let ids: Vec<Value> = before.as_array().unwrap().iter().map(|site| site["id"].clone()).collect();
    let victim = before.as_array().unwrap().iter().find(|site| site["base_url"] == other.base_url()).unwrap();

    let call = another(fortress.call("installed"), 1).field("baseUrl", other.base_url());
    assert_eq!(fortress.send(&call).await.status(), 200);
    let after = list().await;
    assert_eq!(after.as_array().unwrap().len(), 2);
    assert_eq!(of(&after, &victim["id"]).as_ref(), Some(victim));
    let attacker = ids.iter().find(|id| **id != victim["id"]).unwrap();
    let (was, is) = (of(&before, attacker).unwrap(), of(&after, attacker).unwrap());
    assert_eq!(was["connections"][0]["installation"], is["connections"][0]["installation"]);
    assert_eq!(is["connections"].as_array().unwrap().len(), 1);
    // Two sites have one address now, and only a person can say which is meant.
    let token = SecretString::from("glpat-unused");
    let Command::GroupLink(mut link) = fortress.world.link_command("acme", &token, CredentialChoice::Auto)
    else {
        unreachable!("it links")
    };
    link.site = other.base_url().replace("http://", "");
    let refusal = fortress.world.command(Command::GroupLink(link)).await.unwrap_err();
    assert!(refusal.sentence.starts_with("Several sites are called"), "{refusal}");
}

#[tokio::test]
async fn an_uninstall_older_than_the_install_is_ignored() {
    let fortress = Fortress::new().await;
    let late = fortress.call("uninstalled").claim("iat", now() - 60);
    fortress.holds(fortress.send(&late).await, 200, "late").await;
    let new = fortress.call("uninstalled").claim("iat", now() + 1);
    assert_eq!(fortress.send(&new).await.status(), 200);
    let sites = fortress.world.command(Command::SiteList).await.unwrap();
    assert_eq!(sites["sites"][0]["condition"], "uninstalled");
}

/// Who we are is configuration: what a request says about our name changes neither audience nor descriptor nor redirect.
#[tokio::test]
async fn forged_names_of_ours_change_nothing() {
    let fortress = Fortress::new().await;
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-original-url", "/-/jira_connect/events/uninstalled"),
    ];
    let descriptor = format!("{}/app_descriptor.json", fortress.world.connect_base_url());
    let honest = fortress.http.get(&descriptor).send().await.unwrap().text().await.unwrap();
    assert!(honest.contains(&fortress.world.connect_base_url()));
    let branch = fortress.world.site.create_branch_url("PAY-1", "x", "account").unwrap();
    for (name, value) in forged {
        let answer = fortress.http.get(&descriptor).header(name, value).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), honest, "{name}");
        let answer = fortress.http.get(&branch).header(name, value).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.starts_with(fortress.world.gitlab.url()), "{name}: {location}");
        let call = fortress.call("uninstalled").claim("aud", "https://evil.example/-/jira_connect");
        let request = fortress.http.post(call.url()).header("authorization", format!("JWT {}", call.token()));
        let answer = request.header(name, value).json(call.body()).send().await.unwrap();
        fortress.holds(answer, 401, name).await;
    }
}

/// Not to know is not to refuse: Jira may come again.
#[tokio::test]
async fn a_key_server_out_of_reach_is_answered_503() {
    let variables = [("INSTALL_KEYS_URL", "http://127.0.0.1:1/keys")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    let error = world.install().await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert_eq!(world.command(Command::SiteList).await.unwrap(), json!({"sites": []}));
}
