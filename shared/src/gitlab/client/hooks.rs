//! Webhooks of groups and projects (<https://docs.gitlab.com/api/group_webhooks/>,
//! <https://docs.gitlab.com/api/project_webhooks/>).

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{GitlabClient, GitlabError};

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
}

/// Where a hook sits.
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

impl GitlabClient {
    /// Makes a hook for the events that Jira hears of, and no others.
    pub async fn create_hook(&self, owner: HookOwner, hook: &NewHook<'_>) -> Result<StoredHook, GitlabError> {
        let body = json!({
            "url": hook.url, "name": "GitLab for Jira", "enable_ssl_verification": true,
            "token": hook.token.expose_secret(), "signing_token": hook.signing_token.expose_secret(),
            "push_events": true, "tag_push_events": false, "merge_requests_events": true, "pipeline_events": true,
            "deployment_events": true, "feature_flag_events": true,
            "issues_events": false, "note_events": false, "job_events": false, "wiki_page_events": false, "releases_events": false,
        });
        let path = owner.path();
        self.write(Method::POST, &path.each_ref().map(String::as_str), Some(&body)).await
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
