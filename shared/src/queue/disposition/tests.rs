//! What settling a batch leaves on the queues.

use super::*;
use crate::queue::QueueError::{self, Unavailable};
use async_trait::async_trait;
use std::sync::Mutex;

use crate::clock::SystemClock;
use crate::queue::{DeadLetter, Depth};
use crate::telemetry::logged::Log;

#[derive(Debug, Default)]
struct Recorder {
    sent: Mutex<Vec<Outgoing>>,
    dead_lettered: Mutex<Vec<String>>,
    down: bool,
}

#[async_trait]
impl Queue for Recorder {
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        if self.down {
            return Err(Unavailable("down".into()));
        }
        self.sent.lock().expect("not poisoned").extend(messages);
        Ok(())
    }

    async fn send_to_dead_letter_queue(&self, _: Outgoing, reason: String) -> Result<(), QueueError> {
        self.dead_lettered.lock().expect("not poisoned").push(reason);
        Ok(())
    }

    async fn may_be_in_flight(&self, _: Option<&str>) -> Result<bool, QueueError> {
        Ok(false)
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth::default())
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(Vec::new())
    }

    async fn redrive(&self, _: Option<&[String]>) -> Result<u64, QueueError> {
        Ok(0)
    }
}

fn received(message: &Message<u8>) -> Received {
    let body = serde_json::to_string(message).expect("JSON");
    Received { receipt: "r".to_owned(), group: String::new(), body, receives: 1 }
}

async fn settle_one(queue: &Recorder, message: Message<u8>, disposition: Disposition) -> Vec<String> {
    settle(queue, &SystemClock, vec![(received(&message), message, disposition)]).await
}

fn message(attempts: u32) -> Message<u8> {
    Message { attempts, ..Message::new("site".to_owned(), SystemClock.now(), 7) }
}

fn retry() -> Disposition {
    Disposition::Retry { reason: "500".to_owned() }
}

#[tokio::test]
async fn waiting_counts_nothing_and_retrying_counts_one() {
    let queue = Recorder::default();
    let until = SystemClock.now().after(Duration::from_secs(6 * 3600));
    let wait = Disposition::Wait { until, reason: "rest".to_owned() };
    assert_eq!(settle_one(&queue, message(3), wait).await, ["r"]);
    assert_eq!(settle_one(&queue, message(3), retry()).await, ["r"]);
    let sent = queue.sent.lock().expect("not poisoned").clone();
    let read = |outgoing: &Outgoing| serde_json::from_str::<Message<u8>>(&outgoing.body).expect("a message");
    assert_eq!(
        (sent[0].delay, read(&sent[0]).attempts, read(&sent[0]).not_before),
        (MAX_DELAY, 3, Some(until))
    );
    assert_eq!(read(&sent[1]).attempts, 4);
    assert!(sent[1].delay > Duration::from_secs(100), "5 s times 3^3");
}

#[tokio::test]
async fn a_message_out_of_attempts_is_dead_lettered_with_the_reason() {
    let queue = Recorder::default();
    assert_eq!(settle_one(&queue, message(MAX_ATTEMPTS - 1), retry()).await, ["r"]);
    assert_eq!(*queue.dead_lettered.lock().expect("not poisoned"), ["Failed 10 times, last: 500"]);
}

#[tokio::test]
async fn the_log_names_each_message_and_counts_what_became_of_them() {
    let (queue, log) = (Recorder::default(), Log::default());
    let recorded = log.record();
    let until = SystemClock.now();
    let decided = [
        Disposition::Done,
        Disposition::Wait { until, reason: "rest".to_owned() },
        retry(),
        Disposition::Fail { reason: "never".to_owned() },
    ];
    let decided = decided.map(|disposition| (message(0), disposition));
    let ids = decided.each_ref().map(|(message, _)| message.id);
    let decided = decided.map(|(message, disposition)| (received(&message), message, disposition));
    settle(&queue, &SystemClock, decided.into()).await;
    drop(recorded);
    for id in ids {
        assert_eq!(log.lines(&format!("trace.id={id}")).len(), 1);
    }
    let counted = "settled a batch MessagesDone=1 MessagesWaiting=1 MessagesRetried=1 MessageAge=";
    assert_eq!(log.lines(counted).len(), 1, "{}", log.text());
    assert_eq!(log.lines("dead-lettered a message MessagesDeadLettered=1").len(), 1);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_copy_is_stored() {
    let queue = Recorder { down: true, ..Recorder::default() };
    assert!(settle_one(&queue, message(0), retry()).await.is_empty());
}

#[test]
fn messages_of_newer_releases_are_refused_by_number() {
    let newer = Message { version: 2, ..message(0) };
    assert_eq!(
        Message::<u8>::read(&received(&newer)),
        Err("The message has version 2, this release reads 1.".to_owned())
    );
}

#[test]
fn the_weightier_disposition_wins() {
    let wait = |until| Disposition::Wait { until: Timestamp(until), reason: String::new() };
    assert_eq!(Disposition::Done.and(retry()), retry());
    assert_eq!(wait(9).and(wait(5)), wait(5));
    assert_eq!(wait(9).and(Disposition::Drop { reason: String::new() }), wait(9));
    assert_eq!(wait(9).and(Disposition::Refused { text: String::new() }), wait(9));
}
