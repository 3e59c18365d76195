//! The operator commands: what each is asked, does and answers. They run inside `serve`, reached through its socket, or alone
//! on the data directory; which of the two belongs to `control`.

mod command;
mod dlq;
mod doctor;
mod explain;
mod forge;
mod group;
mod history;
mod key;
mod next;
mod open;
mod site;
mod status;
mod text;
mod wording;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::clock::SharedClock;
use shared::install::switch::SwitchRequest;
use shared::linking::Linking;
use shared::queue::{QueueError, SharedQueue};
use shared::store::{Store, StoreError};
use shared::telemetry::with_causes;

use crate::forge_manifest::Setup;
use crate::page::PageSessions;

use next::Next;

pub use command::{Command, ConnectionName, CredentialChoice, GroupLink, Hidden};
pub use dlq::{DeadLetterSummary, DeadLetters, Redriven};
pub use doctor::{Check, Diagnosis, Finding};
pub use explain::{EntityOutcome, EntityResult, Explanation, SiteOutcomes};
pub use forge::ForgeManifest;
pub use group::{FailedProject, GroupLinked, GroupUnlinked, Groups, ProjectHooks, Renewed};
pub use history::{History, HistoryAction, HistorySummary};
pub use key::{KeyRotated, MasterKey};
pub use open::PageOpened;
pub use site::recheck::SiteRechecked;
pub use site::switch::SiteSwitched;
pub use site::{SiteAdded, SiteRemoved, Sites};
pub use status::Status;

/// What a table of sites says when there is none.
const NO_SITE: &str = "No site yet: install the app in Jira or run `gitlab-jira site add`.";

/// What commands need.
#[derive(Clone, Debug)]
pub struct Operator {
    /// State.
    pub store: Store,
    /// Secrets, connections to Jira, GitLab, and where hooks deliver to.
    pub linking: Linking,
    /// Queues by name.
    pub queues: BTreeMap<&'static str, SharedQueue>,
    /// The clock.
    pub clock: SharedClock,
    /// Where the app is served, as Jira knows it.
    pub base_url: String,
    /// Which sites may be added, by host; empty means any.
    pub allowed_jira_sites: Arc<[String]>,
    /// What the bundle knows of its Forge app.
    pub forge: Setup,
    /// The master key of a data directory. A stack's belongs to KMS.
    pub key: Option<Arc<MasterKey>>,
    /// The OAuth application of the GitLab of new links.
    pub application_id: Option<String>,
    /// Who may use the local page.
    pub page_sessions: Arc<PageSessions>,
}

/// A command that could not be carried out: what is wrong and what to do about it, in a sentence for the person who gave it.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// The sentence.
    pub sentence: String,
}

impl Refusal {
    fn new(sentence: impl Into<String>) -> Self {
        // It may quote an untrusted server, and is printed to a terminal.
        let sentence: String = sentence.into();
        Self { sentence: sentence.replace(char::is_control, " ") }
    }
}

impl Refusal {
    // With all causes: on a stack the last one says that a permission or a sign-in is missing.
    fn of_store(error: &StoreError) -> Self {
        Self::new(format!("The state can't be read or written: {}.", with_causes(error)))
    }

    fn of_queue(error: &QueueError) -> Self {
        Self::new(format!("The queue can't be read or written: {}.", with_causes(error)))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::of_store(&error)
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        Self::of_queue(&error)
    }
}

/// What a command answers; crosses the control socket as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", content = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// `site add`.
    SiteAdded(SiteAdded),
    /// `site list`.
    Sites(Sites),
    /// `site remove`.
    SiteRemoved(SiteRemoved),
    /// `site recheck`.
    SiteRechecked(SiteRechecked),
    /// `site switch`.
    SiteSwitched(SiteSwitched),
    /// `group link`.
    GroupLinked(Box<GroupLinked>),
    /// `group list`.
    Groups(Groups),
    /// `group unlink`.
    GroupUnlinked(GroupUnlinked),
    /// `history`.
    History(Box<History>),
    /// `open`.
    PageOpened(PageOpened),
    /// `forge manifest`.
    ForgeManifest(ForgeManifest),
    /// `key rotate`.
    KeyRotated(KeyRotated),
    /// `status`.
    Status(Status),
    /// `doctor`.
    Diagnosis(Diagnosis),
    /// `explain`.
    Explanation(Explanation),
    /// `dlq list`.
    DeadLetters(DeadLetters),
    /// `dlq redrive`.
    Redriven(Redriven),
}

impl Answer {
    /// What `--json` prints.
    #[must_use]
    pub fn json(&self) -> Value {
        // Every answer has a JSON form: maps with texts as keys, and nothing that can fail.
        serde_json::to_value(self).map(|mut answer| answer["answer"].take()).unwrap_or_default()
    }

    /// What a person reads at a terminal. `bundle` is what names the bundle on a command line, for the commands to give next.
    #[must_use]
    pub fn text(&self, bundle: &[String]) -> String {
        let mut lines = match self {
            Self::SiteAdded(answer) => answer.lines(),
            Self::Sites(answer) => answer.lines(),
            Self::SiteRemoved(answer) => answer.lines(),
            Self::SiteRechecked(answer) => answer.lines(),
            Self::SiteSwitched(answer) => answer.lines(),
            Self::GroupLinked(answer) => answer.lines(),
            Self::Groups(answer) => answer.lines(),
            Self::GroupUnlinked(answer) => answer.lines(),
            Self::History(answer) => answer.lines(),
            Self::PageOpened(answer) => answer.lines(),
            Self::ForgeManifest(answer) => answer.lines(),
            Self::KeyRotated(answer) => answer.lines(),
            Self::Status(answer) => answer.lines(),
            Self::Diagnosis(answer) => answer.lines(),
            Self::Explanation(answer) => answer.lines(),
            Self::DeadLetters(answer) => answer.lines(),
            Self::Redriven(answer) => answer.lines(),
        };
        lines.extend(self.next().iter().map(|next| next.line(bundle)));
        lines.join("\n")
    }

    fn next(&self) -> Vec<Next> {
        match self {
            Self::SiteAdded(answer) => answer.next(),
            Self::GroupLinked(answer) => answer.next(),
            Self::History(answer) => answer.next(),
            Self::Status(answer) => answer.next(),
            Self::DeadLetters(answer) => answer.next(),
            _ => Vec::new(),
        }
    }

    /// Whether a script may go on: `doctor` fails where a check does.
    #[must_use]
    pub fn is_success(&self) -> bool {
        !matches!(self, Self::Diagnosis(diagnosis) if !diagnosis.is_healthy())
    }
}

impl Operator {
    /// Carries out a command.
    ///
    /// # Errors
    /// [`Refusal`]: what is wrong, and what to do about it.
    pub async fn run(&self, command: Command) -> Result<Answer, Refusal> {
        let _no_rotation = match &self.key {
            Some(key) if command.changes_connections_or_links() => Some(key.commands.read().await),
            _ => None,
        };
        Ok(match command {
            Command::SiteAdd { site, client_id, client_secret } => {
                Answer::SiteAdded(self.site_add(&site, client_id, client_secret.0).await?)
            }
            Command::SiteList => Answer::Sites(self.site_list().await?),
            Command::SiteRemove { site } => Answer::SiteRemoved(self.site_remove(&site).await?),
            Command::SiteRecheck { site } => Answer::SiteRechecked(self.site_recheck(&site).await?),
            Command::SiteSwitch { site, to, keep_jira_data } => {
                let request = SwitchRequest { to: to.into(), keep_jira_data };
                Answer::SiteSwitched(self.site_switch(&site, request).await?)
            }
            Command::GroupLink(link) => Answer::GroupLinked(Box::new(self.group_link(link).await?)),
            Command::GroupList { site } => Answer::Groups(self.group_list(site.as_deref()).await?),
            Command::GroupUnlink { subscription, keep_jira_data, gitlab_token } => {
                let token = gitlab_token.map(|token| token.0);
                Answer::GroupUnlinked(self.group_unlink(&subscription, keep_jira_data, token).await?)
            }
            Command::History { link, action } => {
                Answer::History(Box::new(self.history(&link, action).await?))
            }
            Command::Open => Answer::PageOpened(self.open()?),
            Command::ForgeManifest { app_id, connect_key } => {
                Answer::ForgeManifest(self.forge_manifest(&app_id, connect_key.as_deref())?)
            }
            Command::KeyRotate => Answer::KeyRotated(self.key_rotate().await?),
            Command::Status => Answer::Status(self.status().await?),
            Command::Doctor => Answer::Diagnosis(self.doctor().await?),
            Command::Explain { key, project } => {
                Answer::Explanation(self.explain(&key, project.as_deref()).await?)
            }
            Command::DlqList { limit } => Answer::DeadLetters(self.dlq_list(limit).await?),
            Command::DlqRedrive { ids } => Answer::Redriven(self.dlq_redrive(&ids).await?),
        })
    }
}
