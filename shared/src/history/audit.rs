//! Audits: whether Jira has accepted all that GitLab has and that names an issue, what is missing and why, and what was
//! repaired. An audit is a plan like a link's history and done by the same steps; when one is due, and what it says in the end,
//! is decided here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{HistoryControl, HistoryError, default_depth};
use crate::clock::Timestamp;
use crate::domain::{
    HistoryDepth, HistoryKind, HistoryPlan, HistoryProgress, HistoryScope, HistorySlot, HistoryState,
    MissingEntity, ProjectHistory, Subscription, SubscriptionId,
};
use crate::store::StoreError;

/// How often a link is audited.
const AUDITED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// An audit goes back this much further than to the beginning of the last one: what was on its way then had no time to arrive.
const AUDIT_OVERLAP: Duration = Duration::from_secs(3600);

/// Missing things that are named in the end.
const MAX_NAMED: usize = 100;

/// What an audit has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSummary {
    /// Whether it goes on, and the cause when it failed for good.
    #[serde(flatten)]
    pub state: HistoryState,
    /// What was changed since then was looked at, in ISO 8601; none: as much as a link's history brings.
    pub since: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Projects that have ended.
    pub ended: u64,
    /// Projects that there are; none where GitLab has not said so yet.
    pub total: Option<u64>,
    /// Branches, commits, merge requests, pipelines and deployments with issue keys.
    pub keyed: u64,
    /// Those that Jira does not have in the end, though it has their issues.
    pub missing: u64,
    /// Those that name no issue which Jira has.
    pub without_issue: u64,
    /// Those that Jira did not have, and has now.
    pub repaired: u64,
    /// Branches that issues showed and GitLab no longer had, and that were removed.
    pub removed: u64,
    /// Projects with something that could not be listed.
    pub failed: u64,
    /// Some of them.
    pub failed_projects: Vec<ProjectHistory>,
    /// Some of what is missing, by name.
    pub named: Vec<MissingEntity>,
}

impl HistoryControl {
    /// Audits a link as far back as its history goes: finds what GitLab has and Jira does not, and sends it; removes branches
    /// that GitLab no longer has, and `deletes_many` of them when somebody has said that so many were deleted.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn audit(&self, link: &Subscription, deletes_many: bool) -> Result<HistoryPlan, HistoryError> {
        for slot in [HistorySlot::history(link.id), HistorySlot::audit(link.id)] {
            let progress = self.store.history_progress(slot).await?;
            if progress.is_some_and(|progress| progress.plan.is_running()) {
                return Err(HistoryError::UnderWay);
            }
        }
        let depth = default_depth(self.clock.now());
        let plan = self.plan(link, HistoryKind::Audit, HistoryScope::Missing, depth)?;
        self.start(HistoryPlan { deletes_many, ..plan }).await
    }

    /// Audits what has changed since the last audit began, when that was a day ago, or at once when hooks `were_silent`
    /// meanwhile. `true`: it was begun.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn audit_if_due(&self, link: &Subscription, were_silent: bool) -> Result<bool, HistoryError> {
        if link.credential.is_none() {
            return Ok(false);
        }
        let last = self.store.history_plan(HistorySlot::audit(link.id)).await?;
        let begun = last.map_or(link.created_at, |audit| audit.started_at);
        if !were_silent && self.clock.now().since(begun) < AUDITED_EVERY {
            return Ok(false);
        }
        let mut since = link.created_at;
        for slot in [HistorySlot::history(link.id), HistorySlot::audit(link.id)] {
            let Some(progress) = self.store.history_progress(slot).await? else { continue };
            if progress.plan.is_open() {
                return Ok(false);
            }
            since = since.max(complete_until(&progress).unwrap_or(since));
        }
        let since = Some(since.before(AUDIT_OVERLAP));
        let depth = HistoryDepth { since, ci_since: since, at_least: 0 };
        self.start(self.plan(link, HistoryKind::Audit, HistoryScope::Missing, depth)?).await?;
        Ok(true)
    }

    /// What the last audit of a link has found; none when there was none.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn last_audit(&self, link: SubscriptionId) -> Result<Option<AuditSummary>, StoreError> {
        let slot = HistorySlot::audit(link);
        let Some(plan) = self.store.history_plan(slot).await? else { return Ok(None) };
        let mut projects = self.store.history_projects(slot).await?;
        let progress = HistoryProgress::of(plan, &projects);
        let missing = progress.refused + progress.unread;
        let without_issue = progress.keyed.saturating_sub(progress.sent + missing);
        projects.retain(|project| project.plan == progress.plan.id);
        let failed_projects = projects.iter().filter(|project| project.has_failed()).take(MAX_NAMED).cloned();
        let failed_projects = failed_projects.collect();
        Ok(Some(AuditSummary {
            state: progress.plan.state,
            since: is_partial(&progress.plan)
                .then_some(progress.plan.depth.since)
                .flatten()
                .map(Timestamp::iso8601),
            started_at: progress.plan.started_at.iso8601(),
            ended_at: progress.plan.ended_at.map(Timestamp::iso8601),
            ended: progress.ended,
            total: progress.total(),
            keyed: progress.keyed,
            missing,
            without_issue,
            repaired: progress.added,
            removed: progress.removed,
            failed: progress.failed,
            failed_projects,
            named: projects.into_iter().flat_map(|project| project.missing).take(MAX_NAMED).collect(),
        }))
    }
}

/// Whether an audit looks at what has changed since the last one only.
fn is_partial(plan: &HistoryPlan) -> bool {
    plan.depth.at_least == 0
}

/// Until when nothing is missing because of a plan.
fn complete_until(progress: &HistoryProgress) -> Option<Timestamp> {
    let plan = &progress.plan;
    let is_complete = plan.state == HistoryState::Done && progress.unfinished == 0 && progress.unread == 0;
    match plan.kind {
        _ if plan.only.is_some() => None,
        _ if is_complete => Some(plan.started_at),
        // The next one takes over what this one was to do.
        HistoryKind::Audit => plan.depth.since,
        HistoryKind::History => None,
    }
}
