//! Projects that people look for: those of a group by words, and one by its id, each with when something last happened in
//! it.

use serde::Deserialize;

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::date;
use crate::gitlab::model::Project;
use crate::gitlab::rest::RawProject;

/// A project, and when something last happened in it.
#[derive(Clone, Debug)]
pub struct ActiveProject {
    /// The project.
    pub project: Project,
    /// When; `None` when GitLab does not say.
    pub last_activity_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RawActiveProject {
    #[serde(flatten)]
    project: RawProject,
    #[serde(default, deserialize_with = "date::lenient")]
    last_activity_at: Option<Timestamp>,
}

impl RawActiveProject {
    fn active_project(self) -> ActiveProject {
        ActiveProject { project: self.project.project(), last_activity_at: self.last_activity_at }
    }
}

impl GitlabClient {
    /// A page of `size` of those of a group's projects, its subgroups' included, whose name, path or description has
    /// `words`; without words of all of them. In the order of their ids, so that a new project moves no other. Fewer than
    /// three characters find a whole name only (<https://docs.gitlab.com/api/groups/#list-projects>).
    ///
    /// # Errors
    /// [`GitlabError`].
    pub async fn search_projects(
        &self,
        group: u64,
        words: &str,
        page: u32,
        size: u32,
    ) -> Result<Page<ActiveProject>, GitlabError> {
        let mut query = vec![
            ("include_subgroups", "true"),
            ("with_shared", "false"),
            ("archived", "false"),
            ("simple", "true"),
            ("order_by", "id"),
            ("sort", "asc"),
        ];
        if !words.is_empty() {
            query.push(("search", words));
        }
        let path = ["groups", &group.to_string(), "projects"];
        let page = self.page_of::<RawActiveProject>(size, &path, &query, page).await?;
        Ok(page.map(RawActiveProject::active_project))
    }

    /// A project with its last activity.
    ///
    /// # Errors
    /// [`GitlabError`].
    pub async fn active_project(&self, project: u64) -> Result<ActiveProject, GitlabError> {
        let path = ["projects", &project.to_string()];
        self.get::<RawActiveProject>(&path, &[]).await.map(RawActiveProject::active_project)
    }
}
