//! Jira's provider APIs: where each kind of entity is stored. How they are called belongs to `jira`.

use std::fmt;

/// A provider API of Jira (<https://developer.atlassian.com/cloud/jira/software/rest/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// Development information: commits, branches, pull requests.
    DevInfo,
    /// Builds.
    Builds,
    /// Deployments.
    Deployments,
    /// Feature flags.
    FeatureFlags,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DevInfo, Self::Builds, Self::Deployments, Self::FeatureFlags];

    /// Its name in paths, log lines and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DevInfo => "devinfo",
            Self::Builds => "builds",
            Self::Deployments => "deployments",
            Self::FeatureFlags => "featureflags",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
