use super::*;
use crate::clock::stopped::StoppedClock;
use crate::jwt::test_tokens::TestKey;
use crate::outbound::test_server::{Answer, TestServer};
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

const KID: &str = "123e4567-e89b-12d3-a456-426614174000";

fn kid() -> KeyId {
    KeyId::parse(KID).expect("a key id")
}

fn path() -> String {
    format!("/{KID}")
}

fn good_key() -> Answer {
    Answer::new(200, TestKey::rsa_2048().public_pem())
}

fn store_with(servers: &[&TestServer], clock: SharedClock) -> KeyStore {
    let guard = HostGuard::parse("127.0.0.1").expect("a list");
    let client = outbound_client(&guard, RedirectRule::None, None).expect("a client");
    let servers: Vec<Url> =
        servers.iter().map(|server| Url::parse(&server.url("")).expect("a URL")).collect();
    KeyStore::new(client, KeySource::atlassian(&servers), clock)
}

fn store(servers: &[&TestServer]) -> KeyStore {
    store_with(servers, StoppedClock::new())
}

fn urls(source: &KeySource) -> Vec<String> {
    source.urls(&kid()).collect()
}

#[test]
fn a1_keys_come_from_atlassian() {
    let servers = ATLASSIAN_KEY_SERVERS.map(|server| Url::parse(server).expect("a URL"));
    let source = KeySource::configured(None, &servers).expect("a source");
    assert_eq!(urls(&source)[0], format!("https://connect-install-keys.atlassian.com/{KID}"));
    assert!(source.expiry_required());
    assert_eq!(source.timeout_of_each() * 2, FETCH_TIMEOUT);
}

#[test]
fn a10_keys_come_from_the_proxy() {
    for proxy in ["https://example.com", "https://example.com/", " https://example.com "] {
        let source = KeySource::configured(Some(proxy), []).expect("a source");
        assert_eq!(urls(&source), [format!("https://example.com/-/jira_connect/public_keys/{KID}")]);
        assert!(!source.expiry_required());
    }
    assert!(KeySource::configured(Some("not a URL"), []).is_err());
}

#[test]
fn a11_a_blank_proxy_url_means_none() {
    let servers = [Url::parse("https://keys.example/base/").expect("a URL")];
    for proxy in ["", "  "] {
        let source = KeySource::configured(Some(proxy), &servers).expect("a source");
        assert_eq!(source, KeySource::atlassian(&servers));
        assert_eq!(urls(&source), [format!("https://keys.example/base/{KID}")]);
    }
}

#[tokio::test]
async fn a_key_is_fetched_once_however_many_ask() {
    let server = TestServer::start();
    server.answer(&path(), good_key().after(Duration::from_millis(50)));
    let (store, kid) = (store(&[&server]), kid());
    let asked = futures::future::join_all((0..20).map(|_| store.key(&kid))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert!(store.key(&kid).await.is_ok());
    assert_eq!(server.requests(), [format!("GET /{KID}")]);
}

#[tokio::test]
async fn a5_an_empty_404_is_an_unknown_key_and_remembered_for_a_minute() {
    let (server, clock) = (TestServer::start(), StoppedClock::new());
    let store = store_with(&[&server], clock.clone());
    for _ in 0..3 {
        assert_eq!(store.key(&kid()).await.err(), Some(KeyError::Unknown));
    }
    assert_eq!(server.requests().len(), 1);

    server.answer(&path(), good_key());
    clock.advance(Duration::from_secs(59));
    assert_eq!(store.key(&kid()).await.err(), Some(KeyError::Unknown));
    clock.advance(Duration::from_secs(1));
    assert!(store.key(&kid()).await.is_ok());
}

#[tokio::test]
async fn what_is_not_a_key_is_no_key() {
    let long = format!("{}{}", "\n".repeat(MAX_KEY_BYTES), TestKey::rsa_2048().public_pem());
    for answer in [
        Answer::new(200, ""),
        Answer::new(200, "<html></html>"),
        Answer::new(200, vec![0xff; 100]),
        Answer::new(200, "x".repeat(1_000_000)),
        Answer::new(200, long),
        Answer::new(403, ""),
        Answer::new(410, TestKey::rsa_2048().public_pem()),
    ] {
        let server = TestServer::start();
        server.answer(&path(), answer.clone());
        assert_eq!(store(&[&server]).key(&kid()).await.err(), Some(KeyError::Unknown), "{answer:?}");
    }
}

#[tokio::test]
async fn servers_are_asked_in_order() {
    let (first, second) = (TestServer::start(), TestServer::start());
    second.answer(&path(), good_key());
    for first_answer in [Answer::new(404, ""), Answer::new(500, ""), Answer::new(200, "?")] {
        first.answer(&path(), first_answer);
        assert!(store(&[&first, &second]).key(&kid()).await.is_ok());
    }
    let before = second.requests().len();
    first.answer(&path(), good_key());
    assert!(store(&[&first, &second]).key(&kid()).await.is_ok());
    assert_eq!(second.requests().len(), before);
}

#[tokio::test]
async fn an_outage_is_told_apart_and_not_remembered() {
    let (first, second) = (TestServer::start(), TestServer::start());
    let store = store(&[&first, &second]);
    let elsewhere = TestServer::start();
    for answer in [
        Answer::new(500, ""),
        Answer::new(503, TestKey::rsa_2048().public_pem()),
        Answer::new(429, ""),
        Answer::redirect(302, &elsewhere.url(&path())),
    ] {
        first.answer(&path(), answer.clone());
        let outcome = store.key(&kid()).await;
        assert!(matches!(outcome, Err(KeyError::Unavailable(_))), "{answer:?} {outcome:?}");
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
    first.answer(&path(), good_key());
    assert!(store.key(&kid()).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_down_is_an_outage() {
    let mut dead = TestServer::start().url("");
    dead.replace_range(dead.rfind(':').expect("a port").., ":1");
    let source = KeySource::atlassian(&[Url::parse(&dead).expect("a URL")]);
    let store = KeyStore { source, ..store(&[]) };
    let outcome = store.key(&kid()).await;
    assert!(
        matches!(&outcome, Err(KeyError::Unavailable(cause)) if cause.contains("refused") && !cause.contains(KID)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn memory_is_bounded() {
    let server = TestServer::start();
    let store = store(&[&server]);
    for number in 0..MAX_KEYS + 50 {
        server.answer(&format!("/key-{number}"), good_key());
        let kid = KeyId::parse(&format!("key-{number}")).expect("a key id");
        assert!(store.key(&kid).await.is_ok());
    }
    store.keys.run_pending_tasks().await;
    assert!(store.keys.entry_count() <= MAX_KEYS);
    assert_eq!(store.unknown.policy().max_capacity(), Some(MAX_UNKNOWN));
}
