//! Builds.

use serde::{Deserialize, Serialize};

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
    /// Its state.
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

/// Jira's states of a build.
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
