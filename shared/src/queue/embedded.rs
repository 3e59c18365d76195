//! The queue of the local process: several queues by name in one SQLite file. Handing messages to handlers belongs to
//! the local process's pump, which needs more than the port has.
//!
//! It behaves as an SQS standard queue with message groups does: messages are delivered at least once and in no
//! promised order; a group with many messages does not delay the others
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>); the receipt of
//! an earlier delivery is accepted and does nothing
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>). Unlike SQS it
//! knows when its only consumer dies: what was in flight is visible again as soon as the file is opened, or after a pause if
//! that happened to it often.
//!
//! # Durability
//!
//! The file is in WAL mode with `synchronous = NORMAL` (<https://www.sqlite.org/pragma.html#pragma_synchronous>): a
//! commit does not wait for the disk, so that queueing a delivery costs no fsync.
//! What was acknowledged survives the end of the process, `kill -9` included. A loss of power or a crash of the
//! operating system may undo the last commits, those since the last checkpoint at most, but does not corrupt the file;
//! what is lost is found again by reconciliation, as after any outage.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::Notify;

use self::writer::WriterThread;
use super::{DeadLetter, Depth, MAX_DELAY, Outgoing, Queue, QueueError, Received};
use crate::clock::SharedClock;

mod table;
mod writer;

/// One process, one connection: the lock is held as long as the file is open, and is released when the process ends.
const SETTINGS: &str =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";

/// The queues' file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueFileError {
    /// Another process has it open.
    #[error("the queues' file {} is in use", .0.display())]
    InUse(PathBuf),
    /// A later release wrote it.
    #[error("the queues' file {} was written by a newer release", .0.display())]
    Newer(PathBuf),
    /// No such folder, no permission, or not a database.
    #[error("the queues' file {} can't be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The operating system starts no thread.
    #[error("the queue's thread can't be started")]
    Thread(#[source] std::io::Error),
}

/// The queues in one file. It is closed when this and every queue from it are gone.
pub struct EmbeddedQueues {
    writer: Arc<WriterThread>,
    clock: SharedClock,
    queues: Mutex<BTreeMap<String, Arc<EmbeddedQueue>>>,
}

impl EmbeddedQueues {
    /// Opens the file at `path`, or makes it. What was in flight when its last process ended is visible again.
    ///
    /// # Errors
    /// The file can't be opened, is in use, or was written by a newer release.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, QueueFileError> {
        Self::start(Connection::open(path), path, clock)
    }

    /// Queues that are forgotten with this value, for tests.
    ///
    /// # Errors
    /// SQLite is out of memory.
    pub fn memory(clock: SharedClock) -> Result<Self, QueueFileError> {
        Self::start(Connection::open_in_memory(), Path::new(":memory:"), clock)
    }

    fn start(
        connection: rusqlite::Result<Connection>,
        path: &Path,
        clock: SharedClock,
    ) -> Result<Self, QueueFileError> {
        let opened = connection.and_then(|connection| {
            connection.busy_timeout(Duration::ZERO)?;
            connection.execute_batch(SETTINGS)?;
            let known = table::prepare(&connection)?;
            Ok((connection, known))
        });
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                QueueFileError::InUse(path.to_owned())
            }
            _ => QueueFileError::Open { path: path.to_owned(), source },
        };
        let (connection, known) = opened.map_err(failed)?;
        if !known {
            return Err(QueueFileError::Newer(path.to_owned()));
        }
        let recovered = table::recover(&connection, clock.now()).map_err(failed)?;
        if recovered > 0 {
            tracing::info!(
                recovered,
                "messages were in flight when the last process ended; they are delivered again"
            );
        }
        let writer = WriterThread::start(connection, Arc::clone(&clock)).map_err(QueueFileError::Thread)?;
        Ok(Self { writer: Arc::new(writer), clock, queues: Mutex::default() })
    }

    /// The queue of that name; it need not be created. Always the same one, so that every send notifies those who wait.
    #[must_use]
    pub fn queue(&self, name: &str) -> Arc<EmbeddedQueue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(EmbeddedQueue {
                name: Arc::from(name),
                writer: Arc::clone(&self.writer),
                clock: Arc::clone(&self.clock),
                arrivals: Arc::default(),
                turn: Arc::default(),
            })
        });
        Arc::clone(queue)
    }
}

impl fmt::Debug for EmbeddedQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueues").finish_non_exhaustive()
    }
}

/// One of the queues of a file.
pub struct EmbeddedQueue {
    name: Arc<str>,
    writer: Arc<WriterThread>,
    clock: SharedClock,
    /// Notified when messages may have become visible earlier than was known.
    arrivals: Arc<Notify>,
    /// The message group that was served last.
    turn: Arc<Mutex<String>>,
}

impl EmbeddedQueue {
    /// Receives at most `max` messages that are due, of other groups than those of `busy`, and makes them invisible until
    /// `visibility` (at least a millisecond) has passed. Groups take turns, from call to call too. A message that has been
    /// delivered a hundred times is not delivered again but becomes a dead letter: handlers acknowledge what they retry, so
    /// it is received again only if a process died with it or a handler outlasted `visibility`.
    ///
    /// A call that is dropped may have received messages; they are visible again after `visibility`.
    ///
    /// # Errors
    /// The file fails.
    pub async fn receive(
        &self,
        max: usize,
        visibility: Duration,
        busy: &HashSet<String>,
    ) -> Result<Vec<Received>, QueueError> {
        let (name, clock, turn) = (Arc::clone(&self.name), Arc::clone(&self.clock), Arc::clone(&self.turn));
        let busy = busy.clone();
        let receive = move |connection: &Connection| {
            let now = clock.now();
            let hidden_until = now.after(visibility.max(Duration::from_millis(1)));
            let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            table::receive(connection, &name, max, now, hidden_until, (&busy, &mut turn))
        };
        self.writer.call(None, receive).await
    }

    /// Deletes the messages that were delivered with these receipts. As on SQS, a receipt counts until the message is
    /// delivered again, even after its visibility has passed; an older or unknown one does nothing.
    ///
    /// # Errors
    /// The file fails; none of the messages is deleted then.
    pub async fn delete(&self, receipts: &[String]) -> Result<(), QueueError> {
        let (name, receipts) = (Arc::clone(&self.name), receipts.to_vec());
        self.writer.call(None, move |connection| table::delete(connection, &name, &receipts)).await
    }

    /// Makes the messages that were delivered with these receipts visible again at once. The delivery still counts.
    ///
    /// # Errors
    /// The file fails; none of the messages is released then.
    pub async fn release(&self, receipts: &[String]) -> Result<(), QueueError> {
        let (name, clock, receipts) = (Arc::clone(&self.name), Arc::clone(&self.clock), receipts.to_vec());
        let release =
            move |connection: &Connection| table::release(connection, &name, &receipts, clock.now());
        self.writer.call(Some(Arc::clone(&self.arrivals)), release).await
    }

    /// How long ago the oldest message was sent; none when there is no message. A copy that waits counts from when it was
    /// made, as on SQS.
    ///
    /// # Errors
    /// The file fails.
    pub async fn oldest_age(&self) -> Result<Option<Duration>, QueueError> {
        let name = Arc::clone(&self.name);
        let sent_at = self.writer.call(None, move |connection| table::oldest(connection, &name)).await?;
        Ok(sent_at.map(|sent_at| self.clock.now().since(sent_at)))
    }

    /// Waits until there is a message to receive of another group than those of `busy`: one that is sent, or whose delay or
    /// visibility ends, by the clock.
    ///
    /// # Errors
    /// The file fails.
    pub async fn wait_for_messages(&self, busy: &HashSet<String>) -> Result<(), QueueError> {
        loop {
            // Registered before the queue is read, or a message sent in between would go unnoticed.
            let arrival = self.arrivals.notified();
            let (name, busy) = (Arc::clone(&self.name), busy.clone());
            let next_due = move |connection: &Connection| table::next_due(connection, &name, &busy);
            let due = self.writer.call(None, next_due).await?;
            let now = self.clock.now();
            match due {
                None => arrival.await,
                Some(due) if due <= now => return Ok(()),
                Some(due) => tokio::select! {
                    () = arrival => {}
                    () = self.clock.sleep(due.since(now)) => {}
                },
            }
        }
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    /// All or none. A delay above [`MAX_DELAY`] is cut to it.
    async fn send(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        let (name, clock) = (Arc::clone(&self.name), Arc::clone(&self.clock));
        let send = move |connection: &Connection| {
            let now = clock.now();
            for message in &messages {
                table::insert(connection, &name, message, now, now.after(message.delay.min(MAX_DELAY)))?;
            }
            Ok(())
        };
        self.writer.call(Some(Arc::clone(&self.arrivals)), send).await
    }

    async fn send_to_dead_letter_queue(&self, message: Outgoing, reason: String) -> Result<(), QueueError> {
        let (name, clock) = (Arc::clone(&self.name), Arc::clone(&self.clock));
        let send_to_dead_letter_queue = move |connection: &Connection| {
            table::send_to_dead_letter_queue(connection, &name, &message, &reason, clock.now())
        };
        self.writer.call(None, send_to_dead_letter_queue).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let (name, clock) = (Arc::clone(&self.name), Arc::clone(&self.clock));
        self.writer.call(None, move |connection| table::depth(connection, &name, clock.now())).await
    }

    async fn may_be_in_flight(&self, group: Option<&str>) -> Result<bool, QueueError> {
        let (name, group) = (Arc::clone(&self.name), group.map(str::to_owned));
        let in_flight =
            move |connection: &Connection| table::may_be_in_flight(connection, &name, group.as_deref());
        self.writer.call(None, in_flight).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        let name = Arc::clone(&self.name);
        self.writer.call(None, move |connection| table::dead_letters(connection, &name, limit)).await
    }

    async fn redrive(&self, ids: Option<&[String]>) -> Result<u64, QueueError> {
        let (name, clock, ids) =
            (Arc::clone(&self.name), Arc::clone(&self.clock), ids.map(<[String]>::to_vec));
        let redrive =
            move |connection: &Connection| table::redrive(connection, &name, ids.as_deref(), clock.now());
        self.writer.call(Some(Arc::clone(&self.arrivals)), redrive).await
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueue").field("name", &self.name).finish_non_exhaustive()
    }
}
