//! Listings of what a project has had so far, newest first, a page at a time. What changed after the moment that a caller
//! names is left out, so that pages don't shift while they are read.

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::model::{Branch, Commit, Deployment, MergeRequest, Pipeline, Project};
use crate::gitlab::rest::{RawBranch, RawCommit, RawDeployment, RawMergeRequest, RawPipeline};

/// What the name of a branch with an issue key contains, as far as GitLab has to know; before 15.8 it lists all branches.
const NAMES_WITH_KEYS: &str = "[A-Z][A-Z_0-9]+-[0-9]+";

impl GitlabClient {
    /// A page of the merge requests that last changed before a moment, without their reviewers' verdicts.
    pub async fn merge_requests_before(
        &self,
        project: &Project,
        before: Option<Timestamp>,
        page: u32,
    ) -> Result<Page<MergeRequest>, GitlabError> {
        let query = [("state", "all"), ("order_by", "updated_at"), ("sort", "desc")];
        let page = self.history_page::<RawMergeRequest>(project, &["merge_requests"], &query, before, page);
        Ok(page.await?.map(|merge_request| merge_request.merge_request(project)))
    }

    /// A page of the branches with issue keys in their names, and perhaps of others, by the dates of their heads.
    pub async fn branches_with_keys(
        &self,
        project: &Project,
        page: u32,
    ) -> Result<Page<Branch>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "branches"];
        let query = [("regex", NAMES_WITH_KEYS), ("sort", "updated_desc")];
        Ok(self.page::<RawBranch>(&path, &query, page).await?.map(|branch| branch.branch(project)))
    }

    /// A page of the commits of all branches that were made before a moment.
    pub async fn commits_before(
        &self,
        project: &Project,
        before: Option<Timestamp>,
        page: u32,
    ) -> Result<Page<Commit>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits"];
        let until = before.map(Timestamp::iso8601);
        let query = [("all", "true")].into_iter().chain(until.as_deref().map(|until| ("until", until)));
        let page = self.page::<RawCommit>(&path, &query.collect::<Vec<_>>(), page).await?;
        Ok(page.map(|commit| commit.commit(project)))
    }

    /// A page of the pipelines that last changed before a moment, without their tests.
    pub async fn pipelines_before(
        &self,
        project: &Project,
        before: Option<Timestamp>,
        page: u32,
    ) -> Result<Page<Pipeline>, GitlabError> {
        let query = [("order_by", "updated_at"), ("sort", "desc")];
        let page = self.history_page::<RawPipeline>(project, &["pipelines"], &query, before, page);
        Ok(page.await?.map(|pipeline| pipeline.pipeline(project)))
    }

    /// A page of the deployments that last changed before a moment, without their environments' tiers and their keys.
    pub async fn deployments_before(
        &self,
        project: &Project,
        before: Option<Timestamp>,
        page: u32,
    ) -> Result<Page<Deployment>, GitlabError> {
        let query = [("order_by", "updated_at"), ("sort", "desc")];
        let page = self.history_page::<RawDeployment>(project, &["deployments"], &query, before, page);
        Ok(page.await?.map(RawDeployment::deployment))
    }

    async fn history_page<T: serde::de::DeserializeOwned>(
        &self,
        project: &Project,
        listing: &[&str],
        query: &[(&str, &str)],
        before: Option<Timestamp>,
        page: u32,
    ) -> Result<Page<T>, GitlabError> {
        let id = project.id.to_string();
        let path = [&["projects", id.as_str()], listing].concat();
        let before = before.map(Timestamp::iso8601);
        let window = before.as_deref().map(|before| ("updated_before", before));
        let query: Vec<_> = query.iter().copied().chain(window).collect();
        self.page(&path, &query, page).await
    }
}
