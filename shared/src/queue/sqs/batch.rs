//! Calls on several messages at once. SQS answers for each message by itself: some may have failed although the call
//! succeeded (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api-actions.html>).
//! Which call that is belongs to `sqs`.

use std::future::Future;
use std::time::Duration;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use futures::{TryStreamExt, stream};

use super::unavailable;
use crate::queue::QueueError;

/// SQS's bound on messages of a call.
pub(super) const MAX_ENTRIES: usize = 10;

/// Calls under way at a time. A batch of 200 messages takes five times as long as one call, and a function's small
/// memory holds the largest messages four times over.
pub(super) const CONCURRENCY: usize = 4;

/// Rounds for entries that fail, on top of the SDK's retries of whole calls.
const ROUNDS: u32 = 3;

/// Before the second round; twice as long before the third. A webhook is answered while this goes on.
const PAUSE: Duration = Duration::from_millis(100);

/// What SQS says of the messages of a call.
pub(super) struct Answer {
    /// The ids of entries that succeeded.
    pub(super) done: Vec<String>,
    /// Entries that failed, and why.
    pub(super) failed: Vec<BatchResultErrorEntry>,
}

/// Makes the `call` with every batch, until each of the entries, identified by `id`, has succeeded.
///
/// # Errors
/// A call fails, or an entry does: for good, or in each of several rounds. Nothing more is begun then.
pub(super) async fn all<T, F, A>(
    name: &str,
    batches: Vec<Vec<T>>,
    id: fn(&T) -> &str,
    call: F,
) -> Result<(), QueueError>
where
    T: Clone,
    F: Fn(Vec<T>) -> A,
    A: Future<Output = Result<Answer, QueueError>>,
{
    let batches = stream::iter(batches.into_iter().map(Ok));
    batches.try_for_each_concurrent(CONCURRENCY, |batch| until_done(name, batch, id, &call)).await
}

async fn until_done<T, F, A>(
    name: &str,
    mut entries: Vec<T>,
    id: fn(&T) -> &str,
    call: &F,
) -> Result<(), QueueError>
where
    T: Clone,
    F: Fn(Vec<T>) -> A,
    A: Future<Output = Result<Answer, QueueError>>,
{
    let mut pause = PAUSE;
    for round in 1.. {
        let answer = call(entries.clone()).await?;
        // Only what SQS confirms is done.
        entries.retain(|entry| !answer.done.iter().any(|done| done == id(entry)));
        if entries.is_empty() {
            break;
        }
        let refused = answer.failed.iter().find(|failed| failed.sender_fault);
        if refused.is_some() || round == ROUNDS {
            let code =
                refused.or(answer.failed.first()).map_or("no result for a message", |failed| failed.code());
            return Err(unavailable(name, code));
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}
