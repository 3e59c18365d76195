//! Which version of an entity counts: of several in a batch the newest, and of those only what Jira does not have yet.
//! Branches that are known from push hooks alone are in [`pushes`].

mod pushes;

use std::collections::{BTreeMap, HashMap};

use super::Operation;
use super::pending::PendingEntity;
use crate::clock::Timestamp;
use crate::domain::{EntityKey, EntityKind};
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::{EntityVersion, Freshness};

/// What is to be done with the versions of a batch.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// What Jira does not have yet, numbered.
    pub(super) fresh: Vec<PendingEntity>,
    /// What waits until then for an event that belongs before it.
    pub(super) waiting: Vec<(PendingEntity, Timestamp)>,
    /// What the ledger should know beside the numbers that were sent: entries as they are, with more in them.
    pub(super) annotations: Vec<(EntityKey, LedgerEntry)>,
}

/// Decides for each entity of `versions`, which are in the order in which they came in.
pub(super) fn decide(
    versions: Vec<PendingEntity>,
    ledger: &HashMap<EntityKey, LedgerEntry>,
    operation: Operation,
    now: Timestamp,
) -> Decided {
    let mut entities: BTreeMap<EntityKey, Vec<PendingEntity>> = BTreeMap::new();
    for version in versions {
        entities.entry(version.entity.key.clone()).or_default().push(version);
    }
    let mut decided = Decided::default();
    for (key, versions) in entities {
        let last = ledger.get(&key);
        // What was read is newer than any hook about it.
        let is_read = |version: &PendingEntity| version.update.is_none();
        if key.kind == EntityKind::Branch && !versions.iter().any(is_read) {
            pushes::decide(&key, versions, last, now, &mut decided);
            continue;
        }
        let Some(mut newest) = newest(versions) else { continue };
        if newest.is_needless_deletion(last) {
            continue;
        }
        let version = newest.entity.version;
        // What has lost its keys says so with the date and rank that it had before.
        if !newest.is_deletion() && last.is_some_and(|last| operation.has_sent(key.kind, &version, last)) {
            continue;
        }
        match version.freshness(last, now) {
            Freshness::Fresh(number) => decided.number(&mut newest, number, last, now),
            // Whatever is older than what was sent stays behind it.
            Freshness::Stale
                if last.is_some_and(|last| operation.repeats(last) && version.known_at > last.known_at()) =>
            {
                decided.number(&mut newest, version.number_after(last, now), last, now);
            }
            Freshness::Stale => {
                tracing::debug!(entity.label = newest.entity.label, "Jira has it, or something newer");
                continue;
            }
        }
        decided.fresh.push(newest);
    }
    decided
}

impl Decided {
    /// Numbers a version. Some numbers are reserved first, because a worker may end between Jira's answer and the ledger:
    /// one that lies in the future, because another worker's clock runs ahead, would be given to other content, which Jira
    /// would ignore; and of what Jira does not have yet, a deletion that comes next must know that Jira may have it.
    fn number(
        &mut self,
        pending: &mut PendingEntity,
        number: i64,
        last: Option<&LedgerEntry>,
        now: Timestamp,
    ) {
        let entry = match last {
            None if pending.can_be_deleted() => {
                Some(LedgerEntry { branch_name: pending.branch_name(), ..LedgerEntry::default() })
            }
            Some(last) if number > now.0 || (last.is_tombstone() && !pending.is_deletion()) => {
                Some(last.clone())
            }
            _ => None,
        };
        let reserved = entry.map(|entry| LedgerEntry { reserved: Some(number), ..entry });
        self.annotations.extend(reserved.map(|reserved| (pending.entity.key.clone(), reserved)));
        pending.number(number);
    }
}

/// Whether `pending`, which was sent, is newer than what another worker sent of the same entity.
pub(super) fn says_more(pending: &PendingEntity, last: &LedgerEntry, now: Timestamp) -> bool {
    match (&pending.update, &last.branch) {
        (Some(update), Some(history)) => history.head() != update.after.as_deref(),
        _ => {
            let version = EntityVersion { known_at: pending.known_at, ..pending.entity.version };
            matches!(version.freshness(Some(last), now), Freshness::Fresh(_))
        }
    }
}

/// Whether `pending`, which was sent with a higher number, may be older than what another worker sent of the same entity.
pub(super) fn may_say_less(pending: &PendingEntity, other: &LedgerEntry) -> bool {
    let ours = pending.entity.version;
    match (ours.changed_at, other.changed_at) {
        (Some(changed_at), Some(theirs)) => (theirs, other.rank) > (changed_at, ours.rank),
        _ => true,
    }
}

/// The newest of several versions, from all the messages that led to them.
fn newest(versions: Vec<PendingEntity>) -> Option<PendingEntity> {
    versions.into_iter().filter(|version| version.update.is_none()).reduce(|mut ours, mut theirs| {
        let mut origins = std::mem::take(&mut ours.origins);
        origins.append(&mut theirs.origins);
        let (old, new) = (&ours.entity.version, &theirs.entity.version);
        // Of two that were read in the same moment, the one that found keys has seen more.
        let is_newer = new.supersedes(old) || (ours.is_deletion() && !old.supersedes(new));
        PendingEntity { origins, ..if is_newer { theirs } else { ours } }
    })
}

impl PendingEntity {
    /// Whether it would delete what Jira never had, or has deleted already.
    fn is_needless_deletion(&self, last: Option<&LedgerEntry>) -> bool {
        if !self.is_deletion() {
            return false;
        }
        match last {
            Some(last) => last.is_tombstone() && last.reserved.is_none(),
            // GitLab's own app may have sent it, or we did before the ledger begins.
            None => match self.entity.key.kind {
                EntityKind::PullRequest => self.filtered,
                EntityKind::Branch => self.entity.associations.is_empty(),
                _ => true,
            },
        }
    }
}
