//! When calls to a site or to one of its APIs pause, for how long, and what a failed call means for those to come.

use std::time::Duration;

use super::call::ServerError;
use super::{SubmitOutcome, Submitted, Submitter};
use crate::domain::{Api, HoldReason, SiteCondition};
use crate::jira::answer::RateLimitReason;
use crate::jira::client::JiraError;
use crate::store::StoreError;
use crate::store::backoffs::{Backoff, BackoffScope};

/// How long a site's work is held before it is tried again, when Jira refuses and does not say: first, and at most.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(30);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// The first pause when Jira fails, since most failures pass at once, or when it asks for less.
pub(super) const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);

/// How long a new app waits for its permissions to reach all of Jira: they take minutes.
pub(super) const PROPAGATION_BACKOFF: Duration = Duration::from_secs(60);

/// A pause that Jira asks for is kept to up to here; its quotas refill every hour.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After this long without an answer a site counts as suspended.
pub(super) const SUSPENDED_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Submitter<'_> {
    /// What an error means for the entities of the call, and for the calls to come.
    pub(super) async fn failed(&mut self, api: Api, error: &JiraError) -> Result<SubmitOutcome, StoreError> {
        let (site, of_api) = (BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api));
        match error {
            JiraError::RateLimited { reason: RateLimitReason::PerIssue, retry_after } => {
                let pause = retry_after.unwrap_or(FIRST_BACKOFF).clamp(SHORTEST_BACKOFF, MAX_RETRY_AFTER);
                let until = self.clock.now().after(pause);
                Ok(SubmitOutcome::Waiting(until, HoldReason::IssueRateLimited))
            }
            JiraError::RateLimited { reason: RateLimitReason::Quota, retry_after } => {
                self.back_off(site, *retry_after, HoldReason::SiteRateLimited).await
            }
            JiraError::RateLimited { reason: RateLimitReason::Burst, retry_after } => {
                self.back_off(of_api, *retry_after, HoldReason::ApiRateLimited).await
            }
            JiraError::PermissionsPropagating => {
                self.back_off(site, Some(PROPAGATION_BACKOFF), HoldReason::PermissionsPropagating).await
            }
            JiraError::Unauthorized => {
                self.note(SiteCondition::CredentialRejected).await?;
                self.back_off(site, None, HoldReason::CredentialRejected).await
            }
            JiraError::Forbidden(_) => {
                self.note(SiteCondition::PermissionMissing).await?;
                self.back_off(of_api, None, HoldReason::PermissionMissing).await
            }
            JiraError::Renamed => {
                self.note(SiteCondition::Renamed).await?;
                self.back_off(site, None, HoldReason::SiteRenamed).await
            }
            JiraError::NotFound => self.not_found(api).await,
            JiraError::Unavailable { status, retry_after } => {
                self.unavailable(site, *retry_after, Some(status.as_u16())).await
            }
            JiraError::NoAnswer(_) | JiraError::OutOfTime => self.unavailable(site, None, None).await,
            JiraError::Unexpected(_) | JiraError::BadRequest(_) | JiraError::TooLarge(_) => {
                Ok(SubmitOutcome::Failed(error.to_string()))
            }
        }
    }

    /// One issue's limit is not backed off from: who is over it waits as long as Jira asks, but, so that entities that Jira asks
    /// for no pause time after time do not call it every second, at least as long as it has waited already.
    pub(super) fn lengthen_waits(&self, submitted: &mut [Submitted]) {
        let now = self.clock.now();
        for Submitted { pending, outcome, .. } in submitted {
            if let SubmitOutcome::Waiting(until, HoldReason::IssueRateLimited) = outcome {
                *until = (*until).max(now.after(pending.held_for().min(LONGEST_BACKOFF)));
            }
        }
    }

    /// An API fails whatever it is sent.
    pub(super) async fn api_unavailable(
        &mut self,
        api: Api,
        error: &ServerError,
    ) -> Result<SubmitOutcome, StoreError> {
        let scope = BackoffScope::Api(self.site.id, api);
        self.back_off(scope, Some(Duration::ZERO), HoldReason::ApiUnavailable(error.status)).await
    }

    /// A 404 of one API says nothing of the others; a site that answers 404 for several is gone.
    async fn not_found(&mut self, api: Api) -> Result<SubmitOutcome, StoreError> {
        let now = self.clock.now();
        let others_too = Api::ALL.into_iter().filter(|other| *other != api).any(|other| {
            let backoff = self.backoffs.get(&BackoffScope::Api(self.site.id, other));
            backoff.is_some_and(|backoff| backoff.reason == HoldReason::ApiNotFound)
        });
        let scope = BackoffScope::Api(self.site.id, api);
        let since = self.backoffs.get(&scope).map_or(now, |backoff| backoff.since);
        if others_too || now.since(since) > SUSPENDED_AFTER {
            self.note(SiteCondition::Suspended).await?;
        }
        self.back_off(scope, None, HoldReason::ApiNotFound).await
    }

    async fn unavailable(
        &mut self,
        site: BackoffScope,
        retry_after: Option<Duration>,
        status: Option<u16>,
    ) -> Result<SubmitOutcome, StoreError> {
        let since = self.backoffs.get(&site).map(|backoff| backoff.since);
        if since.is_some_and(|since| self.clock.now().since(since) > SUSPENDED_AFTER) {
            self.note(SiteCondition::Suspended).await?;
        }
        let asked = retry_after.unwrap_or_default();
        self.back_off(site, Some(asked), HoldReason::SiteUnavailable(status)).await
    }

    async fn note(&mut self, condition: SiteCondition) -> Result<(), StoreError> {
        self.store.set_condition(&self.site, condition).await?;
        self.site.state.condition = condition;
        Ok(())
    }

    async fn back_off(
        &mut self,
        scope: BackoffScope,
        asked: Option<Duration>,
        reason: HoldReason,
    ) -> Result<SubmitOutcome, StoreError> {
        let now = self.clock.now();
        let active = self.backoffs.get(&scope).filter(|backoff| backoff.until > now);
        // Calls run side by side: the first that fails begins the pause for all of them.
        if let Some(active) = active.filter(|active| now.after(asked.unwrap_or_default()) <= active.until) {
            return Ok(SubmitOutcome::Waiting(active.until, active.reason.clone()));
        }
        let (failures, since) = self
            .backoffs
            .get(&scope)
            .map_or((0, now), |backoff| (backoff.consecutive_failures, backoff.since));
        let growing = |first: Duration| first.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
        let pause = match asked {
            // Who asks for no pause, or for too short a one, time after time gets a longer one.
            Some(asked) => asked.max(growing(SHORTEST_BACKOFF)).min(MAX_RETRY_AFTER),
            None => growing(FIRST_BACKOFF),
        };
        let until = now.after(pause);
        let backoff = Backoff { until, consecutive_failures: failures + 1, since, reason: reason.clone() };
        self.store.begin_backoff(&scope, &backoff).await?;
        tracing::warn!(site.id = %self.site.id, backoff.until = %until.iso8601(), %reason, "backing off");
        self.backoffs.insert(scope, backoff);
        Ok(SubmitOutcome::Waiting(until, reason))
    }

    /// Jira took a call: backoffs end, and the site is healthy.
    pub(super) async fn succeeded(&mut self, api: Api) -> Result<(), StoreError> {
        for scope in [BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api)] {
            if self.backoffs.remove(&scope).is_some() {
                self.store.end_backoff(&scope).await?;
            }
        }
        let unchanged = match self.site.state.condition {
            SiteCondition::Active => true,
            // One API that answers says nothing about the one that is forbidden.
            SiteCondition::PermissionMissing => self.is_any_api_forbidden(),
            _ => false,
        };
        if !unchanged {
            self.note(SiteCondition::Active).await?;
        }
        Ok(())
    }

    fn is_any_api_forbidden(&self) -> bool {
        self.backoffs.iter().any(|(scope, backoff)| {
            matches!(scope, BackoffScope::Api(..)) && backoff.reason == HoldReason::PermissionMissing
        })
    }
}
