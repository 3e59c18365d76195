//! Projects that people look for: those of a group by words, and one by its id, each with when something last happened in
//! it.

use http::Method;
use serde::Deserialize;

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::date;
use crate::gitlab::error::header_number;
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
        page: usize,
        size: usize,
    ) -> Result<Page<ActiveProject>, GitlabError> {
        let (group, page, size) = (group.to_string(), page.to_string(), size.to_string());
        let mut query = vec![
            ("include_subgroups", "true"),
            ("with_shared", "false"),
            ("archived", "false"),
            ("simple", "true"),
            ("order_by", "id"),
            ("sort", "asc"),
            ("page", page.as_str()),
            ("per_page", size.as_str()),
        ];
        if !words.is_empty() {
            query.push(("search", words));
        }
        let path = ["groups", group.as_str(), "projects"];
        let (headers, items) = self.call::<Vec<RawActiveProject>>(Method::GET, &path, &query, None).await?;
        let next = header_number(&headers, "x-next-page").and_then(|next| u32::try_from(next).ok());
        let page = Page { items, next, total: header_number(&headers, "x-total") };
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
