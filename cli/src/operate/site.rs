//! `site`: adding OAuth credentials, listing and removing sites, and switching their writing connection ([`switch`]).
//! How apps are installed belongs to `shared::install`.

mod add;
pub(super) mod recheck;
pub(super) mod switch;

pub use add::SiteAdded;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::{
    Capability, Connection, ConnectionKind, Installation, InstallationId, Site, SiteCondition, SiteId,
};

use super::text::{clean, day, notes, table};
use super::wording::{condition_name, site_remedy};
use super::{NO_SITE, Operator, Refusal};

/// What `site list` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sites {
    /// Every site.
    pub sites: Vec<SiteSummary>,
}

/// A site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteSummary {
    /// Our id.
    pub id: SiteId,
    /// Its host name.
    pub host: String,
    /// Its origin.
    pub base_url: String,
    /// Atlassian's id of it, once proved.
    pub cloud_id: Option<String>,
    /// Whether work flows to it.
    pub condition: SiteCondition,
    /// Since when, in ISO 8601.
    pub since: String,
    /// What to do if not.
    pub remedy: Option<String>,
    /// Its connections.
    pub connections: Vec<ConnectionSummary>,
    /// Whether it takes pull requests with status `DRAFT`.
    pub draft: Capability,
    /// Whether it takes reviewers with status `NEEDSWORK`.
    pub needs_work: Capability,
    /// Project keys that Jira answered it does not have, and until when they are not sent, in ISO 8601.
    pub suppressed_projects: BTreeMap<String, String>,
    /// Since when Jira has less than GitLab, in ISO 8601.
    pub needs_resync_since: Option<String>,
    /// How many groups are linked to it.
    pub subscriptions: usize,
}

/// A connection of a site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionSummary {
    /// The installation.
    pub installation: InstallationId,
    /// Its kind.
    pub kind: ConnectionKind,
    /// Whether it is the writing one.
    pub writes: bool,
    /// What it lacks to be able to write.
    pub needs: Option<String>,
    /// When it was made or renewed, in ISO 8601.
    pub installed_at: String,
}

/// What `site remove` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteRemoved {
    /// Our id of the site.
    pub site: SiteId,
    /// Its host name.
    pub host: String,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Operator {
    pub(super) async fn site_list(&self) -> Result<Sites, Refusal> {
        let mut sites = Vec::new();
        for site in self.store.sites().await? {
            let connections = self.store.installations(site.id).await?;
            let subscriptions = self.store.subscriptions(site.id).await?.len();
            sites.push(self.summary(site, &connections, subscriptions));
        }
        Ok(Sites { sites })
    }

    fn summary(&self, site: Site, installations: &[Installation], subscriptions: usize) -> SiteSummary {
        let now = self.clock.now();
        let suppressed = site.suppressed_projects.iter().filter(|(_, until)| **until > now);
        let suppressed = suppressed.map(|(project, until)| (project.clone(), until.iso8601())).collect();
        let connections = installations.iter().map(|installation| ConnectionSummary {
            installation: installation.id,
            kind: installation.connection.kind(),
            writes: site.writer == Some(installation.id),
            needs: needs(installation, now).map(str::to_owned),
            installed_at: installation.installed_at.iso8601(),
        });
        SiteSummary {
            id: site.id,
            host: site.host().to_owned(),
            condition: site.state.condition,
            since: site.state.since.iso8601(),
            remedy: site_remedy(&site),
            connections: connections.collect(),
            draft: site.draft,
            needs_work: site.needs_work,
            needs_resync_since: site.needs_resync_since.map(Timestamp::iso8601),
            subscriptions,
            base_url: site.base_url,
            cloud_id: site.cloud_id,
            suppressed_projects: suppressed,
        }
    }

    pub(super) async fn site_remove(&self, site: &str) -> Result<SiteRemoved, Refusal> {
        let site = self.find_site(site).await?;
        let links = self.store.subscriptions(site.id).await?;
        if !links.is_empty() {
            let names: Vec<_> =
                links.iter().map(|link| format!("{} ({})", link.id, link.group_path)).collect();
            return Err(Refusal::new(format!(
                "{} still has links: run `gitlab-jira group unlink` for {} first.",
                site.host(),
                names.join(", ")
            )));
        }
        let connections = self.store.installations(site.id).await?;
        let has_app = connections
            .iter()
            .any(|connection| connection.connection.kind() != ConnectionKind::OauthCredentials);
        self.store.end_backoffs(site.id).await?;
        self.store.delete_site(&site).await?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "site removed");
        let note = if has_app {
            "The app is still installed in Jira: uninstall it there, or it is added again with its next event."
        } else {
            "The OAuth credentials still exist in Jira: delete them there."
        };
        Ok(SiteRemoved { site: site.id, host: site.host().to_owned(), notes: vec![note.to_owned()] })
    }

    /// The one site that `name` means: a host name, a clientKey or one of our ids.
    pub(super) async fn find_site(&self, name: &str) -> Result<Site, Refusal> {
        let name = name.trim();
        let host = name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/');
        let mut found = self.store.sites().await?;
        found.retain(|site| site.host().eq_ignore_ascii_case(host));
        if found.len() > 1 {
            let ids: Vec<_> = found.iter().map(|site| site.id.to_string()).collect();
            let ids = ids.join(", ");
            return Err(Refusal::new(format!("Several sites are called {host}: name one by its id, {ids}.")));
        }
        if let Some(site) = found.pop() {
            return Ok(site);
        }
        if let Ok(id) = name.parse::<SiteId>()
            && let Some(site) = self.store.site(id).await?
        {
            return Ok(site);
        }
        if let Some(pointer) = self.store.client_key_pointer(name).await?
            && let Some(site) = self.store.site(pointer.site).await?
        {
            return Ok(site);
        }
        // What was typed may be a clientKey, so it is not repeated.
        Err(Refusal::new(
            "No site has this host name, clientKey or id: run `gitlab-jira site list` to see which there are.",
        ))
    }
}

/// What a connection lacks to be able to write; `None` when nothing is known to be missing.
fn needs(installation: &Installation, now: Timestamp) -> Option<&'static str> {
    match &installation.connection {
        Connection::Forge { token: Some(token), .. } if token.usable_until > now => None,
        Connection::Forge { .. } => Some("a token, which Forge delivers every hour"),
        Connection::Connect { .. } | Connection::OauthCredentials { .. } => None,
    }
}

impl Sites {
    pub(super) fn lines(&self) -> Vec<String> {
        if self.sites.is_empty() {
            return vec![NO_SITE.to_owned()];
        }
        let mut lines = table(
            ["SITE", "ID", "CONDITION", "SINCE", "CONNECTIONS", "LINKS"],
            self.sites.iter().map(|site| {
                let connections: Vec<String> =
                    site.connections.iter().map(ConnectionSummary::words).collect();
                [
                    clean(&site.host),
                    clean(site.id),
                    condition_name(site.condition),
                    day(&site.since),
                    if connections.is_empty() { "none".to_owned() } else { connections.join(", ") },
                    clean(site.subscriptions),
                ]
            }),
        );
        for site in &self.sites {
            let host = clean(&site.host);
            lines.extend(site.remedy.iter().map(|remedy| format!("{host}: {}", clean(remedy))));
            lines.extend(site.needs_resync_since.iter().map(|since| {
                format!(
                    "{host}: another connection has been writing since {}; what was sent before is sent again or, where a link has no token, with its next change in GitLab.",
                    day(since)
                )
            }));
            let needs = site.connections.iter().filter_map(|it| Some((it.kind, it.needs.as_ref()?)));
            lines.extend(needs.map(|(kind, needs)| {
                format!("{host}: the connection {} needs {}.", kind.name(), clean(needs))
            }));
        }
        lines
    }
}

impl ConnectionSummary {
    fn words(&self) -> String {
        let standby = if self.writes { "" } else { " (standby)" };
        format!("{}{standby}", self.kind.name())
    }
}

impl SiteRemoved {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} is removed.", clean(&self.host))];
        lines.extend(notes(&self.notes));
        lines
    }
}
