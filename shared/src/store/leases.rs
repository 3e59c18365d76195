//! Leases: of several workers one at a time changes a link's token or hooks, or sends what only its hooks tell. A lease
//! ends by itself, so that a worker that dies with it stops nobody for long.

use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Key, Store, StoreError, When};
use crate::clock::Timestamp;
use crate::domain::SubscriptionId;

/// How long a lease lasts: longer than a function runs.
pub const LEASE: Duration = Duration::from_secs(300);

/// How long a lease lasts without the renewals that its holder makes: events wait this long behind a worker that died.
const SENDING: Duration = Duration::from_secs(30);

/// How often it is renewed: often enough that two renewals may fail.
const RENEWAL: Duration = Duration::from_secs(10);

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
        self.take(&key(link), LEASE).await
    }

    /// Gives a lease back, unless it has ended and is somebody else's by now.
    ///
    /// # Errors
    /// When the table can't be read or written; then it ends by itself.
    pub async fn end_lease(&self, link: SubscriptionId, lease: Lease) -> Result<(), StoreError> {
        self.set_end(&key(link), lease, Timestamp(0)).await
    }

    /// Does `work` while no other worker sends what hooks say of `link`; `None`, with nothing done, while one does.
    ///
    /// # Errors
    /// When the table can't be written before; the work is not begun then.
    pub async fn sending_alone<T>(
        &self,
        link: SubscriptionId,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        let key = sending_key(link);
        let Ok(lease) = self.take(&key, SENDING).await? else { return Ok(None) };
        let mut work = pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = self.clock.sleep(RENEWAL) => {
                    let renewed = self.set_end(&key, lease, self.clock.now().after(SENDING)).await;
                    if let Err(error) = renewed {
                        tracing::warn!(subscription.id = %link, %error, "a lease is not renewed");
                    }
                }
            }
        };
        if let Err(error) = self.set_end(&key, lease, Timestamp(0)).await {
            tracing::warn!(subscription.id = %link, %error, "a lease is not given back; it ends by itself");
        }
        Ok(Some(done))
    }

    async fn take(&self, key: &Key, lifetime: Duration) -> Result<Result<Lease, Lease>, StoreError> {
        let now = self.clock.now();
        let lease = Lease { holder: Ulid::new(), until: now.after(lifetime) };
        match self.put(key, &lease, When::Below("until", now.0), Some(LEASE)).await {
            Ok(()) => Ok(Ok(lease)),
            Err(StoreError::Conflict) => {
                let held = self.get::<Lease>(key).await?.map(|stored| stored.value);
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

    /// Says until when a lease lasts, unless it has ended and is somebody else's by now.
    async fn set_end(&self, key: &Key, lease: Lease, until: Timestamp) -> Result<(), StoreError> {
        let Some(stored) = self.get::<Lease>(key).await? else { return Ok(()) };
        if stored.value.holder != lease.holder {
            return Ok(());
        }
        let changed = Lease { until, ..lease };
        let written = self.put(key, &changed, When::Unchanged(stored.revision), Some(LEASE)).await;
        match written {
            Err(StoreError::Conflict) => Ok(()),
            written => written,
        }
    }
}

pub(super) fn key(link: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{link}"), "LEASE")
}

pub(super) fn sending_key(link: SubscriptionId) -> Key {
    Key::new(format!("SUBSCRIPTION#{link}"), "SENDING")
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

    #[tokio::test]
    async fn one_worker_at_a_time_sends_and_a_dead_one_delays_the_others_for_seconds() {
        let (store, _faults, clock) = Faults::store().await;
        let link = SubscriptionId::generate();
        let beside = async { store.sending_alone(link, async { "twice" }).await.expect("read") };
        assert_eq!(store.sending_alone(link, beside).await.expect("written"), Some(None));
        assert_eq!(store.sending_alone(link, async { "again" }).await.expect("written"), Some("again"));
        // Dropped as a process dies: before it gives the lease back.
        let dies = tokio::time::timeout(
            Duration::from_millis(50),
            store.sending_alone(link, std::future::pending::<()>()),
        );
        dies.await.expect_err("it is under way");
        assert_eq!(store.sending_alone(link, async {}).await.expect("read"), None);
        clock.advance(SENDING + Duration::from_millis(1));
        assert_eq!(store.sending_alone(link, async {}).await.expect("written"), Some(()));
    }
}
