//! The names that every part of the stand-in shares: Jira's APIs, the connections to them, and who calls.
//! Nothing here decides or stores anything.

use serde::Serialize;

/// A group of endpoints that is counted, recorded and made to fail as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// Development information 0.10: repositories, branches, commits, pull requests.
    DevInfo,
    /// Builds 0.1.
    Builds,
    /// Deployments 0.1.
    Deployments,
    /// Feature flags 0.1.
    FeatureFlags,
    /// `/oauth/token` of the API gateway.
    Token,
    /// Jira's own REST API, `/rest/api/3`.
    Rest,
    /// `/_edge/tenant_info` and `/status`.
    Edge,
}

impl Api {
    /// The provider APIs, in the order of Atlassian's documentation.
    pub const PROVIDERS: [Self; 4] = [Self::DevInfo, Self::Builds, Self::Deployments, Self::FeatureFlags];

    /// The API's path segments on a site and below `/ex/jira/{cloudId}`; none for what is not a provider API.
    fn site_segments(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::DevInfo => Some(("devinfo", "0.10")),
            Self::Builds => Some(("builds", "0.1")),
            Self::Deployments => Some(("deployments", "0.1")),
            Self::FeatureFlags => Some(("featureflags", "0.1")),
            Self::Token | Self::Rest | Self::Edge => None,
        }
    }

    /// The provider API at `/rest/{name}/{version}`.
    pub(super) fn on_site(name: &str, version: &str) -> Option<Self> {
        Self::PROVIDERS.into_iter().find(|api| api.site_segments() == Some((name, version)))
    }

    /// The provider API at `/jira/{name}/{version}/cloud/{cloudId}`: there every version is 0.1.
    pub(super) fn on_gateway(name: &str, version: &str) -> Option<Self> {
        Self::PROVIDERS
            .into_iter()
            .find(|api| version == "0.1" && api.site_segments().is_some_and(|(own, _)| own == name))
    }

    /// The descriptor module without which Connect calls of this API are answered 403.
    pub(super) fn connect_module(self) -> Option<&'static str> {
        match self {
            Self::DevInfo => Some("jiraDevelopmentTool"),
            Self::Builds => Some("jiraBuildInfoProvider"),
            Self::Deployments => Some("jiraDeploymentInfoProvider"),
            Self::FeatureFlags => Some("jiraFeatureFlagInfoProvider"),
            Self::Token | Self::Rest | Self::Edge => None,
        }
    }
}

/// How a call came in and was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// The site's own paths, with an HS256 JWT.
    Connect,
    /// `/jira/.../cloud/{cloudId}`, with a client-credentials token.
    OAuth,
    /// `/ex/jira/{cloudId}`, with an app system token.
    Forge,
}

/// Who stored data. Jira keeps each provider's data apart: one can neither replace nor delete another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Provider {
    pub connection: Connection,
    /// App key, OAuth client id or Forge app id.
    pub id: String,
}
