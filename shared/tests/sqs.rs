//! The queue on SQS: what every queue owes its callers, and what only SQS does, on emulators. What SQS says when it fails
//! is played back by the unit tests.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod queue_contract;

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use emulators::Emulator;
use queue_contract::{expect_depth, message};
use serde_json::json;
use shared::clock::{Clock, SystemClock};
use shared::queue::sqs::SqsQueue;
use shared::queue::{Depth, MAX_RECEIVES, Outgoing, Queue};

/// An emulator's SQS.
struct Sqs {
    client: Client,
}

/// A pair of queues that nobody else has.
struct Pair {
    client: Client,
    url: String,
    queue: SqsQueue,
}

impl Sqs {
    async fn pair(&self, name: &str) -> Pair {
        let client = self.client.clone();
        let dead_letters_url = self.create(&format!("{name}-dead"), None).await;
        let names = [QueueAttributeName::QueueArn];
        let attributes = client
            .get_queue_attributes()
            .queue_url(&dead_letters_url)
            .set_attribute_names(Some(names.into()));
        let attributes = attributes.send().await.unwrap().attributes.unwrap();
        let policy = json!({
            "deadLetterTargetArn": attributes[&QueueAttributeName::QueueArn], "maxReceiveCount": MAX_RECEIVES,
        });
        let url = self.create(name, Some(policy.to_string())).await;
        let queue = SqsQueue::new(client.clone(), &url, Some(&dead_letters_url));
        Pair { client, url, queue }
    }

    async fn create(&self, name: &str, redrive_policy: Option<String>) -> String {
        let policy = redrive_policy.map(|policy| (QueueAttributeName::RedrivePolicy, policy));
        let call = self.client.create_queue().queue_name(name);
        let made = call.set_attributes(Some(policy.into_iter().collect())).send().await.unwrap();
        made.queue_url.unwrap()
    }
}

impl Pair {
    /// What is visible, at most ten messages, which then are hidden for `visibility`.
    async fn receive(&self, visibility: Duration) -> Vec<Message> {
        let call = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let call = call.visibility_timeout(i32::try_from(visibility.as_secs()).unwrap());
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        call.send().await.unwrap().messages.unwrap_or_default()
    }
}

fn group(message: &Message) -> &str {
    &message.attributes().unwrap()[&MessageSystemAttributeName::MessageGroupId]
}

/// Text and group arrive, and what was put back is of one group, whatever it was of.
async fn messages_keep_their_group(pair: &Pair) {
    let body = serde_json::to_string("a\u{0}\u{fffe}\u{1f98a}").unwrap();
    pair.queue.send(vec![Outgoing { body: body.clone(), ..message("site", "") }]).await.unwrap();
    let received = pair.receive(Duration::from_secs(600)).await.remove(0);
    assert_eq!(group(&received), "site");
    let said: String = serde_json::from_str(received.body().unwrap()).unwrap();
    assert_eq!(said, "a\u{0}\u{fffe}\u{1f98a}");

    pair.queue
        .send_to_dead_letter_queue(Outgoing::new("", received.body.unwrap()), "reason".to_owned())
        .await
        .unwrap();
    assert_eq!(pair.queue.redrive(None).await.unwrap(), 1);
    let redriven = pair.receive(Duration::from_secs(600)).await.remove(0);
    assert_eq!(group(&redriven), "redriven");
    assert_eq!(serde_json::from_str::<String>(redriven.body().unwrap()).unwrap(), said);
}

/// A message that was received too often becomes a dead letter without our doing, and is put back as any other.
async fn what_is_received_too_often_becomes_a_dead_letter(pair: &Pair) {
    let sent_at = SystemClock.now();
    pair.queue.send(vec![message("site", "poison")]).await.unwrap();
    for delivery in 1..=MAX_RECEIVES {
        let received = pair.receive(Duration::ZERO).await.remove(0);
        let receives = &received.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
        assert_eq!(*receives, delivery.to_string());
    }
    assert!(pair.receive(Duration::ZERO).await.is_empty());
    expect_depth(&pair.queue, Depth { dead: 1, ..Depth::default() }).await;
    let letter = pair.queue.dead_letters(10).await.unwrap().remove(0);
    assert_eq!(letter.body, "poison");
    assert!(letter.reason.contains(&format!("{MAX_RECEIVES} times")), "{}", letter.reason);
    assert!(letter.died_at >= sent_at && letter.died_at <= SystemClock.now(), "{:?}", letter.died_at);

    assert_eq!(pair.queue.redrive(Some(&[letter.id])).await.unwrap(), 1);
    expect_depth(&pair.queue, Depth { ready: 1, ..Depth::default() }).await;
    assert_eq!(group(&pair.receive(Duration::from_secs(600)).await[0]), "redriven");
}

/// More than fit in one round of calls.
async fn many_dead_letters_are_redriven(pair: &Pair) {
    for number in 0..101 {
        pair.queue
            .send_to_dead_letter_queue(Outgoing::new("", number.to_string()), "reason".to_owned())
            .await
            .unwrap();
    }
    let named: Vec<String> =
        pair.queue.dead_letters(7).await.unwrap().into_iter().map(|letter| letter.id).collect();
    assert_eq!(named.len(), 7);
    assert_eq!(pair.queue.redrive(Some(&named)).await.unwrap(), 7);
    assert_eq!(pair.queue.dead_letters(1000).await.unwrap().len(), 94);
    assert_eq!(pair.queue.redrive(None).await.unwrap(), 94);
    expect_depth(&pair.queue, Depth { ready: 101, ..Depth::default() }).await;
}

async fn check_all(emulator: Emulator) {
    let running = emulator.start().await;
    let sqs = Sqs { client: Client::new(&running.sdk().await) };
    // Side by side, because most of the time goes into waiting for messages that are not there.
    tokio::join!(
        async { queue_contract::sends_are_counted_by_state(&sqs.pair("counted").await.queue).await },
        async { queue_contract::sends_may_be_many_and_large(&sqs.pair("large").await.queue).await },
        async { queue_contract::dead_letters_say_why_and_when(&sqs.pair("reasons").await.queue).await },
        async { queue_contract::any_text_can_be_dead_lettered(&sqs.pair("texts").await.queue).await },
        async { queue_contract::dead_letters_can_be_listed_again(&sqs.pair("looking").await.queue).await },
        async { queue_contract::redriven_messages_are_ready_again(&sqs.pair("redriven").await.queue).await },
        async { messages_keep_their_group(&sqs.pair("groups").await).await },
        async { what_is_received_too_often_becomes_a_dead_letter(&sqs.pair("poison").await).await },
        async { many_dead_letters_are_redriven(&sqs.pair("many").await).await },
    );
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn ministack() {
    check_all(Emulator::Ministack).await;
}

#[tokio::test]
#[ignore = "needs an emulator of AWS: make emulated"]
async fn moto() {
    check_all(Emulator::Moto).await;
}
