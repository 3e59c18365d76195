//! Making another connection of a site the writing one. Jira keeps apart what each connection sends, so what the previous
//! one had sent is deleted first, through that connection; otherwise everything would be on the issues twice. A switch that
//! was interrupted can be done again.

use crate::domain::{ConnectionKind, Installation, Site, SiteCondition, SiteState};
use crate::jira::client::{JiraClient, JiraError};
use crate::jira::connections::ConnectionError;
use crate::linking::synced_data::{SyncedData, SyncedDataNote};
use crate::linking::{LinkError, Linking};
use crate::queue::QueueError;
use crate::store::StoreError;

/// Which connection is to write.
#[derive(Clone, Copy, Debug)]
pub struct SwitchRequest {
    /// The connection.
    pub to: ConnectionKind,
    /// Whether what the previous connection had sent stays at Jira.
    pub keep_jira_data: bool,
}

/// A switch that was made.
#[derive(Debug, Default)]
pub struct SwitchReport {
    /// What a person should know.
    pub notes: Vec<SwitchNote>,
}

/// What a person should know of a switch.
#[derive(Debug)]
pub enum SwitchNote {
    /// What the previous connection had sent stays at Jira, as asked.
    JiraDataKept,
    /// What was sent before is sent again, as history.
    SentAgain,
    /// The previous connection can't be opened, so what it had sent stays.
    BeforeNotOpened(ConnectionError),
    /// Jira refuses the previous connection, so what it had sent stays.
    BeforeRefused(JiraError),
    /// GitLab could not be asked for a link's projects.
    GitlabNotCalled(LinkError),
    /// Something of what was sent may stay.
    SyncedData(SyncedDataNote),
}

/// A switch that was not made, or did not end.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The site has no such connection.
    #[error("the site has no such connection")]
    NoConnection {
        /// Those it has.
        known: Vec<ConnectionKind>,
    },
    /// A connection can't be opened.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Jira refuses the connection that is to write; nothing was changed.
    #[error(transparent)]
    Jira(#[from] JiraError),
    /// What the previous connection had sent could not be deleted. Work waits until the switch is done again.
    #[error("what was sent could not be deleted")]
    Interrupted(#[source] JiraError),
    /// The connection that was to write was removed meanwhile.
    #[error("the connection was removed meanwhile")]
    Removed,
    /// A link's data could not be listed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The table can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A queue can't be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What a switch needs.
#[derive(Debug)]
pub struct Switch<'a> {
    /// State, connections and GitLab.
    pub linking: &'a Linking,
}

impl Switch<'_> {
    /// Makes the connection of kind `request.to` the writing one of `site`.
    ///
    /// # Errors
    /// [`SwitchError`].
    pub async fn carry_out(&self, site: &Site, request: SwitchRequest) -> Result<SwitchReport, SwitchError> {
        let installations = self.linking.store.installations(site.id).await?;
        let next = installations.iter().find(|installation| installation.connection.kind() == request.to);
        let next = next.ok_or_else(|| SwitchError::NoConnection {
            known: installations.iter().map(|installation| installation.connection.kind()).collect(),
        })?;
        let mut report = SwitchReport::default();
        if site.writer != Some(next.id) {
            let before = installations.iter().find(|installation| site.writer == Some(installation.id));
            self.switch(site, before, next, request, &mut report).await?;
        }
        self.end(site, next).await?;
        tracing::info!(site.id = %site.id, connection = request.to.name(), "switched the writing connection");
        Ok(report)
    }

    async fn switch(
        &self,
        site: &Site,
        before: Option<&Installation>,
        next: &Installation,
        request: SwitchRequest,
        report: &mut SwitchReport,
    ) -> Result<(), SwitchError> {
        self.linking.connections.open(site, next).await?.check().await?;
        let has_links = !self.linking.store.subscriptions(site.id).await?.is_empty();
        let before = match before.filter(|_| has_links && !request.keep_jira_data) {
            Some(before) => self.open_before(site, before, report).await?,
            None => None,
        };
        self.begin(site, has_links && !request.keep_jira_data).await?;
        self.linking.wait_for_messages_in_flight(None).await?;
        if let Some(jira) = before {
            self.delete_synced_data(site, &jira, report).await?;
        }
        if request.keep_jira_data {
            report.notes.push(SwitchNote::JiraDataKept);
        }
        if has_links && !request.keep_jira_data {
            report.notes.push(SwitchNote::SentAgain);
        }
        Ok(())
    }

    /// From here on nothing is sent until the switch ends.
    async fn begin(&self, site: &Site, is_deleted: bool) -> Result<(), StoreError> {
        let now = self.linking.clock.now();
        let begin = |site: &mut Site| {
            site.state = SiteState { condition: SiteCondition::Switching, since: now };
            if is_deleted {
                site.needs_resync_since = Some(now);
            }
        };
        self.linking.store.update_site(site.id, begin).await.map(drop)
    }

    async fn end(&self, site: &Site, next: &Installation) -> Result<(), SwitchError> {
        let store = &self.linking.store;
        if store.installation(site.id, next.id).await?.is_none() {
            return Err(SwitchError::Removed);
        }
        let (id, now) = (next.id, self.linking.clock.now());
        let end = |site: &mut Site| {
            // A connection that writes already keeps its condition, whatever that is.
            if site.writer != Some(id) || site.state.condition == SiteCondition::Switching {
                site.writer = Some(id);
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        };
        let ended = store.update_site(site.id, end).await?;
        store.end_backoffs(site.id).await?;
        if let Some(site) = ended
            && let Err(error) = self.linking.history().resync_site(&site).await
        {
            // `housekeeping` tries again.
            tracing::warn!(site.id = %site.id, %error, "what was sent before could not be put on the queue");
        }
        Ok(())
    }

    /// Jira through the previous connection; `None`, with a note, when it can't be used any more.
    async fn open_before(
        &self,
        site: &Site,
        before: &Installation,
        report: &mut SwitchReport,
    ) -> Result<Option<JiraClient>, SwitchError> {
        let jira = match self.linking.connections.open(site, before).await {
            Ok(jira) => jira,
            // What passes by itself must not leave everything in Jira for good.
            Err(error @ (ConnectionError::AwaitingToken | ConnectionError::Secret(_))) => {
                return Err(error.into());
            }
            Err(error @ (ConnectionError::Address(_) | ConnectionError::CloudId)) => {
                report.notes.push(SwitchNote::BeforeNotOpened(error));
                return Ok(None);
            }
        };
        match jira.check().await {
            Ok(()) => Ok(Some(jira)),
            Err(error @ (JiraError::Unauthorized | JiraError::Forbidden(_) | JiraError::NotFound)) => {
                report.notes.push(SwitchNote::BeforeRefused(error));
                Ok(None)
            }
            Err(error) => Err(SwitchError::Interrupted(error)),
        }
    }

    /// Deletes what came through a connection, through that connection; notes what can't be deleted.
    async fn delete_synced_data(
        &self,
        site: &Site,
        jira: &JiraClient,
        report: &mut SwitchReport,
    ) -> Result<(), SwitchError> {
        for link in self.linking.store.subscriptions(site.id).await? {
            let gitlab = self.linking.gitlab_of(&link).await.unwrap_or_else(|error| {
                report.notes.push(SwitchNote::GitlabNotCalled(error));
                None
            });
            let data = SyncedData { linking: self.linking, site, link: &link, gitlab: gitlab.as_ref() };
            let mut notes = Vec::new();
            let projects = data.projects(&mut notes).await?;
            let deleted = data.delete(jira, &projects, &mut notes).await;
            report.notes.extend(notes.into_iter().map(SwitchNote::SyncedData));
            deleted.map_err(SwitchError::Interrupted)?;
        }
        Ok(())
    }
}
