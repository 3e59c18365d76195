//! Our own table, queue and keys out of reach while deliveries come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Answer, Command};
use housekeeping::{Housekeeping, UnhealthyCounts};
use serde_json::Value;
use shared::clock::{Clock as _, SystemClock};
use shared::domain::SubscriptionId;
use shared::envelope::{DataKey, EncryptionContext, Envelope, KeyBytes, KeyService, KeyServiceError};
use shared::queue::{DeadLetter, Depth, MAX_BYTES, Outgoing, Queue, QueueError, SharedQueue};
use shared::store::Store;
use shared::sync::auth::HookAuthenticator;
use standins::gitlab::{Delivery, commit};
use webhook::Webhook;

use crate::stage::Stage;

fn store_at(url: &str) -> Store {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .endpoint_url(url)
        .allow_no_auth()
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .build();
    Store::new(aws_sdk_dynamodb::Client::from_conf(config), "table", Arc::new(SystemClock))
}

/// A table that nobody answers for.
fn unreachable_store() -> Store {
    store_at("http://127.0.0.1:9")
}

/// An empty table whose writes never end.
async fn endless_store() -> Store {
    let answer = async |headers: HeaderMap| {
        if !headers["x-amz-target"].to_str().unwrap().ends_with("GetItem") {
            std::future::pending::<()>().await;
        }
        "{}"
    };
    store_at(&serve(Router::new().route("/", post(answer))).await)
}

/// A queue that takes nothing.
#[derive(Debug)]
struct Down;

#[async_trait]
impl Queue for Down {
    async fn send(&self, _: Vec<Outgoing>) -> Result<(), QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn send_to_dead_letter_queue(&self, _: Outgoing, _: String) -> Result<(), QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn may_be_in_flight(&self, _: Option<&str>) -> Result<bool, QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn redrive(&self, _: Option<&[String]>) -> Result<u64, QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }
}

/// A key service that can't be reached.
#[derive(Debug)]
struct NoKeys;

#[async_trait]
impl KeyService for NoKeys {
    async fn generate_data_key(&self, _: &EncryptionContext) -> Result<DataKey, KeyServiceError> {
        Err(KeyServiceError::Unavailable("down".to_owned()))
    }

    async fn unwrap_data_key(&self, _: &[u8], _: &EncryptionContext) -> Result<KeyBytes, KeyServiceError> {
        Err(KeyServiceError::Unavailable("down".to_owned()))
    }
}

/// Another webhook function of the same bundle, with a `store` and a `queue` of its own. Answers its origin.
async fn webhook_with(world: &World, store: Store, queue: SharedQueue) -> String {
    let verifier = HookAuthenticator::new(store.clone(), world.local.operator.linking.envelope.clone());
    serve(webhook::router(Webhook::new(store, verifier, queue, Arc::new(SystemClock)))).await
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

fn to(delivery: &Delivery, world: &World, origin: &str) -> Delivery {
    delivery.clone().to(&delivery.url().replace(world.base_url(), origin))
}

/// The operator's overview, as JSON and as a person reads it.
async fn status_of(stage: &Stage) -> (Value, String) {
    let status = stage.command(Command::Status).await;
    let text = Answer::Status(serde_json::from_value(status.clone()).unwrap()).text(&[]);
    (status, text)
}

#[tokio::test]
async fn without_the_table_deliveries_are_queued_and_authenticated_later() {
    let stage = Stage::new().await;
    let queue = stage.world.local.operator.queues["events"].clone();
    let origin = webhook_with(&stage.world, unreachable_store(), queue).await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    let deliveries = held.take();
    assert!(to(&deliveries[0], &stage.world, &origin).send().await.unwrap().is_success());
    // Nobody can tell yet that this one is forged.
    let body = String::from_utf8(deliveries[1].body().to_vec()).unwrap().replace("PAY-2", "PAY-3");
    let forged = to(&deliveries[1], &stage.world, &origin).with_body(body);
    assert!(forged.send().await.unwrap().is_success());
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").branches.len(), 1);
    assert!(stage.world.site.issue("PAY-2").is_empty() && stage.world.site.issue("PAY-3").is_empty());
    assert_eq!(stage.dead().await, 0);
}

/// A queue that only counts: messages, and the bytes of the largest.
#[derive(Debug, Default)]
struct Counting {
    messages: AtomicUsize,
    largest: AtomicUsize,
}

#[async_trait]
impl Queue for Counting {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        for message in messages {
            self.messages.fetch_add(1, Ordering::Relaxed);
            self.largest.fetch_max(message.body.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn send_to_dead_letter_queue(&self, _: Outgoing, _: String) -> Result<(), QueueError> {
        Err(QueueError::NoDeadLetters)
    }

    async fn may_be_in_flight(&self, _: Option<&str>) -> Result<bool, QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Err(QueueError::NoDeadLetters)
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, QueueError> {
        Err(QueueError::NoDeadLetters)
    }

    async fn redrive(&self, _: Option<&[String]>) -> Result<u64, QueueError> {
        Err(QueueError::NoDeadLetters)
    }
}

/// A webhook function without its table, and the address of a hook that may exist.
async fn without_table(queue: SharedQueue) -> String {
    let store = unreachable_store();
    let envelope = Arc::new(Envelope::new(Arc::new(NoKeys)));
    let authenticator = HookAuthenticator::new(store.clone(), envelope);
    let webhook = Webhook::new(store, authenticator, queue, Arc::new(SystemClock));
    format!("{}/webhooks/gitlab/{}", serve(webhook::router(webhook)).await, SubscriptionId::generate())
}

#[tokio::test]
async fn without_the_table_strangers_do_not_fill_the_queue() {
    let queue = Arc::new(Counting::default());
    let url = without_table(queue.clone()).await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = reqwest::Client::new().post(&url).body("{}").send().await.unwrap();
        match answer.status().as_u16() {
            200 => assert!(refused.is_none(), "once it is too much, it stays so for a while"),
            503 => refused = Some(answer),
            status => panic!("{status}"),
        }
    }
    assert_eq!(refused.expect("it was too much").headers()["retry-after"], "60");
    assert!(queue.messages.load(Ordering::Relaxed) < 100);
}

#[tokio::test]
async fn an_unverified_delivery_is_queued_only_if_it_fits_a_message_as_it_is_stored() {
    let queue = Arc::new(Counting::default());
    let url = without_table(queue.clone()).await;
    for (text, times, status) in [
        ("x", 1_000_000, 200),
        ("x", 1_050_000, 503),
        // As JSON this takes two bytes, and the next takes six.
        ("\"", 500_000, 200),
        ("\"", 600_000, 503),
        ("\u{1}", 160_000, 200),
        ("\u{1}", 180_000, 503),
    ] {
        let answer = reqwest::Client::new().post(&url).body(text.repeat(times)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{times} times {text:?}");
    }
    assert_eq!(queue.messages.load(Ordering::Relaxed), 3);
    assert!(queue.largest.load(Ordering::Relaxed) <= MAX_BYTES);
}

#[tokio::test]
async fn without_the_queue_deliveries_are_answered_503_and_counted() {
    let stage = Stage::new().await;
    let store = stage.world.local.operator.store.clone();
    let origin = webhook_with(&stage.world, store, Arc::new(Down)).await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-4-x", [commit("PAY-4 x").adds("a", 1)]).await;
    let delivery = held.take().remove(0);
    let before = SystemClock.now();
    // Deliveries that are not authentic do not count.
    let forged = to(&delivery, &stage.world, &origin).with_body("{}");
    assert_eq!(forged.send().await.unwrap(), 401);
    let (status, _) = status_of(&stage).await;
    assert_eq!(status["links"].as_array().unwrap().len(), 0, "{status}");
    for _ in 0..2 {
        assert_eq!(to(&delivery, &stage.world, &origin).send().await.unwrap(), 503);
    }
    // The operator sees it, with the remedy.
    let (status, text) = status_of(&stage).await;
    let link = &status["links"][0];
    assert_eq!(
        (&link["id"], &link["missed"]["deliveries"]),
        (&stage.link["subscription"], &2.into()),
        "{status}"
    );
    assert!(link["missed"]["since"].as_str().unwrap() >= before.iso8601().as_str(), "{status}");
    let line = text.lines().find(|line| line.contains("2 deliveries could not be queued since")).unwrap();
    assert!(line.starts_with("acme (") && line.contains("Recent events"), "{line}");
    let housekeeping = Housekeeping { store: stage.world.local.operator.store.clone() };
    assert_eq!(housekeeping.run().await.unwrap(), UnhealthyCounts { sites: 0, links: 1 });
    // The queue is back, and somebody sends it again: it is no repeat.
    assert!(delivery.send().await.unwrap().is_success());
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-4").branches.len(), 1);
}

#[tokio::test]
async fn a_delivery_that_nobody_could_verify_is_not_counted_as_lost() {
    let stage = Stage::new().await;
    let store = stage.world.local.operator.store.clone();
    let verifier = HookAuthenticator::new(store.clone(), Arc::new(Envelope::new(Arc::new(NoKeys))));
    let webhook = Webhook::new(store, verifier, Arc::new(Down), Arc::new(SystemClock));
    let origin = serve(webhook::router(webhook)).await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-5-x", [commit("PAY-5 x").adds("a", 1)]).await;
    assert_eq!(to(&held.take().remove(0), &stage.world, &origin).send().await.unwrap(), 503);
    let (status, _) = status_of(&stage).await;
    assert_eq!(status["links"].as_array().unwrap().len(), 0, "{status}");
}

#[tokio::test]
async fn gitlab_gets_its_answer_also_when_a_lost_delivery_can_not_be_counted() {
    let stage = Stage::new().await;
    let operator = &stage.world.local.operator;
    for store in [unreachable_store(), endless_store().await] {
        // The hook is cached from before the outage.
        let verifier = HookAuthenticator::new(operator.store.clone(), operator.linking.envelope.clone());
        let webhook = Webhook::new(store, verifier, Arc::new(Down), Arc::new(SystemClock));
        let origin = serve(webhook::router(webhook)).await;
        let held = stage.world.gitlab.hold_deliveries();
        stage.api.push("PAY-6-x", [commit("PAY-6 x").adds("a", 1)]).await;
        let delivery = to(&held.take().remove(0), &stage.world, &origin);
        // GitLab's own timeout.
        let answer = tokio::time::timeout(Duration::from_secs(10), delivery.send()).await;
        assert_eq!(answer.expect("in time").unwrap(), 503);
    }
}
