//! Feature flags.

use serde::{Deserialize, Serialize};

use super::deployments::EnvironmentType;

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
    /// Whether it is on.
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
    /// The environment.
    pub environment: FlagEnvironment,
    /// Its status there.
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
