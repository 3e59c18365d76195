//! What came through a link to Jira: which projects it is about, and taking it away again.

use std::collections::BTreeMap;

use shared::domain::Api;
use shared::domain::{Site, Subscription};
use shared::gitlab::client::{GitlabClient, GitlabError};
use shared::jira::answer::RateLimitReason;
use shared::jira::client::{JiraClient, JiraError};
use shared::sync::transform::repository_id;

use super::LONGEST_PAUSE;
use crate::operate::{Operator, Refusal, trouble};

/// Projects of a link by id, with their paths where known.
pub(in crate::operate) type Projects = BTreeMap<u64, Option<String>>;

/// What came through a link.
pub(in crate::operate) struct Sent<'a> {
    pub operator: &'a Operator,
    pub site: &'a Site,
    pub link: &'a Subscription,
    /// What GitLab can be asked with.
    pub gitlab: Option<&'a GitlabClient>,
}

impl Sent<'_> {
    /// The projects whose development information may have come through the link.
    pub(in crate::operate) async fn projects(&self, notes: &mut Vec<String>) -> Result<Projects, Refusal> {
        let store = &self.operator.store;
        let mut projects = Projects::new();
        for project in store.inside_projects(self.link.id).await? {
            projects.insert(project, None);
        }
        for hook in store.project_hooks(self.link.id).await? {
            projects.extend(hook.project_id.map(|project| (project, None)));
        }
        let Some(gitlab) = self.gitlab else {
            notes.push(
                "Without a token only the projects with events of the last day are known: branches, commits and merge requests of others stay in Jira."
                    .to_owned(),
            );
            return Ok(projects);
        };
        match group_projects(self.operator, gitlab, self.link.group_id).await {
            Ok(listed) => projects.extend(listed),
            Err(error) => {
                let refusal = trouble::of_gitlab(&error, &self.link.instance, "list the group's projects");
                notes.push(format!(
                    "Branches, commits and merge requests of projects without events of the last day may stay in Jira. {refusal}"
                ));
            }
        }
        Ok(projects)
    }

    /// Builds, deployments and flags carry the link as a property; development information goes by its repository.
    pub(in crate::operate) async fn remove(
        &self,
        jira: &JiraClient,
        projects: &Projects,
        notes: &mut Vec<String>,
    ) -> Result<(), JiraError> {
        let link = self.link.id.to_string();
        let properties = [("link", link.as_str())];
        for api in [Api::Builds, Api::Deployments, Api::FeatureFlags] {
            let removed = match jira.delete_by_properties(api, &properties).await {
                Err(error) if self.waits_for_jira(&error).await => {
                    jira.delete_by_properties(api, &properties).await
                }
                removed => removed,
            };
            match removed {
                // What a connection may not remove it could not send either.
                Err(JiraError::Forbidden(api)) => notes.push(format!(
                    "The credential of {} does not cover {api}: if another connection sent any, they stay in Jira.",
                    self.site.host()
                )),
                removed => removed?,
            }
        }
        let index = self.site.instance_index(&self.link.instance).unwrap_or(self.site.instances.len());
        for project in projects.keys() {
            let id = repository_id(*project, &self.link.instance, index);
            let segments = ["repository", id.as_str()];
            let removed = match jira.delete(Api::DevInfo, &segments, None).await {
                Err(error) if self.waits_for_jira(&error).await => {
                    jira.delete(Api::DevInfo, &segments, None).await
                }
                removed => removed,
            };
            removed?;
        }
        Ok(())
    }

    /// Waits out a burst of Jira's that is short enough, and then says to try again.
    async fn waits_for_jira(&self, error: &JiraError) -> bool {
        match error {
            JiraError::RateLimited { reason: RateLimitReason::Burst, retry_after } => {
                let pause = retry_after.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
                self.operator.clock.sleep(pause).await;
                true
            }
            _ => false,
        }
    }
}

async fn group_projects(
    operator: &Operator,
    gitlab: &GitlabClient,
    group: u64,
) -> Result<Projects, GitlabError> {
    let (mut projects, mut page) = (Projects::new(), Some(1));
    while let Some(number) = page {
        let listed = match gitlab.group_projects(group, number).await {
            Err(error) if operator.waits_for(&error).await => gitlab.group_projects(group, number).await,
            listed => listed,
        }?;
        projects.extend(listed.items.into_iter().map(|project| (project.id, Some(project.path))));
        page = listed.next;
    }
    Ok(projects)
}
