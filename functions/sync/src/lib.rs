//! Brings events to Jira. Takes a batch of messages, reads from GitLab what the hooks leave open, each object once, and
//! sends what is new of each entity in as few calls as Jira allows. Every message ends done, waiting, trying again, or
//! among the dead letters with the reason; none is lost.

mod batch;
mod config;
mod enrich;
mod reader;
mod settle;
mod site;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::clock::{SharedClock, Timestamp};
use shared::domain::{SiteId, SubscriptionId};
use shared::envelope::Envelope;
use shared::gitlab::client::GitlabHttp;
use shared::jira::connections::Connections;
use shared::outbound::HostGuard;
use shared::queue::disposition::{Disposition, Message, dead_letter_unreadable, settle};
use shared::queue::{Received, SharedQueue};
use shared::store::{Store, StoreError};
use shared::sync::message::EventMessage;
use shared::sync::verify::HookVerifier;

use crate::batch::{Admitted, Event};
pub use crate::config::Config;
pub use crate::reader::GitlabCache;

/// Sites worked on at the same time: a slow one must not hold up the others.
const SITES: usize = 8;

/// How long work rests when our own table or keys are out of reach.
const STORE_BACKOFF: std::time::Duration = std::time::Duration::from_secs(60);

/// What the function needs.
#[derive(Clone, Debug)]
pub struct EventSync {
    /// State.
    pub store: Store,
    /// Secrets.
    pub envelope: Arc<Envelope>,
    /// The events queue, for what waits or tries again.
    pub queue: SharedQueue,
    /// Time.
    pub clock: SharedClock,
    /// Ways into Jira.
    pub connections: Connections,
    /// The way to GitLab.
    pub gitlab: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Verifies what came in unverified.
    pub verifier: HookVerifier,
    /// Answers of GitLab that hold for a moment.
    pub lookups: GitlabCache,
}

/// A message being worked on.
#[derive(Debug)]
struct Work {
    received: Received,
    message: Message<EventMessage>,
    disposition: Disposition,
}

impl Work {
    fn delivery(&self) -> Option<(SubscriptionId, String)> {
        let message = &self.message.body;
        message.delivery.clone().map(|delivery| (message.subscription, delivery))
    }
}

impl EventSync {
    /// Works on a batch and answers the receipts of the messages that may be acknowledged; the others come back by
    /// themselves.
    pub async fn handle(&self, batch: Vec<Received>) -> Vec<String> {
        let (mut works, mut acknowledged) = (Vec::with_capacity(batch.len()), Vec::new());
        for received in batch {
            match Message::<EventMessage>::read(&received) {
                Ok(message) => works.push(Work { received, message, disposition: Disposition::Done }),
                Err(reason) => {
                    acknowledged.extend(dead_letter_unreadable(self.queue.as_ref(), received, reason).await);
                }
            }
        }
        self.work(&mut works).await;
        self.remember(&works).await;
        let decided = works.into_iter().map(|work| (work.received, work.message, work.disposition)).collect();
        acknowledged.extend(settle(self.queue.as_ref(), self.clock.as_ref(), decided).await);
        acknowledged
    }

    /// Remembers the deliveries that are done, so that a repeat is not worked on again.
    async fn remember(&self, works: &[Work]) {
        let done = works.iter().filter(|work| work.disposition == Disposition::Done);
        let deliveries = done.filter_map(Work::delivery).collect();
        if let Err(error) = self.store.mark_seen(&deliveries).await {
            tracing::warn!(%error, "could not remember deliveries; a repeat would be worked on again");
        }
    }

    async fn work(&self, works: &mut [Work]) {
        let mut sites: BTreeMap<SiteId, Vec<Event>> = BTreeMap::new();
        for (index, admitted) in self.admit(works).await.into_iter().enumerate() {
            match admitted {
                Admitted::Event(event) => sites.entry(event.subscription.site).or_default().push(*event),
                Admitted::Not(disposition) => works[index].disposition = disposition,
            }
        }
        let sites = stream::iter(sites).map(|(id, events)| self.decide(id, events)).buffer_unordered(SITES);
        for (index, disposition) in sites.concat().await {
            let decided = std::mem::replace(&mut works[index].disposition, Disposition::Done);
            works[index].disposition = decided.and(disposition);
        }
    }

    /// What becomes of one site's messages, whatever happens.
    fn decide(&self, id: SiteId, events: Vec<Event>) -> BoxFuture<'_, Vec<(usize, Disposition)>> {
        async move {
            let indices: Vec<usize> = events.iter().map(|event| event.index).collect();
            self.site(id, events).await.unwrap_or_else(|error| {
                let disposition = disposition_of(&error, self.clock.now());
                indices.into_iter().map(|index| (index, disposition.clone())).collect()
            })
        }
        .boxed()
    }
}

/// What trouble with our own state means for a message.
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
