//! A Jira site and the states that hold its work.

use serde::{Deserialize, Serialize};

use super::{InstallationId, SiteId};
use crate::clock::Timestamp;

/// A Jira site. It owns subscriptions, sync state and sequence numbers; connections come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Our id.
    pub id: SiteId,
    /// Where people and Connect apps find it, as the connection said; without a trailing slash. Atlassian's gateway as long as
    /// only a Forge installation is known, which does not say.
    pub base_url: String,
    /// Atlassian's id of the site; known once an authenticated call has proved it.
    pub cloud_id: Option<String>,
    /// The one installation that writes. Others stand by.
    pub writer: Option<InstallationId>,
    /// Whether work flows, and if not, why.
    pub state: SiteState,
    /// Base URLs of the GitLab instances linked so far, in that order: the first keeps plain ids, the others prefix theirs.
    #[serde(default)]
    pub instances: Vec<String>,
    /// Whether it takes pull requests with status `DRAFT`, which Atlassian's schema does not list.
    #[serde(default)]
    pub draft: Capability,
    /// Whether it takes reviewers with status `NEEDSWORK`, which Atlassian's schema does not list.
    #[serde(default)]
    pub needs_work: Capability,
    /// Project keys that Jira said it does not have, and of which nothing was ever accepted.
    #[serde(default)]
    pub suppressed_projects: Vec<String>,
    /// Project keys that Jira is known to have; bounded, see `sync`.
    #[serde(default)]
    pub known_projects: Vec<String>,
    /// Since when what is in Jira is less than what is in GitLab: another connection writes than the one that had sent it.
    #[serde(default)]
    pub needs_resync_since: Option<Timestamp>,
    /// When it was first seen.
    pub created_at: Timestamp,
}

impl Site {
    /// A site nobody has heard of yet.
    #[must_use]
    pub fn new(base_url: &str, now: Timestamp) -> Self {
        Self {
            id: SiteId::generate(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            cloud_id: None,
            writer: None,
            state: SiteState { condition: SiteCondition::Active, since: now },
            instances: Vec::new(),
            draft: Capability::Unknown,
            needs_work: Capability::Unknown,
            suppressed_projects: Vec::new(),
            known_projects: Vec::new(),
            needs_resync_since: None,
            created_at: now,
        }
    }

    /// The host name (and port, if it is not the default) that people call the site by.
    #[must_use]
    pub fn host(&self) -> &str {
        self.base_url.split_once("://").map_or(self.base_url.as_str(), |(_, rest)| rest)
    }

    /// The position of `instance` among the site's GitLab instances; `None` when it has not been linked.
    #[must_use]
    pub fn instance_index(&self, instance: &str) -> Option<usize> {
        self.instances.iter().position(|known| known == instance)
    }
}

/// Since when a site is in which condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteState {
    /// The condition.
    pub condition: SiteCondition,
    /// Since when.
    pub since: Timestamp,
}

/// Whether work flows to a site. Every condition but `Active` holds work; none drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteCondition {
    /// Work flows.
    Active,
    /// Jira refuses our credential.
    CredentialRejected,
    /// Jira knows the credential but not the permission.
    PermissionMissing,
    /// Jira redirects: the site has another name now.
    Renamed,
    /// Jira has been unavailable for long: the site is probably deactivated.
    Suspended,
    /// The connection that wrote was closed.
    Uninstalled,
    /// Forge has not brought a token for so long that the last one is over.
    AwaitingToken,
    /// Another connection is to write, and what the one before had sent is being deleted.
    Switching,
}

impl SiteCondition {
    /// What a person can do about it; `None` when nothing is wrong.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::CredentialRejected => Some(
                "Jira refuses the credential: create new OAuth credentials and run `gitlab-jira site add` again, or reinstall the app. A Forge app that is still installed gets a new token within the hour.",
            ),
            Self::PermissionMissing => Some(
                "Jira refuses this kind of data: give the OAuth credentials all five permissions, reinstall the Connect app with its present descriptor, or approve the Forge app's new version.",
            ),
            Self::Renamed => Some(
                "The Jira site has another name now: run `gitlab-jira site add` with the new host, or wait for Jira's `installed` event.",
            ),
            Self::Suspended => {
                Some("The Jira site does not answer: ask its administrator whether it is deactivated.")
            }
            Self::Uninstalled => Some(
                "The app that wrote was uninstalled: install it again, add OAuth credentials, or let another connection write with `gitlab-jira site switch`.",
            ),
            Self::AwaitingToken => Some(
                "Forge brings a token every hour and has not: ask the site's administrator whether the app is still installed, and look at its logs with `forge logs`. Work goes on with the next token.",
            ),
            Self::Switching => {
                Some("The change of connections did not end: run `gitlab-jira site switch` again.")
            }
        }
    }
}

/// Whether a site takes something that is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Not tried yet.
    #[default]
    Unknown,
    /// It was accepted.
    Accepted,
    /// It was refused; not tried again.
    Refused,
}
