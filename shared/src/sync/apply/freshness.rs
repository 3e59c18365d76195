//! Which version of an entity counts: of several in a batch the newest, and of those only what Jira does not have yet.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::pending::PendingEntity;
use crate::domain::{EntityKey, EntityKind};
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::Freshness;

/// A branch created again at the head it was deleted with: within this time the hook is late, after it somebody restored
/// the branch. GitLab's own queues are seldom further behind.
const LATE_CREATION: Duration = Duration::from_secs(600);

/// One pending entity per identity: of several versions the newest, from all the messages that led to it.
pub(super) fn newest(versions: Vec<PendingEntity>) -> Vec<PendingEntity> {
    let mut entities: BTreeMap<EntityKey, PendingEntity> = BTreeMap::new();
    for version in versions {
        match entities.get_mut(&version.entity.key) {
            Some(known) => known.merge(version),
            None => {
                entities.insert(version.entity.key.clone(), version);
            }
        }
    }
    entities.into_values().collect()
}

/// What Jira does not have yet, numbered.
pub(super) fn fresh(
    pending: Vec<PendingEntity>,
    ledger: &HashMap<EntityKey, LedgerEntry>,
) -> Vec<PendingEntity> {
    let number = |mut pending: PendingEntity| {
        let last = ledger.get(&pending.entity.key);
        if pending.is_late(last) || pending.is_needless_deletion(last) {
            tracing::debug!(entity.label = pending.entity.label, "Jira has it, or something newer");
            return None;
        }
        match pending.entity.version.freshness(last) {
            Freshness::Fresh(number) => {
                pending.entity.set_number(number);
                Some(pending)
            }
            Freshness::Stale => None,
        }
    };
    pending.into_iter().filter_map(number).collect()
}

impl PendingEntity {
    fn merge(&mut self, mut other: Self) {
        self.origins.extend(&other.origins);
        let ours = self.ledger_entry();
        if other.entity.version.supersedes(&self.entity.version) && !other.is_late(Some(&ours)) {
            // A branch that was created and pushed to in one batch was created all the same.
            if let (Some(ours), Some(theirs)) = (&self.push, &mut other.push) {
                theirs.creates |= ours.creates;
            }
            let origins = std::mem::take(&mut self.origins);
            *self = Self { origins, ..other };
        }
    }

    /// Whether a push that is known from its hook alone is about a branch that was deleted since.
    fn is_late(&self, last: Option<&LedgerEntry>) -> bool {
        let (Some(push), Some(last)) = (&self.push, last) else { return false };
        let Some(deleted_head) = last.deleted_head.as_deref() else { return false };
        let since = self.entity.version.known_at.0 - last.number;
        let soon = since < i64::try_from(LATE_CREATION.as_millis()).unwrap_or(i64::MAX);
        // A branch that was deleted can't be pushed to; it would have to be created first.
        !push.creates || since <= 0 || (soon && push.head == deleted_head)
    }

    /// Whether it would delete what Jira never had, or has deleted already.
    fn is_needless_deletion(&self, last: Option<&LedgerEntry>) -> bool {
        if !self.is_deletion() {
            return false;
        }
        match last {
            Some(last) => last.is_tombstone(),
            // GitLab's own app may have sent it, or we did before the ledger begins.
            None => match self.entity.key.kind {
                EntityKind::PullRequest => self.filtered,
                EntityKind::Branch => self.entity.issue_keys.is_empty(),
                _ => true,
            },
        }
    }
}
