//! The ways that updates lead from head to head, in whatever order they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ReceivedUpdate;
use crate::clock::Timestamp;

/// How much later than the newest update of a branch an older one may come in: GitLab delivers several at the same time.
pub(super) const DISORDER: Duration = Duration::from_secs(10);

/// A head at which updates end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End<'a> {
    pub(super) head: Option<&'a str>,
    /// When the newest update that set it came in.
    pub(super) set_at: Timestamp,
}

/// The one that was set last.
pub(super) fn newest_of<'a>(ends: impl IntoIterator<Item = End<'a>>) -> Option<End<'a>> {
    ends.into_iter().max_by_key(|end| end.set_at)
}

/// Where `updates` end that begin with `beginning`, if that is known: at one head if they are all there, and at one more for each
/// that is missing in between.
///
/// Each head that was set as often as it was replaced cancels out. Updates that only lead in a circle end where the newest of
/// them led, or with nothing, if a branch was made and deleted at about the same moment.
pub(super) fn ends<'a>(beginning: Option<End<'a>>, updates: &[ReceivedUpdate<'a>]) -> Vec<End<'a>> {
    let balance = balance(beginning.map(|beginning| beginning.head), updates);
    let set_at = |head: Option<&str>| {
        let by = updates.iter().filter(|(update, _)| update.after.as_deref() == head).map(|(_, at)| *at);
        by.chain(beginning.filter(|beginning| beginning.head == head).map(|beginning| beginning.set_at)).max()
    };
    let mut ends = Vec::new();
    for connected in components(balance.keys().copied(), updates) {
        let set_more_often = connected.iter().filter(|head| balance[*head] > 0);
        let before = ends.len();
        for head in set_more_often {
            let end = set_at(*head).map(|set_at| End { head: *head, set_at });
            ends.extend((0..balance[head]).filter_map(|_| end));
        }
        if ends.len() == before {
            let is_of_circle =
                |(update, _): &&ReceivedUpdate<'a>| connected.contains(&update.after.as_deref());
            ends.extend(end_of_circle(updates.iter().filter(is_of_circle).copied().collect()));
        }
    }
    ends
}

/// How often each head was set, less how often it was replaced.
pub(super) fn balance<'a>(
    beginning: Option<Option<&'a str>>,
    updates: &[ReceivedUpdate<'a>],
) -> BTreeMap<Option<&'a str>, i32> {
    let mut balance = BTreeMap::new();
    if let Some(head) = beginning {
        balance.insert(head, 1);
    }
    for (update, _) in updates {
        *balance.entry(update.after.as_deref()).or_default() += 1;
        *balance.entry(update.before.as_deref()).or_default() -= 1;
    }
    balance
}

fn end_of_circle(mut circle: Vec<ReceivedUpdate<'_>>) -> Option<End<'_>> {
    circle.sort_by_key(|(_, at)| *at);
    let (newest, set_at) = circle.pop()?;
    let before = circle.last().map(|(_, at)| *at);
    let is_about_the_same_moment = before.is_some_and(|before| set_at.since(before) <= DISORDER);
    let was_absent = circle.iter().any(|(update, _)| update.before.is_none()) || newest.before.is_none();
    let head = newest.after.as_deref().filter(|_| !(was_absent && is_about_the_same_moment));
    Some(End { head, set_at })
}

/// Heads that updates lead from one to the other, in whatever direction.
fn components<'a>(
    heads: impl Iterator<Item = Option<&'a str>>,
    updates: &[ReceivedUpdate<'a>],
) -> Vec<BTreeSet<Option<&'a str>>> {
    let mut components: Vec<BTreeSet<_>> = heads.map(|head| BTreeSet::from([head])).collect();
    for (update, _) in updates {
        let of = |head: &Option<String>| components.iter().position(|it| it.contains(&head.as_deref()));
        if let (Some(one), Some(other)) = (of(&update.before), of(&update.after))
            && one != other
        {
            let mut merged = components.swap_remove(one.max(other));
            components[one.min(other)].append(&mut merged);
        }
    }
    components
}

/// Of the updates at `positions` those that lead from the one at `first` back to where it began.
pub(super) fn circle(
    updates: &[ReceivedUpdate<'_>],
    positions: &[usize],
    first: usize,
) -> Option<Vec<usize>> {
    let (goal, mut path) = (&updates[first].0.before, vec![first]);
    let mut tried = BTreeSet::from([first]);
    while let Some(last) = path.last() {
        let at = &updates[*last].0.after;
        if at == goal {
            return Some(path);
        }
        let goes_on = |index: &&usize| !tried.contains(*index) && updates[**index].0.before == *at;
        match positions.iter().find(goes_on).copied() {
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
    use super::super::RefUpdate;
    use super::*;

    /// Where updates end, each with its head before, its head after, and the millisecond in which it came in.
    fn ends_of(beginning: Option<&str>, updates: &[(&str, &str, i64)]) -> Vec<(String, i64)> {
        let head = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let update = |(before, after, _): &(&str, &str, i64)| RefUpdate {
            delivery: format!("{before} to {after}"),
            before: head(before),
            after: head(after),
        };
        let named: Vec<RefUpdate> = updates.iter().map(update).collect();
        let received: Vec<_> =
            named.iter().zip(updates).map(|(update, at)| (update, Timestamp(at.2))).collect();
        let beginning = beginning
            .map(|text| End { head: Some(text).filter(|text| !text.is_empty()), set_at: Timestamp(0) });
        let ends = ends(beginning, &received);
        ends.iter().map(|end| (end.head.unwrap_or_default().to_owned(), end.set_at.0)).collect()
    }

    fn end(head: &str, millisecond: i64) -> (String, i64) {
        (head.to_owned(), millisecond)
    }

    #[test]
    fn each_missing_update_leaves_one_more_end() {
        assert_eq!(ends_of(Some("a"), &[("b", "c", 2), ("a", "b", 3)]), [end("c", 2)]);
        assert_eq!(ends_of(Some("a"), &[("b", "c", 2)]), [end("a", 0), end("c", 2)]);
        assert_eq!(
            ends_of(Some("a"), &[("b", "c", 2), ("d", "", 4)]),
            [end("", 4), end("a", 0), end("c", 2)]
        );
        assert_eq!(
            ends_of(None, &[("b", "c", 2), ("c", "d", 1)]),
            [end("d", 1)],
            "what was before is not known"
        );
        assert_eq!(ends_of(None, &[]), []);
    }

    #[test]
    fn a_circle_ends_where_its_newest_update_led() {
        assert_eq!(ends_of(None, &[("a", "b", 1), ("b", "a", 2)]), [end("a", 2)]);
        assert_eq!(
            ends_of(None, &[("a", "", 1), ("", "a", 2)]),
            [end("", 2)],
            "it was made, and then deleted"
        );
        assert_eq!(ends_of(None, &[("a", "", 1), ("", "a", 60_000)]), [end("a", 60_000)], "it was restored");
        assert_eq!(
            ends_of(Some("a"), &[("", "b", 1), ("b", "", 2)]),
            [end("", 2), end("a", 0)],
            "apart from the rest"
        );
        assert_eq!(ends_of(Some("a"), &[("a", "b", 1), ("b", "a", 2)]), [end("a", 2)]);
    }
}
