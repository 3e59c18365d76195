//! The functions as they are packaged, each under Lambda's runtime interface emulator, against the events in
//! `infra/events/`. That they work together is for the deployed stack's test; this one shows that each starts, reads the
//! payload that its trigger has, and reaches AWS.
//!
//! `BUNDLE_BUILD` names the folder that `sam build` writes: `<logical id>/bootstrap` for each function.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod events;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_sqs::Client;
use emulators::lambda::Runtime;
use emulators::{Emulator, Running};
use shared::bundle::FUNCTIONS;
use shared::clock::SystemClock;
use shared::queue::Queue as _;
use shared::queue::sqs::SqsQueue;
use shared::store::Store;

const TABLE: &str = "table";

/// AWS as functions find it: with the table and the queues, empty.
struct Aws {
    running: Running,
    backfill: String,
    events: String,
    dead_letters: String,
    queue: SqsQueue,
}

impl Aws {
    async fn start() -> Self {
        let running = Emulator::Ministack.start().await;
        let sdk = running.sdk().await;
        let table = aws_sdk_dynamodb::Client::new(&sdk);
        Store::new(table, TABLE, Arc::new(SystemClock)).create_table().await.unwrap();
        let queues = Client::new(&sdk);
        let create = async |name: &str| {
            queues.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
        };
        let (events, dead_letters) = (create("events").await, create("events-dead-letters").await);
        let backfill = create("backfill").await;
        let queue = SqsQueue::new(queues, &events, Some(&dead_letters));
        Self { running, backfill, events, dead_letters, queue }
    }

    /// The environment variables of functions; each reads those that it needs.
    fn variables(&self) -> [(&str, &str); 15] {
        [
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_ENDPOINT_URL", &self.running.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("BACKFILL_DEAD_LETTER_QUEUE_URL", &self.dead_letters),
            ("BACKFILL_QUEUE_URL", &self.backfill),
            ("BASE_URL", "https://jira.example.com"),
            ("EVENTS_DEAD_LETTER_QUEUE_URL", &self.dead_letters),
            ("EVENTS_QUEUE_URL", &self.events),
            ("FORGE_APP_ID", "ari:cloud:ecosystem::app/0b2f8c1e-3d4a-4c5b-8e6f-7a8b9c0d1e2f"),
            ("KMS_KEY_ID", "alias/secrets"),
            ("OAUTH_APPLICATION_ID", "1f2e3d4c5b6a"),
            ("RUST_LOG", "info"),
            ("TABLE_NAME", TABLE),
            ("WEBHOOK_URL", "https://webhook.example.com"),
        ]
    }
}

/// The package of a function, whose logical ID is its name in Pascal case with `Function` behind it.
fn bootstrap(build: &Path, name: &str) -> PathBuf {
    let words = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    let bootstrap = build.join(words.collect::<String>() + "Function").join("bootstrap");
    assert!(bootstrap.is_file(), "{} is not there; `sam build` makes it", bootstrap.display());
    bootstrap.canonicalize().unwrap()
}

#[test]
fn every_function_has_an_event_and_every_event_a_function() {
    let mut functions: Vec<_> = FUNCTIONS.iter().map(|function| function.name.to_owned()).collect();
    functions.sort_unstable();
    assert_eq!(events::names(events::EVENTS), functions);
    assert_eq!(events::names(events::ANSWERS), functions);
}

#[tokio::test]
#[ignore = "needs packages and emulators of AWS: make invoked"]
async fn every_function_answers_its_event() {
    let build = std::env::var_os("BUNDLE_BUILD").expect("BUNDLE_BUILD names the folder of packages");
    // Of the repository, as `make` is called there.
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(build);
    let aws = Aws::start().await;
    for function in FUNCTIONS {
        let runtime = Runtime::start(&bootstrap(&build, function.name), &aws.variables()).await;
        let event = events::read(events::EVENTS, function.name);
        // Twice: what is left of the first must not be in the way of the second.
        for _ in 0..2 {
            let answer = runtime.invoke(&event).await;
            let difference = events::difference(&events::read(events::ANSWERS, function.name), &answer);
            assert!(difference.is_none(), "{}: {difference:?}\n{}", function.name, runtime.log());
        }
    }
    // Of `sync`'s two messages one can't be read by anybody.
    assert_eq!(aws.queue.depth().await.unwrap().dead, 2);
}
