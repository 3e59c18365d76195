//! Adding, listing and removing sites.

use serde_json::json;
use shared::domain::Api as JiraApi;
use shared::domain::{ConnectionKind, SiteCondition};
use shared::store::backoffs::{Backoff, BackoffScope};
use standins::gitlab::{Tier, Version};
use standins::jira::{Api, FailureRule};

use super::super::Command;
use super::{APIS, Bench, site_add};
use crate::demo::world::World;

#[tokio::test]
async fn credentials_that_work_open_a_connection() {
    let bench = Bench::new().await;
    let added = bench.add_site().await;
    assert_eq!(added["host"], bench.host());
    assert_eq!(added["cloud_id"], bench.site.cloud_id());
    assert_eq!((&added["connection"], &added["writes"]), (&json!("oauth_credentials"), &json!(true)));
    let listed = bench.done(Command::SiteList).await;
    let site = &listed["sites"][0];
    assert_eq!(
        (&site["id"], &site["condition"], &site["remedy"]),
        (&added["site"], &json!("active"), &json!(null))
    );
    assert_eq!(site["connections"][0]["kind"], "oauth_credentials");
    assert_eq!(site["connections"][0]["writes"], true);
    assert_eq!((&site["subscriptions"], &site["draft"]), (&json!(0), &json!("unknown")));
}

#[tokio::test]
async fn credentials_that_are_not_proved_are_not_stored() {
    let bench = Bench::new().await;
    let (id, secret) = bench.site.add_oauth_credentials(&APIS);
    let (builds_id, builds_secret) = bench.site.add_oauth_credentials(&[Api::Builds]);
    let elsewhere = bench.jira.site("elsewhere").await.unwrap();
    let (other_id, other_secret) = elsewhere.add_oauth_credentials(&APIS);
    let host = bench.host();
    for (site, id, secret, cause) in [
        (host.as_str(), id.as_str(), "wrong", "rejects the client id and secret"),
        (&host, "wrong", &secret, "rejects the client id and secret"),
        (&host, "", &secret, "both needed"),
        (&host, &builds_id, &builds_secret, "no access to development information"),
        (&host, &other_id, &other_secret, "no access to development information"),
        ("127.0.0.1:9", &id, &secret, "can't be reached"),
        (bench.gitlab.url(), &id, &secret, "does not answer as a Jira Cloud site"),
        ("", &id, &secret, "not a host name"),
        ("acme.atlassian.net/jira", &id, &secret, "has a path"),
        ("jira.example.com", &id, &secret, "not a Jira Cloud site"),
        ("http://acme.atlassian.net", &id, &secret, "only https"),
        ("10.0.0.1", &id, &secret, "private"),
        ("https://user@acme.atlassian.net", &id, &secret, "user name"),
    ] {
        let sentence = Bench::refused(bench.run(site_add(site, id, secret)).await);
        assert!(sentence.contains(cause), "{site}: {sentence}");
        assert!(bench.operator.store.sites().await.unwrap().is_empty(), "{site}");
    }
}

/// A kept token of an earlier secret must not speak for a later one.
#[tokio::test]
async fn a_wrong_secret_is_refused_after_a_right_one_too() {
    let bench = Bench::new().await;
    let (id, secret) = bench.site.add_oauth_credentials(&APIS);
    bench.done(site_add(&bench.host(), &id, &secret)).await;
    bench.operator.find_site(&bench.host()).await.unwrap();
    bench.done(Command::GroupLink(bench.adas())).await;
    let sentence = Bench::refused(bench.run(site_add(&bench.host(), &id, "wrong")).await);
    assert!(sentence.contains("rejects the client id and secret"), "{sentence}");
}

#[tokio::test]
async fn only_listed_sites_when_a_list_is_given() {
    let mut bench = Bench::new().await;
    bench.operator.allowed_jira_sites = ["acme.atlassian.net".to_owned()].into();
    let (id, secret) = bench.site.add_oauth_credentials(&APIS);
    let sentence = Bench::refused(bench.run(site_add(&bench.host(), &id, &secret)).await);
    assert!(sentence.contains("ALLOWED_JIRA_SITES"), "{sentence}");
    bench.operator.allowed_jira_sites = [bench.host()].into();
    bench.done(site_add(&bench.host(), &id, &secret)).await;
}

#[tokio::test]
async fn new_credentials_renew_the_connection_and_end_the_backoff() {
    let bench = Bench::new().await;
    let first = bench.add_site().await;
    let site = bench.stored_site().await;
    let store = &bench.operator.store;
    store.set_condition(&site, SiteCondition::CredentialRejected).await.unwrap();
    let until = bench.operator.clock.now().after(std::time::Duration::from_secs(900));
    let backoff = json!({ "until": until, "since": 0, "row": 3, "reason": "Jira refuses the credential." });
    let backoff: Backoff = serde_json::from_value(backoff).unwrap();
    for scope in [BackoffScope::Site(site.id), BackoffScope::Api(site.id, JiraApi::Builds)] {
        store.begin_backoff(&scope, &backoff).await.unwrap();
    }
    let status = bench.done(Command::Status).await;
    assert_eq!(status["sites"][0]["condition"], "credential_rejected");
    let backoffs = status["sites"][0]["backoffs"].as_array().unwrap();
    assert_eq!(backoffs.iter().map(|backoff| &backoff["what"]).collect::<Vec<_>>(), ["jira", "jira builds"]);

    let second = bench.add_site().await;
    assert_eq!(second["site"], first["site"]);
    let status = bench.done(Command::Status).await;
    assert_eq!(status["sites"][0]["condition"], "active");
    assert_eq!(status["sites"][0]["backoffs"], json!([]));
    assert_eq!(store.installations(site.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_site_that_was_renamed_is_found_again_under_its_new_name() {
    let bench = Bench::new().await;
    let first = bench.add_site().await;
    let old = bench.host();
    let (id, secret) = bench.site.add_oauth_credentials(&APIS);
    bench.site.rename_to("renamed").await.unwrap();
    let sentence = Bench::refused(bench.run(site_add(&old, &id, &secret)).await);
    assert!(sentence.contains("was renamed"), "{sentence}");
    let second = bench.done(site_add(&bench.host(), &id, &secret)).await;
    assert_eq!(second["site"], first["site"]);
    assert_ne!(bench.host(), old);
    assert_eq!(bench.stored_site().await.host(), bench.host());
}

#[tokio::test]
async fn an_outage_is_told_from_a_wrong_credential() {
    let bench = Bench::new().await;
    let (id, secret) = bench.site.add_oauth_credentials(&APIS);
    for (rule, cause) in [
        (FailureRule::status(503).on(Api::Edge), "does not answer now"),
        (FailureRule::status(503).on(Api::DevInfo), "does not answer now"),
        (FailureRule::rate_limit("jira-burst-based", 5).on(Api::DevInfo), "rate limit"),
        (FailureRule::drop_connection().on(Api::Token), "can't be reached"),
    ] {
        bench.site.fail(rule);
        let sentence = Bench::refused(bench.run(site_add(&bench.host(), &id, &secret)).await);
        assert!(sentence.contains(cause), "{sentence}");
        bench.site.clear_failures();
    }
    assert!(bench.operator.store.sites().await.unwrap().is_empty());
}

/// A Connect site joins by what it proved when it was linked, never by its host's name.
#[tokio::test]
async fn a_connect_site_is_joined_once_it_has_proved_itself() {
    let world = World::start(Version::V19_1, std::sync::Arc::new(shared::clock::SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let store = &world.local.operator.store;
    assert_eq!(store.sites().await.unwrap()[0].cloud_id, None);
    let ada = world.gitlab.user("ada");
    world.gitlab.group("acme", Tier::Premium).grant(&ada, standins::gitlab::Role::Owner);
    world.link("acme", &ada.token(&["api"])).await.unwrap();
    assert_eq!(store.sites().await.unwrap()[0].cloud_id.as_deref(), Some(world.site.cloud_id()));

    let added = world.add_oauth_credentials().await.unwrap();
    assert_eq!(added["writes"], false);
    let site = store.sites().await.unwrap().remove(0);
    let connections = store.installations(site.id).await.unwrap();
    assert_eq!(connections.len(), 2);
    let writer = connections.iter().find(|connection| Some(connection.id) == site.writer).unwrap();
    assert_eq!(writer.connection.kind(), ConnectionKind::Connect);

    // Without the app, the next credential takes over.
    world.site.uninstall().await.unwrap();
    let added = world.add_oauth_credentials().await.unwrap();
    assert_eq!((&added["writes"], &added["site"]), (&json!(true), &json!(site.id)));
    let site = store.sites().await.unwrap().remove(0);
    assert_eq!(site.state.condition, SiteCondition::Active);
}

#[tokio::test]
async fn a_connect_site_that_has_not_proved_itself_stays_apart() {
    let world = World::start(Version::V19_1, std::sync::Arc::new(shared::clock::SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let added = world.add_oauth_credentials().await.unwrap();
    assert!(added["notes"][0].as_str().unwrap().contains("second time"), "{added}");
    let operator = &world.local.operator;
    assert_eq!(operator.store.sites().await.unwrap().len(), 2);
    let host = world.site.base_url();
    let sentence = operator.find_site(&host).await.unwrap_err().sentence;
    assert!(sentence.contains("name one by its id"), "{sentence}");
    let by_key = operator.find_site(&world.site.client_key()).await.unwrap();
    let by_id = operator.find_site(added["site"].as_str().unwrap()).await.unwrap();
    assert_ne!(by_key.id, by_id.id);
    // No list and no sentence tells the clientKey.
    let listed = world.command(Command::SiteList).await.unwrap();
    assert!(!listed.to_string().contains(&world.site.client_key()));

    // Linking through the app says which site it is, and that it is known already.
    let ada = world.gitlab.user("ada");
    world.gitlab.group("acme", Tier::Premium).grant(&ada, standins::gitlab::Role::Owner);
    let link = world.link_command("acme", &ada.token(&["api"]), super::CredentialChoice::None);
    let Command::GroupLink(link) = link else { panic!("a link") };
    let linked = world
        .command(Command::GroupLink(super::GroupLink { site: by_key.id.to_string(), ..link }))
        .await
        .unwrap();
    assert!(linked["notes"][0].as_str().unwrap().contains("same Jira site"), "{linked}");
}

#[tokio::test]
async fn a_site_with_links_is_not_removed() {
    let bench = Bench::new().await;
    bench.add_site().await;
    let linked = bench.done(Command::GroupLink(bench.adas())).await;
    let remove = || Command::SiteRemove { site: bench.host().to_uppercase() };
    let sentence = Bench::refused(bench.run(remove()).await);
    assert!(
        sentence.contains(linked["subscription"].as_str().unwrap()) && sentence.contains("acme"),
        "{sentence}"
    );
    bench.done(super::unlink(&linked["subscription"])).await;
    bench.done(remove()).await;
    assert_eq!(bench.done(Command::SiteList).await, json!({ "sites": [] }));
    let sentence = Bench::refused(bench.run(remove()).await);
    assert!(sentence.contains("gitlab-jira site list"), "{sentence}");
    // The same site can be added again.
    bench.add_site().await;
}
