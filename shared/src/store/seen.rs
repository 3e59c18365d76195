//! Deliveries that were taken in. GitLab names each by an `Idempotency-Key` that stays the same when somebody sends it
//! again; remembering it spares the work, correctness does not hang on it.

use std::time::Duration;

use super::{Key, Store, StoreError, When, digest};
use crate::domain::SubscriptionId;

/// GitLab can send a delivery again for a week.
const LIFETIME: Duration = Duration::from_secs(8 * 24 * 3600);

impl Store {
    /// Whether a delivery was taken in before.
    pub async fn was_seen(
        &self,
        subscription: SubscriptionId,
        idempotency_key: &str,
    ) -> Result<bool, StoreError> {
        Ok(self.get::<bool>(&key(subscription, idempotency_key)).await?.is_some())
    }

    /// Remembers a delivery. To be called after it is on the queue: the other way round, a crash would lose it.
    pub async fn mark_seen(
        &self,
        subscription: SubscriptionId,
        idempotency_key: &str,
    ) -> Result<(), StoreError> {
        self.put(&key(subscription, idempotency_key), &true, When::Always, Some(LIFETIME)).await
    }
}

fn key(subscription: SubscriptionId, idempotency_key: &str) -> Key {
    Key::new(format!("SEEN#{subscription}"), digest(idempotency_key))
}
