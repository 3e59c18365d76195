//! Handing batches to a handler: what it acknowledges counts at once, a panic fails only the message that causes it, and
//! every batch has a deadline. Where batches come from, and what is done with receipts, belongs to Lambda's runtime and to
//! the local process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Received;

/// The time of a batch, by the machine's clock as the time-outs of calls are.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time that is left.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether something that takes at most `time` can end before it.
    #[must_use]
    pub fn leaves(self, time: Duration) -> bool {
        self.left() > time
    }
}

/// Messages that are handled together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<Received>,
    /// When the handler is stopped.
    pub deadline: Deadline,
    acknowledged: Acknowledged,
}

/// Receipts that were acknowledged, and where they are reported.
#[derive(Clone, Debug)]
struct Acknowledged {
    receipts: Arc<Mutex<HashSet<String>>>,
    report: mpsc::UnboundedSender<Vec<String>>,
}

impl Batch {
    /// Acknowledges messages that are done or stored as a copy; the others are received again. These stay acknowledged,
    /// whatever happens to the rest of the batch.
    pub fn acknowledge(&self, receipts: Vec<String>) {
        if receipts.is_empty() {
            return;
        }
        let mut acknowledged = self.acknowledged.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.extend(receipts.iter().cloned());
        // Fails when the batch was dropped; its messages are received again.
        let _ = self.acknowledged.report.send(receipts);
    }

    fn is_acknowledged(&self, message: &Received) -> bool {
        let acknowledged = self.acknowledged.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.contains(&message.receipt)
    }
}

/// Handles a batch, and acknowledges what is done as soon as it is.
pub type Handler = Arc<dyn Fn(Batch) -> BoxFuture<'static, ()> + Send + Sync>;

/// A batch that is being handled. Dropping it stops the work.
#[derive(Debug)]
pub struct Work {
    tasks: JoinSet<()>,
    acknowledged: mpsc::UnboundedReceiver<Vec<String>>,
}

impl Work {
    /// Has `handler` handle `messages`.
    #[must_use]
    pub fn start(messages: Vec<Received>, deadline: Deadline, handler: Handler) -> Self {
        let (report, acknowledged) = mpsc::unbounded_channel();
        let batch =
            Batch { messages, deadline, acknowledged: Acknowledged { receipts: Arc::default(), report } };
        let mut tasks = JoinSet::new();
        tasks.spawn(one_by_one_after_a_panic(batch, handler).in_current_span());
        Self { tasks, acknowledged }
    }

    /// The receipts that are acknowledged next; `None` once the batch has been handled.
    pub async fn acknowledged(&mut self) -> Option<Vec<String>> {
        match self.acknowledged.recv().await {
            None => {
                // It has ended: its end of the channel is closed.
                self.tasks.join_next().await;
                None
            }
            receipts => receipts,
        }
    }
}

/// A panic fails the whole batch, so what is left of it is then handled message by message: only the message that panics
/// counts as tried.
async fn one_by_one_after_a_panic(batch: Batch, handler: Handler) {
    if is_finished(handler(batch.clone())).await {
        return;
    }
    for message in &batch.messages {
        if !batch.is_acknowledged(message) {
            is_finished(handler(Batch { messages: vec![message.clone()], ..batch.clone() })).await;
        }
    }
}

/// Whether it ended without a panic.
async fn is_finished(work: BoxFuture<'static, ()>) -> bool {
    let mut tasks = JoinSet::new();
    tasks.spawn(work.in_current_span());
    match tasks.join_next().await {
        Some(Err(error)) => {
            tracing::error!(%error, "a batch panicked");
            false
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(receipt: &str) -> Received {
        Received { receipt: receipt.to_owned(), group: String::new(), body: receipt.to_owned(), receives: 1 }
    }

    /// Acknowledges each message by itself; one called `panics` panics, one called `hangs` does not end, and `bad` is
    /// not acknowledged.
    fn handler() -> Handler {
        Arc::new(|batch: Batch| {
            Box::pin(async move {
                for message in batch.messages.clone() {
                    match message.body.as_str() {
                        "panics" => panic!("as asked"),
                        "hangs" => std::future::pending().await,
                        "bad" => {}
                        _ => batch.acknowledge(vec![message.receipt]),
                    }
                }
            })
        })
    }

    async fn acknowledged(messages: &[&str]) -> Vec<String> {
        let messages = messages.iter().map(|message| received(message)).collect();
        let mut work = Work::start(messages, Deadline::after(Duration::from_secs(60)), handler());
        let mut all = Vec::new();
        while let Some(receipts) = work.acknowledged().await {
            all.extend(receipts);
        }
        all
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_is_not_reported() {
        assert_eq!(acknowledged(&["a", "bad", "c"]).await, ["a", "c"]);
    }

    #[tokio::test]
    async fn a_panic_fails_one_message_and_repeats_none() {
        assert_eq!(acknowledged(&["a", "panics", "c"]).await, ["a", "c"]);
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_known_while_the_rest_hangs() {
        let messages = vec![received("a"), received("hangs")];
        let mut work = Work::start(messages, Deadline::after(Duration::from_secs(60)), handler());
        assert_eq!(work.acknowledged().await, Some(vec!["a".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_says_what_still_fits() {
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(deadline.leaves(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!deadline.leaves(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(deadline.left().is_zero());
    }
}
