//! What becomes of a message after it was processed. A message that waits or is retried is put on the queue as a copy with
//! counters of its own, and the original is acknowledged: waiting counts no attempt and can outlast every timeout, and the
//! queue's receive limit catches crashes only.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{MAX_DELAY, Outgoing, Queue, RETENTION, Received};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{Measure, with_causes};

/// Attempts before a message is dead-lettered. With [`backoff`] they span 70 minutes, longer than a restart or a
/// bad release of either side takes.
const MAX_ATTEMPTS: u32 = 10;

/// A shorter wait is logged only when it is a message's first: one that is checked every few seconds would fill the log for
/// days.
const LOGGED_WAIT: Duration = Duration::from_secs(30);

/// The version this release writes. The previous release's are read, too.
const VERSION: u8 = 1;

/// A message: what it says, and what happened to it so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    version: u8,
    /// The trace id of its delivery, from the webhook to the call to Jira. Its copies keep it.
    pub id: Ulid,
    /// The queue's message group.
    pub group: String,
    /// When it was first put on a queue.
    pub enqueued_at: Timestamp,
    /// Attempts that failed.
    #[serde(default)]
    pub attempts: u32,
    /// Not before this.
    #[serde(default)]
    not_before: Option<Timestamp>,
    /// Since when it waits and is retried.
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
    /// It has to wait for something else, which counts no attempt.
    Wait {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// It failed in a way that may pass.
    Retry {
        /// Why.
        reason: String,
    },
    /// It has become obsolete.
    Drop {
        /// Why.
        reason: String,
    },
    /// It can never succeed; a person has to act.
    Fail {
        /// Why.
        reason: String,
    },
    /// Jira refuses it; a person has to act.
    Refused {
        /// Jira's text. It may repeat what it refuses, so it is kept with the message and not logged.
        text: String,
    },
}

impl Disposition {
    /// The weightier of two: a message is done only when all of it is, and dead-lettered only when nothing of it waits.
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
            Self::Fail { .. } => 2,
            Self::Refused { .. } => 3,
            Self::Wait { .. } => 4,
            Self::Retry { .. } => 5,
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

    /// Whether this attempt is the last.
    fn is_last_attempt(&self) -> bool {
        self.attempts + 1 >= MAX_ATTEMPTS
    }

    /// For how long it has waited and been retried.
    #[must_use]
    pub fn held_for(&self, now: Timestamp) -> Duration {
        self.held_since.map_or(Duration::ZERO, |since| now.since(since))
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
            let failure = format!("Waited for 14 days. {reason}");
            tracing::warn!(trace.id = %self.id, reason = failure, "a message can't be processed");
            return Err(failure);
        }
        self.not_before = Some(until);
        Ok(())
    }

    fn retry(&mut self, reason: &str, now: Timestamp) -> Result<(), String> {
        self.held_since.get_or_insert(now);
        if self.is_last_attempt() {
            let failure = format!("Failed {MAX_ATTEMPTS} times, last: {reason}");
            tracing::warn!(trace.id = %self.id, reason = failure, "a message can't be processed");
            return Err(failure);
        }
        self.not_before = Some(now.after(backoff(self.attempts)));
        self.attempts += 1;
        Ok(())
    }
}

/// What is done with a message.
enum Next {
    Acknowledge,
    Copy,
    DeadLetter(String),
}

/// What became of a batch's messages.
#[derive(Default)]
struct Counts {
    /// The ages of those that are done.
    done: Vec<Duration>,
    dropped: usize,
    waiting: usize,
    retried: usize,
}

impl<T> Message<T> {
    /// Logs what was decided, and prepares the message for its copy.
    fn prepare(&mut self, disposition: Disposition, now: Timestamp, counts: &mut Counts) -> Next {
        let trace = self.id;
        let held = match disposition {
            Disposition::Done => {
                tracing::info!(trace.id = %trace, "done with a message");
                counts.done.push(now.since(self.enqueued_at));
                return Next::Acknowledge;
            }
            Disposition::Drop { reason } => {
                tracing::info!(trace.id = %trace, reason, "dropped a message");
                counts.dropped += 1;
                return Next::Acknowledge;
            }
            Disposition::Wait { until, reason } => {
                let until_text = until.iso8601();
                if self.held_since.is_some() && until.since(now) < LOGGED_WAIT {
                    tracing::debug!(trace.id = %trace, until = until_text, reason, "a message waits on");
                } else {
                    tracing::info!(trace.id = %trace, until = until_text, reason, "a message waits");
                }
                counts.waiting += 1;
                self.wait(until, &reason, now)
            }
            Disposition::Retry { reason } => {
                tracing::info!(trace.id = %trace, attempts = self.attempts + 1, reason, "a message failed");
                counts.retried += 1;
                self.retry(&reason, now)
            }
            Disposition::Fail { reason } => {
                tracing::warn!(trace.id = %trace, reason, "a message can't be processed");
                Err(reason)
            }
            Disposition::Refused { text } => {
                tracing::warn!(trace.id = %trace, "Jira refused what a message says");
                Err(text)
            }
        };
        held.map_or_else(Next::DeadLetter, |()| Next::Copy)
    }
}

impl<T: Serialize> Message<T> {
    /// The message as a dead letter: when redriven, it has all its attempts and all its time again.
    fn renewed(self) -> Option<String> {
        let renewed = Self { attempts: 0, not_before: None, held_since: None, ..self };
        serde_json::to_string(&renewed).ok()
    }
}

impl<T: DeserializeOwned> Message<T> {
    /// Reads a message.
    ///
    /// # Errors
    /// With a sentence for the dead letter, when a newer release wrote it or it is no message of ours.
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

/// The delay after `attempts` failures: 5 s, 15 s, 45 s, … up to SQS's longest.
#[must_use]
pub fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(5u64.saturating_mul(3u64.saturating_pow(attempts))).min(MAX_DELAY)
}

/// Acts on the dispositions, and answers the receipts to acknowledge: of all messages whose copy or dead letter is stored.
/// The others are received again.
pub async fn settle<T: Serialize + Send>(
    queue: &dyn Queue,
    clock: &dyn Clock,
    decided: Vec<(Received, Message<T>, Disposition)>,
) -> Vec<String> {
    let now = clock.now();
    let mut acknowledged = Vec::with_capacity(decided.len());
    let (mut copies, mut copied, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    for (received, mut message, disposition) in decided {
        let copy = match message.prepare(disposition, now, &mut counts) {
            Next::Acknowledge => {
                acknowledged.push(received.receipt);
                continue;
            }
            Next::Copy => message.outgoing(now).map_err(|error| error.to_string()),
            Next::DeadLetter(reason) => Err(reason),
        };
        match copy {
            Ok(copy) => {
                copies.push(copy);
                copied.push(received.receipt);
            }
            Err(reason) => {
                let group = message.group.clone();
                let message = Outgoing::new(group, message.renewed().unwrap_or(received.body));
                acknowledged
                    .extend(send_to_dead_letter_queue(queue, message, received.receipt, reason).await);
            }
        }
    }
    Measure::new("settled a batch")
        .counts([
            ("MessagesDone", counts.done.len()),
            ("MessagesDropped", counts.dropped),
            ("MessagesWaiting", counts.waiting),
            ("MessagesRetried", counts.retried),
        ])
        .times("MessageAge", counts.done)
        .log();
    if send_copies(queue, copies).await {
        acknowledged.append(&mut copied);
    }
    acknowledged
}

/// Whether the copies of messages that wait or are retried are stored.
async fn send_copies(queue: &dyn Queue, copies: Vec<Outgoing>) -> bool {
    if copies.is_empty() {
        return true;
    }
    let sent = queue.send(copies).await;
    if let Err(error) = &sent {
        let cause = with_causes(error);
        tracing::error!(cause, "could not put messages back; they will be received again");
    }
    sent.is_ok()
}

/// Dead-letters a message that can't even be read.
pub async fn dead_letter_unreadable(queue: &dyn Queue, received: Received, reason: String) -> Option<String> {
    tracing::warn!(reason, "a message can't be read");
    let message = Outgoing::new(received.group, received.body);
    send_to_dead_letter_queue(queue, message, received.receipt, reason).await
}

/// The receipt to acknowledge, once the dead letter is stored.
async fn send_to_dead_letter_queue(
    queue: &dyn Queue,
    message: Outgoing,
    receipt: String,
    reason: String,
) -> Option<String> {
    Measure::new("dead-lettered a message").count("MessagesDeadLettered", 1).log();
    match queue.send_to_dead_letter_queue(message, reason).await {
        Ok(()) => Some(receipt),
        Err(error) => {
            let cause = with_causes(&error);
            tracing::error!(cause, "could not write a dead letter; the message will be received again");
            None
        }
    }
}

#[cfg(test)]
mod tests;
