//! What the local process is told by variables. The functions on AWS read the same names.

use shared::config::{
    ConfigError, Forge, Lifecycle, Variables, allowed_jira_sites, atlassian_api_url, gitlab_url,
};
use url::Url;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the app is, and what verifies lifecycle events.
    pub lifecycle: Lifecycle,
    /// The Forge app.
    pub forge: Forge,
    /// The GitLab that new links are made with.
    pub gitlab_url: Url,
    /// The OAuth application of that GitLab.
    pub oauth_application_id: Option<String>,
    /// Atlassian's API gateway.
    pub atlassian_api_url: Url,
    /// Which sites may install, by host; empty means any.
    pub allowed_jira_sites: Vec<String>,
}

impl Settings {
    /// Reads the environment. `base_url` stands in for `BASE_URL`.
    pub fn from_env(base_url: &str) -> anyhow::Result<Self> {
        let source = |name: &str| match (name, std::env::var(name).ok()) {
            ("BASE_URL", None) => Some(base_url.to_owned()),
            (_, value) => value,
        };
        Ok(Self::read(&source)?)
    }

    /// Reads variables from `source`.
    pub fn read(source: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(source);
        let lifecycle = Lifecycle::read(&mut variables);
        let forge = Forge::read(&mut variables);
        let gitlab_url = gitlab_url(&mut variables);
        let atlassian_api_url = atlassian_api_url(&mut variables);
        let oauth_application_id = variables.optional("OAUTH_APPLICATION_ID");
        let allowed_jira_sites = allowed_jira_sites(&variables);
        let settings = lifecycle.zip(forge).zip(gitlab_url).zip(atlassian_api_url).map(
            |(((lifecycle, forge), gitlab_url), atlassian_api_url)| Self {
                lifecycle,
                forge,
                gitlab_url,
                oauth_application_id,
                atlassian_api_url,
                allowed_jira_sites,
            },
        );
        variables.finish(settings)
    }
}
