//! Making a link: the subscription first, then its hooks, then the token, and everything removed again when one of them
//! fails.

use secrecy::SecretString;

use super::plan::{Plan, PlanNote};
use super::{GitlabPurpose, Leftover, LinkError, Linking};
use crate::domain::{
    CredentialMode, Hook, HookKind, LinkAttention, Site, Subscription, SubscriptionId, SubscriptionState,
};
use crate::envelope::Context;
use crate::gitlab::client::{GitlabError, HookOwner, NewHook, StoredHook};
use crate::gitlab::model::Project;
use crate::gitlab::signature::{generate_signing_token, generate_token};

/// How many projects without a hook are named on the link; the report names all.
const MAX_NAMED_PROJECTS: usize = 5;

/// A link that was made.
#[derive(Debug)]
pub struct LinkReport {
    /// The link.
    pub subscription: Subscription,
    /// Where its hooks deliver to.
    pub webhook_url: String,
    /// Projects that got a hook, where each has its own.
    pub projects_with_hook: usize,
    /// Projects that got none.
    pub failed_projects: Vec<FailedProject>,
    /// The secrets of a hook that somebody makes by hand. They are not shown again.
    pub manual_hook: Option<HookSecrets>,
    /// What a person should know.
    pub notes: Vec<LinkNote>,
}

/// A project that got no hook.
#[derive(Debug)]
pub struct FailedProject {
    /// Its full path.
    pub path: String,
    /// What GitLab said.
    pub error: GitlabError,
}

/// A hook's secrets before they are sealed.
#[derive(Clone, Debug)]
pub struct HookSecrets {
    /// Sent in clear as `X-Gitlab-Token`.
    pub token: SecretString,
    /// The key of signatures (GitLab 19.0 and newer).
    pub signing_token: SecretString,
}

/// What a person should know of a link that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNote {
    /// What was found while the plan was made.
    Plan(PlanNote),
    /// The hook is to be made by hand.
    MakeHookByHand,
    /// GitLab makes no group hook here, so each project has its own.
    NoGroupHook,
    /// Projects created later get no hook by themselves.
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

impl HookSecrets {
    fn generate() -> Result<Self, LinkError> {
        Ok(Self {
            token: generate_token().map_err(|_| LinkError::Random)?,
            signing_token: generate_signing_token().map_err(|_| LinkError::Random)?,
        })
    }
}

impl Linking {
    /// Makes the link, or leaves nothing of it.
    ///
    /// # Errors
    /// [`LinkError`]; [`LinkError::NotUndone`] names what could not be removed again.
    pub async fn link(&self, plan: &Plan) -> Result<LinkReport, LinkError> {
        let mut link = PendingLink::begin(self, plan).await?;
        match link.complete().await {
            Ok(()) => Ok(link.report()),
            Err(error) => Err(link.undo(error).await),
        }
    }

    async fn seal_hook(
        &self,
        kind: HookKind,
        project_id: Option<u64>,
        secrets: &HookSecrets,
        context: &Context,
    ) -> Result<Hook, LinkError> {
        Ok(Hook {
            kind,
            id: None,
            project_id,
            token: self.envelope.seal(&secrets.token, context).await?,
            signing_token: self.envelope.seal(&secrets.signing_token, context).await?,
            signed: false,
        })
    }
}

/// A link that is being made.
pub(super) struct PendingLink<'a> {
    pub(super) linking: &'a Linking,
    pub(super) plan: &'a Plan,
    pub(super) subscription: Subscription,
    secrets: HookSecrets,
    pub(super) notes: Vec<LinkNote>,
    /// Projects with the ids of their hooks.
    hooked: Vec<(u64, u64)>,
    failed: Vec<FailedProject>,
    /// A group access token that may not be stored yet.
    pub(super) token_id: Option<u64>,
}

impl<'a> PendingLink<'a> {
    /// Stores the subscription, so that no hook ever points nowhere.
    async fn begin(linking: &'a Linking, plan: &'a Plan) -> Result<Self, LinkError> {
        let kind = match (plan.request.manual_hook, plan.is_owner) {
            (true, _) => HookKind::Manual,
            (false, true) => HookKind::Group,
            (false, false) => HookKind::Project,
        };
        let (id, secrets) = (SubscriptionId::generate(), HookSecrets::generate()?);
        let context = Context::hook(plan.site.id, id, None);
        let subscription = Subscription {
            id,
            site: plan.site.id,
            instance: plan.instance.clone(),
            instance_version: plan.version_text.clone(),
            group_id: plan.group.id,
            group_path: plan.group.full_path.clone(),
            state: SubscriptionState::Pending,
            hook: linking.seal_hook(kind, None, &secrets, &context).await?,
            credential: None,
            project_keys: plan.request.project_keys.clone(),
            attention: None,
            created_at: linking.clock.now(),
            linked_by: Some(plan.user.username.clone()),
        };
        linking.store.create_subscription(&subscription).await?;
        let notes = plan.notes.iter().copied().map(LinkNote::Plan).collect();
        let (hooked, failed) = (Vec::new(), Vec::new());
        Ok(Self { linking, plan, subscription, secrets, notes, hooked, failed, token_id: None })
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
        self.keep_credential().await?;
        let instance = &self.plan.instance;
        let note_instance = |site: &mut Site| {
            if site.instance_index(instance).is_none() {
                site.instances.push(instance.clone());
            }
        };
        self.linking.store.update_site(self.plan.site.id, note_instance).await?;
        self.change(|link| link.state = SubscriptionState::Active).await?;
        tracing::info!(subscription.id = %self.subscription.id, site.id = %self.subscription.site, "group linked");
        Ok(())
    }

    /// Makes the group's hook. `false`: this group can't have one.
    async fn hook_group(&mut self) -> Result<bool, LinkError> {
        let owner = HookOwner::Group(self.plan.group.id);
        match self.create_hook(owner, &self.webhook_url(), &self.secrets).await {
            Ok(stored) => {
                // Known before anything else can fail, so that it is removed then.
                self.subscription.hook.id = Some(stored.id);
                let (id, signed) = (Some(stored.id), self.is_signed(owner, &stored).await);
                self.change(move |link| {
                    link.hook.id = id;
                    link.hook.signed |= signed;
                })
                .await?;
                Ok(true)
            }
            Err(GitlabError::Forbidden | GitlabError::NotFound) => {
                self.notes.push(LinkNote::NoGroupHook);
                self.change(|link| link.hook.kind = HookKind::Project).await?;
                Ok(false)
            }
            Err(error) => {
                let unknown = matches!(
                    error,
                    GitlabError::Unavailable(_) | GitlabError::Failed(_) | GitlabError::Unexpected(_)
                );
                let error = LinkError::gitlab(&self.plan.instance, GitlabPurpose::CreateGroupHook)(error);
                Err(if unknown { self.hook_unknown(error) } else { error })
            }
        }
    }

    /// Nobody knows whether a call without an answer made a hook.
    fn hook_unknown(&self, cause: LinkError) -> LinkError {
        let (instance, group) = (&self.plan.instance, &self.plan.group.full_path);
        let hooks_page = format!("{instance}/groups/{group}/-/hooks");
        LinkError::HookUnknown { webhook_url: self.webhook_url(), hooks_page, cause: Box::new(cause) }
    }

    /// Makes a hook in every project of the group. One that fails does not stop the others.
    async fn hook_projects(&mut self) -> Result<(), LinkError> {
        let mut page = Some(1);
        while let Some(number) = page {
            let projects = match self.plan.gitlab.group_projects(self.plan.group.id, number).await {
                Err(error) if self.linking.waits_for(&error).await => {
                    self.plan.gitlab.group_projects(self.plan.group.id, number).await
                }
                projects => projects,
            };
            let projects =
                projects.map_err(LinkError::gitlab(&self.plan.instance, GitlabPurpose::ListProjects))?;
            for project in &projects.items {
                self.hook_project(project).await?;
            }
            page = projects.next;
        }
        if self.hooked.is_empty() && !self.failed.is_empty() {
            let FailedProject { path, error } = self.failed.swap_remove(0);
            return Err(LinkError::NoProjectHook {
                instance: self.plan.instance.clone(),
                group: self.plan.group.full_path.clone(),
                project: path,
                source: error,
            });
        }
        self.notes.push(LinkNote::NewProjectsGetNoHook);
        if !self.failed.is_empty() {
            let paths = self.failed.iter().take(MAX_NAMED_PROJECTS).map(|project| project.path.clone());
            let attention =
                LinkAttention::ProjectsWithoutHook { count: self.failed.len(), paths: paths.collect() };
            self.change(move |link| link.attention = Some(attention.clone())).await?;
        }
        Ok(())
    }

    /// Makes the hook of one project. It is stored before it exists, so that a crash leaves none that nobody knows of.
    async fn hook_project(&mut self, project: &Project) -> Result<(), LinkError> {
        let (store, link) = (&self.linking.store, self.subscription.id);
        let (owner, secrets) = (HookOwner::Project(project.id), HookSecrets::generate()?);
        let context = Context::hook(self.subscription.site, link, Some(project.id));
        let mut hook =
            self.linking.seal_hook(HookKind::Project, Some(project.id), &secrets, &context).await?;
        store.put_project_hook(link, project.id, &hook).await?;
        let url = format!("{}?project={}", self.webhook_url(), project.id);
        let made = match self.create_hook(owner, &url, &secrets).await {
            Err(error) if self.linking.waits_for(&error).await => {
                self.create_hook(owner, &url, &secrets).await
            }
            made => made,
        };
        match made {
            Ok(stored) => {
                self.hooked.push((project.id, stored.id));
                hook.id = Some(stored.id);
                hook.signed = self.is_signed(owner, &stored).await;
                store.put_project_hook(link, project.id, &hook).await?;
            }
            Err(error) => self.failed.push(FailedProject { path: project.path.clone(), error }),
        }
        Ok(())
    }

    async fn create_hook(
        &self,
        owner: HookOwner,
        url: &str,
        secrets: &HookSecrets,
    ) -> Result<StoredHook, GitlabError> {
        let hook = NewHook { url, token: &secrets.token, signing_token: &secrets.signing_token };
        self.plan.gitlab.create_hook(owner, &hook).await
    }

    /// Whether GitLab kept the signing token: a feature flag of its own makes it ignore one without a word.
    async fn is_signed(&self, owner: HookOwner, created: &StoredHook) -> bool {
        if created.signing_token_present || !self.plan.version.has_signing_token() {
            return created.signing_token_present;
        }
        // Not to know means not to demand signatures; the first valid one changes that.
        self.plan.gitlab.hook(owner, created.id).await.is_ok_and(|stored| stored.signing_token_present)
    }

    /// Changes the subscription, stored and in hand.
    pub(super) async fn change(
        &mut self,
        change: impl Fn(&mut Subscription) + Send + Sync,
    ) -> Result<(), LinkError> {
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
            projects_with_hook: self.hooked.len(),
            failed_projects: self.failed,
            manual_hook: (self.subscription.hook.kind == HookKind::Manual).then_some(self.secrets),
            notes: self.notes,
            subscription: self.subscription,
        }
    }

    /// Removes what was made, and says what could not be.
    async fn undo(self, cause: LinkError) -> LinkError {
        let (gitlab, group) = (&self.plan.gitlab, self.plan.group.id);
        let mut left = Vec::new();
        if let Some(hook) = self.subscription.hook.id
            && gitlab.delete_hook(HookOwner::Group(group), hook).await.is_err()
        {
            left.push(Leftover::GroupHook(hook));
        }
        for (project, hook) in &self.hooked {
            if gitlab.delete_hook(HookOwner::Project(*project), *hook).await.is_err() {
                left.push(Leftover::ProjectHook { project: *project, hook: *hook });
            }
        }
        if let Some(token) = self.token_id
            && gitlab.delete_group_token(group, token).await.is_err()
        {
            left.push(Leftover::GroupToken(token));
        }
        if self.linking.store.delete_subscription(&self.subscription).await.is_err() {
            left.push(Leftover::Link(self.subscription.id));
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
