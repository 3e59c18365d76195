//! When the last delivery of each link came in: whether webhooks arrive at all. What became of a delivery is stored
//! elsewhere.

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

impl Store {
    /// Remembers that a delivery of `subscription` came in at `at`. One write, no read; how often it is worth one is
    /// for whoever takes deliveries in.
    ///
    /// # Errors
    /// When the table can't be written.
    pub async fn note_event(&self, subscription: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
        // Several processes may write in another order than deliveries came in: within a second, which nobody notices.
        self.put(&key(subscription), &at, When::Always, None).await
    }

    /// When the last delivery of `subscription` came in, as far as it was noted.
    ///
    /// # Errors
    /// When the table can't be read.
    pub async fn last_event(&self, subscription: SubscriptionId) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get(&key(subscription)).await?.map(|stored| stored.value))
    }
}

pub(super) fn key(subscription: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{subscription}"), "LAST_EVENT")
}
