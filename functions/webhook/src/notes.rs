//! Notes of deliveries that lead to nothing, for `explain`. Most of what GitLab delivers names no issue, and a write of the
//! table for each would cost more than all else that is done with it: a link's notes are written together, at most once in
//! [`PAUSE`] by each process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use shared::clock::{SharedClock, Timestamp};
use shared::domain::SubscriptionId;
use shared::store::Store;
use shared::store::ignored_deliveries::IgnoredDelivery;

/// How long a link's notes are collected: as long as a person who has just pushed may wait for an explanation.
const PAUSE: Duration = Duration::from_secs(5);

/// Notes of a link that are collected; of more, the last ones stay.
const MAX_NOTES: usize = 16;

/// Links that notes are collected for.
const MAX_LINKS: u64 = 1_000;

/// How long a write may take: GitLab waits ten seconds for an answer, and disables hooks that get none.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The notes that are not written yet. What a process has collected is lost when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    store: Store,
    clock: SharedClock,
    links: Cache<SubscriptionId, Arc<Mutex<Collected>>>,
}

#[derive(Debug, Default)]
struct Collected {
    notes: VecDeque<IgnoredDelivery>,
    /// Not before this time are they written.
    next: Timestamp,
}

impl Notes {
    pub(crate) fn new(store: Store, clock: SharedClock) -> Self {
        Self { store, clock, links: Cache::new(MAX_LINKS) }
    }

    /// Remembers a delivery of `link`: now, with what was collected before, or else soon.
    pub(crate) async fn take(&self, link: SubscriptionId, note: IgnoredDelivery) {
        let collected = self.links.get_with(link, async { Arc::default() }).await;
        let is_first = {
            let mut collected = lock(&collected);
            if collected.notes.len() == MAX_NOTES {
                collected.notes.pop_front();
            }
            collected.notes.push_back(note);
            collected.notes.len() == 1
        };
        // Lambda freezes a function between its calls, so the next call may come before whoever waits here.
        if !self.write_due(link, &collected).await && is_first {
            let notes = self.clone();
            tokio::spawn(async move {
                while !notes.write_due(link, &collected).await {
                    let pause = lock(&collected).next.since(notes.clock.now());
                    notes.clock.sleep(pause).await;
                }
            });
        }
    }

    /// Writes what was collected, if it is time. `false`: it is not.
    async fn write_due(&self, link: SubscriptionId, collected: &Mutex<Collected>) -> bool {
        let now = self.clock.now();
        let notes: Vec<IgnoredDelivery> = {
            let mut collected = lock(collected);
            if now < collected.next {
                return false;
            }
            collected.next = now.after(PAUSE);
            collected.notes.drain(..).collect()
        };
        let recorded = self.store.record_ignored(link, &notes);
        if !matches!(tokio::time::timeout(WRITE_TIMEOUT, recorded).await, Ok(Ok(()))) {
            tracing::warn!(subscription.id = %link, deliveries = notes.len(), "deliveries that lead to nothing are not remembered");
        }
        true
    }
}

fn lock(collected: &Mutex<Collected>) -> std::sync::MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use shared::clock::SystemClock;
    use shared::store::embedded::EmbeddedEngine;
    use shared::store::ignored_deliveries::IgnoreReason;

    use super::*;

    fn note(number: usize) -> IgnoredDelivery {
        IgnoredDelivery {
            at: Timestamp(i64::try_from(number).expect("small")),
            delivery: Some(format!("delivery-{number}")),
            label: "acme/api branch main".to_owned(),
            issue_keys: Vec::new(),
            answer: IgnoreReason::NoIssueKeys,
        }
    }

    async fn numbers(store: &Store, link: SubscriptionId) -> Vec<i64> {
        store.ignored(link).await.expect("answers").iter().map(|answer| answer.at.0).collect()
    }

    #[tokio::test]
    async fn a_flood_is_written_twice_and_its_last_deliveries_are_kept() {
        let engine = EmbeddedEngine::memory().expect("an engine");
        let store = Store::new(engine.client(), "table", Arc::new(SystemClock));
        store.create_table().await.expect("a table");
        let notes = Notes::new(store.clone(), Arc::new(SystemClock));
        let (link, other) = (SubscriptionId::generate(), SubscriptionId::generate());
        for number in 0..200 {
            notes.take(link, note(number)).await;
        }
        assert_eq!(numbers(&store, link).await, [0], "the first is known at once, the others are collected");
        notes.take(other, note(7)).await;
        assert_eq!(numbers(&store, other).await, [7], "no link waits for another");
        tokio::time::sleep(PAUSE + Duration::from_millis(500)).await;
        let last = (200 - MAX_NOTES as i64..200).rev();
        assert_eq!(numbers(&store, link).await, last.chain([0]).collect::<Vec<_>>());
    }
}
