use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::clock::stopped::StoppedClock;
use crate::jwt::test_tokens::TestKey;
use crate::outbound::test_server::{Answer, TestServer};
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

fn set(kids: &[&str]) -> Vec<u8> {
    let keys: Vec<_> = kids.iter().map(|kid| TestKey::rsa_2048().jwk(kid)).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

fn key_set(server: &TestServer, clock: SharedClock) -> KeySet {
    let guard = HostGuard::parse("127.0.0.1").expect("a list");
    let client = outbound_client(&guard, RedirectRule::None, None).expect("a client");
    KeySet::new(client, Url::parse(&server.url("/jwks.json")).expect("a URL"), clock)
}

fn kid(text: &str) -> KeyId {
    KeyId::parse(text).expect("a key id")
}

/// F11.
#[tokio::test]
async fn a_set_is_fetched_once_for_all_its_keys_and_callers() {
    let server = TestServer::start();
    server.answer("/jwks.json", Answer::new(200, set(&["a", "b"])).after(Duration::from_millis(50)));
    let keys = key_set(&server, Arc::new(SystemClock));
    let (a, b) = (kid("a"), kid("b"));
    let (one, two, three) = tokio::join!(keys.key(&a), keys.key(&b), keys.key(&a));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(server.requests().len(), 1);
}

/// F12, and a storm of it.
#[tokio::test]
async fn unknown_ids_cost_one_fetch_a_minute() {
    let (server, clock) = (TestServer::start(), StoppedClock::new());
    server.answer("/jwks.json", Answer::new(200, set(&["a"])));
    let keys = key_set(&server, clock.clone());
    for number in 0..100 {
        assert_eq!(keys.key(&kid(&format!("x{number}"))).await.err(), Some(KeyError::Unknown));
    }
    assert_eq!(server.requests().len(), 1);
    assert!(keys.key(&kid("a")).await.is_ok());
    // Forge has a new key since: it is found a minute later.
    server.answer("/jwks.json", Answer::new(200, set(&["a", "b"])));
    assert_eq!(keys.key(&kid("b")).await.err(), Some(KeyError::Unknown));
    clock.advance(FETCH_FLOOR);
    assert!(keys.key(&kid("b")).await.is_ok());
    assert_eq!(server.requests().len(), 2);
}

/// F13, F14, F15.
#[tokio::test]
async fn an_outage_is_no_refusal() {
    let (server, clock) = (TestServer::start(), StoppedClock::new());
    let keys = key_set(&server, clock.clone());
    for (answer, cause) in [
        (Answer::new(503, ""), "503"),
        (Answer::new(200, "<html>"), "not a key set"),
        (Answer::new(200, vec![b' '; MAX_SET_BYTES + 1]), "longer than"),
    ] {
        server.answer("/jwks.json", answer);
        let Err(KeyError::Unavailable(text)) = keys.key(&kid("a")).await else { panic!("an outage") };
        assert!(text.contains(cause), "{text}");
        clock.advance(RETRY_FLOOR);
    }
    server.answer("/jwks.json", Answer::new(200, set(&["a"])));
    assert!(keys.key(&kid("a")).await.is_ok());
}

#[tokio::test]
async fn a_known_key_outlives_an_outage_but_not_for_ever() {
    let (server, clock) = (TestServer::start(), StoppedClock::new());
    server.answer("/jwks.json", Answer::new(200, set(&["a"])));
    let keys = key_set(&server, clock.clone());
    assert!(keys.key(&kid("a")).await.is_ok());
    server.answer("/jwks.json", Answer::new(500, ""));
    clock.advance(USABLE_FOR - Duration::from_secs(1));
    assert!(keys.key(&kid("a")).await.is_ok());
    assert_eq!(server.requests().len(), 2);
    clock.advance(Duration::from_secs(1));
    assert!(matches!(keys.key(&kid("a")).await, Err(KeyError::Unavailable(_))));
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_gone_within_the_hour() {
    let (server, clock) = (TestServer::start(), StoppedClock::new());
    server.answer("/jwks.json", Answer::new(200, set(&["a"])));
    let keys = key_set(&server, clock.clone());
    assert!(keys.key(&kid("a")).await.is_ok());
    server.answer("/jwks.json", Answer::new(200, set(&["b"])));
    clock.advance(FRESH_FOR);
    assert_eq!(keys.key(&kid("a")).await.err(), Some(KeyError::Unknown));
}

#[test]
fn what_is_no_rsa_key_is_left_out() {
    let good = TestKey::rsa_2048().jwk("good");
    let (mut elliptic, mut nameless, mut broken) = (good.clone(), good.clone(), good.clone());
    elliptic["kty"] = json!("EC");
    nameless["kid"] = json!("../x");
    broken["n"] = json!("AQAB");
    let body = json!({ "keys": [elliptic, nameless, broken, good], "more": true }).to_string();
    let keys = parse(body.as_bytes()).expect("a set");
    assert_eq!(keys.into_keys().collect::<Vec<_>>(), [kid("good")]);
}
