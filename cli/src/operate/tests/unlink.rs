//! Unlinking groups.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::domain::Api as JiraApi;
use shared::domain::{Subscription, SubscriptionId, SubscriptionState};
use shared::jira::client::JiraClient;
use shared::store::coverage::{Certainty, Coverage};
use standins::gitlab::{Role, Tier, Version, commit};
use standins::jira::{Api, FailureRule};

use super::super::{Command, CredentialChoice, GroupLink};
use super::{Bench, unlink};
use crate::demo::world::World;

impl Bench {
    async fn jira(&self) -> JiraClient {
        let site = self.stored_site().await;
        self.operator.linking.jira(&site).await.unwrap().unwrap()
    }

    /// Puts a branch of a project on an issue, as `sync` does.
    async fn put_branch(&self, link: &Subscription, project: u64, key: &str) {
        let url = format!("{}/acme/{project}", self.gitlab.url());
        let commit = json!({
            "id": "c0ffee", "issueKeys": [key], "updateSequenceId": 1, "hash": "c0ffee", "message": key,
            "displayId": "c0ffee", "url": url, "authorTimestamp": "2026-01-05T10:00:00.000Z", "fileCount": 0,
            "author": { "name": "Ada" },
        });
        let branch = json!({
            "id": "main", "issueKeys": [key], "updateSequenceId": 1, "name": "main", "url": url, "lastCommit": commit,
        });
        let repository = json!({
            "id": project.to_string(), "name": "api", "url": url, "updateSequenceId": 1, "branches": [branch],
        });
        self.jira().await.submit(JiraApi::DevInfo, &json!({ "repositories": [repository] })).await.unwrap();
        self.operator
            .store
            .record_coverage(link.id, project, Coverage::Inside, Certainty::Known)
            .await
            .unwrap();
    }

    /// Puts a pipeline on an issue, through a link.
    async fn put_build(&self, link: SubscriptionId, number: u64, key: &str) {
        let build = json!({
            "schemaVersion": "1.0", "pipelineId": link.to_string(), "buildNumber": number, "updateSequenceNumber": 1,
            "displayName": "p", "url": self.gitlab.url(), "state": "successful", "issueKeys": [key],
            "lastUpdated": "2026-01-05T10:00:00.000Z",
        });
        let body = json!({ "builds": [build], "properties": { "link": link.to_string() } });
        self.jira().await.submit(JiraApi::Builds, &body).await.unwrap();
    }
}

#[tokio::test]
async fn what_came_through_a_link_goes_with_it() {
    let bench = Bench::new().await;
    bench.site.add_issue_range("PAY", 1..=9);
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let link = bench.stored_links().await.remove(0);
    let project = bench.group.project("api");
    bench.put_branch(&link, project.id(), "PAY-1").await;
    bench.put_build(link.id, 1, "PAY-2").await;
    bench.put_build(SubscriptionId::generate(), 2, "PAY-3").await;

    let unlinked = bench.done(unlink(&linked["subscription"])).await;
    assert!(bench.site.issue("PAY-1").is_empty() && bench.site.issue("PAY-2").is_empty());
    assert_eq!(bench.site.issue("PAY-3").builds.len(), 1);
    assert_eq!(unlinked["repositories_removed"], 1);
    assert!(bench.stored_links().await.is_empty());
    // Only an Owner may remove a group's hook; the link's own token is a Maintainer's.
    assert_eq!(unlinked["hooks_removed"], 0);
    let hook = linked["hook_id"].to_string();
    let notes = unlinked["notes"].to_string();
    assert!(notes.contains(&hook) && notes.contains("/groups/acme/-/hooks"), "{notes}");
    assert!(!notes.contains("access token"), "{notes}");
    let sentence = Bench::refused(bench.run(unlink(&linked["subscription"])).await);
    assert!(sentence.contains("gitlab-jira group list"), "{sentence}");
}

#[tokio::test]
async fn hooks_that_the_token_may_remove_are_removed_and_the_token_revoked() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench
        .done(Command::GroupLink(GroupLink { credential: CredentialChoice::Given, ..bench.adas() }))
        .await;
    let unlinked = bench.done(unlink(&linked["subscription"])).await;
    assert_eq!(unlinked["hooks_removed"], 1, "{unlinked}");
    assert!(unlinked["notes"].to_string().contains("not revoked"), "{unlinked}");

    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let link = bench.stored_links().await.remove(0);
    let gitlab = bench.operator.linking.gitlab_of(&link).await.unwrap().unwrap();
    gitlab.group("acme").await.unwrap();
    bench.done(unlink(&linked["subscription"])).await;
    assert!(gitlab.group("acme").await.is_err());
}

/// GitLab lets a Maintainer's group access token do much, but not remove the group's hook.
#[tokio::test]
async fn an_owners_token_removes_what_the_stored_one_may_not() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let Command::GroupUnlink { subscription, keep_jira_data, .. } = unlink(&linked["subscription"]) else {
        panic!("not an unlink")
    };
    let gitlab_token = Some(bench.adas().gitlab_token);
    let unlinked = bench.done(Command::GroupUnlink { subscription, keep_jira_data, gitlab_token }).await;
    assert_eq!(unlinked["hooks_removed"], 1, "{unlinked}");
    assert_eq!(unlinked["notes"], serde_json::json!([]), "{unlinked}");
}

#[tokio::test]
async fn project_hooks_go_one_by_one() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.group.project("web");
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    let linked = bench.done(Command::GroupLink(bench.link(&bob.token(&["api"])))).await;
    let unlinked = bench.done(unlink(&linked["subscription"])).await;
    assert_eq!(unlinked["hooks_removed"], 2);
    assert_eq!(bench.gitlab.calls_to("DELETE /projects/:id/hooks/:hook_id"), 2);
}

/// Nothing is forgotten that could not be removed from Jira.
#[tokio::test]
async fn without_jira_nothing_changes() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    for rule in [FailureRule::status(503).on(Api::DevInfo), FailureRule::status(401).on(Api::DevInfo)] {
        bench.site.fail(rule);
        bench.run(unlink(&linked["subscription"])).await.unwrap_err();
        bench.site.clear_failures();
        let status = bench.done(Command::Status).await;
        assert_eq!(status["links"], json!([]));
    }
    assert_eq!(bench.gitlab.calls_to("DELETE /groups/:id/hooks/:hook_id"), 0);
    // Failing midway leaves a link that says so, and that can be unlinked again.
    bench.site.fail(FailureRule::status(500).on(Api::Builds));
    let sentence = Bench::refused(bench.run(unlink(&linked["subscription"])).await);
    assert!(sentence.contains("again for the rest"), "{sentence}");
    let status = bench.done(Command::Status).await;
    assert_eq!(status["links"][0]["state"], "pending");
    bench.site.clear_failures();
    bench.done(unlink(&linked["subscription"])).await;
    assert!(bench.stored_links().await.is_empty());
}

/// What a crash in the middle of linking leaves: a link that nobody can use, and perhaps a hook that only GitLab knows.
/// To complete it is for `renew`.
#[tokio::test]
async fn a_link_that_was_cut_off_can_be_unlinked() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let link = bench.stored_links().await.remove(0);
    let cut_off = |link: &mut Subscription| {
        (link.state, link.hook.id, link.credential) = (SubscriptionState::Pending, None, None);
    };
    bench.operator.store.update_subscription(link.id, cut_off).await.unwrap();
    let status = bench.done(Command::Status).await;
    assert!(
        status["links"][0]["attention"].as_str().unwrap().contains("gitlab-jira group unlink"),
        "{status}"
    );
    let unlinked = bench.done(unlink(&linked["subscription"])).await;
    assert!(unlinked["notes"].to_string().contains(linked["webhook_url"].as_str().unwrap()), "{unlinked}");
    bench.done(Command::GroupLink(bench.adas())).await;
}

/// A credential that does not cover everything does not hold the rest up.
#[tokio::test]
async fn what_the_connection_may_not_remove_is_named() {
    let bench = Bench::new().await;
    let (id, secret) = bench.site.add_oauth_credentials(&[Api::DevInfo, Api::Builds]);
    bench.done(super::site_add(&bench.host(), &id, &secret)).await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let notes = bench.done(unlink(&linked["subscription"])).await["notes"].to_string();
    assert!(notes.contains("cover deployments") && notes.contains("cover featureflags"), "{notes}");
    assert!(!notes.contains("cover builds"), "{notes}");
}

#[tokio::test]
async fn what_another_link_covers_stays() {
    let bench = Bench::new().await;
    bench.site.add_issue_range("PAY", 1..=9);
    bench.add_site().await;
    let front = bench.group.subgroup("front");
    let (api, web) = (bench.group.project("api"), front.project("web"));
    let outer = bench.done(Command::GroupLink(bench.adas())).await;
    let inner = GroupLink { group: front.full_path(), ..bench.adas() };
    let inner = bench.done(Command::GroupLink(inner)).await;
    let links = bench.stored_links().await;
    bench.put_branch(&links[0], api.id(), "PAY-1").await;
    bench.put_branch(&links[0], web.id(), "PAY-2").await;

    let unlinked = bench.done(unlink(&outer["subscription"])).await;
    assert_eq!(unlinked["repositories_removed"], 1, "{unlinked}");
    assert!(bench.site.issue("PAY-1").is_empty());
    assert_eq!(bench.site.issue("PAY-2").branches.len(), 1);

    let outer = bench.done(Command::GroupLink(bench.adas())).await;
    let unlinked = bench.done(unlink(&inner["subscription"])).await;
    assert_eq!(unlinked["repositories_removed"], 0, "{unlinked}");
    bench.done(unlink(&outer["subscription"])).await;
    assert!(bench.site.issue("PAY-2").is_empty());
}

/// A second instance's ids carry a prefix, when they are sent and when they are removed.
#[tokio::test]
async fn ids_are_those_that_were_sent() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    world.site.add_issue_range("PAY", 1..=9);
    let store = world.local.operator.store.clone();
    let site = store.sites().await.unwrap().remove(0);
    store
        .update_site(site.id, |site| site.instances.push("https://first.example.com".to_owned()))
        .await
        .unwrap();
    let ada = world.gitlab.user("ada");
    let group = world.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada);
    let linked = world.link("acme", &ada.token(&["api"])).await.unwrap();
    api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    arrives(|| world.site.issue("PAY-1").branches.len() == 1).await;
    let unlinked = world.command(unlink(&linked["subscription"])).await.unwrap();
    assert_eq!(unlinked["repositories_removed"], 1);
    assert!(world.site.issue("PAY-1").is_empty());
}

#[tokio::test]
async fn after_an_uninstall_only_our_side_is_left_to_remove() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let ada = world.gitlab.user("ada");
    world.gitlab.group("acme", Tier::Premium).grant(&ada, Role::Owner);
    let linked = world.link("acme", &ada.token(&["api"])).await.unwrap();
    world.site.uninstall().await.unwrap();
    let unlinked = world.command(unlink(&linked["subscription"])).await.unwrap();
    assert!(unlinked["notes"].to_string().contains("uninstalled app"), "{unlinked}");
    let groups: Value = world.command(Command::GroupList { site: None }).await.unwrap();
    assert_eq!(groups, json!({ "groups": [] }));
}

async fn arrives(is_there: impl Fn() -> bool) {
    for _ in 0..300 {
        if is_there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not arrive");
}
