//! Errors and conditions in sentences for the person who gave a command: the cause, and the remedy with the command that
//! applies it. What an error means for work under way is decided where that work is done.

use shared::domain::{Site, SiteCondition, Subscription};
use shared::envelope::EnvelopeError;
use shared::gitlab::client::GitlabError;
use shared::health::{self, LinkTrouble};
use shared::jira::client::JiraError;
use shared::jira::connections::ConnectionError;
use shared::linking::GitlabPurpose;
use shared::outbound::refused_by_guard;
use url::Url;

use super::Refusal;

/// A condition as `--json` and tables name it.
pub(super) fn condition_name(condition: SiteCondition) -> String {
    serde_json::to_value(condition).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What to do about a site, with the command that does it; `None` when work flows to it.
pub(super) fn site_remedy(site: &Site) -> Option<String> {
    let remedy = health::site_remedy(site.state.condition)?;
    let command = match site.state.condition {
        SiteCondition::CredentialRejected | SiteCondition::Renamed => "gitlab-jira site add",
        SiteCondition::Uninstalled | SiteCondition::Switching => "gitlab-jira site switch",
        SiteCondition::Active
        | SiteCondition::PermissionMissing
        | SiteCondition::Suspended
        | SiteCondition::AwaitingToken => return Some(remedy.to_owned()),
    };
    Some(format!("{remedy} The command is `{command}`."))
}

/// What to do about a link, with the command that does it; `None` when it is healthy.
pub(super) fn link_remedies(link: &Subscription, troubles: &[LinkTrouble]) -> Option<String> {
    let remedies = health::link_remedies(troubles)?;
    Some(if troubles.contains(&LinkTrouble::Pending) {
        format!("{remedies} The command is `gitlab-jira group unlink {}`.", link.id)
    } else {
        remedies
    })
}

/// A secret can't be sealed or opened.
pub(super) fn of_envelope(error: &EnvelopeError) -> Refusal {
    Refusal::new(match error {
        EnvelopeError::TooLong => "The secret is longer than 16 KiB: give the secret alone.".to_owned(),
        error => {
            format!("Secrets can't be sealed or opened: {error}. Check the key file of the data directory.")
        }
    })
}

/// What a call was for, after "the token may not".
pub(super) fn purpose(purpose: GitlabPurpose) -> &'static str {
    match purpose {
        GitlabPurpose::ReadVersion => "read the version",
        GitlabPurpose::ReadUser => "read its user",
        GitlabPurpose::ReadGroup => "read the group",
        GitlabPurpose::ReadMembers => "read the group's members",
        GitlabPurpose::ListProjects => "list the group's projects",
        GitlabPurpose::CreateGroupHook => "create the group's hook",
        GitlabPurpose::CreateProjectHook => "create hooks in this project",
        GitlabPurpose::RepairHook => "read or change the group's hook",
        GitlabPurpose::CreateToken => "create a group access token",
    }
}

/// A call to a linked site failed.
pub(super) fn of_jira(error: &JiraError, site: &Site) -> Refusal {
    let host = site.host();
    Refusal::new(match error {
        JiraError::Unauthorized => format!(
            "Jira rejects the credential of {host}: run `gitlab-jira site add` with new OAuth credentials, or reinstall the app."
        ),
        JiraError::Forbidden(api) => format!(
            "The credential of {host} does not cover {api}: give the OAuth credentials all permissions, or reinstall the app with its present descriptor."
        ),
        JiraError::PermissionsPropagating => {
            format!("The new app's permissions have not reached all of {host} yet: try again in ten minutes.")
        }
        JiraError::Renamed => {
            format!(
                "{host} redirects: the site was renamed, run `gitlab-jira site add` with its new host name."
            )
        }
        JiraError::NotFound => {
            format!("Jira answers 404 for {host}: ask its administrator whether the site is deactivated.")
        }
        JiraError::RateLimited { .. } => {
            format!("Jira's rate limit for {host} is reached: try again in a few minutes.")
        }
        JiraError::NoAnswer(source) => unreachable(host, Some(source)),
        JiraError::OutOfTime => late(host),
        JiraError::Unavailable { status, .. } => {
            format!("{host} does not answer now ({status}): try again later.")
        }
        JiraError::BadRequest(text) | JiraError::TooLarge(text) => {
            format!("{host} refuses the call: {text}. Please report this.")
        }
        JiraError::Unexpected(status) => {
            format!("{host} does not answer as a Jira site does ({status}): check its address.")
        }
    })
}

/// A connection of a site can't be opened.
pub(super) fn of_connection(error: &ConnectionError, site: &Site) -> Refusal {
    let host = site.host();
    Refusal::new(match error {
        ConnectionError::Secret(_) => {
            format!(
                "The credential of {host} can't be read: {error}. Run `gitlab-jira site add` or reinstall the app."
            )
        }
        ConnectionError::Address(cause) => format!("{host} must not be called: {cause}."),
        ConnectionError::AwaitingToken => format!(
            "Forge has delivered no new token for {host}: it does so every hour as long as the app is installed. To go on without one, use --keep-jira-data where the command has it."
        ),
        ConnectionError::CloudId => {
            format!("Atlassian's id of {host} is not known: run `gitlab-jira site add` to prove it.")
        }
    })
}

/// A call to GitLab failed. `purpose` completes "the token may not".
pub(super) fn of_gitlab(error: &GitlabError, instance: &str, purpose: &str) -> Refusal {
    Refusal::new(match error {
        GitlabError::NotFound => {
            format!("{instance} answers 404: it does not exist, or the token may not {purpose}.")
        }
        GitlabError::Unauthorized => {
            format!("{instance} rejects the token: give one that is neither expired nor revoked.")
        }
        GitlabError::Forbidden => format!(
            "The token may not {purpose} on {instance}: it needs the scope `api`, and a Maintainer or Owner as its user."
        ),
        GitlabError::RateLimited { retry_after } => format!(
            "The rate limit of {instance} is reached: try again in {} seconds.",
            retry_after.as_secs()
        ),
        GitlabError::Rejected(text) => {
            format!("{instance} refuses to {purpose}: {}.", text.trim_end_matches('.'))
        }
        GitlabError::Unavailable(Some(source)) => unreachable(instance, Some(source)),
        GitlabError::Unavailable(None) | GitlabError::Failed(_) => {
            format!("{instance} fails now: try again later.")
        }
        GitlabError::Unexpected(_) => {
            format!("{instance} does not answer as GitLab does: give the base URL of a GitLab instance.")
        }
    })
}

/// A host does not answer.
pub(super) fn unreachable(host: &str, error: Option<&reqwest::Error>) -> String {
    match error {
        Some(error) if refused_by_guard(error) => format!(
            "{host} has private addresses only: list it in ALLOWED_PRIVATE_HOSTS if that is intended."
        ),
        Some(error) if error.is_timeout() => late(host),
        _ => format!("{host} can't be reached: check its name, the network and its certificate."),
    }
}

/// What is said of a host that took too long.
pub(super) fn late(host: &str) -> String {
    format!("{host} does not answer in time: try again later.")
}

/// Scheme, host and port of a URL, without the port that its scheme implies.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
