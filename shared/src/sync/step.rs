//! The messages of `backfill`'s queue: each is a step of something that takes longer than a request. Where it goes on is
//! stored with the link, so a step that is delivered twice, or is left over, does no harm.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::Timestamp;
use crate::domain::{HistoryKind, HistorySlot, SubscriptionId};
use crate::queue::disposition::Message;
use crate::queue::{QueueError, SharedQueue};

/// A step of something that is done about a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum LinkStep {
    /// The next page of a plan for hooks.
    Hooks {
        /// The link.
        subscription: SubscriptionId,
        /// The plan's id.
        plan: Ulid,
    },
    /// The projects whose history is brought to Jira.
    HistoryProjects {
        /// The link.
        subscription: SubscriptionId,
        /// The plan's kind.
        #[serde(default)]
        kind: HistoryKind,
        /// The plan's id.
        plan: Ulid,
    },
    /// What is left of the history of one project.
    HistoryOfProject {
        /// The link.
        subscription: SubscriptionId,
        /// The plan's kind.
        #[serde(default)]
        kind: HistoryKind,
        /// The plan's id.
        plan: Ulid,
        /// GitLab's id of the project.
        project: u64,
    },
}

impl LinkStep {
    /// Lists the projects of a plan.
    #[must_use]
    pub fn history_projects(slot: HistorySlot, plan: Ulid) -> Self {
        Self::HistoryProjects { subscription: slot.link, kind: slot.kind, plan }
    }

    /// Does one project of a plan.
    #[must_use]
    pub fn history_of_project(slot: HistorySlot, plan: Ulid, project: u64) -> Self {
        Self::HistoryOfProject { subscription: slot.link, kind: slot.kind, plan, project }
    }

    /// The link that it is about.
    #[must_use]
    pub fn link(&self) -> SubscriptionId {
        match self {
            Self::Hooks { subscription, .. }
            | Self::HistoryProjects { subscription, .. }
            | Self::HistoryOfProject { subscription, .. } => *subscription,
        }
    }
}

/// Puts steps on the queue.
///
/// # Errors
/// When the queue is unavailable; some may be there.
pub async fn enqueue(
    queue: &SharedQueue,
    now: Timestamp,
    steps: impl IntoIterator<Item = LinkStep>,
) -> Result<(), QueueError> {
    let messages =
        steps.into_iter().map(|step| Message::new(step.link().to_string(), now, step).outgoing(now));
    let outgoing: Result<Vec<_>, _> = messages.collect();
    queue.send(outgoing.map_err(|error| QueueError::Unavailable(Box::new(error)))?).await
}
