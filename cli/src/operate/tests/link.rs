//! Linking groups.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::domain::{HookKind, SubscriptionState};
use shared::gitlab::signature::token_digest;
use shared::sync::auth::{AuthError, HookAuthenticator, WebhookCredentials};
use standins::gitlab::{Fault, Role, Tier, Version};
use standins::jira::{Api, FailureRule};

use super::super::{Command, CredentialChoice, GroupLink};
use super::{BASE_URL, Bench, unlink};

impl Bench {
    /// What GitLab answers to Ada.
    pub(super) async fn ask_gitlab(&self, path: &str) -> Value {
        use secrecy::ExposeSecret;
        let url = format!("{}/api/v4{path}", self.gitlab.url());
        let token = self.ada.token(&["api"]);
        let request = reqwest::Client::new().get(url).bearer_auth(token.expose_secret());
        request.send().await.unwrap().json().await.unwrap()
    }

    pub(super) async fn group_hooks(&self) -> Vec<Value> {
        let hooks = self.ask_gitlab(&format!("/groups/{}/hooks", self.group.id())).await;
        hooks.as_array().cloned().unwrap_or_default()
    }

    pub(super) async fn project_hooks(&self, project: u64) -> Vec<Value> {
        let hooks = self.ask_gitlab(&format!("/projects/{project}/hooks")).await;
        hooks.as_array().cloned().unwrap_or_default()
    }

    /// Refused with this cause, and nothing is left of it.
    async fn refuses(&self, link: GroupLink, cause: &str) {
        let sentence = Self::refused(self.run(Command::GroupLink(link)).await);
        assert!(sentence.contains(cause), "{cause}: {sentence}");
        assert!(self.stored_links().await.is_empty(), "{cause}");
        assert!(self.group_hooks().await.is_empty(), "{cause}");
    }
}

#[tokio::test]
async fn an_owner_gets_a_group_hook_and_a_token_of_the_groups_own() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let id = linked["subscription"].as_str().unwrap();
    assert_eq!(linked["webhook_url"], format!("{BASE_URL}/webhooks/gitlab/{id}"));
    assert_eq!((&linked["hook_kind"], &linked["credential"]), (&json!("group"), &json!("managed")));
    assert_eq!(linked.get("secrets"), None);
    let hooks = bench.group_hooks().await;
    assert_eq!(hooks.len(), 1);
    assert_eq!((&hooks[0]["id"], &hooks[0]["url"]), (&linked["hook_id"], &linked["webhook_url"]));

    let link = bench.stored_links().await.remove(0);
    assert_eq!((link.state, link.hook.signed), (SubscriptionState::Active, true));
    assert_eq!((link.instance_version.as_str(), link.group_path.as_str()), ("19.1.2", "acme"));
    assert_eq!(bench.stored_site().await.instances, [bench.gitlab.url()]);
    let listed = bench.done(Command::GroupList { site: Some(bench.host()) }).await;
    let group = &listed["groups"][0];
    assert_eq!(
        (&group["id"], &group["state"], &group["group"]),
        (&json!(id), &json!("active"), &json!("acme"))
    );
    assert_eq!(group["hook"], json!({ "kind": "group", "signed": true }));
    assert_eq!(group["credential"], "managed");
}

#[tokio::test]
async fn a_maintainer_gets_a_hook_in_every_project() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let web = bench.group.subgroup("front").project("web");
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    let linked = bench.done(Command::GroupLink(bench.link(&bob.token(&["api"])))).await;
    assert_eq!((&linked["hook_kind"], &linked["hook_id"]), (&json!("project"), &json!(null)));
    assert_eq!(linked["credential"], "pasted");
    let projects = &linked["projects"];
    assert_eq!(
        (&projects["state"], &projects["hooked"], &projects["total"]),
        (&json!("done"), &json!(2), &json!(2))
    );
    assert_eq!(projects["failed"], json!([]));
    let hooks = bench.project_hooks(web.id()).await;
    let url = format!("{}?project={}", linked["webhook_url"].as_str().unwrap(), web.id());
    assert_eq!(hooks[0]["url"], url);
    let link = bench.stored_links().await.remove(0);
    let stored = bench.operator.store.project_hook(link.id, web.id()).await.unwrap().unwrap();
    assert_eq!((stored.id, stored.signed), (hooks[0]["id"].as_u64(), true));
    assert_eq!(bench.done(Command::GroupList { site: None }).await["groups"][0]["hook"]["signed"], true);
}

#[tokio::test]
async fn a_free_group_gets_project_hooks_even_from_an_owner() {
    let bench = Bench::with(Version::V17_3, Tier::Free, "http://127.0.0.1").await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    assert_eq!((&linked["hook_kind"], &linked["credential"]), (&json!("project"), &json!("pasted")));
    let link = bench.stored_links().await.remove(0);
    let hooks = bench.operator.store.project_hooks(link.id).await.unwrap();
    // GitLab before 19.0 signs nothing.
    assert!(hooks.iter().all(|hook| hook.id.is_some() && !hook.signed));
}

#[tokio::test]
async fn one_project_without_rights_does_not_stop_the_others() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let closed = bench.group.project("closed");
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    bench.gitlab.inject(Fault::status(403).method("POST").on(&format!("/projects/{}/hooks", closed.id())));
    let linked = bench.done(Command::GroupLink(bench.link(&bob.token(&["api"])))).await;
    assert_eq!(linked["projects"]["hooked"], 1);
    assert_eq!(linked["projects"]["failed"][0]["project"], "acme/closed");
    let status = bench.done(Command::Status).await;
    assert!(status["links"][0]["attention"].as_str().unwrap().contains("acme/closed"), "{status}");
}

#[tokio::test]
async fn the_credential_is_what_was_chosen() {
    let bench = Bench::new().await;
    bench.add_site().await;
    for (choice, name) in [
        (CredentialChoice::Managed, "managed"),
        (CredentialChoice::Read, "read"),
        (CredentialChoice::Given, "pasted"),
        (CredentialChoice::None, "none"),
    ] {
        let linked = bench.done(Command::GroupLink(GroupLink { credential: choice, ..bench.adas() })).await;
        assert_eq!(linked["credential"], name);
        let link = bench.stored_links().await.remove(0);
        assert_eq!(link.credential.is_some(), name != "none");
        if let Some(gitlab) = bench.operator.linking.gitlab_of(&link).await.unwrap() {
            gitlab.group("acme").await.unwrap();
        }
        bench.done(unlink(&linked["subscription"])).await;
    }
    // Versions that do not know every scope yet.
    let bench = Bench::with(Version::V17_3, Tier::Premium, "http://127.0.0.1").await;
    bench.add_site().await;
    let link = GroupLink { credential: CredentialChoice::Read, ..bench.adas() };
    assert_eq!(bench.done(Command::GroupLink(link)).await["credential"], "read");
}

/// The secrets that are printed for a hook made by hand are those that deliveries are authenticated by.
#[tokio::test]
async fn a_hook_made_by_hand_gets_its_secrets_once() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let link = GroupLink { no_hook: true, ..bench.adas() };
    let linked = bench.done(Command::GroupLink(link)).await;
    assert_eq!((&linked["hook_kind"], &linked["hook_id"]), (&json!("manual"), &json!(null)));
    assert!(bench.group_hooks().await.is_empty());
    let link = bench.stored_links().await.remove(0);
    assert_eq!(link.hook.kind, HookKind::Manual);
    let operator = &bench.operator;
    let verifier = HookAuthenticator::new(operator.store.clone(), operator.linking.envelope.clone());
    for (token, authentic) in [(linked["secrets"]["token"].as_str().unwrap(), true), ("guessed", false)] {
        let proof = WebhookCredentials {
            hook_project: None,
            token_digest: token_digest(token),
            signature: None,
            body: b"{}",
        };
        let verdict = verifier.authenticate(link.id, &proof, operator.clock.now()).await;
        assert_eq!(verdict.is_ok(), authentic);
        assert!(authentic || matches!(verdict, Err(AuthError::Refused(_))));
    }
    assert!(linked["secrets"]["signing_token"].as_str().unwrap().starts_with("whsec_"));
    let listed = bench.done(Command::GroupList { site: None }).await.to_string();
    assert!(!listed.contains(linked["secrets"]["token"].as_str().unwrap()));
}

#[tokio::test]
async fn what_can_not_work_is_refused_before_anything_is_made() {
    let bench = Bench::new().await;
    let sentence = Bench::refused(bench.run(Command::GroupLink(bench.adas())).await);
    assert!(sentence.contains("gitlab-jira site list"), "{sentence}");
    bench.add_site().await;
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Developer);
    let eve = bench.gitlab.user("eve");
    let carl = bench.gitlab.user("carl");
    bench.group.grant(&carl, Role::Maintainer);
    let url = |url: &str| GroupLink { gitlab_url: Some(url.to_owned()), ..bench.adas() };
    let keys = |key: &str| GroupLink { project_keys: vec![key.to_owned()], ..bench.adas() };
    let jira = bench.site.base_url();
    for (link, cause) in [
        (bench.link(&bob.token(&["api"])), "must be Maintainer or Owner"),
        (bench.link(&eve.token(&["api"])), "has no group acme"),
        (bench.link(&SecretString::from("glpat-wrong")), "rejects the token"),
        (GroupLink { group: "acme/nowhere".to_owned(), ..bench.adas() }, "has no group acme/nowhere"),
        (GroupLink { group: " / ".to_owned(), ..bench.adas() }, "path is missing"),
        (url("http://gitlab.example.com"), "only https"),
        (url("https://169.254.169.254"), "private or reserved"),
        (url("http://127.0.0.1:9"), "can't be reached"),
        (url(&format!("{}?x=1", bench.gitlab.url())), "has a query"),
        (url(&jira), "answers 404"),
        (keys("pay"), "in capitals"),
        (keys("P"), "in capitals"),
        (
            GroupLink { credential: CredentialChoice::Managed, ..bench.link(&carl.token(&["api"])) },
            "not an Owner",
        ),
    ] {
        bench.refuses(link, cause).await;
    }
    assert!(bench.stored_site().await.instances.is_empty());
}

/// Jira is asked through the connection before GitLab is changed.
#[tokio::test]
async fn a_connection_that_does_not_open_stops_the_link() {
    let bench = Bench::new().await;
    bench.add_site().await;
    for (rule, cause) in [
        (FailureRule::status(401).on(Api::DevInfo), "rejects the credential"),
        (FailureRule::status(403).on(Api::DevInfo), "does not cover devinfo"),
        (FailureRule::status(503).on(Api::DevInfo), "does not answer now"),
    ] {
        bench.site.fail(rule);
        bench.refuses(bench.adas(), cause).await;
        bench.site.clear_failures();
    }
}

/// Whatever fails, what was made so far goes again.
#[tokio::test]
async fn a_link_that_fails_midway_leaves_nothing() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let managed = || GroupLink { credential: CredentialChoice::Managed, ..bench.adas() };
    let group = bench.group.id();
    let hooks = format!("/groups/{group}/hooks");
    let tokens = format!("/groups/{group}/access_tokens");
    for (fault, cause) in [
        (Fault::status(500).method("POST").on(&hooks), "fails now"),
        (Fault::status(422).method("POST").on(&hooks), "refuses to create"),
        (Fault::status(400).method("POST").on(&tokens), "creates no access token"),
        (Fault::dropped().method("POST").on(&tokens), "can't be reached"),
    ] {
        bench.gitlab.inject(fault);
        bench.refuses(managed(), cause).await;
        bench.gitlab.clear_faults();
    }
    // What can't be removed either is named.
    bench.gitlab.inject(Fault::status(500).on(&tokens));
    bench.gitlab.inject(Fault::status(500).method("DELETE").on(&hooks));
    let sentence = Bench::refused(bench.run(Command::GroupLink(managed())).await);
    assert!(sentence.contains("could not all be removed: hook"), "{sentence}");
    assert!(bench.stored_links().await.is_empty());
}

#[tokio::test]
async fn a_token_that_was_made_goes_with_the_link_that_failed() {
    let bench = Bench::new().await;
    bench.add_site().await;
    bench.gitlab.inject(Fault::slow(Duration::from_millis(500)).method("POST").on("/groups/"));
    let unlinked_meanwhile = async {
        loop {
            if let Some(link) = bench.stored_links().await.pop().filter(|link| link.hook.id.is_some()) {
                return bench.operator.store.delete_subscription(&link).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::join!(bench.refuses(bench.adas(), "was unlinked while"), unlinked_meanwhile);
    assert_eq!(bench.gitlab.calls_to("DELETE /groups/:id/access_tokens/:token_id"), 1);
}

#[tokio::test]
async fn no_hook_anywhere_is_no_link() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let bob = bench.gitlab.user("bob");
    bench.group.grant(&bob, Role::Maintainer);
    // A token that may read but not write.
    let link = GroupLink { credential: CredentialChoice::None, ..bench.link(&bob.token(&["read_api"])) };
    bench.refuses(link, "No project of acme got a hook").await;
}

#[tokio::test]
async fn an_administrator_counts_as_an_owner() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let root = bench.gitlab.user("root");
    root.make_admin();
    let linked = bench.done(Command::GroupLink(bench.link(&root.token(&["api"])))).await;
    assert_eq!((&linked["hook_kind"], &linked["credential"]), (&json!("group"), &json!("managed")));
}

#[tokio::test]
async fn an_unknown_private_host_is_named_with_its_remedy() {
    let bench = Bench::with(Version::V19_1, Tier::Premium, "http://127.0.0.1").await;
    bench.add_site().await;
    let link = GroupLink { gitlab_url: Some("https://localhost:1".to_owned()), ..bench.adas() };
    bench.refuses(link, "ALLOWED_PRIVATE_HOSTS").await;
}

#[tokio::test]
async fn versions_are_linked_from_the_oldest_supported_one_on() {
    let bench = Bench::with(Version::V15_7, Tier::Premium, "http://127.0.0.1").await;
    bench.add_site().await;
    let old = axum::Router::new()
        .route("/api/v4/metadata", axum::routing::get(|| async { r#"{"version":"15.6.8-ee"}"# }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, old).await.unwrap() });
    let link = GroupLink { gitlab_url: Some(url), ..bench.adas() };
    bench.refuses(link, "GitLab 15.6: links need 15.7 or newer").await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    assert_eq!((&linked["hook_kind"], &linked["credential"]), (&json!("group"), &json!("managed")));
}
