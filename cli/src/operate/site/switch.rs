//! Letting another connection of a site write. Jira keeps what each connection sends apart, so what the one before had sent is removed
//! first, through that connection; else everything would stand there twice. Can be given again whenever it was cut off.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{ConnectionKind, Installation, Site, SiteCondition, SiteState};
use shared::jira::client::{JiraClient, JiraError};
use shared::jira::connections::ConnectionError;

use crate::operate::group::sent::Sent;
use crate::operate::{Operator, Refusal, trouble};

/// A call to Jira that is under way when the change begins ends within this time (`shared::outbound`); `sync` begins no
/// other.
const LAST_CALL: Duration = Duration::from_secs(35);

/// How often it is looked whether anything is still at work.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Operator {
    pub(in crate::operate) async fn site_switch(
        &self,
        site: &str,
        to: ConnectionKind,
        keep_jira_data: bool,
    ) -> Result<Value, Refusal> {
        let site = self.find_site(site).await?;
        let connections = self.store.installations(site.id).await?;
        let Some(next) = connections.iter().find(|connection| connection.connection.kind() == to) else {
            return Err(Refusal::new(missing(&site, to, &connections)));
        };
        let mut notes = Vec::new();
        if site.writer != Some(next.id) {
            let client = self
                .connections
                .open(&site, next)
                .await
                .map_err(|error| trouble::of_connection(&error, &site))?;
            client.check().await.map_err(|error| trouble::of_jira(&error, &site))?;
            let has_links = !self.store.subscriptions(site.id).await?.is_empty();
            let before = connections.iter().find(|connection| site.writer == Some(connection.id));
            let before = match before.filter(|_| has_links && !keep_jira_data) {
                Some(before) => self.connection_before(&site, before, &mut notes).await?,
                None => None,
            };
            self.begin_switch(&site, has_links).await?;
            self.wait_for_what_is_at_work().await?;
            if let Some(jira) = before {
                self.delete_synced_data(&site, &jira, &mut notes).await?;
            }
            if keep_jira_data {
                notes.push(
                    "What the connection before had sent stays in Jira, as asked, until that connection is closed there."
                        .to_owned(),
                );
            }
            if has_links {
                notes.push(
                    "What happens in GitLab from now on comes to Jira; what was sent before comes back with its next change."
                        .to_owned(),
                );
            }
        }
        self.end_switch(&site, next).await?;
        tracing::info!(site.id = %site.id, connection = to.name(), "another connection writes");
        Ok(json!({ "site": site.id, "host": site.host(), "writes": to.name(), "notes": notes }))
    }

    /// From here on nothing is sent until the change is over.
    async fn begin_switch(&self, site: &Site, has_links: bool) -> Result<(), Refusal> {
        let now = self.clock.now();
        let changed = self.store.update_site(site.id, |site| {
            site.state = SiteState { condition: SiteCondition::Switching, since: now };
            if has_links {
                site.needs_resync_since = Some(now);
            }
        });
        changed.await?;
        Ok(())
    }

    async fn end_switch(&self, site: &Site, next: &Installation) -> Result<(), Refusal> {
        if self.store.installation(site.id, next.id).await?.is_none() {
            return Err(Refusal::new(format!(
                "The connection that was to write was closed meanwhile: open it again, and run `gitlab-jira site switch` again for {}.",
                site.host()
            )));
        }
        let (id, now) = (next.id, self.clock.now());
        let changed = self.store.update_site(site.id, |site| {
            // Whatever else is wrong with the connection that writes already is not ours to call well.
            if site.writer != Some(id) || site.state.condition == SiteCondition::Switching {
                site.writer = Some(id);
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        });
        changed.await?;
        self.store.end_backoffs(site.id).await?;
        Ok(())
    }

    /// Jira through the connection before; `None`, with a note, when that connection does not open any more.
    async fn connection_before(
        &self,
        site: &Site,
        before: &Installation,
        notes: &mut Vec<String>,
    ) -> Result<Option<JiraClient>, Refusal> {
        let jira = match self.connections.open(site, before).await {
            Ok(jira) => jira,
            // What passes by itself must not leave everything in Jira for good.
            Err(error @ (ConnectionError::AwaitingToken | ConnectionError::Secret(_))) => {
                return Err(trouble::of_connection(&error, site));
            }
            Err(error @ (ConnectionError::Address(_) | ConnectionError::CloudId)) => {
                notes.push(stays(&error.to_string()));
                return Ok(None);
            }
        };
        match jira.check().await {
            Ok(()) => Ok(Some(jira)),
            Err(error @ (JiraError::Unauthorized | JiraError::Forbidden(_) | JiraError::NotFound)) => {
                notes.push(stays(&error.to_string()));
                Ok(None)
            }
            Err(error) => Err(again(&error, site)),
        }
    }

    /// Waits until no message is being worked on, or what was has had time to see the change.
    async fn wait_for_what_is_at_work(&self) -> Result<(), Refusal> {
        let given_up = self.clock.now().after(LAST_CALL);
        while self.clock.now() < given_up {
            self.clock.sleep(POLL_INTERVAL).await;
            let mut in_flight = 0;
            for queue in self.queues.values() {
                in_flight += queue.depth().await?.in_flight;
            }
            if in_flight == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Removes what came through a connection, through that connection; notes what can't be removed.
    async fn delete_synced_data(
        &self,
        site: &Site,
        jira: &JiraClient,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        for link in self.store.subscriptions(site.id).await? {
            let gitlab = self.gitlab_of(&link).await.unwrap_or_else(|refusal| {
                notes.push(refusal.sentence);
                None
            });
            let sent = Sent { operator: self, site, link: &link, gitlab: gitlab.as_ref() };
            self.delete_synced_data_of(&sent, jira, notes).await?;
        }
        Ok(())
    }

    async fn delete_synced_data_of(
        &self,
        sent: &Sent<'_>,
        jira: &JiraClient,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let projects = sent.projects(notes).await?;
        sent.remove(jira, &projects, notes).await.map_err(|error| again(&error, sent.site))
    }
}

fn missing(site: &Site, to: ConnectionKind, connections: &[Installation]) -> String {
    let known: Vec<&str> = connections.iter().map(|connection| connection.connection.kind().name()).collect();
    let remedy = match to {
        ConnectionKind::Forge => "install the Forge app there with infra/forge/install.sh",
        ConnectionKind::OauthCredentials => "run `gitlab-jira site add`",
        ConnectionKind::Connect => "install the Connect app there",
    };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{} has no connection called {}, but {known}: {remedy} first.", site.host(), to.name())
}

fn stays(cause: &str) -> String {
    format!(
        "What the connection before had sent could not be removed ({cause}): Jira removes it when that app is uninstalled."
    )
}

fn again(error: &JiraError, site: &Site) -> Refusal {
    let cause = trouble::of_jira(error, site).sentence;
    Refusal::new(format!(
        "{cause} Run `gitlab-jira site switch` again, with --keep-jira-data if that stays so; work that waits is not lost."
    ))
}
