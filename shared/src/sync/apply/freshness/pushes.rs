//! Branches on links without a token: which of the pushes that came in, late, repeated and reordered, says how the branch is
//! now. The order of updates is [`BranchHistory`]'s; what is sent of them is decided here.

use super::{Decided, PendingEntity};
use crate::clock::Timestamp;
use crate::domain::{BranchHistory, EntityKey, Placement};
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::{Content, Entity};

/// How often pushes are looked at that wait for others, in milliseconds. All of a branch are due at the same moment, so that
/// they find each other.
const POLL_INTERVAL: i64 = 5_000;

/// The same, for pushes that others were preferred to.
const LATE_POLL_INTERVAL: i64 = 30_000;

/// Decides on the versions of the branch `key`.
pub(super) fn decide(
    key: &EntityKey,
    mut versions: Vec<PendingEntity>,
    last: Option<&LedgerEntry>,
    now: Timestamp,
    decided: &mut Decided,
) {
    let before = last.and_then(known);
    if let (None, Some(last)) = (&before, last) {
        // An entry of a release that kept no history.
        versions.retain(|version| version.entity.version.known_at > last.known_at());
    }
    let updates: Vec<_> = versions
        .iter()
        .filter_map(|version| Some((version.update.as_ref()?, version.entity.version.known_at)))
        .collect();
    let (history, placements) = BranchHistory::place(before.clone(), &updates, now);
    let mut placements = placements.into_iter();
    let mut placed = Vec::new();
    for version in versions {
        let interval = match placements.next().unwrap_or(Placement::Placed) {
            Placement::Placed => {
                placed.push(version);
                continue;
            }
            Placement::Waits => POLL_INTERVAL,
            Placement::MayBeHead => LATE_POLL_INTERVAL,
        };
        decided.waiting.push((version, Timestamp((now.0 / interval + 1) * interval)));
    }
    let Some(history) = history else { return };
    // What was about to be sent in between may have reached Jira.
    let may_differ = last.is_some_and(|last| last.reserved.is_some());
    // Where its answer got lost, it may have another head than the last one that is known to be there.
    let leads_back = |version: &PendingEntity| {
        let is_new = |delivery: &String| before.as_ref().is_some_and(|before| !before.knows(delivery));
        version.update.as_ref().is_some_and(|update| {
            update.after.as_deref() == history.head() && (has_message(version) || is_new(&update.delivery))
        })
    };
    let is_shown = !may_differ && before.is_some() && history.is_shown() && !placed.iter().any(leads_back);
    let newest = if is_shown { None } else { newest(placed, history.head(), before.as_ref()) };
    match newest.filter(|newest| !newest.is_needless_deletion(last)) {
        Some(mut newest) => {
            newest.entity.version.from_hook = true;
            let number = newest.entity.version.number_after(last, now);
            decided.number(&mut newest, number, last, now);
            newest.branch = Some(history.with_head_shown(newest.is_deletion()));
            decided.fresh.push(newest);
        }
        // Nothing to send, but something was learned.
        None => {
            let learned = last.filter(|last| last.branch.as_ref() != Some(&history));
            let entry = learned.map(|last| LedgerEntry { branch: Some(history), ..last.clone() });
            decided.annotations.extend(entry.map(|entry| (key.clone(), entry)));
        }
    }
}

/// What is known of the branch that `last` is about.
fn known(last: &LedgerEntry) -> Option<BranchHistory> {
    let is_gone = || last.is_tombstone().then(|| BranchHistory::settled(None, Timestamp(last.number)));
    last.branch.clone().or_else(is_gone)
}

/// The version that says that the branch has `head`, from all the messages whose updates have their place.
fn newest(
    placed: Vec<PendingEntity>,
    head: Option<&str>,
    before: Option<&BranchHistory>,
) -> Option<PendingEntity> {
    let origins = placed.iter().flat_map(|version| version.origins.clone()).collect();
    let says_so = |version: &&PendingEntity| {
        version.update.as_ref().is_some_and(|update| update.after.as_deref() == head)
    };
    // Of a push in several parts one has the commit itself.
    let newest = placed
        .iter()
        .filter(says_so)
        .max_by_key(|version| (has_message(version), version.entity.version.known_at));
    let newest = match (newest, head) {
        (Some(newest), _) => newest.clone(),
        (None, None) => deletion(placed.first()?, before),
        (None, Some(_)) => return None,
    };
    Some(PendingEntity { origins, ..newest })
}

fn has_message(version: &PendingEntity) -> bool {
    matches!(&version.entity.content, Content::Branch(branch) if !branch.last_commit.message.is_empty())
}

/// The deletion of the branch that `version` is about: its last update came in before an earlier one.
fn deletion(version: &PendingEntity, before: Option<&BranchHistory>) -> PendingEntity {
    let deleted_head = before.and_then(BranchHistory::head).map(str::to_owned);
    let entity = Entity { content: Content::Deleted, ..version.entity.clone() };
    PendingEntity { entity, deleted_head, ..version.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SubscriptionId;
    use crate::gitlab::hooks::HookEvent;
    use crate::gitlab::model::{Project, Push};
    use crate::sync::entity::Link;
    use crate::sync::read::hook;
    use crate::sync::transform::Source;

    const BRANCH: &str = "PAY-1-x";

    /// Versions of a branch that is made and deleted at once.
    fn made_and_deleted() -> Vec<PendingEntity> {
        let link = Link { subscription: SubscriptionId::generate(), product: "GitLab".into() };
        let project = Project { id: 42, ..Project::default() };
        let source = Source::new(project, link, "https://gitlab.example", 0);
        let sha = "a".repeat(40);
        let made = HookEvent::Push(Push {
            branch: BRANCH.to_owned(),
            before: None,
            after: sha.clone(),
            commits: Vec::new(),
            total: 0,
        });
        let deleted = HookEvent::BranchDeleted { branch: BRANCH.to_owned(), before: sha };
        let made = hook::entities(&source, &made, Some("made"), Timestamp(1_000));
        let deleted = hook::entities(&source, &deleted, Some("deleted"), Timestamp(2_000));
        [made, deleted].concat()
    }

    /// How many deletions are sent of it, after an earlier branch of the name was deleted.
    fn deletions(reserved: Option<i64>) -> usize {
        let versions = made_and_deleted();
        let gone = LedgerEntry {
            deleted_head: Some("b".repeat(40)),
            reserved,
            branch: Some(BranchHistory::settled(None, Timestamp(500))),
            ..LedgerEntry::from(versions[0].entity.version)
        };
        let key = versions[0].entity.key.clone();
        let mut decided = Decided::default();
        decide(&key, versions, Some(&gone), Timestamp(10_000), &mut decided);
        decided.fresh.iter().filter(|version| version.is_deletion()).count()
    }

    /// A worker may have died after it sent the branch and before the ledger knew: then it is at Jira, and nothing else
    /// says so.
    #[test]
    fn a_branch_that_came_and_went_is_deleted_where_jira_may_have_it() {
        assert_eq!(deletions(None), 0, "Jira never heard of it");
        assert_eq!(deletions(Some(5_000)), 1);
    }

    /// Jira may have deleted it although its answer got lost, so that nothing of it is in the ledger.
    #[test]
    fn a_branch_that_is_restored_is_sent_even_if_it_is_known_to_be_there() {
        let versions = made_and_deleted();
        let (made, deleted) = (versions[0].clone(), versions[1].clone());
        let key = made.entity.key.clone();
        let sha = made.update.as_ref().and_then(|update| update.after.clone());
        let there = LedgerEntry {
            branch: Some(BranchHistory::settled(sha.as_deref(), Timestamp(500))),
            ..LedgerEntry::from(made.entity.version)
        };
        let mut decided = Decided::default();
        decide(&key, vec![deleted, made], Some(&there), Timestamp(10_000), &mut decided);
        assert_eq!(decided.fresh.iter().filter(|version| !version.is_deletion()).count(), 1);
    }
}
