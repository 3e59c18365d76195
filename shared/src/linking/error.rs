//! Why a group is not linked or unlinked, as variants that a front end words for a person.

use crate::clock::Timestamp;
use crate::domain::{SubscriptionId, SubscriptionState};
use crate::envelope::EnvelopeError;
use crate::gitlab::client::GitlabError;
use crate::gitlab::version::Version;
use crate::jira::client::JiraError;
use crate::jira::connections::ConnectionError;
use crate::outbound::GuardError;
use crate::queue::QueueError;
use crate::store::StoreError;

/// Linking or unlinking ended early.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The site has no writing connection.
    #[error("the Jira site has no connection")]
    NoConnection,
    /// The site's connection was removed in between.
    #[error("the connection to the Jira site was removed")]
    ConnectionRemoved,
    /// The site's connection can't be opened.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A queue can't be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A call to Jira failed.
    #[error(transparent)]
    Jira(#[from] JiraError),
    /// Jira refused or did not answer while what was sent was deleted: what is left is deleted when it is done again.
    #[error("what was sent to Jira is only partly deleted")]
    HalfDeleted(#[source] JiraError),
    /// The GitLab instance must not be called.
    #[error("{url} must not be called")]
    GitlabAddress {
        /// The URL that was given or stored.
        url: String,
        /// Why.
        #[source]
        source: GuardError,
    },
    /// The GitLab URL has a query.
    #[error("the GitLab URL has a query")]
    GitlabUrlHasQuery,
    /// The instance is older than what links need.
    #[error("{instance} is GitLab {version}, which is too old")]
    UnsupportedVersion {
        /// The instance.
        instance: String,
        /// Its version.
        version: Version,
    },
    /// No group was named.
    #[error("the group is missing")]
    GroupMissing,
    /// There is no such group, or the token's user does not see it.
    #[error("{instance} has no group {group} that @{username} sees")]
    GroupNotFound {
        /// The instance.
        instance: String,
        /// The group's path, as it was given.
        group: String,
        /// The token's user.
        username: String,
    },
    /// A call to GitLab failed.
    #[error("GitLab did not {purpose:?}")]
    Gitlab {
        /// The instance.
        instance: String,
        /// What the call was for.
        purpose: GitlabPurpose,
        /// What it answered.
        #[source]
        source: GitlabError,
    },
    /// The token's user is neither Maintainer nor Owner of the group.
    #[error("@{username} is neither Maintainer nor Owner of {group}")]
    RoleTooLow {
        /// The token's user.
        username: String,
        /// The group's full path.
        group: String,
    },
    /// Only an Owner can have a group access token made.
    #[error("@{username} is not an Owner of {group}")]
    NotOwner {
        /// The token's user.
        username: String,
        /// The group's full path.
        group: String,
    },
    /// The group is linked to the site already, or linking it did not end. It can be renewed.
    #[error("{group} is linked already")]
    AlreadyLinked {
        /// The group's full path.
        group: String,
        /// That link.
        link: SubscriptionId,
        /// Its state.
        state: SubscriptionState,
    },
    /// Somebody else is changing the link's token or hooks.
    #[error("somebody else is at work on the link")]
    Busy {
        /// The link.
        link: SubscriptionId,
        /// When that has ended at the latest.
        until: Timestamp,
    },
    /// Not the key of a Jira project.
    #[error("{0:?} is not the key of a Jira project")]
    InvalidProjectKey(String),
    /// Somebody unlinked the group while it was being linked.
    #[error("the group was unlinked meanwhile")]
    UnlinkedMeanwhile,
    /// No project of the group could get a hook.
    #[error("no project of {group} got a hook")]
    NoProjectHook {
        /// The instance.
        instance: String,
        /// The group's full path.
        group: String,
        /// The first project that got none.
        project: String,
        /// What GitLab said of it.
        #[source]
        source: GitlabError,
    },
    /// GitLab did not answer when the group's hook was made, so it may have one now.
    #[error("whether the group has a hook is not known")]
    HookUnknown {
        /// Where that hook would deliver to.
        webhook_url: String,
        /// Where its page would be.
        hooks_page: String,
        /// What happened.
        #[source]
        cause: Box<LinkError>,
    },
    /// Linking failed, and not all that had been made could be removed.
    #[error("what was made could not all be removed")]
    NotUndone {
        /// What is left.
        left: Vec<Leftover>,
        /// Why linking failed.
        #[source]
        cause: Box<LinkError>,
    },
    /// The operating system gives no random numbers.
    #[error("no random numbers")]
    Random,
    /// The table can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret can't be sealed or opened.
    #[error(transparent)]
    Secret(#[from] EnvelopeError),
}

/// What a call to GitLab was for; a front end completes "the token may not ..." with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitlabPurpose {
    /// Reading the instance's version.
    ReadVersion,
    /// Reading the token's user.
    ReadUser,
    /// Reading the group.
    ReadGroup,
    /// Reading the group's members.
    ReadMembers,
    /// Listing the group's projects.
    ListProjects,
    /// Making the group's hook.
    CreateGroupHook,
    /// Making a project's hook.
    CreateProjectHook,
    /// Reading or changing a hook that is there.
    RepairHook,
    /// Making a group access token.
    CreateToken,
}

/// Something that was made for a link and could not be removed when linking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A hook of the group, by GitLab's id.
    GroupHook(u64),
    /// A hook of a project.
    ProjectHook {
        /// GitLab's id of the project.
        project: u64,
        /// GitLab's id of the hook.
        hook: u64,
    },
    /// An access token of the group, by GitLab's id.
    GroupToken(u64),
    /// The pending link itself.
    Link(SubscriptionId),
}

impl LinkError {
    /// `source`, as an error of a call to `instance` for `purpose`.
    pub(super) fn gitlab(instance: &str, purpose: GitlabPurpose) -> impl Fn(GitlabError) -> Self {
        move |source| Self::Gitlab { instance: instance.to_owned(), purpose, source }
    }
}
