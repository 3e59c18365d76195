//! Late, repeated and reordered deliveries.

use std::time::Duration;

use gitlab_jira::operate::CredentialChoice;
use standins::gitlab::{Delivery, Role, Tier, commit, merge_request};

use crate::stage::Stage;

#[tokio::test]
async fn success_stays_when_running_comes_late_or_again() {
    let stage = Stage::new().await;
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    let held = stage.world.gitlab.hold_deliveries();
    let pipeline = stage.api.start_pipeline("PAY-1-x").await;
    pipeline.status("running").await;
    pipeline.status("success").await;
    let mut deliveries = held.take();
    let last = deliveries.pop().unwrap();
    assert!(last.send().await.unwrap().is_success());
    stage.settled().await;
    for delivery in deliveries.iter().rev().chain(deliveries.iter()) {
        assert!(delivery.send().await.unwrap().is_success());
        stage.settled().await;
        assert_eq!(stage.world.site.issue("PAY-1").builds[0].state, "successful");
    }
}

/// The same without a token: all that is known is what the hooks say.
#[tokio::test]
async fn success_stays_also_when_only_hooks_are_known() {
    let stage = without_token().await;
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    let held = stage.world.gitlab.hold_deliveries();
    let pipeline = stage.api.start_pipeline("PAY-1-x").await;
    pipeline.status("running").await;
    pipeline.status("success").await;
    let deliveries = held.take();
    for delivery in deliveries.iter().rev() {
        assert!(delivery.send().await.unwrap().is_success());
        stage.settled().await;
    }
    assert_eq!(stage.world.site.issue("PAY-1").builds[0].state, "successful");
}

#[tokio::test]
async fn a_deleted_branch_stays_deleted_under_a_delayed_push() {
    let stage = Stage::new().await;
    let (mut deliveries, deletion) = two_pushes_and_a_deletion(&stage).await;
    assert!(deliveries[0].send().await.unwrap().is_success());
    stage.settled().await;
    assert!(deletion.send().await.unwrap().is_success());
    stage.settled().await;
    assert!(stage.world.site.issue("PAY-2").branches.is_empty());
    deliveries.reverse();
    for delivery in deliveries {
        assert!(delivery.send().await.unwrap().is_success());
        stage.settled().await;
        assert!(stage.world.site.issue("PAY-2").branches.is_empty());
    }
    assert_eq!(stage.world.site.issue("PAY-2").commits.len(), 2, "its commits stay");
}

/// Without a token a deletion that names an unknown head may be of an earlier branch of that name, so it waits for the push
/// that made the head.
#[tokio::test]
async fn without_a_token_a_deletion_waits_for_the_push_before_it() {
    let stage = without_token().await;
    let (deliveries, deletion) = two_pushes_and_a_deletion(&stage).await;
    for delivery in [&deliveries[0], &deletion] {
        assert!(delivery.send().await.unwrap().is_success());
        stage.settled().await;
    }
    assert_eq!(stage.world.site.issue("PAY-2").branches.len(), 1);
    assert!(deliveries[1].send().await.unwrap().is_success());
    for _ in 0..100 {
        if stage.world.site.issue("PAY-2").branches.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for delivery in deliveries.iter().rev() {
        assert!(stage.world.site.issue("PAY-2").branches.is_empty());
        assert!(delivery.send().await.unwrap().is_success());
        stage.settled().await;
    }
    assert!(stage.world.site.issue("PAY-2").branches.is_empty());
    assert_eq!(stage.world.site.issue("PAY-2").commits.len(), 2, "its commits stay");
}

/// Deliveries of two pushes to `PAY-2-x`, and the one of its deletion.
async fn two_pushes_and_a_deletion(stage: &Stage) -> (Vec<Delivery>, Delivery) {
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    stage.api.push("PAY-2-x", [commit("PAY-2 y").adds("b", 1)]).await;
    stage.api.delete_branch("PAY-2-x").await;
    let mut deliveries = held.take();
    let deletion = deliveries.pop().unwrap();
    (deliveries, deletion)
}

#[tokio::test]
async fn a_branch_made_anew_comes_back() {
    let stage = Stage::new().await;
    stage.api.push("PAY-3-x", [commit("PAY-3 x").adds("a", 1)]).await;
    stage.api.delete_branch("PAY-3-x").await;
    stage.settled().await;
    assert!(stage.world.site.issue("PAY-3").branches.is_empty());
    stage.api.push("PAY-3-x", [commit("PAY-3 again").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-3").branches.len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_is_processed_once() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-4-x", [commit("PAY-4 x").adds("a", 1)]).await;
    let deliveries = held.take();
    deliveries[0].send().await.unwrap();
    stage.settled().await;
    stage.world.site.forget_calls();
    for _ in 0..3 {
        assert!(deliveries[0].send().await.unwrap().is_success());
    }
    stage.settled().await;
    assert_eq!(stage.world.site.recorded().len(), 0);
}

#[tokio::test]
async fn a_merged_merge_request_is_not_opened_by_an_old_delivery() {
    let stage = without_token().await;
    stage.api.push("PAY-5-x", [commit("PAY-5 x").adds("a", 1)]).await;
    let held = stage.world.gitlab.hold_deliveries();
    let request = stage.api.open_merge_request(merge_request("PAY-5-x", "PAY-5 MR")).await;
    stage.world.gitlab.advance(Duration::from_secs(5).try_into().unwrap());
    request.merge().await;
    let deliveries = held.take();
    for delivery in deliveries.iter().rev() {
        delivery.send().await.unwrap();
        stage.settled().await;
    }
    assert_eq!(stage.world.site.issue("PAY-5").pull_requests[0].status, "MERGED");
}

/// Without a token: dates of hooks are cut to seconds, and a push to the branch has a hook of the same second.
#[tokio::test]
async fn an_edited_title_stays_under_a_late_push_of_the_same_second() {
    let stage = without_token().await;
    stage.api.push("topic", [commit("Topic").adds("a", 1)]).await;
    let opened = stage.api.open_merge_request(merge_request("topic", "PAY-9 Topic")).await;
    stage.settled().await;
    let to_next_second = 1_100 - u64::from(stage.world.gitlab.now().millisecond());
    stage.world.gitlab.advance(Duration::from_millis(to_next_second).try_into().unwrap());
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("topic", [commit("More").adds("b", 1)]).await;
    opened.update("PAY-10 Topic", "").await;
    let mut deliveries = held.take();
    drop(held);
    deliveries.reverse();
    for delivery in deliveries {
        delivery.send().await.unwrap();
        stage.settled().await;
    }
    assert_eq!(stage.world.site.issue("PAY-10").pull_requests.len(), 1);
    assert!(stage.world.site.issue("PAY-9").pull_requests.is_empty());
}

#[tokio::test]
async fn many_events_of_one_batch_make_few_calls() {
    let stage = Stage::new().await;
    stage.settled().await;
    stage.world.site.forget_calls();
    let held = stage.world.gitlab.hold_deliveries();
    for number in 1..=20 {
        stage.api.push(&format!("PAY-{number}-x"), [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
    }
    for delivery in held.take() {
        assert!(delivery.send().await.unwrap().is_success());
    }
    stage.settled().await;
    for number in 1..=20 {
        assert_eq!(stage.world.site.issue(&format!("PAY-{number}")).branches.len(), 1);
    }
    let calls = stage.world.site.recorded().len();
    assert!(calls <= 6, "20 pushes in a burst made {calls} calls");
}

#[tokio::test]
async fn a_branch_deleted_and_made_anew_within_a_batch_is_there() {
    let stage = without_token().await;
    let held = stage.world.gitlab.hold_deliveries();
    stage.api.push("PAY-6-x", [commit("PAY-6 x").adds("a", 1)]).await;
    stage.api.delete_branch("PAY-6-x").await;
    stage.api.push("PAY-6-x", [commit("PAY-6 y").adds("b", 1)]).await;
    stage.api.push("PAY-6-x", [commit("PAY-6 z").adds("c", 1)]).await;
    for delivery in held.take() {
        assert!(delivery.send().await.unwrap().is_success());
        // The order of arrival is known to the millisecond.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.settled().await;
    let branches = stage.world.site.issue("PAY-6").branches;
    assert_eq!(branches.len(), 1);
    assert_eq!(branches[0].submitted["lastCommit"]["message"], "PAY-6 z");
}

#[tokio::test]
async fn what_names_only_other_projects_leaves_the_issue() {
    let stage = Stage::new().await;
    let payments = stage.world.gitlab.group("narrow", Tier::Premium);
    payments.grant(&stage.ada, Role::Owner);
    let mut command = stage.world.link_command("narrow", &stage.token, CredentialChoice::Auto);
    if let gitlab_jira::operate::Command::GroupLink(link) = &mut command {
        link.project_keys = vec!["PAY".to_owned()];
    }
    stage.command(command).await;
    let api = payments.project("api").acting_as(&stage.ada);
    api.push("feature", [commit("x").adds("a", 1)]).await;
    let request = api.open_merge_request(merge_request("feature", "PAY-9 Feature, OPS-1")).await;
    stage.settled().await;
    let pipeline = api.start_pipeline("feature").await;
    pipeline.status("running").await;
    stage.settled().await;
    let issue = || stage.world.site.issue("PAY-9");
    assert_eq!((issue().pull_requests.len(), issue().branches.len(), issue().builds.len()), (1, 1, 1));
    request.update("OPS-2 Feature", "").await;
    pipeline.status("success").await;
    stage.settled().await;
    assert_eq!((issue().pull_requests.len(), issue().branches.len(), issue().builds.len()), (0, 0, 0));
    let explained = stage
        .command(gitlab_jira::operate::Command::Explain { key: "OPS-2".to_owned(), project: None })
        .await;
    assert!(explained.to_string().contains("not_allowed"), "{explained}");
}

/// A link that keeps no token.
pub async fn without_token() -> Stage {
    let mut stage = Stage::new().await;
    let payments = stage.world.gitlab.group("plain", Tier::Premium);
    payments.grant(&stage.ada, Role::Owner);
    let command = stage.world.link_command("plain", &stage.token, CredentialChoice::None);
    stage.link = stage.command(command).await;
    stage.api = payments.project("api").acting_as(&stage.ada);
    stage.api.push("main", [commit("Start").adds("README.md", 1)]).await;
    stage.group = payments;
    stage.settled().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    stage
}

/// A flag's hook has no date: only when it first came in tells that one sent again is older than what followed it.
#[tokio::test]
async fn a_delivery_that_is_sent_again_is_as_old_as_when_it_first_came_in() {
    let stage = without_token().await;
    let held = stage.world.gitlab.hold_deliveries();
    // Jira does not have the second issue, so the first delivery is not remembered as done, and sent again is no repeat.
    let flag = stage.api.feature_flag("new-ui").describe("PAY-1 PAY-99999");
    flag.toggle(true).await;
    flag.toggle(false).await;
    let deliveries = held.take();
    for (number, enabled) in [(0, true), (1, false), (0, false)] {
        assert!(deliveries[number].send().await.unwrap().is_success());
        stage.settled().await;
        let flags = stage.world.site.issue("PAY-1").flags;
        assert_eq!(flags.iter().map(|flag| flag.enabled).collect::<Vec<_>>(), [enabled]);
    }
}
