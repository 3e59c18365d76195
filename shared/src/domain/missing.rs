//! What GitLab has and Jira does not, though it names an issue, and why. The sentences about it belong to `health`.

use serde::{Deserialize, Serialize};

/// Something that names an issue and is not on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingEntity {
    /// What it is, as people know it: `acme/payments/api!7`.
    pub label: String,
    /// Why it is not there.
    #[serde(flatten)]
    pub cause: MissingCause,
}

/// Why something is not on the issue that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", content = "text", rename_all = "snake_case")]
pub enum MissingCause {
    /// Jira refuses it, with this text.
    Refused(String),
    /// GitLab fails to show it, with this text.
    Unread(String),
    /// Jira has none of the issues that it names.
    NoIssue,
}
