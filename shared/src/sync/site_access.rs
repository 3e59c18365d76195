//! Access to a link's Jira site: its writing connection, or what the work waits for. Where a message waits, how it waits
//! belongs to its queue.

use std::time::Duration;

use crate::clock::{SharedClock, Timestamp};
use crate::domain::{ConnectionKind, HoldReason, Installation, Site, SiteCondition, SiteId};
use crate::jira::client::JiraClient;
use crate::jira::connections::{ConnectionError, Connections};
use crate::queue::disposition::Disposition;
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::{Store, StoreError};

/// How long work waits before it checks again whether Forge has delivered a new token. That may happen at any time, and a
/// message that waits on SQS can't be woken; the work has to go on within ten seconds, of which the batch takes two. Every
/// message checks by itself, not one for all: the others could not be received before their time. What it costs is in
/// docs/COSTS.md.
const TOKEN_WAIT: Duration = Duration::from_secs(7);

/// A gap of more than a day is no longer Forge's delay but an app that is gone or calls that don't arrive. From then on the
/// next check comes after this part of the gap, so that abandoned work costs the same every day, however much it grows.
const PART_OF_GAP: u32 = 10_000;

/// Work without a connection waits for a person. It is checked again after this part of the time that it has waited
/// already, between these bounds: soon where somebody acts at once, and seldom where nobody does.
const PART_OF_PAUSE: u32 = 100;
const SHORTEST_WAIT: Duration = TOKEN_WAIT;
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// Opens Jira sites.
#[derive(Clone, Debug)]
pub struct SiteAccess {
    /// Sites, installations and backoffs.
    pub store: Store,
    /// Connections to Jira.
    pub connections: Connections,
    /// Tells the time.
    pub clock: SharedClock,
}

/// A site that can be written to.
#[derive(Debug)]
pub struct OpenSite {
    /// The site.
    pub site: Site,
    /// Jira through its writing connection.
    pub client: JiraClient,
    kind: ConnectionKind,
}

impl SiteAccess {
    /// The site, or what becomes of the work for it.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn open(&self, id: SiteId) -> Result<Result<OpenSite, Disposition>, StoreError> {
        let Some(site) = self.store.site(id).await? else {
            return Ok(Err(Disposition::Drop { reason: "The Jira site was removed.".to_owned() }));
        };
        // Looked at before anything is read: a site that backs off for days must not cost GitLab a call.
        let backoff = self.store.backoff(&BackoffScope::Site(site.id)).await?;
        let backoff = backoff.filter(|backoff| backoff.until > self.clock.now());
        let installation = match site.writer {
            Some(writer) => self.store.installation(site.id, writer).await?,
            None => None,
        };
        let kind = installation.as_ref().map(|installation| installation.connection.kind());
        if let Some(Backoff { until, reason, .. }) = backoff {
            let mut held = Disposition::Wait { until, reason: reason.to_string() };
            cap_wait_for_token(&mut held, kind, self.clock.now());
            return Ok(Err(held));
        }
        Ok(match (self.writing_connection(&site, installation).await?, kind) {
            (Ok(client), Some(kind)) => Ok(OpenSite { site, client, kind }),
            (Err(disposition), _) => Err(disposition),
            (Ok(_), None) => {
                Err(Disposition::Retry { reason: "The Jira site has no connection.".to_owned() })
            }
        })
    }

    /// A client of the site's writing connection, or what its messages wait for.
    async fn writing_connection(
        &self,
        site: &Site,
        installation: Option<Installation>,
    ) -> Result<Result<JiraClient, Disposition>, StoreError> {
        let now = self.clock.now();
        let wait = |wait: Duration, reason: String| Disposition::Wait { until: now.after(wait), reason };
        let condition = site.state.condition;
        let pause_of = |condition, part| pause(site, condition, part, now);
        if condition == SiteCondition::Switching {
            return Ok(Err(wait(
                pause_of(condition, PART_OF_PAUSE),
                "The site's writing connection is being switched.".to_owned(),
            )));
        }
        let Some(installation) = installation else {
            self.store.set_condition(site, SiteCondition::Uninstalled).await?;
            return Ok(Err(wait(
                pause_of(SiteCondition::Uninstalled, PART_OF_PAUSE),
                "The Jira site has no connection.".to_owned(),
            )));
        };
        match self.connections.open(site, &installation).await {
            Ok(client) => Ok(Ok(client)),
            Err(error) => {
                let pause = if matches!(error, ConnectionError::AwaitingToken) {
                    self.store.set_condition(site, SiteCondition::AwaitingToken).await?;
                    pause_of(SiteCondition::AwaitingToken, PART_OF_GAP)
                } else {
                    LONGEST_WAIT
                };
                Ok(Err(wait(pause, format!("{error}."))))
            }
        }
    }
}

impl OpenSite {
    /// Where Jira refuses a token of Forge, work waits a few seconds at most: the next token ends the backoff, however
    /// long that is.
    pub fn cap_wait_for_token(&self, held: &mut Disposition, now: Timestamp) {
        cap_wait_for_token(held, Some(self.kind), now);
    }
}

fn cap_wait_for_token(held: &mut Disposition, writes: Option<ConnectionKind>, now: Timestamp) {
    if let Disposition::Wait { until, reason } = held
        && writes == Some(ConnectionKind::Forge)
        && *reason == HoldReason::CredentialRejected.to_string()
    {
        *until = (*until).min(now.after(TOKEN_WAIT));
    }
}

/// How long work waits for the site to leave `condition` before it is checked again.
fn pause(site: &Site, condition: SiteCondition, part: u32, now: Timestamp) -> Duration {
    let is_new = site.state.condition != condition;
    let waited = if is_new { Duration::ZERO } else { now.since(site.state.since) };
    (waited / part).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FF1: within a day, every check comes in time for the ten seconds, and what costs more every day is checked less
    /// often.
    #[test]
    fn ff1_work_that_waits_for_a_token_is_checked_in_time() {
        let noon = Timestamp(1_767_607_200_000);
        let mut site = Site::new("https://acme.atlassian.net", noon);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let seconds =
            |site: &Site, condition, part, waited| pause(site, condition, part, noon.after(waited)).as_secs();
        // Not noted yet, on a site that has been healthy for a year.
        assert_eq!(seconds(&site, SiteCondition::AwaitingToken, PART_OF_GAP, hours(8_760)), 7);
        site.state.condition = SiteCondition::AwaitingToken;
        let gap = |waited| seconds(&site, SiteCondition::AwaitingToken, PART_OF_GAP, waited);
        assert_eq!([gap(hours(0)), gap(hours(4)), gap(hours(19)), gap(hours(24))], [7, 7, 7, 8]);
        assert_eq!([gap(hours(72)), gap(hours(14 * 24))], [25, 120]);
        site.state.condition = SiteCondition::Uninstalled;
        let uninstalled = |waited| seconds(&site, SiteCondition::Uninstalled, PART_OF_PAUSE, waited);
        assert_eq!([uninstalled(hours(0)), uninstalled(hours(1)), uninstalled(hours(48))], [7, 36, 900]);
    }
}
