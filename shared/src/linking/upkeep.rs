//! Keeping a link's token and hooks alive without a person: a token is rotated long before it expires, a hook that GitLab
//! disabled is enabled, one that is gone is made again, and new projects get theirs. When that is due, and for which
//! links, belongs to `housekeeping`.
//!
//! A rotated token must never be rotated again: GitLab would take it for stolen, and revoke its successor. So the intent is
//! stored first, and a rotation whose result is not known is looked into with a read, which harms nothing.

use std::time::Duration;

use super::LinkError;
use super::credential::last_day;
use super::hooks::{HookAccess, HookCare, HookChange, HookError, LinkHooks};
use crate::clock::Timestamp;
use crate::domain::{
    Credential, CredentialMode, HookKind, HookPlan, HookTrouble, LinkAttention, PlanFailure, PlanPurpose,
    PlanState, Rotation, Subscription, SubscriptionId, SubscriptionState, Upkeep,
};
use crate::envelope::Context;
use crate::gitlab::client::{CreatedToken, GitlabClient, GitlabError};
use crate::gitlab::version::Version;
use crate::queue::SharedQueue;
use crate::sync::step::{LinkStep, enqueue};

/// How long before its end a token is rotated.
const ROTATED_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

/// How often GitLab is asked about a token.
const TOKEN_CHECKED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often every hook of a link's projects is looked at.
const PROJECTS_CHECKED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How long a plan runs before its next step is put on the queue once more, in case it was lost.
const STEP_REPEATED_AFTER: Duration = Duration::from_secs(3600);

/// How often a new token is stored if the table or the keys fail: it exists nowhere else.
const STORE_ATTEMPTS: u32 = 5;

/// The pause between these.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What was done about a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpkeepDone {
    /// Its token was rotated.
    pub token_rotated: bool,
    /// Its hook was made again, enabled or repaired.
    pub hook_repaired: bool,
    /// A plan for the hooks of its projects was begun.
    pub plan_begun: bool,
}

impl LinkHooks {
    /// Looks after a link. Nothing is done where somebody else is at work on it.
    ///
    /// # Errors
    /// Our own table, keys or queue; it can be done again.
    pub async fn look_after(
        &self,
        link: SubscriptionId,
        steps: &SharedQueue,
    ) -> Result<UpkeepDone, LinkError> {
        let Ok(lease) = self.store.take_lease(link).await? else { return Ok(UpkeepDone::default()) };
        let done = self.look_after_alone(link, steps).await;
        self.store.end_lease(link, lease).await?;
        done
    }

    async fn look_after_alone(
        &self,
        id: SubscriptionId,
        steps: &SharedQueue,
    ) -> Result<UpkeepDone, LinkError> {
        let mut done = UpkeepDone::default();
        let Some(link) = self.store.subscription(id).await? else { return Ok(done) };
        if link.state != SubscriptionState::Active {
            return Ok(done);
        }
        done.token_rotated = self.look_after_token(&link).await?;
        // With the token that it has now.
        let Some(link) = self.store.subscription(id).await? else { return Ok(done) };
        let hook = match link.hook.kind {
            HookKind::Group => self.look_after_group_hook(&link, &mut done).await?,
            HookKind::Project => {
                done.plan_begun = self.look_after_projects(&link, steps).await?;
                None
            }
            HookKind::Manual => None,
        };
        let upkeep = Upkeep { at: self.clock.now(), hook };
        self.store.update_subscription(id, |link| link.upkeep = Some(upkeep.clone())).await?;
        Ok(done)
    }

    /// Answers whether the token was rotated.
    async fn look_after_token(&self, link: &Subscription) -> Result<bool, LinkError> {
        let Some(credential) = &link.credential else { return Ok(false) };
        let Some(gitlab) = self.gitlab_of(link).await? else { return Ok(false) };
        let now = self.clock.now();
        match credential.rotation {
            Some(Rotation::Lost(_)) => return Ok(false),
            Some(Rotation::Begun(_)) => {
                self.resolve_rotation(link, credential, &gitlab).await?;
                return Ok(false);
            }
            None => {}
        }
        let is_due = |at: Timestamp| now.since(at) >= TOKEN_CHECKED_EVERY;
        if !credential.checked_at.is_none_or(is_due) {
            return Ok(false);
        }
        let known = match gitlab.own_token().await {
            Ok(token) => token.expires_at,
            Err(GitlabError::Unauthorized) => {
                let refused = |link: &mut Subscription| link.attention = Some(LinkAttention::TokenRefused);
                self.store.update_subscription(link.id, refused).await?;
                return Ok(false);
            }
            // One from a sign-in does not say.
            Err(GitlabError::Rejected(_) | GitlabError::Forbidden | GitlabError::NotFound) => {
                credential.expires_at
            }
            Err(_) => return Ok(false),
        };
        self.change_credential(link.id, credential, |credential| {
            (credential.expires_at, credential.checked_at) = (known, Some(now));
        })
        .await?;
        let is_ours = credential.mode != CredentialMode::Pasted;
        if is_ours && known.is_some_and(|end| end <= now.after(ROTATED_BEFORE)) {
            return self.rotate(link, credential, &gitlab).await;
        }
        Ok(false)
    }

    /// Changes the link's credential, if it still is `ours`.
    async fn change_credential(
        &self,
        link: SubscriptionId,
        ours: &Credential,
        change: impl Fn(&mut Credential) + Send + Sync,
    ) -> Result<bool, LinkError> {
        let change = |link: &mut Subscription| {
            if let Some(stored) = link.credential.as_mut().filter(|stored| stored.token == ours.token) {
                change(stored);
            }
        };
        let changed = self.store.update_subscription(link, change).await?;
        Ok(changed.is_some_and(|link| link.credential.is_some()))
    }

    async fn rotate(
        &self,
        link: &Subscription,
        old: &Credential,
        gitlab: &GitlabClient,
    ) -> Result<bool, LinkError> {
        let now = self.clock.now();
        self.change_credential(link.id, old, |stored| stored.rotation = Some(Rotation::Begun(now))).await?;
        match gitlab.rotate_own_group_token(link.group_id, &last_day(now)).await {
            Ok(created) => {
                self.keep_rotated(link, old, created).await?;
                tracing::info!(subscription.id = %link.id, "rotated a link's token");
                Ok(true)
            }
            Err(
                error @ (GitlabError::Unauthorized
                | GitlabError::Forbidden
                | GitlabError::NotFound
                | GitlabError::Rejected(_)
                | GitlabError::RateLimited { .. }),
            ) => {
                tracing::warn!(subscription.id = %link.id, %error, "a link's token can't be rotated");
                self.change_credential(link.id, old, |stored| stored.rotation = None).await?;
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(subscription.id = %link.id, %error, "whether a token was rotated is not known yet");
                Ok(false)
            }
        }
    }

    /// Stores the successor of a token, in several attempts: it exists nowhere else.
    async fn keep_rotated(
        &self,
        link: &Subscription,
        old: &Credential,
        created: CreatedToken,
    ) -> Result<(), LinkError> {
        let mut attempt = 1;
        loop {
            let kept = async {
                let context = Context::gitlab_token(link.site, link.id);
                let token = self.envelope.seal(&created.token, &context).await?;
                let (id, now) = (created.id, self.clock.now());
                let expires_at = created.expires_at;
                self.change_credential(link.id, old, |stored| {
                    stored.token.clone_from(&token);
                    (stored.token_id, stored.expires_at) = (Some(id), expires_at);
                    (stored.rotation, stored.checked_at) = (None, Some(now));
                })
                .await
            };
            match kept.await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == STORE_ATTEMPTS => return Err(error),
                Err(error) => tracing::error!(%error, attempt, "a rotated token could not be stored yet"),
            }
            attempt += 1;
            self.clock.sleep(STORE_PAUSE).await;
        }
    }

    /// Finds out whether a rotation succeeded whose answer was lost. To read with the old token is harmless.
    async fn resolve_rotation(
        &self,
        link: &Subscription,
        credential: &Credential,
        gitlab: &GitlabClient,
    ) -> Result<(), LinkError> {
        let now = self.clock.now();
        match gitlab.own_token().await {
            // It works, so it was not rotated; the next check tries again.
            Ok(_) => {
                self.change_credential(link.id, credential, |stored| {
                    (stored.rotation, stored.checked_at) = (None, None);
                })
                .await?;
            }
            // A credential that somebody stored meanwhile is another, and is left alone.
            Err(GitlabError::Unauthorized) => {
                let lost = |stored: &mut Credential| stored.rotation = Some(Rotation::Lost(now));
                self.change_credential(link.id, credential, lost).await?;
                tracing::error!(subscription.id = %link.id, "a link's token was rotated and is lost");
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Answers what is wrong with the hook.
    async fn look_after_group_hook(
        &self,
        link: &Subscription,
        done: &mut UpkeepDone,
    ) -> Result<Option<HookTrouble>, LinkError> {
        let before = link.upkeep.as_ref().and_then(|upkeep| upkeep.hook.clone());
        let Some(gitlab) = self.gitlab_for_hooks(link).await? else { return Ok(None) };
        let access = HookAccess { gitlab: &gitlab, version: Version::parse(&link.instance_version) };
        match self.ensure(access, link, None, HookCare::Repair).await {
            Ok(HookChange::None) => Ok(None),
            Ok(HookChange::DisabledUntil(until)) => Ok(Some(HookTrouble::DisabledUntil(until))),
            Ok(change) => {
                tracing::warn!(subscription.id = %link.id, ?change, "repaired a link's hook");
                done.hook_repaired = true;
                Ok(None)
            }
            // Only an Owner's token sees a group's hooks, and most are not.
            Err(HookError::Gitlab(
                GitlabError::Forbidden | GitlabError::NotFound | GitlabError::Unauthorized,
            )) => Ok(None),
            Err(HookError::Gitlab(GitlabError::Rejected(text))) => Ok(Some(HookTrouble::Refused(text))),
            Err(HookError::Gitlab(_)) => Ok(before),
            Err(HookError::Link(error)) => Err(error),
        }
    }

    /// GitLab through a token that may change hooks, if the link has one.
    async fn gitlab_for_hooks(&self, link: &Subscription) -> Result<Option<GitlabClient>, LinkError> {
        let usable = |credential: &Credential| {
            credential.mode != CredentialMode::Read && credential.rotation.is_none()
        };
        if link.credential.as_ref().is_some_and(usable) { self.gitlab_of(link).await } else { Ok(None) }
    }

    /// Answers whether a plan was begun.
    async fn look_after_projects(&self, link: &Subscription, steps: &SharedQueue) -> Result<bool, LinkError> {
        let now = self.clock.now();
        if let Some(plan) = link.hooks.as_ref().filter(|plan| plan.is_running()) {
            if plan.is_out_of_time(now) {
                let end = |link: &mut Subscription| {
                    if let Some(plan) = link.hooks.as_mut().filter(|plan| plan.is_running()) {
                        plan.end(PlanState::Failed(PlanFailure::OutOfTime), now);
                    }
                };
                self.store.update_subscription(link.id, end).await?;
            } else if now.since(plan.started_at) > STEP_REPEATED_AFTER {
                let step = LinkStep::Hooks { subscription: link.id, plan: plan.id };
                enqueue(steps, now, [step]).await?;
            }
            return Ok(false);
        }
        let Some(gitlab) = self.gitlab_for_hooks(link).await? else { return Ok(false) };
        let last = link.hooks.as_ref();
        let checked_at = last.and_then(|plan| plan.checked_at).unwrap_or(link.created_at);
        let purpose = if now.since(checked_at) >= PROJECTS_CHECKED_EVERY {
            PlanPurpose::Check
        } else {
            let newest = gitlab.newest_project(link.group_id).await.ok().flatten().unwrap_or_default();
            if newest <= last.map_or(0, |plan| plan.newest_project) {
                return Ok(false);
            }
            PlanPurpose::Make
        };
        let mut plan = HookPlan::new(purpose, now, None);
        plan.checked_at = if purpose == PlanPurpose::Check { Some(now) } else { Some(checked_at) };
        let step = LinkStep::Hooks { subscription: link.id, plan: plan.id };
        self.store.update_subscription(link.id, |link| link.hooks = Some(plan.clone())).await?;
        enqueue(steps, now, [step]).await?;
        Ok(true)
    }
}
