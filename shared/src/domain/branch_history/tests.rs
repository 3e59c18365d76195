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
        let received: Vec<ReceivedUpdate<'_>> = waiting.iter().map(|(update, at)| (update, *at)).collect();
        let (history, placed) = BranchHistory::place(known, &received, later(*minute));
        known = history;
        let mut placed = placed.into_iter();
        waiting.retain(|_| placed.next().expect("one for each") != Placement::Placed);
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
    assert_eq!((known.expect("known").head(), placed), (None, vec![Placement::Placed]));
}

#[test]
fn what_comes_after_it_was_no_longer_waited_for_is_older_than_what_replaced_it() {
    let (known, _) = history(&[("", "a", 0), ("c", "", 5)]);
    let deletion = update("1", "c", "");
    let (known, _) = BranchHistory::place(Some(known), &[(&deletion, later(5))], later(8));
    let late = [update("3", "b", "c"), update("2", "a", "b")];
    let received: Vec<_> = late.iter().map(|update| (update, later(6))).collect();
    let (known, placed) = BranchHistory::place(known, &received, later(12));
    assert_eq!(
        (known.as_ref().and_then(BranchHistory::head), placed),
        (None, vec![Placement::Placed, Placement::Placed])
    );
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
    assert_eq!((known.expect("known").head(), placed), (None, vec![Placement::Placed]));
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
            waiting.retain(|_| placed.next().expect("one for each") != Placement::Placed);
        }
        prop_assert!(waiting.is_empty(), "{waiting:?}");
        prop_assert_eq!(&known.expect("one came in").head, &updates.last().expect("one").after);
    }

    /// However late updates are processed, and however long others were not waited for: once all of them are, Jira shows
    /// the branch as the last one left it.
    #[test]
    fn late_processing_ends_at_the_same_head(
        steps in prop::collection::vec((0_u8..5, 0_u64..20_000), 1..14),
        delays in prop::collection::vec((0_u64..2_000, prop_oneof![0_u64..2_000, 0_u64..600_000]), 14),
        repeated in prop::collection::vec((0_usize..14, 0_u64..600_000), 0..4),
    ) {
        let kinds: Vec<u8> = steps.iter().map(|(kind, _)| *kind).collect();
        let updates = updates(&kinds);
        let mut at = NOW;
        let mut pending: Vec<Pending<'_>> = Vec::new();
        for ((update, (_, pause)), (disorder, delay)) in updates.iter().zip(&steps).zip(&delays) {
            at = at.after(Duration::from_millis(*pause));
            let received_at = at.after(Duration::from_millis(*disorder));
            pending.push(Pending { update, received_at, due: received_at.after(Duration::from_millis(*delay)) });
        }
        for (index, delay) in repeated {
            let again = pending[index % updates.len()];
            pending.push(Pending { due: again.due.after(Duration::from_millis(delay)), ..again });
        }
        prop_assert_eq!(&process(pending), &updates.last().expect("one").after);
    }
}

/// An update that is to be processed.
#[derive(Clone, Copy)]
struct Pending<'a> {
    update: &'a RefUpdate,
    received_at: Timestamp,
    due: Timestamp,
}

/// What Jira shows when all of `pending` are processed, and looked at again every five seconds while they wait.
fn process(mut pending: Vec<Pending<'_>>) -> Option<String> {
    let (mut known, mut shown) = (None, None);
    while let Some(now) = pending.iter().map(|it| it.due).min() {
        let (batch, rest): (Vec<_>, _) =
            pending.into_iter().partition(|it| it.due <= now.after(Duration::from_millis(500)));
        pending = rest;
        let received: Vec<ReceivedUpdate<'_>> = batch.iter().map(|it| (it.update, it.received_at)).collect();
        let (history, placements) = BranchHistory::place(known, &received, now);
        let history = history.expect("one came in");
        let mut placed = Vec::new();
        for (it, placement) in batch.into_iter().zip(placements) {
            match placement {
                Placement::Placed => placed.push(it.update),
                _ => pending.push(Pending { due: Timestamp((now.0 / 5_000 + 1) * 5_000), ..it }),
            }
        }
        // What leads to a head says what is shown of it; that a branch is gone, any update can say.
        let says_so = placed.iter().any(|update| update.after.as_deref() == history.head());
        known = Some(if says_so || (history.head().is_none() && !placed.is_empty()) {
            shown = history.head().map(str::to_owned);
            history.with_head_shown(false)
        } else {
            history
        });
    }
    shown
}

/// A deletion that an earlier release would have sent, too.
#[test]
fn what_an_earlier_release_kept_is_where_it_begins() {
    let kept = serde_json::json!({
        "head": "a", "base": "settled", "was_absent": false, "deliveries": ["0"], "waiting": {}, "newest": NOW,
    });
    let known: BranchHistory = serde_json::from_value(kept).expect("it is read");
    let late = update("1", "", "a");
    let (known, _) = BranchHistory::place(Some(known), &[(&late, NOW)], later(1));
    let known = known.expect("known");
    assert!(known.is_shown() && known.head() == Some("a"));
    let deletion = update("2", "a", "");
    let (known, _) = BranchHistory::place(Some(known), &[(&deletion, later(1))], later(1));
    let known = known.expect("known");
    assert!(!known.is_shown() && known.head().is_none());
}

/// The queue was down when it came in, so GitLab shows it as failed, and somebody sends it again.
#[test]
fn a_delivery_that_was_missed_changes_nothing_when_it_is_sent_again() {
    let (known, _) = history(&[("", "a", 0), ("c", "d", 5)]);
    let (known, _) = BranchHistory::place(Some(known), &[(&update("1", "c", "d"), later(5))], later(8));
    let missed = [update("3", "b", "c"), update("2", "a", "b")];
    let received: Vec<_> = missed.iter().map(|update| (update, later(900))).collect();
    let (known, placed) = BranchHistory::place(known, &received[..1], later(900));
    assert_eq!(placed, [Placement::Placed]);
    let (known, placed) = BranchHistory::place(known, &received[1..], later(901));
    assert_eq!((known.as_ref().and_then(BranchHistory::head), placed), (Some("d"), vec![Placement::Placed]));
    let (known, _) = BranchHistory::place(known, &[(&update("4", "d", ""), later(902))], later(902));
    assert_eq!(known.expect("known").head(), None);
}

#[test]
fn a_branch_that_is_deleted_and_restored_within_a_minute_is_there() {
    let at = |second: u64| NOW.after(Duration::from_secs(second));
    let updates = [update("0", "a", "b"), update("1", "b", ""), update("2", "", "a")];
    let mut known = None;
    for (update, second) in updates.iter().zip([0, 30, 60]) {
        (known, _) = BranchHistory::place(known, &[(update, at(second))], at(second));
    }
    assert_eq!(known.expect("known").head(), Some("a"));
}
