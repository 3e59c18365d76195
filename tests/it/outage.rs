//! Our own parts out of reach while hooks come in.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use bridge::demo::world::World;
use shared::clock::SystemClock;
use shared::queue::{DeadLetter, Depth, Outgoing, Queue, QueueError, SharedQueue};
use shared::store::Store;
use shared::sync::verify::HookVerifier;
use standins::gitlab::{Delivery, commit};
use webhook::Webhook;

use crate::stage::Stage;

/// A table that nobody answers for.
fn unreachable_store() -> Store {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .endpoint_url("http://127.0.0.1:9")
        .allow_no_auth()
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .build();
    Store::new(aws_sdk_dynamodb::Client::from_conf(config), "table", Arc::new(SystemClock))
}

/// A queue that takes nothing.
#[derive(Debug)]
struct Down;

#[async_trait]
impl Queue for Down {
    async fn send(&self, _: Vec<Outgoing>) -> Result<(), QueueError> {
        Err(QueueError::Unavailable("down".into()))
    }

    async fn bury(&self, _: String, _: String) -> Result<(), QueueError> {
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

/// Another webhook function of the same bundle, with a `store` and a `queue` of its own. Answers its origin.
async fn webhook_with(world: &World, store: Store, queue: SharedQueue) -> String {
    let verifier = HookVerifier::new(store.clone(), world.local.operator.envelope.clone());
    let router = webhook::router(Webhook::new(store, verifier, queue, Arc::new(SystemClock)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

fn to(delivery: &Delivery, world: &World, origin: &str) -> Delivery {
    delivery.clone().to(&delivery.url().replace(world.base_url(), origin))
}

#[tokio::test]
async fn without_the_table_hooks_are_taken_in_and_verified_later() {
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

#[tokio::test]
async fn without_the_queue_nothing_is_promised() {
    let stage = Stage::new().await;
    let store = stage.world.local.operator.store.clone();
    let origin = webhook_with(&stage.world, store, Arc::new(Down)).await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-4-x", [commit("PAY-4 x").adds("a", 1)]).await;
    let delivery = held.take().remove(0);
    assert_eq!(to(&delivery, &stage.world, &origin).send().await.unwrap(), 503);
    // The queue is back, and somebody sends it again: it is no repeat.
    assert!(delivery.send().await.unwrap().is_success());
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-4").branches.len(), 1);
}
