//! Making a link: the subscription first, then its hooks, then the token, and everything removed again when one of them
//! fails. Of project hooks one is made here, which shows whether the token may; the others are made in
//! [`steps`](super::steps).

use super::hooks::{HookAccess, HookAt, HookCare, HookError, HookSecrets, LinkHooks};
use super::plan::{OverlappingLink, Plan, PlanNote};
use super::{GitlabPurpose, Leftover, LinkError, Linking};
use crate::domain::{
    CredentialMode, HookKind, HookPlan, PlanPurpose, Site, Subscription, SubscriptionId, SubscriptionState,
};
use crate::envelope::Context;
use crate::gitlab::client::{GitlabError, HookOwner};

/// In how many projects a hook is tried before the token counts as one that may not create any.
const MAX_TRIED: usize = 5;

/// A link that was made.
#[derive(Debug)]
pub struct LinkReport {
    /// The link. The hooks of its projects may still have to be made: [`Linking::finish_hooks`].
    pub subscription: Subscription,
    /// Where its hooks deliver to.
    pub webhook_url: String,
    /// The secrets of a hook that somebody makes by hand. They are not shown again.
    pub manual_hook: Option<HookSecrets>,
    /// What a person should know.
    pub notes: Vec<LinkNote>,
}

/// What a person should know of a link that was made or renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNote {
    /// What was found while the plan was made.
    Plan(PlanNote),
    /// Another link of the site covers projects of this one, too: each event comes in through both, and is sent once, by the
    /// link whose group is nearest to the project.
    Overlaps(OverlappingLink),
    /// The hook is to be made by hand.
    MakeHookByHand,
    /// GitLab makes no group hook here, so each project has its own.
    NoGroupHook,
    /// Nobody makes hooks in projects that come later: the link keeps no token that may.
    NewProjectsGetNoHook,
    /// No token is kept.
    NoToken,
    /// The given token is kept.
    GivenTokenKept {
        /// Whose it is.
        username: String,
        /// Whether that is a bot, whose token outlasts people.
        is_bot: bool,
    },
}

impl Linking {
    /// Creates the link, or leaves nothing of it.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::NotUndone`] names what could not be removed again.
    pub async fn link(&self, plan: &Plan) -> Result<LinkReport, LinkError> {
        if let Some(link) = &plan.linked {
            let (group, link, state) = (plan.group.full_path.clone(), link.id, link.state);
            return Err(LinkError::AlreadyLinked { group, link, state });
        }
        let mut link = PendingLink::begin(self, plan).await?;
        match link.complete().await {
            Ok(()) => Ok(link.report()),
            Err(error) => Err(link.undo(error).await),
        }
    }

    /// Notes of a plan that whoever asked for it should know.
    pub(super) fn plan_notes(plan: &Plan) -> Vec<LinkNote> {
        let overlaps = plan.overlapping.iter().cloned().map(LinkNote::Overlaps);
        plan.notes.iter().copied().map(LinkNote::Plan).chain(overlaps).collect()
    }

    /// Begins a plan for the hooks of a link's projects, with the token that came with the request.
    pub(super) async fn new_hook_plan(
        &self,
        plan: &Plan,
        link: &Subscription,
        purpose: PlanPurpose,
    ) -> Result<HookPlan, LinkError> {
        let context = Context::hook_plan_token(link.site, link.id);
        let token = self.envelope.seal(&plan.request.gitlab_token, &context).await?;
        Ok(HookPlan::new(purpose, self.clock.now(), Some(token)))
    }

    /// Remembers that the site has links to this instance.
    pub(super) async fn note_instance(&self, plan: &Plan) -> Result<(), LinkError> {
        let instance = &plan.instance;
        let note = |site: &mut Site| {
            if site.instance_index(instance).is_none() {
                site.instances.push(instance.clone());
            }
        };
        Ok(self.store.update_site(plan.site.id, note).await.map(drop)?)
    }
}

/// A link that is being made.
struct PendingLink<'a> {
    linking: &'a Linking,
    hooks: LinkHooks,
    plan: &'a Plan,
    subscription: Subscription,
    secrets: HookSecrets,
    notes: Vec<LinkNote>,
    /// A group access token that may not be stored yet.
    token_id: Option<u64>,
}

impl<'a> PendingLink<'a> {
    /// Stores the subscription, so that no hook ever points nowhere.
    async fn begin(linking: &'a Linking, plan: &'a Plan) -> Result<Self, LinkError> {
        let kind = match (plan.request.manual_hook, plan.is_owner) {
            (true, _) => HookKind::Manual,
            (false, true) => HookKind::Group,
            (false, false) => HookKind::Project,
        };
        let (id, secrets, hooks) = (SubscriptionId::generate(), HookSecrets::generate()?, linking.hooks());
        let subscription = Subscription {
            id,
            site: plan.site.id,
            instance: plan.instance.clone(),
            instance_version: plan.version_text.clone(),
            group_id: plan.group.id,
            group_path: plan.group.full_path.clone(),
            state: SubscriptionState::Pending,
            hook: hooks.seal_new(kind, plan.site.id, id, None, &secrets).await?,
            credential: None,
            project_keys: plan.request.project_keys.clone(),
            attention: None,
            hooks: None,
            upkeep: None,
            created_at: linking.clock.now(),
            linked_by: Some(plan.user.username.clone()),
        };
        linking.store.create_subscription(&subscription).await?;
        let notes = Linking::plan_notes(plan);
        Ok(Self { linking, hooks, plan, subscription, secrets, notes, token_id: None })
    }

    async fn complete(&mut self) -> Result<(), LinkError> {
        match self.subscription.hook.kind {
            HookKind::Manual => self.notes.push(LinkNote::MakeHookByHand),
            HookKind::Group => {
                if !self.hook_group().await? {
                    self.hook_projects().await?;
                }
            }
            HookKind::Project => self.hook_projects().await?,
        }
        let new = self.linking.new_credential(self.plan, self.subscription.id).await?;
        self.token_id = new.token_id();
        self.notes.extend(new.note);
        let credential = new.credential;
        self.change(move |link| link.credential.clone_from(&credential)).await?;
        self.linking.note_instance(self.plan).await?;
        self.linking.enqueue_hooks(&self.subscription).await?;
        self.change(|link| link.state = SubscriptionState::Active).await?;
        if !self.subscription.gets_hooks_by_itself() {
            self.notes.push(LinkNote::NewProjectsGetNoHook);
        }
        tracing::info!(subscription.id = %self.subscription.id, site.id = %self.subscription.site, "group linked");
        Ok(())
    }

    fn access(&self) -> HookAccess<'a> {
        HookAccess { gitlab: &self.plan.gitlab, version: self.plan.version }
    }

    /// Makes the group's hook. `false`: this group can't have one.
    async fn hook_group(&mut self) -> Result<bool, LinkError> {
        let (hooks, link) = (&self.hooks, &self.subscription);
        let hook = HookAt { hooks, access: self.access(), link, project: None };
        match hook.create(&self.secrets).await {
            Ok(_) => {
                self.change(|_| {}).await?;
                Ok(true)
            }
            Err(HookError::Gitlab(GitlabError::Forbidden | GitlabError::NotFound)) => {
                self.notes.push(LinkNote::NoGroupHook);
                self.change(|link| link.hook.kind = HookKind::Project).await?;
                Ok(false)
            }
            Err(HookError::Gitlab(error)) => {
                let unknown = matches!(
                    error,
                    GitlabError::Unavailable(_) | GitlabError::Failed(_) | GitlabError::Unexpected(_)
                );
                let error = LinkError::gitlab(&self.plan.instance, GitlabPurpose::CreateGroupHook)(error);
                Err(if unknown { self.hook_unknown(error) } else { error })
            }
            Err(HookError::Link(error)) => Err(error),
        }
    }

    /// Nobody knows whether a call without an answer made a hook.
    fn hook_unknown(&self, cause: LinkError) -> LinkError {
        let (instance, group) = (&self.plan.instance, &self.plan.group.full_path);
        let hooks_page = format!("{instance}/groups/{group}/-/hooks");
        LinkError::HookUnknown { webhook_url: self.webhook_url(), hooks_page, cause: Box::new(cause) }
    }

    /// Makes the first project hook, and plans the others.
    async fn hook_projects(&mut self) -> Result<(), LinkError> {
        let (gitlab, group) = (&self.plan.gitlab, self.plan.group.id);
        let projects = match gitlab.group_projects(group, 1).await {
            Err(error) if self.linking.waits_for(&error).await => gitlab.group_projects(group, 1).await,
            projects => projects,
        };
        let projects =
            projects.map_err(LinkError::gitlab(&self.plan.instance, GitlabPurpose::ListProjects))?;
        let (mut refused, mut made) = (None, 0);
        for project in projects.items.iter().take(MAX_TRIED) {
            match self.try_project(project.id).await {
                Ok(()) => {
                    (refused, made) = (None, 1);
                    break;
                }
                Err(HookError::Link(error)) => return Err(error),
                Err(HookError::Gitlab(error)) => {
                    refused.get_or_insert((project.path.clone(), error));
                }
            }
        }
        if let Some((project, source)) = refused {
            let (instance, group) = (self.plan.instance.clone(), self.plan.group.full_path.clone());
            return Err(LinkError::NoProjectHook { instance, group, project, source });
        }
        let mut plan = self.linking.new_hook_plan(self.plan, &self.subscription, PlanPurpose::Make).await?;
        (plan.total, plan.made) = (projects.total, made);
        self.change(move |link| link.hooks = Some(plan.clone())).await
    }

    async fn try_project(&self, project: u64) -> Result<(), HookError> {
        let ensure = || self.hooks.ensure(self.access(), &self.subscription, Some(project), HookCare::Repair);
        let made = match ensure().await {
            Err(HookError::Gitlab(error)) if self.linking.waits_for(&error).await => ensure().await,
            made => made,
        };
        made.map(drop)
    }

    /// Changes the subscription, as stored and in memory.
    async fn change(&mut self, change: impl Fn(&mut Subscription) + Send + Sync) -> Result<(), LinkError> {
        let changed = self.linking.store.update_subscription(self.subscription.id, change).await?;
        self.subscription = changed.ok_or(LinkError::UnlinkedMeanwhile)?;
        Ok(())
    }

    fn webhook_url(&self) -> String {
        self.linking.webhook_url(self.subscription.id)
    }

    fn report(self) -> LinkReport {
        LinkReport {
            webhook_url: self.webhook_url(),
            manual_hook: (self.subscription.hook.kind == HookKind::Manual).then_some(self.secrets),
            notes: self.notes,
            subscription: self.subscription,
        }
    }

    /// Removes what was made, and says what could not be.
    async fn undo(self, cause: LinkError) -> LinkError {
        let (gitlab, group, link) = (&self.plan.gitlab, self.plan.group.id, self.subscription.id);
        let (store, mut left) = (&self.linking.store, Vec::new());
        let stored = store.subscription(link).await.ok().flatten();
        let hook = stored.as_ref().unwrap_or(&self.subscription).hook.id;
        if let Some(hook) = hook
            && gitlab.delete_hook(HookOwner::Group(group), hook).await.is_err()
        {
            left.push(Leftover::GroupHook(hook));
        }
        for hook in store.project_hooks(link).await.unwrap_or_default() {
            let Some((project, hook)) = hook.project_id.zip(hook.id) else { continue };
            if gitlab.delete_hook(HookOwner::Project(project), hook).await.is_err() {
                left.push(Leftover::ProjectHook { project, hook });
            }
        }
        if let Some(token) = self.token_id
            && gitlab.delete_group_token(group, token).await.is_err()
        {
            left.push(Leftover::GroupToken(token));
        }
        if store.delete_subscription(&self.subscription).await.is_err() {
            left.push(Leftover::Link(link));
        }
        if left.is_empty() { cause } else { LinkError::NotUndone { left, cause: Box::new(cause) } }
    }
}

impl LinkReport {
    /// How the stored token came to be; none where no token is kept.
    #[must_use]
    pub fn credential(&self) -> Option<CredentialMode> {
        self.subscription.credential.as_ref().map(|credential| credential.mode)
    }
}
