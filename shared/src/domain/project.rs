//! A project of GitLab's, as Jira's repository wants to know of it. A hook fills what it knows, a read of the API fills the
//! rest; messages and stored items carry it.

use serde::{Deserialize, Serialize};

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// GitLab's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its page, without a trailing slash.
    pub web_url: String,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Full path, such as `acme/payments/api`.
    pub path: String,
    /// The branch that new branches are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
}
