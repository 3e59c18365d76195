//! GitLab's listings are read to their end, or to a bound that `explain` names.

use gitlab_jira::operate::Command;
use standins::gitlab::{commit, merge_request};

use crate::ordering::without_token;
use crate::stage::Stage;

/// One more than a page has.
const MANY: usize = 101;

#[tokio::test]
async fn a_pipeline_is_on_the_issue_of_its_oldest_merge_request() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
    stage.api.open_merge_request(merge_request("feature", "PAY-8 Feature")).await.close().await;
    for _ in 0..MANY {
        stage.api.open_merge_request(merge_request("feature", "Again")).await.close().await;
    }
    drop(held.take());
    drop(held);
    stage.api.start_pipeline("feature").await.status("success").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-8").builds.len(), 1);
}

#[tokio::test]
async fn an_old_deployment_brings_what_was_new_when_it_was_made() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("main", [commit("PAY-1 first").adds("a", 1)]).await;
    stage.api.deploy("production", "main").status("success").await;
    stage.api.push("main", [commit("PAY-2 second").adds("b", 1)]).await;
    drop(held.take());
    stage.api.deploy("production", "main").status("success").await;
    let late = held.take();
    for _ in 0..MANY {
        stage.api.deploy("production", "main").status("success").await;
    }
    drop(held.take());
    drop(held);
    for delivery in late {
        delivery.send().await.unwrap();
    }
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-2").deployments.len(), 1);
    assert!(stage.world.site.issue("PAY-1").deployments.is_empty(), "it was there before");
}

#[tokio::test]
async fn a_deployment_of_many_commits_is_read_to_a_bound_that_explain_names() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    let commits = (0..2_001).map(|number| commit(&format!("part {number}")).adds("a", 1));
    stage.api.push("main", commits).await;
    stage.api.push("main", [commit("PAY-3 last").adds("b", 1)]).await;
    drop(held.take());
    drop(held);
    stage.api.deploy("production", "main").status("success").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-3").deployments.len(), 1);
    assert!(stage.explains("PAY-3", "commits_left_out").await);
}

/// A hook lists 20 commits of a push.
#[tokio::test]
async fn commits_that_only_a_token_could_tell_of_are_named() {
    let stage = without_token().await;
    let commits: Vec<_> = (1..=20).map(|number| commit(&format!("PAY-{number} part")).adds("a", 1)).collect();
    stage.api.push("few", commits.clone()).await;
    stage.api.push("main", commits.into_iter().chain([commit("PAY-21 last").adds("b", 1)])).await;
    assert!(stage.explains("PAY-21", "commits_left_out").await);
    let few = stage.command(Command::Explain { key: "PAY-1".to_owned(), project: None }).await;
    assert!(!few.to_string().contains("few"), "a hook lists all of these: {few}");
}
