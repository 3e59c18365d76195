//! What the local process is told by variables. The functions on AWS read the same names.

use shared::config::{ConfigError, Identity, Reader, atlassian_api_url, install_keys_urls};
use shared::jwt::keystore::KeySource;
use shared::outbound::HostGuard;
use url::Url;

/// Where new links go when nobody says otherwise.
const GITLAB_URL: &str = "https://gitlab.com";

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the app is.
    pub identity: Identity,
    /// The GitLab that new links are made with.
    pub gitlab_url: Url,
    /// The OAuth application of that GitLab.
    pub oauth_application_id: Option<String>,
    /// Where lifecycle tokens' keys are.
    pub keys: KeySource,
    /// Atlassian's API gateway.
    pub atlassian_api_url: Url,
    /// Which sites may install, by host; empty means any.
    pub allowed_jira_sites: Vec<String>,
    /// Which private hosts may be called.
    pub guard: HostGuard,
    /// Certificates to trust beside the system's.
    pub extra_ca_pem: Option<String>,
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
        let mut reader = Reader::new(source);
        let identity = Identity::read(&mut reader);
        let gitlab_url = reader.url("GITLAB_URL", GITLAB_URL);
        let atlassian_api_url = atlassian_api_url(&mut reader);
        let servers = install_keys_urls(&mut reader);
        let guard = match HostGuard::parse(&reader.optional("ALLOWED_PRIVATE_HOSTS").unwrap_or_default()) {
            Ok(guard) => Some(guard),
            Err(error) => {
                reader.problem(format!("ALLOWED_PRIVATE_HOSTS: {error}."));
                None
            }
        };
        let oauth_application_id = reader.optional("OAUTH_APPLICATION_ID");
        let allowed_jira_sites = reader.list("ALLOWED_JIRA_SITES", "");
        let extra_ca_pem = reader.optional("EXTRA_CA_PEM");
        let settings = identity.zip(gitlab_url).zip(atlassian_api_url).zip(guard).map(
            |(((identity, gitlab_url), atlassian_api_url), guard)| {
                let keys = identity
                    .proxy_url
                    .as_ref()
                    .map_or_else(|| KeySource::atlassian(&servers), KeySource::proxy);
                Self {
                    identity,
                    gitlab_url,
                    oauth_application_id,
                    keys,
                    atlassian_api_url,
                    allowed_jira_sites,
                    guard,
                    extra_ca_pem,
                }
            },
        );
        reader.finish(settings)
    }
}
