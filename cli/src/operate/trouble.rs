//! What a service's refusal means to the person who gave a command: the cause and the remedy, in a sentence. What it means
//! for work on its way is decided where that work is done.

use shared::domain::Site;
use shared::gitlab::client::GitlabError;
use shared::jira::client::JiraError;
use shared::jira::connections::ConnectionError;
use shared::outbound::refused_by_guard;
use url::Url;

use super::Refusal;

/// A call to a linked site failed.
pub(super) fn of_jira(error: &JiraError, site: &Site) -> Refusal {
    let host = site.host();
    Refusal::new(match error {
        JiraError::Unauthorized => format!(
            "Jira refuses the credential of {host}: run `gitlab-jira site add` with new OAuth credentials, or reinstall the app."
        ),
        JiraError::Forbidden(api) => format!(
            "The credential of {host} does not cover {api}: give the OAuth credentials all permissions, or reinstall the app with its present descriptor."
        ),
        JiraError::PermissionsPropagating => {
            format!("Jira does not let the new app in on {host} yet: try again in ten minutes.")
        }
        JiraError::Renamed => {
            format!(
                "{host} redirects: the site has another name now, run `gitlab-jira site add` with the new host."
            )
        }
        JiraError::NotFound => {
            format!("Jira does not know the site {host}: ask its administrator whether it is deactivated.")
        }
        JiraError::RateLimited { .. } => {
            format!("Jira's rate limit for {host} is reached: try again in a few minutes.")
        }
        JiraError::NoAnswer(source) => unreachable(host, Some(source)),
        JiraError::Unavailable { status, .. } => {
            format!("{host} does not answer now ({status}): try again later.")
        }
        JiraError::BadRequest(text) | JiraError::TooLarge(text) => {
            format!("{host} refuses the call: {text}. Please report this.")
        }
        JiraError::Unexpected(status) => {
            format!("{host} answers what no Jira site does ({status}): check its address.")
        }
    })
}

/// The connection of a site does not open.
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
            "Forge has not brought a new token for {host}: it does so every hour as long as the app is installed. To go on without, say --keep-jira-data where the command takes it."
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
            format!("{instance} knows no such thing, or hides it from the token, which may not {purpose}.")
        }
        GitlabError::Unauthorized => {
            format!("{instance} refuses the token: give one that is neither expired nor revoked.")
        }
        GitlabError::Forbidden => format!(
            "The token may not {purpose} on {instance}: it needs the scope `api` and a Maintainer or Owner behind it."
        ),
        GitlabError::RateLimited { retry_after } => format!(
            "The rate limit of {instance} is reached: try again in {} seconds.",
            retry_after.as_secs()
        ),
        GitlabError::Rejected(text) => {
            format!("{instance} refuses to {purpose}: {}.", text.trim_end_matches('.'))
        }
        GitlabError::Unavailable(Some(source)) => unreachable(instance, Some(source)),
        GitlabError::Unavailable(None) => format!("{instance} fails now: try again later."),
        GitlabError::Unexpected(_) => {
            format!("{instance} does not answer as GitLab does: give the base URL of a GitLab instance.")
        }
    })
}

/// Nobody answers.
pub(super) fn unreachable(host: &str, error: Option<&reqwest::Error>) -> String {
    match error {
        Some(error) if refused_by_guard(error) => format!(
            "{host} leads to private addresses only: list it in ALLOWED_PRIVATE_HOSTS if that is intended."
        ),
        Some(error) if error.is_timeout() => format!("{host} does not answer in time: try again later."),
        _ => format!("{host} can't be reached: check its name, the network and its certificate."),
    }
}

/// Scheme, host and port of a URL, without the port that its scheme implies.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
