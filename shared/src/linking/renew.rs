//! Renewing a link: a new token in the old one's place, hooks repaired with new secrets, and nothing else touched. What was
//! sent to Jira stays, and events on their way are authenticated by the old secrets. It can be repeated at any time, and it
//! completes a link that was never completed.

use secrecy::SecretString;

use super::hooks::{HookAccess, HookCare, HookChange, HookError, HookSecrets, LinkHooks};
use super::link::LinkNote;
use super::plan::Plan;
use super::{LinkError, Linking};
use crate::clock::Timestamp;
use crate::domain::{
    Credential, CredentialMode, HookKind, PlanPurpose, Subscription, SubscriptionId, SubscriptionState,
};
use crate::envelope::Context;
use crate::gitlab::client::GitlabError;

/// A link that was renewed.
#[derive(Debug)]
pub struct RenewReport {
    /// The link, the same as before. The hooks of its projects may still have to be renewed: [`Linking::finish_hooks`].
    pub subscription: Subscription,
    /// Where its hooks deliver to.
    pub webhook_url: String,
    /// Whether the link had never been completed, or its unlinking had begun.
    pub was_pending: bool,
    /// What became of its token.
    pub credential: CredentialRenewal,
    /// What became of its hook.
    pub hook: HookRenewal,
    /// The new secrets of a hook that was made by hand. They are not shown again.
    pub manual_hook: Option<HookSecrets>,
    /// What a person should know.
    pub notes: Vec<LinkNote>,
}

/// What became of a link's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialRenewal {
    /// It had none, and has none.
    StaysNone,
    /// It had none, and has one now.
    Added,
    /// It has another one.
    Replaced(OldToken),
    /// It has none any more.
    Removed(OldToken),
}

/// What became of the token that a link had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldToken {
    /// It does not work any more.
    Revoked,
    /// It was made for the link, and may still work.
    NotRevoked,
    /// It was given by a person, whose it stays.
    NotOurs,
}

/// What became of a link's hook.
#[derive(Debug)]
pub enum HookRenewal {
    /// This was done about the group's hook.
    Group(HookChange),
    /// The group's hook could not be looked after: the token's user may not, or GitLab did not answer.
    GroupFailed(GitlabError),
    /// The hooks of the projects are renewed one after another.
    Projects,
    /// Somebody has to enter the new secrets; until this moment the old ones are accepted.
    ByHand(Option<Timestamp>),
}

impl Linking {
    /// Renews the link that the plan's group has.
    ///
    /// # Errors
    /// [`LinkError`]. The link is as it was, or partly renewed; it works either way, and renewing can be done again.
    pub async fn renew(&self, plan: &Plan) -> Result<RenewReport, LinkError> {
        let Some(link) = &plan.linked else { return Err(LinkError::UnlinkedMeanwhile) };
        let lease = match self.store.take_lease(link.id).await? {
            Ok(lease) => lease,
            Err(held) => return Err(LinkError::Busy { link: link.id, until: held.until }),
        };
        let renewed = self.renew_alone(plan, link.id).await;
        self.store.end_lease(link.id, lease).await?;
        renewed
    }

    async fn renew_alone(&self, plan: &Plan, id: SubscriptionId) -> Result<RenewReport, LinkError> {
        let link = self.store.subscription(id).await?.ok_or(LinkError::UnlinkedMeanwhile)?;
        let was_pending = link.state == SubscriptionState::Pending;
        let (group, version) = (plan.group.full_path.clone(), plan.version_text.clone());
        let keys = plan.request.project_keys.clone();
        let link = self
            .change_link(id, move |link| {
                link.group_path.clone_from(&group);
                link.instance_version.clone_from(&version);
                if !keys.is_empty() {
                    link.project_keys.clone_from(&keys);
                }
            })
            .await?;
        let mut renewal = Renewal { linking: self, hooks: self.hooks(), plan, link, notes: Vec::new() };
        renewal.notes = Self::plan_notes(plan);
        let credential = renewal.renew_credential().await?;
        let (hook, manual_hook) = renewal.renew_hook().await?;
        self.note_instance(plan).await?;
        self.enqueue_hooks(&renewal.link).await?;
        let complete = |link: &mut Subscription| {
            link.state = SubscriptionState::Active;
            (link.attention, link.upkeep) = (None, None);
        };
        let subscription = self.change_link(id, complete).await?;
        if !subscription.gets_hooks_by_itself() {
            renewal.notes.push(LinkNote::NewProjectsGetNoHook);
        }
        tracing::info!(subscription.id = %id, ?credential, ?hook, "link renewed");
        let (webhook_url, notes) = (self.webhook_url(id), renewal.notes);
        Ok(RenewReport { subscription, webhook_url, was_pending, credential, hook, manual_hook, notes })
    }

    async fn change_link(
        &self,
        link: SubscriptionId,
        change: impl Fn(&mut Subscription) + Send + Sync,
    ) -> Result<Subscription, LinkError> {
        self.store.update_subscription(link, change).await?.ok_or(LinkError::UnlinkedMeanwhile)
    }
}

/// A renewal under way.
struct Renewal<'a> {
    linking: &'a Linking,
    hooks: LinkHooks,
    plan: &'a Plan,
    link: Subscription,
    notes: Vec<LinkNote>,
}

impl Renewal<'_> {
    /// Stores the new token, and revokes the old one after that.
    async fn renew_credential(&mut self) -> Result<CredentialRenewal, LinkError> {
        let new = self.linking.new_credential(self.plan, self.link.id).await?;
        let (made, credential, old) = (new.token_id(), new.credential.clone(), self.link.credential.clone());
        let has_one = credential.is_some();
        let stored =
            self.linking.change_link(self.link.id, move |link| link.credential.clone_from(&credential));
        match stored.await {
            Ok(link) => self.link = link,
            Err(cause) => return Err(self.without_new_token(made, cause).await),
        }
        self.notes.extend(new.note);
        let old = match old {
            None => None,
            Some(old) => Some(self.retire(&old).await),
        };
        Ok(match (old, has_one) {
            (None, false) => CredentialRenewal::StaysNone,
            (None, true) => CredentialRenewal::Added,
            (Some(old), true) => CredentialRenewal::Replaced(old),
            (Some(old), false) => CredentialRenewal::Removed(old),
        })
    }

    /// Revokes a token that was made and could not be stored.
    async fn without_new_token(&self, made: Option<u64>, cause: LinkError) -> LinkError {
        let Some(id) = made else { return cause };
        match self.plan.gitlab.delete_group_token(self.plan.group.id, id).await {
            Ok(()) => cause,
            Err(_) => {
                let left = vec![super::Leftover::GroupToken(id)];
                LinkError::NotUndone { left, cause: Box::new(cause) }
            }
        }
    }

    /// Revokes an old token that was made for the link.
    async fn retire(&self, old: &Credential) -> OldToken {
        if old.mode == CredentialMode::Pasted {
            return OldToken::NotOurs;
        }
        let context = Context::gitlab_token(self.link.site, self.link.id);
        if let Ok(token) = self.linking.envelope.open(&old.token, &context).await
            && self.revoke(token).await
        {
            return OldToken::Revoked;
        }
        // It can't be opened, or GitLab did not let it: an Owner may.
        let Some(id) = old.token_id else { return OldToken::NotRevoked };
        match self.plan.gitlab.delete_group_token(self.plan.group.id, id).await {
            Ok(()) => OldToken::Revoked,
            Err(_) => OldToken::NotRevoked,
        }
    }

    async fn revoke(&self, token: SecretString) -> bool {
        match self.hooks.gitlab_with(&self.link, token) {
            Ok(gitlab) => gitlab.revoke_self().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn renew_hook(&mut self) -> Result<(HookRenewal, Option<HookSecrets>), LinkError> {
        if self.plan.request.manual_hook || self.link.hook.kind == HookKind::Manual {
            return self.renew_by_hand().await;
        }
        if self.link.hook.kind == HookKind::Project {
            self.renew_projects().await?;
            return Ok((HookRenewal::Projects, None));
        }
        let access = HookAccess { gitlab: &self.plan.gitlab, version: self.plan.version };
        let ensure = || self.hooks.ensure(access, &self.link, None, HookCare::Renew);
        let renewed = match ensure().await {
            Err(HookError::Gitlab(error)) if self.linking.waits_for(&error).await => ensure().await,
            renewed => renewed,
        };
        match renewed {
            Ok(change) => Ok((HookRenewal::Group(change), None)),
            Err(HookError::Link(error)) => Err(error),
            // An Owner may have one wherever GitLab has them: this group is no longer such a one.
            Err(HookError::Gitlab(GitlabError::Forbidden | GitlabError::NotFound)) if self.plan.is_owner => {
                self.notes.push(LinkNote::NoGroupHook);
                self.link =
                    self.linking.change_link(self.link.id, |link| link.hook.kind = HookKind::Project).await?;
                self.renew_projects().await?;
                Ok((HookRenewal::Projects, None))
            }
            Err(HookError::Gitlab(error)) => Ok((HookRenewal::GroupFailed(error), None)),
        }
    }

    /// New secrets for a hook that only a person can change.
    async fn renew_by_hand(&mut self) -> Result<(HookRenewal, Option<HookSecrets>), LinkError> {
        let secrets = self.hooks.replace_secrets(&self.link, None).await?;
        let now = self.linking.clock.now();
        let link = self.linking.change_link(self.link.id, move |link| {
            link.hook.kind = HookKind::Manual;
            link.hook.confirm_secrets(now);
        });
        self.link = link.await?;
        self.notes.push(LinkNote::MakeHookByHand);
        let until = self.link.hook.previous.last().and_then(|previous| previous.until);
        Ok((HookRenewal::ByHand(until), Some(secrets)))
    }

    async fn renew_projects(&mut self) -> Result<(), LinkError> {
        let plan = self.linking.new_hook_plan(self.plan, &self.link, PlanPurpose::Renew).await?;
        let planned = self.linking.change_link(self.link.id, move |link| link.hooks = Some(plan.clone()));
        self.link = planned.await?;
        Ok(())
    }
}
