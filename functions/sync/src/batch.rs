//! From messages to events that may go on: due, verified, of a link that exists, about a project that the link covers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::{Subscription, SubscriptionId, SubscriptionState};
use shared::gitlab::client::GitlabError;
use shared::gitlab::hooks::{self, HookError, HookEvent};
use shared::gitlab::model::Project;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::coverage::Coverage;
use shared::sync::message::{EventMessage, Payload, Unverified};
use shared::sync::verify::VerifyError;
use ulid::Ulid;

use crate::reader::{GitlabReader, ReadError};
use crate::{EventSync, STORE_BACKOFF, Work, disposition_of};

/// An event that goes on.
#[derive(Debug)]
pub(crate) struct Event {
    /// The position of its message in the batch.
    pub(crate) index: usize,
    /// Names the delivery in logs.
    pub(crate) trace: Ulid,
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) received_at: Timestamp,
    pub(crate) project: Project,
    pub(crate) event: HookEvent,
    /// Whether its message will not be tried again: then what the hook alone says is better than nothing.
    pub(crate) last_attempt: bool,
}

/// What becomes of a message at the connection.
pub(crate) enum Admitted {
    Event(Box<Event>),
    Not(Disposition),
}

/// How long to leave the events of a link alone that is being made or removed: neither takes much longer.
const PENDING_LINK_BACKOFF: Duration = Duration::from_secs(30);

type Subscriptions = HashMap<SubscriptionId, Option<Arc<Subscription>>>;

impl EventSync {
    /// One answer per message, in their order.
    pub(crate) async fn admit(&self, works: &[Work]) -> Vec<Admitted> {
        let (mut subscriptions, mut coverage) = (HashMap::new(), HashMap::new());
        let deliveries: Vec<_> = works.iter().filter_map(Work::delivery).collect();
        // Not to know which are repeats is no reason to hold them.
        let seen = self.store.seen(&deliveries).await.unwrap_or_default();
        let mut admitted = Vec::with_capacity(works.len());
        for (index, work) in works.iter().enumerate() {
            if work.delivery().is_some_and(|delivery| seen.contains(&delivery)) {
                admitted.push(Admitted::Not(Disposition::Drop {
                    reason: "It was worked off before.".to_owned(),
                }));
                continue;
            }
            let answer = self.admit_one(index, work, &mut subscriptions, &mut coverage).await;
            admitted.push(answer.unwrap_or_else(Admitted::Not));
        }
        admitted
    }

    async fn admit_one(
        &self,
        index: usize,
        work: &Work,
        subscriptions: &mut Subscriptions,
        coverage: &mut HashMap<(SubscriptionId, u64), Result<Coverage, Disposition>>,
    ) -> Result<Admitted, Disposition> {
        let now = self.clock.now();
        if let Some(until) = work.message.waits(now) {
            return Err(Disposition::Wait { until, reason: "It is not due yet.".to_owned() });
        }
        let message = &work.message.body;
        let (project, event) = self.verified(message).await?;
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
        Ok(Admitted::Event(Box::new(Event {
            index,
            trace: work.message.id,
            subscription,
            received_at: message.received_at,
            project,
            event,
            last_attempt: work.message.is_last_attempt(),
        })))
    }

    async fn verified(&self, message: &EventMessage) -> Result<(Project, HookEvent), Disposition> {
        match &message.intake {
            Payload::Verified { project, event } => Ok((project.clone(), event.clone())),
            Payload::Unverified(unverified) => self.verify(message, unverified).await,
        }
    }

    async fn verify(
        &self,
        message: &EventMessage,
        unverified: &Unverified,
    ) -> Result<(Project, HookEvent), Disposition> {
        let proof = unverified.proof();
        match self.verifier.verify(message.subscription, &proof, message.received_at).await {
            Ok(open) => {
                let delivery = hooks::parse(proof.body).map_err(|error| match error {
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
            Err(error @ (VerifyError::Unknown | VerifyError::Refused(_))) => {
                Err(Disposition::Drop { reason: format!("Not believed: {error}.") })
            }
            Err(error @ (VerifyError::Store(_) | VerifyError::Secrets(_))) => Err(Disposition::Wait {
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
            None => self.store.subscription(id).await.map_err(|error| self.trouble(&error))?.map(Arc::new),
        };
        known.insert(id, subscription.clone());
        let subscription = subscription
            .ok_or_else(|| Disposition::Drop { reason: "The group is no longer linked.".to_owned() })?;
        if subscription.state == SubscriptionState::Pending {
            // What is sent while a link is taken down would stay in Jira for ever.
            let until = self.clock.now().after(PENDING_LINK_BACKOFF);
            return Err(Disposition::Wait { until, reason: "The link is being made or removed.".to_owned() });
        }
        Ok(subscription)
    }

    /// Whether a project lies in the linked group, as far as known; else GitLab is asked, once.
    async fn covers(&self, subscription: &Subscription, project: &Project) -> Result<Coverage, Disposition> {
        let store = |error: StoreError| self.trouble(&error);
        if let Some(known) = self.store.coverage(subscription.id, project.id).await.map_err(store)? {
            return Ok(known);
        }
        let inside = match self.reader(subscription).await.map_err(store)? {
            Some(reader) => self.ask_whether_inside(&reader, subscription, project).await?,
            // All that is left is what the hook says itself.
            None => lies_under(&project.path, &subscription.group_path),
        };
        let coverage = if inside { Coverage::Inside } else { Coverage::Outside };
        self.store.record_coverage(subscription.id, project.id, coverage).await.map_err(store)?;
        Ok(coverage)
    }

    async fn ask_whether_inside(
        &self,
        reader: &GitlabReader<'_>,
        subscription: &Subscription,
        project: &Project,
    ) -> Result<bool, Disposition> {
        if let Some(ReadError::Decided(disposition)) = reader.resting() {
            return Err(disposition);
        }
        let group = subscription.group_id.to_string();
        let asked = async {
            let group = match reader.client.group(&group).await {
                // The link's hook has proved itself, so the group is there: it is the token that sees too little.
                Err(GitlabError::NotFound) => return Err(GitlabError::Forbidden),
                group => group?,
            };
            let project = reader.client.project(project.id).await?;
            Ok(lies_under(&project.path, &group.full_path))
        };
        match asked.await {
            Ok(inside) => Ok(inside),
            Err(GitlabError::NotFound) => Ok(false),
            Err(error) => match reader.trouble(error).await {
                ReadError::HookOnly => Ok(lies_under(&project.path, &subscription.group_path)),
                ReadError::Decided(disposition) => Err(disposition),
            },
        }
    }

    fn trouble(&self, error: &StoreError) -> Disposition {
        disposition_of(error, self.clock.now())
    }
}

fn lies_under(project: &str, group: &str) -> bool {
    project.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::lies_under;

    #[test]
    fn a_project_lies_under_its_group_and_no_other() {
        assert!(lies_under("acme/payments/api", "acme"));
        assert!(lies_under("acme/payments/api", "acme/payments"));
        assert!(!lies_under("acme-evil/api", "acme"));
        assert!(!lies_under("acme", "acme"));
    }
}
