//! The local process's environment variables. The functions on AWS read the same names.

use std::cell::RefCell;
use std::collections::BTreeMap;

use shared::config::{
    ConfigError, Forge, JiraAccess, Lifecycle, Variables, allowed_jira_sites, atlassian_api_url, gitlab_url,
};
use url::Url;

/// The variables that name a function's AWS resources.
const RESOURCES: [&str; 4] = ["TABLE_NAME", "KMS_KEY_ID", "EVENTS_QUEUE_URL", "EVENTS_DEAD_LETTER_QUEUE_URL"];

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
    /// The variables that all of this was read from, for the functions' own configuration.
    variables: BTreeMap<String, String>,
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
        let asked = RefCell::new(BTreeMap::new());
        let recording = |name: &str| {
            let value = source(name);
            asked.borrow_mut().extend(value.clone().map(|value| (name.to_owned(), value)));
            value
        };
        let mut variables = Variables::new(&recording);
        let lifecycle = Lifecycle::read(&mut variables);
        let forge = Forge::read(&mut variables);
        let gitlab_url = gitlab_url(&mut variables);
        let atlassian_api_url = atlassian_api_url(&mut variables);
        let oauth_application_id = variables.optional("OAUTH_APPLICATION_ID");
        let allowed_jira_sites = allowed_jira_sites(&variables);
        let recorded = asked.borrow().clone();
        let settings = lifecycle.zip(forge).zip(gitlab_url).zip(atlassian_api_url).map(
            |(((lifecycle, forge), gitlab_url), atlassian_api_url)| Self {
                lifecycle,
                forge,
                gitlab_url,
                oauth_application_id,
                atlassian_api_url,
                allowed_jira_sites,
                variables: recorded,
            },
        );
        variables.finish(settings)
    }

    /// How Jira is called.
    #[must_use]
    pub fn jira(&self) -> JiraAccess {
        JiraAccess {
            app_key: self.lifecycle.identity.app_key.clone(),
            api_url: self.atlassian_api_url.clone(),
        }
    }

    /// A function's configuration from the same variables. What names AWS's resources has one value: the local process has
    /// one of each.
    ///
    /// # Errors
    /// When a variable is wrong.
    pub fn function<T>(&self, read: impl FnOnce(&mut Variables<'_>) -> Option<T>) -> Result<T, ConfigError> {
        let source = |name: &str| {
            let resource = RESOURCES.contains(&name).then(|| "local".to_owned());
            resource.or_else(|| self.variables.get(name).cloned())
        };
        let mut variables = Variables::new(&source);
        let config = read(&mut variables);
        variables.finish(config)
    }
}
