//! What syncing reads of a project: branches, commits, merge requests, pipelines, deployments and feature flags.

use std::collections::HashSet;

use http::Method;
use serde::de::IgnoredAny;
use url::form_urlencoded::byte_serialize;

use super::{GitlabClient, GitlabError, Page};
use crate::clock::Timestamp;
use crate::gitlab::error::header_number;
use crate::gitlab::model::{
    Branch, Commit, Deployment, FeatureFlag, MergeRequest, Pipeline, Project, Reviewer, TestCounts,
};
use crate::gitlab::rest::{
    RawApprovals, RawBranch, RawCommit, RawDeployment, RawDiff, RawEnvironment, RawFlag, RawMergeRequest,
    RawPipeline, RawProject, RawReviewer, RawTestSummary, RawUser, TestTotals,
};

/// Jira shows at most this many files of a commit.
pub const MAX_FILES: u32 = 10;

/// Deployments of an environment that are read together: those of a batch, and the success before them.
const DEPLOYMENTS: u32 = 20;

/// Branches that are asked for in a call: as many as a page has.
const MAX_NAMES: usize = 100;

/// Bytes of their names in a URL, which servers take up to 8 KB long.
const MAX_PATTERN: usize = 6_000;

impl GitlabClient {
    /// A project.
    pub async fn project(&self, project: u64) -> Result<Project, GitlabError> {
        self.get::<RawProject>(&["projects", &project.to_string()], &[]).await.map(RawProject::project)
    }

    /// The project at a path.
    pub async fn project_at(&self, path: &str) -> Result<Project, GitlabError> {
        self.get::<RawProject>(&["projects", path], &[]).await.map(RawProject::project)
    }

    /// A branch with its head.
    pub async fn branch(&self, project: &Project, name: &str) -> Result<Branch, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "branches", name];
        Ok(self.get::<RawBranch>(&path, &[]).await?.branch(project))
    }

    /// Those branches of `names` that are there, in as few calls as their names fit into, and whether the others are
    /// not there. GitLab before 15.8 lists all branches instead, of which only the first page is looked at. The names
    /// stand in the query, and without slashes: proxies that refuse an encoded slash let this through.
    pub async fn branches(
        &self,
        project: &Project,
        names: &[&str],
    ) -> Result<(Vec<Branch>, bool), GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "branches"];
        let wanted: HashSet<&str> = names.iter().copied().collect();
        let (mut found, mut is_all) = (Vec::new(), true);
        for pattern in patterns(names) {
            let query = [("regex", pattern.as_str()), ("sort", "updated_desc")];
            let page = self.page::<RawBranch>(&path, &query, 1).await?;
            is_all &= page.next.is_none();
            found.extend(page.map(|branch| branch.branch(project)).items);
            if !is_all {
                break;
            }
        }
        found.retain(|branch| wanted.contains(branch.name.as_str()));
        Ok((found, is_all))
    }

    /// A page of the commits of all branches that were made since a moment, newest first.
    pub async fn commits_since(
        &self,
        project: &Project,
        since: Timestamp,
        page: u32,
    ) -> Result<Page<Commit>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits"];
        let page =
            self.page::<RawCommit>(&path, &[("all", "true"), ("since", &since.iso8601())], page).await?;
        Ok(page.map(|commit| commit.commit(project)))
    }

    /// The newest commit that two have in common; `None` when there is none, or when one of them is gone.
    pub async fn merge_base(
        &self,
        project: &Project,
        one: &str,
        other: &str,
    ) -> Result<Option<String>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "merge_base"];
        match self.get::<RawCommit>(&path, &[("refs[]", one), ("refs[]", other)]).await {
            Ok(commit) => Ok(Some(commit.commit(project).sha)),
            Err(GitlabError::NotFound | GitlabError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page of the commits of a branch, a SHA or a range `a..b`, newest first.
    pub async fn commits(
        &self,
        project: &Project,
        range: &str,
        page: u32,
    ) -> Result<Page<Commit>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits"];
        let page = self.page::<RawCommit>(&path, &[("ref_name", range)], page).await?;
        Ok(page.map(|commit| commit.commit(project)))
    }

    /// A commit.
    pub async fn commit(&self, project: &Project, sha: &str) -> Result<Commit, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", sha];
        Ok(self.get::<RawCommit>(&path, &[("stats", "false")]).await?.commit(project))
    }

    /// Whether a branch or a tag has a commit.
    pub async fn is_on_a_ref(&self, project: &Project, sha: &str) -> Result<bool, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", sha, "refs"];
        Ok(!self.page_of::<IgnoredAny>(1, &path, &[("type", "all")], 1).await?.items.is_empty())
    }

    /// Fills in what a commit changes: some of its files with their lines, and how many there are.
    pub async fn add_files(&self, project: &Project, commit: &mut Commit) -> Result<(), GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", &commit.sha, "diff"];
        let query = [("per_page", MAX_FILES.to_string())];
        let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (headers, files) = self.call::<Vec<RawDiff>>(Method::GET, &path, &query, None).await?;
        let total = header_number(&headers, "x-total").and_then(|total| u32::try_from(total).ok());
        let seen = u32::try_from(files.len()).unwrap_or(u32::MAX);
        commit.file_count = Some(total.or(commit.file_count).unwrap_or(seen).max(seen));
        commit.files = files.into_iter().map(RawDiff::changed_file).collect();
        Ok(())
    }

    /// A merge request without its reviewers' verdicts.
    pub async fn merge_request(&self, project: &Project, iid: u64) -> Result<MergeRequest, GitlabError> {
        let path = ["projects", &project.id.to_string(), "merge_requests", &iid.to_string()];
        Ok(self.get::<RawMergeRequest>(&path, &[]).await?.merge_request(project))
    }

    /// The reviewers of a merge request with their verdicts. Instances without the reviewers' endpoint say at least who
    /// approved.
    pub async fn reviewers(&self, project: &Project, iid: u64) -> Result<Vec<Reviewer>, GitlabError> {
        let (project, iid) = (project.id.to_string(), iid.to_string());
        let path = ["projects", &project, "merge_requests", &iid, "reviewers"];
        match self.get::<Vec<RawReviewer>>(&path, &[]).await {
            Ok(reviewers) => Ok(reviewers.into_iter().map(RawReviewer::reviewer).collect()),
            Err(GitlabError::NotFound) => {
                let path = ["projects", &project, "merge_requests", &iid, "approvals"];
                Ok(self.get::<RawApprovals>(&path, &[]).await?.reviewers())
            }
            Err(error) => Err(error),
        }
    }

    /// The address that a user shows to everybody, if they do: the only one that GitLab returns, and the one by which Jira
    /// finds people.
    pub async fn public_email(&self, user: u64) -> Result<Option<String>, GitlabError> {
        Ok(self.get::<RawUser>(&["users", &user.to_string()], &[]).await?.person().email)
    }

    /// The first page of the open merge requests from a branch, newest first.
    pub async fn open_merge_requests(
        &self,
        project: &Project,
        source_branch: &str,
    ) -> Result<Page<MergeRequest>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "merge_requests"];
        let query = [("state", "opened"), ("source_branch", source_branch)];
        let page = self.page::<RawMergeRequest>(&path, &query, 1).await?;
        Ok(page.map(|merge_request| merge_request.merge_request(project)))
    }

    /// A page of the merge requests that contain a commit, newest first.
    pub async fn merge_requests_of_commit(
        &self,
        project: &Project,
        sha: &str,
        page: u32,
    ) -> Result<Page<MergeRequest>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "repository", "commits", sha, "merge_requests"];
        let page = self.page::<RawMergeRequest>(&path, &[], page).await?;
        Ok(page.map(|merge_request| merge_request.merge_request(project)))
    }

    /// A pipeline, without the keys of its commit and merge requests.
    pub async fn pipeline(&self, project: &Project, id: u64) -> Result<Pipeline, GitlabError> {
        let path = ["projects", &project.id.to_string(), "pipelines", &id.to_string()];
        Ok(self.get::<RawPipeline>(&path, &[]).await?.pipeline(project))
    }

    /// What a pipeline's tests said; `None` when it has no tests.
    pub async fn test_counts(
        &self,
        project: &Project,
        pipeline: u64,
    ) -> Result<Option<TestCounts>, GitlabError> {
        let path =
            ["projects", &project.id.to_string(), "pipelines", &pipeline.to_string(), "test_report_summary"];
        let summary: RawTestSummary = self.get(&path, &[]).await?;
        Ok(TestTotals::counts(&summary.total))
    }

    /// A deployment, without its environment's tier and its keys.
    pub async fn deployment(&self, project: &Project, id: u64) -> Result<Deployment, GitlabError> {
        let path = ["projects", &project.id.to_string(), "deployments", &id.to_string()];
        Ok(self.get::<RawDeployment>(&path, &[]).await?.deployment())
    }

    /// The newest deployments to an environment, newest first, and whether these are all. As [`Self::deployment`] gives them.
    pub async fn deployments(
        &self,
        project: &Project,
        environment: &str,
    ) -> Result<(Vec<Deployment>, bool), GitlabError> {
        let path = ["projects", &project.id.to_string(), "deployments"];
        let query = [("environment", environment), ("order_by", "id"), ("sort", "desc")];
        let page = self.page_of::<RawDeployment>(DEPLOYMENTS, &path, &query, 1).await?;
        let is_all = page.next.is_none();
        Ok((page.map(RawDeployment::deployment).items, is_all))
    }

    /// A page of an environment's successful deployments, newest first.
    pub async fn successful_deployments(
        &self,
        project: &Project,
        environment: &str,
        page: u32,
    ) -> Result<Page<Deployment>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "deployments"];
        let query =
            [("environment", environment), ("status", "success"), ("order_by", "id"), ("sort", "desc")];
        Ok(self.page::<RawDeployment>(&path, &query, page).await?.map(RawDeployment::deployment))
    }

    /// An environment's tier.
    pub async fn environment_tier(
        &self,
        project: &Project,
        environment: u64,
    ) -> Result<Option<String>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "environments", &environment.to_string()];
        Ok(self.get::<RawEnvironment>(&path, &[]).await?.tier)
    }

    /// A page of a project's feature flags, by name: they can't be listed by date.
    pub async fn feature_flags(
        &self,
        project: &Project,
        page: u32,
    ) -> Result<Page<FeatureFlag>, GitlabError> {
        let path = ["projects", &project.id.to_string(), "feature_flags"];
        Ok(self.page::<RawFlag>(&path, &[], page).await?.map(RawFlag::feature_flag))
    }

    /// A feature flag by name.
    pub async fn feature_flag(&self, project: &Project, name: &str) -> Result<FeatureFlag, GitlabError> {
        let path = ["projects", &project.id.to_string(), "feature_flags", name];
        Ok(self.get::<RawFlag>(&path, &[]).await?.feature_flag())
    }
}

/// Patterns that `names` match, each short enough for a call.
fn patterns(names: &[&str]) -> Vec<String> {
    let (mut patterns, mut part, mut length) = (Vec::new(), Vec::new(), 0);
    for name in names {
        let pattern = regex::escape(name).replace('/', ".");
        // And the bar between two of them.
        let own = byte_serialize(pattern.as_bytes()).map(str::len).sum::<usize>() + "%7C".len();
        if !part.is_empty() && (part.len() == MAX_NAMES || length + own > MAX_PATTERN) {
            patterns.push(any_of(&part));
            (part, length) = (Vec::new(), 0);
        }
        part.push(pattern);
        length += own;
    }
    if !part.is_empty() {
        patterns.push(any_of(&part));
    }
    patterns
}

fn any_of(patterns: &[String]) -> String {
    format!("^({})$", patterns.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_one_pattern_that_fits_into_a_url() {
        let mixed: Vec<String> =
            (0..450).map(|number| format!("{}-ü/{number}", "x".repeat(number % 60))).collect();
        let long: Vec<String> = (0..3).map(|number| format!("{number}{}", "y".repeat(7_000))).collect();
        for names in [mixed, long, Vec::new()] {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let patterns = patterns(&names);
            let of = |pattern: &String| pattern.split('|').count();
            assert_eq!(patterns.iter().map(of).sum::<usize>(), names.len());
            for pattern in patterns {
                let length: usize = byte_serialize(pattern.as_bytes()).map(str::len).sum();
                assert!(of(&pattern) <= MAX_NAMES && (length < 6_100 || of(&pattern) == 1), "{pattern}");
            }
        }
    }
}
