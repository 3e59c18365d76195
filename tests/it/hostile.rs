//! Callers that are not who they claim to be: lifecycle calls, people's calls, webhooks, and what is open to everyone.
//! Each is answered with its status and at most a sentence, and leaves everything as it was.

mod branch;
mod lifecycle;
mod public;
pub mod webhook;

use std::sync::Arc;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::Command;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use shared::clock::SystemClock;
use standins::gitlab::Version;
use standins::jira::LifecycleCall;

/// The longest sentence that tells a caller what is wrong.
const LONGEST_SENTENCE: usize = 120;

/// What no caller may read: where and how the program fails inside.
const INTERNAL: [&str; 7] = ["panic", "sqlite", "dynamo", "serde", "line ", "column", ".rs"];

/// A world with the app installed, and what it knows: a refused call changes none of it.
pub struct Fortress {
    pub world: World,
    pub http: Client,
    state: Value,
}

impl Fortress {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let world = World::start_with(Version::V19_1, Arc::new(SystemClock), variables).await.unwrap();
        world.install().await.unwrap();
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        let mut fortress = Self { world, http, state: Value::Null };
        fortress.remember().await;
        fortress
    }

    /// Remembers the present state, which must not change.
    pub async fn remember(&mut self) {
        self.state = self.world.command(Command::SiteList).await.unwrap();
    }

    /// What Jira would send about the installed app.
    pub fn call(&self, event: &str) -> LifecycleCall {
        self.world.site.lifecycle_call(event).unwrap()
    }

    pub async fn send(&self, call: &LifecycleCall) -> Response {
        self.send_with(call, &format!("JWT {}", call.token())).await
    }

    pub async fn send_with(&self, call: &LifecycleCall, authorization: &str) -> Response {
        let request = self.http.post(call.url()).header("authorization", authorization);
        request.json(call.body()).send().await.unwrap()
    }

    /// The answer is `status` with at most a sentence, and nothing has changed.
    pub async fn holds(&self, answer: Response, status: u16, case: &str) {
        refused(answer, status, case).await;
        let state = self.world.command(Command::SiteList).await.unwrap();
        assert_eq!(state, self.state, "{case}");
        // The shared secret is not shown anywhere; what it signs shows that it is still the same one.
        let url = self.world.site.create_branch_url("PAY-1", "x", "account").unwrap();
        assert_eq!(self.http.get(url).send().await.unwrap().status(), 302, "{case}");
    }
}

/// A refusal says little.
pub async fn refused(answer: Response, status: u16, case: &str) {
    assert_eq!(answer.status(), status, "{case}");
    let text = answer.text().await.unwrap();
    assert!(text.is_empty() || text.ends_with('.'), "{case}: {text}");
    assert!(text.len() <= LONGEST_SENTENCE && !text.contains('\n'), "{case}: {text}");
    for word in INTERNAL {
        assert!(!text.to_lowercase().contains(word), "{case}: {text}");
    }
}
