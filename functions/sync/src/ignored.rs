//! Why events lead to nothing, for `explain`. Most of what GitLab delivers names no issue, and a write for each event would cost
//! more than all else that is done with it: those of a link and batch are written together.

use std::collections::HashSet;

use shared::domain::{Subscription, SubscriptionId};
use shared::store::Store;
use shared::store::ignored_deliveries::{IgnoreReason, IgnoredDelivery};

use crate::admit::AdmittedEvent;
use crate::tasks::ReadEntities;

/// Notes of a batch; of more, the last ones stay. The table keeps as many with a delivery that leads to nothing at once.
const MAX_NOTES: usize = 16;

/// Issue keys in a note.
const MAX_KEYS: usize = 20;

/// What is noted of a link's events.
#[derive(Debug)]
pub(crate) struct IgnoredEvents {
    link: SubscriptionId,
    notes: Vec<IgnoredDelivery>,
    /// The positions of those of which more may come once GitLab can be read.
    unread: HashSet<usize>,
}

impl IgnoredEvents {
    /// Nothing is noted yet.
    pub(crate) fn of(link: &Subscription) -> Self {
        Self { link: link.id, notes: Vec::new(), unread: HashSet::new() }
    }

    /// Notes what reading led to no issue.
    pub(crate) fn add_read(&mut self, read: &ReadEntities<'_>, has_token: bool) {
        let could_be_read = read.is_unread && has_token;
        let reason = if could_be_read { IgnoreReason::NotRead } else { IgnoreReason::NoIssueKeys };
        read.keyless().for_each(|event| self.add(event, reason));
        self.unread.extend(read.events.iter().filter(|_| read.is_unread).map(|event| event.index));
    }

    /// Whether GitLab could tell more of the event at `position`. Sent again, it is no repeat.
    pub(crate) fn is_unread(&self, position: usize) -> bool {
        self.unread.contains(&position)
    }

    /// Notes why an event leads to nothing; once of each delivery, whose parts come as events of their own.
    pub(crate) fn add(&mut self, event: &AdmittedEvent, answer: IgnoreReason) {
        if answer == IgnoreReason::TokenMissing {
            self.unread.insert(event.index);
        }
        let AdmittedEvent { received_at, delivery, project, event, .. } = event;
        if delivery.is_some() && self.notes.iter().any(|note| note.delivery == *delivery) {
            return;
        }
        if self.notes.len() == MAX_NOTES {
            self.notes.remove(0);
        }
        self.notes.push(IgnoredDelivery {
            at: *received_at,
            delivery: delivery.clone(),
            label: event.label(project),
            issue_keys: event.named_keys().as_slice().iter().take(MAX_KEYS).cloned().collect(),
            answer,
        });
    }

    /// Writes what was noted, in one write.
    pub(crate) async fn record(self, store: &Store) {
        if let Err(error) = store.record_ignored(self.link, &self.notes).await {
            tracing::warn!(%error, "could not remember events that lead to nothing");
        }
    }
}
