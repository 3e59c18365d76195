//! What a person is shown who chooses a group to link: groups, and what linking one of them would mean.

use super::{GitlabClient, GitlabError, Page};
use crate::lenient;

/// Groups of one page: what fits on a screen, and far below GitLab's limit on this call of 50 a minute.
pub const GROUPS_PER_PAGE: u32 = 20;

/// A group that a person may choose.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ListedGroup {
    /// GitLab's id.
    pub id: u64,
    /// Its path with those of its ancestors.
    pub full_path: String,
    /// Its name with those of its ancestors.
    #[serde(default)]
    pub full_name: String,
    /// GitLab's id of the group that it is in.
    #[serde(default)]
    pub parent_id: Option<u64>,
}

/// The texts of a merge request that issue keys are found in.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct MergeRequestTexts {
    /// Title.
    #[serde(default, deserialize_with = "lenient::field")]
    pub title: String,
    /// Description.
    #[serde(default, deserialize_with = "lenient::field")]
    pub description: String,
    /// Source branch.
    #[serde(default, deserialize_with = "lenient::field")]
    pub source_branch: String,
}

impl GitlabClient {
    /// A page of the groups in which this token's user is at least Maintainer, by path.
    pub async fn linkable_groups(&self, search: &str, page: u32) -> Result<Page<ListedGroup>, GitlabError> {
        let mut query = vec![("min_access_level", "40"), ("order_by", "path"), ("sort", "asc")];
        if !search.is_empty() {
            query.push(("search", search));
        }
        self.page_of(GROUPS_PER_PAGE, &["groups"], &query, page).await
    }

    /// How many projects a group and its subgroups have that are not archived; `None` when GitLab does not count them.
    pub async fn project_count(&self, group: u64) -> Result<Option<u64>, GitlabError> {
        let query = [
            ("include_subgroups", "true"),
            ("with_shared", "false"),
            ("archived", "false"),
            ("simple", "true"),
        ];
        let page: Page<serde::de::IgnoredAny> =
            self.page_of(1, &["groups", &group.to_string(), "projects"], &query, 1).await?;
        Ok(page.total)
    }

    /// Whether this token's user may make hooks for the whole group: GitLab hides them from everybody else, and where the
    /// group's tier has none.
    pub async fn has_group_hooks(&self, group: u64) -> Result<bool, GitlabError> {
        let hooks: Result<Page<serde::de::IgnoredAny>, _> =
            self.page_of(1, &["groups", &group.to_string(), "hooks"], &[], 1).await;
        match hooks {
            Ok(_) => Ok(true),
            Err(GitlabError::NotFound | GitlabError::Forbidden) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The texts of a group's newest merge requests, at most a hundred.
    pub async fn newest_merge_requests(&self, group: u64) -> Result<Vec<MergeRequestTexts>, GitlabError> {
        let query = [("scope", "all"), ("state", "all"), ("order_by", "created_at"), ("sort", "desc")];
        let page = self.page(&["groups", &group.to_string(), "merge_requests"], &query, 1).await?;
        Ok(page.items)
    }
}
