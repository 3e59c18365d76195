//! `site switch`: making another connection the writing one. What that takes belongs to `shared::install::switch`.

use serde::{Deserialize, Serialize};
use shared::domain::{ConnectionKind, Site, SiteId};
use shared::install::switch::{Switch, SwitchError, SwitchNote, SwitchRequest};

use crate::operate::group::words;
use crate::operate::text::{clean, notes};
use crate::operate::{Operator, Refusal, wording};

/// What `site switch` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteSwitched {
    /// Our id of the site.
    pub site: SiteId,
    /// Its host name.
    pub host: String,
    /// The connection that writes now, as the command line names it.
    pub writes: String,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Operator {
    pub(in crate::operate) async fn site_switch(
        &self,
        site: &str,
        request: SwitchRequest,
    ) -> Result<SiteSwitched, Refusal> {
        let site = self.find_site(site).await?;
        let switch = Switch { linking: &self.linking };
        let report = switch.carry_out(&site, request).await;
        let report = report.map_err(|error| refusal(&error, &site, request.to))?;
        Ok(SiteSwitched {
            site: site.id,
            host: site.host().to_owned(),
            writes: request.to.name().to_owned(),
            notes: report.notes.iter().map(|note| words_of(note, &site)).collect(),
        })
    }
}

fn refusal(error: &SwitchError, site: &Site, to: ConnectionKind) -> Refusal {
    match error {
        SwitchError::NoConnection { known } => Refusal::new(missing(site, to, known)),
        SwitchError::Connection(error) => wording::of_connection(error, site),
        SwitchError::Jira(error) => wording::of_jira(error, site),
        SwitchError::Interrupted(error) => Refusal::new(format!(
            "{} Run `gitlab-jira site switch` again, with --keep-jira-data if the error stays; work that waits is not lost.",
            wording::of_jira(error, site)
        )),
        SwitchError::Removed => Refusal::new(format!(
            "The connection that was to write was removed meanwhile: install it again, and run `gitlab-jira site switch` again for {}.",
            site.host()
        )),
        SwitchError::Link(error) => words::error(error, site),
        SwitchError::Store(error) => Refusal::of_store(error),
        SwitchError::Queue(error) => Refusal::of_queue(error),
    }
}

fn missing(site: &Site, to: ConnectionKind, known: &[ConnectionKind]) -> String {
    let remedy = match to {
        ConnectionKind::Forge => "install the Forge app there with infra/forge/install.sh",
        ConnectionKind::OauthCredentials => "run `gitlab-jira site add`",
        ConnectionKind::Connect => "install the Connect app there",
    };
    let known: Vec<&str> = known.iter().map(|kind| kind.name()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{} has no connection {} (it has: {known}): {remedy} first.", site.host(), to.name())
}

fn words_of(note: &SwitchNote, site: &Site) -> String {
    match note {
        SwitchNote::JiraDataKept => {
            "What the previous connection had sent stays in Jira, as asked, until that connection is removed there."
                .to_owned()
        }
        SwitchNote::SentAgain => {
            "What was sent before is sent again: `gitlab-jira status` shows how far that is."
                .to_owned()
        }
        SwitchNote::BeforeNotOpened(error) => not_deleted(&error.to_string()),
        SwitchNote::BeforeRefused(error) => not_deleted(&error.to_string()),
        SwitchNote::GitlabNotCalled(error) => words::error(error, site).sentence,
        SwitchNote::SyncedData(note) => words::synced_data_note(note, site),
    }
}

fn not_deleted(cause: &str) -> String {
    format!(
        "What the previous connection had sent could not be deleted ({cause}): Jira deletes it when that app is uninstalled."
    )
}

impl SiteSwitched {
    pub(in crate::operate) fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{} of {} is the writing connection now.", self.writes, clean(&self.host))];
        lines.extend(notes(&self.notes));
        lines
    }
}
