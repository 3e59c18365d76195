//! The connections to Jira: the same story through each, and what happens when apps are installed and uninstalled.

use std::sync::Arc;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::Command;
use shared::clock::SystemClock;
use standins::gitlab::{Version, commit};

use crate::stage::Stage;

async fn world() -> World {
    World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap()
}

async fn installed_world() -> World {
    let world = world().await;
    world.install().await.unwrap();
    world
}

/// Jira's tokens have whole seconds, and none is accepted twice.
async fn next_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}

async fn play_story(stage: &Stage) {
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.api.start_pipeline("PAY-1-x").await.status("success").await;
    stage.api.deploy("production", "PAY-1-x").status("success").await;
    stage.api.feature_flag("f").describe("PAY-1").toggle(true).await;
    stage.settled().await;
    let issue = stage.world.site.issue("PAY-1");
    assert_eq!(
        [
            issue.branches.len(),
            issue.commits.len(),
            issue.builds.len(),
            issue.deployments.len(),
            issue.flags.len()
        ],
        [1; 5]
    );
}

#[tokio::test]
async fn connect() {
    let world = world().await;
    world.install().await.unwrap();
    play_story(&Stage::linked(world).await).await;
}

#[tokio::test]
async fn oauth_credentials() {
    let world = world().await;
    let added = world.add_oauth_credentials().await.unwrap();
    assert_eq!(added["cloud_id"], world.site.cloud_id());
    play_story(&Stage::linked(world).await).await;
}

/// E2: an install of a known clientKey renews its secret and keeps everything else.
#[tokio::test]
async fn e2_a_reinstall_keeps_links_and_uses_the_new_secret() {
    let stage = Stage::new().await;
    next_second().await;
    stage.world.site.reinstall_with_new_secret().await.unwrap();
    next_second().await;
    stage.world.site.redeliver_installed().await.unwrap();
    play_story(&stage).await;
    let sites = stage.command(Command::SiteList).await;
    assert_eq!(sites["sites"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_uninstall_closes_the_connection_and_a_new_install_goes_on() {
    let stage = Stage::new().await;
    next_second().await;
    assert_eq!(stage.world.site.uninstall().await.unwrap(), 200);
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    stage.settled().await;
    let sites = stage.command(Command::SiteList).await;
    assert_eq!(sites["sites"][0]["condition"], "uninstalled");
    next_second().await;
    stage.world.install().await.unwrap();
    play_story(&stage).await;
}

#[tokio::test]
async fn an_unknown_installation_can_be_uninstalled() {
    let world = world().await;
    world.install().await.unwrap();
    assert_eq!(world.site.uninstall().await.unwrap(), 200);
    let other = world.jira.site("other").await.unwrap();
    other.install(&world.connect_base_url()).await.unwrap();
    assert_eq!(other.uninstall().await.unwrap(), 200);
    assert_eq!(other.uninstall().await.unwrap_or(200), 200);
}

/// S32: the person's token does not travel on.
#[tokio::test]
async fn create_branch_sends_the_person_to_gitlab_without_the_token() {
    let stage = Stage::new().await;
    let url = stage.world.site.create_branch_url("PAY-1", "Fix \"quotes\" & more", "account").unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    let expected = format!("{}/-/jira_connect/branches/new?issue_key=PAY-1", stage.world.gitlab.url());
    assert!(location.starts_with(&expected), "{location}");
    assert!(location.contains("issue_summary=Fix+%22quotes%22+%26+more"), "{location}");
    assert!(!location.contains("jwt"), "{location}");
    let stranger = url.replace("jwt=ey", "jwt=xx");
    assert_eq!(client.get(&stranger).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn doctor_checks_address_clock_key_queue_links_and_installers() {
    let stage = Stage::linked(installed_world().await).await;
    let diagnosis = stage.command(Command::Doctor).await;
    let found = |check: &str| {
        let checks = diagnosis["checks"].as_array().unwrap();
        checks.iter().find(|found| found["check"] == check).unwrap()["ok"].as_bool()
    };
    let healthy = ["address", "clock", "key", "queue", "links"].map(found);
    assert_eq!(healthy, [Some(true); 5], "{diagnosis}");
    assert_eq!(found("installers"), Some(false), "anybody may install: {diagnosis}");

    // Another server answers at the address that Jira has of us.
    let mut operator = (*stage.world.local.operator).clone();
    operator.base_url = stage.world.gitlab.url().to_owned();
    let diagnosis = operator.run(Command::Doctor).await.unwrap().json();
    let address = &diagnosis["checks"][0];
    assert_eq!((&address["check"], &address["ok"]), (&"address".into(), &false.into()), "{address}");
}
