//! What becomes of a message after it was processed. Waiting is not failing: a message that waits or tries again is put on
//! the queue as a copy with counters of its own, and the original is acknowledged. So the queue's receive limit catches
//! crashes only, and a wait can outlast every timeout.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{MAX_DELAY, Outgoing, Queue, RETENTION, Received};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{Measure, with_causes};

/// Tries before a message is dead-lettered. With [`backoff`] they span 70 minutes, longer than a restart or a
/// bad release of either side takes.
const MAX_ATTEMPTS: u32 = 10;

/// The version this release writes. The previous release's are read, too.
const VERSION: u8 = 1;

/// A message: what it says, and what happened to it so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    version: u8,
    /// Names the delivery it came with in logs, from the webhook to the call to Jira. Its copies keep it.
    pub id: Ulid,
    /// The queue's message group.
    pub group: String,
    /// When it was first put on a queue.
    pub enqueued_at: Timestamp,
    /// Tries that failed.
    #[serde(default)]
    pub attempts: u32,
    /// Not before this.
    #[serde(default)]
    not_before: Option<Timestamp>,
    /// Since when it waits and tries.
    #[serde(default)]
    held_since: Option<Timestamp>,
    /// What it says.
    pub body: T,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    Done,
    /// Something outside says when to come back. Counts nothing.
    Wait {
        /// When to come back.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// It failed in a way that may pass.
    Retry {
        /// Why.
        reason: String,
    },
    /// It is of no use any more.
    Drop {
        /// Why.
        reason: String,
    },
    /// It will never work; a person has to look.
    Fail {
        /// Why.
        reason: String,
    },
}

impl Disposition {
    /// The one of two that asks for more: a message is done only when all of it is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Wait { until: ours, .. }, Self::Wait { until: theirs, .. }) if theirs < ours => other,
            _ if other.weight() > self.weight() => other,
            _ => self,
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Drop { .. } => 1,
            Self::Wait { .. } => 2,
            Self::Retry { .. } => 3,
            Self::Fail { .. } => 4,
        }
    }
}

impl<T> Message<T> {
    /// A new message.
    #[must_use]
    pub fn new(group: String, now: Timestamp, body: T) -> Self {
        Self {
            version: VERSION,
            id: Ulid::new(),
            group,
            enqueued_at: now,
            attempts: 0,
            not_before: None,
            held_since: None,
            body,
        }
    }

    /// Whether it still has to wait.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|not_before| *not_before > now)
    }

    /// Whether this try is the last.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.attempts + 1 >= MAX_ATTEMPTS
    }
}

impl<T: Serialize> Message<T> {
    /// The message as it goes on a queue.
    ///
    /// # Errors
    /// When the body has no JSON form, which ours all have.
    pub fn outgoing(&self, now: Timestamp) -> Result<Outgoing, serde_json::Error> {
        let delay = self.not_before.map_or(Duration::ZERO, |not_before| not_before.since(now).min(MAX_DELAY));
        Ok(Outgoing { body: serde_json::to_string(self)?, group: self.group.clone(), delay })
    }
}

impl<T> Message<T> {
    fn wait(&mut self, until: Timestamp, reason: &str, now: Timestamp) -> Result<(), String> {
        if now.since(*self.held_since.get_or_insert(now)) > RETENTION {
            return Err(format!("Waited for 14 days. {reason}"));
        }
        self.not_before = Some(until);
        Ok(())
    }

    fn retry(&mut self, reason: &str, now: Timestamp) -> Result<(), String> {
        if self.is_last_attempt() {
            return Err(format!("Failed {MAX_ATTEMPTS} times, last: {reason}"));
        }
        self.not_before = Some(now.after(backoff(self.attempts)));
        self.attempts += 1;
        Ok(())
    }
}

impl<T: Serialize> Message<T> {
    /// The message as a dead letter: redriven, it has all its tries and all its time again.
    fn renewed(self) -> Option<String> {
        let renewed = Self { attempts: 0, not_before: None, held_since: None, ..self };
        serde_json::to_string(&renewed).ok()
    }
}

impl<T: DeserializeOwned> Message<T> {
    /// Reads a message.
    ///
    /// # Errors
    /// With a sentence for the dead letter, when a newer release wrote it or nobody did.
    pub fn read(received: &Received) -> Result<Self, String> {
        let message: Self = serde_json::from_str(&received.body)
            .map_err(|error| format!("The message can't be read: {error}."))?;
        if message.version > VERSION {
            return Err(format!(
                "The message has version {}, this release reads {VERSION}.",
                message.version
            ));
        }
        Ok(message)
    }
}

/// How long to leave a message alone after `attempts` failures: 5 s, 15 s, 45 s, … up to SQS's longest delay.
#[must_use]
pub fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(5u64.saturating_mul(3u64.saturating_pow(attempts))).min(MAX_DELAY)
}

/// Acts on what was decided, and answers the receipts to acknowledge: those of all messages whose copy or dead letter is
/// safely stored. The others come back by themselves.
pub async fn settle<T: Serialize + Send>(
    queue: &dyn Queue,
    clock: &dyn Clock,
    decided: Vec<(Received, Message<T>, Disposition)>,
) -> Vec<String> {
    let now = clock.now();
    let mut acknowledged = Vec::with_capacity(decided.len());
    let (mut copies, mut copied) = (Vec::new(), Vec::new());
    let (mut done, mut dropped, mut waiting, mut retried) = (Vec::new(), 0, 0, 0);
    for (received, mut message, disposition) in decided {
        let trace = message.id;
        let held = match disposition {
            Disposition::Done => {
                tracing::info!(trace.id = %trace, "done with a message");
                done.push(now.since(message.enqueued_at));
                acknowledged.push(received.receipt);
                continue;
            }
            Disposition::Drop { reason } => {
                tracing::info!(trace.id = %trace, reason, "dropped a message");
                dropped += 1;
                acknowledged.push(received.receipt);
                continue;
            }
            Disposition::Wait { until, reason } => {
                tracing::info!(trace.id = %trace, until = %until.iso8601(), reason, "a message waits");
                waiting += 1;
                message.wait(until, &reason, now)
            }
            Disposition::Retry { reason } => {
                tracing::info!(trace.id = %trace, attempts = message.attempts + 1, reason, "a message failed");
                retried += 1;
                message.retry(&reason, now)
            }
            Disposition::Fail { reason } => Err(reason),
        };
        match held.and_then(|()| message.outgoing(now).map_err(|error| error.to_string())) {
            Ok(copy) => {
                copies.push(copy);
                copied.push(received.receipt);
            }
            Err(reason) => {
                let body = message.renewed().unwrap_or(received.body);
                acknowledged.extend(
                    send_to_dead_letter_queue(queue, Some(trace), body, received.receipt, reason).await,
                );
            }
        }
    }
    Measure::new("settled a batch")
        .counts([
            ("MessagesDone", done.len()),
            ("MessagesDropped", dropped),
            ("MessagesWaiting", waiting),
            ("MessagesRetried", retried),
        ])
        .times("MessageAge", done)
        .log();
    if send_copies(queue, copies).await {
        acknowledged.append(&mut copied);
    }
    acknowledged
}

/// Whether the copies of messages that wait or are tried again are safely stored.
async fn send_copies(queue: &dyn Queue, copies: Vec<Outgoing>) -> bool {
    if copies.is_empty() {
        return true;
    }
    let sent = queue.send(copies).await;
    if let Err(error) = &sent {
        let cause = with_causes(error);
        tracing::error!(cause, "could not put messages back; they come back by themselves");
    }
    sent.is_ok()
}

/// Dead-letters a message that can't even be read.
pub async fn dead_letter_unreadable(queue: &dyn Queue, received: Received, reason: String) -> Option<String> {
    send_to_dead_letter_queue(queue, None, received.body, received.receipt, reason).await
}

/// The receipt to acknowledge, once the dead letter is stored.
async fn send_to_dead_letter_queue(
    queue: &dyn Queue,
    trace: Option<Ulid>,
    body: String,
    receipt: String,
    reason: String,
) -> Option<String> {
    tracing::warn!(trace.id = trace.map(tracing::field::display), reason, "dead-lettered a message");
    Measure::new("dead-lettered a message").count("MessagesDeadLettered", 1).log();
    match queue.send_to_dead_letter_queue(body, reason).await {
        Ok(()) => Some(receipt),
        Err(error) => {
            let cause = with_causes(&error);
            tracing::error!(cause, "could not write a dead letter; the message comes back by itself");
            None
        }
    }
}

#[cfg(test)]
mod tests {
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

        async fn send_to_dead_letter_queue(&self, _: String, reason: String) -> Result<(), QueueError> {
            self.dead_lettered.lock().expect("not poisoned").push(reason);
            Ok(())
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
        Received { receipt: "r".to_owned(), body, receives: 1 }
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
        let read =
            |outgoing: &Outgoing| serde_json::from_str::<Message<u8>>(&outgoing.body).expect("a message");
        assert_eq!(
            (sent[0].delay, read(&sent[0]).attempts, read(&sent[0]).not_before),
            (MAX_DELAY, 3, Some(until))
        );
        assert_eq!(read(&sent[1]).attempts, 4);
        assert!(sent[1].delay > Duration::from_secs(100), "5 s times 3^3");
    }

    #[tokio::test]
    async fn spent_attempts_end_among_the_dead_letters_with_the_reason() {
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
    fn the_stronger_decision_wins() {
        let wait = |until| Disposition::Wait { until: Timestamp(until), reason: String::new() };
        assert_eq!(Disposition::Done.and(retry()), retry());
        assert_eq!(wait(9).and(wait(5)), wait(5));
        assert_eq!(wait(9).and(Disposition::Drop { reason: String::new() }), wait(9));
    }
}
