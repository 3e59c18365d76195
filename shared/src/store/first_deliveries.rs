//! When deliveries first came in. On a link without a token that time orders what they say, so a repeat that comes in later,
//! through another process or because somebody sends it again, must not look newer than it is.

use std::time::Duration;

use super::{Key, Store, StoreError, When, digest};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// GitLab can send a delivery again for a week.
const LIFETIME: Duration = Duration::from_secs(8 * 24 * 3600);

impl Store {
    /// When the delivery with this id first came in: `now`, unless an earlier time is known.
    ///
    /// # Errors
    /// When the table can't be read or written.
    pub async fn first_received(
        &self,
        subscription: SubscriptionId,
        delivery: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let key = Key::new(format!("INTAKE#{subscription}"), digest(delivery));
        match self.put(&key, &now, When::Absent, Some(LIFETIME)).await {
            Ok(()) => Ok(now),
            Err(StoreError::Conflict) => {
                let first = self.get::<Timestamp>(&key).await?;
                Ok(first.map_or(now, |first| first.value.min(now)))
            }
            Err(error) => Err(error),
        }
    }
}
