//! Linking a group that is linked already: its link is renewed.

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::domain::{HookKind, Subscription, SubscriptionState};
use shared::gitlab::client::GitlabError;
use shared::store::leases::LEASE;
use standins::gitlab::{Fault, Role, Tier, Version};

use super::super::{Command, CredentialChoice, GroupLink, Hidden};
use super::{Bench, unlink};

impl Bench {
    async fn only_link(&self) -> Subscription {
        let mut links = self.stored_links().await;
        assert_eq!(links.len(), 1);
        links.remove(0)
    }

    async fn tell_gitlab(&self, method: reqwest::Method, path: &str, body: Value) {
        use secrecy::ExposeSecret;
        let url = format!("{}/api/v4{path}", self.gitlab.url());
        let request = reqwest::Client::new().request(method, url).json(&body);
        let answer = request.bearer_auth(self.ada.token(&["api"]).expose_secret()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// The same link, renewed.
    async fn renewed(&self, link: GroupLink) -> Value {
        let before = self.only_link().await;
        let answer = self.done(Command::GroupLink(link)).await;
        assert_eq!(answer["subscription"], json!(before.id), "the same link");
        assert_eq!(self.only_link().await.state, SubscriptionState::Active);
        answer
    }
}

#[tokio::test]
async fn a_managed_token_is_replaced_and_the_old_one_revoked() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let (before, hooks) = (bench.only_link().await, bench.group_hooks().await);
    let old = bench.operator.linking.gitlab_of(&before).await.unwrap().unwrap();
    let by_id = GroupLink { group: bench.group.id().to_string(), ..bench.adas() };
    let answer = bench.renewed(by_id).await;
    assert_eq!(
        answer["renewed"],
        json!({ "was_incomplete": false, "token": "replaced", "old_token": "revoked", "hook": "renewed" })
    );
    assert!(matches!(old.user().await, Err(GitlabError::Unauthorized)));
    let after = bench.only_link().await;
    let new = bench.operator.linking.gitlab_of(&after).await.unwrap().unwrap();
    assert!(new.user().await.unwrap().bot);
    assert!(after.credential.as_ref().unwrap().expires_at.is_some());
    // The same hook with other secrets; the old ones have a day.
    assert_eq!(bench.group_hooks().await[0]["id"], hooks[0]["id"]);
    assert_ne!(after.hook.token, before.hook.token);
    assert_eq!((after.hook.previous.len(), after.hook.signed), (1, true));
    assert_eq!(after.hook.previous[0].token, before.hook.token);
    assert!(after.hook.previous[0].until.is_some());
}

#[tokio::test]
async fn a_token_is_replaced_by_its_own_kind_unless_another_is_asked_for() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let with = |credential| GroupLink { credential, ..bench.adas() };
    let auto = CredentialChoice::Auto;
    bench.done(Command::GroupLink(with(CredentialChoice::None))).await;
    for (choice, kind, token, old) in [
        (auto, "none", "none", Value::Null),
        (CredentialChoice::Given, "pasted", "added", Value::Null),
        (auto, "pasted", "replaced", json!("kept")),
        (CredentialChoice::Read, "read", "replaced", json!("kept")),
        (auto, "read", "replaced", json!("revoked")),
        (CredentialChoice::None, "none", "removed", json!("revoked")),
    ] {
        let answer = bench.renewed(with(choice)).await;
        let renewed = &answer["renewed"];
        assert_eq!((&answer["credential"], &renewed["token"]), (&json!(kind), &json!(token)), "{answer}");
        assert_eq!(renewed.get("old_token").unwrap_or(&Value::Null), &old, "{answer}");
    }
}

#[tokio::test]
async fn a_hook_that_is_gone_disabled_or_changed_is_repaired() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let group = bench.group.id();
    let hook = bench.group_hooks().await[0]["id"].clone();
    let path = format!("/groups/{group}/hooks/{hook}");

    let changed =
        json!({ "url": "https://elsewhere.example.com", "push_events": false, "issues_events": true });
    bench.tell_gitlab(reqwest::Method::PUT, &path, changed).await;
    assert_eq!(bench.renewed(bench.adas()).await["renewed"]["hook"], "renewed");
    let hooks = bench.group_hooks().await;
    let url = bench.operator.linking.webhook_url(bench.only_link().await.id);
    assert_eq!((&hooks[0]["id"], &hooks[0]["url"]), (&hook, &json!(url)));
    assert_eq!((&hooks[0]["push_events"], &hooks[0]["issues_events"]), (&json!(true), &json!(false)));

    // Nobody answers a test delivery here, so another hook takes its place.
    bench.gitlab.fail_hooks(40);
    assert_eq!(bench.renewed(bench.adas()).await["renewed"]["hook"], "enabled");
    let hooks = bench.group_hooks().await;
    assert_eq!((hooks.len(), &hooks[0]["alert_status"]), (1, &json!("executable")));
    let hook = hooks[0]["id"].clone();

    bench.tell_gitlab(reqwest::Method::DELETE, &format!("/groups/{group}/hooks/{hook}"), json!({})).await;
    assert_eq!(bench.renewed(bench.adas()).await["renewed"]["hook"], "made_again");
    let hooks = bench.group_hooks().await;
    assert_eq!((hooks.len(), hooks[0]["id"].as_u64()), (1, bench.only_link().await.hook.id));
}

#[tokio::test]
async fn project_hooks_are_renewed_and_those_that_are_missing_made() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let api = bench.group.project("api");
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    bench.done(Command::GroupLink(bench.link(&bob.token(&["api"])))).await;
    let link = bench.only_link().await;
    let store = &bench.operator.store;
    let before = store.project_hook(link.id, api.id()).await.unwrap().unwrap();
    let web = bench.group.project("web");
    let closed = bench.group.project("closed");
    bench.gitlab.inject(Fault::status(403).on(&format!("/projects/{}/hooks", closed.id())));

    let answer = bench.renewed(bench.link(&bob.token(&["api"]))).await;
    let projects = &answer["projects"];
    assert_eq!((&projects["state"], &projects["hooked"]), (&json!("done"), &json!(2)), "{answer}");
    assert_eq!(projects["failed"][0]["project"], "acme/closed");
    assert!(projects["failed"][0]["reason"].as_str().unwrap().contains("Maintainer"), "{answer}");
    assert_eq!(
        (bench.project_hooks(api.id()).await.len(), bench.project_hooks(web.id()).await.len()),
        (1, 1)
    );
    let after = store.project_hook(link.id, api.id()).await.unwrap().unwrap();
    assert_eq!(after.id, before.id);
    assert_ne!(after.token, before.token);
    let status = bench.done(Command::Status).await;
    assert!(status["links"][0]["attention"].as_str().unwrap().contains("acme/closed"), "{status}");
    let plan = bench.only_link().await.hooks.unwrap();
    assert!(plan.token.is_none(), "the token that made them is forgotten");
}

#[tokio::test]
async fn a_group_that_has_no_group_hooks_any_more_gets_project_hooks() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let given = GroupLink { credential: CredentialChoice::Given, ..bench.adas() };
    bench.done(Command::GroupLink(given)).await;
    bench.gitlab.group("acme", Tier::Free);
    let answer = bench.renewed(bench.adas()).await;
    assert_eq!((&answer["hook_kind"], &answer["projects"]["hooked"]), (&json!("project"), &json!(1)));
    assert_eq!(bench.only_link().await.hook.kind, HookKind::Project);
}

#[tokio::test]
async fn a_link_that_was_never_completed_is_completed() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    // Killed after GitLab had made the hook, and before we knew.
    let store = &bench.operator.store;
    let link = bench.only_link().await;
    store
        .update_subscription(link.id, |link| {
            link.state = SubscriptionState::Pending;
            link.hook.id = None;
            link.credential = None;
        })
        .await
        .unwrap();
    let answer = bench.renewed(bench.adas()).await;
    assert_eq!(
        (&answer["renewed"]["was_incomplete"], &answer["credential"]),
        (&json!(true), &json!("managed"))
    );
    let hooks = bench.group_hooks().await;
    assert_eq!((hooks.len(), hooks[0]["id"].as_u64()), (1, bench.only_link().await.hook.id));
}

#[tokio::test]
async fn what_can_not_be_renewed_leaves_the_link_as_it_is() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let before = bench.only_link().await;
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    for (link, cause) in [
        (bench.link(&bob.token(&["api"])), "not an Owner"),
        (bench.link(&SecretString::from("glpat-wrong")), "rejects the token"),
    ] {
        let sentence = Bench::refused(bench.run(Command::GroupLink(link)).await);
        assert!(sentence.contains(cause), "{sentence}");
    }
    bench.gitlab.inject(Fault::status(503).method("POST").on("/groups/").times(1));
    Bench::refused(bench.run(Command::GroupLink(bench.adas())).await);
    let after = bench.only_link().await;
    assert_eq!(after.credential.unwrap().token, before.credential.unwrap().token);
    assert_eq!((after.state, after.hook.token), (SubscriptionState::Active, before.hook.token));

    // Somebody else is at it.
    let lease = bench.operator.store.take_lease(before.id).await.unwrap().unwrap();
    let sentence = Bench::refused(bench.run(Command::GroupLink(bench.adas())).await);
    assert!(sentence.contains("Somebody else is at work"), "{sentence}");
    assert!(lease.until > bench.operator.clock.now() && LEASE.as_secs() == 300);
}

/// A Maintainer may give another token, and the hook, which is an Owner's, stays as it is.
#[tokio::test]
async fn a_maintainer_renews_the_token_and_not_the_groups_hook() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let before = bench.only_link().await;
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    let given = GroupLink { credential: CredentialChoice::Given, ..bench.link(&bob.token(&["api"])) };
    let answer = bench.renewed(given).await;
    assert_eq!((&answer["renewed"]["hook"], &answer["credential"]), (&json!("failed"), &json!("pasted")));
    let notes = answer["notes"].to_string();
    assert!(notes.contains("may not read or change the group's hook"), "{notes}");
    let after = bench.only_link().await;
    assert_eq!((after.hook.kind, after.hook.token), (HookKind::Group, before.hook.token));
}

#[tokio::test]
async fn a_hook_made_by_hand_gets_new_secrets_and_the_old_ones_a_day() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let by_hand = || GroupLink { no_hook: true, ..bench.adas() };
    let first = bench.done(Command::GroupLink(by_hand())).await;
    let answer = bench.renewed(by_hand()).await;
    assert_eq!(answer["renewed"]["hook"], "by_hand");
    assert_ne!(answer["secrets"]["token"], first["secrets"]["token"]);
    assert!(bench.only_link().await.hook.previous[0].until.is_some());
}

#[tokio::test]
async fn a_group_in_a_linked_group_is_linked_and_said_to_overlap() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.group.subgroup("front").project("web");
    let parent = bench.done(Command::GroupLink(bench.adas())).await;
    let front = GroupLink { group: "acme/front".to_owned(), ..bench.adas() };
    let child = bench.done(Command::GroupLink(front)).await;
    assert_ne!(child["subscription"], parent["subscription"]);
    let notes = child["notes"].to_string();
    assert!(notes.contains("contains this group") && notes.contains("sent to"), "{notes}");
    // The other way round, and renewed.
    let notes = bench.done(Command::GroupLink(bench.adas())).await["notes"].to_string();
    assert!(notes.contains("lies in this group"), "{notes}");
    bench.done(unlink(&child["subscription"])).await;
}

#[tokio::test]
async fn two_sites_on_one_group_have_hooks_of_their_own() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    let other = bench.jira.site("other").await.unwrap();
    let (id, secret) = other.add_oauth_credentials(&super::APIS);
    let host = other.base_url().split_once("://").unwrap().1.to_owned();
    bench.done(super::site_add(&host, &id, &secret)).await;
    let link = GroupLink { site: host, gitlab_token: Hidden(bench.ada.token(&["api"])), ..bench.adas() };
    bench.done(Command::GroupLink(link)).await;
    let (links, hooks) = (bench.stored_links().await, bench.group_hooks().await);
    assert_eq!((links.len(), hooks.len()), (2, 2));
    assert_ne!(hooks[0]["url"], hooks[1]["url"]);
}

#[tokio::test]
async fn old_versions_are_renewed_too() {
    let bench = Bench::with(Version::V15_7, Tier::Premium, "http://127.0.0.1").await;
    bench.add_site().await;
    bench.done(Command::GroupLink(bench.adas())).await;
    bench.gitlab.fail_hooks(40);
    let answer = bench.renewed(bench.adas()).await;
    assert_eq!((&answer["renewed"]["hook"], &answer["credential"]), (&json!("enabled"), &json!("managed")));
    assert_eq!(bench.group_hooks().await.len(), 1);
}
