//! Histories of what nobody expects: very long, very many, empty, gone midway, refused by GraphQL. Each ends in a state
//! that says how it stands, and nothing is deleted by mistake.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::operate::{Command, HistoryAction};
use shared::clock::ScaledClock;
use shared::domain::MAX_ASSOCIATIONS;
use standins::gitlab::{Fault, Tier, commit, merge_request};
use standins::jira::Api;

use crate::history::Old;

/// Issues beyond what an entity may name.
const MANY_KEYS: u64 = 700;

/// A branch of 512 characters, a commit with a message of a megabyte, a merge request with 700 keys, and a project without a
/// repository.
#[tokio::test]
async fn long_and_empty_things_end_on_their_issues() {
    let old = Old::new(1).await;
    old.world.site.add_issue_range("PAY", 1..=MANY_KEYS);
    let group = old.world.gitlab.group("acme", Tier::Premium);
    group.project("empty");
    let project = group.project("odd");
    project.push("main", [commit("Start").adds("README.md", 1)]).await;
    let part = "x".repeat(99);
    let name = format!("PAY-31/{}", [part.as_str(); 6].join("/")).chars().take(512).collect::<String>();
    project.push(&name, [commit("Something").adds("a", 1)]).await;
    let message = format!("PAY-32 {}", "word ".repeat(200_000));
    project.push("long", [commit(&message).adds("b", 1)]).await;
    let keys: Vec<_> = (1..=MANY_KEYS).map(|number| format!("PAY-{number}")).collect();
    project.open_merge_request(merge_request("long", "Many").describe(&keys.join(" "))).await;

    let link = old.link().await;
    let ended = old.ended(&link).await;
    assert_eq!(
        (&ended["progress"]["state"], &ended["progress"]["failed"]),
        (&"done".into(), &0.into()),
        "{ended}"
    );
    assert_eq!(
        (&ended["progress"]["refused"], &ended["progress"]["unread"]),
        (&0.into(), &0.into()),
        "{ended}"
    );
    let site = &old.world.site;
    assert_eq!(site.issue("PAY-31").branches[0].name, name);
    let commits = site.issue("PAY-32").commits;
    assert!(commits.iter().any(|commit| commit.message.starts_with("PAY-32 word")), "{}", commits.len());
    let with_request = |number: &u64| !site.issue(&format!("PAY-{number}")).pull_requests.is_empty();
    assert!((1..=MANY_KEYS).filter(with_request).count() >= MAX_ASSOCIATIONS);
}

/// Branches of a project that has very many, and those of them that name issues.
const BRANCHES: usize = 10_000;
const KEYED: usize = 400;

/// All of them are listed, those with keys are on their issues, and an audit misses and removes none.
#[tokio::test]
async fn ten_thousand_branches_are_listed_to_the_end() {
    let old = Old::new(1).await;
    let group = old.world.gitlab.group("acme", Tier::Premium);
    let project = group.project("many");
    project.push("main", [commit("Start").adds("README.md", 1)]).await;
    let branches: Vec<_> = (0..BRANCHES)
        .map(|number| {
            let is_keyed = number % (BRANCHES / KEYED) == 0;
            if is_keyed { format!("PAY-34-{number}") } else { format!("topic-{number}") }
        })
        .collect();
    project.push_branches(branches.iter().map(|name| (name.as_str(), Vec::new()))).await;

    let link = old.link().await;
    let ended = old.ended(&link).await;
    let many = ended["projects"].as_array().unwrap().iter().find(|it| it["project"]["path"] == "acme/many");
    let tasks = many.unwrap()["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|it| it["task"] == "branches").unwrap();
    assert_eq!((&task["state"]["state"], &task["keyed"]), (&"done".into(), &KEYED.into()), "{task}");
    assert_eq!(old.world.site.issue("PAY-34").branches.len(), KEYED);

    old.history(&link, HistoryAction::Audit { remove_branches: false }).await;
    let ended = old.ended(&link).await;
    assert_eq!((&ended["audit"]["missing"], &ended["audit"]["removed"]), (&0.into(), &0.into()), "{ended}");
    assert_eq!(old.world.site.issue("PAY-34").branches.len(), KEYED);
}

/// A project that is deleted while its history is read ends as gone; the others are not held up.
#[tokio::test]
async fn a_project_that_is_deleted_midway_is_gone() {
    let old = Old::new(4).await;
    let group = old.world.gitlab.group("acme", Tier::Premium);
    let gone = group.project("gone");
    gone.push("main", [commit("PAY-33 start").adds("README.md", 1)]).await;
    old.world.gitlab.inject(Fault::slow(Duration::from_millis(400)).on(&format!("/projects/{}", gone.id())));
    let link = old.link().await;
    while old.history(&link, HistoryAction::Show).await["projects"].as_array().unwrap().len() < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gone.destroy().await;
    let ended = old.ended(&link).await;
    assert_eq!(
        (&ended["progress"]["state"], &ended["progress"]["failed"]),
        (&"done".into(), &1.into()),
        "{ended}"
    );
    let show = Command::History {
        link: link["subscription"].as_str().unwrap().to_owned(),
        action: HistoryAction::Show,
    };
    let text = old.world.local.operator.run(show).await.unwrap().text(&[]);
    assert!(text.contains("acme/gone is gone, or the token does not see it any more."), "{text}");
}

/// A group that moves or is renamed midway is the same group.
#[tokio::test]
async fn a_group_that_is_renamed_midway_is_read_to_the_end() {
    let old = Old::new(6).await;
    old.world.gitlab.inject(Fault::slow(Duration::from_millis(100)).on("/projects"));
    let link = old.link().await;
    old.world.gitlab.group("acme", Tier::Premium).rename("acme-new");
    let ended = old.ended(&link).await;
    assert_eq!(
        (&ended["progress"]["state"], &ended["progress"]["ended"], &ended["progress"]["failed"]),
        (&"done".into(), &6.into(), &0.into()),
        "{ended}"
    );
}

/// The token may list the group's projects no more: the plan says so, and what is on issues stays.
#[tokio::test]
async fn a_group_that_is_hidden_stops_history_and_deletes_nothing() {
    let old = Old::new(2).await;
    let link = old.link().await;
    old.ended(&link).await;
    let before = old.world.site.issues();
    old.world.gitlab.inject(Fault::status(404).on("/groups"));
    old.history(&link, HistoryAction::Resync { full: true, all: false, project: None }).await;
    let ended = old.ended(&link).await;
    assert_eq!(ended["progress"]["cause"], "group_hidden", "{ended}");
    assert_eq!(old.world.site.issues(), before);
    assert_eq!(old.world.site.calls().with_method(Api::DevInfo, "DELETE"), 0);

    // Seen again, it goes on.
    old.world.gitlab.clear_faults();
    old.history(&link, HistoryAction::Resume).await;
    assert_eq!(old.ended(&link).await["progress"]["state"], "done");
}

/// A page that fails each time costs its own task; GraphQL that does not answer costs more requests.
#[tokio::test]
async fn a_page_that_always_fails_ends_its_own_task() {
    let old = Old::on(Arc::new(ScaledClock::new(20)), 2).await;
    old.world.gitlab.inject(Fault::status(503).on("/api/graphql"));
    let commits = format!("/projects/{}/repository/commits", old.api.id());
    old.world.gitlab.inject(Fault::status(422).on(&commits).method("GET"));
    let link = old.link().await;
    let ended = old.ended(&link).await;
    assert_eq!(
        (&ended["progress"]["state"], &ended["progress"]["failed"]),
        (&"done".into(), &1.into()),
        "{ended}"
    );
    let failed =
        ended["projects"].as_array().unwrap().iter().find(|it| it["project"]["path"] == "acme/api").unwrap();
    let state = |task: &str| {
        let tasks = failed["tasks"].as_array().unwrap();
        tasks.iter().find(|it| it["task"] == task).unwrap()["state"]["state"].clone()
    };
    assert_eq!((state("commits"), state("merge_requests")), ("failed".into(), "done".into()), "{failed}");
}
