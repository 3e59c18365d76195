//! What names no issue, or none any more: it leaves the issues that it was on.

use std::time::Duration;

use standins::gitlab::{Fault, commit, merge_request};
use standins::jira::IssueView;

use crate::audit::{AUDIT, DISABLED, audited};
use crate::history::Old;
use crate::ordering::without_token;
use crate::stage::Stage;

/// Branches, merge requests, builds, deployments and flags on an issue.
fn counts(issue: &IssueView) -> [usize; 5] {
    [
        issue.branches.len(),
        issue.pull_requests.len(),
        issue.builds.len(),
        issue.deployments.len(),
        issue.flags.len(),
    ]
}

#[tokio::test]
async fn what_loses_its_last_key_leaves_the_issue() {
    Stage::through_every_connection(async |stage| {
        let shown = || counts(&stage.world.site.issue("PAY-8"));
        stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
        let request = stage.api.open_merge_request(merge_request("feature", "PAY-8 Feature")).await;
        stage.settled().await;
        let pipeline = stage.api.start_pipeline("feature").await;
        pipeline.status("running").await;
        let deployment = stage.api.deploy("review", "feature");
        deployment.status("running").await;
        let flag = stage.api.feature_flag("new-ui").describe("PAY-8");
        flag.toggle(true).await;
        stage.settled().await;
        assert_eq!(shown(), [1; 5]);

        request.update("Feature", "").await;
        stage.settled().await;
        assert_eq!(shown(), [0, 0, 1, 1, 1], "an edit changes no pipeline, so no event tells of it");

        pipeline.status("success").await;
        stage.settled().await;
        assert_eq!(shown(), [0, 0, 0, 1, 1]);

        flag.describe("nothing").toggle(false).await;
        stage.settled().await;
        assert_eq!(shown(), [0, 0, 0, 1, 0]);

        request.update("PAY-8 Feature", "").await;
        stage.api.start_pipeline("feature").await.status("success").await;
        stage.settled().await;
        assert_eq!(shown()[..3], [1, 1, 1], "and comes back with its key");
        assert_eq!(stage.dead().await, 0);
    })
    .await;
}

/// Without a token the hook of a pipeline names its merge request.
#[tokio::test]
async fn a_build_that_only_hooks_tell_of_does_not_run_for_ever() {
    let stage = without_token().await;
    stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
    let request = stage.api.open_merge_request(merge_request("feature", "PAY-8 Feature")).await;
    let pipeline = request.start_pipeline().await;
    pipeline.status("running").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-8").builds.len(), 1);
    request.update("Feature", "").await;
    stage.settled().await;
    pipeline.status("success").await;
    stage.settled().await;
    assert_eq!(counts(&stage.world.site.issue("PAY-8")), [0; 5]);
    stage.world.site.forget_calls();
    request.start_pipeline().await.status("success").await;
    stage.settled().await;
    assert_eq!(stage.world.site.recorded().len(), 0, "Jira never heard of it");
}

/// A commit that is gone says nothing of the keys that it had.
#[tokio::test]
async fn what_cannot_be_read_any_more_stays_on_its_issue() {
    let stage = Stage::new().await;
    stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
    stage.api.open_merge_request(merge_request("feature", "PAY-8 Feature")).await;
    let pipeline = stage.api.start_pipeline("feature").await;
    pipeline.status("running").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-8").builds.len(), 1);
    stage.world.gitlab.inject(Fault::status(404).on("/api/graphql"));
    stage.world.gitlab.inject(Fault::status(404).with("/merge_requests"));
    pipeline.status("success").await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-8").builds.len(), 1);
}

/// Hooks that did not come are made up for.
#[tokio::test]
async fn an_audit_takes_off_what_lost_its_last_key() {
    let old = Old::new(1).await;
    old.api.push("plain", [commit("no key").adds("a", 1)]).await;
    let request = old.api.open_merge_request(merge_request("plain", "PAY-39 Feature")).await;
    old.api.start_pipeline("plain").await.status("success").await;
    let flag = old.api.feature_flag("plain").describe("PAY-39");
    let link = old.link().await;
    old.ended(&link).await;
    let shown = || counts(&old.world.site.issue("PAY-39"));
    assert_eq!(shown(), [1, 1, 1, 0, 1]);
    old.history(&link, AUDIT).await;
    let before = audited(&old, &link).await;
    assert_eq!((shown(), &before["repaired"]), ([1, 1, 1, 0, 1], &0.into()), "{before}");

    old.world.gitlab.fail_hooks(DISABLED);
    request.update("Feature", "").await;
    let _flag = flag.describe("nothing");
    old.world.settled().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    old.history(&link, AUDIT).await;
    let audit = audited(&old, &link).await;
    assert_eq!(shown(), [0; 5]);
    assert_eq!((&audit["repaired"], &audit["missing"]), (&0.into(), &0.into()), "{audit}");
    assert_eq!(audit["keyed"].as_u64().unwrap() + 3, before["keyed"].as_u64().unwrap(), "{audit}");
}

/// What turns out to name no issue once it is read is known to whoever looks for it.
#[tokio::test]
async fn explain_tells_of_what_named_no_issue_when_it_was_read() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("feature", [commit("no key").adds("a", 1)]).await;
    stage.api.start_pipeline("feature").await.status("success").await;
    stage.api.deploy("production", "feature").status("success").await;
    let deliveries = held.take();
    drop(held);
    assert!(deliveries.len() >= 3);
    for delivery in &deliveries {
        delivery.send().await.unwrap();
    }
    stage.settled().await;
    for delivery in &deliveries {
        let key = delivery.header("webhook-id").unwrap().to_owned();
        assert!(stage.explains(&key, "no_issue_keys").await, "{}", delivery.json()["object_kind"]);
    }
}

/// The keys of a pipeline's branch are not the pipeline's own, and its merge requests only a token could tell of.
#[tokio::test]
async fn a_pipeline_that_only_its_branch_names_is_noted() {
    let stage = without_token().await;
    stage.api.push("PAY-9-ci", [commit("no key").adds("a", 1)]).await;
    stage.api.start_pipeline("PAY-9-ci").await.status("success").await;
    stage.settled().await;
    assert!(stage.world.site.issue("PAY-9").builds.is_empty());
    assert!(stage.explains("PAY-9", "token_missing").await);
}
