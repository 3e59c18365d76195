//! Notes when each link's last delivery came in, for people who wonder whether webhooks arrive: at most once in [`PAUSE`]
//! by each process, because a write for every delivery would be a quarter of all that an event writes.

use std::time::Duration;

use moka::future::Cache;
use shared::clock::Timestamp;
use shared::domain::SubscriptionId;
use shared::store::Store;

use crate::NOTE_TIMEOUT;

/// The precision at which it is shown: minutes.
const PAUSE: Duration = Duration::from_secs(60);

/// Links that a process remembers to have noted.
const MAX_LINKS: u64 = 10_000;

/// What was noted in the last [`PAUSE`].
#[derive(Clone, Debug)]
pub(crate) struct LastEvents {
    store: Store,
    noted: Cache<SubscriptionId, ()>,
}

impl LastEvents {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, noted: Cache::builder().max_capacity(MAX_LINKS).time_to_live(PAUSE).build() }
    }

    /// A delivery of `link` came in, and is authentic.
    pub(crate) async fn note(&self, link: SubscriptionId, at: Timestamp) {
        if self.noted.contains_key(&link) {
            return;
        }
        self.noted.insert(link, ()).await;
        let noted = self.store.note_event(link, at);
        if !matches!(tokio::time::timeout(NOTE_TIMEOUT, noted).await, Ok(Ok(()))) {
            tracing::warn!(subscription.id = %link, "when the link's last delivery came in is not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::clock::SystemClock;
    use shared::store::embedded::EmbeddedEngine;

    use super::*;

    #[tokio::test]
    async fn a_burst_is_noted_once_for_each_link() {
        let engine = EmbeddedEngine::memory().expect("an engine");
        let store = Store::new(engine.client(), "table", Arc::new(SystemClock));
        store.create_table().await.expect("a table");
        let last = LastEvents::new(store.clone());
        let (link, other) = (SubscriptionId::generate(), SubscriptionId::generate());
        for at in 1..=200 {
            last.note(link, Timestamp(at)).await;
        }
        last.note(other, Timestamp(7)).await;
        assert_eq!(
            store.last_event(link).await.expect("read"),
            Some(Timestamp(1)),
            "only the first is written"
        );
        assert_eq!(
            store.last_event(other).await.expect("read"),
            Some(Timestamp(7)),
            "no link waits for another"
        );
        assert_eq!(store.last_event(SubscriptionId::generate()).await.expect("read"), None);
    }
}
