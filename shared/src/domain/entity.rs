//! The identity of an entity at Jira. What a version of it says and how versions are ordered belongs to `sync::entity`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Api;

/// Jira's kinds of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A commit.
    Commit,
    /// A branch.
    Branch,
    /// A merge request.
    PullRequest,
    /// A pipeline.
    Build,
    /// A deployment.
    Deployment,
    /// A feature flag.
    FeatureFlag,
}

impl fmt::Display for EntityKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Commit => "commit",
            Self::Branch => "branch",
            Self::PullRequest => "pull_request",
            Self::Build => "build",
            Self::Deployment => "deployment",
            Self::FeatureFlag => "feature_flag",
        })
    }
}

impl EntityKind {
    /// The API that takes it.
    #[must_use]
    pub fn api(self) -> Api {
        match self {
            Self::Commit | Self::Branch | Self::PullRequest => Api::DevInfo,
            Self::Build => Api::Builds,
            Self::Deployment => Api::Deployments,
            Self::FeatureFlag => Api::FeatureFlags,
        }
    }
}

/// What makes two versions one entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityKey {
    /// Its kind.
    pub kind: EntityKind,
    /// The project's id at Jira.
    pub project: String,
    /// Its id at Jira within the project.
    pub id: String,
}
