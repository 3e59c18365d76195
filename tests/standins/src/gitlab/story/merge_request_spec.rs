//! A merge request to be opened.

use std::collections::BTreeSet;

use super::{ProjectHandle, UserHandle};
use crate::gitlab::state::{MergeRequest, Reviewer, World};

/// A merge request to open.
#[derive(Clone)]
pub struct MergeRequestSpec {
    source_branch: String,
    target_branch: Option<String>,
    title: String,
    description: Option<String>,
    reviewers: Vec<u64>,
    assignees: Vec<u64>,
}

/// A merge request from this branch to the default branch.
pub fn merge_request(source_branch: &str, title: &str) -> MergeRequestSpec {
    MergeRequestSpec {
        source_branch: source_branch.to_owned(),
        target_branch: None,
        title: title.to_owned(),
        description: None,
        reviewers: Vec::new(),
        assignees: Vec::new(),
    }
}

impl MergeRequestSpec {
    /// To another branch than the default one.
    #[must_use]
    pub fn into_branch(mut self, branch: &str) -> Self {
        self.target_branch = Some(branch.to_owned());
        self
    }

    /// With a description.
    #[must_use]
    pub fn describe(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Not ready yet.
    #[must_use]
    pub fn draft(mut self) -> Self {
        self.title = format!("Draft: {}", self.title);
        self
    }

    /// With a reviewer.
    #[must_use]
    pub fn reviewer(mut self, user: &UserHandle) -> Self {
        self.reviewers.push(user.id());
        self
    }

    /// With an assignee.
    #[must_use]
    pub fn assignee(mut self, user: &UserHandle) -> Self {
        self.assignees.push(user.id());
        self
    }

    /// The merge request as it is stored. Source and target must exist.
    pub(crate) fn opened(self, world: &mut World, project: &ProjectHandle) -> MergeRequest {
        let (id, now) = (world.fresh_id(), world.now());
        let within = world.project(project.id);
        let target_branch = self.target_branch.unwrap_or_else(|| within.default_branch.clone());
        let repository = &within.repository;
        let sha =
            repository.head(&self.source_branch).expect("the source of a merge request exists").sha.clone();
        let target =
            repository.head(&target_branch).expect("the target of a merge request exists").sha.clone();
        let base_sha = repository.merge_base(&sha, &target).map_or(target, |base| base.sha.clone());
        let reviewer = |user| Reviewer { user, state: "unreviewed", since: now };
        MergeRequest {
            id,
            iid: within.merge_requests.len() as u64 + 1,
            title: self.title,
            description: self.description,
            state: "opened",
            author: project.actor,
            assignees: self.assignees,
            reviewers: self.reviewers.into_iter().map(reviewer).collect(),
            approvals: BTreeSet::new(),
            approvals_required: 0,
            source_branch: self.source_branch,
            target_branch,
            sha,
            base_sha,
            merge_commit_sha: None,
            merged_by: None,
            user_notes_count: 0,
            created_at: now,
            updated_at: now,
            merged_at: None,
            closed_at: None,
            last_edited_at: None,
            last_edited_by: None,
        }
    }
}
