//! Leases: of several workers one at a time changes a link's token or hooks. A lease ends by itself, so that a worker that
//! dies with it stops nobody for long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// How long a lease lasts: longer than a function runs.
pub const LEASE: Duration = Duration::from_secs(300);

/// A lease that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    holder: Ulid,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Store {
    /// Takes the lease of a link.
    ///
    /// # Errors
    /// When the table can't be written. `Ok(Err(lease))`: somebody else has it.
    pub async fn take_lease(&self, link: SubscriptionId) -> Result<Result<Lease, Lease>, StoreError> {
        let now = self.clock.now();
        let lease = Lease { holder: Ulid::new(), until: now.after(LEASE) };
        match self.put(&key(link), &lease, When::Below("until", now.0), Some(LEASE)).await {
            Ok(()) => Ok(Ok(lease)),
            Err(StoreError::Conflict) => {
                let held = self.get::<Lease>(&key(link)).await?.map(|stored| stored.value);
                match held {
                    // Its answer was lost, and the write was repeated.
                    Some(held) if held == lease => Ok(Ok(lease)),
                    Some(held) => Ok(Err(held)),
                    None => Ok(Err(Lease { until: now, ..lease })),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a lease back, unless it has ended and is somebody else's by now.
    ///
    /// # Errors
    /// When the table can't be read or written; then it ends by itself.
    pub async fn end_lease(&self, link: SubscriptionId, lease: Lease) -> Result<(), StoreError> {
        let Some(stored) = self.get::<Lease>(&key(link)).await? else { return Ok(()) };
        if stored.value.holder != lease.holder {
            return Ok(());
        }
        let ended = Lease { until: Timestamp(0), ..lease };
        let written = self.put(&key(link), &ended, When::Unchanged(stored.revision), Some(LEASE)).await;
        match written {
            Err(StoreError::Conflict) => Ok(()),
            written => written,
        }
    }
}

pub(super) fn key(link: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{link}"), "LEASE")
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::super::faulty::Faults;
    use super::*;

    #[tokio::test]
    async fn a_lease_is_held_by_one_until_it_is_given_back_or_ends() {
        let (store, _faults, clock) = Faults::store().await;
        let link = SubscriptionId::generate();
        let first = store.take_lease(link).await.expect("written").expect("free");
        let held = store.take_lease(link).await.expect("read").expect_err("held");
        assert_eq!(held, first);
        store.end_lease(link, first).await.expect("written");
        let second = store.take_lease(link).await.expect("written").expect("free again");
        // What was given back already is not taken from the next.
        store.end_lease(link, first).await.expect("nothing to do");
        store.take_lease(link).await.expect("read").expect_err("held");
        clock.advance(LEASE + Duration::from_millis(1));
        let third = store.take_lease(link).await.expect("written").expect("ended");
        store.end_lease(link, second).await.expect("nothing to do");
        assert_eq!(store.take_lease(link).await.expect("read"), Err(third));
    }
}
