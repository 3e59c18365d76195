//! An entity on its way to Jira: its identity there, what it says, and how its versions are ordered.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::domain::{Associations, EntityKey, SubscriptionId};
use crate::jira::model::{Branch, Build, Commit, Deployment, FeatureFlag, PullRequest, Repository};
use crate::store::ledger::LedgerEntry;

/// A version of an entity.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its identity.
    pub key: EntityKey,
    /// How it is called on a page for people: `acme/api!7`.
    pub label: String,
    /// What it is filed under.
    pub associations: Associations,
    /// How this version is ordered among others.
    pub version: EntityVersion,
    /// The link it came through.
    pub link: Link,
    /// Fields of its repository, for development information.
    pub repository: Arc<Repository>,
    /// What it says.
    pub content: Content,
}

/// The link an entity came through; what unlinking deletes by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// `GitLab <version>`, for Jira's records.
    pub product: Arc<str>,
}

/// The content that is sent to Jira.
#[derive(Clone, Debug)]
pub enum Content {
    /// A commit.
    Commit(Box<Commit>),
    /// A branch.
    Branch(Box<Branch>),
    /// A merge request.
    PullRequest(Box<PullRequest>),
    /// A pipeline.
    Build(Box<Build>),
    /// A deployment.
    Deployment(Box<Deployment>),
    /// A feature flag.
    FeatureFlag(Box<FeatureFlag>),
    /// That it is gone, or no longer belongs to any issue.
    Deleted,
}

/// How versions of an entity are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityVersion {
    /// When we knew the content to be true: just before the read, or when the hook came in. From [`Entity::set_number`] on,
    /// the number that orders it at Jira.
    pub known_at: Timestamp,
    /// When GitLab says it last changed, for entities that say so.
    pub changed_at: Option<Timestamp>,
    /// How far it has come: of versions changed in the same moment, the one that is further wins.
    pub rank: u8,
    /// Whether it comes from a hook alone, whose dates are cut to seconds.
    pub from_hook: bool,
}

/// Whether a version is news to Jira.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is; send it with this number, which is strictly greater than the last one sent.
    Fresh(i64),
    /// Jira has it, or has something newer.
    Stale,
}

impl EntityVersion {
    /// Compares with what was sent last, at `now`.
    #[must_use]
    pub fn freshness(&self, last: Option<&LedgerEntry>, now: Timestamp) -> Freshness {
        let Some(last) = last else {
            return Freshness::Fresh(self.number_after(None, now));
        };
        let is_later = self.known_at > last.known_at();
        let news = match (self.changed_at, last.changed_at) {
            (Some(ours), Some(theirs)) => {
                let (ours, theirs) =
                    if self.from_hook { (ours.seconds(), theirs.seconds()) } else { (ours.0, theirs.0) };
                (ours, self.rank, is_later) > (theirs, last.rank, false)
            }
            // A number from the future is of a worker whose clock runs ahead; what was read just now is newer.
            _ if last.number > now.0 && !self.from_hook => self.rank >= last.rank,
            _ => (self.rank, is_later) > (last.rank, false),
        };
        if news { Freshness::Fresh(self.number_after(Some(last), now)) } else { Freshness::Stale }
    }

    /// The number to send it with at `now`: greater than any that Jira may have seen. What was read is as new as its read.
    /// Hooks come in late and in any order, so what they say gets the time at which it is sent: after a crash between Jira's
    /// answer and the ledger, whatever is then sent has a greater one.
    #[must_use]
    pub fn number_after(&self, last: Option<&LedgerEntry>, now: Timestamp) -> i64 {
        let number = if self.from_hook { now.0 } else { self.known_at.0 };
        last.map_or(number, |last| number.max(last.last_number() + 1))
    }

    /// Whether this version should be kept rather than the other.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let sent = LedgerEntry::from(*other);
        matches!(self.freshness(Some(&sent), Timestamp(i64::MAX)), Freshness::Fresh(_))
    }
}

impl From<EntityVersion> for LedgerEntry {
    fn from(version: EntityVersion) -> Self {
        Self {
            number: version.known_at.0,
            known_at: None,
            changed_at: version.changed_at,
            rank: version.rank,
            deleted_head: None,
            reserved: None,
            branch: None,
            branch_name: None,
            as_history: false,
        }
    }
}

impl Entity {
    /// Writes the number that orders this version at Jira into the content.
    pub fn set_number(&mut self, number: i64) {
        self.version.known_at = Timestamp(number);
        match &mut self.content {
            Content::Commit(commit) => commit.update_sequence_id = number,
            Content::Branch(branch) => {
                branch.update_sequence_id = number;
                branch.last_commit.update_sequence_id = number;
            }
            Content::PullRequest(pull_request) => pull_request.update_sequence_id = number,
            Content::Build(build) => build.update_sequence_number = number,
            Content::Deployment(deployment) => deployment.update_sequence_number = number,
            Content::FeatureFlag(flag) => flag.update_sequence_id = number,
            Content::Deleted => {}
        }
    }

    /// Files this version under `associations` only.
    pub fn set_associations(&mut self, associations: Associations) {
        let keys = associations.issue_keys().to_vec();
        match &mut self.content {
            Content::Commit(commit) => commit.issue_keys = keys,
            Content::Branch(branch) => {
                let head = &mut branch.last_commit.issue_keys;
                head.retain(|key| keys.contains(key));
                if head.is_empty() {
                    head.clone_from(&keys);
                }
                branch.issue_keys = keys;
            }
            Content::PullRequest(pull_request) => pull_request.issue_keys = keys,
            Content::Build(build) => build.issue_keys = keys,
            Content::Deployment(deployment) => {
                deployment
                    .associations
                    .iter_mut()
                    .for_each(|association| association.values.clone_from(&keys));
            }
            Content::FeatureFlag(flag) => flag.issue_keys = keys,
            Content::Deleted => {}
        }
        self.associations = associations;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn version(known_at: i64, changed_at: Option<i64>, rank: u8) -> EntityVersion {
        EntityVersion {
            known_at: Timestamp(known_at),
            changed_at: changed_at.map(Timestamp),
            rank,
            from_hook: false,
        }
    }

    fn sent(number: i64, changed_at: Option<i64>, rank: u8) -> LedgerEntry {
        LedgerEntry::from(version(number, changed_at, rank))
    }

    #[test]
    fn a_late_running_never_beats_success() {
        let success = sent(2_000, Some(1_900_000), 2);
        assert_eq!(version(9_000, Some(1_800_000), 1).freshness(Some(&success), NOW), Freshness::Stale);
        assert_eq!(version(9_000, Some(1_900_000), 1).freshness(Some(&success), NOW), Freshness::Stale);
        assert_eq!(version(9_000, None, 1).freshness(Some(&success), NOW), Freshness::Stale);
        assert_eq!(
            version(9_000, Some(2_000_000), 1).freshness(Some(&success), NOW),
            Freshness::Fresh(9_000)
        );
    }

    #[test]
    fn the_same_version_twice_is_sent_once() {
        assert_eq!(version(5, Some(1), 0).freshness(Some(&sent(5, Some(1), 0)), NOW), Freshness::Stale);
        assert_eq!(version(5, None, 0).freshness(Some(&sent(5, None, 0)), NOW), Freshness::Stale);
    }

    #[test]
    fn newer_content_gets_a_greater_number_whatever_the_clocks_say() {
        assert_eq!(version(5, Some(20), 0).freshness(Some(&sent(7, Some(10), 0)), NOW), Freshness::Fresh(8));
    }

    #[test]
    fn dates_of_hooks_are_compared_by_the_second() {
        let mut from_hook = version(9_000, Some(1_000), 1);
        from_hook.from_hook = true;
        assert_eq!(from_hook.freshness(Some(&sent(5_000, Some(1_400), 0)), NOW), Freshness::Fresh(NOW.0));
    }
}
