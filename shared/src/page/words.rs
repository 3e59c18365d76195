//! Errors and reports of linking in sentences for the person at the page: the cause, and a remedy that the person at a page
//! has. Commands have their own words.

use super::{Cause, PageError};
use crate::domain::{Site, Subscription};
use crate::gitlab::client::GitlabError;
use crate::gitlab::oauth::OauthError;
use crate::gitlab::version::Version;
use crate::jira::client::JiraError;
use crate::jira::connections::ConnectionError;
use crate::linking::link::LinkNote;
use crate::linking::plan::PlanNote;
use crate::linking::renew::{CredentialRenewal, HookRenewal, OldToken, RenewReport};
use crate::linking::synced_data::SyncedDataNote;
use crate::linking::unlink::UnlinkNote;
use crate::linking::{GitlabPurpose, Leftover, LinkError};
use crate::outbound::refused_by_guard;
use crate::text::count;

fn refused(sentence: impl Into<String>) -> PageError {
    PageError::new(Cause::Refused, sentence)
}

fn unavailable(sentence: impl Into<String>) -> PageError {
    PageError::new(Cause::Unavailable, sentence)
}

/// The instance is too old to be linked.
pub(super) fn too_old(instance: &str, version: Version) -> PageError {
    refused(format!(
        "{instance} is GitLab {version}: links need {} or newer, so it has to be upgraded first.",
        Version::OLDEST
    ))
}

/// Signing in failed.
pub(super) fn of_oauth(error: &OauthError, instance: &str) -> PageError {
    match error {
        OauthError::UnknownApplication => refused(format!(
            "{instance} does not know this application id as that of a public application: copy the id from the application's page, and there untick Confidential."
        )),
        OauthError::CodeRefused => refused(format!(
            "{instance} refuses the sign-in: it took longer than ten minutes, or was done twice. Sign in again."
        )),
        OauthError::Gitlab(error) => of_gitlab(error, instance, GitlabPurpose::ReadUser),
    }
}

/// A call to GitLab failed.
pub(super) fn of_gitlab(error: &GitlabError, instance: &str, purpose: GitlabPurpose) -> PageError {
    let purpose = purpose_words(purpose);
    match error {
        GitlabError::NotFound => {
            refused(format!("{instance} answers 404: it does not exist, or you may not {purpose}."))
        }
        GitlabError::Unauthorized => PageError::new(
            Cause::SignInEnded,
            format!(
                "{instance} rejects the token: it has expired or was revoked. Use another one, or sign in again."
            ),
        ),
        GitlabError::Forbidden => refused(format!(
            "You may not {purpose} on {instance}: it takes the scope api and the role Maintainer or Owner."
        )),
        GitlabError::RateLimited { retry_after } => unavailable(format!(
            "The rate limit of {instance} is reached: try again in {} seconds.",
            retry_after.as_secs()
        )),
        GitlabError::Rejected(text) => {
            refused(format!("{instance} refuses to {purpose}: {}.", text.trim_end_matches('.')))
        }
        GitlabError::Unavailable(Some(source)) if refused_by_guard(source) => refused(format!(
            "{instance} has private addresses only, which this app may not call: whoever runs it lists the host in ALLOWED_PRIVATE_HOSTS."
        )),
        GitlabError::Unavailable(Some(source)) if source.is_timeout() => {
            unavailable(format!("{instance} does not answer in time: try again later."))
        }
        GitlabError::Unavailable(Some(_)) => unavailable(format!(
            "{instance} can't be reached: check its name and its certificate, and that it is reachable from where this app runs."
        )),
        GitlabError::Unavailable(None) | GitlabError::Failed(_) => {
            unavailable(format!("{instance} fails now: try again later."))
        }
        GitlabError::Unexpected(_) => refused(format!(
            "{instance} does not answer as GitLab does: give the base URL of a GitLab instance, such as https://gitlab.example.com."
        )),
    }
}

fn purpose_words(purpose: GitlabPurpose) -> &'static str {
    match purpose {
        GitlabPurpose::ReadVersion => "read the version",
        GitlabPurpose::ReadUser => "read your user",
        GitlabPurpose::ReadGroup => "read the group",
        GitlabPurpose::ReadMembers => "read the group's members",
        GitlabPurpose::ListProjects => "list the group's projects",
        GitlabPurpose::CreateGroupHook => "create the group's webhook",
        GitlabPurpose::CreateProjectHook => "create webhooks in this project",
        GitlabPurpose::RepairHook => "read or change the webhook",
        GitlabPurpose::CreateToken => "create a group access token",
    }
}

/// A call to Jira failed.
pub(super) fn of_jira(error: &JiraError, site: &Site) -> PageError {
    let host = site.host();
    match error {
        JiraError::Unauthorized => refused(format!(
            "Jira rejects the app's credential for {host}: reinstall the app, or wait an hour if it is a Forge app."
        )),
        JiraError::Forbidden(api) => {
            refused(format!("The app may not use {api} of {host}: approve its new version, or reinstall it."))
        }
        JiraError::PermissionsPropagating => unavailable(format!(
            "The new app's permissions have not reached all of {host} yet: try again in ten minutes."
        )),
        JiraError::Renamed => refused(format!(
            "{host} redirects: the site was renamed. Reinstall the app on the site's new name."
        )),
        JiraError::NotFound => unavailable(format!("Jira answers 404 for {host}: try again later.")),
        JiraError::RateLimited { .. } => {
            unavailable(format!("Jira's rate limit for {host} is reached: try again in a few minutes."))
        }
        JiraError::NoAnswer(_) | JiraError::OutOfTime | JiraError::Unavailable { .. } => {
            unavailable(format!("{host} does not answer now: try again later."))
        }
        JiraError::BadRequest(text) | JiraError::TooLarge(text) => {
            refused(format!("{host} refuses the call: {text}."))
        }
        JiraError::Unexpected(status) => {
            unavailable(format!("{host} does not answer as a Jira site does ({status}): try again later."))
        }
    }
}

/// A connection of the site can't be opened.
pub(super) fn of_connection(error: &ConnectionError, site: &Site) -> PageError {
    let host = site.host();
    match error {
        ConnectionError::Secret(_) => {
            unavailable(format!("The credential of {host} can't be opened: try again, or reinstall the app."))
        }
        ConnectionError::Address(cause) => refused(format!("{host} must not be called: {cause}.")),
        ConnectionError::AwaitingToken => unavailable(format!(
            "Forge has delivered no new token for {host} yet: it does so every hour. Reload the page in a while."
        )),
        ConnectionError::CloudId => {
            unavailable(format!("Atlassian's id of {host} is not known yet: try again in a minute."))
        }
    }
}

/// A group was not linked.
pub(super) fn of_link(error: &LinkError, site: &Site) -> PageError {
    let host = site.host();
    match error {
        LinkError::NoConnection | LinkError::ConnectionRemoved => {
            refused(format!("{host} has no connection that writes: reinstall the app."))
        }
        LinkError::Connection(error) => of_connection(error, site),
        LinkError::Jira(error) | LinkError::HalfDeleted(error) => of_jira(error, site),
        LinkError::GitlabAddress { url, source } => refused(format!("{url} must not be called: {source}.")),
        LinkError::GitlabUrlHasQuery => {
            refused("The GitLab URL has a query: give the base URL of the instance alone.")
        }
        LinkError::UnsupportedVersion { instance, version } => too_old(instance, *version),
        LinkError::GroupMissing => refused("Choose a group first."),
        LinkError::GroupNotFound { instance, group, username } => {
            refused(format!("{instance} has no group {group} that @{username} may see."))
        }
        LinkError::Gitlab { instance, purpose: GitlabPurpose::CreateToken, source } => {
            no_group_token(source, instance)
        }
        LinkError::Gitlab { instance, purpose, source } => of_gitlab(source, instance, *purpose),
        LinkError::RoleTooLow { username, group } => {
            refused(format!("@{username} must be Maintainer or Owner of {group}: ask an Owner for the role."))
        }
        LinkError::NotOwner { username, group } => refused(format!(
            "@{username} is not an Owner of {group}, so no group access token can be created: paste a token, or link without one."
        )),
        LinkError::AlreadyLinked { group, .. } => {
            refused(format!("{group} was linked to {host} meanwhile: reload the page, and renew the link."))
        }
        LinkError::Busy { .. } => unavailable(
            "Somebody else is at work on the access token or the webhooks of this link: try again in a minute.",
        ),
        LinkError::InvalidProjectKey(key) => {
            refused(format!("{key:?} is not the key of a Jira project: keys look like PAY, in capitals."))
        }
        LinkError::UnlinkedMeanwhile => {
            refused("The group was unlinked while it was being linked: link it again if you still want it.")
        }
        LinkError::NoProjectHook { project, instance, group, source } => {
            refused(format!("No project of {group} got a webhook. {}", no_hook(project, source, instance)))
        }
        LinkError::HookUnknown { webhook_url, hooks_page, cause } => {
            let left =
                format!("If the group has a webhook to {webhook_url} now, remove it under {hooks_page}.");
            and(of_link(cause, site), &left)
        }
        LinkError::NotUndone { left, cause } => {
            let left = left.iter().map(leftover).collect::<Vec<_>>().join(", ");
            let left = format!("What was created so far could not all be removed: {left}.");
            and(of_link(cause, site), &left)
        }
        LinkError::Random => unavailable("The operating system gives no random numbers: try again."),
        LinkError::Store(_) | LinkError::Queue(_) | LinkError::Secret(_) => {
            unavailable("The app can't read or write its own state now: try again in a minute.")
        }
    }
}

/// An error, and what it left behind.
fn and(cause: PageError, left: &str) -> PageError {
    PageError::new(cause.cause, format!("{cause} {left}"))
}

/// A group was not unlinked, or only half.
pub(super) fn of_unlink(error: &LinkError, site: &Site) -> PageError {
    let refusal = of_link(error, site);
    match error {
        LinkError::HalfDeleted(_) => {
            PageError::new(refusal.cause, format!("{refusal} Unlink the group again for the rest."))
        }
        _ => refusal,
    }
}

fn no_group_token(error: &GitlabError, instance: &str) -> PageError {
    let cause = match error {
        GitlabError::Rejected(text) => text.trim_end_matches('.'),
        GitlabError::Forbidden | GitlabError::NotFound => "not allowed",
        error => return of_gitlab(error, instance, GitlabPurpose::CreateToken),
    };
    refused(format!(
        "{instance} creates no access token for the group ({cause}): it takes an Owner who is not a bot, and on GitLab.com Premium or Ultimate. Paste a token, or link without one."
    ))
}

/// What a person should know of a renewal.
pub(super) fn renewal_notes(report: &RenewReport, instance: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if report.was_pending {
        notes.push(
            "Linking or unlinking it had not ended before. What unlinking had deleted from Jira is not restored by this."
                .to_owned(),
        );
    }
    if let CredentialRenewal::Replaced(OldToken::NotRevoked)
    | CredentialRenewal::Removed(OldToken::NotRevoked) = report.credential
    {
        notes.push(
            "The old group access token may still work: an Owner revokes it in the group's settings."
                .to_owned(),
        );
    }
    if let HookRenewal::GroupFailed(error) = &report.hook {
        let refusal = of_gitlab(error, instance, GitlabPurpose::CreateGroupHook);
        notes.push(format!("The group's webhook is as it was. {refusal}"));
    }
    notes
}

/// A project that got no webhook.
fn no_hook(project: &str, error: &GitlabError, instance: &str) -> String {
    format!("{project}: {}", of_gitlab(error, instance, GitlabPurpose::CreateProjectHook).sentence)
}

fn leftover(leftover: &Leftover) -> String {
    match leftover {
        Leftover::GroupHook(hook) => format!("webhook {hook} of the group"),
        Leftover::ProjectHook { project, hook } => format!("webhook {hook} of project {project}"),
        Leftover::GroupToken(token) => format!("access token {token} of the group"),
        Leftover::Link(_) => "the incomplete link, which you can unlink here".to_owned(),
    }
}

/// What a person should know of a link that was made, beyond what the preview had said.
pub(super) fn link_note(note: &LinkNote) -> Option<String> {
    Some(
        match note {
            LinkNote::Plan(PlanNote::DuplicateSite) => {
                "This Jira site is stored twice, under two names: keep the links of only one of them."
            }
            LinkNote::Plan(PlanNote::CloudIdUnknown) => {
                "Jira did not say its cloud id, so OAuth credentials can't join this site yet."
            }
            LinkNote::NewProjectsGetNoHook => {
                "Projects that are created later get no webhook by themselves: renew the link then."
            }
            LinkNote::NoToken => {
                "Without a token deployments are not synced, and everything else only as far as webhooks say it."
            }
            // The preview has said so.
            LinkNote::MakeHookByHand
            | LinkNote::NoGroupHook
            | LinkNote::Overlaps(_)
            | LinkNote::GivenTokenKept { .. } => {
                return None;
            }
        }
        .to_owned(),
    )
}

/// What a person should know of an unlinking.
pub(super) fn unlink_note(note: &UnlinkNote, site: &Site, link: &Subscription, webhook_url: &str) -> String {
    let hooks_page = format!("{}/groups/{}/-/hooks", link.instance, link.group_path);
    match note {
        UnlinkNote::JiraDataKept => "What was sent stays in Jira, as asked.".to_owned(),
        UnlinkNote::NoConnection => {
            "This site has no connection, so nothing was deleted in Jira; Jira itself deletes what an uninstalled app had sent."
                .to_owned()
        }
        UnlinkNote::GitlabNotCalled(error) => {
            format!("Nothing was removed from GitLab. {}", of_link(error, site))
        }
        UnlinkNote::SyncedData(SyncedDataNote::NoToken) => {
            "Without a token only the projects with events of the last day are known: branches, commits and merge requests of others stay in Jira."
                .to_owned()
        }
        UnlinkNote::SyncedData(SyncedDataNote::ProjectsNotListed(error)) => format!(
            "Branches, commits and merge requests of projects without events of the last day may stay in Jira. {}",
            of_link(error, site)
        ),
        UnlinkNote::SyncedData(SyncedDataNote::NotCovered(api)) => {
            format!("The connection does not cover {api}: if another one sent any, they stay in Jira.")
        }
        UnlinkNote::CoveredByAnotherLink => {
            "Another link covers this group: its branches, commits and merge requests stay in Jira.".to_owned()
        }
        UnlinkNote::RemoveManualHook => format!("Remove the webhook to {webhook_url} that was made by hand."),
        UnlinkNote::GroupHookLeft(id) => {
            format!("The group's webhook {id} is still there: an Owner removes it under {hooks_page}.")
        }
        UnlinkNote::GroupHookUnknown => {
            format!("If the group has a webhook to {webhook_url}, an Owner removes it under {hooks_page}.")
        }
        UnlinkNote::ProjectHooksLeft(left) => format!(
            "{} still there: a Maintainer removes each in its project under Settings > Webhooks.",
            count(left.len() as u64, "webhook of a project is", "webhooks of projects are")
        ),
        UnlinkNote::ProjectHooksUnknown(projects) => format!(
            "In {} it is not known whether there is a webhook to {webhook_url}: a Maintainer removes it under Settings > Webhooks.",
            count(projects.len() as u64, "project", "projects")
        ),
        UnlinkNote::GivenTokenNotRevoked => {
            "The token that was given for the link is forgotten, but not revoked.".to_owned()
        }
        UnlinkNote::GroupTokenNotRevoked => format!(
            "The group access token \"GitLab for Jira\" still works: an Owner revokes it under {}/groups/{}/-/settings/access_tokens.",
            link.instance, link.group_path
        ),
    }
}
