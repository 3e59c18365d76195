//! The story that the demo tells: an install, a link, and events of every kind.

use std::sync::OnceLock;

use serde_json::Value;
use serde_json::json;
use shared::domain::ConnectionKind;
use standins::gitlab::{ProjectHandle, Role, Tier, UserHandle, commit, merge_request};
use standins::jira::{FailureRule, IssueView};

use super::app::App;
use super::timeline::{Teller, Timeline};
use super::world::World;
use crate::operate::{Command, CredentialChoice, HistoryAction};

/// The issues that the story is about, with their titles: Jira's stand-in knows none.
pub const ISSUES: &[(&str, &str)] = &[
    ("PAY-2", "Keep a log of every payment"),
    ("PAY-7", "Webhooks to shops get lost"),
    ("PAY-8", "Tell shops about every refund"),
    ("PAY-9", "Try another ledger"),
    ("PAY-11", "Round amounts fairly"),
    ("PAY-12", "Limit refunds per day"),
    ("PAY-13", "Print receipts"),
    ("PAY-16", "Pay from a wallet"),
    ("PAY-17", "Have a dark mode"),
    ("OPS-3", "Rotate the keys"),
];

/// The step of the webhook that is delivered twice.
pub const REPEAT: &str = "GitLab delivers the same webhook again: it changes nothing";

/// How long Jira asks its callers to stay away while it is down, in seconds.
const RETRY_AFTER: u64 = 2;

/// What is to be checked of the story beside the issues at its end.
#[derive(Debug)]
pub struct Ending {
    /// PAY-13 before and after a webhook of it was delivered again.
    pub repeated: [IssueView; 2],
    /// What the audit has found.
    pub audit: Value,
}

/// Plays it, saying at each step what was done and what Jira was told.
pub async fn play(
    world: &World,
    connection: ConnectionKind,
    timeline: &Timeline,
    app: &OnceLock<App>,
) -> anyhow::Result<Ending> {
    let mut teller = Teller::new(world, timeline);
    world.site.add_issue_range("PAY", 1..=20);
    world.site.add_issues(["OPS-3"]);

    let _ = app.set(App::connect(world, connection).await?);
    let opened = match connection {
        ConnectionKind::Forge => {
            "Forge installs the app: the bundle verified the invocation token and sealed the token for Jira"
        }
        ConnectionKind::OauthCredentials => {
            "OAuth credentials are added: the bundle proved them by a call to Jira and sealed the secret"
        }
        ConnectionKind::Connect => {
            "Jira installs the app: the bundle verified the signed event and sealed the shared secret"
        }
    };
    teller.tell(opened).await?;

    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group("acme/payments", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let api = group.project("api").acting_as(&ada).described("Payment API");
    api.push("main", [commit("Start").adds("README.md", 3)]).await;
    before_linking(&api).await;
    let mut command = world.link_command("acme/payments", &ada.token(&["api"]), CredentialChoice::Auto);
    if let Command::GroupLink(link) = &mut command {
        link.project_keys = vec!["PAY".to_owned()];
        link.history = true;
    }
    let link = world.command(command).await?;
    teller
        .tell("The GitLab group acme/payments is linked for the Jira project PAY: one group hook, one group access token")
        .await?;
    let history = world.history_ended(link["subscription"].as_str().unwrap_or_default()).await?;
    let (keyed, sent) = (&history["progress"]["keyed"], &history["progress"]["sent"]);
    teller
        .tell(&format!("What had happened before follows: {sent} of {keyed} things that name issues are on them, and no rule in Jira was started"))
        .await?;

    pushes(&mut teller, &api).await?;
    merge_requests(&mut teller, world, &api, &ada).await?;
    pipelines(&mut teller, &api).await?;
    releases(&mut teller, &api).await?;
    outage(&mut teller, world, &api).await?;
    let repeated = repeat(&mut teller, world, &api).await?;
    other_project(&mut teller, &api).await?;
    let audit = audit(&mut teller, world, link["subscription"].as_str().unwrap_or_default()).await?;
    Ok(Ending { repeated, audit })
}

/// An audit, which shows that nothing is missing.
async fn audit(teller: &mut Teller<'_>, world: &World, link: &str) -> anyhow::Result<Value> {
    world.settled().await?;
    world
        .command(Command::History {
            link: link.to_owned(),
            action: HistoryAction::Audit { remove_branches: false },
        })
        .await?;
    let audit = world.history_ended(link).await?["audit"].take();
    teller
        .tell(&format!("An audit compares what GitLab has with what Jira accepted, and sends what no webhook announced ({}): {} of {} things that name issues are missing", audit["repaired"], audit["missing"], audit["keyed"]))
        .await?;
    Ok(audit)
}

/// A merge request with its pipeline, long done.
async fn before_linking(api: &ProjectHandle) {
    api.push("PAY-2-log", [commit("PAY-2 Log every payment").adds("src/log.rs", 25)]).await;
    api.start_pipeline("PAY-2-log").await.with_tests(96, 0, 0).status("success").await;
    api.open_merge_request(merge_request("PAY-2-log", "PAY-2 Log every payment")).await.merge().await;
}

async fn pushes(teller: &mut Teller<'_>, api: &ProjectHandle) -> anyhow::Result<()> {
    let commits = [
        commit("PAY-7 Retry failed webhooks").file("src/retry.rs", 42, 7).adds("src/backoff.rs", 60),
        commit("Explain the retries").file("README.md", 12, 0),
    ];
    api.push("PAY-7-retry", commits).await;
    teller.tell("Ada pushes two commits to the new branch PAY-7-retry").await?;

    api.push("main", [commit("Encode everything as UTF-8").file("src/text.rs", 4, 4)]).await;
    teller
        .tell("Ada pushes \"Encode everything as UTF-8\": it looks like a key, and the link sends keys of PAY alone")
        .await?;

    api.push("PAY-9-abandoned", [commit("PAY-9 Try something").adds("try.rs", 5)]).await;
    api.delete_branch("PAY-9-abandoned").await;
    teller.tell("Ada pushes PAY-9-abandoned and deletes it again: the branch goes, its commit stays").await
}

async fn merge_requests(
    teller: &mut Teller<'_>,
    world: &World,
    api: &ProjectHandle,
    ada: &UserHandle,
) -> anyhow::Result<()> {
    let grace = world.gitlab.user("grace");
    api.grant(&grace, Role::Developer);
    let spec = merge_request("PAY-7-retry", "Retry failed webhooks").describe("Closes PAY-7, see PAY-8.");
    let retry = api.open_merge_request(spec.draft().reviewer(&grace)).await;
    teller.tell("Ada opens a draft merge request that names PAY-7 and PAY-8, Grace is to review it").await?;
    retry.acting_as(ada).set_draft(false).await;
    retry.acting_as(&grace).approve_by(&grace).await;
    teller.tell("It is ready, and Grace approves it").await?;
    retry.merge().await;
    teller.tell("It is merged").await?;

    api.push("rounding", [commit("Round half to even").file("src/money.rs", 3, 3)]).await;
    api.open_merge_request(merge_request("rounding", "PAY-11 Round half to even")).await;
    teller.tell("A branch without a key gets one from its merge request").await
}

async fn pipelines(teller: &mut Teller<'_>, api: &ProjectHandle) -> anyhow::Result<()> {
    let pipeline = api.start_pipeline("PAY-7-retry").await.with_tests(128, 2, 1);
    pipeline.status("running").await;
    teller.tell("A pipeline runs").await?;
    pipeline.status("failed").await;
    teller.tell("It fails: 2 of 131 tests").await
}

async fn releases(teller: &mut Teller<'_>, api: &ProjectHandle) -> anyhow::Result<()> {
    api.set_environment_tier("production", "production");
    let deployment = api.deploy("production", "main");
    deployment.status("running").await;
    deployment.status("success").await;
    teller.tell("main is deployed to production, with everything that was merged since").await?;

    let flag = api.feature_flag("retry-webhooks").describe("Switches PAY-7 on.").strategy(
        "flexibleRollout",
        json!({"rollout": "25", "stickiness": "default", "groupId": "retry"}),
        &["production"],
    );
    flag.toggle(true).await;
    teller.tell("The feature flag retry-webhooks is switched on for 25 %").await
}

async fn outage(teller: &mut Teller<'_>, world: &World, api: &ProjectHandle) -> anyhow::Result<()> {
    world.site.fail(FailureRule::status(503).retry_after(RETRY_AFTER).times(2));
    api.push("PAY-12-limits", [commit("PAY-12 Limit refunds per day").file("src/limits.rs", 31, 2)]).await;
    let pipeline = api.start_pipeline("PAY-12-limits").await.with_tests(140, 0, 1);
    pipeline.status("success").await;
    teller
        .tell("Jira is down and answers 503 while Ada pushes PAY-12-limits and its pipeline succeeds: what waited arrives when Jira is back")
        .await
}

/// Answers PAY-13 as it was before and after the repetition.
async fn repeat(
    teller: &mut Teller<'_>,
    world: &World,
    api: &ProjectHandle,
) -> anyhow::Result<[IssueView; 2]> {
    let held = world.gitlab.hold_deliveries();
    api.push("PAY-13-receipts", [commit("PAY-13 Print receipts").adds("src/receipt.rs", 18)]).await;
    let deliveries = held.take();
    drop(held);
    for delivery in &deliveries {
        delivery.send().await?;
    }
    teller.tell("Ada pushes PAY-13-receipts").await?;
    let before = world.site.issue("PAY-13");
    for delivery in &deliveries {
        delivery.send().await?;
    }
    teller.tell(REPEAT).await?;
    Ok([before, world.site.issue("PAY-13")])
}

async fn other_project(teller: &mut Teller<'_>, api: &ProjectHandle) -> anyhow::Result<()> {
    api.push("main", [commit("OPS-3 Rotate the keys").file("ops/rotate.sh", 8, 1)]).await;
    teller
        .tell(
            "Ada pushes a commit that names OPS-3, of another Jira project: explain says why it is not there",
        )
        .await?;
    teller.explain("OPS-3").await
}
