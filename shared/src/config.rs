//! Configuration from environment variables. A start with variables missing or wrong names them all, so that a person
//! corrects them at once. Which variables a function reads is written in that function; what is made from them in
//! `services`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use url::Url;

use crate::bundle::CONNECT_BASE;
use crate::history::PaceLimits;
use crate::jwt::keystore::{ATLASSIAN_KEY_SERVERS, KeySource};
use crate::outbound::{HostGuard, OutboundClientError, RedirectRule, is_loopback, outbound_client};
use crate::sync::read::ReplacedCommits;

mod forge_app;
mod page;

pub use forge_app::{Forge, ForgeFunction};
pub use page::PageFunction;

/// The GitLab of new links by default.
const GITLAB_URL: &str = "https://gitlab.com";

/// Atlassian's API gateway.
const ATLASSIAN_API_URL: &str = "https://api.atlassian.com";

/// Where variables come from.
pub struct Variables<'a> {
    source: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

/// The variables do not make a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// A sentence for each variable that is missing or wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the configuration is not complete: {}", self.problems.join(" "))
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Debug for Variables<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Variables").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl<'a> Variables<'a> {
    /// Reads from `source`; an empty variable counts as missing.
    #[must_use]
    pub fn new(source: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// A variable that may be missing.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.source)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A variable that must be there. What is answered without it is never used: [`Variables::finish`] fails.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is missing."));
            String::new()
        })
    }

    /// A variable that is parsed, with its default. `form` says in an error what it has to be.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: &str, form: &str) -> Option<T> {
        let text = self.optional(name).unwrap_or_else(|| default.to_owned());
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.push(if text.is_empty() {
                format!("{name} is missing.")
            } else {
                format!("{name} is not {form}.")
            });
        }
        parsed
    }

    /// A variable that holds a URL.
    pub fn url(&mut self, name: &str, default: &str) -> Option<Url> {
        let url = self.parsed::<Url>(name, default, "a URL")?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            return Some(url);
        }
        self.problem(format!("{name} is not an http(s) URL."));
        None
    }

    /// A variable that holds a comma-separated list.
    #[must_use]
    pub fn list(&self, name: &str, default: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_else(|| default.to_owned());
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    /// Notes that something is wrong.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// `value`, if nothing was missing or wrong.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that was.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }
}

/// The app as Jira knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Scheme, host and optional prefix of everything we serve, without a trailing slash. Configuration, never taken from
    /// a request.
    pub base_url: String,
    /// The app's key: the issuer of every token that we sign for Jira.
    pub app_key: String,
    /// The host that names the app.
    host: String,
    /// Where lifecycle tokens' keys come from when this app is installed through another instance's listing.
    pub proxy_url: Option<Url>,
    /// A second base URL that lifecycle tokens may be made for: the name behind a reverse proxy.
    pub additional_audience: Option<String>,
}

/// Atlassian's limit on an app's key.
const MAX_APP_KEY: usize = 64;

impl Identity {
    /// Reads `BASE_URL`, `PROXY_URL` and `ADDITIONAL_AUDIENCE_URL`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let base_url = variables.url("BASE_URL", "");
        let proxy_url = match variables.optional("PROXY_URL") {
            Some(_) => Some(variables.url("PROXY_URL", "")?),
            None => None,
        };
        let additional_audience = variables.optional("ADDITIONAL_AUDIENCE_URL");
        let base_url = base_url?;
        let host = match &proxy_url {
            Some(proxy) => format!("{}{}", proxy.host_str()?, proxy.path().trim_end_matches('/')),
            None => base_url.host_str()?.to_owned(),
        };
        Some(Self {
            base_url: base_url.as_str().trim_end_matches('/').to_owned(),
            app_key: format!("gitlab-jira-connect-{host}").chars().take(MAX_APP_KEY).collect(),
            host,
            proxy_url,
            additional_audience,
        })
    }

    /// `GitLab for Jira (<host>)`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("GitLab for Jira ({})", self.host)
    }

    /// [`display_name`] of the host that names the app.
    #[must_use]
    pub fn display_name(&self) -> String {
        display_name(&self.host)
    }

    /// The base URL of everything that Jira calls.
    #[must_use]
    pub fn connect_base_url(&self) -> String {
        format!("{}{CONNECT_BASE}", self.base_url)
    }

    /// The path of [`Identity::base_url`], without a trailing slash: empty, or where a reverse proxy mounts us.
    #[must_use]
    pub fn path_prefix(&self) -> String {
        Url::parse(&self.base_url).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
    }

    /// What lifecycle tokens may be made for. Jira is always told an https URL.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        let is_local =
            |url: &str| Url::parse(url).is_ok_and(|url| url.host().is_some_and(|host| is_loopback(&host)));
        let secure = |url: String| match url.strip_prefix("http://") {
            Some(rest) if !is_local(&url) => format!("https://{rest}"),
            _ => url,
        };
        let additional = self.additional_audience.as_ref();
        let additional = additional.map(|url| format!("{}{CONNECT_BASE}", url.trim_end_matches('/')));
        [Some(self.connect_base_url()), additional].into_iter().flatten().map(secure).collect()
    }
}

/// How people see the app of this host: `GitLab`, or `GitLab (<host>)` for any other host than `gitlab.com`.
#[must_use]
pub fn display_name(host: &str) -> String {
    if host == "gitlab.com" { "GitLab".to_owned() } else { format!("GitLab ({host})") }
}

/// How hosts that are named from outside may be called.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Which private hosts may be called.
    pub guard: HostGuard,
    /// Certificates to trust beside the system's.
    pub extra_ca_pem: Option<String>,
}

impl Outbound {
    /// Reads `ALLOWED_PRIVATE_HOSTS` and `EXTRA_CA_PEM`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let extra_ca_pem = variables.optional("EXTRA_CA_PEM");
        match HostGuard::parse(&variables.optional("ALLOWED_PRIVATE_HOSTS").unwrap_or_default()) {
            Ok(guard) => Some(Self { guard, extra_ca_pem }),
            Err(error) => {
                variables.problem(format!("ALLOWED_PRIVATE_HOSTS: {error}."));
                None
            }
        }
    }

    /// A client for such hosts.
    ///
    /// # Errors
    /// [`OutboundClientError`]: most often `EXTRA_CA_PEM` is not PEM.
    pub fn client(&self, redirects: RedirectRule) -> Result<reqwest::Client, OutboundClientError> {
        outbound_client(&self.guard, redirects, self.extra_ca_pem.as_deref())
    }
}

/// Where the keys of lifecycle tokens are: `INSTALL_KEYS_URL`, or the proxy that this app is installed through.
pub fn lifecycle_keys(variables: &mut Variables<'_>, identity: Option<&Identity>) -> KeySource {
    let mut servers = Vec::new();
    for entry in variables.list("INSTALL_KEYS_URL", &ATLASSIAN_KEY_SERVERS.join(",")) {
        match Url::parse(&entry) {
            Ok(url) => servers.push(url),
            Err(_) => variables.problem("INSTALL_KEYS_URL is not a list of URLs.".to_owned()),
        }
    }
    let proxy = identity.and_then(|identity| identity.proxy_url.as_ref());
    proxy.map_or_else(|| KeySource::atlassian(&servers), KeySource::proxy)
}

/// What verifies lifecycle events.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Who the app is.
    pub identity: Identity,
    /// Where the keys are.
    pub keys: KeySource,
    /// How key servers may be called.
    pub outbound: Outbound,
}

impl Lifecycle {
    /// Reads what [`Identity`], [`lifecycle_keys`] and [`Outbound`] read.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let identity = Identity::read(variables);
        let keys = lifecycle_keys(variables, identity.as_ref());
        let outbound = Outbound::read(variables);
        Some(Self { identity: identity?, keys, outbound: outbound? })
    }
}

/// How Jira is called.
#[derive(Clone, Debug)]
pub struct JiraAccess {
    /// The Connect app's key.
    pub app_key: String,
    /// Atlassian's API gateway.
    pub api_url: Url,
}

impl JiraAccess {
    /// Reads what [`Identity`] reads, and `ATLASSIAN_API_URL`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let identity = Identity::read(variables);
        let api_url = atlassian_api_url(variables);
        Some(Self { app_key: identity?.app_key, api_url: api_url? })
    }
}

/// The sites that may install, by host: `ALLOWED_JIRA_SITES`. Empty means any.
#[must_use]
pub fn allowed_jira_sites(variables: &Variables<'_>) -> Vec<String> {
    variables.list("ALLOWED_JIRA_SITES", "")
}

/// The GitLab that new links are made with: `GITLAB_URL`.
pub fn gitlab_url(variables: &mut Variables<'_>) -> Option<Url> {
    variables.url("GITLAB_URL", GITLAB_URL)
}

/// How often history may ask GitLab: `HISTORY_REQUESTS_PER_MINUTE` and `HISTORY_REQUESTS_PER_HOUR`.
pub fn pace_limits(variables: &mut Variables<'_>) -> Option<PaceLimits> {
    let mut limit = |name: &str| match variables.optional(name) {
        None => Some(None),
        Some(text) => variables.parsed::<NonZeroU32>(name, &text, "a number above 0").map(Some),
    };
    let (per_minute, per_hour) = (limit("HISTORY_REQUESTS_PER_MINUTE"), limit("HISTORY_REQUESTS_PER_HOUR"));
    Some(PaceLimits { per_minute: per_minute?, per_hour: per_hour? })
}

/// What becomes of commits that a force push replaced: `REPLACED_COMMITS`.
pub fn replaced_commits(variables: &mut Variables<'_>) -> Option<ReplacedCommits> {
    match variables.optional("REPLACED_COMMITS").as_deref() {
        None | Some("keep") => Some(ReplacedCommits::Keep),
        Some("remove") => Some(ReplacedCommits::Remove),
        Some(other) => {
            variables.problem(format!("REPLACED_COMMITS: {other:?} is neither keep nor remove."));
            None
        }
    }
}

/// Atlassian's API gateway: `ATLASSIAN_API_URL`.
pub fn atlassian_api_url(variables: &mut Variables<'_>) -> Option<Url> {
    variables.url("ATLASSIAN_API_URL", ATLASSIAN_API_URL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(variables: &[(&str, &str)]) -> Result<Identity, ConfigError> {
        let source = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let mut variables = Variables::new(&source);
        let identity = Identity::read(&mut variables);
        variables.finish(identity)
    }

    /// N2.
    #[test]
    fn the_host_names_the_app() {
        let identity = identity(&[("BASE_URL", "https://gitlab.example.com/")]).expect("complete");
        assert_eq!(identity.display_name(), "GitLab (gitlab.example.com)");
        assert_eq!(identity.app_key, "gitlab-jira-connect-gitlab.example.com");
        assert_eq!(identity.audiences(), ["https://gitlab.example.com/-/jira_connect"]);
    }

    #[test]
    fn a_proxy_and_a_prefix_name_it_too() {
        let identity = identity(&[
            ("BASE_URL", "https://apps.example.com/gitlab-jira"),
            ("PROXY_URL", "https://gitlab.com"),
            ("ADDITIONAL_AUDIENCE_URL", "http://internal.example.com/"),
        ])
        .expect("complete");
        assert_eq!(
            (identity.display_name().as_str(), identity.path_prefix().as_str()),
            ("GitLab", "/gitlab-jira")
        );
        assert_eq!(
            identity.audiences(),
            [
                "https://apps.example.com/gitlab-jira/-/jira_connect",
                "https://internal.example.com/-/jira_connect"
            ]
        );
    }

    #[test]
    fn a_long_host_is_cut_to_atlassians_limit() {
        let identity =
            identity(&[("BASE_URL", &format!("https://{}.example.com", "a".repeat(60)))]).expect("complete");
        assert_eq!(identity.app_key.len(), 64);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let source = |_: &str| None;
        let mut variables = Variables::new(&source);
        let _ = (variables.required("TABLE_NAME"), variables.url("BASE_URL", ""));
        let error = variables.finish(Some(())).expect_err("incomplete");
        assert_eq!(error.problems, ["TABLE_NAME is missing.", "BASE_URL is missing."]);
    }
}
