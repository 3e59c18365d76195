//! The Forge connection: what Forge delivers, what it repeats, what it leaves out, and whose calls are refused.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, ConnectionName};
use serde_json::{Value, json};
use shared::clock::{Clock as _, ScaledClock, SystemClock};
use shared::domain::ConnectionKind;
use standins::gitlab::{Version, commit};
use standins::jira::{Api, Connection, FailureRule, ForgeInstallation, RemoteCall, RsaKey, Signature};

use crate::stage::Stage;

async fn world() -> World {
    World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap()
}

/// A stage behind the Forge connection, and Forge's side of it.
async fn stage() -> (Stage, ForgeInstallation) {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    (Stage::linked(world).await, forge)
}

/// The same with a clock that can be put forward. GitLab's signatures go by the machine's, so its hooks don't sign.
async fn timed_stage() -> (Stage, ForgeInstallation, Arc<ScaledClock>) {
    let clock = Arc::new(ScaledClock::new(1));
    let world = World::start(Version::V17_3, clock.clone()).await.unwrap();
    let forge = world.install_forge_app().await.unwrap();
    (Stage::linked(world).await, forge, clock)
}

async fn until(holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it happens in time");
}

async fn push(stage: &Stage, key: &str) {
    stage.api.push(&format!("{key}-x"), [commit(&format!("{key} x")).adds("a", 1)]).await;
    stage.settled().await;
}

fn branches(stage: &Stage, key: &str) -> usize {
    stage.world.site.issue(key).branches.len()
}

async fn sites(world: &World) -> Vec<Value> {
    world.command(Command::SiteList).await.unwrap()["sites"].as_array().unwrap().clone()
}

async fn condition(world: &World) -> String {
    sites(world).await[0]["condition"].as_str().unwrap().to_owned()
}

/// Tokens have whole seconds, and a later one has to be in a later second.
async fn next_second() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

#[tokio::test]
async fn lifecycle_calls_may_be_repeated_and_delivered_twice() {
    let (stage, forge) = stage().await;
    for _ in 0..2 {
        assert_eq!(forge.deliver("avi:forge:installed:app").await.unwrap(), [200]);
        assert_eq!(forge.deliver("avi:forge:upgraded:app").await.unwrap(), [200]);
        assert_eq!(forge.tick().await.unwrap(), [200]);
    }
    let sites = sites(&stage.world).await;
    assert_eq!((sites.len(), sites[0]["connections"].as_array().unwrap().len()), (1, 1));
    push(&stage, "PAY-1").await;
    assert_eq!(branches(&stage, "PAY-1"), 1);
    assert!(stage.world.site.recorded().iter().all(|call| call.connection == Connection::Forge));
}

/// The `installed` call never came: the hourly call does its work.
#[tokio::test]
async fn any_call_of_the_app_replaces_one_that_was_lost() {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    let site = sites(&world).await[0]["id"].as_str().unwrap().to_owned();
    world.command(Command::SiteRemove { site }).await.unwrap();
    assert!(sites(&world).await.is_empty());
    assert_eq!(forge.tick().await.unwrap(), [200]);
    let found = sites(&world).await;
    assert_eq!(found[0]["base_url"], world.site.base_url());
    let (connection, needs) = (&found[0]["connections"][0]["kind"], &found[0]["connections"][0]["needs"]);
    assert_eq!((connection, needs), (&json!("forge"), &Value::Null));
}

/// F2 to F7, F30: what a stranger can send, on every path. None of it changes anything.
#[tokio::test]
async fn strangers_change_nothing() {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    let before = sites(&world).await;
    let other_key = Arc::new(RsaKey::generate().unwrap());
    let now = SystemClock.now().seconds();
    let public = Signature::Hmac(world.jira.signing_key().public_pem().into_bytes());
    let spoil: [(&str, &dyn Fn(RemoteCall) -> RemoteCall); 12] = [
        ("no token", &|call| call.unauthorized()),
        ("another key", &|call| call.signed_with(Signature::Rsa(other_key.clone()))),
        ("HS256 with the public key", &|call| call.header("alg", "HS256").signed_with(public.clone())),
        ("alg none", &|call| call.header("alg", "none").signed_with(Signature::Empty)),
        ("an unknown kid", &|call| call.header("kid", other_key.kid())),
        ("no kid", &|call| call.header("kid", Value::Null)),
        ("another app", &|call| call.claim("aud", "ari:cloud:ecosystem::app/another")),
        ("another issuer", &|call| call.claim("iss", "somebody")),
        ("over", &|call| call.claim("exp", now - 60)),
        ("no end", &|call| call.claim("exp", Value::Null)),
        ("not yet", &|call| call.claim("nbf", now + 600)),
        ("another environment", &|call| call.app_claim("environment", json!({ "type": "DEVELOPMENT" }))),
    ];
    for (what, spoil) in spoil {
        for call in [
            forge.event("avi:forge:installed:app"),
            forge.hourly(),
            forge.before_uninstall(),
            forge.page("admin", "/forge/page"),
        ] {
            let answer = spoil(call.unwrap().with_system_token(Some("stolen"))).send().await.unwrap();
            assert_eq!(answer.status, 401, "{what}");
            // The page gets its refusals as JSON. Nobody gets a reason.
            assert!(["", r#"{"error":""}"#].contains(&answer.text.as_str()), "{what}: {}", answer.text);
        }
    }
    assert_eq!(sites(&world).await, before);
    // The token that came with the install is still the one that works.
    push(&Stage::linked(world).await, "PAY-1").await;
}

/// What is in a browser must not be good for the app's own endpoints, nor the other way round.
#[tokio::test]
async fn a_persons_token_opens_the_page_only() {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    let page = forge.page("admin", "/forge/page").unwrap();
    for path in ["/forge/lifecycle", "/forge/token", "/forge/uninstall"] {
        assert_eq!(page.clone().to_path(path).send().await.unwrap().status, 401, "{path}");
    }
    let hourly = forge.hourly().unwrap().to_path("/forge/page");
    assert_eq!(hourly.send().await.unwrap().status, 401);
    let elsewhere = page.clone().app_claim("module", json!({ "type": "jira:issuePanel", "key": "x" }));
    assert_eq!(elsewhere.send().await.unwrap().status, 401);
    assert_eq!(page.send().await.unwrap().status, 200);
    assert_eq!(condition(&world).await, "active");
}

/// The site is named in the token; the body may say what it likes.
#[tokio::test]
async fn a_site_named_in_the_body_is_ignored() {
    let world = world().await;
    let other = world.jira.site("other").await.unwrap();
    let forge = world.install_forge_app().await.unwrap();
    let call = forge.hourly().unwrap();
    let call = call.field("context", json!({ "cloudId": other.cloud_id(), "siteUrl": other.base_url() }));
    assert_eq!(call.send().await.unwrap().status, 200);
    let sites = sites(&world).await;
    assert_eq!((sites.len(), &sites[0]["cloud_id"]), (1, &json!(world.site.cloud_id())));
}

/// F31.
#[tokio::test]
async fn f31_a_call_without_a_system_token_says_what_is_wrong_with_the_manifest() {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    let answer = forge.hourly().unwrap().with_system_token(None).send().await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("appSystemToken"), "{}", answer.text);
}

#[tokio::test]
async fn without_an_app_id_forge_is_answered_404() {
    let variables = [("FORGE_APP_ID", "")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    for path in ["/forge/lifecycle", "/forge/token", "/forge/uninstall", "/forge/page"] {
        let url = format!("{}{path}", world.base_url());
        let answer = reqwest::Client::new().post(url).bearer_auth("x.y.z").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.text().await.unwrap().contains("FORGE_APP_ID"));
    }
}

#[tokio::test]
async fn only_listed_sites_may_install() {
    let variables = [("ALLOWED_JIRA_SITES", "elsewhere.atlassian.net")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    world.deploy_forge_app().unwrap();
    let forge = world.forge.installation(&world.site);
    let answer = forge.event("avi:forge:installed:app").unwrap().send().await.unwrap();
    assert_eq!(answer.status, 403);
    assert!(answer.text.contains("ALLOWED_JIRA_SITES"), "{}", answer.text);
    assert!(sites(&world).await.is_empty());
}

#[tokio::test]
async fn the_page_shows_connections_and_links() {
    let (stage, forge) = stage().await;
    let answer = forge.page("admin", "/forge/page").unwrap().send().await.unwrap();
    assert_eq!(answer.status, 200);
    let page = &answer.body;
    let host = stage.world.site.base_url().split_once("://").unwrap().1.to_owned();
    assert_eq!((&page["site"]["host"], &page["site"]["condition"]), (&json!(host), &json!("active")));
    let connection = &page["connections"][0];
    assert_eq!(
        (&connection["kind"], &connection["writes"], &connection["here"]),
        (&json!("forge"), &json!(true), &json!(true))
    );
    assert_eq!((&page["links"][0]["path"], &page["links"][0]["linked_by"]), (&json!("acme"), &json!("ada")));
    assert!(!answer.text.contains("eyJ"), "no token");
}

/// What is due so soon after a token has come that all of it is sent ten seconds after.
async fn ten_seconds_later(stage: &Stage, clock: &ScaledClock, keys: &[String]) {
    let began = clock.now();
    clock.put_forward(Duration::from_secs(7));
    until(async || keys.iter().all(|key| branches(stage, key) == 1)).await;
    let took = clock.now().since(began);
    assert!(took <= Duration::from_secs(10), "{took:?}");
}

/// FF1. Hours without a token: work waits, the site says why, and the next token ends it.
#[tokio::test]
async fn ff1_a_gap_of_six_hours_loses_nothing_and_ends_with_the_token() {
    let (stage, forge, clock) = timed_stage().await;
    clock.put_forward(Duration::from_secs(6 * 3600));
    let keys: Vec<String> = (1..=8).map(|number| format!("PAY-{number}")).collect();
    for key in &keys {
        stage.api.push(&format!("{key}-x"), [commit(&format!("{key} x")).adds("a", 1)]).await;
    }
    until(async || condition(&stage.world).await == "awaiting_token").await;
    stage.settled().await;
    // Held for two hours more, through a thousand checks.
    for _ in 0..2 {
        clock.put_forward(Duration::from_secs(3600));
        stage.settled().await;
    }
    assert_eq!((branches(&stage, "PAY-1"), stage.dead().await), (0, 0));
    let found = sites(&stage.world).await;
    assert!(found[0]["remedy"].as_str().unwrap().contains("forge logs"));
    assert!(found[0]["connections"][0]["needs"].as_str().unwrap().contains("token"));
    let diagnosis = stage.command(Command::Doctor).await.to_string();
    assert!(diagnosis.contains("has no token that can be used"), "{diagnosis}");
    assert_eq!(forge.tick().await.unwrap(), [200]);
    assert_eq!(condition(&stage.world).await, "active");
    ten_seconds_later(&stage, &clock, &keys).await;
    // FF14: what can't be asked is said.
    let diagnosis = stage.command(Command::Doctor).await.to_string();
    assert!(diagnosis.contains("Sharing") && diagnosis.contains("/manage/distribution"), "{diagnosis}");
}

/// FF1, FF2: Jira refuses the token, and the pauses have grown; the next one ends them.
#[tokio::test]
async fn ff2_the_next_token_ends_the_backoff_that_a_refused_token_began() {
    let (stage, forge, clock) = timed_stage().await;
    clock.put_forward(Duration::from_secs(1_200));
    stage.world.site.expire_tokens();
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    until(async || condition(&stage.world).await == "credential_rejected").await;
    for pause in [60, 120, 240] {
        stage.settled().await;
        let calls = stage.world.site.calls().total();
        clock.put_forward(Duration::from_secs(pause));
        until(async || stage.world.site.calls().total() > calls).await;
    }
    stage.settled().await;
    assert_eq!(forge.tick().await.unwrap(), [200]);
    assert_eq!(condition(&stage.world).await, "active");
    ten_seconds_later(&stage, &clock, &["PAY-1".to_owned()]).await;
}

/// FF4, FF5.
#[tokio::test]
async fn ff4_ff5_an_installation_of_one_site_does_not_open_another() {
    let (stage, forge) = stage().await;
    let other = stage.world.jira.site("other").await.unwrap();
    let of_other = stage.world.forge.installation(&other);
    assert_eq!(of_other.deliver("avi:forge:installed:app").await.unwrap(), [200]);
    next_second().await;
    let before = sites(&stage.world).await;
    for call in [
        of_other.event("avi:forge:upgraded:app"),
        of_other.hourly(),
        of_other.before_uninstall(),
        of_other.page("admin", "/forge/page"),
    ] {
        let answer = call.unwrap().app_claim("installationId", forge.id()).send().await.unwrap();
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(answer.text.contains("belongs to another site"), "{}", answer.text);
    }
    assert_eq!(sites(&stage.world).await, before);
    push(&stage, "PAY-1").await;
    assert_eq!(branches(&stage, "PAY-1"), 1);
}

/// FF6.
#[tokio::test]
async fn ff6_forges_token_comes_as_bearer_and_as_nothing_else() {
    let world = world().await;
    let forge = world.install_forge_app().await.unwrap();
    let url = format!("{}/forge/token", world.base_url());
    for (scheme, status) in [("Basic", 401), ("JWT", 401), ("Token", 401), ("Bearer", 200)] {
        let call = forge.hourly().unwrap();
        let answer = reqwest::Client::new()
            .post(&url)
            .header("authorization", format!("{scheme} {}", call.token()))
            .header("x-forge-oauth-system", call.system_token().unwrap());
        assert_eq!(answer.send().await.unwrap().status(), status, "{scheme}");
    }
}

/// Deactivated for three days, and after one of them Forge brings nothing any more: the condition says so, and
/// nothing is lost.
#[tokio::test]
async fn three_days_of_suspension_lose_nothing() {
    let (stage, forge, clock) = timed_stage().await;
    stage.world.site.suspend();
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.settled().await;
    for _ in 0..25 {
        let calls = stage.world.site.calls().total();
        clock.put_forward(Duration::from_secs(3600));
        assert_eq!(forge.tick().await.unwrap(), [200]);
        until(async || stage.world.site.calls().total() > calls).await;
        // What would still be at work would wait from after the next jump on.
        stage.settled().await;
    }
    until(async || condition(&stage.world).await == "suspended").await;
    stage.settled().await;
    clock.put_forward(Duration::from_secs(47 * 3600));
    until(async || condition(&stage.world).await == "awaiting_token").await;
    stage.settled().await;
    stage.world.site.resume();
    assert_eq!(forge.tick().await.unwrap(), [200]);
    clock.put_forward(Duration::from_secs(900));
    until(async || branches(&stage, "PAY-1") == 1).await;
    until(async || condition(&stage.world).await == "active").await;
    assert_eq!(stage.dead().await, 0);
}

/// Atlassian's gateway knows a site by its id, so a new name changes nothing but what people read.
#[tokio::test]
async fn a_renamed_site_goes_on_and_is_called_by_its_new_name() {
    let (stage, forge) = stage().await;
    stage.world.site.rename_to("acme-2").await.unwrap();
    push(&stage, "PAY-1").await;
    assert_eq!((branches(&stage, "PAY-1"), condition(&stage.world).await), (1, "active".to_owned()));
    assert_eq!(forge.page("admin", "/forge/page").unwrap().send().await.unwrap().status, 200);
    assert_eq!(sites(&stage.world).await[0]["base_url"], stage.world.site.base_url());
}

/// Permissions reach Jira some minutes after the install: work waits, and nothing is reported as wrong.
#[tokio::test]
async fn refusals_in_the_first_minutes_are_waited_out() {
    let (stage, forge) = stage().await;
    stage.world.site.expire_tokens();
    push(&stage, "PAY-1").await;
    assert_eq!((branches(&stage, "PAY-1"), condition(&stage.world).await), (0, "active".to_owned()));
    let status = stage.command(Command::Status).await;
    assert_eq!((&status["queues"]["events"]["delayed"], stage.dead().await), (&json!(1), 0), "{status}");
    assert_eq!(forge.tick().await.unwrap(), [200]);
}

/// Later the same refusal means that the app is gone, and the site's condition says so.
#[tokio::test]
async fn a_later_refusal_sets_the_sites_condition() {
    let (stage, forge, clock) = timed_stage().await;
    clock.put_forward(Duration::from_secs(1_200));
    forge.remove();
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    until(async || condition(&stage.world).await == "credential_rejected").await;
    stage.settled().await;
    assert_eq!(stage.dead().await, 0);
    // It was installed again: the new installation goes on where the old one ended.
    clock.put_forward(Duration::from_secs(900));
    let again = stage.world.install_forge_app().await.unwrap();
    until(async || branches(&stage, "PAY-1") == 1).await;
    assert_ne!(again.id(), forge.id());
    assert_eq!(sites(&stage.world).await.len(), 1);
}

/// F68, F69.
#[tokio::test]
async fn f68_an_uninstall_holds_the_work_and_a_new_install_goes_on() {
    let (stage, forge) = stage().await;
    next_second().await;
    assert_eq!(forge.uninstall().await.unwrap(), 200);
    assert_eq!(forge.before_uninstall().unwrap().send().await.unwrap().status, 200);
    push(&stage, "PAY-1").await;
    assert_eq!((branches(&stage, "PAY-1"), condition(&stage.world).await), (0, "uninstalled".to_owned()));
    // A call of the old installation that was under way does not bring it back.
    assert_eq!(forge.tick().await.unwrap(), [200]);
    assert_eq!(condition(&stage.world).await, "uninstalled");
    next_second().await;
    stage.world.install_forge_app().await.unwrap();
    push(&stage, "PAY-2").await;
    assert_eq!((branches(&stage, "PAY-2"), condition(&stage.world).await), (1, "active".to_owned()));
}

/// F53: the same links, whatever connection comes when.
#[tokio::test]
async fn f53_the_app_joins_a_site_and_takes_over_when_told_to() {
    for first in [ConnectionKind::Connect, ConnectionKind::OauthCredentials] {
        let stage = Stage::through(first).await;
        push(&stage, "PAY-1").await;
        let forge = stage.world.install_forge_app().await.unwrap();
        let found = sites(&stage.world).await;
        assert_eq!((found.len(), found[0]["connections"].as_array().unwrap().len()), (1, 2), "{found:?}");
        // It is a standby: nothing is written through it.
        push(&stage, "PAY-2").await;
        assert!(stage.world.site.recorded().iter().all(|call| call.connection != Connection::Forge));

        switch(&stage, ConnectionName::Forge).await;
        // What the previous connection had sent is deleted, and sent again.
        stage.world.history_ended(stage.link["subscription"].as_str().unwrap()).await.unwrap();
        assert_eq!([branches(&stage, "PAY-1"), branches(&stage, "PAY-2")], [1, 1]);
        let calls = stage.world.site.recorded().len();
        push(&stage, "PAY-3").await;
        let later = stage.world.site.recorded();
        assert!(
            later.len() > calls && later[calls..].iter().all(|call| call.connection == Connection::Forge)
        );
        assert_eq!(branches(&stage, "PAY-3"), 1);
        let found = sites(&stage.world).await;
        assert!(found[0]["needs_resync_since"].is_null());

        // And back. Uninstalling the standby leaves the other.
        let back =
            if first == ConnectionKind::Connect { ConnectionName::Connect } else { ConnectionName::Oauth };
        switch(&stage, back).await;
        stage.world.history_ended(stage.link["subscription"].as_str().unwrap()).await.unwrap();
        next_second().await;
        assert_eq!(forge.uninstall().await.unwrap(), 200);
        push(&stage, "PAY-4").await;
        assert_eq!([branches(&stage, "PAY-3"), branches(&stage, "PAY-4")], [1, 1]);
    }
}

#[tokio::test]
async fn a_standby_takes_over_when_the_writing_connection_is_gone() {
    let stage = Stage::new().await;
    let forge = stage.world.install_forge_app().await.unwrap();
    next_second().await;
    assert_eq!(stage.world.site.uninstall().await.unwrap(), 200);
    assert_eq!(condition(&stage.world).await, "uninstalled");
    assert_eq!(forge.tick().await.unwrap(), [200]);
    push(&stage, "PAY-1").await;
    assert_eq!((branches(&stage, "PAY-1"), condition(&stage.world).await), (1, "active".to_owned()));
    let site = &sites(&stage.world).await[0];
    assert!(site["needs_resync_since"].is_string(), "Jira has deleted what Connect had sent: {site}");
}

async fn switch(stage: &Stage, to: ConnectionName) {
    let site = stage.world.site.base_url();
    let command = Command::SiteSwitch { site, to, keep_jira_data: false };
    stage.command(command).await;
}

#[tokio::test]
async fn a_switch_to_a_connection_that_does_not_exist_is_refused() {
    let stage = Stage::new().await;
    let site = stage.world.site.base_url();
    let command = Command::SiteSwitch { site, to: ConnectionName::Forge, keep_jira_data: false };
    let refusal = stage.world.command(command).await.unwrap_err();
    assert!(refusal.sentence.contains("install.sh"), "{refusal}");
    assert_eq!(condition(&stage.world).await, "active");
}

/// A switch of connections that was interrupted holds the work, says so, and can be repeated.
#[tokio::test]
async fn an_interrupted_switch_can_be_repeated() {
    let stage = Stage::new().await;
    push(&stage, "PAY-1").await;
    stage.world.install_forge_app().await.unwrap();
    stage.world.site.fail(FailureRule::status(503).on(Api::Builds).times(1));
    let site = stage.world.site.base_url();
    let command = Command::SiteSwitch { site, to: ConnectionName::Forge, keep_jira_data: false };
    let refusal = stage.world.command(command.clone()).await.unwrap_err();
    assert!(refusal.sentence.contains("site switch"), "{refusal}");
    assert_eq!(condition(&stage.world).await, "switching");
    push(&stage, "PAY-2").await;
    assert_eq!((branches(&stage, "PAY-2"), stage.dead().await), (0, 0));
    stage.command(command).await;
    assert_eq!(condition(&stage.world).await, "active");
    assert_eq!(branches(&stage, "PAY-1"), 0);
}

/// A tenant that says in its install that it is another site gets nothing of that site, and is not in its way.
#[tokio::test]
async fn nobody_takes_over_a_site_by_naming_its_address() {
    // The impostor comes first.
    let world = world().await;
    let impostor = world.jira.site("impostor").await.unwrap();
    impostor.install(&world.connect_base_url()).await.unwrap();
    let named = impostor.lifecycle_call("installed").unwrap().field("baseUrl", world.site.base_url());
    next_second().await;
    named.send().await.unwrap();
    world.install_forge_app().await.unwrap();
    let found = sites(&world).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let genuine = found.iter().find(|site| site["cloud_id"] == world.site.cloud_id()).unwrap();
    assert_eq!(genuine["connections"].as_array().unwrap().len(), 1);
    assert_eq!(genuine["connections"][0]["kind"], "forge");

    // The impostor comes last.
    let stage = {
        let world = self::world().await;
        world.install_forge_app().await.unwrap();
        Stage::linked(world).await
    };
    let impostor = stage.world.jira.site("impostor").await.unwrap();
    impostor.install(&stage.world.connect_base_url()).await.unwrap();
    next_second().await;
    let named = impostor.lifecycle_call("installed").unwrap().field("baseUrl", stage.world.site.base_url());
    named.send().await.unwrap();
    let found = sites(&stage.world).await;
    assert_eq!(found.len(), 2, "{found:?}");
    for site in &found {
        let is_genuine = site["cloud_id"] == stage.world.site.cloud_id();
        assert_eq!(site["subscriptions"], u64::from(is_genuine), "{site}");
        assert_eq!(site["connections"].as_array().unwrap().len(), 1);
    }
    push(&stage, "PAY-1").await;
    assert_eq!(branches(&stage, "PAY-1"), 1);
}
