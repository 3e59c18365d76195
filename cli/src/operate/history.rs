//! `history`: how far a link's history has come, and beginning, pausing and ending it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::domain::{
    HistoryDepth, HistoryProgress, HistoryScope, HistorySlot, HistoryState, ProjectHistory, Subscription,
    SubscriptionId, TaskState,
};
use shared::health::{history_remedy, history_task_name, missing_sentence, project_history_remedy};
use shared::history::audit::AuditSummary;
use shared::history::control::{HistoryError, default_depth};
use shared::text::count;

use super::next::Next;
use super::text::{clean, table};
use super::{Operator, Refusal};

/// Projects that are listed by name, those that need attention first.
const MAX_LISTED: usize = 20;

/// How wide the bar is that shows progress.
const BAR: u64 = 24;

/// What is to be done about a link's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryAction {
    /// Show how far it has come.
    Show,
    /// Start over.
    Resync {
        /// Whether what Jira was sent before is sent again.
        full: bool,
        /// Whether it goes back to the beginning, pipelines and deployments included.
        all: bool,
        /// The full path of the only project; all if missing.
        project: Option<String>,
    },
    /// Pause it.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
    /// Find out whether something is missing, and send it.
    Audit {
        /// Whether branches that GitLab no longer has are removed, however many.
        remove_branches: bool,
    },
}

/// What `history` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// The link.
    pub link: SubscriptionId,
    /// The group's full path.
    pub group: String,
    /// How far it has come; none where none was begun.
    pub progress: Option<HistorySummary>,
    /// Its projects.
    pub projects: Vec<ProjectHistory>,
    /// What the last audit has found; none where there was none.
    pub audit: Option<AuditSummary>,
}

/// How far a link's history has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistorySummary {
    /// Its state, and the cause when it stopped.
    #[serde(flatten)]
    pub state: HistoryState,
    /// Whether what Jira was sent before is sent again.
    pub full: bool,
    /// Projects that have ended.
    pub ended: u64,
    /// Projects that there are; none where GitLab has not said so yet.
    pub total: Option<u64>,
    /// Projects with something that can't be listed.
    pub failed: u64,
    /// Branches, commits, merge requests, pipelines and deployments with issue keys.
    pub keyed: u64,
    /// Those that Jira has now.
    pub sent: u64,
    /// Those that Jira refuses.
    pub refused: u64,
    /// Those that could not be read.
    pub unread: u64,
    /// When it began, in ISO 8601.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// When it will end, as far as that can be said.
    pub estimated_end: Option<String>,
}

impl HistorySummary {
    pub(super) fn new(progress: &HistoryProgress, now: shared::clock::Timestamp) -> Self {
        let plan = &progress.plan;
        Self {
            state: plan.state,
            full: plan.scope == HistoryScope::Everything,
            ended: progress.ended,
            total: progress.total(),
            failed: progress.failed,
            keyed: progress.keyed,
            sent: progress.sent,
            refused: progress.refused,
            unread: progress.unread,
            started_at: plan.started_at.iso8601(),
            ended_at: plan.ended_at.map(shared::clock::Timestamp::iso8601),
            estimated_end: progress.estimated_end(now).map(shared::clock::Timestamp::iso8601),
        }
    }

    /// One line.
    pub(super) fn line(&self) -> String {
        let state = match self.state {
            HistoryState::Running => "history is being sent, live events meanwhile, too",
            HistoryState::Paused => "history is paused",
            HistoryState::Cancelled => "history was cancelled",
            HistoryState::Done => "history is sent",
            HistoryState::Failed(cause) => history_remedy(cause),
        };
        let mut line = format!(
            "{state}: {}, {} of {} on issues",
            of_projects(self.ended, self.total),
            self.sent,
            self.keyed
        );
        for (number, what) in [(self.refused, "refused by Jira"), (self.unread, "not readable")] {
            if number > 0 {
                line.push_str(&format!(", {number} {what}"));
            }
        }
        if let Some(end) = &self.estimated_end {
            line.push_str(&format!(", about until {end}"));
        }
        line
    }

    fn bar(&self) -> Option<String> {
        let total = self.total.filter(|total| *total > 0 && self.state == HistoryState::Running)?;
        let full = (self.ended * BAR / total).min(BAR);
        let part = |length: u64, mark: &str| mark.repeat(usize::try_from(length).unwrap_or_default());
        Some(format!("[{}{}] {} %", part(full, "#"), part(BAR - full, "."), self.ended * 100 / total))
    }
}

impl Operator {
    pub(super) async fn history(&self, link: &str, action: HistoryAction) -> Result<History, Refusal> {
        let link = self.find_link(link).await?;
        let (control, now) = (self.linking.history(), self.clock.now());
        let changed = match action {
            HistoryAction::Show => Ok(()),
            HistoryAction::Resync { full, all, project } => {
                let scope = if full { HistoryScope::Everything } else { HistoryScope::Missing };
                let to_beginning = HistoryDepth { since: None, ci_since: None, ..default_depth(now) };
                let depth = if all { to_beginning } else { default_depth(now) };
                match project {
                    Some(path) => control.begin_project(&link, path.trim_matches('/'), scope, depth).await,
                    None => control.begin(&link, scope, depth).await,
                }
                .map(drop)
            }
            HistoryAction::Pause => control.pause(link.id).await.map(drop),
            HistoryAction::Resume => control.resume(link.id).await.map(drop),
            HistoryAction::Cancel => control.cancel(link.id).await.map(drop),
            HistoryAction::Audit { remove_branches } => control.audit(&link, remove_branches).await.map(drop),
        };
        changed.map_err(refusal)?;
        let progress = self.store.history_progress(HistorySlot::history(link.id)).await?;
        let mut projects = match &progress {
            Some(_) => self.store.history_projects(HistorySlot::history(link.id)).await?,
            None => Vec::new(),
        };
        projects.retain(|project| progress.as_ref().is_some_and(|it| it.plan.id == project.plan));
        projects.sort_by(|one, other| one.project.path.cmp(&other.project.path));
        let progress = progress.map(|progress| HistorySummary::new(&progress, now));
        let audit = control.last_audit(link.id).await?;
        Ok(History { link: link.id, group: link.group_path, progress, projects, audit })
    }

    async fn find_link(&self, id: &str) -> Result<Subscription, Refusal> {
        let unknown =
            || Refusal::new("There is no link with this id: run `gitlab-jira group list` to see the ids.");
        let id: SubscriptionId = id.trim().parse().map_err(|_| unknown())?;
        self.store.subscription(id).await?.ok_or_else(unknown)
    }
}

fn refusal(error: HistoryError) -> Refusal {
    match error {
        HistoryError::Store(error) => error.into(),
        HistoryError::Queue(error) => error.into(),
        HistoryError::NoToken => Refusal::new(
            "The link has no token, so only events can be read: link the group again with `--credential auto`.",
        ),
        HistoryError::UnknownProject => Refusal::new(
            "The link's history has no such project: give the full path of one that `gitlab-jira history show --json` lists.",
        ),
        HistoryError::UnderWay => Refusal::new(
            "The link's history or audit is under way: wait until it has ended, as `gitlab-jira history show` says.",
        ),
        HistoryError::NoPlan => Refusal::new(
            "There is no history of this link that this can be done to: `gitlab-jira history show` says how it is.",
        ),
    }
}

impl History {
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = match &self.progress {
            Some(progress) => self.progress_lines(progress),
            None => vec![format!("{}: no history was begun.", clean(&self.group))],
        };
        if let Some(audit) = &self.audit {
            lines.push(String::new());
            lines.push(audit_line(audit));
            lines.extend(audit.named.iter().map(|missing| clean(missing_sentence(missing))));
            let failures = audit.failed_projects.iter().filter_map(project_history_remedy);
            lines.extend(failures.map(clean));
        }
        lines
    }

    pub(super) fn next(&self) -> Vec<Next> {
        let begin = self.progress.is_none().then_some(Next::BeginHistory { link: self.link });
        let mut failed = self.audit.iter().flat_map(|audit| &audit.failed_projects);
        let remove = failed.any(|project| project.branches_gone() > 0);
        let remove = remove.then_some(Next::RemoveBranches { link: self.link });
        [begin, remove].into_iter().flatten().collect()
    }

    fn progress_lines(&self, progress: &HistorySummary) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", clean(&self.group), progress.line())];
        lines.extend(progress.bar());
        lines.push(String::new());
        let mut projects: Vec<&ProjectHistory> = self.projects.iter().collect();
        projects.sort_by_key(|project| (project_history_remedy(project).is_none(), project.has_ended()));
        lines.extend(table(
            ["PROJECT", "STATE", "FOUND", "ON ISSUES", "TOOK"],
            projects.iter().take(MAX_LISTED).map(|project| row(project)),
        ));
        if let Some(left) = projects.len().checked_sub(MAX_LISTED).filter(|left| *left > 0) {
            lines.push(format!("and {}: --json shows all", count(left as u64, "project", "projects")));
        }
        let troubles = projects.iter().filter_map(|project| project_history_remedy(project));
        lines.extend(troubles.map(|trouble| clean(&trouble)));
        lines
    }
}

/// How many projects have ended: `1 of 1 project`.
fn of_projects(ended: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{ended} of {}", count(total, "project", "projects")),
        None => format!("{ended} of ? projects"),
    }
}

/// What an audit has found, in a line.
pub(super) fn audit_line(audit: &AuditSummary) -> String {
    let since = audit.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    let found = match audit.state {
        HistoryState::Running | HistoryState::Paused => {
            return format!("An audit is under way: {}", of_projects(audit.ended, audit.total));
        }
        HistoryState::Failed(cause) => return format!("The audit stopped. {}", history_remedy(cause)),
        HistoryState::Done | HistoryState::Cancelled => {
            format!("{} missing of {} that name issues{since}", audit.missing, audit.keyed)
        }
    };
    let mut line = format!("Audited at {}: {found}", audit.ended_at.as_deref().unwrap_or_default());
    for (number, one, many) in [
        (audit.repaired, "was missing and has been sent", "were missing and have been sent"),
        (
            audit.removed,
            "branch was gone in GitLab and has been removed",
            "branches were gone in GitLab and have been removed",
        ),
        (audit.without_issue, "names no issue that Jira has", "name no issue that Jira has"),
        (audit.failed, "project could not be read to the end", "projects could not be read to the end"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {}", count(number, one, many)));
        }
    }
    line
}

fn row(project: &ProjectHistory) -> [String; 5] {
    let state = match project.current() {
        None => "done",
        Some(task) if task.state == TaskState::Waiting && project.step == 0 => "waiting",
        Some(task) => history_task_name(task.task),
    };
    let sum = |of: fn(&shared::domain::TaskProgress) -> u64| project.tasks.iter().map(of).sum::<u64>();
    let began = project.tasks.iter().filter_map(|task| task.started_at).min();
    let took = began.map_or(Duration::ZERO, |began| project.changed_at.since(began));
    [
        clean(&project.project.path),
        state.to_owned(),
        sum(|task| task.keyed).to_string(),
        sum(|task| task.sent).to_string(),
        format!("{} s", took.as_secs()),
    ]
}
