//! What entities are sent for: an event that has just happened or was missed, or history. Jira does more with the one,
//! and takes more of the other.

use crate::clock::Timestamp;
use crate::domain::EntityKind;
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::EntityVersion;

/// What entities are sent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// Events: development information starts Smart Commits and workflow triggers.
    #[default]
    Live,
    /// Events that were missed, sent as they would have been unless Jira has them.
    Missed,
    /// History: it starts nothing, and Jira takes it more slowly and within wider limits
    /// (<https://developer.atlassian.com/cloud/jira/software/rest/api-group-development-information/>).
    Backfill {
        /// What was sent before this moment is sent again, whatever we know of it.
        again_before: Option<Timestamp>,
    },
}

impl Operation {
    /// Whether this is history.
    #[must_use]
    pub fn is_backfill(self) -> bool {
        matches!(self, Self::Backfill { .. })
    }

    /// Whether Jira has all that a version of history says. Nothing says when a branch moved, so it is sent again.
    pub(super) fn has_sent(self, kind: EntityKind, version: &EntityVersion, last: &LedgerEntry) -> bool {
        self != Self::Live
            && !self.repeats(last)
            && !last.is_tombstone()
            && !last.is_unconfirmed()
            && kind != EntityKind::Branch
            && last.rank >= version.rank
            && last.changed_at >= version.changed_at
    }

    /// Whether a version that says nothing new is sent all the same.
    pub(super) fn repeats(self, last: &LedgerEntry) -> bool {
        match self {
            Self::Live => last.as_history,
            Self::Missed => false,
            Self::Backfill { again_before } => again_before.is_some_and(|moment| last.number < moment.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jira_has_is_not_sent_again_unless_everything_is() {
        let version = |known_at, changed_at: Option<i64>| EntityVersion {
            known_at: Timestamp(known_at),
            changed_at: changed_at.map(Timestamp),
            rank: 1,
            from_hook: false,
        };
        let missing = Operation::Backfill { again_before: None };
        let everything = Operation::Backfill { again_before: Some(Timestamp(50)) };
        let sent = LedgerEntry::from(version(10, Some(5)));
        let later = LedgerEntry::from(version(60, Some(5)));
        let read_again = version(100, Some(5));
        assert!(missing.has_sent(EntityKind::Build, &read_again, &sent));
        assert!(!missing.has_sent(EntityKind::Branch, &read_again, &sent), "it may have moved");
        assert!(!missing.has_sent(EntityKind::Build, &version(100, Some(6)), &sent), "it has changed");
        assert!(!everything.has_sent(EntityKind::Build, &read_again, &sent));
        assert!(everything.has_sent(EntityKind::Build, &read_again, &later), "it was sent again already");
        assert!(!Operation::Live.has_sent(EntityKind::Build, &read_again, &sent), "an event may say more");
        assert!(Operation::Missed.has_sent(EntityKind::Build, &read_again, &sent));
        assert!(!Operation::Missed.has_sent(EntityKind::Build, &version(100, Some(6)), &sent));
        let commit = LedgerEntry::from(version(10, None));
        assert!(missing.has_sent(EntityKind::Commit, &version(100, None), &commit));
        assert!(!missing.has_sent(
            EntityKind::Commit,
            &EntityVersion { rank: 2, ..version(100, None) },
            &commit
        ));
    }
}
