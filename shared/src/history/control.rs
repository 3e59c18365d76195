//! Beginning, pausing, resuming and ending a link's history, from whichever front end. Audits belong to `audit`.

use std::time::Duration;

use ulid::Ulid;

use crate::clock::SharedClock;
use crate::clock::Timestamp;
use crate::domain::{
    HistoryDepth, HistoryKind, HistoryPlan, HistoryScope, HistorySlot, HistoryState, ProjectHistory, Site,
    SiteCondition, Subscription, SubscriptionId,
};
use crate::queue::{QueueError, SharedQueue};
use crate::store::{Store, StoreError};
use crate::sync::step::{LinkStep, enqueue};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How far back a link's history goes unless somebody says otherwise.
const DEFAULT_SINCE: Duration = DAY.saturating_mul(365);

/// The same for pipelines and deployments, which may trigger automation rules in Jira.
const DEFAULT_CI_SINCE: Duration = DAY.saturating_mul(90);

/// So many of each kind are brought from each project, however old they are: as many as GitLab's own app brings
/// (<https://docs.gitlab.com/integration/jira/connect-app/>).
const DEFAULT_AT_LEAST: u32 = 400;

/// A running plan in which nothing changes for so long has lost its messages: they were dead-lettered or deleted. Longer than
/// GitLab or Jira usually ask to wait, since what waits is put on the queue once more.
const LOST_AFTER: Duration = Duration::from_secs(6 * 3600);

/// Begins and ends plans.
#[derive(Clone, Debug)]
pub struct HistoryControl {
    /// State.
    pub store: Store,
    /// Where steps go.
    pub steps: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
}

/// Why a plan was not changed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The link has no token to read GitLab with.
    #[error("the link has no token, so nothing but events can be read")]
    NoToken,
    /// The link has no plan that this can be done to.
    #[error("the link has no history that can be changed like this")]
    NoPlan,
    /// The link's history has never listed this project.
    #[error("the link's history has not listed the project")]
    UnknownProject,
    /// The link's history is being sent, or it is being audited.
    #[error("the link's history or audit is under way")]
    UnderWay,
    /// Our own table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// How far back history goes unless somebody says otherwise.
#[must_use]
pub fn default_depth(now: Timestamp) -> HistoryDepth {
    HistoryDepth {
        since: Some(now.before(DEFAULT_SINCE)),
        ci_since: Some(now.before(DEFAULT_CI_SINCE)),
        at_least: DEFAULT_AT_LEAST,
    }
}

impl HistoryControl {
    /// Begins a plan in the place of the link's last one.
    ///
    /// # Errors
    /// [`HistoryError`]; after one of the queue's the plan is there, and can be resumed.
    pub async fn begin(
        &self,
        link: &Subscription,
        scope: HistoryScope,
        depth: HistoryDepth,
    ) -> Result<HistoryPlan, HistoryError> {
        self.start(self.plan(link, HistoryKind::History, scope, depth)?).await
    }

    /// The same for one project, which was listed before, by its full path.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn begin_project(
        &self,
        link: &Subscription,
        path: &str,
        scope: HistoryScope,
        depth: HistoryDepth,
    ) -> Result<HistoryPlan, HistoryError> {
        let slot = HistorySlot::history(link.id);
        // A worker that is at the project would keep the new plan from it.
        let last = self.store.history_progress(slot).await?;
        if last.is_some_and(|last| last.plan.is_running()) {
            return Err(HistoryError::UnderWay);
        }
        let listed = self.store.history_projects(slot).await?;
        let listed = listed.into_iter().find(|listed| listed.project.path == path);
        let project = listed.ok_or(HistoryError::UnknownProject)?.project;
        let plan = self.plan(link, slot.kind, scope, depth)?;
        let plan = HistoryPlan { only: Some(project.id), next_page: None, total: Some(1), ..plan };
        let begun = ProjectHistory::new(slot.kind, plan.id, project, plan.started_at);
        self.store.begin_project_history(slot, &begun).await?;
        self.start(plan).await
    }

    /// A plan for all that the link covers.
    pub(super) fn plan(
        &self,
        link: &Subscription,
        kind: HistoryKind,
        scope: HistoryScope,
        depth: HistoryDepth,
    ) -> Result<HistoryPlan, HistoryError> {
        if link.credential.is_none() {
            return Err(HistoryError::NoToken);
        }
        Ok(HistoryPlan {
            id: Ulid::new(),
            link: link.id,
            kind,
            scope,
            depth,
            state: HistoryState::Running,
            next_page: Some(1),
            total: None,
            started_at: self.clock.now(),
            ended_at: None,
            only: None,
            deletes_many: false,
        })
    }

    pub(super) async fn start(&self, plan: HistoryPlan) -> Result<HistoryPlan, HistoryError> {
        self.store.begin_history(&plan).await?;
        self.enqueue_rest(&plan).await?;
        tracing::info!(subscription.id = %plan.link, kind = ?plan.kind, scope = ?plan.scope, "a link's history begins");
        Ok(plan)
    }

    /// Pauses a plan that runs; work that is under way ends with its page.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn pause(&self, link: SubscriptionId) -> Result<HistoryPlan, HistoryError> {
        self.change(link, HistoryPlan::is_running, HistoryState::Paused).await
    }

    /// Ends a plan. What was sent stays.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn cancel(&self, link: SubscriptionId) -> Result<HistoryPlan, HistoryError> {
        self.change(link, HistoryPlan::is_open, HistoryState::Cancelled).await
    }

    /// Goes on with a plan that was paused or cancelled, or failed for good, or whose messages are gone.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn resume(&self, link: SubscriptionId) -> Result<HistoryPlan, HistoryError> {
        let goes_on = |plan: &HistoryPlan| plan.state != HistoryState::Done;
        let plan = self.change(link, goes_on, HistoryState::Running).await?;
        self.enqueue_rest(&plan).await?;
        Ok(plan)
    }

    /// Sends again all that came through the links of a site, once Jira has deleted it with the connection that had sent it.
    /// Doing it again begins nothing twice.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn resync_site(&self, site: &Site) -> Result<(), HistoryError> {
        let Some(since) = site.needs_resync_since else { return Ok(()) };
        if site.state.condition != SiteCondition::Active {
            return Ok(());
        }
        let mut is_begun = true;
        for link in self.store.subscriptions(site.id).await? {
            let plan = self.store.history_plan(HistorySlot::history(link.id)).await?;
            let is_whole = |plan: &HistoryPlan| plan.scope == HistoryScope::Everything && plan.only.is_none();
            if plan.is_some_and(|plan| is_whole(&plan) && plan.started_at >= since) {
                continue;
            }
            match self.begin(&link, HistoryScope::Everything, default_depth(self.clock.now())).await {
                Ok(_) => {}
                // What was sent before comes back with its next change only.
                Err(HistoryError::NoToken) => is_begun = false,
                Err(error) => return Err(error),
            }
        }
        if is_begun {
            let clear = |site: &mut Site| {
                if site.needs_resync_since == Some(since) {
                    site.needs_resync_since = None;
                }
            };
            self.store.update_site(site.id, clear).await?;
        }
        Ok(())
    }

    /// Goes on with a plan whose messages are gone. `true`: it had come to a stop.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn go_on_if_lost(&self, slot: HistorySlot) -> Result<bool, HistoryError> {
        let Some(plan) = self.store.history_plan(slot).await?.filter(HistoryPlan::is_running) else {
            return Ok(false);
        };
        let Some(progress) = self.store.history_progress(slot).await? else { return Ok(false) };
        let is_lost = progress.plan.is_running() && self.clock.now().since(progress.changed_at) >= LOST_AFTER;
        if is_lost {
            self.enqueue_rest(&plan).await?;
        }
        Ok(is_lost)
    }

    /// Puts everything on the queue that is left of a plan. What is there already does no harm.
    async fn enqueue_rest(&self, plan: &HistoryPlan) -> Result<(), HistoryError> {
        let slot = plan.slot();
        let listing = plan.next_page.map(|_| LinkStep::history_projects(slot, plan.id));
        let projects = self.store.history_projects(slot).await?;
        let left = projects.iter().filter(|project| project.plan == plan.id && !project.has_ended());
        let projects = left.map(|project| LinkStep::history_of_project(slot, plan.id, project.project.id));
        let steps: Vec<_> = listing.into_iter().chain(projects).collect();
        Ok(enqueue(&self.steps, self.clock.now(), steps).await?)
    }

    async fn change(
        &self,
        link: SubscriptionId,
        may: impl Fn(&HistoryPlan) -> bool + Send + Sync,
        state: HistoryState,
    ) -> Result<HistoryPlan, HistoryError> {
        // Not the plan as it is stored: that it is done follows from its projects.
        let slot = HistorySlot::history(link);
        let progress = self.store.history_progress(slot).await?.ok_or(HistoryError::NoPlan)?;
        if !may(&progress.plan) {
            return Err(HistoryError::NoPlan);
        }
        let ended_at = (state == HistoryState::Cancelled).then(|| self.clock.now());
        let change = |plan: &mut HistoryPlan| {
            if may(plan) {
                (plan.state, plan.ended_at) = (state, ended_at);
            }
        };
        self.store.update_history(slot, change).await?.ok_or(HistoryError::NoPlan)
    }
}
