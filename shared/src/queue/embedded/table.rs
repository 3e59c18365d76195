//! The queues' file: its tables and what is done in them, in SQL. Threads and
//! waiting belong to `writer` and `embedded`; the time is always an argument.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::clock::Timestamp;
use crate::queue::{DeadLetter, Depth, Outgoing, RETENTION, Received, never_finished};

/// Receives after which a message is dead-lettered. More than on SQS: when the process ends, all its messages in flight count,
/// and the same ones may be in flight each time, such as those to a site that hangs. With [`recover`]'s pauses a message that
/// kills the process does so for more than an hour.
pub(super) const MAX_RECEIVES: u32 = 100;

/// The layout of the file. A file with a higher number was written by a newer release.
const VERSION: u32 = 1;

/// `id` is never used again, so that a receipt can't come to mean another message. `taken` distinguishes a delivered
/// message from a delayed one while neither is visible. `site` is the message group.
const LAYOUT: &str = "
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        site TEXT NOT NULL,
        sent_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0,
        taken INTEGER NOT NULL DEFAULT 0,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX messages_due ON messages (queue, site, visible_at, taken);
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        site TEXT NOT NULL,
        died_at INTEGER NOT NULL,
        reason TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_of ON dead_letters (queue, id);
";

/// Jumps from group to group through the index instead of reading every message, and finds when the first message of
/// each becomes visible.
const GROUPS: &str = "
    WITH RECURSIVE sites (site) AS (
        SELECT MIN(site) FROM messages WHERE queue = :queue
        UNION ALL
        SELECT (SELECT MIN(site) FROM messages WHERE queue = :queue AND site > sites.site)
        FROM sites WHERE site IS NOT NULL
    ), due (site, visible_at) AS (
        SELECT site, (SELECT MIN(visible_at) FROM messages WHERE queue = :queue AND messages.site = sites.site)
        FROM sites WHERE site IS NOT NULL
    )
";

/// Whether this release knows the file's layout, after giving it to a new file.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<bool> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!("BEGIN; {LAYOUT} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    Ok(version <= VERSION)
}

/// Receives after which a message that was in flight when the process ended waits before it is delivered again. A process that
/// somebody kills again and again must not wait for its own work.
const RECEIVES_WITHOUT_PAUSE: u32 = 20;

/// The longest such pause, in milliseconds: shorter than a push waits for the one before it.
const MAX_PAUSE: i64 = 60 * 1000;

/// Makes visible what was in flight when the last process ended: at once, or if that happened often to a message,
/// after a pause that doubles each time, so that one that kills the process leaves time for the others.
pub(super) fn recover(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let recover = "UPDATE messages SET taken = 0, visible_at = ?1 + CASE WHEN receives <= ?2 THEN 0
                       ELSE MIN(1000 << MIN(receives - ?2 - 1, 30), ?3) END
                   WHERE taken = 1";
    connection.execute(recover, params![now.0, RECEIVES_WITHOUT_PAUSE, MAX_PAUSE])
}

/// Deletes what has outlived the retention. Ids rise with the time of sending, so only the oldest are read.
pub(super) fn expire(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let before = now.before(RETENTION).0;
    for oldest in [
        "DELETE FROM messages WHERE id = (SELECT MIN(id) FROM messages) AND sent_at < ?1",
        "DELETE FROM dead_letters WHERE id = (SELECT MIN(id) FROM dead_letters) AND died_at < ?1",
    ] {
        let mut oldest = connection.prepare_cached(oldest)?;
        let mut expired = 0_usize;
        while oldest.execute([before])? > 0 {
            expired += 1;
        }
        if expired > 0 {
            tracing::warn!(expired, "messages outlived the queue's retention and were deleted");
        }
    }
    Ok(())
}

pub(super) fn insert(
    connection: &Connection,
    queue: &str,
    message: &Outgoing,
    sent_at: Timestamp,
    visible_at: Timestamp,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO messages (queue, site, sent_at, visible_at, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![queue, message.group, sent_at.0, visible_at.0, message.body];
    connection.prepare_cached(insert)?.execute(row)?;
    Ok(())
}

/// When the first message of another group than those of `busy` becomes visible, now or later; none when there is none.
pub(super) fn next_due(
    connection: &Connection,
    queue: &str,
    busy: &HashSet<String>,
) -> rusqlite::Result<Option<Timestamp>> {
    let due = due_groups(connection, queue, Timestamp(i64::MAX))?;
    Ok(due.into_iter().filter(|(group, _)| !busy.contains(group)).map(|(_, due)| due).min())
}

/// When the oldest message was sent; none when there is no message. Ids rise with the time of sending.
pub(super) fn oldest(connection: &Connection, queue: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut oldest =
        connection.prepare_cached("SELECT sent_at FROM messages WHERE queue = ?1 ORDER BY id LIMIT 1")?;
    oldest.query_row([queue], |row| row.get(0).map(Timestamp)).optional()
}

/// Takes at most `max` visible messages of other groups than those of `busy` and hides them until `hidden_until`. Every
/// group has its turn, beginning after the one in `turn`, which becomes the last that was served; what room is left is
/// shared among those that have more.
pub(super) fn receive(
    connection: &Connection,
    queue: &str,
    max: usize,
    now: Timestamp,
    hidden_until: Timestamp,
    (busy, turn): (&HashSet<String>, &mut String),
) -> rusqlite::Result<Vec<Received>> {
    let due = due_groups(connection, queue, now)?.into_iter().map(|(group, _)| group);
    let mut groups: Vec<String> = due.filter(|group| !busy.contains(group)).collect();
    let first = groups.partition_point(|group| *group <= *turn);
    groups.rotate_left(first);
    let mut received = Vec::new();
    while received.len() < max && !groups.is_empty() {
        let share = ((max - received.len()) / groups.len()).max(1);
        let mut with_more = Vec::new();
        for group in groups {
            let share = share.min(max - received.len());
            if share == 0 {
                break;
            }
            let taken = take(connection, (queue, &group), share, now, hidden_until)?;
            turn.clone_from(&group);
            if taken.len() == share {
                with_more.push(group);
            }
            for (id, message) in taken {
                if message.receives > MAX_RECEIVES {
                    dead_letter(connection, id, now)?;
                } else {
                    received.push(message);
                }
            }
        }
        groups = with_more;
    }
    Ok(received)
}

/// The groups with a message that is visible at `at`, in their order, and since when.
fn due_groups(
    connection: &Connection,
    queue: &str,
    at: Timestamp,
) -> rusqlite::Result<Vec<(String, Timestamp)>> {
    let due = format!("{GROUPS} SELECT site, visible_at FROM due WHERE visible_at <= :at");
    let mut groups: Vec<_> = connection
        .prepare_cached(&due)?
        .query_map(named_params! {":queue": queue, ":at": at.0}, |row| {
            Ok((row.get(0)?, Timestamp(row.get(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    groups.sort_unstable();
    Ok(groups)
}

/// The `share` messages of a group that have been visible for longest, by id.
fn take(
    connection: &Connection,
    (queue, group): (&str, &str),
    share: usize,
    now: Timestamp,
    hidden_until: Timestamp,
) -> rusqlite::Result<Vec<(i64, Received)>> {
    let mut take = connection.prepare_cached(
        "UPDATE messages SET receives = receives + 1, taken = 1, visible_at = ?5
         WHERE id IN (SELECT id FROM messages WHERE queue = ?1 AND site = ?2 AND visible_at <= ?3
                      ORDER BY visible_at LIMIT ?4)
         RETURNING id, receives, body",
    )?;
    let received = |row: &Row<'_>| {
        let (id, receives): (i64, u32) = (row.get(0)?, row.get(1)?);
        let receipt = format!("{id}.{receives}");
        Ok((id, Received { receipt, group: group.to_owned(), body: row.get(2)?, receives }))
    };
    let share = i64::try_from(share).unwrap_or(i64::MAX);
    let rows = take.query_map(params![queue, group, now.0, share, hidden_until.0], received)?;
    let mut taken: Vec<_> = rows.collect::<Result<_, _>>()?;
    taken.sort_unstable_by_key(|(id, _)| *id);
    Ok(taken)
}

/// Moves a message that was delivered too often to the dead letters.
fn dead_letter(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    let insert = "INSERT INTO dead_letters (queue, site, died_at, reason, body)
                SELECT queue, site, ?2, ?3, body FROM messages WHERE id = ?1";
    connection.prepare_cached(insert)?.execute(params![id, now.0, never_finished(MAX_RECEIVES)])?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// The message and delivery that a receipt names; none when it is not one of ours.
fn delivery(receipt: &str) -> Option<(i64, u32)> {
    let (id, receives) = receipt.split_once('.')?;
    Some((id.parse().ok()?, receives.parse().ok()?))
}

/// Deletes the messages whose latest delivery has one of these receipts.
pub(super) fn delete(connection: &Connection, queue: &str, receipts: &[String]) -> rusqlite::Result<()> {
    let mut delete =
        connection.prepare_cached("DELETE FROM messages WHERE id = ?1 AND receives = ?2 AND queue = ?3")?;
    for (id, receives) in receipts.iter().filter_map(|receipt| delivery(receipt)) {
        delete.execute(params![id, receives, queue])?;
    }
    Ok(())
}

/// Makes visible the messages in flight whose latest delivery has one of these receipts.
pub(super) fn release(
    connection: &Connection,
    queue: &str,
    receipts: &[String],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut release = connection.prepare_cached(
        "UPDATE messages SET visible_at = ?4, taken = 0 WHERE id = ?1 AND receives = ?2 AND queue = ?3 AND taken = 1",
    )?;
    for (id, receives) in receipts.iter().filter_map(|receipt| delivery(receipt)) {
        release.execute(params![id, receives, queue, now.0])?;
    }
    Ok(())
}

pub(super) fn send_to_dead_letter_queue(
    connection: &Connection,
    queue: &str,
    message: &Outgoing,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO dead_letters (queue, site, died_at, reason, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(insert)?.execute(params![queue, message.group, now.0, reason, message.body])?;
    Ok(())
}

/// Whether a message, of one group or of any, is delivered and not settled.
pub(super) fn may_be_in_flight(
    connection: &Connection,
    queue: &str,
    group: Option<&str>,
) -> rusqlite::Result<bool> {
    let is_in_flight = "SELECT EXISTS (SELECT 1 FROM messages
                                       WHERE queue = ?1 AND site = COALESCE(?2, site) AND taken = 1)";
    connection.prepare_cached(is_in_flight)?.query_row(params![queue, group], |row| row.get(0))
}

pub(super) fn depth(connection: &Connection, queue: &str, now: Timestamp) -> rusqlite::Result<Depth> {
    let mut messages = connection.prepare_cached(
        "SELECT COUNT(*) FILTER (WHERE visible_at <= ?2), COUNT(*) FILTER (WHERE visible_at > ?2 AND taken = 0),
                COUNT(*) FILTER (WHERE visible_at > ?2 AND taken = 1),
                (SELECT COUNT(*) FROM dead_letters WHERE queue = ?1)
         FROM messages WHERE queue = ?1",
    )?;
    messages.query_row(params![queue, now.0], |row| {
        Ok(Depth { ready: row.get(0)?, delayed: row.get(1)?, in_flight: row.get(2)?, dead: row.get(3)? })
    })
}

pub(super) fn dead_letters(
    connection: &Connection,
    queue: &str,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let newest =
        "SELECT id, reason, died_at, body FROM dead_letters WHERE queue = ?1 ORDER BY id DESC LIMIT ?2";
    let dead_letter = |row: &Row<'_>| {
        let id: i64 = row.get(0)?;
        let died_at = Timestamp(row.get(2)?);
        Ok(DeadLetter { id: id.to_string(), reason: row.get(1)?, died_at, body: row.get(3)? })
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(newest)?.query_map(params![queue, limit], dead_letter)?.collect()
}

/// Puts dead letters back on the queue as new messages, oldest first; answers how many there were.
pub(super) fn redrive(
    connection: &Connection,
    queue: &str,
    ids: Option<&[String]>,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let ids = match ids {
        Some(ids) => {
            let mut ids: Vec<i64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            ids.sort_unstable();
            ids
        }
        None => connection
            .prepare_cached("SELECT id FROM dead_letters WHERE queue = ?1 ORDER BY id")?
            .query_map([queue], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
    };
    let mut redriven = 0;
    for id in ids {
        redriven += u64::from(redrive_one(connection, queue, id, now)?);
    }
    Ok(redriven)
}

fn redrive_one(connection: &Connection, queue: &str, id: i64, now: Timestamp) -> rusqlite::Result<bool> {
    let mut delete = connection
        .prepare_cached("DELETE FROM dead_letters WHERE id = ?1 AND queue = ?2 RETURNING site, body")?;
    let letter = delete.query_row(params![id, queue], |row| {
        Ok(Outgoing { group: row.get(0)?, body: row.get(1)?, delay: Duration::ZERO })
    });
    let Some(letter) = letter.optional()? else {
        return Ok(false);
    };
    insert(connection, queue, &letter, now, now)?;
    Ok(true)
}
