//! Letting another door of a site write. Jira keeps what each door sends apart, so what the one before had sent is removed
//! first, through that door; else everything would stand there twice. Can be given again whenever it was cut off.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{DoorKind, Installation, Site, SiteCondition, SiteState};
use shared::jira::client::{JiraClient, JiraError};

use crate::operate::group::sent::Sent;
use crate::operate::{Operator, Refusal, trouble};

/// What is at work on a batch when the change begins may still send through the door before. A batch takes seconds.
const LAST_CALLS: Duration = Duration::from_secs(10);

impl Operator {
    pub(in crate::operate) async fn site_switch(
        &self,
        site: &str,
        to: DoorKind,
        keep_jira_data: bool,
    ) -> Result<Value, Refusal> {
        let site = self.find_site(site).await?;
        let doors = self.store.installations(site.id).await?;
        let Some(next) = doors.iter().find(|door| door.door.kind() == to) else {
            return Err(Refusal::new(missing(&site, to, &doors)));
        };
        let mut notes = Vec::new();
        if site.writer != Some(next.id) {
            let client =
                self.doors.open(&site, next).await.map_err(|error| trouble::of_door(&error, &site))?;
            client.check().await.map_err(|error| trouble::of_jira(&error, &site))?;
            let has_links = !self.store.subscriptions(site.id).await?.is_empty();
            self.begin_switch(&site, has_links).await?;
            let before = doors.iter().find(|door| site.writer == Some(door.id));
            match before {
                Some(before) if has_links && !keep_jira_data => {
                    self.clock.sleep(LAST_CALLS).await;
                    notes.extend(self.take_back(&site, before).await?);
                }
                Some(_) if keep_jira_data => notes.push(
                    "What the door before had sent stays in Jira, as asked, until that door is closed there."
                        .to_owned(),
                ),
                _ => {}
            }
            if has_links {
                notes.push(
                    "What happens in GitLab from now on comes to Jira; what was sent before comes back with its next change."
                        .to_owned(),
                );
            }
        }
        self.end_switch(&site, next).await?;
        tracing::info!(site.id = %site.id, door = to.name(), "another door writes");
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
        let (id, now) = (next.id, self.clock.now());
        let changed = self.store.update_site(site.id, |site| {
            // Whatever else is wrong with the door that writes already is not ours to call well.
            if site.writer != Some(id) || site.state.condition == SiteCondition::Switching {
                site.writer = Some(id);
                site.state = SiteState { condition: SiteCondition::Active, since: now };
            }
        });
        changed.await?;
        self.store.end_rests(site.id).await?;
        Ok(())
    }

    /// Removes what came through a door, through that door; notes what can't be removed.
    async fn take_back(&self, site: &Site, before: &Installation) -> Result<Vec<String>, Refusal> {
        let jira = match self.doors.open(site, before).await {
            Ok(jira) => jira,
            Err(error) => return Ok(vec![stays(&error.to_string())]),
        };
        match jira.check().await {
            Ok(()) => {}
            Err(error @ (JiraError::Unauthorized | JiraError::Forbidden(_) | JiraError::NotFound)) => {
                return Ok(vec![stays(&error.to_string())]);
            }
            Err(error) => return Err(again(&error, site)),
        }
        let mut notes = Vec::new();
        for link in self.store.subscriptions(site.id).await? {
            let gitlab = self.gitlab_of(&link).await.unwrap_or_else(|refusal| {
                notes.push(refusal.sentence);
                None
            });
            let sent = Sent { operator: self, site, link: &link, gitlab: gitlab.as_ref() };
            self.take_back_link(&sent, &jira, &mut notes).await?;
        }
        Ok(notes)
    }

    async fn take_back_link(
        &self,
        sent: &Sent<'_>,
        jira: &JiraClient,
        notes: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let projects = sent.projects(notes).await?;
        sent.remove(jira, &projects, notes).await.map_err(|error| again(&error, sent.site))
    }
}

fn missing(site: &Site, to: DoorKind, doors: &[Installation]) -> String {
    let known: Vec<&str> = doors.iter().map(|door| door.door.kind().name()).collect();
    let remedy = match to {
        DoorKind::Forge => "install the Forge app there with infra/forge/install.sh",
        DoorKind::OauthCredentials => "run `bridge site add`",
        DoorKind::Connect => "install the Connect app there",
    };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{} has no door called {}, but {known}: {remedy} first.", site.host(), to.name())
}

fn stays(cause: &str) -> String {
    format!(
        "What the door before had sent could not be removed ({cause}): Jira removes it when that app is uninstalled."
    )
}

fn again(error: &JiraError, site: &Site) -> Refusal {
    let cause = trouble::of_jira(error, site).sentence;
    Refusal::new(format!(
        "{cause} Run `bridge site switch` again; until then nothing is sent and nothing is lost."
    ))
}
