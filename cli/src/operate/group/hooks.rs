//! How far the hooks of a link's projects have come, as `group` and `status` answer it.

use serde::{Deserialize, Serialize};
use shared::domain::{HookPlan, PlanState};
use shared::health;
use shared::text::count;

use crate::operate::text::clean;

/// The hooks of a link's projects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectHooks {
    /// `running`, `done` or `failed`.
    pub state: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How many were made or repaired.
    pub hooked: u64,
    /// How many projects were looked at.
    pub seen: u64,
    /// How many projects there are, as far as GitLab says.
    pub total: Option<u64>,
    /// How many have none although they should.
    pub without_hook: u64,
    /// The first of those.
    pub failed: Vec<FailedProject>,
}

/// A project without a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedProject {
    /// Its full path.
    pub project: String,
    /// Why.
    pub reason: String,
}

impl From<&HookPlan> for ProjectHooks {
    fn from(plan: &HookPlan) -> Self {
        let (state, cause) = match plan.state {
            PlanState::Running => ("running", None),
            PlanState::Done => ("done", None),
            PlanState::Failed(cause) => ("failed", Some(health::plan_failure(cause).to_owned())),
        };
        let failed = plan.named.iter().map(|failed| FailedProject {
            project: failed.path.clone(),
            reason: health::hook_failure(&failed.cause),
        });
        let hooked = plan.made + plan.repaired;
        Self {
            state: state.to_owned(),
            cause,
            hooked,
            seen: plan.seen.max(hooked + plan.failed),
            total: plan.total,
            without_hook: plan.failed,
            failed: failed.collect(),
        }
    }
}

impl ProjectHooks {
    /// Whether there are projects left.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// `120 of 340 projects`.
    #[must_use]
    pub fn progress(&self) -> String {
        match self.total {
            Some(total) => format!("{} of {}", self.seen.min(total), count(total, "project", "projects")),
            None => count(self.seen, "project", "projects"),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("Hooks of projects made or repaired: {}", self.hooked)];
        if self.is_running() {
            lines.push(format!(
                "Looked at {} so far; it goes on by itself: see `gitlab-jira status`.",
                self.progress()
            ));
        }
        lines.extend(self.cause.iter().map(clean));
        lines.extend(
            self.failed
                .iter()
                .map(|failed| format!("No hook in {}: {}", clean(&failed.project), clean(&failed.reason))),
        );
        let more = self.without_hook.saturating_sub(self.failed.len() as u64);
        if more > 0 {
            lines.push(format!("No hook in {more} more."));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::ProjectHooks;

    #[test]
    fn progress_is_counted_in_words() {
        let progress = |seen, total| {
            let (state, cause, failed) = ("running".to_owned(), None, Vec::new());
            ProjectHooks { state, cause, hooked: 0, seen, total, without_hook: 0, failed }.progress()
        };
        assert_eq!(progress(1, None), "1 project");
        assert_eq!(progress(0, Some(1)), "0 of 1 project");
        assert_eq!(progress(5, Some(2)), "2 of 2 projects");
    }
}
