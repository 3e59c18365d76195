//! When calls to a site or to one of its APIs pause, for how long, and what a failed call means for those to come.

use std::time::Duration;

use super::{SubmitOutcome, Submitter};
use crate::domain::{Api, HoldReason, SiteCondition};
use crate::jira::answer::RateLimitReason;
use crate::jira::client::JiraError;
use crate::store::StoreError;
use crate::store::backoffs::{Backoff, BackoffScope};

/// How long a site's work is held before it is tried again, when Jira does not say: first, and at most.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(30);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// How long a new app waits for its permissions to reach all of Jira: they take minutes.
pub(super) const PROPAGATION_BACKOFF: Duration = Duration::from_secs(60);

/// A pause that Jira asks for is kept to up to here; its quotas refill every hour.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// After this long without an answer a site counts as suspended.
pub(super) const SUSPENDED_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Submitter<'_> {
    /// Why a call can't be made now. Asked before each, because another connection may have become the writing one since the
    /// batch began, and two must not write.
    pub(super) async fn hold(&self, api: Api) -> Result<Option<SubmitOutcome>, StoreError> {
        if let Some(outcome) = self.backing_off(api) {
            return Ok(Some(outcome));
        }
        let now = self.store.site(self.site.id).await?;
        let is_ours = now.is_some_and(|now| {
            now.writer == self.site.writer && now.state.condition != SiteCondition::Switching
        });
        let until = self.clock.now().after(FIRST_BACKOFF);
        Ok((!is_ours).then_some(SubmitOutcome::Waiting(until, HoldReason::ConnectionSwitched)))
    }

    fn backing_off(&self, api: Api) -> Option<SubmitOutcome> {
        let now = self.clock.now();
        [BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api)]
            .iter()
            .filter_map(|scope| self.backoffs.get(scope))
            .find(|backoff| backoff.until > now)
            .map(|backoff| SubmitOutcome::Waiting(backoff.until, backoff.reason.clone()))
    }

    /// What an error means for the entities of the call, and for the calls to come.
    pub(super) async fn failed(&mut self, api: Api, error: &JiraError) -> Result<SubmitOutcome, StoreError> {
        let (site, of_api) = (BackoffScope::Site(self.site.id), BackoffScope::Api(self.site.id, api));
        match error {
            JiraError::RateLimited { reason: RateLimitReason::PerIssue, retry_after } => {
                let until = self.clock.now().after(retry_after.unwrap_or(FIRST_BACKOFF).min(MAX_RETRY_AFTER));
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
            JiraError::NotFound => {
                self.note(SiteCondition::Suspended).await?;
                self.back_off(site, None, HoldReason::SiteNotFound).await
            }
            JiraError::Unavailable { status, retry_after }
                if *status == http::StatusCode::SERVICE_UNAVAILABLE =>
            {
                self.unavailable(site, *retry_after, Some(status.as_u16())).await
            }
            JiraError::NoAnswer(source) if source.is_connect() => self.unavailable(site, None, None).await,
            JiraError::Unavailable { .. }
            | JiraError::NoAnswer(_)
            | JiraError::Unexpected(_)
            | JiraError::BadRequest(_)
            | JiraError::TooLarge(_) => Ok(SubmitOutcome::Failed(error.to_string())),
        }
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
        self.back_off(site, retry_after, HoldReason::SiteUnavailable(status)).await
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
        let (failures, since) = self
            .backoffs
            .get(&scope)
            .map_or((0, now), |backoff| (backoff.consecutive_failures, backoff.since));
        let growing = FIRST_BACKOFF.saturating_mul(1 << failures.min(8)).min(LONGEST_BACKOFF);
        let until = now.after(asked.unwrap_or(growing).min(MAX_RETRY_AFTER));
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
