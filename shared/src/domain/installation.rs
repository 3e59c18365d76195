//! One connection's credential on a site.

use serde::{Deserialize, Serialize};

use super::{InstallationId, SiteId};
use crate::clock::Timestamp;
use crate::envelope::Sealed;

/// One connection of a Jira site, with its credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Installation {
    /// Our id.
    pub id: InstallationId,
    /// The site it opens.
    pub site: SiteId,
    /// Which connection, and what that connection needs.
    pub connection: Connection,
    /// When it was made or last renewed.
    pub installed_at: Timestamp,
}

/// The credential of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Connection {
    /// A Connect app: tokens signed with a secret that both sides hold.
    Connect {
        /// Jira's name of the tenant. Never in a URL or a log.
        client_key: String,
        /// The HS256 secret.
        shared_secret: Sealed,
        /// Where people see the site, if it has a domain of its own. Never called.
        #[serde(default)]
        display_url: Option<String>,
    },
    /// OAuth credentials that a site administrator made for a self-hosted tool.
    OauthCredentials {
        /// The client id.
        client_id: String,
        /// The client secret.
        client_secret: Sealed,
    },
    /// A Forge app, which Forge brings a token for every hour.
    Forge {
        /// Forge's id of the installation.
        installation_id: String,
        /// The version of the app that is installed, if Forge says.
        #[serde(default)]
        app_version: Option<String>,
        /// The newest token; `None` until the first has come.
        #[serde(default)]
        token: Option<SystemToken>,
    },
}

/// A token of a Forge app, which can't be asked for: it comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SystemToken {
    /// The token.
    pub token: Sealed,
    /// When Forge sent it, by Forge's clock.
    pub sent_at: Timestamp,
    /// From when on it is not used any more, a while before it ends.
    pub usable_until: Timestamp,
    /// Whether it came with a call of the app's page, and not with one that Forge makes by itself.
    #[serde(default)]
    pub of_page: bool,
    /// When the last one was sent that Jira refused.
    #[serde(default)]
    pub refused_sent_at: Option<Timestamp>,
}

/// The kinds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    /// [`Connection::Connect`].
    Connect,
    /// [`Connection::OauthCredentials`].
    OauthCredentials,
    /// [`Connection::Forge`].
    Forge,
}

impl ConnectionKind {
    /// What a person calls it, also on the command line, and what metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::OauthCredentials => "oauth",
            Self::Forge => "forge",
        }
    }
}

impl Connection {
    /// Which kind of connection this is.
    #[must_use]
    pub fn kind(&self) -> ConnectionKind {
        match self {
            Self::Connect { .. } => ConnectionKind::Connect,
            Self::OauthCredentials { .. } => ConnectionKind::OauthCredentials,
            Self::Forge { .. } => ConnectionKind::Forge,
        }
    }
}
