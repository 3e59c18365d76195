//! How far a plan has come in one project: its tasks, the page of each that comes next, and what was counted. Plain data and
//! its rules; what an audit leaves missing belongs to `missing`.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{HistoryKind, MissingEntity, Project};
use crate::clock::Timestamp;

/// Missing things that are kept of a project by name: an item of the table has room for more, but nobody reads them.
const MAX_MISSING: usize = 20;

/// What is listed of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryTask {
    /// Merge requests, with the branches of those that are open.
    MergeRequests,
    /// Branches with issue keys in their names.
    Branches,
    /// Commits of all branches.
    Commits,
    /// Pipelines.
    Pipelines,
    /// Deployments.
    Deployments,
    /// Feature flags.
    FeatureFlags,
    /// Branches that issues show and GitLab no longer has.
    DeletedBranches,
}

impl HistoryTask {
    /// Those of a plan, in the order in which they are done.
    fn of(kind: HistoryKind) -> Vec<Self> {
        let mut tasks = vec![
            Self::MergeRequests,
            Self::Branches,
            Self::Commits,
            Self::Pipelines,
            Self::Deployments,
            Self::FeatureFlags,
        ];
        if kind == HistoryKind::Audit {
            tasks.push(Self::DeletedBranches);
        }
        tasks
    }

    /// Whether it lists pipelines or what they do.
    #[must_use]
    pub fn is_ci(self) -> bool {
        matches!(self, Self::Pipelines | Self::Deployments)
    }
}

/// Where a listing goes on: at a page of what was changed before a moment. Moving the moment keeps the page's number low,
/// since GitLab skips slowly, and not at all beyond 50,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The moment, if there is one.
    pub before: Option<Timestamp>,
    /// The page, from 1.
    pub page: u32,
}

impl Cursor {
    /// The beginning of a listing.
    pub const FIRST: Self = Self { before: None, page: 1 };

    /// Where a listing goes on whose last item was changed at `last`; `next` is the page's successor.
    #[must_use]
    pub fn after(self, last: Option<Timestamp>, next: u32) -> Self {
        // GitLab shows milliseconds and compares microseconds.
        let before = last.map(|last| Timestamp(last.0 + 1));
        let is_earlier = |before: &Timestamp| self.before.is_none_or(|window| *before < window);
        match before.filter(is_earlier) {
            Some(before) => Self { before: Some(before), page: 1 },
            None => Self { page: next, ..self },
        }
    }
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// The task.
    pub task: HistoryTask,
    /// Whether it goes on.
    pub state: TaskState,
    /// Where it goes on.
    pub cursor: Cursor,
    /// Things that were listed.
    pub listed: u64,
    /// Those with issue keys.
    pub keyed: u64,
    /// Those that Jira has now.
    pub sent: u64,
    /// Those of them that it did not have before, except branches, which are always sent again; branches that were removed.
    #[serde(default)]
    pub added: u64,
    /// Those that Jira refuses; `explain` and the log say which.
    pub refused: u64,
    /// Things that could not be read.
    pub unread: u64,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
}

/// Whether a task goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "cause", rename_all = "snake_case")]
pub enum TaskState {
    /// It has not begun.
    Waiting,
    /// It has begun.
    Running,
    /// All was listed, as far back as the plan goes.
    Done,
    /// It can't be done.
    Failed(TaskFailure),
}

impl TaskState {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_))
    }
}

/// Why a task of a project can't be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", content = "text", rename_all = "snake_case")]
pub enum TaskFailure {
    /// GitLab does not let it be listed: the feature is disabled in the project, or the token's role is too low.
    Forbidden,
    /// The project is gone, or the token does not see it any more.
    ProjectGone,
    /// GitLab refuses or fails, time after time.
    Failed(String),
    /// So many branches are gone that somebody has to say that they were deleted.
    ManyBranchesGone {
        /// Branches that are gone.
        gone: u64,
        /// Branches that issues show.
        of: u64,
    },
}

/// How far a plan has come in one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectHistory {
    /// The plan.
    pub plan: Ulid,
    /// The project, as it was listed.
    pub project: Project,
    /// How many pages are done.
    pub step: u32,
    /// How often the current page has failed.
    #[serde(default)]
    pub attempts: u32,
    /// Its tasks, in their order.
    pub tasks: Vec<TaskProgress>,
    /// Some of what Jira does not have in the end.
    #[serde(default)]
    pub missing: Vec<MissingEntity>,
    /// When something changed last.
    pub changed_at: Timestamp,
}

impl ProjectHistory {
    /// A project whose tasks have not begun.
    #[must_use]
    pub fn new(kind: HistoryKind, plan: Ulid, project: Project, now: Timestamp) -> Self {
        let tasks = HistoryTask::of(kind).into_iter().map(|task| TaskProgress {
            task,
            state: TaskState::Waiting,
            cursor: Cursor::FIRST,
            listed: 0,
            keyed: 0,
            sent: 0,
            added: 0,
            refused: 0,
            unread: 0,
            started_at: None,
            ended_at: None,
        });
        Self {
            plan,
            project,
            step: 0,
            attempts: 0,
            tasks: tasks.collect(),
            missing: Vec::new(),
            changed_at: now,
        }
    }

    /// The task that comes next; none when all have ended.
    #[must_use]
    pub fn current(&self) -> Option<&TaskProgress> {
        self.tasks.iter().find(|task| !task.state.has_ended())
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.current().is_none()
    }

    /// Whether something of it can't be listed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.state, TaskState::Failed(_)))
    }

    /// Branches that somebody has to say were deleted.
    #[must_use]
    pub fn branches_gone(&self) -> u64 {
        let gone = self.tasks.iter().map(|task| match &task.state {
            TaskState::Failed(TaskFailure::ManyBranchesGone { gone, .. }) => *gone,
            _ => 0,
        });
        gone.sum()
    }

    /// Takes a page that is done, and ends the task when `next` is none.
    pub fn advance(&mut self, page: &PageCounts, next: Option<Cursor>, now: Timestamp) {
        self.take_step(now);
        let Some(task) = self.tasks.iter_mut().find(|task| !task.state.has_ended()) else { return };
        task.started_at.get_or_insert(page.started_at);
        task.listed += page.listed;
        task.keyed += page.keyed;
        task.sent += page.sent;
        task.added += page.added;
        task.refused += page.refused;
        task.unread += page.unread;
        match next {
            Some(cursor) => (task.state, task.cursor) = (TaskState::Running, cursor),
            None => (task.state, task.ended_at) = (TaskState::Done, Some(now)),
        }
    }

    /// Takes what a page has left missing, as far as there is room.
    pub fn take_missing(&mut self, missing: impl IntoIterator<Item = MissingEntity>) {
        let room = MAX_MISSING.saturating_sub(self.missing.len());
        self.missing.extend(missing.into_iter().take(room));
    }

    /// Ends the current task, or all that are left when the project is gone.
    pub fn fail(&mut self, cause: &TaskFailure, now: Timestamp) {
        self.take_step(now);
        let mut left = self.tasks.iter_mut().filter(|task| !task.state.has_ended());
        let count = if *cause == TaskFailure::ProjectGone { usize::MAX } else { 1 };
        for task in left.by_ref().take(count) {
            (task.state, task.ended_at) = (TaskState::Failed(cause.clone()), Some(now));
        }
    }

    fn take_step(&mut self, now: Timestamp) {
        (self.step, self.attempts, self.changed_at) = (self.step + 1, 0, now);
    }
}

/// What a page has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// When it was begun.
    pub started_at: Timestamp,
    /// Things that were listed.
    pub listed: u64,
    /// Those with issue keys.
    pub keyed: u64,
    /// Those that Jira has now.
    pub sent: u64,
    /// Those of them that it did not have before, except branches.
    pub added: u64,
    /// Those that Jira refuses.
    pub refused: u64,
    /// Those that could not be read.
    pub unread: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_below_its_last_item_and_never_stands_still() {
        let second = Cursor::FIRST.after(Some(Timestamp(5_000)), 2);
        assert_eq!(second, Cursor { before: Some(Timestamp(5_001)), page: 1 });
        // A whole page was changed in the same moment, as by an import.
        assert_eq!(second.after(Some(Timestamp(5_000)), 2), Cursor { page: 2, ..second });
        assert_eq!(Cursor::FIRST.after(None, 2), Cursor { before: None, page: 2 });
    }

    #[test]
    fn tasks_come_one_after_another_and_one_that_fails_costs_itself() {
        let mut project =
            ProjectHistory::new(HistoryKind::History, Ulid::new(), Project::default(), Timestamp(0));
        project.advance(
            &PageCounts { keyed: 3, ..PageCounts::default() },
            Some(Cursor { before: None, page: 2 }),
            Timestamp(1),
        );
        assert_eq!(
            project.current().map(|task| (task.task, task.keyed)),
            Some((HistoryTask::MergeRequests, 3))
        );
        project.fail(&TaskFailure::Forbidden, Timestamp(2));
        assert_eq!(project.current().map(|task| task.task), Some(HistoryTask::Branches));
        project.fail(&TaskFailure::ProjectGone, Timestamp(3));
        assert!(project.has_ended());
        assert_eq!(project.step, 3);
    }
}
