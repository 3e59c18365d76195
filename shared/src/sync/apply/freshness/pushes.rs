//! Branches on links without a token: which of the pushes that came in, late, repeated and reordered, says how the branch is
//! now. The order of updates is [`BranchHistory`]'s; what is sent of them is decided here.

use super::{Decided, PendingEntity};
use crate::clock::Timestamp;
use crate::domain::{BranchHistory, EntityKey};
use crate::store::ledger::LedgerEntry;
use crate::sync::entity::{Content, Entity};

/// How often pushes are looked at that wait for others, in milliseconds. All of a branch are due at the same moment, so that
/// they find each other.
const POLL_INTERVAL: i64 = 5_000;

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
    let (history, is_placed) = BranchHistory::place(before.clone(), &updates, now);
    let mut is_placed = is_placed.into_iter();
    let (placed, waiting): (Vec<_>, Vec<_>) =
        versions.into_iter().partition(|_| is_placed.next().unwrap_or(true));
    let until = Timestamp((now.0 / POLL_INTERVAL + 1) * POLL_INTERVAL);
    decided.waiting.extend(waiting.into_iter().map(|version| (version, until)));
    let Some(history) = history else { return };
    let is_shown = before.as_ref().is_some_and(|before| before.head() == history.head());
    let newest = if is_shown { None } else { newest(placed, history.head(), before.as_ref()) };
    match newest.filter(|newest| !newest.is_needless_deletion(last)) {
        Some(mut newest) => {
            newest.entity.version.from_hook = true;
            let number = newest.entity.version.number_after(last, now);
            decided.number(&mut newest, number, last, now);
            newest.branch = Some(history);
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
