//! Learning which projects Jira has, after the entities were sent and before their messages are settled.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::sync::apply::SETTLING_TIME;
use crate::sync::apply::record::learn_projects;

/// Commits with the keys of so many projects that Jira does not know.
fn unknown(projects: usize) -> Vec<Submitted> {
    (0..projects)
        .map(|number| {
            let key = format!("{}-1", ["UTF", "SHA", "ISO", "RFC", "CVE"][number]);
            let entity = source(42).commit(&raw_commit(number, &key), KNOWN_AT);
            Submitted {
                unknown_keys: vec![key],
                ..Submitted::new(PendingEntity::from(entity), SubmitOutcome::UnknownIssues)
            }
        })
        .collect()
}

async fn learn(world: &World, projects: usize, deadline: Deadline) {
    let (site, time) = (world.site().await, (world.clock.now(), deadline));
    let submitted = unknown(projects);
    let learned = learn_projects(&world.store, &site, &world.client, &submitted, time);
    learned.await.expect("the store works");
}

/// Jira answers as soon as it was asked for all of them.
#[tokio::test]
async fn projects_are_asked_for_side_by_side() {
    let asked = AtomicUsize::new(0);
    let world = World::new(move |_| {
        asked.fetch_add(1, Ordering::SeqCst);
        let began = std::time::Instant::now();
        while asked.load(Ordering::SeqCst) < 5 {
            if began.elapsed() > Duration::from_secs(4) {
                return Response::new(503, "");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Response::json(200, &json!({}))
    })
    .await;
    learn(&world, 5, Deadline::after(Duration::from_secs(60))).await;
    assert_eq!(world.site().await.known_projects, ["CVE", "ISO", "RFC", "SHA", "UTF"]);
}

/// What was learned in time is kept, and nothing waits for the rest.
#[tokio::test]
async fn messages_do_not_wait_for_a_project_that_jira_does_not_tell_of() {
    let world = World::new(|request| {
        let answer = Response::new(404, "");
        if request.target.ends_with("/UTF") { answer } else { answer.after(Duration::from_secs(20)) }
    })
    .await;
    let deadline = Deadline::after(SETTLING_TIME + Duration::from_secs(1));
    learn(&world, 2, deadline).await;
    assert!(deadline.leaves(SETTLING_TIME / 2), "there is time to settle");
    let now = world.clock.now();
    assert_eq!(world.site().await.suppressed_projects(now), ["UTF"]);
}

/// It may be made meanwhile.
#[tokio::test]
async fn a_project_that_jira_does_not_have_is_asked_for_again_after_a_day() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let world = World::new(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Response::new(404, ""),
        _ => Response::json(200, &json!({})),
    })
    .await;
    let deadline = || Deadline::after(Duration::from_secs(600));
    learn(&world, 1, deadline()).await;
    let almost = world.in_seconds(24 * 3600 - 1);
    assert_eq!(world.site().await.suppressed_projects(almost), ["UTF"]);
    learn(&world, 1, deadline()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "not before");
    world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    assert!(world.site().await.suppressed_projects(world.clock.now()).is_empty());
    learn(&world, 1, deadline()).await;
    assert_eq!(
        (asked.load(Ordering::SeqCst), world.site().await.known_projects),
        (2, vec!["UTF".to_owned()])
    );
}
