//! The page in a browser: headless Chromium, inside frames that stand for Jira's, against stand-ins of Jira and GitLab.
//! What its API answers is tested in `tests/it/page.rs`; these stories show that a person gets there by clicking.
//!
//! On each screen that is passed axe looks for barriers, for which `make browser` fetches it; `SCREENSHOTS` names a
//! folder for pictures of it.

#![expect(clippy::unwrap_used, reason = "a story that can't go on fails")]

mod browser;
mod demo;
mod documents;
mod look;
mod states;

use std::path::Path;
use std::sync::Arc;

use axum::middleware::from_fn;
use gitlab_jira::demo::world::{ADMINISTRATOR, World};
use gitlab_jira::{page, serve};
use shared::clock::SystemClock;
use shared::domain::ConnectionKind;
use standins::gitlab::{GroupHandle, ProjectHandle, Role, Tier, Version, commit, merge_request};
use standins::jira::Frames;

use browser::Browser;

/// Markup in a name, as somebody would plant it.
const MARKUP: &str = "<img src=x onerror=\"document.title='planted'\">";

struct Stage {
    world: World,
    group: GroupHandle,
    api: ProjectHandle,
    browser: Browser,
    host: &'static str,
}

impl Stage {
    async fn new(world: World, host: &'static str) -> Self {
        world.site.add_issue_range("PAY", 1..=50);
        let ada = world.gitlab.user("ada").with_public_email();
        let group = world.gitlab.group("acme/payments", Tier::Premium).named(MARKUP);
        group.grant(&ada, Role::Owner);
        let api = group.project("api").acting_as(&ada);
        api.push("main", [commit("Start").adds("README.md", 1)]).await;
        api.push("rounding", [commit("Round").adds("a.rs", 1)]).await;
        api.open_merge_request(merge_request("rounding", "PAY-3 Round, encoded as UTF-8")).await;
        Self { browser: Browser::start().await, world, group, api, host }
    }

    async fn screen(&self, name: &str) {
        self.browser.look(&format!("{}-{name}", self.host)).await;
    }

    /// From the empty page to an issue that shows a branch, and back to the empty page.
    async fn story(&self, code_by_hand: bool) {
        let browser = &self.browser;
        browser.reads("Link your first GitLab group").await;
        self.screen("1-empty").await;
        browser.click("Link a group").await;
        self.screen("2-sign-in").await;
        browser.click(&format!("Sign in to {}", self.world.gitlab.url())).await;
        let code = browser.authorize_as("ada", code_by_hand).await;
        if let Some(code) = code {
            self.screen("3-code").await;
            browser.enter("Code", "AAA-AAA").await;
            browser.click("Continue").await;
            browser.reads("not the code").await;
            self.screen("3-code-wrong").await;
            browser.enter("Code", &code).await;
            browser.click("Continue").await;
        }
        browser.reads("Choose a group to link").await;
        // A name is a text, whatever it looks like.
        browser.reads(MARKUP).await;
        self.screen("4-groups").await;
        browser.click("Choose acme/payments").await;
        browser.reads("What the link reads GitLab with").await;
        browser.reads("PAY").await;
        self.screen("5-preview").await;
        browser.click("Link acme/payments").await;
        browser.reads("acme/payments is linked").await;
        self.screen("6-linked").await;

        self.api.push("PAY-7-retry", [commit("PAY-7 Retry").adds("b.rs", 1)]).await;
        self.world.settled().await.unwrap();
        assert_eq!(self.world.site.issue("PAY-7").branches.len(), 1);

        browser.click("Done").await;
        browser.reads("Linked groups (1)").await;
        browser.reads("by @ada").await;
        browser.reads("Last event\njust now").await;
        // Without a reload.
        browser.reads("Sent: 1 of 1 project").await;
        assert_eq!(self.world.site.issue("PAY-3").pull_requests.len(), 1);
        self.screen("7-overview").await;
        browser.click("Edit the Jira projects of acme/payments").await;
        self.screen("7-project-keys").await;
        browser.click("Cancel").await;
        browser.click("Resync the history of acme/payments").await;
        browser.reads("What is sent").await;
        self.screen("7-resync").await;
        browser.click("Resync").await;
        browser.leaves("What is sent").await;
        browser.reads("Sent: 1 of 1 project").await;
        browser.click("Unlink acme/payments").await;
        self.screen("8-unlink").await;
        browser.click("Unlink").await;
        browser.reads("acme/payments is unlinked").await;
        self.screen("9-unlinked").await;
        assert!(self.world.site.issue("PAY-7").branches.is_empty());
        assert_ne!(browser.title().await, "planted");
        assert_eq!(self.group.full_path(), "acme/payments");
    }
}

async fn world() -> World {
    World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap()
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_links_a_group_in_the_frame_of_a_connect_app() {
    let world = world().await;
    let frame = connect(&world, ADMINISTRATOR).await;
    let stage = Stage::new(world, "connect").await;
    stage.browser.open(frame.url()).await;
    stage.browser.enter_frame().await;
    stage.story(false).await;
}

/// Jira's page around that of the Connect app, for somebody who looks at it.
async fn connect(world: &World, account: &str) -> Frames {
    let frame = world.site.frame("postInstallPage", account).await.unwrap();
    world.install().await.unwrap();
    frame
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_links_a_group_in_the_forge_app() {
    let world = world().await;
    let frame = forge(&world).await;
    let stage = Stage::new(world, "forge").await;
    stage.browser.open(frame.url()).await;
    stage.browser.enter_frame().await;
    stage.story(true).await;
}

/// Jira's page around that of the Forge app, for its administrator.
async fn forge(world: &World) -> Frames {
    let installation = world.install_forge_app().await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../page");
    let file = move |name: &str| std::fs::read(folder.join(name)).ok();
    installation.frame(file, "hosts/forge.js", ADMINISTRATOR).await.unwrap()
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_links_a_group_on_the_local_page() {
    let (world, url) = local(world().await).await;
    let stage = Stage::new(world, "local").await;
    stage.browser.open(&url).await;
    stage.story(false).await;
}

/// A site behind OAuth credentials, and where whoever runs the bundle opens the page.
async fn local(world: World) -> (World, String) {
    world.open_connection(ConnectionKind::OauthCredentials).await.unwrap();
    let url = serve_page(&world).await;
    (world, url)
}

/// An invitation to the page, which whoever runs the bundle has opened.
async fn serve_page(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let operator = world.local.operator.clone();
    let router = page::router(operator.clone(), origin).layer(from_fn(serve::only_by_loopback_address));
    tokio::spawn(async move { axum::serve(listener, router).await });
    operator.page_sessions.invite().unwrap()
}

/// Another site's page may not frame it: a browser shows nothing of it there.
#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn no_other_origin_can_frame_the_page() {
    let world = world().await;
    world.install().await.unwrap();
    // The frame is at an origin that the bundle was never told.
    let frame = world.site.frame("postInstallPage", ADMINISTRATOR).await.unwrap();
    let browser = Browser::start().await;
    browser.open(frame.url()).await;
    browser.enter_frame().await;
    assert!(!browser.shows("Link a group").await, "the browser refuses it");
}
