//! Stand-ins of Jira and GitLab with the bundle between them, served over HTTP from a data directory of its own. For the demo
//! and the integration tests.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::Value;
use shared::clock::SharedClock;
use shared::domain::ConnectionKind;
use standins::gitlab::{GitlabStandin, Version};
use standins::jira::{Api, ForgeApp, ForgeInstallation, JiraStandin, SiteHandle, User};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::forge_manifest::{self, Addresses, Remotes};
use crate::local::Local;
use crate::operate::{Command, CredentialChoice, GroupLink, Hidden, HistoryAction, Refusal};
use crate::settings::Settings;

/// How long a story waits for the queue to become empty before it counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The Atlassian account of the site's administrator.
pub const ADMINISTRATOR: &str = "admin";

/// The id of the OAuth application that the bundle is configured with.
const APPLICATION: &str = "demo-application";

/// Everything a story needs.
pub struct World {
    /// Jira and Atlassian's servers.
    pub jira: JiraStandin,
    /// The Jira site `acme`.
    pub site: SiteHandle,
    /// The Forge app, registered and not installed anywhere yet.
    pub forge: ForgeApp,
    /// GitLab.
    pub gitlab: GitlabStandin,
    /// The bundle.
    pub local: Local,
    base_url: String,
    tasks: Vec<JoinHandle<()>>,
    directory: TempDir,
}

impl World {
    /// Starts all of it.
    pub async fn start(version: Version, clock: SharedClock) -> anyhow::Result<Self> {
        Self::start_with(version, clock, &[]).await
    }

    /// Starts all of it with further variables.
    pub async fn start_with(
        version: Version,
        clock: SharedClock,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let jira = JiraStandin::start().await?;
        let site = jira.site("acme").await?;
        site.add_user(User::admin(ADMINISTRATOR, "Jira administrator"));
        let forge = jira.register_forge_app_by(clock.clone());
        let gitlab = GitlabStandin::start(version).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        gitlab.oauth_application_with_id(APPLICATION, &format!("{base_url}/-/jira_connect/oauth_callbacks"));
        let directory = tempfile::tempdir()?;
        let settings = settings(&base_url, &jira, &forge, &gitlab, variables)?;
        let local = Local::open(settings, directory.path(), clock).await?;
        let mut tasks = local.start();
        let router = local.router()?;
        tasks.push(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the bundle is not served any more");
            }
        }));
        Ok(Self { jira, site, forge, gitlab, local, base_url, tasks, directory })
    }

    /// Where the bundle is served.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The base URL of everything that Jira calls.
    #[must_use]
    pub fn connect_base_url(&self) -> String {
        format!("{}/-/jira_connect", self.base_url)
    }

    /// The bundle's data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Installs the Connect app on the site.
    pub async fn install(&self) -> anyhow::Result<()> {
        self.site.install(&self.connect_base_url()).await
    }

    /// Opens the OAuth-credentials connection of the site.
    pub async fn add_oauth_credentials(&self) -> anyhow::Result<Value> {
        let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
        let (client_id, client_secret) = self.site.add_oauth_credentials(&apis);
        let client_secret = Hidden(SecretString::from(client_secret));
        let command = Command::SiteAdd { site: self.site.base_url(), client_id, client_secret };
        Ok(self.command(command).await?)
    }

    /// Deploys the Forge app and installs it on the site.
    pub async fn install_forge_app(&self) -> anyhow::Result<ForgeInstallation> {
        self.deploy_forge_app()?;
        let (installation, answers) = self.forge.install(&self.site).await?;
        anyhow::ensure!(answers.ends_with(&[200]), "the install was answered {answers:?}");
        Ok(installation)
    }

    /// Deploys the Forge app with this bundle's own manifest.
    pub fn deploy_forge_app(&self) -> anyhow::Result<()> {
        let addresses = Addresses {
            remotes: Remotes::all_at(&self.base_url),
            base_url: self.base_url.clone(),
            gitlab_url: self.gitlab.url().parse()?,
        };
        self.forge.deploy(&forge_manifest::manifest(&addresses, self.forge.id(), None)?)
    }

    /// Opens a connection of the site.
    pub async fn open_connection(&self, connection: ConnectionKind) -> anyhow::Result<()> {
        match connection {
            ConnectionKind::Connect => self.install().await,
            ConnectionKind::OauthCredentials => self.add_oauth_credentials().await.map(drop),
            ConnectionKind::Forge => self.install_forge_app().await.map(drop),
        }
    }

    /// Links a GitLab group to the site.
    pub async fn link(&self, group: &str, token: &SecretString) -> anyhow::Result<Value> {
        Ok(self.command(self.link_command(group, token, CredentialChoice::Auto)).await?)
    }

    /// The command that links a GitLab group to the site.
    #[must_use]
    pub fn link_command(&self, group: &str, token: &SecretString, credential: CredentialChoice) -> Command {
        let base_url = self.site.base_url();
        let site = base_url.split_once("://").map_or(base_url.as_str(), |(_, host)| host).to_owned();
        Command::GroupLink(GroupLink {
            history: false,
            site,
            group: group.to_owned(),
            gitlab_url: Some(self.gitlab.url().to_owned()),
            gitlab_token: Hidden(token.clone()),
            no_hook: false,
            project_keys: Vec::new(),
            credential,
        })
    }

    /// Runs an operator command.
    pub async fn command(&self, command: Command) -> Result<Value, Refusal> {
        self.local.operator.run(command).await.map(|answer| answer.json())
    }

    /// Stops working on events; what comes in stays on the queue.
    pub fn stop_pump(&self) {
        if let Some(pump) = self.tasks.first() {
            pump.abort();
        }
    }

    /// Waits until every message is done, waiting for later, or dead-lettered.
    pub async fn settled(&self) -> anyhow::Result<()> {
        self.without_messages(&["ready", "in_flight"]).await
    }

    /// Waits until no message waits for later either.
    pub async fn drained(&self) -> anyhow::Result<()> {
        self.without_messages(&["ready", "in_flight", "delayed"]).await
    }

    /// Waits until the history of `link` and its audit have ended, and answers how far they have come.
    pub async fn history_ended(&self, link: &str) -> anyhow::Result<Value> {
        let ended = async {
            loop {
                let show = Command::History { link: link.to_owned(), action: HistoryAction::Show };
                let history = self.command(show).await?;
                if ["progress", "audit"].iter().all(|plan| history[plan]["state"] != "running") {
                    return Ok(history);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, ended).await.context("the history does not end")?
    }

    async fn without_messages(&self, states: &[&str]) -> anyhow::Result<()> {
        let gone = async {
            loop {
                let status = self.command(Command::Status).await?;
                let events = &status["queues"]["events"];
                if states.iter().all(|state| events[*state] == 0) {
                    return Ok::<_, anyhow::Error>(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, gone).await.context("the queue does not run dry")?
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Points the bundle at the stand-ins by the variables that a person would set.
fn settings(
    base_url: &str,
    jira: &JiraStandin,
    forge: &ForgeApp,
    gitlab: &GitlabStandin,
    variables: &[(&str, &str)],
) -> anyhow::Result<Settings> {
    let (api, keys, key_set) = (jira.api_url(), jira.install_keys_url(), jira.forge_key_set_url());
    let connect_js = jira.connect_js_url();
    let known = [
        ("BASE_URL", base_url),
        ("GITLAB_URL", gitlab.url()),
        ("ATLASSIAN_API_URL", api.as_str()),
        ("INSTALL_KEYS_URL", keys.as_str()),
        ("CONNECT_JS_URL", connect_js.as_str()),
        ("FORGE_APP_ID", forge.id()),
        ("FORGE_JWKS_URL", key_set.as_str()),
        ("ALLOWED_PRIVATE_HOSTS", "http://127.0.0.1"),
        ("OAUTH_APPLICATION_ID", APPLICATION),
    ];
    let source = |name: &str| {
        let own = variables.iter().find(|(known, _)| *known == name);
        own.or_else(|| known.iter().find(|(known, _)| *known == name)).map(|(_, value)| (*value).to_owned())
    };
    Ok(Settings::read(&source)?)
}
