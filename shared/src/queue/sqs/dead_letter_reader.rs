//! Reading a dead-letter queue. SQS has no way to read messages without receiving them, so they are received,
//! which makes them invisible for a while, and released in the end. What is done with them belongs to `sqs`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName,
};
use futures::future;
use tokio::time::Instant;

use super::batch::{self, Answer, CONCURRENCY, MAX_ENTRIES};
use super::dead_letter::{DIED_AT, DeadLetterMessage, REASON};
use super::failure;
use crate::queue::QueueError;

/// The visibility timeout: how long a message stays invisible if it can't be released.
const VISIBILITY: Duration = Duration::from_secs(120);

/// For how long messages are received: what is still hidden when this ends can be deleted or released in time. It is also
/// as long as a person waits for a command.
const TIME: Duration = Duration::from_secs(60);

const _: () = assert!(TIME.as_secs() * 2 <= VISIBILITY.as_secs());

/// The shortest wait with which SQS asks all its servers: an answer without messages then means that there are none
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>).
const LONG_POLL: Duration = Duration::from_secs(1);

/// The messages of a dead-letter queue, each received once. Dropped without [`DeadLetterReader::release`], it leaves them
/// invisible for two minutes.
pub(super) struct DeadLetterReader<'a> {
    client: &'a Client,
    url: &'a str,
    until: Instant,
    /// The receipts of what is hidden, by the messages' ids.
    taken: HashMap<String, String>,
}

impl<'a> DeadLetterReader<'a> {
    /// A reader of the dead-letter queue at `url`.
    pub(super) fn new(client: &'a Client, url: &'a str) -> Self {
        Self { client, url, until: Instant::now() + TIME, taken: HashMap::new() }
    }

    /// Receives some more messages; none when there are no more, or time is up.
    ///
    /// # Errors
    /// SQS fails.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<DeadLetterMessage>>, QueueError> {
        if Instant::now() >= self.until {
            tracing::warn!(taken = self.taken.len(), "there are more dead letters than could be read");
            return Ok(None);
        }
        // One of the calls waits, so that it is certain when there is nothing; more of them would only wait together.
        let waits = (0..CONCURRENCY).map(|call| if call == 0 { LONG_POLL } else { Duration::ZERO });
        let answers = future::try_join_all(waits.map(|wait| self.receive(wait))).await?;
        let mut messages = answers.into_iter().flatten().peekable();
        if messages.peek().is_none() {
            return Ok(None);
        }
        let mut found: Vec<DeadLetterMessage> = messages.map(DeadLetterMessage::from).collect();
        // SQS may deliver one twice; the later receipt is the valid one.
        found.retain(|message| self.taken.insert(message.id.clone(), message.receipt.clone()).is_none());
        Ok(Some(found))
    }

    async fn receive(&self, wait: Duration) -> Result<Vec<Message>, QueueError> {
        let call = self
            .client
            .receive_message()
            .queue_url(self.url)
            .max_number_of_messages(MAX_ENTRIES as i32)
            .visibility_timeout(seconds(VISIBILITY))
            .wait_time_seconds(seconds(wait))
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_attribute_names(REASON)
            .message_attribute_names(DIED_AT);
        let answer = call.send().await.map_err(|error| failure("ReceiveMessage", &error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Deletes messages that were received.
    ///
    /// # Errors
    /// SQS fails; some may have been deleted.
    pub(super) async fn delete(&mut self, ids: &[String]) -> Result<(), QueueError> {
        const CALL: &str = "DeleteMessageBatch";
        let entry = |id, receipt| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt);
            entry.build().expect("it has an id and a receipt")
        };
        let entries = entries(ids.iter().filter_map(|id| self.taken.remove(id)), entry);
        let delete = |entries| async {
            let call = self.client.delete_message_batch().queue_url(self.url);
            let answer =
                call.set_entries(Some(entries)).send().await.map_err(|error| failure(CALL, &error))?;
            let done = answer.successful.into_iter().map(|entry| entry.id).collect();
            Ok(Answer { done, failed: answer.failed })
        };
        batch::all(CALL, entries, DeleteMessageBatchRequestEntry::id, delete).await
    }

    /// Makes received messages that were not deleted visible again. If that fails, they become so after the timeout.
    pub(super) async fn release(mut self) {
        const CALL: &str = "ChangeMessageVisibilityBatch";
        let entry = |id, receipt| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(receipt);
            entry.visibility_timeout(0).build().expect("it has an id and a receipt")
        };
        let entries = entries(self.taken.drain().map(|(_, receipt)| receipt), entry);
        let release = |entries| async {
            let call = self.client.change_message_visibility_batch().queue_url(self.url);
            let answer =
                call.set_entries(Some(entries)).send().await.map_err(|error| failure(CALL, &error))?;
            // A receipt that SQS refuses is of a message that is visible or deleted.
            let (refused, failed): (Vec<_>, _) =
                answer.failed.into_iter().partition(|failed| failed.sender_fault);
            let changed = answer.successful.into_iter().map(|entry| entry.id);
            Ok(Answer { done: changed.chain(refused.into_iter().map(|entry| entry.id)).collect(), failed })
        };
        let released = batch::all(CALL, entries, ChangeMessageVisibilityBatchRequestEntry::id, release).await;
        if let Err(error) = released {
            tracing::warn!(?error, "could not release dead letters; they can be seen again in two minutes");
        }
    }
}

/// Receipts as the entries of calls.
fn entries<T>(receipts: impl Iterator<Item = String>, entry: impl Fn(String, String) -> T) -> Vec<Vec<T>> {
    let receipts: Vec<String> = receipts.collect();
    let of_a_call = |receipts: &[String]| {
        receipts.iter().enumerate().map(|(id, receipt)| entry(id.to_string(), receipt.clone())).collect()
    };
    receipts.chunks(MAX_ENTRIES).map(of_a_call).collect()
}

/// As SQS takes durations.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
