//! The embedded queue: what every queue owes its callers, what the local pump needs besides, and what is still there
//! after `kill -9`.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod queue_contract;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use queue_contract::{expect_depth, message};
use shared::clock::{Clock, ScaledClock, SharedClock, SystemClock, Timestamp};
use shared::queue::embedded::{EmbeddedQueue, EmbeddedQueues, QueueFileError};
use shared::queue::{Depth, MAX_DELAY, Outgoing, Queue, RETENTION, Received};

/// Enough that a child is killed before, within and after a commit; few enough for every run of the suite.
const KILLS: u32 = 25;

/// Names the queues' file for the child that is to be killed.
const CHILD: &str = "QUEUE_TEST_CHILD";

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than anything here takes that is not stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A clock that stands still until it is moved; nobody sleeps by it.
#[derive(Debug)]
struct HandClock(AtomicI64);

impl HandClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(SystemClock.now().0)))
    }

    fn advance(&self, duration: Duration) {
        self.0.store(self.now().after(duration).0, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

fn memory(clock: SharedClock) -> Arc<EmbeddedQueue> {
    EmbeddedQueues::memory(clock).unwrap().queue("events")
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| message.body.as_str()).collect()
}

fn receipts(received: &[Received]) -> Vec<String> {
    received.iter().map(|message| message.receipt.clone()).collect()
}

#[tokio::test]
async fn the_oldest_message_is_known_while_it_is_not_done() {
    let clock = HandClock::new();
    let queue = memory(clock.clone());
    assert_eq!(queue.oldest_age().await.unwrap(), None);
    queue.send(vec![message("a", "first")]).await.unwrap();
    clock.advance(MINUTE);
    queue.send(vec![message("a", "second")]).await.unwrap();
    let taken = queue.receive(1, 10 * MINUTE, &HashSet::new()).await.unwrap();
    clock.advance(MINUTE);
    assert_eq!(queue.oldest_age().await.unwrap(), Some(2 * MINUTE));
    queue.delete(&[taken[0].receipt.clone()]).await.unwrap();
    assert_eq!(queue.oldest_age().await.unwrap(), Some(MINUTE));
}

#[tokio::test]
async fn sends_are_counted_by_state() {
    queue_contract::sends_are_counted_by_state(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn sends_may_be_many_and_large() {
    queue_contract::sends_may_be_many_and_large(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn dead_letters_say_why_and_when() {
    queue_contract::dead_letters_say_why_and_when(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn any_text_can_be_dead_lettered() {
    queue_contract::any_text_can_be_dead_lettered(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn dead_letters_can_be_listed_again() {
    queue_contract::dead_letters_can_be_listed_again(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn redriven_messages_are_ready_again() {
    queue_contract::redriven_messages_are_ready_again(&*memory(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn a_received_message_is_hidden_until_its_visibility_ends() {
    let clock = HandClock::new();
    let queue = memory(clock.clone());
    queue.send(vec![message("a", "1")]).await.unwrap();
    let first = queue.receive(10, MINUTE, &HashSet::new()).await.unwrap();
    assert_eq!((bodies(&first), first[0].receives), (vec!["1"], 1));
    assert!(queue.receive(10, MINUTE, &HashSet::new()).await.unwrap().is_empty());
    assert_eq!(queue.depth().await.unwrap(), Depth { in_flight: 1, ..Depth::default() });

    clock.advance(MINUTE);
    let second = queue.receive(10, MINUTE, &HashSet::new()).await.unwrap();
    assert_eq!((bodies(&second), second[0].receives), (vec!["1"], 2));
    queue.delete(&receipts(&second)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

#[tokio::test]
async fn the_receipt_of_an_earlier_delivery_does_nothing() {
    let clock = HandClock::new();
    let queue = memory(clock.clone());
    queue.send(vec![message("a", "1")]).await.unwrap();
    let first = queue.receive(1, MINUTE, &HashSet::new()).await.unwrap();
    clock.advance(MINUTE);
    let second = queue.receive(1, MINUTE, &HashSet::new()).await.unwrap();
    queue.delete(&receipts(&first)).await.unwrap();
    queue.release(&receipts(&first)).await.unwrap();
    queue.delete(&["nonsense".to_owned(), "7.1".to_owned()]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth { in_flight: 1, ..Depth::default() });

    // The latest one counts, even when the visibility has ended, as long as nobody else got the message.
    clock.advance(MINUTE);
    queue.delete(&receipts(&second)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());

    // Nor does a receipt reach the message that came after the one it was for.
    queue.send(vec![message("a", "2")]).await.unwrap();
    queue.receive(1, MINUTE, &HashSet::new()).await.unwrap();
    queue.delete(&receipts(&first)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth { in_flight: 1, ..Depth::default() });
}

#[tokio::test]
async fn a_released_message_is_visible_at_once() {
    let queue = memory(HandClock::new());
    queue.send(vec![message("a", "1")]).await.unwrap();
    let received = queue.receive(1, MINUTE, &HashSet::new()).await.unwrap();
    queue.release(&receipts(&received)).await.unwrap();
    assert_eq!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap()[0].receives, 2);
}

#[tokio::test]
async fn queues_of_one_file_keep_apart() {
    let queues = EmbeddedQueues::memory(Arc::new(SystemClock)).unwrap();
    let (events, backfill) = (queues.queue("events"), queues.queue("backfill"));
    events.send(vec![message("a", "event")]).await.unwrap();
    backfill.send_to_dead_letter_queue(Outgoing::new("", "plan"), "reason".to_owned()).await.unwrap();
    assert!(backfill.receive(10, MINUTE, &HashSet::new()).await.unwrap().is_empty());
    assert!(events.dead_letters(10).await.unwrap().is_empty());
    let id = backfill.dead_letters(10).await.unwrap().remove(0).id;
    assert_eq!(events.redrive(Some(&[id])).await.unwrap(), 0);
    let received = events.receive(10, MINUTE, &HashSet::new()).await.unwrap();
    backfill.delete(&receipts(&received)).await.unwrap();
    assert_eq!(events.depth().await.unwrap().in_flight, 1);
}

#[tokio::test]
async fn a_busy_group_leaves_room_for_the_others() {
    let queue = memory(Arc::new(SystemClock));
    let busy = (0..500).map(|number| message("busy", &format!("busy {number:03}")));
    queue.send(busy.collect()).await.unwrap();
    queue
        .send(vec![message("quiet", "quiet"), message("other", "other 1"), message("other", "other 2")])
        .await
        .unwrap();

    let received = queue.receive(10, MINUTE, &HashSet::new()).await.unwrap();
    let texts: HashSet<_> = bodies(&received).into_iter().collect();
    assert_eq!(texts.len(), 10);
    assert!(
        texts.is_superset(&HashSet::from(["quiet", "other 1", "other 2", "busy 000", "busy 006"])),
        "{texts:?}"
    );
}

#[tokio::test]
async fn groups_take_turns_when_not_all_fit() {
    let queue = memory(Arc::new(SystemClock));
    let groups = (0..20).map(|group| format!("site {group:02}"));
    let all =
        groups.flat_map(|group| (0..10).map(move |number| message(&group, &format!("{group}/{number}"))));
    queue.send(all.collect()).await.unwrap();
    let mut served = BTreeMap::<String, u32>::new();
    for _ in 0..8 {
        for body in bodies(&queue.receive(5, MINUTE, &HashSet::new()).await.unwrap()) {
            *served.entry(body.split_once('/').unwrap().0.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(served.len(), 20);
    assert!(served.values().all(|count| *count == 2), "{served:?}");
}

#[tokio::test]
async fn a_message_delivered_too_often_becomes_a_dead_letter() {
    let clock = HandClock::new();
    let queue = memory(clock.clone());
    queue.send(vec![message("a", "poison")]).await.unwrap();
    for delivery in 1..=100 {
        assert_eq!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap()[0].receives, delivery);
        clock.advance(MINUTE);
    }
    assert!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap().is_empty());
    let letters = queue.dead_letters(10).await.unwrap();
    assert_eq!((letters[0].body.as_str(), letters[0].died_at), ("poison", clock.now()));
    assert!(letters[0].reason.contains("100 times"), "{}", letters[0].reason);

    assert_eq!(queue.redrive(None).await.unwrap(), 1);
    assert_eq!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap()[0].receives, 1);
}

#[tokio::test]
async fn a_delay_ends_by_the_clock_and_wakes_the_waiting() {
    let clock = Arc::new(ScaledClock::new(3_000));
    let queue = memory(clock.clone());
    let sent_at = clock.now();
    // A second too long, which is cut.
    let delayed = Outgoing { delay: MAX_DELAY + Duration::from_secs(1), ..message("a", "later") };
    queue.send(vec![delayed]).await.unwrap();
    assert!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap().is_empty());
    let started = Instant::now();
    tokio::time::timeout(TIMEOUT, queue.wait_for_messages(&HashSet::new())).await.unwrap().unwrap();
    assert!(clock.now().since(sent_at) >= MAX_DELAY);
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!(bodies(&queue.receive(1, MINUTE, &HashSet::new()).await.unwrap()), ["later"]);

    // The end of a visibility wakes as well.
    tokio::time::timeout(TIMEOUT, queue.wait_for_messages(&HashSet::new())).await.unwrap().unwrap();
    assert_eq!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap()[0].receives, 2);
}

#[tokio::test]
async fn an_idle_pump_sleeps_until_a_message_is_sent() {
    let queue = memory(Arc::new(SystemClock));
    queue.send(vec![Outgoing { delay: MAX_DELAY, ..message("a", "later") }]).await.unwrap();
    let mut waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.wait_for_messages(&HashSet::new()).await }
    });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    queue.send(vec![message("a", "now")]).await.unwrap();
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_sender_that_goes_away_still_wakes_the_pump() {
    let queue = memory(Arc::new(SystemClock));
    let mut waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.wait_for_messages(&HashSet::new()).await }
    });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    // Polled once: the messages are on their way, and nobody waits for the answer.
    let _ = queue.send(vec![message("a", "now")]).now_or_never();
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn messages_and_dead_letters_go_after_fourteen_days() {
    let clock = HandClock::new();
    let queue = memory(clock.clone());
    queue.send(vec![message("a", "old")]).await.unwrap();
    queue.send_to_dead_letter_queue(Outgoing::new("", "old"), "reason".to_owned()).await.unwrap();
    clock.advance(RETENTION);
    queue.send(vec![message("a", "new")]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth { ready: 2, dead: 1, ..Depth::default() });
    clock.advance(Duration::from_millis(1));
    assert_eq!(bodies(&queue.receive(10, MINUTE, &HashSet::new()).await.unwrap()), ["new"]);
    assert_eq!(queue.depth().await.unwrap(), Depth { in_flight: 1, ..Depth::default() });
}

#[tokio::test]
async fn what_was_in_flight_is_delivered_again_when_the_file_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let queues = EmbeddedQueues::open(&path, Arc::new(SystemClock)).unwrap();
    let queue = queues.queue("events");
    queue.send(vec![message("a", "1"), message("a", "2")]).await.unwrap();
    queue.send(vec![Outgoing { delay: MAX_DELAY, ..message("a", "3") }]).await.unwrap();
    assert_eq!(queue.receive(1, MINUTE, &HashSet::new()).await.unwrap().len(), 1);
    drop((queues, queue));

    let queue = EmbeddedQueues::open(&path, Arc::new(SystemClock)).unwrap().queue("events");
    assert_eq!(queue.depth().await.unwrap(), Depth { ready: 2, delayed: 1, ..Depth::default() });
    let received = queue.receive(10, MINUTE, &HashSet::new()).await.unwrap();
    assert_eq!(received.iter().map(|message| message.receives).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn what_is_in_flight_at_each_of_many_ends_waits_longer_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let clock = HandClock::new();
    let open = || EmbeddedQueues::open(&path, clock.clone()).unwrap().queue("events");
    open().send(vec![message("a", "poison")]).await.unwrap();
    let mut pauses = Vec::new();
    for _ in 0..32 {
        let queue = open();
        let mut pause = 0;
        while queue.receive(1, MINUTE, &HashSet::new()).await.unwrap().is_empty() {
            clock.advance(Duration::from_secs(1));
            pause += 1;
        }
        pauses.push(pause);
        queue.send(vec![message("b", "another")]).await.unwrap();
        let received = queue.receive(1, MINUTE, &HashSet::new()).await.unwrap();
        assert_eq!(bodies(&received), ["another"], "others go on");
        queue.delete(&receipts(&received)).await.unwrap();
    }
    assert_eq!(pauses[..21], [0; 21]);
    assert_eq!(pauses[21..], [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
}

#[tokio::test]
async fn a_file_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let _queues = EmbeddedQueues::open(&path, Arc::new(SystemClock)).unwrap();
    let again = EmbeddedQueues::open(&path, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(again, QueueFileError::InUse(_)), "{again:?}");
}

#[tokio::test]
async fn a_file_of_a_newer_release_or_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer.db");
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 1000).unwrap();
    let refused = EmbeddedQueues::open(&newer, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(refused, QueueFileError::Newer(_)), "{refused:?}");

    let other = folder.path().join("other.db");
    std::fs::write(&other, "not a database; ".repeat(100)).unwrap();
    let refused = EmbeddedQueues::open(&other, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(refused, QueueFileError::Open { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_sends_all_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let queue = EmbeddedQueues::open(&folder.path().join("queues.db"), Arc::new(SystemClock))
        .unwrap()
        .queue("events");
    let senders: Vec<_> = (0..64)
        .map(|sender| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for number in 0..20 {
                    queue.send(vec![message("a", &format!("{sender}/{number}"))]).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let received = queue.receive(2_000, MINUTE, &HashSet::new()).await.unwrap();
    assert_eq!(bodies(&received).into_iter().collect::<HashSet<_>>().len(), 64 * 20);
}

/// Sends numbered messages from several tasks, and prints each number after it was acknowledged.
async fn send_forever(queue: Arc<EmbeddedQueue>, sender: u32) {
    for number in 0_u64.. {
        let body = format!("{sender}/{number}");
        queue.send(vec![message(&format!("site {sender}"), &body)]).await.unwrap();
        println!("\nSENT {body}");
    }
}

/// Takes messages and deletes half of them, and prints before and after each deletion.
async fn consume_forever(queue: Arc<EmbeddedQueue>) {
    loop {
        queue.wait_for_messages(&HashSet::new()).await.unwrap();
        for message in queue.receive(4, MINUTE, &HashSet::new()).await.unwrap().iter().step_by(2) {
            println!("\nDELETING {}", message.body);
            queue.delete(std::slice::from_ref(&message.receipt)).await.unwrap();
            println!("\nDELETED {}", message.body);
        }
    }
}

/// Not a test of its own: what `acknowledged_messages_survive_kill_9` runs and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_sends_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let queue = EmbeddedQueues::open(Path::new(&path), Arc::new(SystemClock)).unwrap().queue("events");
    for sender in 0..4 {
        tokio::spawn(send_forever(Arc::clone(&queue), sender));
    }
    consume_forever(queue).await;
}

/// What a child had printed when it was killed, `after` its first word.
fn run_and_kill(path: &Path, after: Duration) -> BTreeMap<String, HashSet<String>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_sends_until_it_is_killed", "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BTreeMap::<String, HashSet<String>>::new();
    let mut kill_at = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((verb @ ("SENT" | "DELETING" | "DELETED"), body)) = line.split_once(' ') else {
            continue;
        };
        said.entry(verb.to_owned()).or_default().insert(body.to_owned());
        if Instant::now() >= *kill_at.get_or_insert_with(|| Instant::now() + after) {
            // SIGKILL; what the child has printed until then is still read from the pipe.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    said
}

#[tokio::test]
async fn acknowledged_messages_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let (mut sent, mut redelivered) = (0, 0);
    for round in 0..KILLS {
        // Unequal steps of up to 0.2 s, so that no two children die at the same point.
        let after = Duration::from_micros(u64::from(round * 7919 % KILLS) * 8_000 + u64::from(round * 137));
        let mut said = run_and_kill(&path, after);
        let mut of = |verb: &str| said.remove(verb).unwrap_or_default();
        let (acknowledged, deleting, deleted) = (of("SENT"), of("DELETING"), of("DELETED"));

        // Everything is visible at once, and is taken away for the next round.
        let queue = EmbeddedQueues::open(&path, Arc::new(SystemClock)).unwrap().queue("events");
        let received = queue.receive(usize::MAX, MINUTE, &HashSet::new()).await.unwrap();
        queue.delete(&receipts(&received)).await.unwrap();
        expect_depth(&*queue, Depth::default()).await;

        let found: HashSet<_> = received.iter().map(|message| message.body.clone()).collect();
        let lost: Vec<_> = acknowledged.difference(&found).filter(|body| !deleting.contains(*body)).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
        let revived: Vec<_> = deleted.intersection(&found).collect();
        assert!(revived.is_empty(), "round {round} brought back {revived:?}");
        sent += acknowledged.len();
        redelivered += received.iter().filter(|message| message.receives > 1).count();
    }
    assert!(redelivered > 0, "no child died with a message in flight, so nothing was proven");
    eprintln!("{KILLS} kills, {sent} acknowledged messages, none lost, {redelivered} delivered again");
}
