//! A link's history on its way to Jira: what is brought there that happened before the link was made, or that was missed, and
//! how far that has come in all. How far it has come in a project belongs to `project_history`; reading and sending belong to
//! `sync` and `history`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{HistoryTask, ProjectHistory, SubscriptionId, TaskFailure, TaskProgress, TaskState};
use crate::clock::Timestamp;

/// Bringing a link's history to Jira, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPlan {
    /// Tells it from earlier plans of the link.
    pub id: Ulid,
    /// The link.
    pub link: SubscriptionId,
    /// What it is for.
    #[serde(default)]
    pub kind: HistoryKind,
    /// What it sends.
    pub scope: HistoryScope,
    /// How far back it goes.
    pub depth: HistoryDepth,
    /// Whether it goes on.
    pub state: HistoryState,
    /// The page of the group's projects that is listed next; none once all are listed.
    pub next_page: Option<u32>,
    /// Projects that the group has, as far as GitLab says.
    #[serde(default)]
    pub total: Option<u64>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was cancelled, failed for good, or was found done.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The one project that it is limited to, by GitLab's id; none: all.
    #[serde(default)]
    pub only: Option<u64>,
    /// Whether somebody has said that many branches were deleted.
    #[serde(default)]
    pub deletes_many: bool,
}

/// What a plan is for. A link has at most one of each kind; they know nothing of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryKind {
    /// What happened before the link was made, or is to be sent again. Jira takes it quietly.
    #[default]
    History,
    /// Whether Jira has what GitLab has. What is missing and recent is sent as its event would have been.
    Audit,
}

/// Which plan of which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySlot {
    /// The link.
    pub link: SubscriptionId,
    /// The kind.
    pub kind: HistoryKind,
}

impl HistorySlot {
    /// The history of a link.
    #[must_use]
    pub fn history(link: SubscriptionId) -> Self {
        Self { link, kind: HistoryKind::History }
    }

    /// The audit of a link.
    #[must_use]
    pub fn audit(link: SubscriptionId) -> Self {
        Self { link, kind: HistoryKind::Audit }
    }
}

/// What a plan sends of what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryScope {
    /// What Jira does not have yet, as far as we know.
    Missing,
    /// Everything, also what Jira has been sent before: for a site that has lost it.
    Everything,
}

/// How far back a plan goes. A listing is read, newest first, until it has come by both bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryDepth {
    /// Branches, commits and merge requests since; all if missing.
    pub since: Option<Timestamp>,
    /// Pipelines and deployments since: those may trigger automation rules in Jira, which can't be told not to.
    pub ci_since: Option<Timestamp>,
    /// So many branches, commits and merge requests with issue keys of each project, however old they are.
    pub at_least: u32,
}

/// Whether a plan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "cause", rename_all = "snake_case")]
pub enum HistoryState {
    /// There is work left, or it is not known yet that there is none.
    Running,
    /// Somebody has paused it.
    Paused,
    /// Somebody has ended it.
    Cancelled,
    /// Every project has ended.
    Done,
    /// It failed for good.
    Failed(HistoryFailure),
}

/// Why a plan failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryFailure {
    /// The link has no token that can be used.
    NoToken,
    /// GitLab refuses the token.
    TokenRefused,
    /// The token does not see the group, or may not list its projects.
    GroupHidden,
}

/// How far GitLab's clock may be ahead of ours.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

impl HistoryPlan {
    /// Where it is stored.
    #[must_use]
    pub fn slot(&self) -> HistorySlot {
        HistorySlot { link: self.link, kind: self.kind }
    }

    /// What changed until then is history, by GitLab's clock; what changes later comes with live events. What came with
    /// both is sent twice, which does no harm, while what came with none would be missing.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.started_at.after(CLOCK_DIFFERENCE)
    }

    /// Whether its steps are to be done.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == HistoryState::Running
    }

    /// Whether it can go on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, HistoryState::Running | HistoryState::Paused)
    }
}

/// How far a plan has come, in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryProgress {
    /// The plan.
    pub plan: HistoryPlan,
    /// Projects that were listed so far.
    pub projects: u64,
    /// Those whose tasks have all ended.
    pub ended: u64,
    /// Those of them with a task that can't be done.
    pub failed: u64,
    /// Those of them with a task that may be done another time.
    pub unfinished: u64,
    /// Things with issue keys that were found.
    pub keyed: u64,
    /// Those that Jira has now.
    pub sent: u64,
    /// Those of them that it did not have before, branches apart.
    pub added: u64,
    /// Those that Jira refuses.
    pub refused: u64,
    /// Those that could not be read.
    pub unread: u64,
    /// Branches that were removed from issues, since GitLab no longer had them.
    pub removed: u64,
    /// When something changed last.
    pub changed_at: Timestamp,
}

impl HistoryProgress {
    /// Sums up the projects of a plan.
    #[must_use]
    pub fn of<'a>(plan: HistoryPlan, projects: impl IntoIterator<Item = &'a ProjectHistory>) -> Self {
        let mut progress = Self::before(plan);
        for project in projects {
            progress.add(project);
        }
        progress.summed_up()
    }

    /// The progress of a plan of whose projects none is counted yet.
    #[must_use]
    pub fn before(plan: HistoryPlan) -> Self {
        Self {
            projects: 0,
            ended: 0,
            failed: 0,
            unfinished: 0,
            keyed: 0,
            sent: 0,
            added: 0,
            refused: 0,
            unread: 0,
            removed: 0,
            changed_at: plan.started_at,
            plan,
        }
    }

    /// Counts a project, if it is of the plan.
    pub fn add(&mut self, project: &ProjectHistory) {
        if project.plan != self.plan.id {
            return;
        }
        let is_unfinished =
            |task: &TaskProgress| matches!(task.state, TaskState::Failed(TaskFailure::Failed(_)));
        let has_ended = project.has_ended();
        self.projects += 1;
        self.ended += u64::from(has_ended);
        self.failed += u64::from(has_ended && project.has_failed());
        self.unfinished += u64::from(has_ended && project.tasks.iter().any(is_unfinished));
        self.changed_at = self.changed_at.max(project.changed_at);
        for task in &project.tasks {
            self.refused += task.refused;
            self.unread += task.unread;
            if task.task == HistoryTask::DeletedBranches {
                // It takes away from issues, and brings nothing.
                self.keyed += task.refused + task.unread;
                self.removed += task.added;
            } else {
                self.keyed += task.keyed;
                self.sent += task.sent;
                self.added += task.added;
            }
        }
    }

    /// The progress, once every project is counted.
    #[must_use]
    pub fn summed_up(mut self) -> Self {
        // Nobody counts the projects that end: that would be one item for all workers to write to.
        if self.plan.is_open() && self.has_ended() {
            (self.plan.state, self.plan.ended_at) = (HistoryState::Done, Some(self.changed_at));
        }
        self
    }

    /// Whether every project was listed and has ended.
    fn has_ended(&self) -> bool {
        self.plan.next_page.is_none() && self.ended == self.projects
    }

    /// Projects that there are, as far as GitLab has said.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        if self.plan.next_page.is_none() { Some(self.projects) } else { self.plan.total }
    }

    /// When it will end, if it goes on as it has until `now`; none where that can't be said yet.
    #[must_use]
    pub fn estimated_end(&self, now: Timestamp) -> Option<Timestamp> {
        // Below this the first projects say little of the others.
        const ENOUGH: u64 = 5;
        let left = self.plan.total?.max(self.projects).checked_sub(self.ended)?;
        if !self.plan.is_running() || self.ended < ENOUGH {
            return None;
        }
        let each = now.since(self.plan.started_at) / u32::try_from(self.ended).ok()?;
        Some(now.after(each * u32::try_from(left).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PageCounts, Project};

    fn counts(keyed: u64) -> PageCounts {
        PageCounts { listed: 100, keyed, sent: keyed, ..PageCounts::default() }
    }

    fn project(plan: Ulid) -> ProjectHistory {
        ProjectHistory::new(HistoryKind::History, plan, Project::default(), Timestamp(0))
    }

    fn plan() -> HistoryPlan {
        HistoryPlan {
            id: Ulid::new(),
            link: SubscriptionId::generate(),
            kind: HistoryKind::History,
            scope: HistoryScope::Missing,
            depth: HistoryDepth { since: None, ci_since: None, at_least: 400 },
            state: HistoryState::Running,
            next_page: None,
            total: Some(12),
            started_at: Timestamp(0),
            ended_at: None,
            only: None,
            deletes_many: false,
        }
    }

    #[test]
    fn a_plan_is_done_when_the_last_project_is_and_all_are_listed() {
        let mut plan = plan();
        let (mut one, two) = (project(plan.id), project(plan.id));
        let other = project(Ulid::new());
        while !one.has_ended() {
            one.advance(&counts(1), None, Timestamp(60_000));
        }
        let progress = HistoryProgress::of(plan.clone(), &[one.clone(), two, other]);
        assert_eq!((progress.projects, progress.ended, progress.sent), (2, 1, 6));
        assert_eq!(progress.plan.state, HistoryState::Running);
        let progress = HistoryProgress::of(plan.clone(), &[one.clone()]);
        assert_eq!(
            (progress.plan.state, progress.plan.ended_at),
            (HistoryState::Done, Some(Timestamp(60_000)))
        );
        plan.next_page = Some(2);
        let progress = HistoryProgress::of(plan, &[one]);
        assert_eq!(
            (progress.plan.state, progress.estimated_end(Timestamp(90_000))),
            (HistoryState::Running, None)
        );
    }

    #[test]
    fn the_end_is_estimated_from_the_pace_so_far() {
        let plan = plan();
        let projects: Vec<_> = (0..6)
            .map(|_| {
                let mut project = project(plan.id);
                while !project.has_ended() {
                    project.advance(&counts(0), None, Timestamp(1));
                }
                project
            })
            .collect();
        let progress = HistoryProgress {
            projects: 12,
            ..HistoryProgress::of(HistoryPlan { next_page: Some(2), ..plan }, &projects)
        };
        assert_eq!(progress.estimated_end(Timestamp(60_000)), Some(Timestamp(120_000)));
    }
}
