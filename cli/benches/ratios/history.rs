//! How many calls to GitLab the history of 1,000 merge requests, and of 1,000 pipelines, takes, with GraphQL and by REST
//! alone: beyond what the same projects cost without them. A count, not a time.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice, HistoryAction};
use shared::clock::SystemClock;
use standins::gitlab::{Fault, ProjectHandle, Role, Tier, Version, commit, merge_request};

use super::row;

/// Projects, and how many merge requests or pipelines each has.
const PROJECTS: usize = 10;
const OF_A_PROJECT: usize = 100;

/// Every other thing names an issue, as in a team that is used to it; the rest is only listed.
const ONE_IN_NAMES_AN_ISSUE: usize = 2;

/// A backfill keeps to its pace, of some hundred calls a minute.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What the projects have beside commits.
#[derive(Clone, Copy)]
enum History {
    MergeRequests,
    Pipelines,
}

#[derive(Clone, Copy, PartialEq)]
enum Api {
    Rest,
    WithGraphql,
}

pub(crate) async fn run() {
    for (history, what) in [(History::MergeRequests, "merge requests"), (History::Pipelines, "pipelines")] {
        let mut calls = [0, 0];
        for (calls, api) in calls.iter_mut().zip([Api::WithGraphql, Api::Rest]) {
            let without = count(history, api, false).await;
            *calls = (count(history, api, true).await - without) * 1000 / (PROJECTS * OF_A_PROJECT);
        }
        row(
            &format!(
                "calls of GitLab per 1,000 {what} of {PROJECTS} projects, one in {ONE_IN_NAMES_AN_ISSUE} with an issue key"
            ),
            &format!("{} ({} by REST alone)", calls[0], calls[1]),
        );
    }
}

/// Calls of GitLab while a group's history is brought to Jira.
async fn count(history: History, api: Api, is_there: bool) -> usize {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    world.site.add_issue_range("PAY", 1..=100);
    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    for number in 0..PROJECTS {
        let project = group.project(&format!("p{number}")).acting_as(&ada);
        project.push("main", [commit("Start").adds("README.md", 1)]).await;
        match history {
            History::MergeRequests => merge_requests(&project, is_there).await,
            History::Pipelines => pipelines(&project, is_there).await,
        }
    }
    if api == Api::Rest {
        world.gitlab.inject(Fault::status(404).on("/api/graphql"));
    }
    let Command::GroupLink(mut link) =
        world.link_command("acme", &ada.token(&["api"]), CredentialChoice::Auto)
    else {
        panic!("another command")
    };
    link.history = true;
    let before = world.gitlab.calls().len();
    let link = world.command(Command::GroupLink(link)).await.unwrap();
    tokio::time::timeout(TIMEOUT, ended(&world, link["subscription"].as_str().unwrap())).await.unwrap();
    world.gitlab.calls().len() - before
}

async fn ended(world: &World, link: &str) {
    loop {
        let show = Command::History { link: link.to_owned(), action: HistoryAction::Show };
        let history = world.command(show).await.unwrap();
        if history["progress"]["state"] != "running" {
            assert_eq!(history["progress"]["state"], "done", "{history}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn merge_requests(project: &ProjectHandle, are_there: bool) {
    for number in 0..OF_A_PROJECT {
        let branch = format!("work-{number}");
        project.push(&branch, [commit("Work").adds("a", 1)]).await;
        if are_there {
            project.open_merge_request(merge_request(&branch, &title(number))).await;
        }
    }
}

async fn pipelines(project: &ProjectHandle, are_there: bool) {
    for number in 0..OF_A_PROJECT {
        project.push("main", [commit(&title(number)).adds("a", 1)]).await;
        if are_there {
            project.start_pipeline("main").await.with_tests(9, 1, 0).status("success").await;
        }
    }
}

fn title(number: usize) -> String {
    if number.is_multiple_of(ONE_IN_NAMES_AN_ISSUE) {
        format!("PAY-{} work", number % 100 + 1)
    } else {
        "Work".to_owned()
    }
}
