//! A Jira site and the states that hold its work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{InstallationId, SiteId};
use crate::clock::Timestamp;

/// How long a project key is not sent that Jira does not know. The project may be created any day; look-alikes such as
/// `UTF-8` cost a call a day each.
const SUPPRESSION: Duration = Duration::from_secs(24 * 3600);

/// Project keys that are suppressed of a site at once; beyond it, look-alikes are sent as they are.
const MAX_SUPPRESSED: usize = 1_000;

/// A Jira site. It owns subscriptions, sync state and sequence numbers; its connections change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Our id.
    pub id: SiteId,
    /// Where people and Connect apps reach it; without a trailing slash. Atlassian's gateway as long as only a Forge
    /// installation is known, which does not say.
    pub base_url: String,
    /// Atlassian's id of the site; known once an authenticated call has proved it.
    pub cloud_id: Option<String>,
    /// The one installation that writes; the others are standbys.
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
    /// Project keys that Jira said it does not have, and of which nothing was ever accepted, with the time until which they
    /// are not sent.
    #[serde(default, rename = "suppressed_until")]
    pub suppressed_projects: BTreeMap<String, Timestamp>,
    /// Project keys that Jira is known to have; bounded, see `sync`.
    #[serde(default)]
    pub known_projects: Vec<String>,
    /// The OAuth applications that its administrators sign in to GitLab with, by base URL of the instance. Of the site,
    /// because another site's administrators must not choose them.
    #[serde(default)]
    pub oauth_applications: BTreeMap<String, String>,
    /// Since when Jira has less than GitLab: another connection writes than the one that had sent it.
    #[serde(default)]
    pub needs_resync_since: Option<Timestamp>,
    /// When it was first seen.
    pub created_at: Timestamp,
}

impl Site {
    /// A new site.
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
            suppressed_projects: BTreeMap::new(),
            known_projects: Vec::new(),
            oauth_applications: BTreeMap::new(),
            needs_resync_since: None,
            created_at: now,
        }
    }

    /// The project keys that are not sent at `now`.
    #[must_use]
    pub fn suppressed_projects(&self, now: Timestamp) -> Vec<String> {
        let suppressed = self.suppressed_projects.iter().filter(|(_, until)| **until > now);
        suppressed.map(|(project, _)| project.clone()).collect()
    }

    /// Notes that Jira has no project with this key at `now`.
    pub fn suppress_project(&mut self, project: &str, now: Timestamp) {
        self.suppressed_projects.retain(|_, until| *until > now);
        if self.suppressed_projects.len() < MAX_SUPPRESSED {
            self.suppressed_projects.insert(project.to_owned(), now.after(SUPPRESSION));
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
    /// The writing connection was removed.
    Uninstalled,
    /// Forge has delivered no token for so long that the last one has expired.
    AwaitingToken,
    /// Another connection becomes the writing one, and what the previous one had sent is being deleted.
    Switching,
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
