//! Why work waits although nothing is wrong with it, and why an issue key is not sent. Stored by short codes, so that
//! wording them anew changes nothing; the sentences that releases up to 0.1 stored in their place are still read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why work for a site, or reading from GitLab, waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HoldReason {
    /// Jira's quota for the whole site is used up (429).
    SiteRateLimited,
    /// Jira limits the rate of calls to one API (429).
    ApiRateLimited,
    /// Jira limits how often one issue is written to (429).
    IssueRateLimited,
    /// A new app's permissions have not reached all of Jira yet.
    PermissionsPropagating,
    /// Jira refuses the credential (401).
    CredentialRejected,
    /// The credential does not cover this API (403).
    PermissionMissing,
    /// Jira redirects to another name (3xx).
    SiteRenamed,
    /// Jira answers 404 for the site; only stored by releases up to 0.1.
    SiteNotFound,
    /// Jira is unavailable: its status, or none where it did not answer.
    SiteUnavailable(Option<u16>),
    /// One API of Jira answers 404, while others may go on.
    ApiNotFound,
    /// One API of Jira fails with this status, while others may go on.
    ApiUnavailable(u16),
    /// The site's writing connection is being switched, or was.
    ConnectionSwitched,
    /// GitLab limits the token's rate of calls (429).
    GitlabRateLimited,
    /// GitLab fails or does not answer.
    GitlabUnavailable,
    /// The link is being made or removed.
    LinkChanging,
    /// A push names a head that is not known: the event before it has not come in yet.
    EarlierEventMissing,
    /// Another worker sent something of the entity at the same time.
    Overtaken,
    /// The batch had no time left for it.
    OutOfTime,
    /// What an earlier release stored, in its own sentence.
    Text(String),
}

impl HoldReason {
    fn code(&self) -> String {
        match self {
            Self::SiteRateLimited => "site_rate_limited".to_owned(),
            Self::ApiRateLimited => "api_rate_limited".to_owned(),
            Self::IssueRateLimited => "issue_rate_limited".to_owned(),
            Self::PermissionsPropagating => "permissions_propagating".to_owned(),
            Self::CredentialRejected => "credential_rejected".to_owned(),
            Self::PermissionMissing => "permission_missing".to_owned(),
            Self::SiteRenamed => "site_renamed".to_owned(),
            Self::SiteNotFound => "site_not_found".to_owned(),
            Self::SiteUnavailable(None) => "site_unavailable".to_owned(),
            Self::SiteUnavailable(Some(status)) => format!("site_unavailable {status}"),
            Self::ConnectionSwitched => "connection_switched".to_owned(),
            Self::ApiNotFound => "api_not_found".to_owned(),
            Self::ApiUnavailable(status) => format!("api_unavailable {status}"),
            Self::GitlabRateLimited => "gitlab_rate_limited".to_owned(),
            Self::GitlabUnavailable => "gitlab_unavailable".to_owned(),
            Self::LinkChanging => "link_changing".to_owned(),
            Self::EarlierEventMissing => "earlier_event_missing".to_owned(),
            Self::Overtaken => "overtaken".to_owned(),
            Self::OutOfTime => "out_of_time".to_owned(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The sentences of releases up to 0.1.
    fn from_sentence(text: &str) -> Option<Self> {
        Some(match text {
            "Rate limit exceeded for the site." => Self::SiteRateLimited,
            "Rate limit exceeded for one issue." => Self::IssueRateLimited,
            "Jira refuses the credential." => Self::CredentialRejected,
            "Jira does not let the new app in yet." => Self::PermissionsPropagating,
            "the Jira site was renamed." => Self::SiteRenamed,
            "Jira does not know the site or the API." => Self::SiteNotFound,
            "Jira did not answer." => Self::SiteUnavailable(None),
            "GitLab's rate limit is reached." => Self::GitlabRateLimited,
            "Another door writes." | "Another door is to write." => Self::ConnectionSwitched,
            text if text.starts_with("Rate limit exceeded for ") => Self::ApiRateLimited,
            text if text.starts_with("the app does not support ") => Self::PermissionMissing,
            text => {
                let status = text.strip_prefix("Service unavailable (")?.get(..3)?.parse().ok()?;
                Self::SiteUnavailable(Some(status))
            }
        })
    }
}

impl From<String> for HoldReason {
    fn from(stored: String) -> Self {
        match stored.as_str() {
            "site_rate_limited" => Self::SiteRateLimited,
            "api_rate_limited" => Self::ApiRateLimited,
            "issue_rate_limited" => Self::IssueRateLimited,
            "permissions_propagating" => Self::PermissionsPropagating,
            "credential_rejected" => Self::CredentialRejected,
            "permission_missing" => Self::PermissionMissing,
            "site_renamed" => Self::SiteRenamed,
            "site_not_found" => Self::SiteNotFound,
            "site_unavailable" => Self::SiteUnavailable(None),
            "connection_switched" => Self::ConnectionSwitched,
            "api_not_found" => Self::ApiNotFound,
            "gitlab_rate_limited" => Self::GitlabRateLimited,
            "gitlab_unavailable" => Self::GitlabUnavailable,
            "link_changing" => Self::LinkChanging,
            "earlier_event_missing" => Self::EarlierEventMissing,
            "overtaken" => Self::Overtaken,
            "out_of_time" => Self::OutOfTime,
            other => {
                let status = |of: &str| other.strip_prefix(of).and_then(|status| status.trim().parse().ok());
                match (status("site_unavailable"), status("api_unavailable")) {
                    (Some(status), _) => Self::SiteUnavailable(Some(status)),
                    (_, Some(status)) => Self::ApiUnavailable(status),
                    _ => Self::from_sentence(other).unwrap_or(Self::Text(stored)),
                }
            }
        }
    }
}

impl From<HoldReason> for String {
    fn from(reason: HoldReason) -> Self {
        reason.code()
    }
}

/// For people and log lines.
impl fmt::Display for HoldReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SiteRateLimited => "Jira's rate limit for the site is reached.",
            Self::ApiRateLimited => "Jira's rate limit for this API is reached.",
            Self::IssueRateLimited => "Jira's rate limit for one issue is reached.",
            Self::PermissionsPropagating => "The new app's permissions have not reached all of Jira yet.",
            Self::CredentialRejected => "Jira refuses the credential.",
            Self::PermissionMissing => "The credential does not cover this API of Jira.",
            Self::SiteRenamed => "The Jira site was renamed.",
            Self::SiteNotFound => "Jira answers 404 for the site.",
            Self::SiteUnavailable(None) => "Jira can't be reached.",
            Self::ApiNotFound => "Jira answers 404 for this API.",
            Self::SiteUnavailable(Some(status)) => {
                return write!(formatter, "Jira is unavailable (HTTP {status}).");
            }
            Self::ConnectionSwitched => "The site's writing connection is being switched.",
            Self::ApiUnavailable(status) => {
                return write!(formatter, "This API of Jira is unavailable (HTTP {status}).");
            }
            Self::GitlabRateLimited => "GitLab's rate limit is reached.",
            Self::GitlabUnavailable => "GitLab is unavailable.",
            Self::LinkChanging => "The link is being made or removed.",
            Self::EarlierEventMissing => "An earlier push to the branch has not come in yet.",
            Self::Overtaken => "Another version was sent at the same time.",
            Self::OutOfTime => "There was no time left; it goes on at once.",
            Self::Text(text) => text,
        })
    }
}

/// Why an issue key is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum KeyRule {
    /// The link has an allow-list of project keys, and this one is not on it.
    NotAllowed,
    /// Jira answered that it has no such project.
    UnknownProject,
    /// What an earlier release stored, in its own words.
    Text(String),
}

impl From<String> for KeyRule {
    fn from(stored: String) -> Self {
        match stored.as_str() {
            "not_allowed" | "not one of the link's project keys" => Self::NotAllowed,
            "unknown_project" | "Jira has no project with this key" => Self::UnknownProject,
            _ => Self::Text(stored),
        }
    }
}

impl From<KeyRule> for String {
    fn from(rule: KeyRule) -> Self {
        match rule {
            KeyRule::NotAllowed => "not_allowed".to_owned(),
            KeyRule::UnknownProject => "unknown_project".to_owned(),
            KeyRule::Text(text) => text,
        }
    }
}

impl fmt::Display for KeyRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAllowed => "not one of the link's project keys",
            Self::UnknownProject => "Jira has no project with this key",
            Self::Text(text) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_code() {
        for reason in [
            HoldReason::SiteRateLimited,
            HoldReason::ApiRateLimited,
            HoldReason::IssueRateLimited,
            HoldReason::PermissionsPropagating,
            HoldReason::CredentialRejected,
            HoldReason::PermissionMissing,
            HoldReason::SiteRenamed,
            HoldReason::SiteNotFound,
            HoldReason::SiteUnavailable(None),
            HoldReason::SiteUnavailable(Some(503)),
            HoldReason::ConnectionSwitched,
            HoldReason::ApiNotFound,
            HoldReason::ApiUnavailable(502),
            HoldReason::GitlabRateLimited,
            HoldReason::GitlabUnavailable,
            HoldReason::LinkChanging,
            HoldReason::EarlierEventMissing,
            HoldReason::Overtaken,
            HoldReason::OutOfTime,
            HoldReason::Text("something else".to_owned()),
        ] {
            let stored = serde_json::to_string(&reason).expect("JSON");
            assert_eq!(serde_json::from_str::<HoldReason>(&stored).expect("readable"), reason, "{stored}");
        }
    }

    #[test]
    fn sentences_of_earlier_releases_are_read_as_reasons() {
        for (sentence, reason) in [
            ("the app does not support builds.", HoldReason::PermissionMissing),
            ("Rate limit exceeded for devinfo.", HoldReason::ApiRateLimited),
            ("Rate limit exceeded for the site.", HoldReason::SiteRateLimited),
            ("Service unavailable (503 Service Unavailable).", HoldReason::SiteUnavailable(Some(503))),
            ("Another door writes.", HoldReason::ConnectionSwitched),
            ("No idea.", HoldReason::Text("No idea.".to_owned())),
        ] {
            assert_eq!(HoldReason::from(sentence.to_owned()), reason, "{sentence}");
        }
        assert_eq!(KeyRule::from("Jira has no project with this key".to_owned()), KeyRule::UnknownProject);
    }
}
