//! The only thread that uses the queues' file. It runs waiting calls as one transaction and answers them after the commit, so
//! that many small sends share one. What a call does in the transaction belongs to the caller.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Notify, oneshot};

use super::table;
use crate::clock::{SharedClock, Timestamp};
use crate::queue::QueueError;

/// The most calls that share a commit: bounds how long the first of them waits, and how many fail with a commit.
/// With this many the commit's own cost no longer shows.
const CALLS_PER_COMMIT: usize = 512;

/// Why a commit failed, for each of its calls.
type Failure = Arc<rusqlite::Error>;

/// The thread is gone: it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the queue's thread has stopped")]
struct Stopped;

/// The owner of the thread. Dropping it waits until the file is closed.
pub(super) struct WriterThread {
    /// None only while the writer is being dropped.
    calls: Option<Sender<Box<dyn Call>>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    pub(super) fn start(connection: Connection, clock: SharedClock) -> std::io::Result<Self> {
        let (calls, inbox) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("queue".to_owned())
            .spawn(move || keep(connection, &inbox, &clock))?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }

    /// Does `work` in a transaction, and answers after it is committed. `wakes` is notified then, even if the caller
    /// has stopped waiting.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        wakes: Option<Arc<Notify>>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (answer, answered) = oneshot::channel();
        let call = Pending { work: Some(work), result: None, answer, wakes };
        let sent = self.calls.as_ref().map(|calls| calls.send(Box::new(call)));
        let Some(Ok(())) = sent else {
            return Err(QueueError::Unavailable(Box::new(Stopped)));
        };
        match answered.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(failure)) => Err(QueueError::Unavailable(Box::new(failure))),
            Err(_) => Err(QueueError::Unavailable(Box::new(Stopped))),
        }
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own hook and failed its callers.
            let _ = thread.join();
        }
    }
}

/// A call on its way through the thread.
trait Call: Send {
    /// Does the work and keeps its result.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Answers, once it is known whether the transaction lasts.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

struct Pending<Work, T> {
    work: Option<Work>,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, Failure>>,
    wakes: Option<Arc<Notify>>,
}

impl<Work, T> Call for Pending<Work, T>
where
    Work: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let Self { result, answer, wakes, .. } = *self;
        let outcome = committed.map(|()| result.expect("every call of a committed transaction has run"));
        // The caller may be gone, as a handler is whose connection was closed; its messages are stored all the same,
        // which is why it is not the caller who notifies.
        let _ = answer.send(outcome);
        if let Some(wakes) = wakes {
            wakes.notify_waiters();
        }
    }
}

fn keep(mut connection: Connection, inbox: &Receiver<Box<dyn Call>>, clock: &SharedClock) {
    while let Ok(first) = inbox.recv() {
        let mut calls = vec![first];
        calls.extend(inbox.try_iter().take(CALLS_PER_COMMIT - 1));
        let committed = commit(&mut connection, &mut calls, clock.now()).map_err(Arc::new);
        for call in calls {
            call.answer(committed.clone());
        }
    }
}

fn commit(connection: &mut Connection, calls: &mut [Box<dyn Call>], now: Timestamp) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    table::expire(&transaction, now)?;
    for call in calls {
        call.run(&transaction)?;
    }
    transaction.commit()
}
