//! Unlinking a group: its hooks first, so that nothing new comes in, then what came through it to Jira, then the token, and
//! the link itself last, so that an unlinking that was interrupted can be done again.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::synced_data::{Projects, SyncedData, SyncedDataNote};
use super::{LinkError, Linking};
use crate::domain::{
    Credential, CredentialMode, HookKind, Site, Subscription, SubscriptionState, lies_under,
};
use crate::envelope::Context;
use crate::gitlab::client::{GitlabClient, HookOwner};
use crate::jira::client::JiraClient;

/// How a group is unlinked.
#[derive(Debug, Default)]
pub struct UnlinkRequest {
    /// Whether what was sent stays at Jira: for sites that are gone, or whose credential is.
    pub keep_jira_data: bool,
    /// A token of an Owner, the only role that may remove a group's hook; the stored one if missing.
    pub gitlab_token: Option<SecretString>,
}

/// A group that was unlinked.
#[derive(Debug)]
pub struct UnlinkReport {
    /// The link that was removed.
    pub subscription: Subscription,
    /// Hooks that were removed from GitLab.
    pub hooks_removed: usize,
    /// Projects whose development information was deleted from Jira.
    pub repositories_removed: usize,
    /// What a person should know.
    pub notes: Vec<UnlinkNote>,
}

/// What a person should know of an unlinking.
#[derive(Debug)]
pub enum UnlinkNote {
    /// What was sent stays at Jira, as asked.
    JiraDataKept,
    /// The site has no connection, so nothing was deleted there.
    NoConnection,
    /// GitLab was not called.
    GitlabNotCalled(LinkError),
    /// Something of what was sent may stay.
    SyncedData(SyncedDataNote),
    /// Another link covers this group, so its development information stays.
    CoveredByAnotherLink,
    /// A hook was made by hand, and is to be removed by hand.
    RemoveManualHook,
    /// The group's hook, by GitLab's id, is still there.
    GroupHookLeft(u64),
    /// Whether the group has a hook is not known.
    GroupHookUnknown,
    /// Hooks of projects that are still there: project and hook by GitLab's ids.
    ProjectHooksLeft(Vec<(u64, u64)>),
    /// Projects of which it is not known whether they have a hook.
    ProjectHooksUnknown(Vec<u64>),
    /// The token that was given for the link is forgotten, but still works.
    GivenTokenNotRevoked,
    /// The group access token could not be revoked.
    GroupTokenNotRevoked,
}

/// An unlinking under way.
struct Unlinking<'a> {
    linking: &'a Linking,
    site: Site,
    link: Subscription,
    gitlab: Option<GitlabClient>,
    notes: Vec<UnlinkNote>,
    keep_jira_data: bool,
    hooks_removed: usize,
}

impl Linking {
    /// Removes the hooks and the token of a link, from Jira what no other link covers, and the link.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::HalfDeleted`] once something was removed. Unlinking can be done again.
    pub async fn unlink(
        &self,
        site: Site,
        link: Subscription,
        request: UnlinkRequest,
    ) -> Result<UnlinkReport, LinkError> {
        let jira = if request.keep_jira_data { None } else { self.jira(&site).await? };
        if let Some(jira) = &jira {
            jira.check().await?;
        }
        let gitlab = match request.gitlab_token {
            Some(token) => self.gitlab_with(&link, token).map(Some),
            None => self.gitlab_of(&link).await,
        };
        let mut notes = Vec::new();
        if request.keep_jira_data {
            notes.push(UnlinkNote::JiraDataKept);
        }
        let gitlab = gitlab.unwrap_or_else(|error| {
            notes.push(UnlinkNote::GitlabNotCalled(error));
            None
        });
        let keep_jira_data = request.keep_jira_data;
        Unlinking { linking: self, site, link, gitlab, notes, keep_jira_data, hooks_removed: 0 }
            .carry_out(jira.as_ref())
            .await
    }
}

impl Unlinking<'_> {
    async fn carry_out(mut self, jira: Option<&JiraClient>) -> Result<UnlinkReport, LinkError> {
        let store = &self.linking.store;
        let (id, mut notes) = (self.link.id, Vec::new());
        // Before the hooks go: what the token may see is the best list of projects there is.
        let projects = self.synced_data().projects(&mut notes).await?;
        let projects = self.without_covered(projects).await?;
        // From here on a link that is there has lost something.
        let begin = |link: &mut Subscription| {
            link.state = SubscriptionState::Pending;
            link.hooks = None;
        };
        store.update_subscription(id, begin).await?;
        let lease = self.linking.wait_for_lease(id).await?;
        let removed = self.remove_all(jira, &projects, &mut notes).await;
        if removed.is_err()
            && let Some(lease) = lease
        {
            store.end_lease(id, lease).await?;
        }
        let repositories_removed = removed?;
        self.notes.extend(notes.into_iter().map(UnlinkNote::SyncedData));
        self.revoke_token().await;
        store.delete_subscription(&self.link).await?;
        tracing::info!(subscription.id = %id, site.id = %self.site.id, "group unlinked");
        Ok(UnlinkReport {
            subscription: self.link,
            hooks_removed: self.hooks_removed,
            repositories_removed,
            notes: self.notes,
        })
    }

    /// Removes the hooks and, through `jira`, what was sent. Answers from how many projects.
    async fn remove_all(
        &mut self,
        jira: Option<&JiraClient>,
        projects: &Projects,
        notes: &mut Vec<SyncedDataNote>,
    ) -> Result<usize, LinkError> {
        self.remove_hooks().await?;
        if jira.is_some() {
            self.linking.wait_for_messages_in_flight(Some(self.link.id)).await?;
        }
        match jira {
            Some(jira) => {
                let deleted = self.synced_data().delete(jira, projects, notes).await;
                deleted.map_err(LinkError::HalfDeleted)?;
                return Ok(projects.len());
            }
            None if self.keep_jira_data => {}
            None => self.notes.push(UnlinkNote::NoConnection),
        }
        Ok(0)
    }

    fn synced_data(&self) -> SyncedData<'_> {
        SyncedData { linking: self.linking, site: &self.site, link: &self.link, gitlab: self.gitlab.as_ref() }
    }

    /// Leaves out what another link of the site covers, or may cover.
    async fn without_covered(&mut self, mut projects: Projects) -> Result<Projects, LinkError> {
        let store = &self.linking.store;
        let mut others = store.subscriptions(self.site.id).await?;
        others.retain(|other| other.id != self.link.id && other.instance == self.link.instance);
        if others.iter().any(|other| {
            other.group_id == self.link.group_id || lies_under(&self.link.group_path, &other.group_path)
        }) {
            self.notes.push(UnlinkNote::CoveredByAnotherLink);
            return Ok(Projects::new());
        }
        let mut covered = BTreeSet::new();
        for other in &others {
            covered.extend(store.inside_projects(other.id).await?);
            covered.extend(store.project_hooks(other.id).await?.iter().filter_map(|hook| hook.project_id));
        }
        let subgroups: Vec<&str> = others
            .iter()
            .map(|other| other.group_path.as_str())
            .filter(|path| lies_under(path, &self.link.group_path))
            .collect();
        projects.retain(|id, path| {
            let may_be_covered = match path {
                Some(path) => subgroups.iter().any(|group| lies_under(path, group)),
                // Without its path nothing can be said, and what is wrongly kept does less harm than what is wrongly deleted.
                None => !subgroups.is_empty(),
            };
            !covered.contains(id) && !may_be_covered
        });
        Ok(projects)
    }

    async fn remove_hooks(&mut self) -> Result<(), LinkError> {
        match (self.link.hook.kind, self.link.hook.id) {
            (HookKind::Manual, _) => self.notes.push(UnlinkNote::RemoveManualHook),
            (HookKind::Group, Some(id)) => {
                if !self.remove_hook(HookOwner::Group(self.link.group_id), id).await {
                    self.notes.push(UnlinkNote::GroupHookLeft(id));
                }
            }
            (HookKind::Group, None) => self.notes.push(UnlinkNote::GroupHookUnknown),
            (HookKind::Project, _) => self.remove_project_hooks().await?,
        }
        Ok(())
    }

    async fn remove_project_hooks(&mut self) -> Result<(), LinkError> {
        let (mut left, mut unknown) = (Vec::new(), Vec::new());
        for hook in self.linking.store.project_hooks(self.link.id).await? {
            let Some(project) = hook.project_id else { continue };
            match hook.id {
                None => unknown.push(project),
                Some(id) if self.remove_hook(HookOwner::Project(project), id).await => {}
                Some(id) => left.push((project, id)),
            }
        }
        if !left.is_empty() {
            self.notes.push(UnlinkNote::ProjectHooksLeft(left));
        }
        if !unknown.is_empty() {
            self.notes.push(UnlinkNote::ProjectHooksUnknown(unknown));
        }
        Ok(())
    }

    /// `false`: the token may not, or GitLab does not answer.
    async fn remove_hook(&mut self, owner: HookOwner, id: u64) -> bool {
        let Some(gitlab) = &self.gitlab else { return false };
        let removed = match gitlab.delete_hook(owner, id).await {
            Err(error) if self.linking.waits_for(&error).await => gitlab.delete_hook(owner, id).await,
            removed => removed,
        };
        if let Err(error) = &removed {
            tracing::warn!(subscription.id = %self.link.id, hook.id = id, %error, "a hook was not removed");
        }
        self.hooks_removed += usize::from(removed.is_ok());
        removed.is_ok()
    }

    /// Revokes a token that was made for the link. A token that was given stays its owner's.
    async fn revoke_token(&mut self) {
        match &self.link.credential {
            None => {}
            Some(credential) if credential.mode == CredentialMode::Pasted => {
                self.notes.push(UnlinkNote::GivenTokenNotRevoked);
            }
            Some(credential) if self.revoke(credential).await => {}
            Some(_) => self.notes.push(UnlinkNote::GroupTokenNotRevoked),
        }
    }

    /// Has the token revoke itself, which every token may.
    async fn revoke(&self, credential: &Credential) -> bool {
        if self.gitlab.is_none() {
            return false;
        }
        let context = Context::gitlab_token(self.link.site, self.link.id);
        let Ok(token) = self.linking.envelope.open(&credential.token, &context).await else { return false };
        match self.linking.gitlab_with(&self.link, token) {
            Ok(gitlab) => gitlab.revoke_self().await.is_ok(),
            Err(_) => false,
        }
    }
}
