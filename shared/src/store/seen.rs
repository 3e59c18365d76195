//! Deliveries that were processed completely. GitLab names each by an id that stays the same when
//! somebody sends it again; remembering it saves the work; correctness does not depend on it.

use std::collections::HashSet;
use std::time::Duration;

use super::{Key, Store, StoreError, digest};
use crate::domain::SubscriptionId;

/// GitLab can send a delivery again for a week.
const LIFETIME: Duration = Duration::from_secs(8 * 24 * 3600);

impl Store {
    /// Those of `deliveries` that were processed before.
    pub async fn seen(
        &self,
        deliveries: &[(SubscriptionId, String)],
    ) -> Result<HashSet<(SubscriptionId, String)>, StoreError> {
        let keys: HashSet<Key> = deliveries.iter().map(key).collect();
        let found = self.get_many::<bool>(&Vec::from_iter(keys)).await?;
        Ok(deliveries.iter().filter(|delivery| found.contains_key(&key(delivery))).cloned().collect())
    }

    /// Remembers that deliveries were processed.
    pub async fn mark_seen(&self, deliveries: &HashSet<(SubscriptionId, String)>) -> Result<(), StoreError> {
        let items = deliveries.iter().map(|delivery| (key(delivery), true, Some(LIFETIME)));
        self.put_many(items.collect()).await
    }
}

fn key((subscription, idempotency_key): &(SubscriptionId, String)) -> Key {
    Key::new(format!("SEEN#{subscription}"), digest(idempotency_key))
}
