//! The hooks of a link's projects, a page of projects per step. A step can be done again at any time, by anybody: what is
//! done is noted with each hook, how far the plan has come with the link, and a lease lets one worker at a time do it. What
//! makes one hook belongs to [`hooks`](super::hooks).

use std::time::Duration;

use secrecy::SecretString;
use ulid::Ulid;

use super::hooks::{HookAccess, HookCare, HookChange, HookError, LinkHooks};
use super::{LinkError, Linking};
use crate::clock::Timestamp;
use crate::domain::{
    Hook, HookDone, HookFailure, HookMark, HookPlan, PlanFailure, PlanPurpose, PlanState, Subscription,
    SubscriptionId,
};
use crate::envelope::{Context, EnvelopeError};
use crate::gitlab::client::{GitlabClient, GitlabError};
use crate::gitlab::model::Project;
use crate::gitlab::version::Version;
use crate::queue::QueueError;
use crate::queue::worker::Deadline;
use crate::store::StoreError;
use crate::sync::step::{LinkStep, enqueue};

/// How long a step waits while GitLab does not answer.
const OUTAGE_PAUSE: Duration = Duration::from_secs(30);

/// Reserved of a step's time for one more hook: its calls, each of which may hang until its time-out.
const TIME_OF_A_HOOK: Duration = Duration::from_secs(40);

/// How much one of [`Linking::finish_hooks`]' steps does.
const STEP: Duration = Duration::from_secs(120);

/// How long it waits for GitLab in all.
const MAX_WAIT: Duration = Duration::from_secs(90);

/// How often it checks whether somebody else has finished a step.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// There is more to do.
    Next,
    /// The plan has ended.
    Ended,
    /// The plan is not this link's, or has ended before: there is nothing to do.
    Superseded,
    /// GitLab must not be called until this moment.
    Wait(Timestamp),
    /// Somebody else is at work on the link, until this moment at most.
    Busy(Timestamp),
}

/// What becomes of a page of projects.
enum PageEnd {
    /// All of it is done.
    Done {
        /// How many projects it has.
        projects: u64,
        /// The highest of their ids.
        newest: u64,
        /// The next page's number, if there is one.
        next: Option<u32>,
    },
    /// There was no time for the rest.
    OutOfTime,
    /// GitLab must not be called until then.
    Wait(Timestamp),
    /// The plan can't go on.
    Fail(PlanFailure),
    /// The link was removed, or has another plan.
    Superseded,
}

impl LinkHooks {
    /// Does the next page of the plan, or as much of it as there is time for.
    ///
    /// # Errors
    /// Our own table or keys; the step can be done again.
    pub async fn step(
        &self,
        link: SubscriptionId,
        plan: Ulid,
        deadline: Deadline,
    ) -> Result<StepEnd, LinkError> {
        let lease = match self.store.take_lease(link).await? {
            Ok(lease) => lease,
            Err(held) => return Ok(self.superseded(link, plan).await?.unwrap_or(StepEnd::Busy(held.until))),
        };
        let end = self.step_alone(link, plan, deadline).await;
        self.store.end_lease(link, lease).await?;
        end
    }

    /// [`StepEnd::Superseded`], if nothing of the plan is to be done any more.
    async fn superseded(&self, link: SubscriptionId, plan: Ulid) -> Result<Option<StepEnd>, StoreError> {
        let running = self.running(link, plan).await?;
        Ok(running.is_none().then_some(StepEnd::Superseded))
    }

    /// The link, as long as the plan is its own and runs.
    async fn running(&self, link: SubscriptionId, plan: Ulid) -> Result<Option<Subscription>, StoreError> {
        let runs = |link: &Subscription| {
            link.hooks.as_ref().is_some_and(|current| current.id == plan && current.is_running())
        };
        Ok(self.store.subscription(link).await?.filter(runs))
    }

    async fn step_alone(
        &self,
        id: SubscriptionId,
        plan: Ulid,
        deadline: Deadline,
    ) -> Result<StepEnd, LinkError> {
        let Some(link) = self.running(id, plan).await? else { return Ok(StepEnd::Superseded) };
        let Some(current) = &link.hooks else { return Ok(StepEnd::Superseded) };
        let access = if current.is_out_of_time(self.clock.now()) {
            Err(PlanFailure::OutOfTime)
        } else {
            self.plan_access(&link, current).await?
        };
        let page = match access {
            Ok(gitlab) => self.page(&link, current, &gitlab, deadline).await?,
            Err(failure) => PageEnd::Fail(failure),
        };
        let now = self.clock.now();
        let changed = match page {
            PageEnd::Done { projects, newest, next } => {
                let advance = |plan: &mut HookPlan| {
                    plan.newest_project = plan.newest_project.max(newest);
                    plan.advance(projects, next, now);
                };
                self.change_plan(id, plan, advance).await?
            }
            PageEnd::Fail(cause) => {
                self.change_plan(id, plan, |plan| plan.end(PlanState::Failed(cause), now)).await?
            }
            PageEnd::OutOfTime => return Ok(StepEnd::Next),
            PageEnd::Wait(until) => return Ok(StepEnd::Wait(until)),
            PageEnd::Superseded => return Ok(StepEnd::Superseded),
        };
        let Some(plan) = changed else { return Ok(StepEnd::Superseded) };
        if plan.is_running() {
            return Ok(StepEnd::Next);
        }
        tracing::info!(
            subscription.id = %id, made = plan.made, repaired = plan.repaired, failed = plan.failed, state = ?plan.state,
            "the hooks of a link's projects are in order"
        );
        Ok(StepEnd::Ended)
    }

    /// Changes the plan where it is stored, if it is still the link's own and runs; answers it as it is then.
    async fn change_plan(
        &self,
        link: SubscriptionId,
        id: Ulid,
        change: impl Fn(&mut HookPlan) + Send + Sync,
    ) -> Result<Option<HookPlan>, StoreError> {
        let of_plan = |link: &mut Subscription| {
            if let Some(plan) = link.hooks.as_mut().filter(|plan| plan.id == id && plan.is_running()) {
                change(plan);
            }
        };
        let changed = self.store.update_subscription(link, of_plan).await?;
        Ok(changed.and_then(|link| link.hooks).filter(|plan| plan.id == id))
    }

    /// GitLab through the plan's token, or else the link's own.
    async fn plan_access(
        &self,
        link: &Subscription,
        plan: &HookPlan,
    ) -> Result<Result<GitlabClient, PlanFailure>, LinkError> {
        let opened = match (&plan.token, &link.credential) {
            (Some(token), _) => {
                self.envelope.open(token, &Context::hook_plan_token(link.site, link.id)).await
            }
            (None, Some(credential)) => {
                let context = Context::gitlab_token(link.site, link.id);
                self.envelope.open(&credential.token, &context).await
            }
            (None, None) => return Ok(Err(PlanFailure::NoToken)),
        };
        let token: SecretString = match opened {
            Ok(token) => token,
            Err(error @ EnvelopeError::Unavailable(_)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(subscription.id = %link.id, %error, "a token can't be opened");
                return Ok(Err(PlanFailure::Unusable));
            }
        };
        Ok(self.gitlab_with(link, token).map_err(|_| PlanFailure::Unusable))
    }

    async fn page(
        &self,
        link: &Subscription,
        plan: &HookPlan,
        gitlab: &GitlabClient,
        deadline: Deadline,
    ) -> Result<PageEnd, LinkError> {
        let listed = match gitlab.group_projects(link.group_id, plan.page).await {
            Ok(listed) => listed,
            Err(GitlabError::Forbidden | GitlabError::NotFound) => {
                return Ok(PageEnd::Fail(PlanFailure::GroupHidden));
            }
            Err(error) => return Ok(self.interrupted(&error).unwrap_or(PageEnd::Wait(self.later()))),
        };
        let access = HookAccess { gitlab, version: Version::parse(&link.instance_version) };
        let (id, total) = (plan.id, listed.total);
        for project in &listed.items {
            if self.is_done(link.id, plan, project.id).await? {
                continue;
            }
            if !deadline.leaves(TIME_OF_A_HOOK) {
                return Ok(PageEnd::OutOfTime);
            }
            let Some(done) = (match self.of_project(access, link, plan, project).await? {
                Ok(done) => done,
                Err(end) => return Ok(end),
            }) else {
                continue;
            };
            let counted = self.change_plan(link.id, id, |plan| {
                plan.total = total.or(plan.total);
                plan.count(&project.path, &done);
            });
            if counted.await?.is_none_or(|plan| !plan.is_running()) {
                return Ok(PageEnd::Superseded);
            }
        }
        let newest = listed.items.iter().map(|project| project.id).max().unwrap_or_default();
        Ok(PageEnd::Done { projects: listed.items.len() as u64, newest, next: listed.next })
    }

    /// Whether the plan has handled this project's hook already, or has nothing to do there.
    async fn is_done(&self, link: SubscriptionId, plan: &HookPlan, project: u64) -> Result<bool, StoreError> {
        let Some(hook) = self.store.project_hook(link, project).await? else { return Ok(false) };
        let is_marked = hook.mark.is_some_and(|mark| mark.plan == plan.id);
        Ok(is_marked || (plan.purpose == PlanPurpose::Make && hook.id.is_some()))
    }

    /// Does what the plan is for in one project. `None`: the project is gone.
    async fn of_project(
        &self,
        access: HookAccess<'_>,
        link: &Subscription,
        plan: &HookPlan,
        project: &Project,
    ) -> Result<Result<Option<HookDone>, PageEnd>, LinkError> {
        let care = if plan.purpose == PlanPurpose::Renew { HookCare::Renew } else { HookCare::Repair };
        let done = match self.ensure(access, link, Some(project.id), care).await {
            Ok(HookChange::Made | HookChange::MadeAgain) => HookDone::Made,
            Ok(HookChange::Renewed | HookChange::Enabled) => HookDone::Repaired,
            Ok(HookChange::None | HookChange::DisabledUntil(_)) => HookDone::Nothing,
            Err(HookError::Link(LinkError::UnlinkedMeanwhile)) => return Ok(Err(PageEnd::Superseded)),
            Err(HookError::Link(error)) => return Err(error),
            Err(HookError::Gitlab(error)) => match self.interrupted(&error) {
                Some(end) => return Ok(Err(end)),
                None if is_gone(access.gitlab, project.id, &error).await => {
                    self.store.delete_project_hook(link.id, project.id).await?;
                    return Ok(Ok(None));
                }
                None => HookDone::Failed(failure(error)),
            },
        };
        let mark = HookMark { plan: plan.id, done: done.clone() };
        self.store
            .update_hook(link.id, Some(project.id), |hook: &mut Hook| hook.mark = Some(mark.clone()))
            .await?;
        Ok(Ok(Some(done)))
    }

    /// What an error means for the whole plan, if it is not of one project.
    fn interrupted(&self, error: &GitlabError) -> Option<PageEnd> {
        match error {
            GitlabError::Unauthorized => Some(PageEnd::Fail(PlanFailure::TokenRefused)),
            GitlabError::RateLimited { retry_after } => {
                Some(PageEnd::Wait(self.clock.now().after(*retry_after)))
            }
            GitlabError::Unavailable(_) => Some(PageEnd::Wait(self.later())),
            _ => None,
        }
    }

    fn later(&self) -> Timestamp {
        self.clock.now().after(OUTAGE_PAUSE)
    }
}

impl Linking {
    /// Puts the next step of the link's plan on the queue, if it has one that runs.
    ///
    /// # Errors
    /// When the queue is unavailable.
    pub async fn enqueue_hooks(&self, link: &Subscription) -> Result<(), QueueError> {
        let Some(plan) = link.hooks.as_ref().filter(|plan| plan.is_running()) else { return Ok(()) };
        let step = LinkStep::Hooks { subscription: link.id, plan: plan.id };
        enqueue(&self.steps, self.clock.now(), [step]).await
    }

    /// Does what is left of the link's plan, beside whoever else does, and answers how it stands then: it still runs where
    /// GitLab asks for a long pause. `None` when the link has none.
    ///
    /// # Errors
    /// [`LinkError`]; what is left can be done later.
    pub async fn finish_hooks(&self, link: SubscriptionId) -> Result<Option<HookPlan>, LinkError> {
        let (hooks, deadline) = (self.hooks(), self.clock.now().after(MAX_WAIT));
        loop {
            let stored = self.store.subscription(link).await?.ok_or(LinkError::UnlinkedMeanwhile)?;
            let Some(plan) = stored.hooks else { return Ok(None) };
            if !plan.is_running() {
                return Ok(Some(plan));
            }
            match hooks.step(link, plan.id, Deadline::after(STEP)).await? {
                StepEnd::Wait(until) if until > deadline => return Ok(Some(plan)),
                StepEnd::Wait(until) => self.clock.sleep(until.since(self.clock.now())).await,
                StepEnd::Busy(_) => self.clock.sleep(POLL_INTERVAL).await,
                StepEnd::Next | StepEnd::Ended | StepEnd::Superseded => {}
            }
        }
    }
}

/// Whether `error` came because the project was deleted.
async fn is_gone(gitlab: &GitlabClient, project: u64, error: &GitlabError) -> bool {
    matches!(error, GitlabError::NotFound)
        && matches!(gitlab.project(project).await, Err(GitlabError::NotFound))
}

fn failure(error: GitlabError) -> HookFailure {
    match error {
        GitlabError::Forbidden | GitlabError::Unauthorized => HookFailure::Forbidden,
        GitlabError::NotFound => HookFailure::Hidden,
        GitlabError::Rejected(text) => HookFailure::Refused(text),
        GitlabError::RateLimited { .. }
        | GitlabError::Unavailable(_)
        | GitlabError::Failed(_)
        | GitlabError::Unexpected(_) => HookFailure::Failed,
    }
}
