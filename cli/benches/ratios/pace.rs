//! How long the history of 1,000 projects takes under a rate limit that the GitLab stand-in enforces, on a clock that
//! runs faster, beside the time that the requests need at the permitted rate, and beside the pace of GitLab's own app;
//! and how many requests a project costs in a group of 10, 100 and 1,000.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use shared::clock::ScaledClock;
use shared::domain::{ConnectionKind, HistoryProgress, HistorySlot, HistoryState};
use standins::gitlab::{ProjectHandle, Role, Tier, Version, commit, merge_request};

use super::row;

/// How much faster the clock runs: slow enough for a build without optimisation to keep up with the pace.
const FACTOR: u32 = 8;

/// What history may ask of an instance that is not GitLab.com, per minute (`shared/src/history/pace.rs`).
const PERMITTED: u32 = 600;

/// What the stand-in allows: twice as much, since half is left to live work.
const ALLOWED: u64 = 1_200;

/// GitLab's own app begins so many projects a minute
/// (<https://docs.gitlab.com/integration/jira/connect-app/>).
const PROJECTS_A_MINUTE_OF_GITLAB: usize = 20;

/// In the bench's own time.
const TIMEOUT: Duration = Duration::from_secs(1_200);

pub(crate) async fn run() {
    for projects in [10, 100, 1_000] {
        let Run { requests, took, refused } = measure(projects).await;
        row(
            &format!("requests of GitLab for the history of a group of {projects:>5} projects"),
            &format!("{requests}: {:.1} a project, {refused} answered by 429", ratio(requests, projects)),
        );
        if projects == 1_000 {
            let ideal = 60.0 * requests as f64 / f64::from(PERMITTED);
            row(
                &format!(
                    "the same beside {requests} requests at {PERMITTED} a minute, and beside GitLab's own app"
                ),
                &format!(
                    "{:.0} s beside {ideal:.0} s: {:.2}; GitLab's app: {} s",
                    took.as_secs_f64(),
                    took.as_secs_f64() / ideal,
                    60 * projects / PROJECTS_A_MINUTE_OF_GITLAB
                ),
            );
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

struct Run {
    requests: usize,
    /// By the bundle's clock.
    took: Duration,
    refused: usize,
}

async fn measure(projects: usize) -> Run {
    let world = World::start(Version::V19_1, Arc::new(ScaledClock::new(FACTOR))).await.unwrap();
    // A Connect app's tokens say when they were made, which Jira compares with its own clock.
    world.open_connection(ConnectionKind::OauthCredentials).await.unwrap();
    world.site.add_issue_range("PAY", 1..=100);
    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    for number in 0..projects {
        work(&group.project(&format!("p{number}")).acting_as(&ada), number).await;
    }
    let Command::GroupLink(mut link) =
        world.link_command("acme", &ada.token(&["api"]), CredentialChoice::Auto)
    else {
        panic!("another command")
    };
    world.gitlab.limit_calls("/", ALLOWED, Duration::from_secs(60) / FACTOR);
    link.history = true;
    let before = world.gitlab.calls().len();
    let link = world.command(Command::GroupLink(link)).await.unwrap();
    let slot = HistorySlot::history(link["subscription"].as_str().unwrap().parse().unwrap());
    let ended = tokio::time::timeout(TIMEOUT, ended(&world, slot)).await.unwrap();
    assert_eq!((ended.plan.state, ended.ended), (HistoryState::Done, projects as u64));
    let calls = &world.gitlab.calls()[before..];
    Run {
        requests: calls.len(),
        took: ended.changed_at.since(ended.plan.started_at),
        refused: calls.iter().filter(|call| call.status == 429).count(),
    }
}

pub(crate) async fn work(project: &ProjectHandle, number: usize) {
    let key = format!("PAY-{}", number % 100 + 1);
    project.push("main", [commit("Start").adds("README.md", 1)]).await;
    project.push(&format!("{key}-x"), [commit(&format!("{key} work")).adds("a", 1)]).await;
    project.open_merge_request(merge_request(&format!("{key}-x"), &format!("{key} work"))).await;
    project.start_pipeline(&format!("{key}-x")).await.with_tests(9, 1, 0).status("success").await;
}

async fn ended(world: &World, slot: HistorySlot) -> HistoryProgress {
    loop {
        let progress = world.local.operator.store.history_progress(slot).await.unwrap().unwrap();
        if !progress.plan.is_running() {
            return progress;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
