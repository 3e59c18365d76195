//! The bodies of Jira's provider APIs: development information, builds, deployments and feature flags
//! (<https://developer.atlassian.com/cloud/jira/software/rest/api-group-development-information/>). Fields and names are
//! Atlassian's. How they are filled from GitLab belongs to `sync::transform`; lengths are kept by `sync::text`.

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
    /// Where it stands.
    pub status: PullRequestStatus,
    /// At most 2,000 characters.
    pub url: String,
    /// Orders versions of the merge request.
    pub update_sequence_id: i64,
}

/// Where a merge request stands.
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
    /// What they said.
    pub approval_status: ApprovalStatus,
}

/// What a reviewer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ApprovalStatus {
    /// Yes.
    Approved,
    /// Nothing yet.
    Unapproved,
    /// Reviewed without approval. Not in Atlassian's schema; see `Site::needs_work`.
    NeedsWork,
}

/// A pipeline, in Jira's words. Its identity is `pipelineId` and `buildNumber`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// `1.0`.
    pub schema_version: String,
    /// Constant per project and ref, at most 255 characters.
    pub pipeline_id: String,
    /// The pipeline's iid.
    pub build_number: u64,
    /// Orders versions of the build; an equal number is ignored.
    pub update_sequence_number: i64,
    /// At most 255 characters.
    pub display_name: String,
    /// At most 2,000 characters.
    pub url: String,
    /// Where it stands.
    pub state: BuildState,
    /// ISO 8601, UTC.
    pub last_updated: String,
    /// 1 to 500.
    pub issue_keys: Vec<String>,
    /// Test results, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_info: Option<TestInfo>,
    /// 1 to 5: what was built.
    pub references: Vec<BuildReference>,
}

/// Where a pipeline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// Not started.
    Pending,
    /// Running.
    InProgress,
    /// Passed.
    Successful,
    /// Failed.
    Failed,
    /// Canceled or skipped.
    Cancelled,
    /// Anything else, such as waiting for a person.
    Unknown,
}

/// Counts of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestInfo {
    /// All of them.
    pub total_number: u64,
    /// Those that passed.
    pub number_passed: u64,
    /// Those that failed, errors included.
    pub number_failed: u64,
    /// Those that did not run.
    pub number_skipped: u64,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildReference {
    /// The commit.
    pub commit: CommitReference,
    /// The branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: RefReference,
}

/// A commit in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitReference {
    /// The full SHA.
    pub id: String,
    /// The project's page, at most 2,000 characters.
    pub repository_uri: String,
}

/// A branch or tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefReference {
    /// At most 255 characters.
    pub name: String,
    /// At most 2,000 characters.
    pub uri: String,
}

/// A deployment. Its identity is pipeline, environment and sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// `1.0`.
    pub schema_version: String,
    /// The deployment's iid.
    pub deployment_sequence_number: u64,
    /// Orders versions of the deployment; an equal number is ignored.
    pub update_sequence_number: i64,
    /// At most 255 characters.
    pub display_name: String,
    /// At most 2,000 characters.
    pub url: String,
    /// At most 255 characters.
    pub description: String,
    /// At most 255 characters.
    pub label: String,
    /// ISO 8601, UTC.
    pub last_updated: String,
    /// Where it stands.
    pub state: DeploymentState,
    /// What it is about; at most 500 values in all.
    pub associations: Vec<Association>,
    /// What ran it.
    pub pipeline: DeploymentPipeline,
    /// Where it went.
    pub environment: Environment,
}

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Created, or blocked by a missing approval.
    Pending,
    /// Running.
    InProgress,
    /// Done.
    Successful,
    /// Failed.
    Failed,
    /// Canceled or skipped.
    Cancelled,
    /// Anything else.
    Unknown,
}

/// What a deployment is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    /// `issueKeys`.
    pub association_type: String,
    /// The keys.
    pub values: Vec<String>,
}

/// What ran a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentPipeline {
    /// At most 255 characters.
    pub id: String,
    /// At most 255 characters.
    pub display_name: String,
    /// At most 2,000 characters.
    pub url: String,
}

/// Where a deployment went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// At most 255 characters.
    pub id: String,
    /// At most 255 characters.
    pub display_name: String,
    /// GitLab's tier.
    #[serde(rename = "type")]
    pub environment_type: EnvironmentType,
}

/// Jira's kinds of environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentType {
    /// None of the others.
    Unmapped,
    /// Development.
    Development,
    /// Testing.
    Testing,
    /// Staging.
    Staging,
    /// Production.
    Production,
}

/// A feature flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureFlag {
    /// `1.0`.
    pub schema_version: String,
    /// At most 255 characters.
    pub id: String,
    /// The flag's name, at most 255 characters.
    pub key: String,
    /// The flag's name, at most 255 characters.
    pub display_name: String,
    /// Orders versions of the flag.
    pub update_sequence_id: i64,
    /// 1 to 500.
    pub issue_keys: Vec<String>,
    /// The flag as a whole.
    pub summary: FlagSummary,
    /// The flag per strategy and environment; at least one.
    pub details: Vec<FlagDetail>,
}

/// The flag as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagSummary {
    /// At most 2,000 characters.
    pub url: String,
    /// ISO 8601, UTC.
    pub last_updated: String,
    /// On or off, and for whom.
    pub status: FlagStatus,
}

/// On or off, and for whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagStatus {
    /// On.
    pub enabled: bool,
    /// Always empty: GitLab's flags have no value.
    pub default_value: String,
    /// For whom; left out when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// For whom a flag is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// At most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The flag in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagDetail {
    /// At most 2,000 characters.
    pub url: String,
    /// ISO 8601, UTC.
    pub last_updated: String,
    /// Where.
    pub environment: FlagEnvironment,
    /// On or off there.
    pub status: FlagStatus,
}

/// An environment a flag is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagEnvironment {
    /// At most 255 characters.
    pub name: String,
    /// What its name says it is; left out when it says nothing.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub environment_type: Option<EnvironmentType>,
}
