//! Jira and GitLab failing, backoff, and recovery.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use housekeeping::{Housekeeping, UnhealthyCounts};
use serde_json::Value;
use shared::clock::ScaledClock;
use standins::gitlab::{Fault, Role, Tier, Version, commit};
use standins::jira::{Api, FailureRule};

use crate::stage::Stage;

/// Time runs 2,000 times as fast: 15 minutes take half a second.
async fn fast() -> Stage {
    faster(2_000).await
}

async fn faster(factor: u32) -> Stage {
    let world = World::start(Version::V17_3, Arc::new(ScaledClock::new(factor))).await.unwrap();
    // The stand-ins use the machine's time, so nothing that is signed with a time can be used: no Connect, no
    // signed hooks.
    world.add_oauth_credentials().await.unwrap();
    Stage::linked(world).await
}

async fn eventually(holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it happens in time");
}

#[tokio::test]
async fn a_backoff_of_six_hours_dead_letters_nothing() {
    let stage = fast().await;
    let six_hours = FailureRule::rate_limit("jira-quota-tenant-based", 6 * 3600).times(1);
    stage.world.site.fail(six_hours);
    for number in 1..=10 {
        stage.api.push(&format!("PAY-{number}-x"), [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
    }
    let site = stage.world.site.clone();
    eventually(|| (1..=10).all(|number| !site.issue(&format!("PAY-{number}")).branches.is_empty())).await;
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_burst_limit_backs_off_one_api_and_the_others_go_on() {
    let stage = fast().await;
    stage.world.site.fail(FailureRule::rate_limit("jira-burst-based", 3600).on(Api::Builds).times(1));
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.api.start_pipeline("PAY-1-x").await.status("success").await;
    let site = stage.world.site.clone();
    eventually(|| !site.issue("PAY-1").branches.is_empty()).await;
    eventually(|| !site.issue("PAY-1").builds.is_empty()).await;
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn server_errors_are_retried() {
    let stage = fast().await;
    stage.world.site.fail(FailureRule::status(500).times(3));
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    let site = stage.world.site.clone();
    eventually(|| !site.issue("PAY-2").branches.is_empty()).await;
}

#[tokio::test]
async fn a_suspended_site_holds_its_work_for_days() {
    let stage = faster(20_000).await;
    stage.world.site.suspend();
    stage.api.push("PAY-3-x", [commit("PAY-3 x").adds("a", 1)]).await;
    // Three days of this clock.
    tokio::time::sleep(Duration::from_secs(13)).await;
    let sites = stage.command(Command::SiteList).await;
    assert_eq!(sites["sites"][0]["condition"], "suspended", "{sites}");
    let housekeeping = Housekeeping { store: stage.world.local.operator.store.clone() };
    assert_eq!(housekeeping.run().await.unwrap(), UnhealthyCounts { sites: 1, links: 0 });
    // What comes meanwhile waits before anything else is done with it.
    stage.api.push("PAY-4-x", [commit("PAY-4 x").adds("a", 1)]).await;
    let explained =
        stage.command(Command::Explain { key: "PAY-4".to_owned(), project: None }).await.to_string();
    assert!(explained.contains("it may be among the messages"), "{explained}");
    assert!(!explained.contains("Nothing is known"), "{explained}");
    stage.world.site.resume();
    let site = stage.world.site.clone();
    eventually(|| !site.issue("PAY-3").branches.is_empty()).await;
    assert_eq!(stage.dead().await, 0);
    assert_eq!(housekeeping.run().await.unwrap(), UnhealthyCounts::default());
}

#[tokio::test]
async fn one_bad_entity_does_not_hold_up_the_others() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    let mut bad = String::new();
    for number in 1..=9 {
        let pushed = stage
            .api
            .push(&format!("PAY-{number}-x"), [commit(&format!("PAY-{number} x")).adds("a", 1)])
            .await;
        if number == 5 {
            bad = pushed.after;
        }
    }
    stage.world.site.fail(FailureRule::refuse_entity(&bad, "this one is broken"));
    for delivery in held.take() {
        delivery.send().await.unwrap();
    }
    stage.settled().await;
    for number in (1..=9).filter(|number| *number != 5) {
        assert_eq!(stage.world.site.issue(&format!("PAY-{number}")).commits.len(), 1, "PAY-{number}");
    }
    assert!(stage.world.site.issue("PAY-5").commits.is_empty());
    let explained = stage.command(Command::Explain { key: "PAY-5".to_owned(), project: None }).await;
    assert!(explained.to_string().contains("this one is broken"), "{explained}");
}

/// The dead letters of the events queue.
async fn dead_letters(stage: &Stage) -> Value {
    stage.command(Command::DlqList { limit: 100 }).await
}

/// It stays with Jira's words, and once Jira takes it both ways bring it: `dlq redrive`, and GitLab's *Resend*, which would be
/// dropped as a repeat if the delivery counted as done.
#[tokio::test]
async fn what_jira_refused_arrives_when_it_is_sent_again() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    for key in ["PAY-1", "PAY-2"] {
        let pushed = stage.api.push(&format!("{key}-x"), [commit(&format!("{key} x")).adds("a", 1)]).await;
        stage.world.site.fail(FailureRule::refuse_entity(&pushed.after, "this one is broken"));
    }
    let deliveries = held.take();
    for delivery in &deliveries {
        assert_eq!(delivery.send().await.unwrap(), 200);
    }
    stage.settled().await;
    let dead = dead_letters(&stage).await;
    assert_eq!(dead["dead"], 2, "{dead}");
    assert!(dead.to_string().contains("this one is broken"), "{dead}");

    stage.world.site.clear_failures();
    assert_eq!(deliveries[1].send().await.unwrap(), 200);
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-2").commits.len(), 1, "GitLab sent it again");
    assert!(stage.world.site.issue("PAY-1").commits.is_empty());
    stage.command(Command::DlqRedrive { ids: Vec::new() }).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-1").commits.len(), 1, "it was redriven");
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn a_jira_that_refuses_everything_gets_all_of_it_later() {
    let stage = Stage::new().await;
    let held = stage.world.gitlab.hold_deliveries();
    for number in 1..=50 {
        stage.api.push(&format!("PAY-{number}-x"), [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
    }
    stage.world.site.fail(FailureRule::status(400));
    for delivery in held.take() {
        assert_eq!(delivery.send().await.unwrap(), 200);
    }
    stage.settled().await;
    assert_eq!(stage.dead().await, 50);
    stage.world.site.clear_failures();
    stage.command(Command::DlqRedrive { ids: Vec::new() }).await;
    stage.settled().await;
    for number in 1..=50 {
        assert_eq!(stage.world.site.issue(&format!("PAY-{number}")).commits.len(), 1, "PAY-{number}");
    }
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn gitlab_out_of_reach_is_retried_and_in_the_end_the_payload_alone_is_sent() {
    let stage = fast().await;
    stage.settled().await;
    stage.world.gitlab.inject(Fault::status(503).on("/projects"));
    stage.api.push("PAY-6-x", [commit("PAY-6 x").adds("a", 1)]).await;
    let site = stage.world.site.clone();
    eventually(|| !site.issue("PAY-6").branches.is_empty()).await;
    assert_eq!(stage.dead().await, 0);
}

#[tokio::test]
async fn gitlabs_rate_limit_is_waited_for() {
    let stage = fast().await;
    stage.settled().await;
    let limit = Fault::status(429).retry_after(Duration::from_secs(600)).on("/projects").times(1);
    stage.world.gitlab.inject(limit);
    stage.api.push("PAY-7-x", [commit("PAY-7 x").adds("a", 1)]).await;
    let site = stage.world.site.clone();
    eventually(|| !site.issue("PAY-7").branches.is_empty()).await;
    let author = site.issue("PAY-7").commits[0].submitted["author"]["email"].clone();
    assert_eq!(author, "ada@example.com", "it was read, not taken from the hook");
}

#[tokio::test]
async fn a_token_that_no_longer_sees_the_group_does_not_put_its_projects_outside() {
    let stage = Stage::new().await;
    let group = stage.world.gitlab.group("private", Tier::Premium);
    let (grace, alan) = (stage.world.gitlab.user("grace"), stage.world.gitlab.user("alan"));
    group.grant(&grace, Role::Owner);
    group.grant(&alan, Role::Owner);
    let command = stage.world.link_command("private", &grace.token(&["api"]), CredentialChoice::Given);
    stage.command(command).await;
    let api = group.project("api").acting_as(&alan);
    group.remove_member(&grace).await;
    api.push("PAY-8-x", [commit("PAY-8 x").adds("a", 1)]).await;
    stage.settled().await;
    assert_eq!(stage.world.site.issue("PAY-8").branches.len(), 1, "what the hook says is sent");
    let status = stage.command(Command::Status).await;
    assert!(status.to_string().contains("token"), "{status}");
}
