//! The operator commands and what they take, as they cross the control socket. How a command line becomes one belongs to
//! `cli`; what each answers belongs to its own module.

use serde::{Deserialize, Serialize};
use shared::domain::ConnectionKind;
use shared::linking;

use super::HistoryAction;

/// A command. Goes through the socket as JSON, secrets included: the socket is open to its owner alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// `gitlab-jira site add`: adds OAuth credentials as a connection.
    SiteAdd {
        /// Host of the site, with a port if it is not the default; or an origin.
        site: String,
        /// The client id.
        client_id: String,
        /// The client secret.
        client_secret: Hidden,
    },
    /// `gitlab-jira site list`.
    SiteList,
    /// `gitlab-jira site remove`: removes a site without links, with its connections.
    SiteRemove {
        /// Host name, clientKey or id.
        site: String,
    },
    /// `gitlab-jira site recheck`: asks Jira again about project keys that it did not have.
    SiteRecheck {
        /// Host name, clientKey or id.
        site: String,
    },
    /// `gitlab-jira site switch`: makes another connection the writing one.
    SiteSwitch {
        /// Host name, clientKey or id.
        site: String,
        /// The connection that is to write.
        to: ConnectionName,
        /// Whether what the previous connection had sent stays at Jira.
        #[serde(default)]
        keep_jira_data: bool,
    },
    /// `gitlab-jira group link`.
    GroupLink(GroupLink),
    /// `gitlab-jira group list`.
    GroupList {
        /// Only this site's: host name, clientKey or id.
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
    /// `gitlab-jira history`.
    History {
        /// The link's id.
        link: String,
        /// What is to be done.
        action: HistoryAction,
    },
    /// `gitlab-jira open`: a link to the local page that works once.
    Open,
    /// `gitlab-jira forge manifest`.
    ForgeManifest {
        /// The app's id.
        app_id: String,
        /// The key of the Connect app whose place it takes.
        connect_key: Option<String>,
    },
    /// `gitlab-jira key rotate`: a new master key, with every secret sealed again under it.
    KeyRotate,
    /// `gitlab-jira status`.
    Status,
    /// `gitlab-jira doctor`: checks what everything else depends on.
    Doctor,
    /// `gitlab-jira explain KEY`.
    Explain {
        /// The issue key.
        key: String,
        /// The full path of a project that its work is in.
        #[serde(default)]
        project: Option<String>,
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

impl Command {
    /// Whether it may write what has secrets in it.
    pub(super) fn changes_connections_or_links(&self) -> bool {
        matches!(
            self,
            Self::SiteAdd { .. }
                | Self::SiteRemove { .. }
                | Self::SiteSwitch { .. }
                | Self::GroupLink(_)
                | Self::GroupUnlink { .. }
        )
    }
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
    /// Host name, clientKey or id of the Jira site.
    pub site: String,
    /// Full path or id of the GitLab group.
    pub group: String,
    /// Base URL of the GitLab; the configured one if missing.
    pub gitlab_url: Option<String>,
    /// A token of a Maintainer or Owner of the group.
    pub gitlab_token: Hidden,
    /// Whether the hook is made by hand.
    pub no_hook: bool,
    /// Only these Jira projects; any if empty.
    pub project_keys: Vec<String>,
    /// What is stored to read GitLab with.
    pub credential: CredentialChoice,
    /// Whether what happened before is brought to Jira, too.
    #[serde(default)]
    pub history: bool,
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
    /// Nothing: only payloads are used.
    None,
}

/// A secret that is serialized for the socket only, and never printed.
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

impl From<CredentialChoice> for linking::CredentialChoice {
    fn from(choice: CredentialChoice) -> Self {
        match choice {
            CredentialChoice::Auto => Self::Auto,
            CredentialChoice::Managed => Self::Managed,
            CredentialChoice::Read => Self::Read,
            CredentialChoice::Given => Self::Given,
            CredentialChoice::None => Self::None,
        }
    }
}
