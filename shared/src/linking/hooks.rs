//! One hook at a time, of a group or of a project: created where there is none, and repaired where there is one. Everything
//! here can be done again: what is about to be made is stored before GitLab is called, and found again by its URL. Which
//! hooks a link needs, and when, belongs to [`link`](super::link), [`renew`](super::renew) and [`steps`](super::steps).

use std::sync::Arc;

use secrecy::SecretString;

use super::{LinkError, Linking};
use crate::bundle::WEBHOOK;
use crate::clock::{SharedClock, Timestamp};
use crate::domain::{Hook, HookKind, SiteId, Subscription, SubscriptionId};
use crate::envelope::{Context, Envelope, EnvelopeError, Sealed};
use crate::gitlab::client::{
    GitlabClient, GitlabError, GitlabHttp, HookHealth, HookOwner, NewHook, StoredHook,
};
use crate::gitlab::signature::{generate_signing_token, generate_token};
use crate::gitlab::version::Version;
use crate::outbound::HostGuard;
use crate::store::{Store, StoreError};

/// Creates and repairs hooks.
#[derive(Clone, Debug)]
pub struct LinkHooks {
    /// State.
    pub store: Store,
    /// Seals secrets, and opens tokens.
    pub envelope: Arc<Envelope>,
    /// HTTP clients for GitLab.
    pub gitlab: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where hooks deliver to, without a trailing slash.
    pub webhook_base_url: String,
}

/// A hook's secrets before they are sealed.
#[derive(Clone, Debug)]
pub struct HookSecrets {
    /// Sent in clear as `X-Gitlab-Token`.
    pub token: SecretString,
    /// The key of signatures (GitLab 19.0 and newer).
    pub signing_token: SecretString,
}

/// GitLab through a token that may make hooks.
#[derive(Clone, Copy, Debug)]
pub struct HookAccess<'a> {
    /// The client.
    pub gitlab: &'a GitlabClient,
    /// The instance's version.
    pub version: Version,
}

/// What is to be done about a hook that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookCare {
    /// It is repaired where it is broken.
    Repair,
    /// It gets new secrets as well.
    Renew,
}

/// What was done about a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookChange {
    /// It is as it should be.
    None,
    /// It was made: there was none.
    Made,
    /// It was made again: the one that was known was gone.
    MadeAgain,
    /// It got new secrets, and with them the right URL and events.
    Renewed,
    /// GitLab had disabled it, and delivers through it again.
    Enabled,
    /// GitLab has disabled it for a while, until this moment if it says.
    DisabledUntil(Option<Timestamp>),
}

/// Why nothing could be done about a hook.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// GitLab refused or did not answer.
    #[error(transparent)]
    Gitlab(#[from] GitlabError),
    /// Anything of our own.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl From<StoreError> for HookError {
    fn from(error: StoreError) -> Self {
        Self::Link(error.into())
    }
}

impl From<EnvelopeError> for HookError {
    fn from(error: EnvelopeError) -> Self {
        Self::Link(error.into())
    }
}

impl HookSecrets {
    pub(super) fn generate() -> Result<Self, LinkError> {
        Ok(Self {
            token: generate_token().map_err(|_| LinkError::Random)?,
            signing_token: generate_signing_token().map_err(|_| LinkError::Random)?,
        })
    }
}

impl Linking {
    /// What makes and repairs hooks.
    #[must_use]
    pub fn hooks(&self) -> LinkHooks {
        LinkHooks {
            store: self.store.clone(),
            envelope: self.envelope.clone(),
            gitlab: self.gitlab.clone(),
            guard: self.guard.clone(),
            clock: self.clock.clone(),
            webhook_base_url: self.webhook_base_url.clone(),
        }
    }
}

impl LinkHooks {
    /// Where a hook delivers to.
    #[must_use]
    pub fn url(&self, link: SubscriptionId, project: Option<u64>) -> String {
        let path = WEBHOOK.path.replace("{subscription}", &link.to_string());
        let project = project.map(|project| format!("?project={project}")).unwrap_or_default();
        format!("{}{path}{project}", self.webhook_base_url)
    }

    /// GitLab of a link through a token.
    ///
    /// # Errors
    /// When the instance must not be called.
    pub fn gitlab_with(&self, link: &Subscription, token: SecretString) -> Result<GitlabClient, LinkError> {
        let base = self
            .guard
            .check(&link.instance)
            .map_err(|source| LinkError::GitlabAddress { url: link.instance.clone(), source })?;
        Ok(GitlabClient::new(self.gitlab.clone(), base, token))
    }

    /// GitLab of a link through its stored token; `None` when it has none.
    ///
    /// # Errors
    /// When the token can't be opened, or the instance must not be called.
    pub async fn gitlab_of(&self, link: &Subscription) -> Result<Option<GitlabClient>, LinkError> {
        let Some(credential) = &link.credential else { return Ok(None) };
        let context = Context::gitlab_token(link.site, link.id);
        let token = self.envelope.open(&credential.token, &context).await?;
        self.gitlab_with(link, token).map(Some)
    }

    /// A hook that does not exist yet, with `secrets` sealed for it.
    ///
    /// # Errors
    /// When they can't be sealed.
    pub(super) async fn seal_new(
        &self,
        kind: HookKind,
        site: SiteId,
        link: SubscriptionId,
        project: Option<u64>,
        secrets: &HookSecrets,
    ) -> Result<Hook, EnvelopeError> {
        let (token, signing_token) = self.seal(secrets, &Context::hook(site, link, project)).await?;
        let (id, signed, previous, mark) = (None, false, Vec::new(), None);
        Ok(Hook { kind, id, project_id: project, token, signing_token, signed, previous, mark })
    }

    async fn seal(
        &self,
        secrets: &HookSecrets,
        context: &Context,
    ) -> Result<(Sealed, Sealed), EnvelopeError> {
        let token = self.envelope.seal(&secrets.token, context).await?;
        Ok((token, self.envelope.seal(&secrets.signing_token, context).await?))
    }

    /// Gives a hook new secrets, of which GitLab is not told yet.
    ///
    /// # Errors
    /// When they can't be sealed or stored.
    pub(super) async fn replace_secrets(
        &self,
        link: &Subscription,
        project: Option<u64>,
    ) -> Result<HookSecrets, LinkError> {
        let secrets = HookSecrets::generate()?;
        let (token, signing_token) = self.seal(&secrets, &Context::hook(link.site, link.id, project)).await?;
        let replace = |hook: &mut Hook| hook.replace_secrets(token.clone(), signing_token.clone());
        self.store.update_hook(link.id, project, replace).await?.ok_or(LinkError::UnlinkedMeanwhile)?;
        Ok(secrets)
    }

    /// Makes the link's hook, or that of one of its projects, if it has none; otherwise does what `care` asks for.
    ///
    /// # Errors
    /// [`HookError`]; it can be done again.
    pub async fn ensure(
        &self,
        access: HookAccess<'_>,
        link: &Subscription,
        project: Option<u64>,
        care: HookCare,
    ) -> Result<HookChange, HookError> {
        let hook = HookAt { hooks: self, access, link, project };
        let stored = match project {
            None => Some(link.hook.clone()),
            Some(id) => self.store.project_hook(link.id, id).await?,
        };
        let Some(stored) = stored else {
            hook.make_first().await?;
            return Ok(HookChange::Made);
        };
        let known = match stored.id {
            Some(id) => match access.gitlab.hook(hook.owner(), id).await {
                Err(GitlabError::NotFound) => None,
                known => Some(known?),
            },
            // It may exist although its answer was lost.
            None => hook.find().await?,
        };
        match known {
            Some(known) => hook.repair(known, stored.id.is_none() || care == HookCare::Renew).await,
            None => {
                hook.create(&self.replace_secrets(link, project).await?).await?;
                Ok(if stored.id.is_some() { HookChange::MadeAgain } else { HookChange::Made })
            }
        }
    }
}

/// A hook, and how it is reached.
pub(super) struct HookAt<'a> {
    pub(super) hooks: &'a LinkHooks,
    pub(super) access: HookAccess<'a>,
    pub(super) link: &'a Subscription,
    pub(super) project: Option<u64>,
}

impl HookAt<'_> {
    fn owner(&self) -> HookOwner {
        self.project.map_or(HookOwner::Group(self.link.group_id), HookOwner::Project)
    }

    fn url(&self) -> String {
        self.hooks.url(self.link.id, self.project)
    }

    /// The hook that delivers to our URL, if GitLab lists one.
    async fn find(&self) -> Result<Option<StoredHook>, GitlabError> {
        let (url, mut page) = (self.url(), Some(1));
        while let Some(number) = page {
            let hooks = self.access.gitlab.hooks(self.owner(), number).await?;
            if let Some(found) = hooks.items.into_iter().find(|hook| hook.url == url) {
                return Ok(Some(found));
            }
            page = hooks.next;
        }
        Ok(None)
    }

    /// Makes the hook of a project of which nothing is stored. It is stored before it exists, so that a crash leaves none
    /// that nobody knows of.
    async fn make_first(&self) -> Result<(), HookError> {
        let (link, secrets) = (self.link, HookSecrets::generate()?);
        let hook = self.hooks.seal_new(HookKind::Project, link.site, link.id, self.project, &secrets).await?;
        let Some(project) = self.project else { return Ok(()) };
        self.hooks.store.put_project_hook(link.id, project, &hook).await?;
        self.create(&secrets).await.map(drop)
    }

    /// Makes the hook, with secrets that are stored already. Answers GitLab's id of it.
    pub(super) async fn create(&self, secrets: &HookSecrets) -> Result<u64, HookError> {
        let url = self.url();
        let new = NewHook { url: &url, token: &secrets.token, signing_token: &secrets.signing_token };
        let created = self.access.gitlab.create_hook(self.owner(), &new).await?;
        let (id, signed, now) = (created.id, self.is_signed(&created).await, self.hooks.clock.now());
        self.note(move |hook| {
            hook.id = Some(id);
            // A valid signature may have come in already.
            hook.signed |= signed;
            hook.confirm_secrets(now);
        })
        .await?;
        Ok(id)
    }

    /// Repairs the hook that GitLab describes as `known`.
    async fn repair(&self, known: StoredHook, renew: bool) -> Result<HookChange, HookError> {
        let renews = renew || !known.is_as_made(&self.url());
        if renews {
            self.renew(known.id).await?;
        }
        match known.health() {
            HookHealth::Disabled => {
                self.enable(known.id).await?;
                Ok(HookChange::Enabled)
            }
            HookHealth::TemporarilyDisabled(until) if !renews => Ok(HookChange::DisabledUntil(until)),
            _ => Ok(if renews { HookChange::Renewed } else { HookChange::None }),
        }
    }

    /// Gives it new secrets, the URL and the events. The old secrets are accepted until GitLab has said that it has the
    /// new ones.
    async fn renew(&self, id: u64) -> Result<(), HookError> {
        let (url, secrets) = (self.url(), self.hooks.replace_secrets(self.link, self.project).await?);
        let new = NewHook { url: &url, token: &secrets.token, signing_token: &secrets.signing_token };
        let updated = self.access.gitlab.update_hook(self.owner(), id, &new).await?;
        let (signed, now) = (self.is_signed(&updated).await, self.hooks.clock.now());
        self.note(move |hook| {
            hook.id = Some(id);
            // One that did not sign before may have unsigned deliveries on their way; its first signature changes that.
            hook.signed &= signed;
            hook.confirm_secrets(now);
        })
        .await
    }

    /// Has GitLab deliver through it again: by a delivery that succeeds, or else by another hook in its place.
    async fn enable(&self, id: u64) -> Result<(), HookError> {
        let (gitlab, owner) = (self.access.gitlab, self.owner());
        match gitlab.test_hook(owner, id).await {
            // Old versions know no test, a project without commits has none to send, and ours may have failed.
            Ok(()) | Err(GitlabError::NotFound | GitlabError::Rejected(_) | GitlabError::Failed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if gitlab.hook(owner, id).await?.health() != HookHealth::Disabled {
            return Ok(());
        }
        gitlab.delete_hook(owner, id).await?;
        self.create(&self.hooks.replace_secrets(self.link, self.project).await?).await.map(drop)
    }

    /// Whether GitLab kept the signing token: a feature flag of its own makes it ignore one without a word.
    async fn is_signed(&self, stored: &StoredHook) -> bool {
        if stored.signing_token_present || !self.access.version.has_signing_token() {
            return stored.signing_token_present;
        }
        // Not to know means not to demand signatures; the first valid one changes that.
        let read = self.access.gitlab.hook(self.owner(), stored.id).await;
        read.is_ok_and(|stored| stored.signing_token_present)
    }

    async fn note(&self, change: impl Fn(&mut Hook) + Send + Sync) -> Result<(), HookError> {
        let noted = self.hooks.store.update_hook(self.link.id, self.project, change).await?;
        noted.map(drop).ok_or(HookError::Link(LinkError::UnlinkedMeanwhile))
    }
}
