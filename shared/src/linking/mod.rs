//! Links between GitLab groups and Jira sites: checked before anything is made ([`plan`]), made ([`link`]), renewed
//! ([`renew`]), removed ([`unlink`]); their hooks one by one ([`hooks`]), and those of many projects in steps
//! ([`steps`]); token and hooks looked after from time to time ([`upkeep`]). Requests, reports and errors are types;
//! each front end words its own texts. Which HTTP request or command asks for a link belongs to the front end; syncing
//! through it belongs to `sync`.

mod credential;
mod error;
pub mod hooks;
mod in_flight;
pub mod link;
pub mod plan;
pub mod renew;
pub mod steps;
pub mod synced_data;
pub mod unlink;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use error::{GitlabPurpose, Leftover, LinkError};

use crate::clock::SharedClock;
use crate::domain::{HistoryScope, HistorySlot, HistoryState, HookKind, Site, Subscription, SubscriptionId};
use crate::envelope::Envelope;
use crate::gitlab::client::{GitlabClient, GitlabError, GitlabHttp};
use crate::history::control::{HistoryControl, HistoryError, default_depth};
use crate::jira::client::JiraClient;
use crate::jira::connections::Connections;
use crate::outbound::HostGuard;
use crate::queue::SharedQueue;
use crate::store::Store;

/// The longest pause for a rate limit that is waited out within a request; a longer one is reported instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What linking needs.
#[derive(Clone, Debug)]
pub struct Linking {
    /// State.
    pub store: Store,
    /// Seals secrets and tokens.
    pub envelope: Arc<Envelope>,
    /// Connections to Jira.
    pub connections: Connections,
    /// HTTP clients for GitLab.
    pub gitlab: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// The queues whose messages may be in flight.
    pub queues: Vec<SharedQueue>,
    /// Where the steps of plans go.
    pub steps: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where hooks deliver to, without a trailing slash.
    pub webhook_base_url: String,
    /// The GitLab of links that name no other.
    pub gitlab_url: Url,
}

impl Linking {
    /// Where the hooks of a link deliver to.
    #[must_use]
    pub fn webhook_url(&self, link: SubscriptionId) -> String {
        self.hooks().url(link, None)
    }

    /// What begins, pauses and ends the history of links.
    #[must_use]
    pub fn history(&self) -> HistoryControl {
        HistoryControl { store: self.store.clone(), steps: self.steps.clone(), clock: self.clock.clone() }
    }

    /// Begins the history of a link that has none yet, and resumes one that stopped because of its token. `false`: there
    /// is nothing to begin, or it could not be begun; a link works without.
    pub async fn begin_history(&self, link: &Subscription) -> bool {
        let (history, now) = (self.history(), self.clock.now());
        let begun = match self.store.history_plan(HistorySlot::history(link.id)).await {
            Ok(None) => history.begin(link, HistoryScope::Missing, default_depth(now)).await,
            Ok(Some(plan)) if matches!(plan.state, HistoryState::Failed(_)) => history.resume(link.id).await,
            Ok(Some(_)) => return false,
            Err(error) => Err(error.into()),
        };
        match begun {
            Ok(_) => true,
            Err(HistoryError::NoToken) => false,
            Err(error) => {
                tracing::warn!(subscription.id = %link.id, %error, "a link's history could not be begun");
                false
            }
        }
    }

    /// Whether every hook of a link must sign its deliveries.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn is_signed(&self, link: &Subscription) -> Result<bool, LinkError> {
        if link.hook.kind != HookKind::Project {
            return Ok(link.hook.signed);
        }
        let mut hooks = self.store.project_hooks(link.id).await?;
        hooks.retain(|hook| hook.id.is_some());
        Ok(!hooks.is_empty() && hooks.iter().all(|hook| hook.signed))
    }

    /// Jira through the writing connection of `site`; `None` when it has none.
    ///
    /// # Errors
    /// When the connection can't be opened.
    pub async fn jira(&self, site: &Site) -> Result<Option<JiraClient>, LinkError> {
        let Some(writer) = site.writer else { return Ok(None) };
        let Some(installation) = self.store.installation(site.id, writer).await? else { return Ok(None) };
        Ok(Some(self.connections.open(site, &installation).await?))
    }

    /// GitLab through the stored token of a link; `None` when it has none.
    ///
    /// # Errors
    /// When the token can't be opened, or the instance must not be called.
    pub async fn gitlab_of(&self, link: &Subscription) -> Result<Option<GitlabClient>, LinkError> {
        self.hooks().gitlab_of(link).await
    }

    /// GitLab of a link through another token.
    ///
    /// # Errors
    /// When the instance must not be called.
    pub fn gitlab_with(&self, link: &Subscription, token: SecretString) -> Result<GitlabClient, LinkError> {
        self.hooks().gitlab_with(link, token)
    }

    /// Waits out a rate limit of GitLab that is short enough, and then says to try again.
    async fn waits_for(&self, error: &GitlabError) -> bool {
        match error {
            GitlabError::RateLimited { retry_after } if *retry_after <= LONGEST_PAUSE => {
                self.clock.sleep(*retry_after).await;
                true
            }
            _ => false,
        }
    }
}

/// What is stored to read GitLab with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialChoice {
    /// A group access token made for it where GitLab allows that, else the given token.
    #[default]
    Auto,
    /// A group access token made for it, which may repair hooks.
    Managed,
    /// A group access token made for it, which may only read.
    Read,
    /// The given token: for bots' and service accounts' tokens.
    Given,
    /// Nothing: only what hooks say is synced.
    None,
}
