//! Webhooks of groups and projects (<https://docs.gitlab.com/api/group_webhooks/>,
//! <https://docs.gitlab.com/api/project_webhooks/>).

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::date;

/// A hook, as GitLab stored it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct StoredHook {
    /// GitLab's id of it.
    pub id: u64,
    /// Where it delivers to.
    #[serde(default)]
    pub url: String,
    /// Whether it kept the signing token; versions before 19.0 do not say.
    #[serde(default)]
    pub signing_token_present: bool,
    /// `executable`, `disabled` or `temporarily_disabled`; versions before 15.8 do not say.
    #[serde(default)]
    alert_status: String,
    #[serde(default)]
    disabled_until: Option<String>,
    #[serde(flatten)]
    attributes: serde_json::Map<String, Value>,
}

/// Whether GitLab delivers through a hook, after deliveries that failed
/// (<https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookHealth {
    /// It does.
    Executable,
    /// It does again by itself, after this moment if GitLab names one.
    TemporarilyDisabled(Option<Timestamp>),
    /// It does not until a test delivery succeeds.
    Disabled,
}

/// The events that Jira hears of, and those that GitLab must not deliver.
const EVENTS: [(&str, bool); 11] = [
    ("push_events", true),
    ("tag_push_events", false),
    ("merge_requests_events", true),
    ("pipeline_events", true),
    ("deployment_events", true),
    ("feature_flag_events", true),
    ("issues_events", false),
    ("note_events", false),
    ("job_events", false),
    ("wiki_page_events", false),
    ("releases_events", false),
];

impl StoredHook {
    /// Whether GitLab delivers through it.
    #[must_use]
    pub fn health(&self) -> HookHealth {
        match self.alert_status.as_str() {
            "disabled" => HookHealth::Disabled,
            "temporarily_disabled" => {
                HookHealth::TemporarilyDisabled(self.disabled_until.as_deref().and_then(date::parse))
            }
            _ => HookHealth::Executable,
        }
    }

    /// Whether it delivers to `url`, and every event that it should: an event that GitLab does not name counts as one that
    /// it does not know.
    #[must_use]
    pub fn is_as_made(&self, url: &str) -> bool {
        let is_on = |event: &str| self.attributes.get(event).and_then(Value::as_bool).unwrap_or(true);
        self.url == url && EVENTS.iter().filter(|(_, on)| *on).all(|(event, _)| is_on(event))
    }
}

/// What a hook belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOwner {
    /// A group, by id.
    Group(u64),
    /// A project, by id.
    Project(u64),
}

impl HookOwner {
    fn path(self) -> [String; 3] {
        match self {
            Self::Group(id) => ["groups".to_owned(), id.to_string(), "hooks".to_owned()],
            Self::Project(id) => ["projects".to_owned(), id.to_string(), "hooks".to_owned()],
        }
    }
}

/// What a new hook is given.
#[derive(Debug)]
pub struct NewHook<'a> {
    /// Where it delivers to.
    pub url: &'a str,
    /// Sent in clear as `X-Gitlab-Token`.
    pub token: &'a SecretString,
    /// Key of the signature; GitLab before 19.0 ignores it.
    pub signing_token: &'a SecretString,
}

impl NewHook<'_> {
    fn body(&self) -> Value {
        let mut body = json!({
            "url": self.url, "name": "GitLab for Jira", "enable_ssl_verification": true,
            "token": self.token.expose_secret(), "signing_token": self.signing_token.expose_secret(),
        });
        for (event, on) in EVENTS {
            body[event] = Value::Bool(on);
        }
        body
    }
}

impl GitlabClient {
    /// Makes a hook for the events that Jira hears of, and no others.
    pub async fn create_hook(&self, owner: HookOwner, hook: &NewHook<'_>) -> Result<StoredHook, GitlabError> {
        let path = owner.path();
        self.write(Method::POST, &path.each_ref().map(String::as_str), Some(&hook.body())).await
    }

    /// Gives a hook the URL, the secrets and the events of a new one.
    pub async fn update_hook(
        &self,
        owner: HookOwner,
        id: u64,
        hook: &NewHook<'_>,
    ) -> Result<StoredHook, GitlabError> {
        let [owners, owner, hooks] = owner.path();
        self.write(Method::PUT, &[&owners, &owner, &hooks, &id.to_string()], Some(&hook.body())).await
    }

    /// A page of hooks.
    pub async fn hooks(&self, owner: HookOwner, page: u32) -> Result<Page<StoredHook>, GitlabError> {
        let path = owner.path();
        self.page(&path.each_ref().map(String::as_str), &[], page).await
    }

    /// Has GitLab deliver a push through a hook, as if the newest commit were pushed; one that is answered 2xx enables a
    /// hook that was disabled. [`GitlabError::NotFound`] before 16.11.
    pub async fn test_hook(&self, owner: HookOwner, id: u64) -> Result<(), GitlabError> {
        let [owners, owner, hooks] = owner.path();
        let path = [&*owners, &*owner, &*hooks, &*id.to_string(), "test", "push_events"];
        self.send(Method::POST, &path, &[], None).await.map(drop)
    }

    /// Reads a hook back.
    pub async fn hook(&self, owner: HookOwner, id: u64) -> Result<StoredHook, GitlabError> {
        let [owners, owner, hooks] = owner.path();
        self.get(&[&owners, &owner, &hooks, &id.to_string()], &[]).await
    }

    /// Removes a hook; one that is gone already counts as removed.
    pub async fn delete_hook(&self, owner: HookOwner, id: u64) -> Result<(), GitlabError> {
        let [owners, owner, hooks] = owner.path();
        self.remove(&[&owners, &owner, &hooks, &id.to_string()]).await
    }
}
