//! Workers that end or meet between Jira's answer and the ledger.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tokio::sync::Notify;

use super::*;
use crate::queue::disposition::Disposition;
use crate::sync::apply::{AllowedKeys, Applied, Apply, Origin};
use crate::sync::transform::branch_id;

impl World {
    /// All that a worker does with a version, read at `known_at`.
    async fn apply(&self, entity: Entity, known_at: Timestamp) -> Applied {
        let apply =
            Apply { store: self.store.clone(), clock: self.clock.clone(), operation: Operation::Live };
        let mut pending = PendingEntity::from(entity);
        (pending.known_at, pending.entity.version.known_at) = (known_at, known_at);
        pending.origins = vec![Origin { index: 0, trace: ulid::Ulid::nil(), held_for: Duration::ZERO }];
        let (deadline, allowed) = (Deadline::after(Duration::from_secs(120)), AllowedKeys::default());
        apply
            .apply(self.site().await, &self.client, &allowed, deadline, vec![pending])
            .await
            .expect("the store works")
    }
}

/// A Jira whose first answer waits until the test says so, that it has got the request, and how to say so.
async fn slow_first() -> (World, Arc<Notify>, mpsc::Sender<()>) {
    let (asked, is_first) = (Arc::new(Notify::new()), AtomicBool::new(true));
    let (answer, wait) = mpsc::channel();
    let (notify, wait) = (asked.clone(), Mutex::new(wait));
    let world = World::new(move |request| {
        if is_first.swap(false, Ordering::SeqCst) {
            notify.notify_one();
            wait.lock().expect("no panic").recv().ok();
        }
        if request.line().starts_with("DELETE") { Response::new(202, "") } else { accepted() }
    })
    .await;
    (world, asked, answer)
}

fn gone_without_keys(name: &str) -> Entity {
    let source = source(42);
    source.deleted(source.branch_key(name), "gone".to_owned(), IssueKeys::default(), KNOWN_AT)
}

/// The branch's own name has no key, so its deletion alone does not tell whether Jira has it.
#[tokio::test]
async fn what_a_worker_sent_before_it_was_killed_is_deleted() {
    let (world, asked, answer) = slow_first().await;
    tokio::select! {
        _ = world.apply(branch("feature"), KNOWN_AT) => panic!("not killed"),
        () = asked.notified() => {}
    }
    answer.send(()).expect("Jira waits");
    world.apply(gone_without_keys("feature"), KNOWN_AT.after(Duration::from_secs(1))).await;
    let path = format!("DELETE /rest/devinfo/0.10/repository/42/branch/{}", branch_id("feature"));
    let lines = world.server.lines();
    assert!(lines.iter().any(|line| line.starts_with(&path)), "{lines:?}");

    world.apply(gone_without_keys("feature"), KNOWN_AT.after(Duration::from_secs(2))).await;
    world.apply(gone_without_keys("another"), KNOWN_AT).await;
    assert_eq!(world.server.lines(), lines, "Jira has neither of them");
}

/// Jira keeps what a worker sends whose clock runs ahead, though another one has read something newer meanwhile.
#[tokio::test]
async fn a_worker_that_another_one_met_reads_again() {
    let (world, asked, answer) = slow_first().await;
    let other = async {
        asked.notified().await;
        let applied = world.apply(branch("PAY-1-x"), KNOWN_AT.after(Duration::from_secs(1))).await;
        answer.send(()).expect("Jira waits");
        applied
    };
    let ahead = world.apply(branch("PAY-1-x"), KNOWN_AT.after(Duration::from_secs(3)));
    let (ahead, other) = tokio::join!(ahead, other);
    let waits = |applied: &Applied| {
        applied.dispositions.iter().any(|(_, disposition)| matches!(disposition, Disposition::Wait { .. }))
    };
    assert!(waits(&ahead), "{ahead:?}");
    assert!(!waits(&other), "{other:?}");

    let after = world.apply(branch("PAY-1-x"), KNOWN_AT.after(Duration::from_secs(4))).await;
    assert!(!waits(&after), "nobody was there meanwhile: {after:?}");
}
