//! Hooks that are made, renewed or looked after in the projects of a link, a page of projects at a time: how far that has
//! come, what could not be done, and why. The calls belong to `linking`, the words to `health` and the front ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::Timestamp;
use crate::envelope::Sealed;

/// How long a plan may keep a person's token.
pub const TOKEN_KEPT: Duration = Duration::from_secs(2 * 3600);

/// How many projects without a hook are named.
pub const MAX_NAMED: usize = 20;

/// How often the projects are gone through at most. A project that is deleted meanwhile moves others to an earlier page, so
/// a plan ends with a pass that finds nothing to do.
const MAX_PASSES: u32 = 3;

/// The hooks of a link's projects, as they are being put in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookPlan {
    /// Tells it from earlier plans of the link.
    pub id: Ulid,
    /// What it is for.
    pub purpose: PlanPurpose,
    /// How far it has come.
    pub state: PlanState,
    /// Hooks that were made.
    pub made: u64,
    /// Hooks that were there, and got new settings or secrets, or were enabled.
    pub repaired: u64,
    /// Projects that have none although they should.
    pub failed: u64,
    /// The first of those.
    #[serde(default)]
    pub named: Vec<ProjectFailure>,
    /// Projects of this pass that were looked at.
    pub seen: u64,
    /// Projects that there are, as far as GitLab says.
    #[serde(default)]
    pub total: Option<u64>,
    /// The page of projects that comes next.
    pub page: u32,
    pass: u32,
    changed_in_pass: bool,
    /// The highest id of a project that was looked at.
    #[serde(default)]
    pub newest_project: u64,
    /// When all hooks were last looked at, by this plan or one before.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The token of the person who linked the group; the link's own if missing. Forgotten when the plan ends.
    #[serde(default)]
    pub token: Option<Sealed>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanPurpose {
    /// Hooks for projects that have none.
    Make,
    /// New secrets for all hooks, and whatever else they need.
    Renew,
    /// A look at each hook; what is broken is repaired.
    Check,
}

/// How far a plan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "cause", rename_all = "snake_case")]
pub enum PlanState {
    /// There are projects left.
    Running,
    /// Every project was looked at.
    Done,
    /// It failed for good.
    Failed(PlanFailure),
}

/// Why a plan failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanFailure {
    /// There is no token.
    NoToken,
    /// GitLab refuses the token.
    TokenRefused,
    /// The token may not list the group's projects.
    GroupHidden,
    /// It took longer than a person's token is kept.
    OutOfTime,
    /// The token can't be opened, or the instance must not be called.
    Unusable,
}

/// A project without a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFailure {
    /// Its full path.
    pub path: String,
    /// Why.
    pub cause: HookFailure,
}

/// Why a project has no hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", content = "text", rename_all = "snake_case")]
pub enum HookFailure {
    /// The token's user may not make one.
    Forbidden,
    /// The token's user does not see the project's hooks.
    Hidden,
    /// GitLab refuses, in its own words.
    Refused(String),
    /// GitLab fails.
    Failed,
}

/// What a plan did about one project's hook, noted with the hook so that it is done once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookMark {
    /// The plan.
    pub plan: Ulid,
    /// What it did.
    pub done: HookDone,
}

/// What was done about a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookDone {
    /// Nothing: it is as it should be.
    Nothing,
    /// It was made, or made again.
    Made,
    /// It was repaired.
    Repaired,
    /// Nothing could be done.
    Failed(HookFailure),
}

impl HookPlan {
    /// A plan that begins `now`.
    #[must_use]
    pub fn new(purpose: PlanPurpose, now: Timestamp, token: Option<Sealed>) -> Self {
        Self {
            id: Ulid::new(),
            purpose,
            state: PlanState::Running,
            made: 0,
            repaired: 0,
            failed: 0,
            named: Vec::new(),
            seen: 0,
            total: None,
            page: 1,
            pass: 1,
            changed_in_pass: false,
            newest_project: 0,
            checked_at: Some(now),
            started_at: now,
            ended_at: None,
            token,
        }
    }

    /// Whether there are projects left.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == PlanState::Running
    }

    /// Whether a person's token has been kept as long as it may.
    #[must_use]
    pub fn is_out_of_time(&self, now: Timestamp) -> bool {
        self.token.is_some() && now.since(self.started_at) > TOKEN_KEPT
    }

    /// Counts what was done about the hook of the project `path`.
    pub fn count(&mut self, path: &str, done: &HookDone) {
        match done {
            HookDone::Nothing => return,
            HookDone::Made => self.made += 1,
            HookDone::Repaired => self.repaired += 1,
            HookDone::Failed(cause) => {
                self.failed += 1;
                if self.named.len() < MAX_NAMED {
                    self.named.push(ProjectFailure { path: path.to_owned(), cause: cause.clone() });
                }
            }
        }
        self.changed_in_pass = true;
    }

    /// Goes on to the page `next` after one of `projects`, or to another pass, or ends `now`.
    pub fn advance(&mut self, projects: u64, next: Option<u32>, now: Timestamp) {
        self.seen += projects;
        match next {
            Some(page) => self.page = page,
            None if self.changed_in_pass && self.pass < MAX_PASSES => {
                (self.page, self.seen, self.changed_in_pass) = (1, 0, false);
                self.pass += 1;
            }
            None => self.end(PlanState::Done, now),
        }
    }

    /// Ends, and forgets the person's token.
    pub fn end(&mut self, state: PlanState, now: Timestamp) {
        (self.state, self.ended_at, self.token) = (state, Some(now), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn a_plan_ends_with_a_pass_that_finds_nothing_to_do() {
        let mut plan = HookPlan::new(PlanPurpose::Make, NOW, None);
        plan.count("acme/a", &HookDone::Made);
        plan.advance(100, Some(2), NOW);
        assert_eq!((plan.page, plan.seen), (2, 100));
        plan.count("acme/b", &HookDone::Failed(HookFailure::Forbidden));
        plan.advance(1, None, NOW);
        assert_eq!((plan.page, plan.seen, plan.is_running()), (1, 0, true));
        plan.count("acme/a", &HookDone::Nothing);
        plan.advance(101, None, NOW);
        assert_eq!((plan.state, plan.ended_at), (PlanState::Done, Some(NOW)));
        assert_eq!((plan.made, plan.failed, plan.named[0].path.as_str()), (1, 1, "acme/b"));
    }

    #[test]
    fn a_group_in_which_projects_come_and_go_all_the_time_is_not_gone_through_for_ever() {
        let mut plan = HookPlan::new(PlanPurpose::Make, NOW, None);
        let passes = (1..100).find(|_| {
            plan.count("acme/a", &HookDone::Made);
            plan.advance(1, None, NOW);
            !plan.is_running()
        });
        assert_eq!(passes, Some(MAX_PASSES as usize));
    }
}
