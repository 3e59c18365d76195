//! Reports and errors of linking in sentences for the person who gave a command.

use shared::domain::{Site, Subscription, SubscriptionId};
use shared::gitlab::client::GitlabError;
use shared::gitlab::version::Version;
use shared::linking::link::LinkNote;
use shared::linking::plan::{OverlappingLink, PlanNote};
use shared::linking::synced_data::SyncedDataNote;
use shared::linking::unlink::UnlinkNote;
use shared::linking::{GitlabPurpose, Leftover, LinkError};

use crate::operate::{Refusal, wording};

/// Why a group is not linked.
#[expect(clippy::too_many_lines, reason = "one sentence per variant")]
pub(in crate::operate) fn error(error: &LinkError, site: &Site) -> Refusal {
    let host = site.host();
    Refusal::new(match error {
        LinkError::NoConnection => {
            format!("{host} has no connection: install the app in Jira or run `gitlab-jira site add`.")
        }
        LinkError::ConnectionRemoved => format!(
            "The connection to {host} was removed: reinstall the app in Jira or run `gitlab-jira site add`."
        ),
        LinkError::Connection(error) => return wording::of_connection(error, site),
        LinkError::Jira(error) | LinkError::HalfDeleted(error) => return wording::of_jira(error, site),
        LinkError::GitlabAddress { url, source } => format!("{url} must not be called: {source}."),
        LinkError::GitlabUrlHasQuery => {
            "The GitLab URL has a query: give the base URL of the instance alone.".to_owned()
        }
        LinkError::UnsupportedVersion { instance, version } => format!(
            "{instance} is GitLab {version}: links need {} or newer, so upgrade it first.",
            Version::OLDEST
        ),
        LinkError::GroupMissing => {
            "The group's path is missing: give it as acme/payments, or give its id.".to_owned()
        }
        LinkError::GroupNotFound { instance, group, username } => format!(
            "{instance} has no group {group} that @{username} may see: check its path, and whose token it is."
        ),
        LinkError::Gitlab { instance, purpose: GitlabPurpose::CreateToken, source } => {
            return no_token(source, instance);
        }
        LinkError::Gitlab { instance, purpose, source } => {
            return wording::of_gitlab(source, instance, wording::purpose(*purpose));
        }
        LinkError::RoleTooLow { username, group } => format!(
            "@{username} must be Maintainer or Owner of {group}: ask an Owner for the role, or use the token of one."
        ),
        LinkError::NotOwner { username, group } => format!(
            "@{username} is not an Owner of {group}, so no group access token can be created: use an Owner's token, or `--credential given`."
        ),
        LinkError::AlreadyLinked { group, link, .. } => format!(
            "{group} is linked to {host} already, as {link}: run `gitlab-jira group link` again to renew the link."
        ),
        LinkError::Busy { link, until } => format!(
            "Somebody else is at work on the token or the hooks of {link}: try again in a moment, at the latest at {}.",
            until.iso8601()
        ),
        LinkError::InvalidProjectKey(key) => {
            format!("{key:?} is not the key of a Jira project: keys look like PAY, in capitals.")
        }
        LinkError::UnlinkedMeanwhile => "The group was unlinked while it was being linked.".to_owned(),
        LinkError::NoProjectHook { instance, group, project, source } => {
            format!("No project of {group} got a hook. {project}: {}", no_project_hook(source, instance))
        }
        LinkError::HookUnknown { webhook_url, hooks_page, cause } => format!(
            "{} If the group has a hook to {webhook_url} now, remove it under {hooks_page}.",
            self::error(cause, site)
        ),
        LinkError::NotUndone { left, cause } => {
            let left: Vec<String> = left.iter().map(leftover).collect();
            format!(
                "{} What was created so far could not all be removed: {}.",
                self::error(cause, site),
                left.join(", ")
            )
        }
        LinkError::Random => "The operating system gives no random numbers: try again.".to_owned(),
        LinkError::Store(error) => return Refusal::of_store(error),
        LinkError::Queue(error) => return Refusal::of_queue(error),
        LinkError::Secret(error) => return wording::of_envelope(error),
    })
}

/// Why a group is not unlinked.
pub(super) fn unlink_error(error: &LinkError, site: &Site, link: SubscriptionId) -> Refusal {
    let refusal = self::error(error, site);
    match error {
        LinkError::HalfDeleted(_) => {
            Refusal::new(format!("{refusal} Run `gitlab-jira group unlink {link}` again for the rest."))
        }
        _ => refusal,
    }
}

/// Why a project got no hook.
pub(super) fn no_project_hook(error: &GitlabError, instance: &str) -> String {
    wording::of_gitlab(error, instance, wording::purpose(GitlabPurpose::CreateProjectHook)).sentence
}

/// GitLab created no group access token.
fn no_token(error: &GitlabError, instance: &str) -> Refusal {
    let cause = match error {
        GitlabError::Rejected(text) => text.trim_end_matches('.'),
        GitlabError::Forbidden | GitlabError::NotFound => "not allowed",
        error => return wording::of_gitlab(error, instance, wording::purpose(GitlabPurpose::CreateToken)),
    };
    Refusal::new(format!(
        "{instance} creates no access token for the group ({cause}): it takes an Owner who is not a bot, and on GitLab.com Premium or Ultimate; otherwise use `--credential given`."
    ))
}

fn leftover(leftover: &Leftover) -> String {
    match leftover {
        Leftover::GroupHook(hook) => format!("hook {hook} of the group"),
        Leftover::ProjectHook { project, hook } => format!("hook {hook} of project {project}"),
        Leftover::GroupToken(token) => format!("access token {token} of the group"),
        Leftover::Link(link) => {
            format!("the incomplete link: run `gitlab-jira group unlink {link}`")
        }
    }
}

/// What a person should know of a link that was made.
pub(super) fn link_note(note: &LinkNote, site: &Site) -> String {
    let host = site.host();
    match note {
        LinkNote::Plan(PlanNote::DuplicateSite) => format!(
            "{host} is the same Jira site as one that was added before: see `gitlab-jira site list`, and keep the links of only one of them."
        ),
        LinkNote::Plan(PlanNote::CloudIdUnknown) => format!(
            "{host} did not say its cloud id: OAuth credentials can't join it until it is linked again."
        ),
        LinkNote::Overlaps(OverlappingLink { link, group, is_inside }) => {
            let place = if *is_inside { "lies in this group" } else { "contains this group" };
            format!(
                "{group}, which is linked as {link}, {place}: deliveries come in through both links, and each event is sent to {host} once, by the link whose group is nearest to its project."
            )
        }
        LinkNote::MakeHookByHand => {
            "Create the hook by hand with this URL and these secrets, for push, merge request, pipeline, deployment and feature flag events."
                .to_owned()
        }
        LinkNote::NoGroupHook => {
            "GitLab creates no group hook here (it takes Premium or Ultimate and an Owner): each project has its own."
                .to_owned()
        }
        LinkNote::NewProjectsGetNoHook => {
            "Projects created later get no hook by themselves, because no token is kept that may make one: link the group again then.".to_owned()
        }
        LinkNote::NoToken => {
            "No token is kept: deployments are not synced, and everything else only as far as hooks say it.".to_owned()
        }
        LinkNote::GivenTokenKept { username, is_bot: true } => {
            format!("The given token of @{username} is kept to read GitLab.")
        }
        LinkNote::GivenTokenKept { username, is_bot: false } => {
            format!("The given token of @{username} is kept to read GitLab; a bot's would outlast the person.")
        }
    }
}

/// What a person should know of an unlinking.
pub(super) fn unlink_note(note: &UnlinkNote, site: &Site, link: &Subscription, webhook_url: &str) -> String {
    let (host, hooks_page) = (site.host(), format!("{}/groups/{}/-/hooks", link.instance, link.group_path));
    match note {
        UnlinkNote::JiraDataKept => format!("What was sent to {host} stays there, as asked."),
        UnlinkNote::NoConnection => format!(
            "{host} has no connection, so nothing was deleted there; Jira itself deletes what an uninstalled app had sent."
        ),
        UnlinkNote::GitlabNotCalled(error) => {
            format!("Nothing was removed from GitLab. {}", self::error(error, site))
        }
        UnlinkNote::SyncedData(note) => synced_data_note(note, site),
        UnlinkNote::CoveredByAnotherLink => {
            "Another link covers this group: its branches, commits and merge requests stay in Jira."
                .to_owned()
        }
        UnlinkNote::RemoveManualHook => format!("Remove the hook to {webhook_url} that was made by hand."),
        UnlinkNote::GroupHookLeft(id) => format!(
            "The group's hook {id} is still there: an Owner removes it under {hooks_page}, or gives `group unlink` a token."
        ),
        UnlinkNote::GroupHookUnknown => {
            format!("If the group has a hook to {webhook_url}, an Owner removes it under {hooks_page}.")
        }
        UnlinkNote::ProjectHooksLeft(left) => {
            let left: Vec<String> =
                left.iter().map(|(project, hook)| format!("{hook} of project {project}")).collect();
            format!(
                "These hooks are still there: {}. A Maintainer removes them in each project under Settings > Webhooks.",
                left.join(", ")
            )
        }
        UnlinkNote::ProjectHooksUnknown(projects) => {
            let projects: Vec<String> = projects.iter().map(ToString::to_string).collect();
            format!(
                "No hook is known in the projects {}: if one has a hook to {webhook_url}, a Maintainer removes it under Settings > Webhooks.",
                projects.join(", ")
            )
        }
        UnlinkNote::GivenTokenNotRevoked => {
            "The token that was given for the link is forgotten, but not revoked.".to_owned()
        }
        UnlinkNote::GroupTokenNotRevoked => format!(
            "The group access token \"GitLab for Jira\" still works: an Owner revokes it under {}/groups/{}/-/settings/access_tokens.",
            link.instance, link.group_path
        ),
    }
}

/// What may stay in Jira of what came through a link.
pub(in crate::operate) fn synced_data_note(note: &SyncedDataNote, site: &Site) -> String {
    match note {
        SyncedDataNote::NoToken => {
            "Without a token only the projects with events of the last day are known: branches, commits and merge requests of others stay in Jira."
                .to_owned()
        }
        SyncedDataNote::ProjectsNotListed(error) => format!(
            "Branches, commits and merge requests of projects without events of the last day may stay in Jira. {}",
            self::error(error, site)
        ),
        SyncedDataNote::NotCovered(api) => format!(
            "The credential of {} does not cover {api}: if another connection sent any, they stay in Jira.",
            site.host()
        ),
    }
}
