//! The local process's environment variables. The functions on AWS read the same names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use shared::config::{
    ConfigError, Forge, Lifecycle, Variables, allowed_jira_sites, atlassian_api_url, gitlab_url, pace_limits,
};
use url::Url;

/// The variables that name a function's AWS resources.
const RESOURCES: [&str; 6] = [
    "TABLE_NAME",
    "KMS_KEY_ID",
    "EVENTS_QUEUE_URL",
    "EVENTS_DEAD_LETTER_QUEUE_URL",
    "BACKFILL_QUEUE_URL",
    "BACKFILL_DEAD_LETTER_QUEUE_URL",
];

/// A variable that `serve` reads.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it sets.
    pub meaning: &'static str,
    /// Its default.
    pub default: &'static str,
}

const fn setting(name: &'static str, meaning: &'static str, default: &'static str) -> Setting {
    Setting { name, meaning, default }
}

/// Every variable that the local process reads, apart from those that are options, too.
pub const SETTINGS: [Setting; 17] = [
    setting("BASE_URL", "URL under which GitLab and Jira reach the bundle", "http:// and --listen's address"),
    setting("WEBHOOK_URL", "URL under which GitLab reaches the bundle, if another", "BASE_URL"),
    setting("GITLAB_URL", "GitLab instance of new links", "https://gitlab.com"),
    setting("ALLOWED_JIRA_SITES", "hosts of the sites that may install the app, comma-separated", "any site"),
    setting("ALLOWED_PRIVATE_HOSTS", "private hosts that may be called, comma-separated", "none"),
    setting("EXTRA_CA_PEM", "certificates to trust beside the system's, in PEM", "none"),
    setting(
        "HISTORY_REQUESTS_PER_MINUTE",
        "requests of GitLab a minute for a link's history",
        "600; on GitLab.com 50 without a group hook",
    ),
    setting(
        "HISTORY_REQUESTS_PER_HOUR",
        "requests of GitLab an hour for a link's history",
        "36000; on GitLab.com 7500, or 2500 without a group hook",
    ),
    setting("REPLACED_COMMITS", "keep or remove commits that a force push replaced", "keep"),
    setting("OAUTH_APPLICATION_ID", "id of the OAuth application of GITLAB_URL", "none"),
    setting("PROXY_URL", "GitLab instance through whose listing the Connect app is installed", "none"),
    setting("ADDITIONAL_AUDIENCE_URL", "second base URL that lifecycle tokens may be made for", "none"),
    setting("FORGE_APP_ID", "id of your Forge app", "none: Forge's calls get 404"),
    setting("INSTALL_KEYS_URL", "key servers of lifecycle tokens, comma-separated", "Atlassian's two"),
    setting("FORGE_JWKS_URL", "where the public keys of Forge's tokens are", "Atlassian's"),
    setting("ATLASSIAN_API_URL", "Atlassian's API gateway", "https://api.atlassian.com"),
    setting("CONNECT_JS_URL", "Atlassian's script for pages of Connect apps", "Atlassian's"),
];

/// What `serve --help` says of the variables.
#[must_use]
pub fn help() -> String {
    let log = setting("RUST_LOG", "how much is logged: error, warn, info, debug or trace", "info");
    let settings = SETTINGS.iter().chain([&log]);
    let lines =
        settings.map(|Setting { name, meaning, default }| format!("  {name:<28} {meaning} [{default}]"));
    format!("Environment variables, with [defaults]:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Where `serve` keeps the variables that it runs with, for commands that run while it does not.
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
    /// Reads the environment. `base_url` is the default of `BASE_URL`.
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
        // Read by functions alone, and kept with the others.
        for name in ["WEBHOOK_URL", "CONNECT_JS_URL", "REPLACED_COMMITS"] {
            let _ = variables.optional(name);
        }
        let _ = pace_limits(&mut variables);
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

    /// A function's configuration from the same variables. What names AWS's resources has one value: the local process has
    /// one of each.
    ///
    /// # Errors
    /// When a variable is wrong.
    pub fn function<T>(&self, read: impl FnOnce(&mut Variables<'_>) -> Option<T>) -> Result<T, ConfigError> {
        self.function_on(&|_| Some("local".to_owned()), read)
    }

    /// The same with AWS's resources, by the names of their variables.
    ///
    /// # Errors
    /// When a variable is wrong.
    pub fn function_on<T>(
        &self,
        resources: &dyn Fn(&str) -> Option<String>,
        read: impl FnOnce(&mut Variables<'_>) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let set = |name: &str| self.variables.get(name).cloned().flatten();
        let source = |name: &str| match name {
            // For functions that know no base URL of their own.
            "WEBHOOK_URL" => {
                let webhook_url = set(name).filter(|url| !url.trim().is_empty());
                webhook_url.or_else(|| Some(self.lifecycle.identity.base_url.clone()))
            }
            _ => {
                let resource = RESOURCES.contains(&name).then(|| resources(name)).flatten();
                resource.or_else(|| set(name))
            }
        };
        let mut variables = Variables::new(&source);
        let config = read(&mut variables);
        variables.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let source = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&source).expect("complete")
    }

    /// What `read` asks for, where nothing but the base URL is set.
    fn asked<T>(read: impl FnOnce(&mut Variables<'_>) -> T) -> BTreeSet<String> {
        let asked = RefCell::new(BTreeSet::new());
        let source = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            (name == "BASE_URL").then(|| "https://gitlab-jira.example.com".to_owned())
        };
        read(&mut Variables::new(&source));
        asked.into_inner()
    }

    #[test]
    fn the_table_has_what_is_read_and_nothing_else() {
        let table = BTreeSet::from(SETTINGS.map(|setting| setting.name.to_owned()));
        assert_eq!(
            settings(&[("BASE_URL", "https://a.example.com")]).variables.into_keys().collect::<BTreeSet<_>>(),
            table
        );
        for mut function in [
            asked(installed::Config::read),
            asked(uninstalled::Config::read),
            asked(oauth_application_id::OauthApplicationId::read),
            asked(create_branch::Config::read),
            asked(repository_search::Config::read),
            asked(shared::config::ForgeFunction::read),
            asked(shared::config::PageFunction::read),
            asked(webhook::Config::read),
            asked(sync::Config::read),
            asked(backfill::Config::read),
            asked(housekeeping::Config::read),
        ] {
            assert!(!function.is_empty());
            function.retain(|name| !RESOURCES.contains(&name.as_str()));
            assert!(function.is_subset(&table), "{:?}", function.difference(&table));
        }
    }

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../README.md");
        let settings = readme
            .split("## Settings")
            .nth(1)
            .and_then(|rest| rest.split("\n## ").next())
            .expect("a section");
        let rows = settings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let rows: Vec<_> = rows.filter(|name| !OPTIONS.contains(name)).collect();
        assert_eq!(rows, SETTINGS.map(|setting| setting.name));
    }

    /// Variables of the README that are options, too, or the logs'.
    const OPTIONS: [&str; 3] = ["GITLAB_JIRA_DATA_DIR", "LOG_FORMAT", "RUST_LOG"];

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

    #[test]
    fn hooks_lead_to_the_base_url_unless_another_is_set() {
        let webhook_url = |variables: &[(&str, &str)]| {
            settings(variables).function(backfill::Config::read).expect("complete").webhook_url
        };
        let base = ("BASE_URL", "https://GitLab-Jira.example.com:443/");
        assert_eq!(webhook_url(&[base, ("WEBHOOK_URL", " ")]), "https://gitlab-jira.example.com");
        let other = ("WEBHOOK_URL", "https://hooks.example.com");
        assert_eq!(webhook_url(&[base, other]), "https://hooks.example.com");
    }
}
