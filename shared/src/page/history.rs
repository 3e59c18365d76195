//! A link's history, for the page: how far it has come, and beginning, pausing and ending it.

use serde::{Deserialize, Serialize};

use super::{Administrator, Cause, PageApi, PageError};
use crate::domain::{HistoryScope, HistorySlot, HistoryState, ProjectHistory, Subscription, SubscriptionId};
use crate::health;
use crate::history::audit::AuditSummary;
use crate::history::control::{HistoryError, default_depth};

/// Sentences about projects that are shown; more would hide the link's own.
const MAX_TROUBLES: usize = 10;

/// What is to be done about a link's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryAction {
    /// Send what Jira was not sent before.
    ResyncMissing,
    /// Send everything again.
    ResyncEverything,
    /// Pause it.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
    /// Find out whether something is missing.
    Audit,
    /// The same, and remove the branches that GitLab no longer has, however many.
    AuditAndRemove,
}

/// How far a link's history has come.
#[derive(Debug, Serialize)]
pub(super) struct HistoryView {
    /// Its state, and the cause when it stopped.
    #[serde(flatten)]
    state: HistoryState,
    remedy: Option<&'static str>,
    ended: u64,
    /// None where GitLab has not said yet how many projects there are.
    total: Option<u64>,
    keyed: u64,
    sent: u64,
    refused: u64,
    unread: u64,
    started_at: String,
    ended_at: Option<String>,
    estimated_end: Option<String>,
    /// Sentences about projects, with cause and remedy.
    troubles: Vec<String>,
    /// Projects with something that could not be listed.
    failed: u64,
}

/// What the last audit of a link has found.
#[derive(Debug, Serialize)]
pub(super) struct AuditView {
    #[serde(flatten)]
    audit: AuditSummary,
    remedy: Option<&'static str>,
    /// Sentences about what is missing.
    troubles: Vec<String>,
    /// Sentences about what could not be listed.
    failures: Vec<String>,
    /// Branches that somebody has to say were deleted.
    branches_gone: u64,
}

impl PageApi {
    /// None where no history was begun.
    pub(super) async fn history_view(&self, link: &Subscription) -> Result<Option<HistoryView>, PageError> {
        let Some(progress) = self.store().history_progress(HistorySlot::history(link.id)).await? else {
            return Ok(None);
        };
        let plan = &progress.plan;
        let troubles = match progress.failed {
            0 => Vec::new(),
            _ => self.store().history_projects(HistorySlot::history(link.id)).await?,
        };
        let troubles = troubles.iter().filter(|project| project.plan == plan.id);
        Ok(Some(HistoryView {
            state: plan.state,
            remedy: match plan.state {
                HistoryState::Failed(cause) => Some(health::history_remedy(cause)),
                HistoryState::Running
                | HistoryState::Paused
                | HistoryState::Cancelled
                | HistoryState::Done => None,
            },
            ended: progress.ended,
            total: progress.total(),
            keyed: progress.keyed,
            sent: progress.sent,
            refused: progress.refused,
            unread: progress.unread,
            started_at: plan.started_at.iso8601(),
            ended_at: plan.ended_at.map(|ended| ended.iso8601()),
            estimated_end: progress.estimated_end(self.clock().now()).map(|end| end.iso8601()),
            troubles: troubles.filter_map(health::project_history_remedy).take(MAX_TROUBLES).collect(),
            failed: progress.failed,
        }))
    }

    /// None where there was none yet.
    pub(super) async fn audit_view(&self, link: &Subscription) -> Result<Option<AuditView>, PageError> {
        let audit = self.linking.history().last_audit(link.id).await?;
        let take_failed = |mut audit: AuditSummary| (std::mem::take(&mut audit.failed_projects), audit);
        Ok(audit.map(take_failed).map(|(failed, audit)| AuditView {
            troubles: audit.named.iter().map(health::missing_sentence).take(MAX_TROUBLES).collect(),
            remedy: match audit.state {
                HistoryState::Failed(cause) => Some(health::history_remedy(cause)),
                HistoryState::Running
                | HistoryState::Paused
                | HistoryState::Cancelled
                | HistoryState::Done => None,
            },
            failures: failed.iter().filter_map(health::project_history_remedy).take(MAX_TROUBLES).collect(),
            branches_gone: failed.iter().map(ProjectHistory::branches_gone).sum(),
            audit: AuditSummary { named: Vec::new(), ..audit },
        }))
    }

    /// Begins, pauses, resumes or ends the history of a link, or audits it.
    pub(super) async fn history(
        &self,
        who: &Administrator,
        id: SubscriptionId,
        action: HistoryAction,
    ) -> Result<(), PageError> {
        let link = self.own_link(who, id).await?;
        let (control, depth) = (self.linking.history(), default_depth(self.clock().now()));
        let changed = match action {
            HistoryAction::ResyncMissing => control.begin(&link, HistoryScope::Missing, depth).await,
            HistoryAction::ResyncEverything => control.begin(&link, HistoryScope::Everything, depth).await,
            HistoryAction::Pause => control.pause(id).await,
            HistoryAction::Resume => control.resume(id).await,
            HistoryAction::Cancel => control.cancel(id).await,
            HistoryAction::Audit => control.audit(&link, false).await,
            HistoryAction::AuditAndRemove => control.audit(&link, true).await,
        };
        changed.map(drop).map_err(|error| match error {
            HistoryError::NoToken => PageError::new(
                Cause::Refused,
                "The link has no access token, so only events can be read: renew it with one.",
            ),
            HistoryError::UnderWay => PageError::new(
                Cause::Refused,
                "The history or the audit of the link is under way: wait until it has ended.",
            ),
            HistoryError::UnknownProject | HistoryError::NoPlan => PageError::new(
                Cause::Refused,
                "The history has changed meanwhile: reload the page to see how it stands.",
            ),
            HistoryError::Store(error) => error.into(),
            HistoryError::Queue(error) => error.into(),
        })
    }
}
