//! The queue as a port. What a message says belongs to its producer and consumer; how a handler's answer becomes an
//! acknowledgement, a copy or a dead letter belongs to [`disposition`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub mod disposition;
pub mod sqs;
pub mod worker;

#[cfg(feature = "embedded")]
pub mod embedded;

/// SQS delivers nothing later than this; longer waits are made of several
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html>).
pub const MAX_DELAY: Duration = Duration::from_secs(900);

/// How long a queue keeps a message that is not received: SQS's maximum.
pub const RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// Receives after which SQS dead-letters a message: the `maxReceiveCount` of every queue in the template. Handlers count
/// their own attempts and acknowledge what they retry, so a message is received again only if the process died with it;
/// five times is no coincidence.
pub const MAX_RECEIVES: u32 = 5;

/// The largest message, attributes included: SQS's bound, on all messages of a call together as well, and the
/// `MaximumMessageSize` of every queue in the template
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>).
pub const MAX_BYTES: usize = 1024 * 1024;

/// A message on its way to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The text, at most [`MAX_BYTES`]. JSON, of which a queue keeps the meaning, though not always the spelling.
    pub body: String,
    /// The message group: a link. Keeps a busy link from starving the others.
    pub group: String,
    /// Not delivered before this has passed; at most [`MAX_DELAY`].
    pub delay: Duration,
}

impl Outgoing {
    /// A message that is delivered at once.
    #[must_use]
    pub fn new(group: impl Into<String>, body: impl Into<String>) -> Self {
        Self { body: body.into(), group: group.into(), delay: Duration::ZERO }
    }
}

/// A received message; it becomes visible again unless it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The queue's own handle of this delivery.
    pub receipt: String,
    /// Its message group; empty where it is not known.
    pub group: String,
    /// The text.
    pub body: String,
    /// How often it was received, this time included.
    pub receives: u32,
}

/// A message of a dead-letter queue, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The queue's handle, for `redrive`.
    pub id: String,
    /// Why it was dead-lettered, for a person.
    pub reason: String,
    /// When.
    pub died_at: Timestamp,
    /// The text as it was last.
    pub body: String,
}

/// How many messages a queue holds, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Visible.
    pub ready: u64,
    /// Not due yet.
    pub delayed: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
    /// Dead-lettered.
    pub dead: u64,
}

/// A call to a queue failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue can't be reached, or failed; some of the call may have been done.
    #[error("the queue is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Only the queue itself was configured.
    #[error("no dead-letter queue is configured")]
    NoDeadLetters,
}

/// What handlers and operators need of a queue. Delivery is the runtime's: an event source mapping on Lambda, a pump in
/// the local process.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync {
    /// Stores all of `messages`, or fails; after a failure some may have been stored.
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError>;

    /// Sends `message`, of any size that one may have, to the dead-letter queue. Of a long reason the end may be cut.
    async fn send_to_dead_letter_queue(&self, message: Outgoing, reason: String) -> Result<(), QueueError>;

    /// Counts messages by state. Approximate on SQS.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Whether messages of `group`, or of any, may be in flight. Always on SQS, whose counts are up to a minute late.
    async fn may_be_in_flight(&self, group: Option<&str>) -> Result<bool, QueueError>;

    /// The newest dead letters, at most `limit`, newest first. Reading them removes none.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts dead letters back at the end of the queue: those with the given ids, or all. Answers how many.
    async fn redrive(&self, ids: Option<&[String]>) -> Result<u64, QueueError>;
}

/// A queue that several owners share.
pub type SharedQueue = Arc<dyn Queue>;

/// The reason of a message that no handler dead-lettered.
fn never_finished(receives: u32) -> String {
    format!("delivered {receives} times and never finished: the process died with it, or it took too long")
}
