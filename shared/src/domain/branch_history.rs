//! How a branch came to its head, as far as push hooks tell. Each names the head before and the head after it, so all
//! of them together tell the head whatever the order in which they come in: it is the one that was set once more than
//! it was replaced ([`trail`]). Kept here are the updates of the last minutes, which of them wait for others, and what Jira was
//! told. For links without a token; with one, GitLab is asked for the head.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::trail::{DISORDER, End, balance, circle, ends, newest_of};
use crate::clock::Timestamp;

mod trail;

/// After this long without an update, all earlier ones have come in: GitLab's own queues are seldom further behind. An
/// update waits this long, too, for one that belongs before it; one that GitLab never sends, because somebody pushed more
/// than three branches at once, must not hold up the branch for longer.
const SETTLING_TIME: Duration = Duration::from_secs(120);

/// How long the known head stays if another was set at about the same moment.
const NEAR_TIME: Duration = Duration::from_secs(900);

/// How long the content of what may still turn out to be the head is kept: longer than SQS delivers a message again and again
/// that kills its workers.
const LATE_TIME: Duration = Duration::from_secs(75 * 60);

/// Updates that are kept one by one; of more, the head that they lead to. Within [`SETTLING_TIME`] a branch seldom has so many.
const MAX_UPDATES: usize = 32;

/// Deliveries that are remembered beside those, so that a repeat does not count twice.
const MAX_DELIVERIES: usize = 64;

/// Gaps that are remembered at the same time.
const MAX_GAPS: usize = 8;

/// Updates that may wait for others at the same time.
const MAX_WAITING: usize = 32;

/// What a push hook says of a branch. A branch that is not there has no head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// Names the delivery; the same when it is repeated.
    pub delivery: String,
    /// The head before.
    pub before: Option<String>,
    /// The head after.
    pub after: Option<String>,
}

/// What is known of a branch. Once all of its updates are processed, its head does not depend on the order in which they were:
/// a worker that died may hold some of them back for longer than others wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchHistory {
    head: Option<String>,
    /// The head that Jira shows: another one if nothing that came in since says more of the head than its id.
    #[serde(default)]
    shown: Option<String>,
    /// Where the updates begin, if that is known.
    #[serde(default)]
    beginning: Option<Beginning>,
    /// The updates since then that have their place, and those that were no longer waited for.
    #[serde(default)]
    updates: Vec<PlacedUpdate>,
    /// Deliveries of earlier updates, the newest last.
    #[serde(default)]
    deliveries: Vec<String>,
    /// Since when updates wait for others, by delivery.
    #[serde(default)]
    waiting: BTreeMap<String, Timestamp>,
    /// What is missing from before the beginning.
    #[serde(default, rename = "missing", skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
    /// When the newest of the updates came in, as earlier releases wrote it, which knew no beginning.
    #[serde(default, skip_serializing)]
    newest: Option<Timestamp>,
}

/// Updates are missing that led from one head to another. GitLab shows a delivery as failed, and somebody may send it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    from: Option<String>,
    to: Option<String>,
}

/// A head that the branch had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Beginning {
    head: Option<String>,
    /// When the newest update that led there came in.
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlacedUpdate {
    #[serde(flatten)]
    update: RefUpdate,
    /// When it came in.
    at: Timestamp,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It has its place.
    Placed,
    /// It waits for what is in between.
    Waits,
    /// It does not wait any longer, but what is missing may still show that it is the newest.
    MayBeHead,
}

/// An update with the time when it came in.
pub type ReceivedUpdate<'a> = (&'a RefUpdate, Timestamp);

impl BranchHistory {
    /// A branch that has this head at `at`, or does not exist.
    #[must_use]
    pub fn settled(head: Option<&str>, at: Timestamp) -> Self {
        let head = head.map(str::to_owned);
        let beginning = Some(Beginning { head: head.clone(), at });
        Self { beginning, shown: head.clone(), ..Self::beginning_with(head) }
    }

    /// A branch of which nothing but a head is known.
    fn beginning_with(head: Option<String>) -> Self {
        let (updates, deliveries, waiting) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (shown, beginning, gaps, newest) = (None, None, Vec::new(), None);
        Self { head, shown, beginning, updates, deliveries, waiting, gaps, newest }
    }

    /// The head; none for a branch that is not there.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// Whether Jira shows the head.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.shown == self.head
    }

    /// Jira shows the head from now on, or no branch if it `is_gone`.
    #[must_use]
    pub fn with_head_shown(self, is_gone: bool) -> Self {
        Self { shown: self.head.clone().filter(|_| !is_gone), ..self }
    }

    /// Whether an update of this delivery has its place in it, or came in before it begins.
    #[must_use]
    pub fn knows(&self, delivery: &str) -> bool {
        let placed = self.updates.iter().map(|placed| &placed.update.delivery);
        placed.chain(&self.deliveries).any(|known| known == delivery)
    }

    /// Finds the places of `updates` at `now`.
    #[must_use]
    pub fn place(
        known: Option<Self>,
        updates: &[ReceivedUpdate<'_>],
        now: Timestamp,
    ) -> (Option<Self>, Vec<Placement>) {
        let mut left = updates.to_vec();
        left.sort_by_key(|(_, at)| *at);
        let first = left.first().map(|(update, _)| Self::beginning_with(update.before.clone()));
        let Some(mut history) = known.or(first) else { return (None, Vec::new()) };
        history.upgrade();
        // What waits is looked at far more often; this was dead-lettered.
        history.waiting.retain(|_, since| now.since(*since) < 2 * LATE_TIME);
        let mut seen = BTreeSet::new();
        left.retain(|(update, _)| {
            let is_new = !history.knows(&update.delivery) && seen.insert(&update.delivery);
            is_new && update.before != update.after
        });
        history.settle_before(&left);
        left.retain(|update| !history.is_from_before(*update) && !history.fills_gap(update.0));
        while let Some(placeable) = history.next_placeable(&left, now) {
            let mut index = 0;
            let (some, others): (Vec<_>, _) =
                left.into_iter().partition(|_| (placeable.contains(&index), index += 1).0);
            history.take(&some);
            left = others;
        }
        history.find_head(now);
        if history.updates.len() > MAX_UPDATES {
            history.settle();
        }
        let is_left = |delivery: &String| left.iter().any(|(update, _)| update.delivery == *delivery);
        let placement = |(update, _): &ReceivedUpdate<'_>| match is_left(&update.delivery) {
            true => Placement::Waits,
            false if history.may_be_head(update, now) => Placement::MayBeHead,
            false => Placement::Placed,
        };
        let placements = updates.iter().map(placement).collect();
        (Some(history), placements)
    }

    /// Begins with the head that an earlier release knew.
    fn upgrade(&mut self) {
        if let Some(at) = self.newest.take() {
            self.beginning = Some(Beginning { head: self.head.clone(), at });
            self.shown.clone_from(&self.head);
        }
    }

    /// When the newest update came in.
    fn newest(&self) -> Option<Timestamp> {
        let updates = self.updates.iter().map(|placed| placed.at);
        updates.chain(self.beginning.as_ref().map(|beginning| beginning.at)).max()
    }

    /// Settles if all of `updates` came in so late that nothing from before them is on its way.
    fn settle_before(&mut self, updates: &[ReceivedUpdate<'_>]) {
        let newest = self.newest();
        let is_later =
            |(_, at): &ReceivedUpdate<'_>| newest.is_some_and(|newest| at.since(newest) > SETTLING_TIME);
        if self.waiting.is_empty() && !updates.is_empty() && updates.iter().all(is_later) {
            self.settle();
        }
    }

    /// Begins anew with the head.
    fn settle(&mut self) {
        let ends = self.ends(&[]).into_iter().map(|end| end.head).filter(|end| *end != self.head());
        let ends: BTreeSet<Option<&str>> = ends.collect();
        let starts = self.balance().into_iter().filter(|(_, count)| *count < 0).map(|(start, _)| start);
        let owned = |head: Option<&str>| head.map(str::to_owned);
        let between =
            starts.flat_map(|to| ends.iter().map(move |from| Gap { from: owned(*from), to: owned(to) }));
        self.gaps = self.gaps.iter().cloned().chain(between).collect();
        let surplus = self.gaps.len().saturating_sub(MAX_GAPS);
        self.gaps.drain(..surplus);
        self.beginning = self.newest().map(|at| Beginning { head: self.head.clone(), at });
        for placed in std::mem::take(&mut self.updates) {
            self.remember(placed.update.delivery);
        }
    }

    fn remember(&mut self, delivery: String) {
        self.waiting.remove(&delivery);
        self.deliveries.push(delivery);
        let surplus = self.deliveries.len().saturating_sub(MAX_DELIVERIES);
        self.deliveries.drain(..surplus);
    }

    /// Whether it came in before what the history begins with, whatever became of it then. It changes nothing.
    fn is_from_before(&mut self, (update, at): ReceivedUpdate<'_>) -> bool {
        let is_from_before = self.beginning.as_ref().is_some_and(|beginning| at <= beginning.at);
        if is_from_before {
            self.remember(update.delivery.clone());
        }
        is_from_before
    }

    /// Whether it is one that was missing from before the beginning. It changes nothing then.
    fn fills_gap(&mut self, update: &RefUpdate) -> bool {
        // What goes on from the head is news. Many updates lead to no head, so there both sides must match.
        let belongs_there =
            |gap: &Gap| gap.to == update.after && (gap.to.is_some() || gap.from == update.before);
        if update.before == self.head {
            return false;
        }
        let Some(index) = self.gaps.iter().position(belongs_there) else { return false };
        if self.gaps[index].from == update.before {
            self.gaps.remove(index);
        } else {
            // What led to its own predecessor may be missing as well.
            self.gaps[index].to.clone_from(&update.before);
        }
        self.remember(update.delivery.clone());
        true
    }

    /// The positions of updates that have a place now. What has waited long enough has one in any case.
    fn next_placeable(&mut self, updates: &[ReceivedUpdate<'_>], now: Timestamp) -> Option<Vec<usize>> {
        let all: Vec<usize> = (0..updates.len()).collect();
        let fitting = some_that(updates, &all, |some| self.fit(some) && self.are_plausible(some));
        if fitting.is_some() {
            return fitting;
        }
        let late: Vec<_> =
            all.into_iter().filter(|index| self.stops_waiting_for(updates[*index], now)).collect();
        let fitting = some_that(updates, &late, |some| self.fit(some));
        fitting.or_else(|| late.first().map(|index| vec![*index]))
    }

    /// Whether an update has waited long enough.
    fn stops_waiting_for(&mut self, (update, _): ReceivedUpdate<'_>, now: Timestamp) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        let since = *self.waiting.entry(update.delivery.clone()).or_insert(now);
        now.since(since) >= SETTLING_TIME || !has_room
    }

    /// How often each head was set, less how often it was replaced.
    fn balance(&self) -> BTreeMap<Option<&str>, i32> {
        let updates: Vec<ReceivedUpdate<'_>> =
            self.updates.iter().map(|placed| (&placed.update, placed.at)).collect();
        balance(self.beginning.as_ref().map(|beginning| beginning.head.as_deref()), &updates)
    }

    /// Where all the updates end, with `more` of them.
    fn ends<'a>(&'a self, more: &[ReceivedUpdate<'a>]) -> Vec<End<'a>> {
        let end = |beginning: &'a Beginning| End { head: beginning.head.as_deref(), set_at: beginning.at };
        let beginning = self.beginning.as_ref().map(end);
        let placed = self.updates.iter().map(|placed| (&placed.update, placed.at));
        ends(beginning, &placed.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Whether no more is missing with `updates` than without them.
    fn fit(&self, updates: &[ReceivedUpdate<'_>]) -> bool {
        !updates.is_empty() && self.ends(updates).len() <= self.ends(&[]).len().max(1)
    }

    /// Whether nothing speaks against the head that `updates` lead to: they lead there from where all began, or it was set by
    /// what came in last.
    fn are_plausible(&self, updates: &[ReceivedUpdate<'_>]) -> bool {
        let ends = self.ends(updates);
        let is_whole = self.beginning.is_some() && ends.len() == 1;
        let newest = updates.iter().map(|(_, at)| *at).max();
        let in_order = |(newest, head): (Timestamp, End<'_>)| newest.since(head.set_at) <= DISORDER;
        is_whole || newest.zip(newest_of(ends)).is_none_or(in_order)
    }

    /// Takes `updates` in.
    fn take(&mut self, updates: &[ReceivedUpdate<'_>]) {
        for (update, at) in updates {
            self.waiting.remove(&update.delivery);
            self.updates.push(PlacedUpdate { update: (*update).clone(), at: *at });
        }
    }

    /// Finds the head. Of two that were set at about the same moment, the known one stays until nothing that says which is newer
    /// can be on its way.
    fn find_head(&mut self, now: Timestamp) {
        let ends = self.ends(&[]);
        let known = newest_of(ends.iter().copied().filter(|end| end.head == self.head()));
        let Some(newest) = newest_of(ends) else { return };
        let is_near = known.is_some_and(|known| newest.set_at.since(known.set_at) <= DISORDER);
        let by = self.updates.iter().filter(|placed| placed.update.after.as_deref() == newest.head);
        let mut waited_since = by.filter_map(|placed| self.waiting.get(&placed.update.delivery));
        if !is_near || waited_since.any(|since| now.since(*since) >= NEAR_TIME) {
            self.head = newest.head.map(str::to_owned);
        }
    }

    /// Whether an update that has its place, and is not the head, may turn out to be.
    fn may_be_head(&mut self, update: &RefUpdate, now: Timestamp) -> bool {
        let ends = self.ends(&[]);
        let is_end = ends.len() > 1 && ends.iter().any(|end| end.head == update.after.as_deref());
        if !is_end || update.after == self.head {
            self.waiting.remove(&update.delivery);
            return false;
        }
        let since = *self.waiting.entry(update.delivery.clone()).or_insert(now);
        now.since(since) < LATE_TIME
    }
}

/// Of the updates at `positions` those of which `fit` is true without the others: all of them, one, or some that lead back to
/// where they began.
fn some_that(
    updates: &[ReceivedUpdate<'_>],
    positions: &[usize],
    fit: impl Fn(&[ReceivedUpdate<'_>]) -> bool,
) -> Option<Vec<usize>> {
    let fit = |some: &Vec<usize>| fit(&some.iter().map(|index| updates[*index]).collect::<Vec<_>>());
    let all = Some(positions.to_vec()).filter(fit);
    let one = || positions.iter().map(|index| vec![*index]).find(fit);
    let circle = || positions.iter().filter_map(|first| circle(updates, positions, *first)).find(fit);
    all.or_else(one).or_else(circle)
}

#[cfg(test)]
mod tests;
