//! Which issue keys may be sent: an entity loses those that its link or its site does not allow, and one that has none left
//! leaves the issues that it may be on.

use std::collections::BTreeMap;

use super::Operation;
use super::pending::PendingEntity;
use super::record::{Record, explained};
use crate::clock::Timestamp;
use crate::domain::{KeyFilter, KeyRule, Site, SubscriptionId};
use crate::store::outcomes::Verdict;
use crate::sync::entity::Content;

/// The project keys that each link lets through; empty lists let every key through.
pub type AllowedKeys<'a> = BTreeMap<SubscriptionId, &'a [String]>;

/// Removes the keys that must not be sent. What is left without any, or had none, becomes a deletion: its name may have lost
/// them since it was sent. Whether Jira has it at all, the ledger says later. `record` says which keys were removed and why.
pub(super) fn filter(
    site: &Site,
    allowed: &AllowedKeys<'_>,
    pending: Vec<PendingEntity>,
    operation: Operation,
    now: Timestamp,
    record: &mut Record,
) -> Vec<PendingEntity> {
    let suppressed = site.suppressed_projects(now);
    let mut kept = Vec::with_capacity(pending.len());
    for mut pending in pending {
        let allowed = allowed.get(&pending.entity.link.subscription).copied().unwrap_or_default();
        let filter = KeyFilter { allowed, suppressed: &suppressed };
        let (keys, refused) = pending.entity.associations.issue_keys.clone().filtered(&filter);
        let associations = pending.entity.associations.with_issue_keys(keys);
        if !refused.is_empty() {
            record.may_bring_more(&pending);
            if associations.is_empty() && refused.iter().all(|(_, rule)| *rule == KeyRule::NotAllowed) {
                record.unwanted(&pending);
            } else if associations.is_empty() {
                record.left_out(&pending);
            }
        }
        for (key, rule) in refused {
            record.outcomes.push((vec![key], explained(&pending.entity, Verdict::Filtered { rule }, now)));
        }
        if pending.is_deletion() {
            pending.entity.associations = associations;
            kept.push(pending);
        } else if !associations.is_empty() {
            pending.entity.set_associations(associations);
            kept.push(pending);
        } else if pending.entity.associations.is_empty() || operation == Operation::Live {
            // History lists all of a link's group, and what this link does not send of it another may have sent.
            pending.filtered = !pending.entity.associations.is_empty();
            pending.entity.associations = associations;
            pending.entity.content = Content::Deleted;
            kept.push(pending);
        }
    }
    kept
}
