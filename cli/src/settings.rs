//! The local process's environment variables. The functions on AWS read the same names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use shared::config::{
    ConfigError, Forge, JiraAccess, Lifecycle, Variables, allowed_jira_sites, atlassian_api_url, gitlab_url,
};
use shared::envelope::Envelope;
use shared::linking::Linking;
use shared::outbound::OutboundClientError;
use shared::services::Services;
use shared::store::Store;
use url::Url;

/// The variables that name a function's AWS resources.
const RESOURCES: [&str; 4] = ["TABLE_NAME", "KMS_KEY_ID", "EVENTS_QUEUE_URL", "EVENTS_DEAD_LETTER_QUEUE_URL"];

/// Where `serve` keeps the variables that it runs with, for commands that are given while it does not run.
const FILE: &str = "settings.json";

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
    /// The variables that all of this was read from, for the functions' own configuration; none for those that are not set.
    variables: BTreeMap<String, Option<String>>,
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
            asked.borrow_mut().insert(name.to_owned(), value.clone());
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

    /// Keeps these settings in `directory`, for its owner only. They hold no secrets, but may name private hosts.
    ///
    /// # Errors
    /// When the file can't be written; what was kept before stays.
    pub fn keep(&self, directory: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let (path, new) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
        let set: BTreeMap<_, _> = self.variables.iter().filter(|(_, value)| value.is_some()).collect();
        let write = || -> std::io::Result<()> {
            // Left by a process that was killed; whatever its mode is, ours is private from its first moment.
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
            file.write_all(serde_json::to_string_pretty(&set)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().with_context(|| format!("{} can't be written", path.display()))
    }

    /// The settings that `serve` last ran with in `directory`, and the names of variables that `environment` sets otherwise;
    /// `None` where it never ran.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn kept(
        directory: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<(Self, Vec<String>)>> {
        let path = directory.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{} can't be read", path.display()))?,
        };
        let kept: BTreeMap<String, String> = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: start `gitlab-jira serve` again", path.display()))?;
        let settings = Self::read(&|name: &str| kept.get(name).cloned())?;
        let differs = |name: &&String| {
            let set = environment(name).filter(|value| !value.trim().is_empty());
            set.is_some_and(|set| kept.get(*name) != Some(&set))
        };
        let different = settings.variables.keys().filter(differs).cloned().collect();
        Ok(Some((settings, different)))
    }

    /// What linking needs. Hooks deliver to `webhook_base_url`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn linking(
        &self,
        services: &Services,
        store: Store,
        envelope: Arc<Envelope>,
        webhook_base_url: &str,
    ) -> Result<Linking, OutboundClientError> {
        let (gitlab, guard) =
            (services.gitlab_http(&self.lifecycle.outbound)?, &self.lifecycle.outbound.guard);
        Ok(Linking {
            store,
            connections: services.connections(&self.jira(), guard, &gitlab, envelope.clone()),
            envelope,
            gitlab,
            guard: guard.clone(),
            clock: services.clock(),
            webhook_base_url: webhook_base_url.trim_end_matches('/').to_owned(),
            gitlab_url: self.gitlab_url.clone(),
        })
    }

    /// How Jira is called.
    fn jira(&self) -> JiraAccess {
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
            resource.or_else(|| self.variables.get(name).cloned().flatten())
        };
        let mut variables = Variables::new(&source);
        let config = read(&mut variables);
        variables.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let source = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&source).expect("complete")
    }

    #[test]
    fn commands_use_what_serve_last_ran_with_and_name_what_differs() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let nothing = |_: &str| None;
        assert!(Settings::kept(directory.path(), &nothing).expect("readable").is_none());
        let ran_with = settings(&[
            ("BASE_URL", "https://gitlab-jira.example.com"),
            ("GITLAB_URL", "https://gitlab.example.com"),
            ("ALLOWED_JIRA_SITES", "acme.atlassian.net"),
        ]);
        std::fs::write(directory.path().join("settings.json.new"), "half").expect("written");
        ran_with.keep(directory.path()).expect("written");
        let mode = std::fs::metadata(directory.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let (kept, different) = Settings::kept(directory.path(), &nothing).expect("readable").expect("kept");
        assert_eq!(kept.gitlab_url, ran_with.gitlab_url);
        assert_eq!(kept.allowed_jira_sites, ["acme.atlassian.net"]);
        assert!(different.is_empty(), "{different:?}");

        let other = |name: &str| match name {
            "GITLAB_URL" => Some("https://gitlab.com".to_owned()),
            "OAUTH_APPLICATION_ID" => Some("new".to_owned()),
            "BASE_URL" => Some("https://gitlab-jira.example.com".to_owned()),
            _ => None,
        };
        let (kept, different) = Settings::kept(directory.path(), &other).expect("readable").expect("kept");
        assert_eq!(kept.gitlab_url, ran_with.gitlab_url);
        assert_eq!(different, ["GITLAB_URL", "OAUTH_APPLICATION_ID"]);
    }
}
