//! Waiting for work that may not have noticed a change yet: what it still sends would outlast a deletion that was made
//! before.

use std::time::Duration;

use super::Linking;
use crate::domain::SubscriptionId;
use crate::queue::QueueError;
use crate::store::StoreError;
use crate::store::leases::Lease;

/// A call to Jira that is under way when the change is stored ends within this time: `sync` looks at the site and the link
/// before each, and begins no other. The client gives a call `outbound::TOTAL_TIMEOUT` as a whole, with the wait for a token,
/// the request for it, and a second try after a 401; the rest is for what is between that look and the call.
const LAST_CALL: Duration = Duration::from_secs(35);

/// How often the queues are asked whether messages are still in flight.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Linking {
    /// Waits until nobody else changes the hooks or the token of a link, and takes its lease. `None`: somebody else held it
    /// for too long.
    ///
    /// # Errors
    /// The table can't be read or written.
    pub(super) async fn wait_for_lease(&self, link: SubscriptionId) -> Result<Option<Lease>, StoreError> {
        let deadline = self.clock.now().after(LAST_CALL);
        loop {
            match self.store.take_lease(link).await? {
                Ok(lease) => return Ok(Some(lease)),
                Err(_) if self.clock.now() >= deadline => return Ok(None),
                Err(_) => self.clock.sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Waits until no message of `link`, or of any, is in flight, or those that were have had time to see what was stored
    /// before: on AWS always as long as that takes.
    ///
    /// # Errors
    /// A queue can't be asked.
    pub async fn wait_for_messages_in_flight(&self, link: Option<SubscriptionId>) -> Result<(), QueueError> {
        let group = link.map(|link| link.to_string());
        let deadline = self.clock.now().after(LAST_CALL);
        while self.clock.now() < deadline {
            self.clock.sleep(POLL_INTERVAL).await;
            let mut may_be_in_flight = false;
            for queue in &self.queues {
                may_be_in_flight |= queue.may_be_in_flight(group.as_deref()).await?;
            }
            if !may_be_in_flight {
                break;
            }
        }
        Ok(())
    }
}
