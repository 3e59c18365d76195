//! Bringing a link's history to Jira, and auditing whether all of it is there ([`audit`]): a plan is begun, paused and
//! ended here ([`control`]), done project by project and page by page (`project`), the projects being listed first
//! (`projects`), and never faster than GitLab allows (`pace`). How a page is read belongs to `sync::read`, how it
//! reaches Jira to `sync::apply`, and which message asks for what to the function `backfill`.
//!
//! What may happen at any moment, and why it does no harm:
//!
//! | what | why |
//! | --- | --- |
//! | a worker dies | its message is received again, and goes on at the page after the last one that was stored |
//! | a message is delivered twice, or two workers do the same page | the page is stored once; who is second finds a conflict, and stops |
//! | something changes while it is read | what changed more than a minute after the plan began is left to its event, and a version that was read is as new as its read |
//! | an event about what history has sent | it counts as news, so it starts what history must not: Smart Commits and workflow triggers |
//! | GitLab or Jira asks for a pause, or fails | the message waits; the page is read again |

pub mod audit;
pub mod control;
mod measure;
mod pace;
mod project;
mod projects;

use crate::clock::SharedClock;
use crate::domain::{
    HistoryFailure, HistoryPlan, HistorySlot, HistoryState, HoldReason, Subscription, SubscriptionId,
    SubscriptionState,
};
use crate::queue::SharedQueue;
use crate::queue::disposition::Disposition;
use crate::store::{Store, StoreError};
use crate::sync::read::{GitlabAccess, GitlabReader, ReadError};
use crate::sync::site_access::SiteAccess;

use std::time::Duration;
use ulid::Ulid;

pub use pace::PaceLimits;

/// How long a step waits for a link that is being made or removed.
const PENDING_LINK_BACKOFF: Duration = Duration::from_secs(30);

/// What history needs.
#[derive(Clone, Debug)]
pub struct History {
    /// State.
    pub store: Store,
    /// Opens Jira sites.
    pub sites: SiteAccess,
    /// Reads GitLab.
    pub gitlab: GitlabAccess,
    /// Where steps come from, and go to.
    pub queue: SharedQueue,
    /// How fast it may go.
    pub limits: PaceLimits,
    /// Tells the time.
    pub clock: SharedClock,
}

impl History {
    /// The link and its plan, as long as that is to be done; otherwise what becomes of a step.
    async fn running(
        &self,
        slot: HistorySlot,
        plan: Ulid,
    ) -> Result<Result<(Subscription, HistoryPlan), Disposition>, StoreError> {
        let superseded = |reason: &str| Disposition::Drop { reason: reason.to_owned() };
        let Some(link) = self.store.subscription(slot.link).await? else {
            return Ok(Err(superseded("The group is no longer linked.")));
        };
        let Some(plan) = self.store.history_plan(slot).await?.filter(|it| it.id == plan && it.is_running())
        else {
            return Ok(Err(superseded("The plan has ended, is paused, or was replaced.")));
        };
        if link.state == SubscriptionState::Pending {
            let (until, reason) =
                (self.clock.now().after(PENDING_LINK_BACKOFF), HoldReason::LinkChanging.to_string());
            return Ok(Err(Disposition::Wait { until, reason }));
        }
        Ok(Ok((link, plan)))
    }

    /// GitLab with the link's token; none when it has none that can be used, which ends the plan.
    async fn reader<'a>(
        &'a self,
        link: &'a Subscription,
        slot: HistorySlot,
    ) -> Result<Option<GitlabReader<'a>>, StoreError> {
        let reader = self.gitlab.reader(link).await?;
        if reader.is_none() {
            self.stop(slot, HistoryFailure::NoToken).await?;
        }
        Ok(reader)
    }

    async fn stop(&self, slot: HistorySlot, cause: HistoryFailure) -> Result<Disposition, StoreError> {
        let now = self.clock.now();
        let fail = |plan: &mut HistoryPlan| {
            if plan.is_running() {
                (plan.state, plan.ended_at) = (HistoryState::Failed(cause), Some(now));
            }
        };
        self.store.update_history(slot, fail).await?;
        tracing::warn!(subscription.id = %slot.link, kind = ?slot.kind, ?cause, "a link's history stopped");
        Ok(Disposition::Drop { reason: "The plan has stopped.".to_owned() })
    }

    /// What an error of GitLab means for a step; none when it is of one object or listing.
    async fn interrupted(
        &self,
        slot: HistorySlot,
        error: &ReadError,
    ) -> Result<Option<Disposition>, StoreError> {
        let wait = |until, reason: HoldReason| Some(Disposition::Wait { until, reason: reason.to_string() });
        Ok(match error {
            ReadError::RateLimited { until } => wait(*until, HoldReason::GitlabRateLimited),
            ReadError::Unavailable { until } => wait(*until, HoldReason::GitlabUnavailable),
            ReadError::TokenReplaced { until } => wait(*until, HoldReason::LinkChanging),
            ReadError::HookOnly if self.is_token_refused(slot.link).await? => {
                Some(self.stop(slot, HistoryFailure::TokenRefused).await?)
            }
            ReadError::HookOnly | ReadError::Gone | ReadError::Failed { .. } => None,
        })
    }

    async fn is_token_refused(&self, link: SubscriptionId) -> Result<bool, StoreError> {
        let link = self.store.subscription(link).await?;
        Ok(link.is_none_or(|link| link.attention == Some(crate::domain::LinkAttention::TokenRefused)))
    }
}
