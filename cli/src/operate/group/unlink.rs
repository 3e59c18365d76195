//! Unlinking a group: its hooks first, so that nothing new comes in, then what came through it to Jira, then the token,
//! and the link itself last, so that an unlinking that was cut off can be done again.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::domain::{CredentialMode, HookKind, Site, Subscription, SubscriptionId, SubscriptionState};
use shared::gitlab::client::{GitlabClient, HookOwner};
use shared::jira::client::{JiraClient, JiraError};
use shared::sync::verify::gitlab_token_context;

use super::lies_under;
use super::sent::{Projects, Sent};
use crate::operate::{Operator, Refusal, trouble};

/// An unlinking, with what a person should know of it.
struct Unlinking<'a> {
    operator: &'a Operator,
    site: Site,
    link: Subscription,
    gitlab: Option<GitlabClient>,
    notes: Vec<String>,
    keep_jira_data: bool,
    hooks_removed: usize,
}

impl Operator {
    pub(in crate::operate) async fn group_unlink(
        &self,
        id: &str,
        keep_jira_data: bool,
        token: Option<SecretString>,
    ) -> Result<Value, Refusal> {
        let unknown =
            || Refusal::new("There is no link with this id: run `gitlab-jira group list` to see the ids.");
        let id: SubscriptionId = id.trim().parse().map_err(|_| unknown())?;
        let link = self.store.subscription(id).await?.ok_or_else(unknown)?;
        let site = self.store.site(link.site).await?.ok_or_else(unknown)?;
        let jira = if keep_jira_data { None } else { self.jira(&site).await? };
        if let Some(jira) = &jira {
            jira.check().await.map_err(|error| trouble::of_jira(&error, &site))?;
        }
        let gitlab = match token {
            Some(token) => self.gitlab_with(&link, token).map(Some),
            None => self.gitlab_of(&link).await,
        };
        let mut notes = Vec::new();
        if keep_jira_data {
            notes.push(format!("What was sent to {} stays there, as asked.", site.host()));
        }
        let gitlab = gitlab.unwrap_or_else(|refusal| {
            notes.push(format!("GitLab was not asked to remove anything. {refusal}"));
            None
        });
        Unlinking { operator: self, site, link, gitlab, notes, keep_jira_data, hooks_removed: 0 }
            .carry_out(jira.as_ref())
            .await
    }
}

impl Unlinking<'_> {
    async fn carry_out(mut self, jira: Option<&JiraClient>) -> Result<Value, Refusal> {
        let store = &self.operator.store;
        let (id, host) = (self.link.id, self.site.host().to_owned());
        let (mut repositories, mut notes) = (0, Vec::new());
        // Before the hooks go: what the token may see is the best list of projects there is.
        let projects = self.sent().projects(&mut notes).await?;
        self.notes.append(&mut notes);
        let projects = self.without_covered(projects).await?;
        // From here on a link that is there has lost something.
        store.update_subscription(id, |link| link.state = SubscriptionState::Pending).await?;
        self.remove_hooks().await?;
        match jira {
            Some(jira) => {
                let removed = self.sent().remove(jira, &projects, &mut notes).await;
                self.notes.append(&mut notes);
                removed.map_err(|error| self.half_done(&error))?;
                repositories = projects.len();
            }
            None if self.keep_jira_data => {}
            None => self.notes.push(format!(
                "No connection to {host} is open, so nothing was removed there; Jira itself removes what an uninstalled app had sent."
            )),
        }
        self.revoke_token().await?;
        store.delete_subscription(&self.link).await?;
        tracing::info!(subscription.id = %id, site.id = %self.site.id, "group unlinked");
        Ok(json!({
            "subscription": id, "site": host, "group": self.link.group_path,
            "hooks_removed": self.hooks_removed, "repositories_removed": repositories, "notes": self.notes,
        }))
    }

    fn sent(&self) -> Sent<'_> {
        Sent { operator: self.operator, site: &self.site, link: &self.link, gitlab: self.gitlab.as_ref() }
    }

    /// Leaves out what another link of the site covers, or may cover.
    async fn without_covered(&mut self, mut projects: Projects) -> Result<Projects, Refusal> {
        let store = &self.operator.store;
        let mut others = store.subscriptions(self.site.id).await?;
        others.retain(|other| other.id != self.link.id && other.instance == self.link.instance);
        if others.iter().any(|other| {
            other.group_id == self.link.group_id || lies_under(&self.link.group_path, &other.group_path)
        }) {
            self.notes.push(
                "Another link covers this group: branches, commits and merge requests stay in Jira."
                    .to_owned(),
            );
            return Ok(Projects::new());
        }
        let mut covered = BTreeSet::new();
        for other in &others {
            covered.extend(store.inside_projects(other.id).await?);
            covered.extend(store.project_hooks(other.id).await?.iter().filter_map(|hook| hook.project_id));
        }
        let inner: Vec<&str> = others
            .iter()
            .map(|other| other.group_path.as_str())
            .filter(|path| lies_under(path, &self.link.group_path))
            .collect();
        projects.retain(|id, path| {
            let may_be_inner = match path {
                Some(path) => inner.iter().any(|group| lies_under(path, group)),
                // It can't be told, and what is wrongly kept does less harm than what is wrongly gone.
                None => !inner.is_empty(),
            };
            !covered.contains(id) && !may_be_inner
        });
        Ok(projects)
    }

    async fn remove_hooks(&mut self) -> Result<(), Refusal> {
        let (instance, group) = (self.link.instance.clone(), self.link.group_path.clone());
        let url = self.operator.webhook_url(self.link.id);
        match (self.link.hook.kind, self.link.hook.id) {
            (HookKind::Manual, _) => self.notes.push(format!("Remove the hook to {url} that was made by hand.")),
            (HookKind::Group, Some(id)) => {
                if !self.remove_hook(HookOwner::Group(self.link.group_id), id).await {
                    self.notes.push(format!(
                        "The group's hook {id} is still there: an Owner removes it under {instance}/groups/{group}/-/hooks, or gives `group unlink` a token."
                    ));
                }
            }
            (HookKind::Group, None) => self.notes.push(format!(
                "If the group has a hook to {url}, an Owner removes it under {instance}/groups/{group}/-/hooks."
            )),
            (HookKind::Project, _) => self.remove_project_hooks(&url).await?,
        }
        Ok(())
    }

    async fn remove_project_hooks(&mut self, url: &str) -> Result<(), Refusal> {
        let (mut left, mut unknown) = (Vec::new(), Vec::new());
        for hook in self.operator.store.project_hooks(self.link.id).await? {
            let Some(project) = hook.project_id else { continue };
            match hook.id {
                None => unknown.push(project.to_string()),
                Some(id) if self.remove_hook(HookOwner::Project(project), id).await => {}
                Some(id) => left.push(format!("{id} of project {project}")),
            }
        }
        if !left.is_empty() {
            self.notes.push(format!(
                "These hooks are still there: {}. A Maintainer removes them in each project under Settings > Webhooks.",
                left.join(", ")
            ));
        }
        if !unknown.is_empty() {
            self.notes.push(format!(
                "No hook is known in the projects {}: if one has a hook to {url}, a Maintainer removes it under Settings > Webhooks.",
                unknown.join(", ")
            ));
        }
        Ok(())
    }

    /// `false`: the token may not, or GitLab does not answer.
    async fn remove_hook(&mut self, owner: HookOwner, id: u64) -> bool {
        let Some(gitlab) = &self.gitlab else { return false };
        let removed = match gitlab.delete_hook(owner, id).await {
            Err(error) if self.operator.waits_for(&error).await => gitlab.delete_hook(owner, id).await,
            removed => removed,
        };
        if let Err(error) = &removed {
            tracing::warn!(subscription.id = %self.link.id, hook.id = id, %error, "a hook was not removed");
        }
        self.hooks_removed += usize::from(removed.is_ok());
        removed.is_ok()
    }

    fn half_done(&self, error: &JiraError) -> Refusal {
        let (cause, id) = (trouble::of_jira(error, &self.site), self.link.id);
        Refusal::new(format!("{cause} Run `gitlab-jira group unlink {id}` again for the rest."))
    }

    /// Revokes a token that was made for the link. A token that was given stays its owner's business.
    async fn revoke_token(&mut self) -> Result<(), Refusal> {
        let Some(credential) = &self.link.credential else { return Ok(()) };
        if credential.mode == CredentialMode::Pasted {
            self.notes
                .push("The token that was given for the link is forgotten, but not revoked.".to_owned());
            return Ok(());
        }
        let token = self.operator.envelope.open(&credential.token, &gitlab_token_context(&self.link)).await;
        let revoked = match (&self.gitlab, token) {
            (Some(_), Ok(token)) => self.operator.revoke(&self.link.instance, token.expose_secret()).await,
            _ => false,
        };
        if !revoked {
            self.notes.push(format!(
                "The group access token \"GitLab for Jira\" still works: an Owner revokes it under {}/groups/{}/-/settings/access_tokens.",
                self.link.instance, self.link.group_path
            ));
        }
        Ok(())
    }
}

impl Operator {
    /// Has a token revoke itself, which every token may
    /// (<https://docs.gitlab.com/api/personal_access_tokens/#self-revoke>). One that does not work counts as revoked.
    async fn revoke(&self, instance: &str, token: &str) -> bool {
        let url = format!("{instance}/api/v4/personal_access_tokens/self");
        match self.gitlab.writes.delete(url).bearer_auth(token).send().await {
            Ok(answer) => answer.status().is_success() || answer.status() == StatusCode::UNAUTHORIZED,
            Err(_) => false,
        }
    }
}
