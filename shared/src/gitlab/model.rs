//! GitLab's things, as far as Jira wants to know of them. A hook fills what it knows, a read of the REST API fills the
//! rest; both give these types, and messages carry them. Texts that Jira would not store are already cut and issue keys
//! already extracted, so that a message stays small.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::IssueKeys;
pub use crate::domain::Project;

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// GitLab's id of the user, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Full name.
    pub name: String,
    /// Address, when GitLab shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// User name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Profile page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
    /// Picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Full SHA.
    pub sha: String,
    /// Message, cut to what Jira stores.
    pub message: String,
    /// Keys in the whole message.
    #[serde(default, skip_serializing_if = "IssueKeys::is_empty")]
    pub keys: IssueKeys,
    /// Who wrote it.
    pub author: Person,
    /// When it was committed.
    pub committed_at: Option<Timestamp>,
    /// Its page.
    pub web_url: String,
    /// Whether it has more than one parent; hooks do not say.
    #[serde(default)]
    pub merge: bool,
    /// How many files it changes, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_count: Option<u32>,
    /// Some of those files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ChangedFile>,
    /// Its first parent, where a deleted file can still be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// A file that a commit changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// Path before.
    pub old_path: String,
    /// Path after.
    pub new_path: String,
    /// What happened.
    pub change: FileChange,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// New.
    New,
    /// Gone.
    Deleted,
    /// Under another path.
    Renamed,
    /// Changed in place.
    Modified,
}

/// A push to a branch that still exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The branch's name.
    pub branch: String,
    /// Its head before; `None` when the push made it.
    pub before: Option<String>,
    /// Its head after.
    pub after: String,
    /// The commits the hook carried, oldest first.
    pub commits: Vec<Commit>,
    /// How many commits the push has in all.
    pub total: u64,
}

impl Push {
    /// Whether the hook carried all of its commits: it lists at most 20.
    #[must_use]
    pub fn carries_all(&self) -> bool {
        self.total <= self.commits.len() as u64
    }
}

/// A branch as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Its head.
    pub head: Commit,
}

/// A merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRequest {
    /// Id, unique in the instance.
    pub id: u64,
    /// Id, unique in the project.
    pub iid: u64,
    /// Title, cut to what Jira stores.
    pub title: String,
    /// Keys in title and description.
    #[serde(default, skip_serializing_if = "IssueKeys::is_empty")]
    pub keys: IssueKeys,
    /// `opened`, `closed`, `merged` or `locked`.
    pub state: String,
    /// Marked as a draft.
    #[serde(default)]
    pub draft: bool,
    /// Who opened it; hooks do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Person>,
    /// Who is asked to review it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Reviewer>,
    /// How many notes people wrote; hooks do not say.
    #[serde(default)]
    pub notes: u32,
    /// The branch with the change.
    pub source_branch: String,
    /// The branch it goes to.
    pub target_branch: String,
    /// Where the source branch is; another project for forks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_project_id: Option<u64>,
    /// The page of the project with the source branch, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_project_url: Option<String>,
    /// When anything about it last changed.
    pub updated_at: Option<Timestamp>,
    /// Its page.
    pub web_url: String,
    /// `group/project!7`.
    pub reference: String,
    /// The source branch's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_commit: Option<Box<Commit>>,
}

impl MergeRequest {
    /// Whether it still waits to be merged.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == "opened" || self.state == "locked"
    }
}

/// A reviewer of a merge request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewer {
    /// The user.
    pub person: Person,
    /// Whether they approved.
    pub review_state: ReviewState,
}

/// The state of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Approved.
    Approved,
    /// Reviewed, or asked for changes.
    Reviewed,
    /// Nothing yet.
    Unreviewed,
}

impl ReviewState {
    /// A reviewer's state as GitLab's hooks and API write it.
    #[must_use]
    pub fn parse(state: Option<&str>) -> Self {
        match state {
            Some("approved") => Self::Approved,
            Some("reviewed" | "requested_changes") => Self::Reviewed,
            _ => Self::Unreviewed,
        }
    }
}

/// A pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Id, unique in the instance.
    pub id: u64,
    /// Id, unique in the project. Versions before 13.x did not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iid: Option<u64>,
    /// The branch, tag or `refs/merge-requests/7/head`.
    pub git_ref: String,
    /// Whether the ref is a tag.
    #[serde(default)]
    pub tag: bool,
    /// The SHA of the commit that it runs on.
    pub sha: String,
    /// Its status, as GitLab writes it.
    pub status: String,
    /// When it last changed; hooks do not say until it has finished.
    pub updated_at: Option<Timestamp>,
    /// Its page.
    pub web_url: String,
    /// Keys in the message of its commit; none where the message is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_keys: Option<IssueKeys>,
    /// The merge requests it runs for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_requests: Vec<PipelineMergeRequest>,
    /// What its tests said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
}

/// What is known of a pipeline from its merge request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineMergeRequest {
    /// Its iid.
    pub iid: u64,
    /// Its source branch.
    pub source_branch: String,
    /// Keys in source branch, title and description.
    pub keys: IssueKeys,
}

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// All.
    pub total: u64,
    /// Passed.
    pub passed: u64,
    /// Failed, errors included.
    pub failed: u64,
    /// Skipped.
    pub skipped: u64,
}

/// A deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Id, unique in the instance.
    pub id: u64,
    /// Id, unique in the project; hooks do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iid: Option<u64>,
    /// Its status, as GitLab writes it.
    pub status: String,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// What was deployed: branch or tag.
    #[serde(default)]
    pub git_ref: String,
    /// What was deployed: full SHA.
    #[serde(default)]
    pub sha: String,
    /// The job's page and name; none for deployments made through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<DeploymentJob>,
    /// The environment that it goes to.
    pub environment: Environment,
    /// Keys in its pipeline and in the commits since the last success.
    #[serde(default, skip_serializing_if = "IssueKeys::is_empty")]
    pub keys: IssueKeys,
}

/// The job that deploys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentJob {
    /// Its name.
    pub name: String,
    /// Its page.
    pub web_url: Option<String>,
    /// Its pipeline's id.
    pub pipeline_id: Option<u64>,
    /// Its pipeline's iid.
    #[serde(default)]
    pub pipeline_iid: Option<u64>,
    /// Its pipeline's page.
    #[serde(default)]
    pub pipeline_url: Option<String>,
}

/// An environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Id, when known.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// `production`, `staging`, `testing`, `development` or `other`.
    #[serde(default)]
    pub tier: Option<String>,
    /// The environment's external URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
}

/// A feature flag. Only hooks carry its id, so its name identifies it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureFlag {
    /// Its name, unique in its project.
    pub name: String,
    /// Keys in its description.
    pub keys: IssueKeys,
    /// Whether it is on.
    pub active: bool,
    /// When it last changed; hooks do not say.
    pub updated_at: Option<Timestamp>,
    /// Its strategies: for whom it is on; hooks do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<FlagStrategy>,
}

/// A strategy: for whom a flag is on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlagStrategy {
    /// GitLab's name of the strategy.
    pub name: String,
    /// Percentage, where the strategy has one.
    pub percentage: Option<f64>,
    /// The environments it is about.
    pub scopes: Vec<String>,
}
