//! The program killed in the middle of its work.

use std::collections::HashSet;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use standins::gitlab::{GitlabStandin, Role, Tier, Version, commit};
use standins::jira::{Api, JiraStandin};

use crate::program::Program;

/// How many webhooks are sent.
const WEBHOOKS: usize = 1_000;

/// After how many answers the program is killed.
const KILLED_AFTER: [usize; 2] = [300, 700];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_kill_9() {
    let jira = JiraStandin::start().await.unwrap();
    let site = jira.site("acme").await.unwrap();
    site.add_issue_range("PAY", 1..=WEBHOOKS as u64);
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let program = Program::new(&jira, &gitlab);
    let mut child = program.serve().await;

    // The commands go through the running program's socket.
    let (id, secret) =
        site.add_oauth_credentials(&[Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags]);
    let host = site.base_url();
    program
        .run(&["site", "add", "--site", &host, "--client-id", &id, "--client-secret-stdin"], &secret)
        .await;
    let ada = gitlab.user("ada");
    let group = gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada);
    api.push("main", [commit("Start").adds("README.md", 1)]).await;
    let host = host.trim_start_matches("http://").to_owned();
    let token = ada.token(&["api"]);
    let arguments =
        ["group", "link", "--site", &host, "--group", "acme", "--gitlab-token-stdin", "--credential", "none"];
    program.run(&arguments, token.expose_secret()).await;

    let held = gitlab.hold_deliveries();
    for number in 1..=WEBHOOKS {
        api.push("main", [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
    }
    let deliveries = held.take();
    let mut answered = HashSet::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        if KILLED_AFTER.contains(&index) {
            child.kill().await.unwrap();
            child = program.serve().await;
        }
        if delivery.send().await.is_ok_and(|status| status.is_success()) {
            answered.insert(index);
        }
    }
    // The sender repeats what got no answer.
    for (index, delivery) in deliveries.iter().enumerate() {
        if !answered.contains(&index) {
            assert!(delivery.send().await.unwrap().is_success());
        }
    }
    let mut missing = Vec::new();
    for _ in 0..300 {
        missing =
            (1..=WEBHOOKS).filter(|number| site.issue(&format!("PAY-{number}")).commits.len() != 1).collect();
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(missing.is_empty(), "{missing:?}");
    let status = program.run(&["status"], "").await;
    assert_eq!(status["queues"]["events"]["dead"], 0);
    child.kill().await.unwrap();
    // Without the running program, the command takes the directory itself.
    let groups = program.run(&["group", "list"], "").await;
    assert_eq!(groups["groups"].as_array().map(Vec::len), Some(1), "{groups}");
}
