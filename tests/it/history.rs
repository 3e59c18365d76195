//! A linked group's history: what was there before is on its issues, once, quietly, and whatever happens meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice, HistoryAction};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use shared::clock::{SharedClock, SystemClock};
use shared::domain::{ConnectionKind, HistorySlot};
use shared::sync::step::{LinkStep, enqueue};
use standins::gitlab::{
    Fault, GitlabStandin, MergeRequestHandle, ProjectHandle, Role, Tier, Version, commit, merge_request,
};
use standins::jira::{Api, FailureRule, IssueSummary, JiraStandin};

use crate::program::Program;

/// Issues that the history names.
pub const ISSUES: u64 = 40;

/// No story here is about the pace of history, so none waits for the next minute.
const UNLIMITED: [(&str, &str); 2] =
    [("HISTORY_REQUESTS_PER_MINUTE", "1000000"), ("HISTORY_REQUESTS_PER_HOUR", "1000000")];

/// A group in which much has happened before it is linked.
pub struct Old {
    pub world: World,
    pub api: ProjectHandle,
    pub merge_request: MergeRequestHandle,
    pub token: SecretString,
}

impl Old {
    /// The group `acme` with `projects` projects, half of them in a subgroup.
    pub async fn new(projects: u64) -> Self {
        Self::on(Arc::new(SystemClock), projects).await
    }

    /// The same, by another clock.
    pub async fn on(clock: SharedClock, projects: u64) -> Self {
        let world = World::start_with(Version::V19_1, clock, &UNLIMITED).await.unwrap();
        // A clock that runs fast makes tokens of a Connect app that Jira refuses.
        world.open_connection(ConnectionKind::OauthCredentials).await.unwrap();
        world.site.add_issue_range("PAY", 1..=ISSUES);
        let (api, merge_request, token) = old_group(&world.gitlab, projects).await;
        Self { world, api, merge_request, token }
    }

    /// Links the group as a person does.
    pub async fn link(&self) -> Value {
        self.link_with(CredentialChoice::Auto).await
    }

    pub async fn link_with(&self, credential: CredentialChoice) -> Value {
        let mut command = self.world.link_command("acme", &self.token, credential);
        if let Command::GroupLink(link) = &mut command {
            link.history = true;
        }
        self.world.command(command).await.unwrap()
    }

    pub async fn history(&self, link: &Value, action: HistoryAction) -> Value {
        let link = link["subscription"].as_str().unwrap().to_owned();
        self.world.command(Command::History { link, action }).await.unwrap()
    }

    pub async fn ended(&self, link: &Value) -> Value {
        self.world.history_ended(link["subscription"].as_str().unwrap()).await.unwrap()
    }
}

/// The group `acme` with `projects` projects, half of them in a subgroup; of the first, the project and its open merge
/// request.
async fn old_group(
    gitlab: &GitlabStandin,
    projects: u64,
) -> (ProjectHandle, MergeRequestHandle, SecretString) {
    let ada = gitlab.user("ada").with_public_email();
    let group = gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let subgroup = group.subgroup("front");
    let api = group.project("api").acting_as(&ada);
    let merge_request = work(&api, 1).await;
    for number in 2..=projects {
        let parent = if number % 2 == 0 { &group } else { &subgroup };
        work(&parent.project(&format!("p{number}")).acting_as(&ada), number).await;
    }
    (api, merge_request, ada.token(&["api"]))
}

/// What happens in a project: a branch, commits, an open and a merged merge request, a pipeline and a deployment.
async fn work(project: &ProjectHandle, number: u64) -> MergeRequestHandle {
    let key = |of: u64| format!("PAY-{}", (number * 5 + of) % ISSUES + 1);
    let named = |of: u64| [commit(&format!("{} change", key(of))).adds("a", 3)];
    project.push("main", [commit("Start").adds("README.md", 1)]).await;
    project.push("main", named(0)).await;
    project.push(&format!("{}-branch", key(1)), named(1)).await;
    let open = project.open_merge_request(merge_request(&format!("{}-branch", key(1)), &key(2))).await;
    project.push("other", named(3)).await;
    let merged = project.open_merge_request(merge_request("other", &format!("{} other", key(3)))).await;
    merged.merge().await;
    let pipeline = project.start_pipeline(&format!("{}-branch", key(1))).await.with_tests(3, 1, 0);
    pipeline.status("success").await;
    project.deploy_externally("production", "main").status("success").await;
    let flag = project.feature_flag("new-checkout").describe(&format!("{} New checkout", key(2)));
    flag.strategy("gradualRolloutUserId", json!({"percentage": "25"}), &["production"]).toggle(true).await;
    open
}

/// What is attached to issues.
fn on_issues(world: &World) -> Vec<IssueSummary> {
    world.site.issues()
}

/// What every later change meets is what live events would have brought.
#[tokio::test]
async fn what_was_there_before_a_group_was_linked_is_on_its_issues() {
    let old = Old::new(3).await;
    let link = old.link().await;
    let ended = old.ended(&link).await;
    assert_eq!(ended["progress"]["state"], "done", "{ended}");
    assert_eq!((&ended["progress"]["ended"], &ended["progress"]["total"]), (&3.into(), &3.into()));
    assert_eq!(ended["progress"]["keyed"], ended["progress"]["sent"], "{ended}");
    let brought = on_issues(&old.world);
    assert!(old.world.site.triggers().is_empty(), "{:?}", old.world.site.triggers());

    // As if the group had been linked before.
    let live = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    live.install().await.unwrap();
    live.site.add_issue_range("PAY", 1..=ISSUES);
    let ada = live.gitlab.user("ada").with_public_email();
    let group = live.gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    let subgroup = group.subgroup("front");
    live.link("acme", &ada.token(&["api"])).await.unwrap();
    work(&group.project("api").acting_as(&ada), 1).await;
    work(&group.project("p2").acting_as(&ada), 2).await;
    work(&subgroup.project("p3").acting_as(&ada), 3).await;
    live.settled().await.unwrap();
    assert_eq!(brought, on_issues(&live));

    // A live event still means something to Jira.
    old.merge_request.merge().await;
    old.world.settled().await.unwrap();
    let fired = format!("{:?}", old.world.site.triggers());
    assert!(fired.contains("PullRequestMerged"), "{fired}");
}

/// Everything that is sent as history says so, in bulk and quietly.
#[tokio::test]
async fn history_is_sent_as_backfill() {
    let old = Old::new(1).await;
    let link = old.link().await;
    old.ended(&link).await;
    let calls = old.world.site.recorded();
    let sent: Vec<_> = calls.iter().filter(|call| call.method == "POST").collect();
    assert!(!sent.is_empty());
    for call in sent {
        if call.api == Api::DevInfo {
            assert_eq!(call.body["preventTransitions"], true, "{:?}", call.body);
            assert_eq!(call.body["operationType"], "BACKFILL", "{:?}", call.body);
        }
    }
}

/// Steps that come several times, GitLab and Jira failing: the same result, and no project is left undone.
#[tokio::test]
async fn a_disturbed_history_ends_like_an_undisturbed_one() {
    let (calm, rough) = (Old::new(8).await, Old::new(8).await);
    let link = calm.link().await;
    assert_eq!(calm.ended(&link).await["progress"]["state"], "done");

    let link = rough.link().await;
    rough.world.gitlab.inject(Fault::dropped().on("/projects").times(3));
    rough.world.gitlab.inject(Fault::status(502).on("/projects").times(2));
    rough.world.site.fail(FailureRule::status(503).retry_after(1).times(2));
    rough.world.site.fail(FailureRule::lose_answer().on(Api::DevInfo).times(1));
    let linking = &rough.world.local.operator.linking;
    let id = link["subscription"].as_str().unwrap().parse().unwrap();
    let plan = linking.store.history_plan(HistorySlot::history(id)).await.unwrap().unwrap().id;
    let listing = LinkStep::history_projects(HistorySlot::history(id), plan);
    for _ in 0..4 {
        enqueue(&linking.steps, linking.clock.now(), [listing.clone()]).await.unwrap();
        for project in linking.store.history_projects(HistorySlot::history(id)).await.unwrap() {
            let step = LinkStep::history_of_project(HistorySlot::history(id), plan, project.project.id);
            enqueue(&linking.steps, linking.clock.now(), [step]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = rough.ended(&link).await;
    assert_eq!((&ended["progress"]["state"], &ended["progress"]["ended"]), (&"done".into(), &8.into()));
    assert_eq!(on_issues(&rough.world), on_issues(&calm.world));
    assert!(rough.world.site.triggers().is_empty());
}

/// Projects of the history that is killed.
const MANY: u64 = 50;

/// How long the program lives between two kills.
const LIFE: Duration = Duration::from_millis(700);

/// Killed all the time: nothing is missing in the end, and no project is left undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_survives_kill_9() {
    let calm = Old::new(MANY).await;
    let link = calm.link().await;
    assert_eq!(calm.ended(&link).await["progress"]["ended"], MANY);

    let jira = JiraStandin::start().await.unwrap();
    let site = jira.site("acme").await.unwrap();
    site.add_issue_range("PAY", 1..=ISSUES);
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let (_, _, token) = old_group(&gitlab, MANY).await;
    let mut program = Program::new(&jira, &gitlab);
    program.settings.extend(UNLIMITED);
    let mut child = program.serve().await;
    let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
    let (id, secret) = site.add_oauth_credentials(&apis);
    let url = site.base_url();
    program.run(&["site", "add", "--site", &url, "--client-id", &id, "--client-secret-stdin"], &secret).await;
    let host = url.trim_start_matches("http://");
    let link = ["group", "link", "--site", host, "--group", "acme", "--gitlab-token-stdin"];
    let link = program.run(&link, token.expose_secret()).await;
    let link = link["subscription"].as_str().unwrap();
    let began = Instant::now();
    let mut kills = 0;
    loop {
        tokio::time::sleep(LIFE).await;
        child.kill().await.unwrap();
        kills += 1;
        child = program.serve().await;
        let history = program.run(&["history", "show", link], "").await;
        if history["progress"]["state"] != "running" {
            assert_eq!(history["progress"]["state"], "done", "{history}");
            assert_eq!(
                (&history["progress"]["ended"], &history["progress"]["failed"]),
                (&MANY.into(), &0.into())
            );
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(240), "{kills} kills: {}", history["progress"]);
    }
    assert!(kills > 9, "it was done before it was disturbed");
    let mut brought = site.issues();
    brought.retain(|issue| issue.branches + issue.commits + issue.pull_requests + issue.builds > 0);
    assert_eq!(brought, on_issues(&calm.world));
    assert!(site.triggers().is_empty(), "{:?}", site.triggers());
}

/// A feature that is disabled ends its own task only, and the project says which.
#[tokio::test]
async fn a_disabled_feature_ends_its_own_task() {
    let old = Old::new(2).await;
    let route = format!("/projects/{}/merge_requests", old.api.id());
    old.world.gitlab.inject(Fault::status(403).on(&route));
    let link = old.link().await;
    let ended = old.ended(&link).await;
    assert_eq!((&ended["progress"]["state"], &ended["progress"]["failed"]), (&"done".into(), &1.into()));
    let answer = old.world.local.operator.run(Command::History {
        link: link["subscription"].as_str().unwrap().to_owned(),
        action: HistoryAction::Show,
    });
    let text = answer.await.unwrap().text(&[]);
    assert!(text.contains("acme/api: merge requests can't be listed"), "{text}");
    assert!(!old.world.site.issue("PAY-7").branches.is_empty(), "the rest is there");
    let explain = Command::Explain { key: "PAY-8".to_owned(), project: Some("acme/api".to_owned()) };
    let text = old.world.local.operator.run(explain).await.unwrap().text(&[]);
    for part in
        ["of acme covers acme/api", "The history of acme/api was sent", "merge requests can't be listed"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(old.world.site.issue("PAY-8").pull_requests.is_empty());

    // Enabled again, a resync brings what is missing, and sends nothing else again.
    old.world.gitlab.clear_faults();
    old.world.site.forget_calls();
    old.history(&link, HistoryAction::Resync { full: false, all: false, project: None }).await;
    let ended = old.ended(&link).await;
    assert_eq!(ended["progress"]["failed"], 0);
    assert_eq!(old.world.site.issue("PAY-8").pull_requests.len(), 1);
    let calls = old.world.site.recorded();
    let again = calls.iter().flat_map(|call| call.entities("commits").collect::<Vec<_>>()).count();
    assert_eq!(again, 0, "what Jira has is not sent again");

    // Of one project alone.
    let one = |path: &str| HistoryAction::Resync { full: true, all: false, project: Some(path.to_owned()) };
    old.world.site.forget_calls();
    old.history(&link, one("acme/p2")).await;
    let ended = old.ended(&link).await;
    assert_eq!((&ended["progress"]["ended"], &ended["progress"]["total"]), (&1.into(), &1.into()), "{ended}");
    let sent = format!("{:?}", old.world.site.recorded());
    assert!(sent.contains("acme/p2") && !sent.contains("acme/api"), "{sent}");
    let command =
        Command::History { link: link["subscription"].as_str().unwrap().to_owned(), action: one("acme/x") };
    assert!(old.world.local.operator.run(command).await.is_err());

    // What Jira lost is sent again with a full one.
    old.world.site.forget_calls();
    old.history(&link, HistoryAction::Resync { full: true, all: true, project: None }).await;
    old.ended(&link).await;
    let calls = old.world.site.recorded();
    let again = calls.iter().flat_map(|call| call.entities("commits").collect::<Vec<_>>()).count();
    assert!(again > 0);
}

/// Paused it sends nothing, resumed it ends; unlinked, nothing of it is left.
#[tokio::test]
async fn history_is_paused_resumed_and_forgotten() {
    let old = Old::new(4).await;
    old.world.gitlab.inject(Fault::slow(Duration::from_millis(300)).on("/projects"));
    let link = old.link().await;
    let paused = old.history(&link, HistoryAction::Pause).await;
    assert_eq!(paused["progress"]["state"], "paused");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = old.world.site.calls().total();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(old.world.site.calls().total(), sent, "work that was under way has ended with its page");
    old.world.gitlab.clear_faults();
    old.history(&link, HistoryAction::Resume).await;
    let ended = old.ended(&link).await;
    assert_eq!((&ended["progress"]["state"], &ended["progress"]["ended"]), (&"done".into(), &4.into()));

    old.history(&link, HistoryAction::Resync { full: true, all: false, project: None }).await;
    let id = link["subscription"].as_str().unwrap().to_owned();
    let unlink = Command::GroupUnlink { subscription: id.clone(), keep_jira_data: false, gitlab_token: None };
    old.world.command(unlink).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(on_issues(&old.world), []);
    let store = &old.world.local.operator.store;
    assert!(store.history_plan(HistorySlot::history(id.parse().unwrap())).await.unwrap().is_none());
    assert!(store.history_projects(HistorySlot::history(id.parse().unwrap())).await.unwrap().is_empty());
}

/// A token that is revoked midway stops the history, and deletes nothing.
#[tokio::test]
async fn a_revoked_token_stops_history_and_deletes_nothing() {
    let old = Old::new(2).await;
    let link = old.link().await;
    old.ended(&link).await;
    let before = on_issues(&old.world);
    old.world.gitlab.inject(Fault::status(401));
    old.history(&link, HistoryAction::Resync { full: true, all: false, project: None }).await;
    let ended = old.ended(&link).await;
    assert_eq!(ended["progress"]["cause"], "token_refused", "{ended}");
    assert_eq!(on_issues(&old.world), before);
    assert_eq!(old.world.site.calls().with_method(Api::DevInfo, "DELETE"), 0);
}
