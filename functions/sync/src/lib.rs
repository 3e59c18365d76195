//! Brings events to Jira. Takes a batch of messages, reads from GitLab what the hooks leave out, each object once, and sends
//! what is new of each entity in as few calls as Jira allows. Every message ends done, waiting, tried again, or in the
//! dead-letter queue with the reason; none is lost. How GitLab is read and what reaches Jira belongs to `shared::sync`.

mod admit;
mod config;
mod site;
mod tasks;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::clock::{SharedClock, Timestamp};
use shared::domain::{SiteId, SubscriptionId};
use shared::jira::connections::Connections;
use shared::queue::disposition::{Disposition, Message, dead_letter_unreadable, settle};
use shared::queue::{Received, SharedQueue};
use shared::store::{Store, StoreError};
use shared::sync::apply::Apply;
use shared::sync::auth::HookAuthenticator;
use shared::sync::message::EventMessage;
use shared::sync::read::GitlabAccess;

use crate::admit::{Admission, AdmittedEvent};
pub use crate::config::{Config, build};
use crate::site::Dispositions;

/// Sites processed at the same time: a slow one must not hold up the others.
const SITES: usize = 8;

/// How long work waits when our own table or keys are unavailable.
const STORE_BACKOFF: std::time::Duration = std::time::Duration::from_secs(60);

/// What the function needs.
#[derive(Clone, Debug)]
pub struct EventSync {
    /// State.
    pub store: Store,
    /// The events queue, for messages that wait or are tried again.
    pub queue: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
    /// Connections to Jira.
    pub connections: Connections,
    /// Reads GitLab.
    pub gitlab: GitlabAccess,
    /// Brings entities to Jira.
    pub apply: Apply,
    /// Authenticates deliveries that were queued unverified.
    pub authenticator: HookAuthenticator,
}

/// A message of the batch at hand.
#[derive(Debug)]
struct BatchItem {
    received: Received,
    message: Message<EventMessage>,
    disposition: Disposition,
}

impl BatchItem {
    /// What a repeat of its delivery is known by.
    fn delivery(&self) -> Option<(SubscriptionId, String)> {
        let message = &self.message.body;
        message.delivery.clone().map(|delivery| (message.subscription, delivery))
    }
}

impl EventSync {
    /// Processes a batch and answers the receipts of the messages to acknowledge; the others come back by themselves.
    pub async fn handle(&self, batch: Vec<Received>) -> Vec<String> {
        let (mut items, mut acknowledged) = (Vec::with_capacity(batch.len()), Vec::new());
        for received in batch {
            match Message::<EventMessage>::read(&received) {
                Ok(message) => items.push(BatchItem { received, message, disposition: Disposition::Done }),
                Err(reason) => {
                    acknowledged.extend(dead_letter_unreadable(self.queue.as_ref(), received, reason).await);
                }
            }
        }
        self.process(&mut items).await;
        self.remember(&items).await;
        let decided = items.into_iter().map(|item| (item.received, item.message, item.disposition)).collect();
        acknowledged.extend(settle(self.queue.as_ref(), self.clock.as_ref(), decided).await);
        acknowledged
    }

    /// Remembers the deliveries that are done, so that a repeat is not processed again.
    async fn remember(&self, items: &[BatchItem]) {
        let done = items.iter().filter(|item| item.disposition == Disposition::Done);
        let deliveries = done.filter_map(BatchItem::delivery).collect();
        if let Err(error) = self.store.mark_seen(&deliveries).await {
            tracing::warn!(%error, "could not remember deliveries; a repeat would be processed again");
        }
    }

    async fn process(&self, items: &mut [BatchItem]) {
        let mut sites: BTreeMap<SiteId, Vec<AdmittedEvent>> = BTreeMap::new();
        for (index, admission) in self.admit(items).await.into_iter().enumerate() {
            match admission {
                Admission::Event(event) => sites.entry(event.subscription.site).or_default().push(*event),
                Admission::Not(disposition) => items[index].disposition = disposition,
            }
        }
        let sites = stream::iter(sites).map(|(id, events)| self.decide(id, events)).buffer_unordered(SITES);
        for (index, disposition) in sites.concat().await {
            let decided = std::mem::replace(&mut items[index].disposition, Disposition::Done);
            items[index].disposition = decided.and(disposition);
        }
    }

    /// What becomes of one site's messages, whatever happens.
    fn decide(&self, id: SiteId, events: Vec<AdmittedEvent>) -> BoxFuture<'_, Dispositions> {
        async move {
            let indices: Vec<usize> = events.iter().map(|event| event.index).collect();
            self.sync_site(id, events).await.unwrap_or_else(|error| {
                let disposition = disposition_of(&error, self.clock.now());
                indices.into_iter().map(|index| (index, disposition.clone())).collect()
            })
        }
        .boxed()
    }
}

/// What an error of our own table means for a message.
fn disposition_of(error: &StoreError, now: Timestamp) -> Disposition {
    match error {
        StoreError::Unavailable(_) => {
            Disposition::Wait { until: now.after(STORE_BACKOFF), reason: error.to_string() }
        }
        StoreError::Conflict => Disposition::Retry { reason: error.to_string() },
        // Written by a newer release, perhaps: there is time to go back to it.
        StoreError::Corrupt(_) => Disposition::Retry { reason: error.to_string() },
    }
}
