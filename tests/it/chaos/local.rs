//! The local process, killed as a whole.

use std::time::Duration;

use gitlab_jira::operate::CredentialChoice;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use standins::gitlab::{GitlabStandin, Version};
use standins::jira::{JiraStandin, SiteHandle};
use tokio::process::Child;

use super::{Bundle, Stage, number_of_events, play};
use crate::program::Program;

/// How many events happen, unless `CHAOS_EVENTS` says otherwise.
const EVENTS: usize = 2_000;

struct Local {
    program: Program,
    child: Child,
}

impl Bundle for Local {
    const LIFE: Duration = Duration::from_secs(1);

    async fn add_site(&self, site: &SiteHandle, client_id: String, client_secret: SecretString) {
        let site = site.base_url();
        let add = ["site", "add", "--site", &site, "--client-id", &client_id, "--client-secret-stdin"];
        self.program.run(&add, client_secret.expose_secret()).await;
    }

    async fn link(&self, site: &SiteHandle, group: &str, token: &SecretString, credential: CredentialChoice) {
        let site = site.base_url().trim_start_matches("http://").to_owned();
        let credential = if credential == CredentialChoice::None { "none" } else { "given" };
        let link = ["group", "link", "--site", &site, "--group", group, "--gitlab-token-stdin"];
        let link = [&link[..], &["--credential", credential]].concat();
        self.program.run(&link, token.expose_secret()).await;
    }

    async fn queue(&self) -> Value {
        self.program.run(&["status"], "").await["queues"]["events"].take()
    }

    async fn dead_letters(&self) -> Value {
        self.program.run(&["dlq", "list"], "").await
    }

    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
        self.child = self.program.serve().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_end_jira_shows_what_gitlab_has() {
    let jira = JiraStandin::start().await.unwrap();
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let program = Program::new(&jira, &gitlab);
    let child = program.serve().await;
    let mut local = Local { program, child };
    play(Stage::new(&jira, gitlab).await, &mut local, number_of_events(EVENTS)).await;
}
