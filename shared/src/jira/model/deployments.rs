//! Deployments.

use serde::{Deserialize, Serialize};

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
    /// Its state.
    pub state: DeploymentState,
    /// What it is about; at most 500 values in all.
    pub associations: Vec<Association>,
    /// The pipeline that ran it.
    pub pipeline: DeploymentPipeline,
    /// The environment.
    pub environment: Environment,
}

/// Jira's states of a deployment.
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

/// The pipeline that ran a deployment.
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

/// The environment of a deployment.
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
