//! The queue of a deployed bundle: an SQS standard queue with its dead-letter queue. How calls on several messages are
//! made belongs to `batch`, what a dead letter is on SQS to `dead_letter`, and reading them to `dead_letter_reader`.
//! Receiving from the queue itself is Lambda's; how the client is made, with which timeouts and retries of single
//! calls, belongs to its owner.
//!
//! Message groups make it a fair queue
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>): a group with
//! many messages waits for the others, but nothing is ordered and nothing is delivered only once.

use std::cmp::Reverse;
use std::collections::HashSet;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};

use futures::future;

use self::batch::{Answer, MAX_ENTRIES};
use self::dead_letter::DeadLetterMessage;
use self::dead_letter_reader::DeadLetterReader;
use super::{DeadLetter, Depth, MAX_BYTES, MAX_DELAY, Outgoing, Queue, QueueError};
use crate::aws_error::cause;
use crate::clock::{Clock, SystemClock};

mod batch;
mod dead_letter;
mod dead_letter_reader;

/// The message group of redriven messages: many of them are one busy group, whichever sites they are of.
const REDRIVEN: &str = "redriven";

/// A standard queue with its dead-letter queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
    dead_letters_url: Option<String>,
}

impl SqsQueue {
    /// The queue at `url`. Whoever dead-letters messages names the dead-letter queue, too; without one there are neither
    /// dead letters nor a depth.
    #[must_use]
    pub fn new(client: Client, url: &str, dead_letters_url: Option<&str>) -> Self {
        Self { client, url: url.to_owned(), dead_letters_url: dead_letters_url.map(str::to_owned) }
    }

    fn dead_letters_url(&self) -> Result<&str, QueueError> {
        self.dead_letters_url.as_deref().ok_or(QueueError::NoDeadLetters)
    }

    /// How many messages the queue at `url` holds: ready, delayed and in flight.
    async fn counts(&self, url: &str) -> Result<[u64; 3], QueueError> {
        const CALL: &str = "GetQueueAttributes";
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.client.get_queue_attributes().queue_url(url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let attributes = answer.map_err(|error| failure(CALL, &error))?.attributes.unwrap_or_default();
        let mut counts = [0; 3];
        for (count, name) in counts.iter_mut().zip(names) {
            let number = attributes.get(&name).and_then(|number| number.parse().ok());
            *count = number.ok_or_else(|| unavailable(CALL, &format!("no {name}")))?;
        }
        Ok(counts)
    }

    /// Puts back the messages that are named, or all that were there when the call began.
    async fn put_back(
        &self,
        reader: &mut DeadLetterReader<'_>,
        ids: Option<&[String]>,
    ) -> Result<u64, QueueError> {
        let began = SystemClock.now();
        let mut named: Option<HashSet<&String>> = ids.map(|ids| ids.iter().collect());
        let mut redriven = 0;
        while named.as_ref().is_none_or(|named| !named.is_empty())
            && let Some(found) = reader.next().await?
        {
            let mut chosen = found;
            chosen.retain(|message| match &mut named {
                Some(named) => named.remove(&message.id),
                // A message that fails at once after its redrive would otherwise be redriven again and again.
                None => message.sent_at <= began,
            });
            let ids: Vec<String> = chosen.iter().map(|message| message.id.clone()).collect();
            self.send(chosen.into_iter().map(outgoing).collect()).await?;
            reader.delete(&ids).await?;
            redriven += ids.len() as u64;
        }
        Ok(redriven)
    }
}

#[async_trait]
impl Queue for SqsQueue {
    /// A delay is rounded up to whole seconds, and cut to [`MAX_DELAY`].
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        const CALL: &str = "SendMessageBatch";
        let send = |entries| async {
            let call = self.client.send_message_batch().queue_url(&self.url);
            let answer =
                call.set_entries(Some(entries)).send().await.map_err(|error| failure(CALL, &error))?;
            let done = answer.successful.into_iter().map(|entry| entry.id).collect();
            Ok(Answer { done, failed: answer.failed })
        };
        batch::all(CALL, batches(messages), SendMessageBatchRequestEntry::id, send).await
    }

    /// Without its group: all that is put back is of one.
    async fn send_to_dead_letter_queue(&self, message: Outgoing, reason: String) -> Result<(), QueueError> {
        let url = self.dead_letters_url()?;
        let body = dead_letter::escaped(message.body);
        let attributes = dead_letter::attributes(&reason, SystemClock.now(), &body);
        let call = self.client.send_message().queue_url(url).message_body(body);
        let answer = call.set_message_attributes(Some(attributes)).send().await;
        answer.map(drop).map_err(|error| failure("SendMessage", &error))
    }

    /// Approximate, and up to a minute late; no dead letters are counted where no queue of them is configured
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>).
    async fn depth(&self) -> Result<Depth, QueueError> {
        let dead = async {
            match &self.dead_letters_url {
                Some(url) => self.counts(url).await,
                None => Ok([0; 3]),
            }
        };
        let ([ready, delayed, in_flight], dead) = future::try_join(self.counts(&self.url), dead).await?;
        // Those that are being read are in flight, and still dead letters.
        Ok(Depth { ready, delayed, in_flight, dead: dead.iter().sum() })
    }

    async fn may_be_in_flight(&self, _: Option<&str>) -> Result<bool, QueueError> {
        Ok(true)
    }

    /// The newest of those that can be received within a minute, which is some ten thousand.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let mut reader = DeadLetterReader::new(&self.client, self.dead_letters_url()?);
        let found = newest(&mut reader, limit).await;
        reader.release().await;
        found
    }

    /// As many as a minute allows, which is several thousand; another call goes on. A message is never in neither queue, so
    /// it may be in both when the call fails.
    async fn redrive(&self, ids: Option<&[String]>) -> Result<u64, QueueError> {
        let mut reader = DeadLetterReader::new(&self.client, self.dead_letters_url()?);
        let redriven = self.put_back(&mut reader, ids).await;
        reader.release().await;
        redriven
    }
}

/// The newest of them, no more than are asked for.
async fn newest(reader: &mut DeadLetterReader<'_>, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
    let mut newest: Vec<DeadLetter> = Vec::new();
    while limit > 0
        && let Some(found) = reader.next().await?
    {
        newest.extend(found.into_iter().map(DeadLetter::from));
        newest.sort_by_key(|message| Reverse(message.died_at));
        newest.truncate(limit);
    }
    Ok(newest)
}

fn outgoing(message: DeadLetterMessage) -> Outgoing {
    Outgoing::new(REDRIVEN, message.body)
}

/// Splits messages into calls; a call may be as large as one message. The group counts as part of the message: the
/// documentation of the bound does not say whether it does.
fn batches(messages: Vec<Outgoing>) -> Vec<Vec<SendMessageBatchRequestEntry>> {
    let mut batches: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let body = dead_letter::escaped(message.body);
        let size = body.len() + message.group.len();
        let full = |batch: &Vec<_>| batch.len() == MAX_ENTRIES || bytes + size > MAX_BYTES;
        if batches.last().is_none_or(full) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        let batch = batches.last_mut().expect("there is one that is not full");
        let delay = message.delay.min(MAX_DELAY).as_millis().div_ceil(1000);
        let entry = SendMessageBatchRequestEntry::builder()
            .id(batch.len().to_string())
            .message_body(body)
            .message_group_id(message.group)
            .delay_seconds(i32::try_from(delay).expect("at most MAX_DELAY"))
            .build();
        batch.push(entry.expect("it has an id and a body"));
    }
    batches
}

/// A call that SQS did not carry out.
fn failure<E: ProvideErrorMetadata>(call: &str, error: &SdkError<E>) -> QueueError {
    unavailable(call, &cause(error))
}

fn unavailable(call: &str, cause: &str) -> QueueError {
    QueueError::Unavailable(format!("{call}: {cause}").into())
}
#[cfg(test)]
mod tests;
