//! The bodies of Jira's provider APIs: development information, builds, deployments and feature flags
//! (<https://developer.atlassian.com/cloud/jira/software/rest/api-group-development-information/>). Fields and names are
//! Atlassian's. How they are filled from GitLab belongs to `sync::transform`; lengths are kept by `sync::text`.

mod builds;
mod deployments;
mod development;
mod flags;

pub use builds::*;
pub use deployments::*;
pub use development::*;
pub use flags::*;
