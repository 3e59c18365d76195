//! Commits that a force push replaced: they stay on their issues, or leave them where the installation wants that and
//! GitLab has them on no branch and no tag.

use std::sync::Arc;

use gitlab_jira::demo::world::World;
use shared::clock::SystemClock;
use standins::gitlab::{Fault, Version, commit};

use crate::stage::Stage;

const REMOVE: (&str, &str) = ("REPLACED_COMMITS", "remove");

async fn stage(variables: &[(&str, &str)]) -> Stage {
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), variables).await.unwrap();
    world.install().await.unwrap();
    Stage::linked(world).await
}

impl Stage {
    /// Messages of the commits on an issue, in alphabetical order.
    fn commits_on(&self, issue: &str) -> Vec<String> {
        let mut messages: Vec<_> =
            self.world.site.issue(issue).commits.into_iter().map(|commit| commit.message).collect();
        messages.sort_unstable();
        messages
    }
}

#[tokio::test]
async fn a_replaced_commit_stays_unless_asked_otherwise() {
    let stage = stage(&[]).await;
    stage.api.push("PAY-1-x", [commit("PAY-1 First").adds("a", 1)]).await;
    stage.settled().await;
    stage.api.force_push("PAY-1-x", "main", [commit("PAY-1 Second").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.commits_on("PAY-1"), ["PAY-1 First", "PAY-1 Second"]);
    assert_eq!(stage.world.gitlab.calls_to("GET /projects/:id/repository/commits/:sha/refs"), 0);
}

#[tokio::test]
async fn a_replaced_commit_leaves_its_issue_and_comes_back_with_its_branch() {
    let stage = stage(&[REMOVE]).await;
    let pushed = stage.api.push("PAY-1-x", [commit("PAY-1 First").adds("a", 1), commit("PAY-1 Both")]).await;
    stage.settled().await;
    stage.api.force_push("keep", &pushed.commits[0], []).await;
    stage.api.force_push("PAY-1-x", "main", [commit("PAY-1 Second").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.commits_on("PAY-1"), ["PAY-1 First", "PAY-1 Second"], "one is on another branch");
    stage.api.force_push("PAY-1-x", &pushed.commits[1], []).await;
    stage.settled().await;
    assert_eq!(stage.commits_on("PAY-1"), ["PAY-1 Both", "PAY-1 First"]);
}

#[tokio::test]
async fn a_replaced_commit_does_not_come_back_with_its_late_push() {
    let stage = stage(&[REMOVE]).await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-1-x", [commit("PAY-1 First").adds("a", 1)]).await;
    stage.api.force_push("PAY-1-x", "main", [commit("PAY-1 Second").adds("a", 1)]).await;
    let [first, second] = held.take().try_into().unwrap();
    drop(held);
    second.send().await.unwrap();
    stage.settled().await;
    first.send().await.unwrap();
    stage.settled().await;
    assert_eq!(stage.commits_on("PAY-1"), ["PAY-1 Second"]);
}

#[tokio::test]
async fn a_commit_that_gitlab_does_not_show_stays() {
    let stage = stage(&[REMOVE]).await;
    stage.api.push("PAY-1-x", [commit("PAY-1 First").adds("a", 1)]).await;
    stage.settled().await;
    stage.world.gitlab.inject(Fault::status(404).with("/refs").times(100));
    stage.api.force_push("PAY-1-x", "main", [commit("PAY-1 Second").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.commits_on("PAY-1"), ["PAY-1 First", "PAY-1 Second"]);
}
