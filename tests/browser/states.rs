//! States that linking a group does not pass by itself: much to do, something wrong, and what a person does about it. On the
//! local page, which every host's is.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use standins::gitlab::{
    Fault, GitlabStandin, GroupHandle, ProjectHandle, Role, Tier, UserHandle, Version, commit, merge_request,
};
use standins::jira::{FailureRule, User};

use super::browser::Browser;
use super::{SystemClock, connect, local, serve_page};

/// No story here is about the pace of history, so none waits for the next minute.
const UNLIMITED: [(&str, &str); 2] =
    [("HISTORY_REQUESTS_PER_MINUTE", "1000000"), ("HISTORY_REQUESTS_PER_HOUR", "1000000")];

/// More than an audit removes unasked.
const BRANCHES: u64 = 24;

/// Somebody at the local page, and the group that is linked there.
struct Person {
    world: World,
    browser: Browser,
    ada: UserHandle,
    group: GroupHandle,
}

impl Person {
    async fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let (world, url) = local(World::start_with(Version::V19_1, clock, &UNLIMITED).await.unwrap()).await;
        world.site.add_issue_range("PAY", 1..=50);
        let ada = world.gitlab.user("ada").with_public_email();
        let group = world.gitlab.group("acme/payments", Tier::Premium).named("Payments");
        group.grant(&ada, Role::Owner);
        let browser = Browser::start().await;
        browser.open(&url).await;
        Self { world, browser, ada, group }
    }

    /// A project in which an issue is worked at.
    async fn project(&self, name: &str, number: usize) -> ProjectHandle {
        let project = self.group.project(name).acting_as(&self.ada);
        let (branch, title) = (format!("PAY-{number}-{name}"), format!("PAY-{number} Work at {name}"));
        project.push(&branch, [commit(&title).adds("a.rs", 1)]).await;
        project.open_merge_request(merge_request(&branch, &title)).await;
        project
    }

    async fn sign_in(&self, username: &str) {
        self.browser.click("Link a group").await;
        self.browser.click(&format!("Sign in to {}", self.world.gitlab.url())).await;
        self.browser.authorize_as(username, false).await;
        self.browser.reads("Choose a group to link").await;
    }

    /// Links the group as Ada does, and goes back to the first screen.
    async fn link(&self) {
        self.sign_in("ada").await;
        self.browser.click("Choose acme/payments").await;
        self.browser.click("Link acme/payments").await;
        self.browser.click("Done").await;
        self.browser.reads("Linked groups (1)").await;
    }

    async fn look(&self, name: &str) {
        self.browser.look(&format!("local-{name}")).await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_controls_history() {
    let person = Person::new().await;
    for number in 1..=12 {
        person.project(&format!("service-{number}"), number).await;
    }
    person.world.gitlab.inject(Fault::slow(Duration::from_secs(2)).on("/projects"));
    person.link().await;
    person.browser.reads("Being sent").await;
    person.browser.reads("of 12 projects").await;
    person.look("history-1-running").await;
    person.browser.click("Pause the history of acme/payments").await;
    person.browser.reads("Paused").await;
    person.look("history-2-paused").await;
    person.browser.click("Resume the history of acme/payments").await;
    person.browser.reads("Being sent").await;
    person.browser.click("Cancel the history of acme/payments").await;
    person.browser.reads("Cancelled").await;
    person.look("history-3-cancelled").await;
    person.world.gitlab.clear_faults();
    person.browser.click("Resume the history of acme/payments").await;
    person.browser.reads("Sent: 12 of 12 projects").await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_audits_a_link_and_removes_branches_that_are_gone() {
    let person = Person::new().await;
    let api = person.project("api", 7).await;
    let names: Vec<String> = (1..=BRANCHES).map(|number| format!("PAY-{number}-gone")).collect();
    for name in &names {
        api.push(name, [commit("work").adds("a", 1)]).await;
    }
    api.push("main", [commit("PAY-99 names no issue that Jira has").adds("b", 1)]).await;
    api.push("main", [commit("PAY-8 Limit refunds").adds("c", 1)]).await;
    let refused = api.head("main").unwrap();
    person.world.site.fail(FailureRule::reject_entity(&refused, "The commit is not valid"));
    person.link().await;
    person.browser.reads("Sent: 1 of 1 project").await;
    api.delete_branches(names.iter().map(String::as_str)).await;

    person.browser.click("Audit the history of acme/payments").await;
    person.browser.reads("missing of").await;
    person.browser.choose("What is missing, and why").await;
    person.browser.choose("1 project with something that could not be listed").await;
    person.browser.reads("The commit is not valid").await;
    person.browser.reads("too many to remove unasked").await;
    person.look("audit-1-missing").await;
    person.browser.click(&format!("Remove {BRANCHES} branches from issues of acme/payments")).await;
    person.look("audit-2-remove").await;
    person.browser.click("Cancel").await;
    assert_eq!(person.world.site.issue("PAY-1").branches.len(), 1);
    person.browser.click(&format!("Remove {BRANCHES} branches from issues of acme/payments")).await;
    person.browser.click("Remove").await;
    person.browser.reads(&format!("{BRANCHES} branches gone in GitLab, removed")).await;
    person.look("audit-3-removed").await;
    assert!(person.world.site.issue("PAY-1").branches.is_empty());
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_sees_webhooks_being_made_and_what_is_wrong_with_them() {
    let person = Person::new().await;
    let linus = person.world.gitlab.user("linus");
    person.group.grant(&linus, Role::Maintainer);
    let first = person.project("service-1", 1).await;
    for number in 2..=30 {
        person.group.project(&format!("service-{number}"));
    }
    person.sign_in("linus").await;
    person.browser.click("Choose acme/payments").await;
    person.browser.reads("A webhook in each project").await;
    person.look("webhooks-1-preview").await;
    person.browser.choose("No access token").await;
    let gitlab = &person.world.gitlab;
    let forbidden = || Fault::status(403).on(&format!("/projects/{}/hooks", first.id())).method("POST");
    gitlab.inject(forbidden());
    gitlab.inject(Fault::slow(Duration::from_secs(12)).on("/projects").method("POST").times(1));
    // Until it is cleared, however long looking takes.
    gitlab.inject(Fault::slow(Duration::from_secs(5)).on("/projects").method("POST"));
    person.browser.click("Link acme/payments").await;
    person.browser.reads("Each of 30 projects gets a webhook of its own").await;
    person.look("webhooks-2-linking").await;
    person.browser.click("Done").await;
    person.browser.reads("of 30 projects done").await;
    person.look("webhooks-3-running").await;
    gitlab.clear_faults();
    gitlab.inject(forbidden());
    person.browser.reads("1 project without a hook").await;
    person.browser.leaves("of 30 projects done").await;
    assert!(!person.browser.shows("refused the token").await, "who is done leaves the token to them");
    person.look("webhooks-4-trouble").await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_sets_up_another_gitlab() {
    let person = Person::new().await;
    let browser = &person.browser;
    let second = GitlabStandin::start(Version::V17_3).await.unwrap();
    let redirect_uri = format!("{}/-/jira_connect/oauth_callbacks", person.world.base_url());
    let application = second.oauth_application(&redirect_uri);
    browser.click("Link a group").await;
    browser.click("Use another GitLab").await;
    person.look("gitlab-1-another").await;
    browser.enter("GitLab URL", "http://127.0.0.1:1").await;
    browser.enter("Application ID", "unknown").await;
    browser.click("Save").await;
    browser.reads("can't be reached").await;
    person.look("gitlab-2-unreachable").await;
    browser.enter("GitLab URL", second.url()).await;
    browser.click("Save").await;
    browser.reads("does not know this application id").await;
    person.look("gitlab-3-unknown-application").await;
    browser.enter("Application ID", &application).await;
    browser.click("Save").await;
    browser.reads("Sign in to GitLab").await;
    person.look("gitlab-4-two").await;
    browser.click(&format!("Use an access token instead, for {}", second.url())).await;
    browser.enter("Access token", "wrong").await;
    browser.click("Continue").await;
    browser.reads("rejects the token").await;
    person.look("gitlab-5-token-rejected").await;
    browser.click("Back").await;
    browser.click(&format!("Remove {}", second.url())).await;
    browser.leaves(second.url()).await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_learns_what_is_wrong() {
    let person = Person::new().await;
    let (browser, api) = (&person.browser, person.project("api", 7).await);
    person.link().await;
    browser.reads("Sent: 1 of 1 project").await;
    // A sign-in that GitLab ended meanwhile.
    person.sign_in("ada").await;
    person.world.gitlab.inject(Fault::status(401).on("/groups"));
    browser.enter("Search groups", "payments").await;
    browser.reads("or sign in again").await;
    person.look("error-1-sign-in-ended").await;
    person.world.gitlab.clear_faults();
    // A site that does not answer.
    person.world.site.suspend();
    api.push("PAY-9-late", [commit("PAY-9 Late").adds("a", 1)]).await;
    person.world.settled().await.unwrap();
    browser.click("Back").await;
    browser.reads("Calls to Jira resume at").await;
    person.look("error-2-site-waits").await;
    browser.click("Unlink acme/payments").await;
    browser.click("Unlink").await;
    browser.reads("does not answer").await;
    person.look("error-3-not-unlinked").await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_is_told_why_nothing_is_shown() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.site.add_user(User::new("somebody", "Somebody"));
    let frame = connect(&world, "somebody").await;
    let browser = Browser::start().await;
    browser.open(frame.url()).await;
    browser.enter_frame().await;
    browser.reads("Only administrators of this Jira site").await;
    browser.look("connect-error-1-no-administrator").await;
    world.site.suspend();
    browser.click("Try again").await;
    browser.reads("does not answer now").await;
    browser.look("connect-error-2-no-answer").await;
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_chooses_a_site_on_the_local_page() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    let url = serve_page(&world).await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    browser.reads("No Jira site yet").await;
    browser.look("local-sites-1-none").await;
    world.add_oauth_credentials().await.unwrap();
    let globex = world.jira.site("globex").await.unwrap();
    globex.install(&world.connect_base_url()).await.unwrap();
    let (origin, _) = url.split_once("/page/").unwrap();
    browser.open(&format!("{origin}/page/")).await;
    browser.reads("Jira sites").await;
    browser.look("local-sites-2-two").await;
}
