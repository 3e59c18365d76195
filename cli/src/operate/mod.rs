//! The operator commands: what they are asked, what they do, and what they answer. They run inside `serve`, reached
//! through its socket, or alone on the data directory; which of the two belongs to `control`.

mod dlq;
mod doctor;
mod explain;
mod forge;
mod group;
mod render;
mod site;
mod status;
mod trouble;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::clock::SharedClock;
use shared::domain::ConnectionKind;
use shared::envelope::Envelope;
use shared::gitlab::client::GitlabHttp;
use shared::jira::connections::Connections;
use shared::outbound::HostGuard;
use shared::queue::SharedQueue;
use shared::store::Store;
use shared::telemetry::with_causes;
use url::Url;

use crate::forge::Setup;

pub use render::render;

/// What commands work with.
#[derive(Clone, Debug)]
pub struct Operator {
    /// State.
    pub store: Store,
    /// Secrets.
    pub envelope: Arc<Envelope>,
    /// Ways into Jira.
    pub connections: Connections,
    /// The way to GitLab.
    pub gitlab: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Queues by name.
    pub queues: BTreeMap<&'static str, SharedQueue>,
    /// Time.
    pub clock: SharedClock,
    /// Where the app is served, as Jira knows it.
    pub base_url: String,
    /// Where hooks deliver to: the same locally, the function URL of `webhook` on AWS.
    pub webhook_base_url: String,
    /// The GitLab that links are made with unless another is named.
    pub gitlab_url: Url,
    /// Which sites may be added, by host; empty means any.
    pub allowed_jira_sites: Arc<[String]>,
    /// What the bundle knows of its Forge app.
    pub forge: Setup,
}

/// A command. Goes through the socket as JSON, secrets included: the socket is open to its owner alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// `gitlab-jira site add`: opens the OAuth-credentials connection.
    SiteAdd {
        /// Host of the site, with a port if it is not the default; or an origin.
        site: String,
        /// Public half of the credential.
        client_id: String,
        /// Secret half of the credential.
        client_secret: Hidden,
    },
    /// `gitlab-jira site list`.
    SiteList,
    /// `gitlab-jira site remove`: closes all connections of a site without links and forgets it.
    SiteRemove {
        /// Host name or clientKey.
        site: String,
    },
    /// `gitlab-jira site switch`: lets another connection of a site write.
    SiteSwitch {
        /// Host name, clientKey or id.
        site: String,
        /// The connection.
        to: ConnectionName,
        /// Whether what the connection before had sent stays at Jira.
        #[serde(default)]
        keep_jira_data: bool,
    },
    /// `gitlab-jira group link`.
    GroupLink(GroupLink),
    /// `gitlab-jira group list`.
    GroupList {
        /// Only this site's: host name or clientKey.
        site: Option<String>,
    },
    /// `gitlab-jira group unlink`: removes hooks and token, what no other link covers at Jira, and the link.
    GroupUnlink {
        /// The subscription's id.
        subscription: String,
        /// Whether what was sent stays at Jira: for sites that are gone, or whose credential is.
        #[serde(default)]
        keep_jira_data: bool,
        /// A token of an Owner, who alone may remove a group's hook.
        #[serde(default)]
        gitlab_token: Option<Hidden>,
    },
    /// `gitlab-jira forge manifest`.
    ForgeManifest {
        /// The app's id.
        app_id: String,
        /// The key of the Connect app whose place it takes.
        connect_key: Option<String>,
    },
    /// `gitlab-jira status`.
    Status,
    /// `gitlab-jira doctor`: tries what everything else rests on.
    Doctor,
    /// `gitlab-jira explain KEY`.
    Explain {
        /// The issue key.
        key: String,
    },
    /// `gitlab-jira dlq list`.
    DlqList {
        /// At most this many.
        limit: usize,
    },
    /// `gitlab-jira dlq redrive`.
    DlqRedrive {
        /// Only these; all if empty.
        ids: Vec<String>,
    },
}

/// A kind of connection, as a person types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionName {
    /// The Forge app.
    Forge,
    /// OAuth credentials.
    Oauth,
    /// The Connect app.
    Connect,
}

impl From<ConnectionName> for ConnectionKind {
    fn from(name: ConnectionName) -> Self {
        match name {
            ConnectionName::Forge => Self::Forge,
            ConnectionName::Oauth => Self::OauthCredentials,
            ConnectionName::Connect => Self::Connect,
        }
    }
}

/// What linking a group needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupLink {
    /// Host name or clientKey of the Jira site.
    pub site: String,
    /// Full path or id of the GitLab group.
    pub group: String,
    /// Base URL of the GitLab; the configured one if missing.
    pub gitlab_url: Option<String>,
    /// A token of a Maintainer or Owner of the group.
    pub gitlab_token: Hidden,
    /// Whether somebody makes the hook by hand.
    pub no_hook: bool,
    /// Only these Jira projects; any if empty.
    pub project_keys: Vec<String>,
    /// What is stored to read GitLab with.
    pub credential: CredentialChoice,
}

/// What is stored to read GitLab with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CredentialChoice {
    /// A group access token made for it where GitLab allows that, else the given token.
    #[default]
    Auto,
    /// A group access token made for it, which may repair hooks.
    Managed,
    /// A group access token made for it, which may only read.
    Read,
    /// The given token: for bots' and service accounts' tokens.
    Given,
    /// Nothing: what hooks say has to suffice.
    None,
}

/// A secret that shows itself only to the socket.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub secrecy::SecretString);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use secrecy::ExposeSecret;
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// A command that could not be carried out: what is wrong and what to do about it, in a sentence for the person who gave it.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// The sentence.
    pub sentence: String,
}

impl Refusal {
    fn new(sentence: impl Into<String>) -> Self {
        // It may quote a server that nobody vouches for, and ends on a terminal.
        let sentence: String = sentence.into();
        Self { sentence: sentence.replace(char::is_control, " ") }
    }
}

// With all causes: on a stack the last one says that a permission or a sign-in is missing.

impl From<shared::store::StoreError> for Refusal {
    fn from(error: shared::store::StoreError) -> Self {
        Self::new(format!("The state can't be read or written: {}.", with_causes(&error)))
    }
}

impl From<shared::queue::QueueError> for Refusal {
    fn from(error: shared::queue::QueueError) -> Self {
        Self::new(format!("The queue can't be read or written: {}.", with_causes(&error)))
    }
}

impl Operator {
    /// Carries out a command; answers what `--json` prints.
    pub async fn run(&self, command: Command) -> Result<Value, Refusal> {
        match command {
            Command::SiteAdd { site, client_id, client_secret } => {
                self.site_add(&site, client_id, client_secret.0).await
            }
            Command::SiteList => self.site_list().await,
            Command::SiteRemove { site } => self.site_remove(&site).await,
            Command::SiteSwitch { site, to, keep_jira_data } => {
                self.site_switch(&site, to.into(), keep_jira_data).await
            }
            Command::GroupLink(link) => self.group_link(link).await,
            Command::GroupList { site } => self.group_list(site.as_deref()).await,
            Command::GroupUnlink { subscription, keep_jira_data, gitlab_token } => {
                let token = gitlab_token.map(|token| token.0);
                self.group_unlink(&subscription, keep_jira_data, token).await
            }
            Command::ForgeManifest { app_id, connect_key } => {
                self.forge_manifest(&app_id, connect_key.as_deref())
            }
            Command::Status => self.status().await,
            Command::Doctor => self.doctor().await,
            Command::Explain { key } => self.explain(&key).await,
            Command::DlqList { limit } => self.dlq_list(limit).await,
            Command::DlqRedrive { ids } => self.dlq_redrive(&ids).await,
        }
    }
}
