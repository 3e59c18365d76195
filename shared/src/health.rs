//! Which sites and links need attention: a site in a condition that holds its work, a link that is not whole, lost its token or
//! missed deliveries; and what history could not bring, and an audit finds missing; with cause and remedy in sentences. They name
//! no command: a front end that has one adds it. Where they are shown, logged or counted belongs to whoever does so.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::{
    HistoryFailure, HistoryTask, HookFailure, HookPlan, HookTrouble, LinkAttention, MissingCause,
    MissingEntity, PlanFailure, PlanState, ProjectFailure, ProjectHistory, Rotation, Site, SiteCondition,
    Subscription, SubscriptionState, TaskFailure, TaskState,
};
use crate::store::missed::Missed;
use crate::text::count;

/// How long before its end a token needs attention. One that the bundle rotates has been rotated by then, if it could be.
const WARNED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many projects without a hook are named in a sentence.
const MAX_NAMED: usize = 5;

/// Why a link needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// Linking or unlinking did not end.
    Pending,
    /// What was noted on the link.
    Attention(LinkAttention),
    /// Its token was rotated, and the answer with the new one was lost.
    TokenLost(Timestamp),
    /// GitLab stops accepting its token at this moment, which is near or over.
    TokenExpires(Timestamp),
    /// Something is wrong with the group's hook.
    Hook(HookTrouble),
    /// Putting the hooks of its projects in order failed for good.
    HooksFailed(PlanFailure),
    /// Projects have no hook although they should.
    ProjectsWithoutHook {
        /// How many.
        count: u64,
        /// The first few.
        named: Vec<ProjectFailure>,
    },
    /// Deliveries that could not be queued. GitLab never repeats one by itself, but keeps each for some days and repeats it
    /// on demand (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
    Missed(Missed),
}

/// The site's condition, if it holds work.
#[must_use]
pub fn site_trouble(site: &Site) -> Option<SiteCondition> {
    Some(site.state.condition).filter(|condition| *condition != SiteCondition::Active)
}

/// Everything that is wrong `now` with a link that missed these deliveries; empty when it is healthy.
#[must_use]
pub fn link_troubles(link: &Subscription, missed: Option<Missed>, now: Timestamp) -> Vec<LinkTrouble> {
    let missed = missed.map(LinkTrouble::Missed);
    if link.state == SubscriptionState::Pending {
        return [LinkTrouble::Pending].into_iter().chain(missed).collect();
    }
    let token = token_trouble(link, now);
    // That GitLab refuses a token that was lost or has expired says nothing more.
    let is_told = |attention: &LinkAttention| token.is_some() && *attention == LinkAttention::TokenRefused;
    let attention = link.attention.clone().filter(|attention| !is_told(attention));
    let attention = attention.map(LinkTrouble::Attention);
    let hook = link.upkeep.as_ref().and_then(|upkeep| upkeep.hook.clone()).map(LinkTrouble::Hook);
    let hooks = link.hooks.as_ref().and_then(hooks_trouble);
    token.into_iter().chain(attention).chain(hook).chain(hooks).chain(missed).collect()
}

fn token_trouble(link: &Subscription, now: Timestamp) -> Option<LinkTrouble> {
    let credential = link.credential.as_ref()?;
    if let Some(Rotation::Lost(at)) = credential.rotation {
        return Some(LinkTrouble::TokenLost(at));
    }
    let near = credential.expires_at.filter(|end| *end <= now.after(WARNED_BEFORE));
    near.map(LinkTrouble::TokenExpires)
}

fn hooks_trouble(plan: &HookPlan) -> Option<LinkTrouble> {
    match plan.state {
        PlanState::Failed(cause) => Some(LinkTrouble::HooksFailed(cause)),
        PlanState::Running | PlanState::Done => (plan.failed > 0).then(|| LinkTrouble::ProjectsWithoutHook {
            count: plan.failed,
            named: plan.named.iter().take(MAX_NAMED).cloned().collect(),
        }),
    }
}

/// What is wrong with a site and how it is put right; `None` for [`SiteCondition::Active`].
#[must_use]
pub fn site_remedy(condition: SiteCondition) -> Option<&'static str> {
    Some(match condition {
        SiteCondition::Active => return None,
        SiteCondition::CredentialRejected => {
            "Jira rejects the credential: create new OAuth credentials and add them, or reinstall the app. A Forge app that is still installed gets a new token within the hour."
        }
        SiteCondition::PermissionMissing => {
            "Jira refuses this kind of data: give the OAuth credentials all five permissions, reinstall the Connect app with its present descriptor, or approve the Forge app's new version."
        }
        SiteCondition::Renamed => {
            "The Jira site was renamed: add its OAuth credentials with the new host name, or wait for Jira's `installed` event."
        }
        SiteCondition::Suspended => {
            "The Jira site does not answer: ask its administrator whether it is deactivated."
        }
        SiteCondition::Uninstalled => {
            "The app that wrote to the site was uninstalled: install it again, add OAuth credentials, or switch to another connection."
        }
        SiteCondition::AwaitingToken => {
            "Forge delivers a token every hour and has not: ask the site's administrator whether the app is still installed, and look at its logs with `forge logs`. Work goes on with the next token."
        }
        SiteCondition::Switching => "Switching the site's connection did not end: switch it again.",
    })
}

/// What is wrong with a link and how it is put right.
#[must_use]
pub fn link_remedy(trouble: &LinkTrouble) -> String {
    match trouble {
        LinkTrouble::Pending => {
            "Linking or unlinking did not end: link the group again, or unlink it.".to_owned()
        }
        LinkTrouble::Attention(attention) => attention_remedy(attention),
        LinkTrouble::TokenLost(at) => format!(
            "GitLab replaced the link's token at {}, and its answer was lost: link the group again.",
            at.iso8601()
        ),
        LinkTrouble::TokenExpires(at) => {
            format!("The link's token expires at {}: link the group again with a new one.", at.iso8601())
        }
        LinkTrouble::Hook(HookTrouble::DisabledUntil(until)) => {
            let until = until.map(|until| format!(" until {}", until.iso8601())).unwrap_or_default();
            format!(
                "GitLab has disabled the group's hook{until}, because deliveries failed: look at Recent events on the hook's page in GitLab. It tries again by itself."
            )
        }
        LinkTrouble::Hook(HookTrouble::Refused(text)) => format!(
            "GitLab refuses to repair the group's hook ({}): link the group again.",
            text.trim_end_matches('.')
        ),
        LinkTrouble::HooksFailed(cause) => format!("{} Link the group again.", plan_failure(*cause)),
        LinkTrouble::ProjectsWithoutHook { count, named } => without_hook(*count, named),
        LinkTrouble::Missed(missed) => format!(
            "{} could not be queued since {}: resend them from Recent events on the hook's page in GitLab.",
            count(missed.deliveries, "delivery", "deliveries"),
            missed.since.iso8601()
        ),
    }
}

/// All remedies of a link in one text; `None` when it is healthy.
#[must_use]
pub fn link_remedies(troubles: &[LinkTrouble]) -> Option<String> {
    let sentences: Vec<String> = troubles.iter().map(link_remedy).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Why putting the hooks of a link's projects in order failed for good.
#[must_use]
pub fn plan_failure(cause: PlanFailure) -> &'static str {
    match cause {
        PlanFailure::NoToken => "The hooks of its projects can't be made: there is no token for it.",
        PlanFailure::TokenRefused => "The hooks of its projects are not all made: GitLab refused the token.",
        PlanFailure::GroupHidden => {
            "The hooks of its projects are not all made: GitLab does not let the token list the group's projects."
        }
        PlanFailure::OutOfTime => {
            "The hooks of its projects are not all made: it took longer than the given token is kept."
        }
        PlanFailure::Unusable => {
            "The hooks of its projects are not all made: the token can't be opened, or GitLab's host must not be called."
        }
    }
}

/// Why a project has no hook, after its path.
#[must_use]
pub fn hook_failure(cause: &HookFailure) -> String {
    match cause {
        HookFailure::Forbidden => {
            "the token may not make hooks there: its user needs the Maintainer role".to_owned()
        }
        HookFailure::Hidden => "the token does not see its hooks".to_owned(),
        HookFailure::Refused(text) => format!("GitLab refuses: {}", text.trim_end_matches('.')),
        HookFailure::Failed => "GitLab failed".to_owned(),
    }
}

fn without_hook(projects: u64, named: &[ProjectFailure]) -> String {
    let causes: Vec<String> =
        named.iter().map(|failed| format!("{}: {}", failed.path, hook_failure(&failed.cause))).collect();
    let more = projects.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!(
        "{} without a hook ({}{more}). Put that right, then link the group again.",
        count(projects, "project", "projects"),
        causes.join("; ")
    )
}

fn attention_remedy(attention: &LinkAttention) -> String {
    match attention {
        LinkAttention::TokenRefused => {
            "GitLab refuses the stored token: link the group again with a new one.".to_owned()
        }
        LinkAttention::TokenInsufficient => {
            "The stored token may not read everything: give it read_api and the Developer role.".to_owned()
        }
        LinkAttention::SlashesRefused => {
            "A proxy in front of GitLab answers 404 where GitLab would not, to every path with an encoded slash (%2F): let it \
             pass them on as they are (nocanon or AllowEncodedSlashes NoDecode in Apache, no path in nginx's proxy_pass)."
                .to_owned()
        }
        LinkAttention::ProjectsWithoutHook { count: projects, paths } => {
            let more = projects.saturating_sub(paths.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "{} without a hook ({}{more}): give the token's owner the Maintainer role there, then link the group again.",
                count(*projects as u64, "project", "projects"),
                paths.join(", ")
            )
        }
        LinkAttention::Text(text) => text.clone(),
    }
}

/// Why a link's history failed for good, and what to do about it.
#[must_use]
pub fn history_remedy(cause: HistoryFailure) -> &'static str {
    match cause {
        HistoryFailure::NoToken => {
            "The link has no token to read GitLab with: link the group again with one."
        }
        HistoryFailure::TokenRefused => {
            "GitLab refuses the link's token: link the group again, then resume its history."
        }
        HistoryFailure::GroupHidden => {
            "The token does not see the group: give its user at least the role Reporter, then resume the history."
        }
    }
}

/// What history could not list of a project, and what to do about it; none where all is well.
#[must_use]
pub fn project_history_remedy(project: &ProjectHistory) -> Option<String> {
    let failed: Vec<_> = project
        .tasks
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Failed(cause) => Some((history_task_name(task.task), cause)),
            TaskState::Waiting | TaskState::Running | TaskState::Done => None,
        })
        .collect();
    let (_, cause) = failed.first()?;
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    let (path, names) = (&project.project.path, names.join(", "));
    Some(match cause {
        TaskFailure::ProjectGone => {
            format!("{path} is gone, or the token does not see it any more.")
        }
        TaskFailure::Forbidden => format!(
            "{path}: {names} can't be listed. Enable them under Settings › General › Visibility, give the token's user a higher role, or ignore it."
        ),
        TaskFailure::Failed(text) => format!("{path}: {names} could not be listed: {text}"),
        TaskFailure::ManyBranchesGone { gone, of } => format!(
            "{path}: {gone} of {of} branches on issues are gone in GitLab, too many to remove unasked. If they were deleted, confirm it with another audit."
        ),
    })
}

/// What is missing on the issue that it names, and why.
#[must_use]
pub fn missing_sentence(missing: &MissingEntity) -> String {
    let label = &missing.label;
    match &missing.cause {
        // It names the entity.
        MissingCause::Refused(text) => text.clone(),
        MissingCause::Unread(text) => format!("GitLab does not show {label}: {text}"),
        MissingCause::NoIssue => {
            format!("{label} names no issue that Jira has.")
        }
    }
}

/// What people call what a task lists.
#[must_use]
pub fn history_task_name(task: HistoryTask) -> &'static str {
    match task {
        HistoryTask::MergeRequests => "merge requests",
        HistoryTask::Branches => "branches",
        HistoryTask::Commits => "commits",
        HistoryTask::Pipelines => "pipelines",
        HistoryTask::Deployments => "deployments",
        HistoryTask::FeatureFlags => "feature flags",
        HistoryTask::DeletedBranches => "deleted branches",
    }
}
