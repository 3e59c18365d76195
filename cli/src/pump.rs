//! Hands a queue's messages to a handler, in place of an event source mapping: a batch per message group, side by side, and
//! no second one of a group while one is under way. A group that hangs delays none of the others. What is done with a
//! batch belongs to the handler, how a queue keeps messages to `shared::queue::embedded`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::queue::embedded::EmbeddedQueue;
use shared::queue::worker::{Deadline, Handler, Work};
use shared::queue::{QueueError, Received};
use tokio::task::JoinSet;

/// The batch size, as of the function's event source mapping on AWS.
const BATCH: usize = 200;

/// Messages under way at the same time, at some kilobytes each. Where so many hang, a restart or the end of an outage helps,
/// not more of them.
const MAX_IN_FLIGHT: usize = 2_000;

/// The batching window. Shorter than on AWS, where more happens at the same time.
const WINDOW: Duration = Duration::from_millis(200);

/// How long a batch may take: the function's time-out on AWS.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The visibility timeout: SQS's maximum. There is no other consumer, and a restart makes messages visible at once.
const VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// The pause after an error.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Receives messages of a queue as long as it runs. Dropping its future stops what is under way.
#[derive(Debug)]
pub struct Pump {
    queue: Arc<EmbeddedQueue>,
    /// By message group.
    batches: JoinSet<(String, usize)>,
    busy: HashSet<String>,
    in_flight: usize,
}

impl Pump {
    /// A pump of `queue`.
    #[must_use]
    pub fn new(queue: Arc<EmbeddedQueue>) -> Self {
        Self { queue, batches: JoinSet::new(), busy: HashSet::new(), in_flight: 0 }
    }

    /// Hands messages to `handler`, for ever.
    pub async fn run(mut self, handler: Handler) {
        loop {
            tokio::select! {
                Some(ended) = self.batches.join_next() => match ended {
                    Ok((group, messages)) => {
                        self.busy.remove(&group);
                        self.in_flight -= messages;
                    }
                    // The rest of such a batch stays in flight until the next start.
                    Err(error) => tracing::error!(%error, "a batch could not be settled"),
                },
                waited = self.queue.wait_for_messages(&self.busy), if self.in_flight < MAX_IN_FLIGHT => {
                    // Not within what `select` may drop: messages that were received would stay hidden.
                    if let Err(error) = self.take(waited, &handler).await {
                        tracing::error!(%error, "the queue can't be read");
                        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    }
                }
            }
        }
    }

    /// Takes the next messages of groups that are not busy.
    async fn take(&mut self, waited: Result<(), QueueError>, handler: &Handler) -> Result<(), QueueError> {
        waited?;
        tokio::time::sleep(WINDOW).await;
        let messages = self.queue.receive(BATCH, VISIBILITY, &self.busy).await?;
        self.start(messages, handler);
        Ok(())
    }

    fn start(&mut self, messages: Vec<Received>, handler: &Handler) {
        let mut groups: BTreeMap<String, Vec<Received>> = BTreeMap::new();
        for message in messages {
            groups.entry(message.group.clone()).or_default().push(message);
        }
        for (group, messages) in groups {
            self.busy.insert(group.clone());
            self.in_flight += messages.len();
            let (queue, handler, count) = (Arc::clone(&self.queue), Arc::clone(handler), messages.len());
            self.batches.spawn(async move {
                work(&queue, messages, handler).await;
                (group, count)
            });
        }
    }
}

/// Has `handler` handle `messages`, deletes those that it acknowledges as soon as it does, and releases the others.
async fn work(queue: &EmbeddedQueue, messages: Vec<Received>, handler: Handler) {
    let mut unfinished: HashSet<String> = messages.iter().map(|message| message.receipt.clone()).collect();
    let deadline = Deadline::after(TIMEOUT);
    let mut work = Work::start(messages, deadline, handler);
    let finished = tokio::time::timeout(deadline.left(), async {
        while let Some(receipts) = work.acknowledged().await {
            until_written("delete", || queue.delete(&receipts)).await;
            unfinished.retain(|receipt| !receipts.contains(receipt));
        }
    });
    if finished.await.is_err() {
        tracing::error!(messages = unfinished.len(), "out of time; messages will be received again");
    }
    drop(work);
    if !unfinished.is_empty() {
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        let rest: Vec<String> = unfinished.into_iter().collect();
        until_written("release", || queue.release(&rest)).await;
    }
}

/// Tries until the queue's file can be written: what stayed in flight would be hidden for hours.
async fn until_written<F>(what: &str, write: impl Fn() -> F)
where
    F: Future<Output = Result<(), QueueError>>,
{
    while let Err(error) = write().await {
        tracing::error!(%error, what, "the queue can't be written");
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}
