//! Which issue keys may be sent: an entity loses those that its link or its site does not allow, and one that has none left
//! is not sent.

use std::collections::BTreeMap;

use super::pending::PendingEntity;
use super::record::{Record, explained};
use crate::clock::Timestamp;
use crate::domain::{EntityKind, KeyFilter, KeyRule, Site, SubscriptionId};
use crate::store::outcomes::Verdict;
use crate::sync::entity::Content;

/// The project keys that each link lets through; empty lists let every key through.
pub type AllowedKeys<'a> = BTreeMap<SubscriptionId, &'a [String]>;

/// Removes the keys that must not be sent, and the entities that are left without any. `record` says which and why.
pub(super) fn filter(
    site: &Site,
    allowed: &AllowedKeys<'_>,
    pending: Vec<PendingEntity>,
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
        } else if pending.entity.key.kind == EntityKind::PullRequest
            && !pending.entity.associations.is_empty()
        {
            // Its title names only keys that must not be sent: it leaves the issues that it may be on.
            pending.entity.associations = associations;
            pending.entity.content = Content::Deleted;
            pending.filtered = true;
            kept.push(pending);
        }
    }
    kept
}
