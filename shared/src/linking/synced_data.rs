//! What came through a link to Jira: which projects it is about, and deleting it there. Used when a group is unlinked,
//! and when another connection becomes the writing one.

use std::collections::BTreeMap;

use super::{GitlabPurpose, LONGEST_PAUSE, LinkError, Linking};
use crate::domain::{Api, Site, Subscription};
use crate::gitlab::client::{GitlabClient, GitlabError};
use crate::jira::answer::RateLimitReason;
use crate::jira::client::{JiraClient, JiraError};
use crate::sync::transform::repository_id;

/// Projects of a link by GitLab's id, with their paths where known.
pub type Projects = BTreeMap<u64, Option<String>>;

/// What came through a link.
#[derive(Debug)]
pub struct SyncedData<'a> {
    /// State and clients.
    pub linking: &'a Linking,
    /// The site it was sent to.
    pub site: &'a Site,
    /// The link.
    pub link: &'a Subscription,
    /// GitLab through a token of the link, if there is one.
    pub gitlab: Option<&'a GitlabClient>,
}

/// Why something may stay in Jira.
#[derive(Debug)]
pub enum SyncedDataNote {
    /// There is no token: only projects with events of the last day are known.
    NoToken,
    /// GitLab did not list the group's projects.
    ProjectsNotListed(LinkError),
    /// The connection does not cover this API, so what another connection sent there stays.
    NotCovered(Api),
}

impl SyncedData<'_> {
    /// The projects whose development information may have come through the link.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn projects(&self, notes: &mut Vec<SyncedDataNote>) -> Result<Projects, LinkError> {
        let store = &self.linking.store;
        let mut projects = Projects::new();
        for project in store.inside_projects(self.link.id).await? {
            projects.insert(project, None);
        }
        for hook in store.project_hooks(self.link.id).await? {
            projects.extend(hook.project_id.map(|project| (project, None)));
        }
        let Some(gitlab) = self.gitlab else {
            notes.push(SyncedDataNote::NoToken);
            return Ok(projects);
        };
        match self.group_projects(gitlab).await {
            Ok(listed) => projects.extend(listed),
            Err(error) => {
                let error = LinkError::gitlab(&self.link.instance, GitlabPurpose::ListProjects)(error);
                notes.push(SyncedDataNote::ProjectsNotListed(error));
            }
        }
        Ok(projects)
    }

    /// Deletes it through `jira`. Builds, deployments and flags carry the link as a property; development information is
    /// deleted by its repository.
    ///
    /// # Errors
    /// [`JiraError`]; what is left is deleted when it is done again.
    pub async fn delete(
        &self,
        jira: &JiraClient,
        projects: &Projects,
        notes: &mut Vec<SyncedDataNote>,
    ) -> Result<(), JiraError> {
        let link = self.link.id.to_string();
        let properties = [("link", link.as_str())];
        for api in [Api::Builds, Api::Deployments, Api::FeatureFlags] {
            let deleted = match jira.delete_by_properties(api, &properties).await {
                Err(error) if self.waits_for_jira(&error).await => {
                    jira.delete_by_properties(api, &properties).await
                }
                deleted => deleted,
            };
            match deleted {
                // What a connection may not delete it could not send either.
                Err(JiraError::Forbidden(api)) => notes.push(SyncedDataNote::NotCovered(api)),
                deleted => deleted?,
            }
        }
        let index = self.site.instance_index(&self.link.instance).unwrap_or(self.site.instances.len());
        for project in projects.keys() {
            let id = repository_id(*project, &self.link.instance, index);
            let segments = ["repository", id.as_str()];
            let deleted = match jira.delete(Api::DevInfo, &segments, None).await {
                Err(error) if self.waits_for_jira(&error).await => {
                    jira.delete(Api::DevInfo, &segments, None).await
                }
                deleted => deleted,
            };
            deleted?;
        }
        Ok(())
    }

    /// Waits out a burst limit of Jira's that is short enough, and then says to try again.
    async fn waits_for_jira(&self, error: &JiraError) -> bool {
        match error {
            JiraError::RateLimited { reason: RateLimitReason::Burst, retry_after } => {
                let pause = retry_after.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
                self.linking.clock.sleep(pause).await;
                true
            }
            _ => false,
        }
    }

    async fn group_projects(&self, gitlab: &GitlabClient) -> Result<Projects, GitlabError> {
        let group = self.link.group_id;
        let (mut projects, mut page) = (Projects::new(), Some(1));
        while let Some(number) = page {
            let listed = match gitlab.group_projects(group, number).await {
                Err(error) if self.linking.waits_for(&error).await => {
                    gitlab.group_projects(group, number).await
                }
                listed => listed,
            }?;
            projects.extend(listed.items.into_iter().map(|project| (project.id, Some(project.path))));
            page = listed.next;
        }
        Ok(projects)
    }
}
