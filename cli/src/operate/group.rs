//! Links between GitLab groups and Jira sites: making them ([`link`], [`making`], [`credential`]), listing and removing
//! them ([`unlink`], [`sent`]).

mod credential;
mod link;
mod making;
pub(super) mod sent;
mod unlink;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use shared::attention;
use shared::bundle::WEBHOOK;
use shared::domain::{Credential, CredentialMode, HookKind, Site, Subscription, SubscriptionId};
use shared::gitlab::client::{GitlabClient, GitlabError};
use shared::jira::client::JiraClient;
use shared::sync::verify::gitlab_token_context;

use super::{Operator, Refusal, trouble};

/// A rate limit that asks for more than this is a person's business.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Operator {
    pub(super) async fn group_list(&self, site: Option<&str>) -> Result<Value, Refusal> {
        let sites = match site {
            Some(site) => vec![self.find_site(site).await?],
            None => self.store.sites().await?,
        };
        let mut groups = Vec::new();
        for site in sites {
            for link in self.store.subscriptions(site.id).await? {
                groups.push(json!({
                    "id": link.id, "site": site.host(), "instance": link.instance, "group": link.group_path,
                    "state": link.state, "hook": { "kind": link.hook.kind, "signed": self.is_signed(&link).await? },
                    "credential": credential_name(link.credential.as_ref()), "project_keys": link.project_keys,
                    "attention": link.attention.as_ref().map(attention::of_attention), "created_at": link.created_at.iso8601(),
                }));
            }
        }
        Ok(json!({ "groups": groups }))
    }

    /// Where the hooks of a link deliver to.
    fn webhook_url(&self, link: SubscriptionId) -> String {
        let path = WEBHOOK.path.replace("{subscription}", &link.to_string());
        format!("{}{path}", self.webhook_base_url)
    }

    /// Whether every hook of a link must sign.
    async fn is_signed(&self, link: &Subscription) -> Result<bool, Refusal> {
        if link.hook.kind != HookKind::Project {
            return Ok(link.hook.signed);
        }
        let mut hooks = self.store.project_hooks(link.id).await?;
        hooks.retain(|hook| hook.id.is_some());
        Ok(!hooks.is_empty() && hooks.iter().all(|hook| hook.signed))
    }

    /// Jira through the connection of `site` that writes; `None` when none is open.
    pub(super) async fn jira(&self, site: &Site) -> Result<Option<JiraClient>, Refusal> {
        let Some(writer) = site.writer else { return Ok(None) };
        let Some(installation) = self.store.installation(site.id, writer).await? else { return Ok(None) };
        let client = self.connections.open(site, &installation).await;
        client.map(Some).map_err(|error| trouble::of_connection(&error, site))
    }

    /// GitLab through the stored token of a link; `None` when it has none.
    pub(super) async fn gitlab_of(&self, link: &Subscription) -> Result<Option<GitlabClient>, Refusal> {
        let Some(credential) = &link.credential else { return Ok(None) };
        let token = self.envelope.open(&credential.token, &gitlab_token_context(link)).await?;
        self.gitlab_with(link, token).map(Some)
    }

    /// GitLab of a link through another token.
    pub(super) fn gitlab_with(
        &self,
        link: &Subscription,
        token: SecretString,
    ) -> Result<GitlabClient, Refusal> {
        let base = self
            .guard
            .check(&link.instance)
            .map_err(|error| Refusal::new(format!("{} must not be called: {error}.", link.instance)))?;
        Ok(GitlabClient::new(self.gitlab.clone(), base, token))
    }

    /// Waits out a rate limit of GitLab that is short enough, and then says to try again.
    async fn waits_for(&self, error: &GitlabError) -> bool {
        match error {
            GitlabError::RateLimited { retry_after } if *retry_after <= LONGEST_PAUSE => {
                self.clock.sleep(*retry_after).await;
                true
            }
            _ => false,
        }
    }
}

fn credential_name(credential: Option<&Credential>) -> &'static str {
    match credential.map(|credential| credential.mode) {
        None => "none",
        Some(CredentialMode::Managed) => "managed",
        Some(CredentialMode::Read) => "read",
        Some(CredentialMode::Pasted) => "pasted",
    }
}

/// Whether a project or group of path `inner` lies below the group of path `outer`.
fn lies_under(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}
