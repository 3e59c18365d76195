//! Which messages of a batch are processed: those that are due, authenticated, new, of a link that exists, and about a
//! project that the link covers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::{Subscription, SubscriptionId, SubscriptionState, lies_under};
use shared::gitlab::hooks::{self, HookError, HookEvent};
use shared::gitlab::model::Project;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::coverage::Coverage;
use shared::sync::auth::AuthError;
use shared::sync::message::{EventMessage, Payload, UnverifiedDelivery};
use shared::sync::read::ReadError;
use ulid::Ulid;

use crate::{BatchItem, EventSync, STORE_BACKOFF, disposition_of};

/// An event that is processed.
#[derive(Debug)]
pub(crate) struct AdmittedEvent {
    /// The position of its message in the batch.
    pub(crate) index: usize,
    /// Names the delivery in logs.
    pub(crate) trace: Ulid,
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) received_at: Timestamp,
    pub(crate) project: Project,
    pub(crate) event: HookEvent,
    /// Whether its message will not be tried again: then what the hook alone says is better than nothing.
    pub(crate) is_last_attempt: bool,
}

/// Whether a message is processed, or what becomes of it instead.
pub(crate) enum Admission {
    Event(Box<AdmittedEvent>),
    Not(Disposition),
}

/// How long events of a link wait that is being made or removed: neither takes much longer.
const PENDING_LINK_BACKOFF: Duration = Duration::from_secs(30);

type Subscriptions = HashMap<SubscriptionId, Option<Arc<Subscription>>>;

impl EventSync {
    /// One answer per message, in their order.
    pub(crate) async fn admit(&self, items: &[BatchItem]) -> Vec<Admission> {
        let (mut subscriptions, mut coverage) = (HashMap::new(), HashMap::new());
        let deliveries: Vec<_> = items.iter().filter_map(BatchItem::delivery).collect();
        // Not to know which are repeats is no reason to hold them.
        let seen = self.store.seen(&deliveries).await.unwrap_or_default();
        let mut admitted = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if item.delivery().is_some_and(|delivery| seen.contains(&delivery)) {
                admitted.push(Admission::Not(Disposition::Drop {
                    reason: "It was processed before.".to_owned(),
                }));
                continue;
            }
            let answer = self.admit_one(index, item, &mut subscriptions, &mut coverage).await;
            admitted.push(answer.unwrap_or_else(Admission::Not));
        }
        admitted
    }

    async fn admit_one(
        &self,
        index: usize,
        item: &BatchItem,
        subscriptions: &mut Subscriptions,
        coverage: &mut HashMap<(SubscriptionId, u64), Result<Coverage, Disposition>>,
    ) -> Result<Admission, Disposition> {
        let now = self.clock.now();
        if let Some(until) = item.message.waits(now) {
            return Err(Disposition::Wait { until, reason: "It is not due yet.".to_owned() });
        }
        let message = &item.message.body;
        let (project, event) = self.payload(message).await?;
        let subscription = self.subscription(message.subscription, subscriptions).await?;
        let key = (subscription.id, project.id);
        let known = match coverage.get(&key) {
            Some(known) => known.clone(),
            None => self.covers(&subscription, &project).await,
        };
        coverage.insert(key, known.clone());
        if known? == Coverage::Outside {
            return Err(Disposition::Drop { reason: "The project is outside the linked group.".to_owned() });
        }
        Ok(Admission::Event(Box::new(AdmittedEvent {
            index,
            trace: item.message.id,
            subscription,
            received_at: message.received_at,
            project,
            event,
            is_last_attempt: item.message.is_last_attempt(),
        })))
    }

    async fn payload(&self, message: &EventMessage) -> Result<(Project, HookEvent), Disposition> {
        match &message.intake {
            Payload::Verified { project, event } => Ok((project.clone(), event.clone())),
            Payload::Unverified(unverified) => self.authenticate(message, unverified).await,
        }
    }

    async fn authenticate(
        &self,
        message: &EventMessage,
        unverified: &UnverifiedDelivery,
    ) -> Result<(Project, HookEvent), Disposition> {
        let credentials = unverified.credentials();
        match self.authenticator.authenticate(message.subscription, &credentials, message.received_at).await {
            Ok(open) => {
                let delivery = hooks::parse(credentials.body).map_err(|error| match error {
                    HookError::Ignored(_) => Disposition::Done,
                    error => Disposition::Drop { reason: error.to_string() },
                })?;
                if open.hook.project_id.is_some_and(|project| project != delivery.project.id) {
                    return Err(Disposition::Drop {
                        reason: "The hook speaks for another project.".to_owned(),
                    });
                }
                Ok((delivery.project, delivery.event))
            }
            Err(error @ (AuthError::Unknown | AuthError::Refused(_))) => {
                Err(Disposition::Drop { reason: format!("Not authentic: {error}.") })
            }
            Err(error @ (AuthError::Store(_) | AuthError::Secrets(_))) => Err(Disposition::Wait {
                until: self.clock.now().after(STORE_BACKOFF),
                reason: error.to_string(),
            }),
        }
    }

    async fn subscription(
        &self,
        id: SubscriptionId,
        known: &mut Subscriptions,
    ) -> Result<Arc<Subscription>, Disposition> {
        let subscription = match known.get(&id) {
            Some(known) => known.clone(),
            None => {
                self.store.subscription(id).await.map_err(|error| self.on_store_error(&error))?.map(Arc::new)
            }
        };
        known.insert(id, subscription.clone());
        let subscription = subscription
            .ok_or_else(|| Disposition::Drop { reason: "The group is no longer linked.".to_owned() })?;
        if subscription.state == SubscriptionState::Pending {
            // What is sent while a group is unlinked would stay in Jira for ever.
            let until = self.clock.now().after(PENDING_LINK_BACKOFF);
            return Err(Disposition::Wait { until, reason: "The link is being made or removed.".to_owned() });
        }
        Ok(subscription)
    }

    /// Whether a project lies in the linked group, as far as known; else GitLab is asked, once.
    async fn covers(&self, subscription: &Subscription, project: &Project) -> Result<Coverage, Disposition> {
        let store = |error: StoreError| self.on_store_error(&error);
        if let Some(known) = self.store.coverage(subscription.id, project.id).await.map_err(store)? {
            return Ok(known);
        }
        let by_path = || lies_under(&project.path, &subscription.group_path);
        let inside = match self.gitlab.reader(subscription).await.map_err(store)? {
            Some(reader) => match reader.covers(project.id).await {
                Ok(inside) => inside,
                Err(ReadError::HookOnly) => by_path(),
                Err(ReadError::Decided(disposition)) => return Err(disposition),
            },
            // Without a token all there is is what the hook says itself.
            None => by_path(),
        };
        let coverage = if inside { Coverage::Inside } else { Coverage::Outside };
        self.store.record_coverage(subscription.id, project.id, coverage).await.map_err(store)?;
        Ok(coverage)
    }

    fn on_store_error(&self, error: &StoreError) -> Disposition {
        disposition_of(error, self.clock.now())
    }
}
