//! Something hangs: what else there is to do goes on at once, and a batch ends before its deadline.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gitlab_jira::operate::{Command, CredentialChoice, Hidden};
use shared::gitlab::client::GitlabHttp;
use shared::queue::worker::{Batch, Deadline, Handler, Work};
use shared::sync::apply::{Apply, Operation};
use shared::sync::auth::HookAuthenticator;
use shared::sync::read::{GitlabAccess, GitlabCache, ReplacedCommits};
use shared::sync::site_access::SiteAccess;
use standins::gitlab::{Fault, ProjectHandle, Role, Tier, commit};
use standins::jira::{Api, FailureRule, SiteHandle};
use sync::{EventSync, NearerLinks};

use crate::stage::Stage;

/// Longer than a test takes.
const HANGS: Duration = Duration::from_secs(60);

/// What happens at once happens well within it.
const AT_ONCE: Duration = Duration::from_secs(10);

/// So many projects have an event that nothing is known of yet.
const PROJECTS: usize = 8;

/// The time that a batch keeps to send what it has read.
const APPLYING_TIME: Duration = Duration::from_secs(65);

/// The function as the local process has it, on the same queue and state.
fn event_sync(stage: &Stage, http: GitlabHttp) -> EventSync {
    let linking = stage.world.local.operator.linking.clone();
    let (store, clock, envelope) = (linking.store, linking.clock, linking.envelope);
    EventSync {
        sites: SiteAccess { store: store.clone(), connections: linking.connections, clock: clock.clone() },
        gitlab: GitlabAccess {
            store: store.clone(),
            envelope: envelope.clone(),
            clock: clock.clone(),
            http,
            guard: linking.guard,
            cache: GitlabCache::default(),
            replaced_commits: ReplacedCommits::Keep,
        },
        apply: Apply { store: store.clone(), clock: clock.clone(), operation: Operation::Live },
        nearer: NearerLinks::new(store.clone()),
        authenticator: HookAuthenticator::new(store.clone(), envelope),
        queue: stage.world.local.events.clone(),
        clock,
        is_only_process: true,
        store,
    }
}

/// Pushes to projects that nothing is known of, and answers how long a batch with so much time takes to settle them.
async fn settles_unknown_projects(stage: &Stage, http: GitlabHttp, time: Duration) -> Duration {
    stage.settled().await;
    stage.world.stop_pump();
    for number in 1..=PROJECTS {
        let project = stage.group.project(&format!("new-{number}")).acting_as(&stage.ada);
        project.push(&format!("PAY-{number}-x"), [commit(&format!("PAY-{number} x")).adds("a", 1)]).await;
    }
    stage.world.gitlab.inject(Fault::slow(HANGS).on("/groups").method("GET"));
    let events = &stage.world.local.events;
    let messages = events.receive(200, Duration::from_secs(300), &HashSet::new()).await.unwrap();
    assert!(messages.len() >= PROJECTS, "{}", messages.len());
    let mut left: HashSet<String> = messages.iter().map(|message| message.receipt.clone()).collect();
    let sync = Arc::new(event_sync(stage, http));
    let handler: Handler = Arc::new(move |batch: Batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    });
    let began = Instant::now();
    let mut work = Work::start(messages, Deadline::after(time), handler);
    while let Some(receipts) = work.acknowledged().await {
        left.retain(|receipt| !receipts.contains(receipt));
    }
    let took = began.elapsed();
    assert!(left.is_empty(), "{} messages would be received again", left.len());
    assert_eq!(stage.dead().await, 0);
    stage.world.gitlab.clear_faults();
    took
}

#[tokio::test]
async fn messages_wait_for_a_coverage_that_gitlab_does_not_tell_in_time() {
    let stage = Stage::new().await;
    let http = stage.world.local.operator.linking.gitlab.clone();
    let took = settles_unknown_projects(&stage, http, APPLYING_TIME + Duration::from_secs(2)).await;
    assert!(took < AT_ONCE, "{took:?}");
}

/// Each of those that wait for the group would try for itself, one after another.
#[tokio::test]
async fn a_gitlab_that_hangs_is_waited_for_once_whatever_the_number_of_projects() {
    let stage = Stage::new().await;
    let timeout = Duration::from_secs(2);
    let impatient = reqwest::Client::builder().no_proxy().timeout(timeout).build().unwrap();
    let http = GitlabHttp { reads: impatient.clone(), writes: impatient };
    let took = settles_unknown_projects(&stage, http, 2 * HANGS).await;
    assert!(took < 3 * timeout, "{took:?}");
}

/// Another site of the bundle, with a group linked to it and a project.
async fn another_site(stage: &Stage) -> (SiteHandle, ProjectHandle) {
    let world = &stage.world;
    let site = world.jira.site("hanging").await.unwrap();
    site.add_issue_range("PAY", 1..=9);
    let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
    let (client_id, client_secret) = site.add_oauth_credentials(&apis);
    let client_secret = Hidden(client_secret.into());
    stage.command(Command::SiteAdd { site: site.base_url(), client_id, client_secret }).await;
    let group = world.gitlab.group("other", Tier::Premium);
    group.grant(&stage.ada, Role::Owner);
    let project = group.project("api").acting_as(&stage.ada);
    let command = world.link_command("other", &stage.ada.token(&["api"]), CredentialChoice::Auto);
    let Command::GroupLink(mut link) = command else { panic!("{command:?}") };
    let (base_url, host) = (site.base_url(), |url: &str| url.split("://").last().map(str::to_owned));
    link.site = host(&base_url).unwrap();
    stage.command(Command::GroupLink(link)).await;
    stage.settled().await;
    (site, project)
}

async fn in_flight(stage: &Stage) -> u64 {
    let status = stage.command(Command::Status).await;
    status["queues"]["events"]["in_flight"].as_u64().unwrap()
}

/// An event of the other site hangs, and one of the first site comes after it.
async fn arrives_while_another_hangs(stage: &Stage, hanging: &SiteHandle, project: &ProjectHandle) {
    project.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(in_flight(stage).await, 1, "the first event hangs");
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    let site = &stage.world.site;
    let arrives = tokio::time::timeout(AT_ONCE, async {
        while site.issue("PAY-2").commits.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    arrives.await.expect("it arrives at once");
    assert!(hanging.issue("PAY-1").is_empty() && in_flight(stage).await >= 1, "the first event still hangs");
}

#[tokio::test]
async fn an_event_arrives_at_once_while_another_site_hangs() {
    Stage::through_every_connection(async |stage: Stage| {
        let (hanging, project) = another_site(&stage).await;
        hanging.fail(FailureRule::slow(HANGS));
        arrives_while_another_hangs(&stage, &hanging, &project).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_arrives_at_once_while_another_credential_waits_for_a_token() {
    let stage = Stage::through(shared::domain::ConnectionKind::OauthCredentials).await;
    let (hanging, project) = another_site(&stage).await;
    hanging.expire_tokens();
    hanging.fail(FailureRule::slow(HANGS).on(Api::Token));
    arrives_while_another_hangs(&stage, &hanging, &project).await;
}

/// Else what is under way would come back after everything was deleted.
#[tokio::test]
async fn unlinking_waits_for_what_is_under_way() {
    let stage = Stage::new().await;
    stage.settled().await;
    let site = &stage.world.site;
    site.fail(FailureRule::slow(Duration::from_secs(3)).on(Api::DevInfo).method("POST"));
    stage.api.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    while in_flight(&stage).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(site.issue("PAY-1").is_empty(), "the call is under way");
    let subscription = stage.link["subscription"].as_str().unwrap().to_owned();
    stage.command(Command::GroupUnlink { subscription, keep_jira_data: false, gitlab_token: None }).await;
    stage.settled().await;
    let calls: Vec<_> = site.recorded().iter().map(|call| call.method.clone()).collect();
    assert!(calls.iter().any(|method| method == "POST"), "{calls:?}");
    assert!(site.issue("PAY-1").is_empty(), "{calls:?}");
}

/// On AWS a batch has messages of several links.
#[tokio::test]
async fn a_link_of_a_batch_is_settled_while_another_hangs() {
    let stage = Stage::through(shared::domain::ConnectionKind::OauthCredentials).await;
    let (hanging, project) = another_site(&stage).await;
    stage.world.stop_pump();
    hanging.fail(FailureRule::slow(HANGS));
    project.push("PAY-1-x", [commit("PAY-1 x").adds("a", 1)]).await;
    stage.api.push("PAY-2-x", [commit("PAY-2 x").adds("a", 1)]).await;
    let messages =
        stage.world.local.events.receive(200, Duration::from_secs(300), &HashSet::new()).await.unwrap();
    assert_eq!(messages.len(), 2);
    let http = stage.world.local.operator.linking.gitlab.clone();
    let sync = Arc::new(event_sync(&stage, http));
    let handler: Handler = Arc::new(move |batch: Batch| {
        let sync = sync.clone();
        Box::pin(async move { sync.handle(batch).await })
    });
    let mut work = Work::start(messages, Deadline::after(3 * HANGS), handler);
    let first = tokio::time::timeout(AT_ONCE, work.acknowledged()).await.expect("one is settled at once");
    assert_eq!(first.map(|receipts| receipts.len()), Some(1));
    assert_eq!(stage.world.site.issue("PAY-2").commits.len(), 1);
}
