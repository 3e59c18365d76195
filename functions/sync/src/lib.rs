//! Brings events to Jira. Takes a batch of messages, reads from GitLab what the hooks leave out, each object once, and
//! sends what is new of each entity in as few calls as Jira allows. Links are processed side by side, and each is settled
//! as soon as it is through: one that hangs holds up none of the others. Every message ends up done, waiting, retried, or
//! in the dead-letter queue with the reason; none is lost. How GitLab is read and what reaches Jira belongs to
//! `shared::sync`.

mod admit;
mod config;
mod ignored;
mod link;
mod nearer;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use shared::clock::{SharedClock, Timestamp};
use shared::domain::{HoldReason, Subscription, SubscriptionId, SubscriptionState};
use shared::queue::disposition::{Disposition, Message, dead_letter_unreadable, settle};
use shared::queue::worker::Batch;
use shared::queue::{Received, SharedQueue};
use shared::store::{Store, StoreError};
use shared::sync::apply::Apply;
use shared::sync::auth::HookAuthenticator;
use shared::sync::message::EventMessage;
use shared::sync::read::GitlabAccess;
use shared::sync::site_access::SiteAccess;

pub use crate::config::{Config, build};
use crate::link::LinkWork;
pub use crate::nearer::NearerLinks;

/// How long work waits when our own table or keys are unavailable.
const STORE_BACKOFF: Duration = Duration::from_secs(60);

/// How long events of a link wait that is being made or removed: neither takes much longer.
const PENDING_LINK_BACKOFF: Duration = Duration::from_secs(30);

/// What the function needs.
#[derive(Clone, Debug)]
pub struct EventSync {
    /// State.
    pub store: Store,
    /// The events queue, for messages that wait or are tried again.
    pub queue: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
    /// Opens Jira sites.
    pub sites: SiteAccess,
    /// Reads GitLab.
    pub gitlab: GitlabAccess,
    /// Brings entities to Jira.
    pub apply: Apply,
    /// Which link brings an event that comes in through several.
    pub nearer: NearerLinks,
    /// Authenticates deliveries that were queued unverified.
    pub authenticator: HookAuthenticator,
    /// Whether no other process works on the queue. Of the local process, which gives one batch of a link at a time.
    pub is_only_process: bool,
}

/// A message of the current batch.
#[derive(Debug)]
struct BatchItem {
    received: Received,
    message: Message<EventMessage>,
}

impl BatchItem {
    /// The id by which a repeat of its delivery is recognised.
    fn delivery(&self) -> Option<(SubscriptionId, String)> {
        let message = &self.message.body;
        message.delivery.clone().map(|delivery| (message.subscription, delivery))
    }
}

impl EventSync {
    /// Processes a batch, and acknowledges what is done; the rest is received again.
    pub async fn handle(&self, batch: Batch) {
        let mut items = Vec::with_capacity(batch.messages.len());
        for received in &batch.messages {
            match Message::<EventMessage>::read(received) {
                Ok(message) => items.push(BatchItem { received: received.clone(), message }),
                Err(reason) => {
                    let dead = dead_letter_unreadable(self.queue.as_ref(), received.clone(), reason).await;
                    batch.acknowledge(dead.into_iter().collect());
                }
            }
        }
        let (links, decided) = self.by_link(items).await;
        self.settle(&batch, decided).await;
        let mut links: FuturesUnordered<_> =
            links.into_iter().map(|work| self.finish_link(&batch, work)).collect();
        while links.next().await.is_some() {}
    }

    /// What there is to do for each link, and the messages that are decided without it.
    async fn by_link(&self, items: Vec<BatchItem>) -> (Vec<LinkWork>, Vec<(BatchItem, Disposition)>) {
        let now = self.clock.now();
        let ids: BTreeSet<SubscriptionId> = items.iter().map(|item| item.message.body.subscription).collect();
        let subscriptions = match self.store.subscriptions_with(&ids).await {
            Ok(subscriptions) => subscriptions,
            Err(error) => {
                let disposition = disposition_of(&error, now);
                return (Vec::new(), items.into_iter().map(|item| (item, disposition.clone())).collect());
            }
        };
        let subscriptions: HashMap<SubscriptionId, Arc<Subscription>> =
            subscriptions.into_iter().map(|(id, subscription)| (id, Arc::new(subscription))).collect();
        let deliveries: Vec<_> = items.iter().filter_map(BatchItem::delivery).collect();
        // Not to know which are repeats is no reason to hold them.
        let seen = self.store.seen(&deliveries).await.unwrap_or_default();
        let mut links: BTreeMap<SubscriptionId, LinkWork> = BTreeMap::new();
        let mut decided = Vec::new();
        for item in items {
            let subscription = subscriptions.get(&item.message.body.subscription);
            match (instead_of_work(&item, &seen, subscription, now), subscription) {
                (None, Some(subscription)) => {
                    let new = || LinkWork { subscription: Arc::clone(subscription), items: Vec::new() };
                    links.entry(subscription.id).or_insert_with(new).items.push(item);
                }
                (Some(disposition), _) => decided.push((item, disposition)),
                (None, None) => decided.push((item, unlinked())),
            }
        }
        (links.into_values().collect(), decided)
    }

    /// Processes one link's messages and settles them, whatever happens.
    fn finish_link<'a>(&'a self, batch: &'a Batch, work: LinkWork) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let synced = self.sync_link(&work, batch.deadline).await;
            let decisions =
                synced.unwrap_or_else(|error| work.all(&disposition_of(&error, self.clock.now())));
            self.settle(batch, work.items.into_iter().zip(decisions).collect()).await;
        })
    }

    async fn settle(&self, batch: &Batch, decided: Vec<(BatchItem, Disposition)>) {
        if decided.is_empty() {
            return;
        }
        let decided = decided.into_iter().map(|(item, decided)| (item.received, item.message, decided));
        let settled = settle(self.queue.as_ref(), self.clock.as_ref(), decided.collect()).await;
        batch.acknowledge(settled);
    }

    /// Remembers deliveries that can't lead to anything else, so that a repeat is not processed again.
    async fn remember(&self, deliveries: HashSet<(SubscriptionId, String)>) {
        if deliveries.is_empty() {
            return;
        }
        if let Err(error) = self.store.mark_seen(&deliveries).await {
            tracing::warn!(%error, "could not remember deliveries; a repeat would be processed again");
        }
    }
}

/// What becomes of a message that is not to be processed now.
fn instead_of_work(
    item: &BatchItem,
    seen: &HashSet<(SubscriptionId, String)>,
    subscription: Option<&Arc<Subscription>>,
    now: Timestamp,
) -> Option<Disposition> {
    if let Some(until) = item.message.waits(now) {
        return Some(Disposition::Wait { until, reason: "It is not due yet.".to_owned() });
    }
    if item.delivery().is_some_and(|delivery| seen.contains(&delivery)) {
        return Some(Disposition::Drop { reason: "It was processed before.".to_owned() });
    }
    match subscription {
        None => Some(unlinked()),
        // What is sent while a group is unlinked would stay in Jira for ever.
        Some(subscription) if subscription.state == SubscriptionState::Pending => Some(Disposition::Wait {
            until: now.after(PENDING_LINK_BACKOFF),
            reason: HoldReason::LinkChanging.to_string(),
        }),
        Some(_) => None,
    }
}

fn unlinked() -> Disposition {
    Disposition::Drop { reason: "The group is no longer linked.".to_owned() }
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
