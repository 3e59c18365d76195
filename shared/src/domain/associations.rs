//! What an entity is filed under at Jira: issues. Services, which Jira takes for deployments, would stand beside them. How
//! keys are found in texts belongs to `issue_keys`; how associations are sent, to `sync`.

use super::IssueKeys;

/// Jira takes at most this many values over all associations of one entity.
pub const MAX_ASSOCIATIONS: usize = 500;

/// The associations of one entity, at most [`MAX_ASSOCIATIONS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Associations {
    /// The issues it names.
    pub issue_keys: IssueKeys,
}

impl Associations {
    /// Whether there is none, so that Jira would show the entity nowhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issue_keys.is_empty()
    }

    /// The keys of the issues.
    #[must_use]
    pub fn issue_keys(&self) -> &[String] {
        self.issue_keys.as_slice()
    }
}

impl From<IssueKeys> for Associations {
    fn from(issue_keys: IssueKeys) -> Self {
        Self { issue_keys }
    }
}
