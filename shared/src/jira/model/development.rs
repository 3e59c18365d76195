//! Development information: repositories with commits, branches and pull requests.

use serde::{Deserialize, Serialize};

/// Entities of one repository in a development-information call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// At most 1,024 characters of `A-Za-z0-9~.-_`; the repository's identity.
    pub id: String,
    /// At most 255 characters.
    pub name: String,
    /// At most 1,024 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// At most 2,000 characters.
    pub url: String,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Orders versions of the repository's own fields.
    pub update_sequence_id: i64,
    /// At most 400.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub commits: Vec<Commit>,
    /// At most 400.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub branches: Vec<Branch>,
    /// At most 400.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pull_requests: Vec<PullRequest>,
}

/// A person. Jira shows name and avatar only when the e-mail address is that of an Atlassian account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// At most 255 characters.
    pub name: String,
    /// At most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// At most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// The full SHA.
    pub id: String,
    /// The full SHA.
    pub hash: String,
    /// The first eight characters of it.
    pub display_id: String,
    /// 1 to 500.
    pub issue_keys: Vec<String>,
    /// At most 1,024 characters. Smart commits are read from it.
    pub message: String,
    /// `MERGE_COMMIT`, or none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<CommitFlag>,
    /// Who wrote it.
    pub author: Author,
    /// How many files it changes.
    pub file_count: u32,
    /// At most 10 of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<File>,
    /// ISO 8601, UTC.
    pub author_timestamp: String,
    /// At most 2,000 characters.
    pub url: String,
    /// Orders versions of the commit.
    pub update_sequence_id: i64,
}

/// What is special about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommitFlag {
    /// It has more than one parent.
    MergeCommit,
}

/// A file that a commit changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// At most 1,024 characters; the old path of a deleted file.
    pub path: String,
    /// What happened to it.
    pub change_type: ChangeType,
    /// Lines added.
    pub lines_added: u32,
    /// Lines removed.
    pub lines_removed: u32,
    /// At most 2,000 characters.
    pub url: String,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeType {
    /// New.
    Added,
    /// Gone.
    Deleted,
    /// Renamed.
    Moved,
    /// Changed in place.
    Modified,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// Lower-case hex SHA-256 of the name.
    pub id: String,
    /// 1 to 500.
    pub issue_keys: Vec<String>,
    /// At most 512 characters.
    pub name: String,
    /// Its newest commit.
    pub last_commit: Commit,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_pull_request_url: Option<String>,
    /// At most 2,000 characters; what a pull request's source branch is joined by.
    pub url: String,
    /// Orders versions of the branch.
    pub update_sequence_id: i64,
}

/// A merge request, in Jira's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// GitLab's global id of the merge request.
    pub id: String,
    /// `group/project!7`, at most 255 characters.
    pub display_id: String,
    /// 1 to 500.
    pub issue_keys: Vec<String>,
    /// At most 1,024 characters.
    pub title: String,
    /// Who opened it.
    pub author: Author,
    /// Who is asked to review it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reviewers: Vec<Reviewer>,
    /// Notes that people wrote.
    pub comment_count: u32,
    /// At most 255 characters.
    pub source_branch: String,
    /// At most 2,000 characters.
    pub source_branch_url: String,
    /// At most 255 characters.
    pub destination_branch: String,
    /// ISO 8601, UTC.
    pub last_update: String,
    /// Its status.
    pub status: PullRequestStatus,
    /// At most 2,000 characters.
    pub url: String,
    /// Orders versions of the merge request.
    pub update_sequence_id: i64,
}

/// Jira's statuses of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PullRequestStatus {
    /// Open.
    Open,
    /// Open and marked as a draft. Not in Atlassian's schema; see `Site::draft`.
    Draft,
    /// Merged.
    Merged,
    /// Closed without a merge.
    Declined,
    /// Something else.
    Unknown,
}

/// A reviewer and what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reviewer {
    /// At most 255 characters.
    pub name: String,
    /// At most 254 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// At most 2,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Whether they approved.
    pub approval_status: ApprovalStatus,
}

/// Jira's approval statuses of a reviewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ApprovalStatus {
    /// Approved.
    Approved,
    /// Not reviewed yet.
    Unapproved,
    /// Reviewed without approval. Not in Atlassian's schema; see `Site::needs_work`.
    NeedsWork,
}
