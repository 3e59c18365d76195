//! Making a link: the subscription first, then its hooks, then the token, and everything taken away again when one of them
//! fails.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::domain::{Hook, HookKind, LinkAttention, Site, Subscription, SubscriptionId, SubscriptionState};
use shared::envelope::{Context, Purpose};
use shared::gitlab::client::{GitlabError, HookOwner, NewHook, StoredHook};
use shared::gitlab::model::Project;
use shared::gitlab::signature::{generate_signing_token, generate_token};
use shared::sync::verify::hook_context;

use super::credential_name;
use super::link::Plan;
use crate::operate::{Operator, Refusal, trouble};

/// How many projects a sentence names; the answer of the command names all.
const MAX_NAMES: usize = 5;

/// A hook's secrets before they are sealed.
struct Secrets {
    token: SecretString,
    signing_token: SecretString,
}

impl Secrets {
    fn generate() -> Result<Self, Refusal> {
        let failed = |_| Refusal::new("This machine gives no random numbers: try again.");
        Ok(Self {
            token: generate_token().map_err(failed)?,
            signing_token: generate_signing_token().map_err(failed)?,
        })
    }
}

/// A link on its way.
pub(super) struct Making<'a> {
    pub(super) operator: &'a Operator,
    pub(super) plan: &'a Plan,
    pub(super) subscription: Subscription,
    secrets: Secrets,
    pub(super) notes: Vec<String>,
    /// Projects with the ids of their hooks.
    hooked: Vec<(u64, u64)>,
    failed: Vec<FailedProject>,
    /// A group access token that may not be stored yet.
    pub(super) token_id: Option<u64>,
}

struct FailedProject {
    path: String,
    reason: String,
}

impl<'a> Making<'a> {
    /// Makes the link, or leaves nothing of it.
    pub(super) async fn carry_out(
        operator: &'a Operator,
        plan: &'a Plan,
        notes: Vec<String>,
    ) -> Result<Value, Refusal> {
        let mut making = Self::begin(operator, plan, notes).await?;
        match making.complete().await {
            Ok(()) => Ok(making.answer()),
            Err(refusal) => Err(making.undo(refusal).await),
        }
    }

    /// Stores the subscription, so that no hook ever points nowhere.
    async fn begin(operator: &'a Operator, plan: &'a Plan, notes: Vec<String>) -> Result<Self, Refusal> {
        let kind = match (plan.request.no_hook, plan.is_owner) {
            (true, _) => HookKind::Manual,
            (false, true) => HookKind::Group,
            (false, false) => HookKind::Project,
        };
        let (id, secrets) = (SubscriptionId::generate(), Secrets::generate()?);
        // What `hook_context` says of a subscription, which does not exist before its hook.
        let context = Context::new(plan.site.id.to_string(), Purpose::HookSecret, id.to_string());
        let subscription = Subscription {
            id,
            site: plan.site.id,
            instance: plan.instance.clone(),
            instance_version: plan.version_text.clone(),
            group_id: plan.group.id,
            group_path: plan.group.full_path.clone(),
            state: SubscriptionState::Pending,
            hook: operator.seal_hook(kind, None, &secrets, &context).await?,
            credential: None,
            project_keys: plan.request.project_keys.clone(),
            attention: None,
            created_at: operator.clock.now(),
        };
        operator.store.create_subscription(&subscription).await?;
        let (hooked, failed) = (Vec::new(), Vec::new());
        Ok(Self { operator, plan, subscription, secrets, notes, hooked, failed, token_id: None })
    }

    async fn complete(&mut self) -> Result<(), Refusal> {
        match self.subscription.hook.kind {
            HookKind::Manual => self.notes.push(
                "Make the hook by hand with this URL and these secrets, for push, merge request, pipeline, deployment and feature flag events."
                    .to_owned(),
            ),
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
        self.operator.store.update_site(self.plan.site.id, note_instance).await?;
        self.change(|link| link.state = SubscriptionState::Active).await?;
        tracing::info!(subscription.id = %self.subscription.id, site.id = %self.subscription.site, "group linked");
        Ok(())
    }

    /// Makes the group's hook. `false`: this group can't have one.
    async fn hook_group(&mut self) -> Result<bool, Refusal> {
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
                self.notes.push(
                    "GitLab makes no group hook here (it asks for Premium or Ultimate and an Owner): each project has its own."
                        .to_owned(),
                );
                self.change(|link| link.hook.kind = HookKind::Project).await?;
                Ok(false)
            }
            Err(error) => {
                let refusal = trouble::of_gitlab(&error, &self.plan.instance, "make the group's hook");
                let lost = matches!(error, GitlabError::Unavailable(_) | GitlabError::Unexpected(_));
                Err(if lost { self.with_lost_hook(&refusal) } else { refusal })
            }
        }
    }

    /// Nobody knows whether a call without an answer made a hook.
    fn with_lost_hook(&self, refusal: &Refusal) -> Refusal {
        Refusal::new(format!(
            "{refusal} If the group has a hook to {} now, remove it under {}/groups/{}/-/hooks.",
            self.webhook_url(),
            self.plan.instance,
            self.plan.group.full_path
        ))
    }

    /// Makes a hook in every project of the group. One that fails does not stop the others.
    async fn hook_projects(&mut self) -> Result<(), Refusal> {
        let mut page = Some(1);
        while let Some(number) = page {
            let projects = match self.plan.gitlab.group_projects(self.plan.group.id, number).await {
                Err(error) if self.operator.waits_for(&error).await => {
                    self.plan.gitlab.group_projects(self.plan.group.id, number).await
                }
                projects => projects,
            };
            let projects = projects.map_err(|error| {
                trouble::of_gitlab(&error, &self.plan.instance, "list the group's projects")
            })?;
            for project in &projects.items {
                self.hook_project(project).await?;
            }
            page = projects.next;
        }
        if let (true, Some(first)) = (self.hooked.is_empty(), self.failed.first()) {
            return Err(Refusal::new(format!(
                "No project of {} got a hook: {} says of {}: {}",
                self.plan.group.full_path, self.plan.instance, first.path, first.reason
            )));
        }
        self.notes.push(
            "Projects that are made later get no hook by themselves: unlink the group and link it again then."
                .to_owned(),
        );
        if !self.failed.is_empty() {
            let paths = self.failed.iter().take(MAX_NAMES).map(|project| project.path.clone()).collect();
            let attention = LinkAttention::ProjectsWithoutHook { count: self.failed.len(), paths };
            self.change(move |link| link.attention = Some(attention.clone())).await?;
        }
        Ok(())
    }

    /// Makes the hook of one project. It is stored before it exists, so that a crash leaves none that nobody knows of.
    async fn hook_project(&mut self, project: &Project) -> Result<(), Refusal> {
        let (store, link) = (&self.operator.store, self.subscription.id);
        let (owner, secrets) = (HookOwner::Project(project.id), Secrets::generate()?);
        let context = hook_context(&self.subscription, Some(project.id));
        let mut hook =
            self.operator.seal_hook(HookKind::Project, Some(project.id), &secrets, &context).await?;
        store.put_project_hook(link, project.id, &hook).await?;
        let url = format!("{}?project={}", self.webhook_url(), project.id);
        let made = match self.create_hook(owner, &url, &secrets).await {
            Err(error) if self.operator.waits_for(&error).await => {
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
            Err(error) => {
                let reason =
                    trouble::of_gitlab(&error, &self.plan.instance, "make hooks in this project").sentence;
                self.failed.push(FailedProject { path: project.path.clone(), reason });
            }
        }
        Ok(())
    }

    async fn create_hook(
        &self,
        owner: HookOwner,
        url: &str,
        secrets: &Secrets,
    ) -> Result<StoredHook, GitlabError> {
        let hook = NewHook { url, token: &secrets.token, signing_token: &secrets.signing_token };
        self.plan.gitlab.create_hook(owner, &hook).await
    }

    /// Whether GitLab kept the signing token: it may have ignored it, without a word, for a feature flag of its own.
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
    ) -> Result<(), Refusal> {
        let changed = self.operator.store.update_subscription(self.subscription.id, change).await?;
        self.subscription = changed.ok_or_else(|| Refusal::new("Somebody unlinked the group meanwhile."))?;
        Ok(())
    }

    fn webhook_url(&self) -> String {
        self.operator.webhook_url(self.subscription.id)
    }

    fn answer(&self) -> Value {
        let link = &self.subscription;
        let mut answer = json!({
            "subscription": link.id, "site": self.plan.site.host(), "group": link.group_path,
            "webhook_url": self.webhook_url(), "hook_id": link.hook.id, "hook_kind": link.hook.kind,
            "credential": credential_name(link.credential.as_ref()), "notes": self.notes,
        });
        match link.hook.kind {
            HookKind::Project => {
                let failed = self.failed.iter();
                let failed: Vec<_> = failed
                    .map(|project| json!({ "project": project.path, "reason": project.reason }))
                    .collect();
                answer["projects"] = json!({ "hooked": self.hooked.len(), "failed": failed });
            }
            HookKind::Manual => {
                answer["secrets"] = json!({
                    "token": self.secrets.token.expose_secret(),
                    "signing_token": self.secrets.signing_token.expose_secret(),
                });
            }
            HookKind::Group => {}
        }
        answer
    }

    /// Removes what was made, and says what could not be.
    async fn undo(self, refusal: Refusal) -> Refusal {
        let (gitlab, group) = (&self.plan.gitlab, self.plan.group.id);
        let mut left = Vec::new();
        if let Some(hook) = self.subscription.hook.id
            && gitlab.delete_hook(HookOwner::Group(group), hook).await.is_err()
        {
            left.push(format!("hook {hook} of the group"));
        }
        for (project, hook) in &self.hooked {
            if gitlab.delete_hook(HookOwner::Project(*project), *hook).await.is_err() {
                left.push(format!("hook {hook} of project {project}"));
            }
        }
        if let Some(token) = self.token_id
            && gitlab.delete_group_token(group, token).await.is_err()
        {
            left.push(format!("access token {token} of the group"));
        }
        if self.operator.store.delete_subscription(&self.subscription).await.is_err() {
            left.push(format!(
                "the unfinished link: run `gitlab-jira group unlink {}`",
                self.subscription.id
            ));
        }
        if left.is_empty() {
            return refusal;
        }
        Refusal::new(format!("{refusal} What was made so far could not all be removed: {}.", left.join(", ")))
    }
}

impl Operator {
    async fn seal_hook(
        &self,
        kind: HookKind,
        project_id: Option<u64>,
        secrets: &Secrets,
        context: &Context,
    ) -> Result<Hook, Refusal> {
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
