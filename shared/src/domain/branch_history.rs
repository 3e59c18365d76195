//! How a branch came to its head, as far as push hooks tell. Each names the head before and the head after it, so all
//! of them together tell the head whatever the order in which they come in: it is the one that was set once more than
//! it was replaced. For links without a token; with one, GitLab is asked for the head.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// After this long without an update, all earlier ones have come in: GitLab's own queues are seldom further behind. An
/// update waits this long, too, for one that belongs before it; one that GitLab never sends, because somebody pushed more
/// than three branches at once, must not hold up the branch for longer.
const SETTLING_TIME: Duration = Duration::from_secs(120);

/// Deliveries that are remembered, so that a repeat does not count twice: those of minutes on a busy branch.
const MAX_DELIVERIES: usize = 64;

/// Updates that may wait for others at the same time.
const MAX_WAITING: usize = 32;

/// Gaps that are remembered at the same time.
const MAX_GAPS: usize = 8;

/// What a push hook says of a branch. A branch that is not there has no head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// Names the delivery; the same when it is repeated.
    pub delivery: String,
    /// The head before.
    pub before: Option<String>,
    /// The head after.
    pub after: Option<String>,
}

/// What is known of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchHistory {
    head: Option<String>,
    base: Base,
    /// Whether an update made or deleted the branch.
    #[serde(default)]
    was_absent: bool,
    /// Deliveries of the updates that are in it, the newest last.
    #[serde(default)]
    deliveries: Vec<String>,
    /// Since when updates wait for others, by delivery.
    #[serde(default)]
    waiting: BTreeMap<String, Timestamp>,
    /// Where updates were no longer waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
    /// When the newest of its updates came in.
    newest: Timestamp,
}

/// Updates are missing that led from one head to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    from: Option<String>,
    to: Option<String>,
    /// When the update that followed them came in.
    closed_at: Timestamp,
}

/// Where the history begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Base {
    /// Nothing from before it can come in any more.
    Settled,
    /// At the head that the first update replaced. Updates from before it may come in.
    At(Option<String>),
}

/// An update with the time when it came in.
pub type ReceivedUpdate<'a> = (&'a RefUpdate, Timestamp);

impl BranchHistory {
    /// A branch that has this head at `at`, or does not exist.
    #[must_use]
    pub fn settled(head: Option<&str>, at: Timestamp) -> Self {
        let (deliveries, waiting) = (Vec::new(), BTreeMap::new());
        Self {
            head: head.map(str::to_owned),
            base: Base::Settled,
            was_absent: false,
            deliveries,
            waiting,
            gaps: Vec::new(),
            newest: at,
        }
    }

    /// The head; none for a branch that is not there.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// Finds the places of `updates` at `now`, and says of each whether it has one; the others wait for what is in between.
    #[must_use]
    pub fn place(
        known: Option<Self>,
        updates: &[ReceivedUpdate<'_>],
        now: Timestamp,
    ) -> (Option<Self>, Vec<bool>) {
        let mut order: Vec<usize> = (0..updates.len()).collect();
        order.sort_by_key(|index| updates[*index].1);
        let Some(mut history) = known.or_else(|| order.first().map(|first| Self::before(updates[*first])))
        else {
            return (None, Vec::new());
        };
        let mut seen: BTreeSet<String> = history.deliveries.iter().cloned().collect();
        let mut left: Vec<ReceivedUpdate<'_>> = order.iter().map(|index| updates[*index]).collect();
        left.retain(|(update, _)| update.before != update.after && seen.insert(update.delivery.clone()));
        left.retain(|update| !history.fills_gap(*update));
        history.settle(&left);
        if !history.accept(&left) {
            while let Some(placeable) = history.next_placeable(&left) {
                let some: Vec<_> = placeable.iter().map(|index| left[*index]).collect();
                history.accept(&some);
                let mut index = 0;
                left.retain(|_| (!placeable.contains(&index), index += 1).0);
            }
            left.retain(|update| !history.stops_waiting_for(*update, now));
        } else {
            left.clear();
        }
        let is_left = |delivery: &String| left.iter().any(|(update, _)| update.delivery == *delivery);
        let placed = updates.iter().map(|(update, _)| !is_left(&update.delivery)).collect();
        (Some(history), placed)
    }

    /// A branch just before its first known update.
    fn before((update, at): ReceivedUpdate<'_>) -> Self {
        Self { base: Base::At(update.before.clone()), ..Self::settled(update.before.as_deref(), at) }
    }

    fn settle(&mut self, updates: &[ReceivedUpdate<'_>]) {
        let is_later = |(_, at): &ReceivedUpdate<'_>| at.since(self.newest) > SETTLING_TIME;
        if self.waiting.is_empty() && !updates.is_empty() && updates.iter().all(is_later) {
            self.base = Base::Settled;
        }
    }

    /// Whether an update is one that was no longer waited for: it is older than what followed it, whenever it came in. What
    /// leads to the same head after all late ones have come in is new.
    fn fills_gap(&mut self, (update, at): ReceivedUpdate<'_>) -> bool {
        // Many updates lead to no head, but only one from where the gap begins.
        let belongs_there = |gap: &Gap| {
            gap.to == update.after
                && (gap.to.is_some() || gap.from == update.before)
                && at.since(gap.closed_at) <= SETTLING_TIME
        };
        let Some(index) = self.gaps.iter().position(belongs_there) else { return false };
        if self.gaps[index].from == update.before {
            self.gaps.remove(index);
        } else {
            // What led to its own predecessor may be late as well.
            self.gaps[index].to.clone_from(&update.before);
        }
        self.waiting.remove(&update.delivery);
        self.deliveries.push(update.delivery.clone());
        true
    }

    /// Takes `updates` in if there is a way through all of them.
    fn accept(&mut self, updates: &[ReceivedUpdate<'_>]) -> bool {
        let was_absent = self.was_absent
            || updates.iter().any(|(update, _)| update.before.is_none() || update.after.is_none());
        let Some((head, base)) = self.after(updates, was_absent) else { return false };
        (self.head, self.base, self.was_absent) = (head, base, was_absent);
        for (update, at) in updates {
            self.waiting.remove(&update.delivery);
            self.deliveries.push(update.delivery.clone());
            self.newest = self.newest.max(*at);
        }
        let surplus = self.deliveries.len().saturating_sub(MAX_DELIVERIES);
        self.deliveries.drain(..surplus);
        true
    }

    /// Head and base after `updates`. Each head that was set as often as it was replaced cancels out; what remains must be
    /// one head, and the one that it began with, unless that is known.
    fn after(&self, updates: &[ReceivedUpdate<'_>], was_absent: bool) -> Option<(Option<String>, Base)> {
        let mut balance: BTreeMap<&Option<String>, i32> = BTreeMap::from([(&self.head, 1)]);
        if let Base::At(base) = &self.base {
            *balance.entry(base).or_default() -= 1;
        }
        for (update, _) in updates {
            *balance.entry(&update.after).or_default() += 1;
            *balance.entry(&update.before).or_default() -= 1;
        }
        balance.retain(|_, count| *count != 0);
        let remaining: Vec<(Option<String>, i32)> =
            balance.into_iter().map(|(head, count)| (head.clone(), count)).collect();
        match (&self.base, remaining.as_slice()) {
            (Base::Settled, [(head, 1)]) => Some((head.clone(), Base::Settled)),
            (Base::At(_), [(head, 1), (base, -1)] | [(base, -1), (head, 1)]) => {
                Some((head.clone(), Base::At(base.clone())))
            }
            // A circle: it ends where it began. A branch that was made and deleted began with nothing.
            (Base::At(_), []) => {
                let newest = updates.last().map_or(&self.head, |(update, _)| &update.after);
                let head = if was_absent { None } else { newest.clone() };
                Some((head.clone(), Base::At(head)))
            }
            _ => None,
        }
    }

    /// The positions of updates that have a place without the others: one that goes on from the head or leads to the base,
    /// or a circle, which changes nothing.
    fn next_placeable(&self, updates: &[ReceivedUpdate<'_>]) -> Option<Vec<usize>> {
        let alone = (0..updates.len()).find(|index| self.after(&[updates[*index]], true).is_some());
        alone.map(|index| vec![index]).or_else(|| (0..updates.len()).find_map(|first| circle(updates, first)))
    }

    /// Whether an update has waited long enough; it then counts by itself, and one that came in last as the newest.
    fn stops_waiting_for(&mut self, (update, at): ReceivedUpdate<'_>, now: Timestamp) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        let since = *self.waiting.entry(update.delivery.clone()).or_insert(now);
        if now.since(since) < SETTLING_TIME && has_room {
            return false;
        }
        self.waiting.remove(&update.delivery);
        if at > self.newest {
            self.gaps.push(Gap { from: self.head.clone(), to: update.before.clone(), closed_at: at });
            let surplus = self.gaps.len().saturating_sub(MAX_GAPS);
            self.gaps.drain(..surplus);
            (self.head, self.base, self.newest) = (update.after.clone(), Base::Settled, at);
        }
        self.deliveries.push(update.delivery.clone());
        true
    }
}

/// The positions of updates that lead from one with the position `first` back to where it began.
fn circle(updates: &[ReceivedUpdate<'_>], first: usize) -> Option<Vec<usize>> {
    let (goal, mut path) = (&updates[first].0.before, vec![first]);
    let mut tried = BTreeSet::from([first]);
    while let Some(last) = path.last() {
        let at = &updates[*last].0.after;
        if at == goal {
            return Some(path);
        }
        let next = (0..updates.len()).find(|index| !tried.contains(index) && updates[*index].0.before == *at);
        match next {
            Some(next) => {
                tried.insert(next);
                path.push(next);
            }
            None => {
                path.pop();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn later(minutes: u64) -> Timestamp {
        NOW.after(Duration::from_secs(60 * minutes))
    }

    fn update(delivery: &str, before: &str, after: &str) -> RefUpdate {
        let sha = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RefUpdate { delivery: delivery.to_owned(), before: sha(before), after: sha(after) }
    }

    /// What is known after updates that came in at these minutes, one by one, and those that still wait.
    fn history(updates: &[(&str, &str, u64)]) -> (BranchHistory, Vec<RefUpdate>) {
        let (mut known, mut waiting) = (None, Vec::<(RefUpdate, Timestamp)>::new());
        for (number, (before, after, minute)) in updates.iter().enumerate() {
            waiting.push((update(&number.to_string(), before, after), later(*minute)));
            let received: Vec<ReceivedUpdate<'_>> =
                waiting.iter().map(|(update, at)| (update, *at)).collect();
            let (history, placed) = BranchHistory::place(known, &received, later(*minute));
            known = history;
            let mut placed = placed.into_iter();
            waiting.retain(|_| !placed.next().expect("one for each"));
        }
        (known.expect("one came in"), waiting.into_iter().map(|(update, _)| update).collect())
    }

    fn head(updates: &[(&str, &str, u64)]) -> Option<String> {
        let (history, waiting) = history(updates);
        assert_eq!(waiting, []);
        history.head
    }

    fn some(sha: &str) -> Option<String> {
        Some(sha.to_owned())
    }

    #[test]
    fn late_updates_change_nothing() {
        assert_eq!(head(&[("b", "c", 0), ("a", "b", 0), ("", "a", 0)]), some("c"));
        assert_eq!(head(&[("a", "", 0), ("", "a", 0)]), None, "a creation after its deletion");
        assert_eq!(head(&[("", "a", 0), ("a", "", 0), ("", "x", 0)]), some("x"));
        assert_eq!(head(&[("", "x", 0), ("a", "", 0), ("", "a", 0)]), some("x"), "of the branch before");
    }

    #[test]
    fn a_branch_restored_at_its_old_head_is_there() {
        assert_eq!(head(&[("", "a", 0), ("a", "", 1), ("", "a", 3)]), some("a"));
        assert_eq!(head(&[("a", "", 0), ("", "a", 5)]), some("a"), "one that was never heard of");
    }

    #[test]
    fn what_does_not_follow_waits_for_what_is_in_between() {
        let known = [("", "a", 0), ("c", "", 5)];
        let (waits, waiting) = history(&known);
        assert_eq!((waits.head(), waiting.len()), (Some("a"), 1));
        assert_eq!(head(&[known[0], known[1], ("a", "c", 5)]), None);
    }

    #[test]
    fn an_update_that_never_comes_is_not_waited_for_forever() {
        let (known, _) = history(&[("", "a", 0), ("c", "", 5)]);
        let deletion = update("1", "c", "");
        let (known, placed) = BranchHistory::place(Some(known), &[(&deletion, later(5))], later(8));
        assert_eq!((known.expect("known").head(), placed), (None, vec![true]));
    }

    #[test]
    fn what_comes_after_it_was_no_longer_waited_for_is_older_than_what_replaced_it() {
        let (known, _) = history(&[("", "a", 0), ("c", "", 5)]);
        let deletion = update("1", "c", "");
        let (known, _) = BranchHistory::place(Some(known), &[(&deletion, later(5))], later(8));
        let late = [update("3", "b", "c"), update("2", "a", "b")];
        let received: Vec<_> = late.iter().map(|update| (update, later(6))).collect();
        let (known, placed) = BranchHistory::place(known, &received, later(12));
        assert_eq!((known.as_ref().and_then(BranchHistory::head), placed), (None, vec![true, true]));
        let restored = update("4", "", "c");
        let (known, _) = BranchHistory::place(known, &[(&restored, later(20))], later(20));
        assert_eq!(known.expect("known").head(), Some("c"), "what leads there much later is new");
    }

    #[test]
    fn a_deletion_is_no_late_one_of_a_branch_that_was_made_anew_meanwhile() {
        let known = [("", "a", 0), ("", "b", 5)];
        let (known, _) = history(&known);
        let made_anew = update("1", "", "b");
        let (known, _) = BranchHistory::place(Some(known), &[(&made_anew, later(5))], later(8));
        assert_eq!(known.as_ref().and_then(BranchHistory::head), Some("b"));
        let late = update("2", "a", "");
        let (known, _) = BranchHistory::place(known, &[(&late, later(6))], later(9));
        assert_eq!(known.as_ref().and_then(BranchHistory::head), Some("b"), "it was before");
        let deleted = update("3", "b", "");
        let (known, _) = BranchHistory::place(known, &[(&deleted, later(6))], later(9));
        assert_eq!(known.expect("known").head(), None);
    }

    #[test]
    fn a_repeat_counts_once() {
        let (known, _) = history(&[("", "a", 0), ("a", "", 0)]);
        let creation = update("0", "", "a");
        let (known, placed) = BranchHistory::place(Some(known), &[(&creation, later(9))], later(9));
        assert_eq!((known.expect("known").head(), placed), (None, vec![true]));
    }

    /// What happens to a branch: it is pushed to (made, if need be), goes back to its first head, or is deleted.
    fn updates(steps: &[u8]) -> Vec<RefUpdate> {
        let (mut head, mut updates, mut first) = (String::new(), Vec::new(), String::new());
        for (number, step) in steps.iter().enumerate() {
            let after = match step {
                0 if !head.is_empty() => String::new(),
                1 if !first.is_empty() && head != first => first.clone(),
                _ => format!("{number}"),
            };
            updates.push(update(&format!("delivery {number}"), &head, &after));
            if head.is_empty() && first.is_empty() {
                first.clone_from(&after);
            }
            head = after;
        }
        updates
    }

    proptest! {
        /// Whatever the order in which the updates of a new branch come in, in whatever batches, and how often, it ends where
        /// the last one left it.
        #[test]
        fn every_order_ends_at_the_same_head(
            steps in prop::collection::vec(0_u8..5, 1..9),
            order in prop::collection::vec((0_usize..9, 1_usize..4), 9..14),
        ) {
            let updates = updates(&steps);
            let all = order.iter().map(|(index, _)| *index % updates.len()).chain(0..updates.len());
            let mut sizes = order.iter().map(|(_, size)| *size).cycle();
            let (mut incoming, mut waiting, mut known) = (Vec::from_iter(all), Vec::new(), None);
            while !incoming.is_empty() {
                let size = sizes.next().expect("endless").min(incoming.len());
                waiting.extend(incoming.drain(..size));
                let received: Vec<ReceivedUpdate<'_>> = waiting.iter().map(|index| (&updates[*index], NOW)).collect();
                let (history, placed) = BranchHistory::place(known, &received, NOW);
                known = history;
                let mut placed = placed.into_iter();
                waiting.retain(|_| !placed.next().expect("one for each"));
            }
            prop_assert!(waiting.is_empty(), "{waiting:?}");
            prop_assert_eq!(&known.expect("one came in").head, &updates.last().expect("one").after);
        }
    }
}
