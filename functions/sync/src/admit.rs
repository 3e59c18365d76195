//! Which of a link's messages are processed: those that are authenticated, and about a project that the link covers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::clock::Timestamp;
use shared::domain::{Subscription, lies_under};
use shared::gitlab::hooks::{self, HookError, HookEvent, ParsedHook};
use shared::gitlab::model::Project;
use shared::queue::disposition::Disposition;
use shared::queue::worker::Deadline;
use shared::store::StoreError;
use shared::store::coverage::{Certainty, Coverage};
use shared::store::ignored_deliveries::IgnoreReason;
use shared::sync::auth::AuthError;
use shared::sync::message::{EventMessage, Payload, UnverifiedDelivery};
use shared::sync::read::GitlabReader;
use ulid::Ulid;

use crate::ignored::IgnoredEvents;
use crate::link::Decisions;
use crate::tasks::{self, CONCURRENCY, Instead};
use crate::{BatchItem, EventSync, STORE_BACKOFF, disposition_of};

/// An event that is processed.
#[derive(Debug)]
pub(crate) struct AdmittedEvent {
    /// The position of its message.
    pub(crate) index: usize,
    /// Names the delivery in logs.
    pub(crate) trace: Ulid,
    pub(crate) received_at: Timestamp,
    /// What GitLab calls its delivery.
    pub(crate) delivery: Option<String>,
    pub(crate) project: Project,
    pub(crate) event: HookEvent,
    /// What it lacks that a read tells.
    pub(crate) missing: Option<String>,
    /// For how long its message has waited and been tried.
    pub(crate) held_for: Duration,
}

impl EventSync {
    /// The events of `items` that are processed; `decisions` learns what becomes of the others, and `ignored` why.
    pub(crate) async fn admit(
        &self,
        subscription: &Subscription,
        gitlab: Option<&GitlabReader<'_>>,
        items: &[BatchItem],
        decisions: &mut Decisions,
        ignored: &mut IgnoredEvents,
        deadline: Deadline,
    ) -> Vec<AdmittedEvent> {
        let now = self.clock.now();
        let mut events = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let message = &item.message.body;
            match self.payload(message).await {
                Ok(ParsedHook { project, event, missing }) => events.push(AdmittedEvent {
                    index,
                    trace: item.message.id,
                    received_at: self.received_at(subscription, message).await,
                    delivery: message.delivery_id().map(str::to_owned),
                    project,
                    event,
                    missing,
                    held_for: item.message.held_for(now),
                }),
                Err(disposition) => decisions.add(index, disposition),
            }
        }
        let coverage = self.coverage(subscription, gitlab, &events, deadline).await;
        // Not to know is no reason to hold them: what is sent twice is harmless.
        let nearer = self.nearer.of(subscription, events.iter().map(|event| &event.project)).await;
        let nearer = nearer.unwrap_or_default();
        let mut admitted = Vec::with_capacity(events.len());
        for event in events {
            match coverage.get(&event.project.id) {
                Some(Ok(Coverage::Inside)) => match (nearer.get(&event.project.id), &event.missing) {
                    (None, Some(missing)) if gitlab.is_none() => {
                        let reason = format!("It can't be read without a token, and {missing}.");
                        decisions.add(event.index, Disposition::Drop { reason });
                        ignored.add(&event, IgnoreReason::NotUnderstood);
                    }
                    (None, _) => admitted.push(event),
                    (Some(link), _) => {
                        let reason =
                            format!("The link {link}, whose group is nearer to the project, brings it.");
                        decisions.add(event.index, Disposition::Drop { reason });
                    }
                },
                Some(Err(disposition)) => decisions.add(event.index, disposition.clone()),
                Some(Ok(Coverage::Outside)) | None => {
                    let reason = "The project is outside the linked group.".to_owned();
                    decisions.add(event.index, Disposition::Drop { reason });
                    ignored.add(&event, IgnoreReason::Outside);
                }
            }
        }
        admitted
    }

    async fn payload(&self, message: &EventMessage) -> Result<ParsedHook, Disposition> {
        match &message.payload {
            Payload::Verified(hook) => Ok(hook.clone()),
            Payload::Unverified(unverified) => self.authenticate(message, unverified).await,
        }
    }

    /// When a delivery first came in: of one that was queued unverified it is not known yet whether it is a repeat.
    async fn received_at(&self, subscription: &Subscription, message: &EventMessage) -> Timestamp {
        let is_new = matches!(message.payload, Payload::Unverified(_)) && subscription.credential.is_none();
        let Some(id) = message.delivery_id().filter(|_| is_new) else {
            return message.received_at;
        };
        let first = self.store.first_received(subscription.id, id, message.received_at).await;
        first.unwrap_or(message.received_at)
    }

    async fn authenticate(
        &self,
        message: &EventMessage,
        unverified: &UnverifiedDelivery,
    ) -> Result<ParsedHook, Disposition> {
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
                Ok(delivery)
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

    /// Whether the projects of `events` lie in the linked group, side by side and as far as there is time to read.
    async fn coverage(
        &self,
        subscription: &Subscription,
        gitlab: Option<&GitlabReader<'_>>,
        events: &[AdmittedEvent],
        deadline: Deadline,
    ) -> BTreeMap<u64, Result<Coverage, Disposition>> {
        let projects: BTreeMap<u64, &AdmittedEvent> =
            events.iter().map(|event| (event.project.id, event)).collect();
        let lookups: Vec<_> =
            projects.into_values().map(|event| self.lookup(subscription, gitlab, event, deadline)).collect();
        stream::iter(lookups).buffer_unordered(CONCURRENCY).collect().await
    }

    // Boxed, so that the compiler sees that it is `Send`.
    fn lookup<'a>(
        &'a self,
        subscription: &'a Subscription,
        gitlab: Option<&'a GitlabReader<'_>>,
        event: &'a AdmittedEvent,
        deadline: Deadline,
    ) -> BoxFuture<'a, (u64, Result<Coverage, Disposition>)> {
        async move {
            let covers = self.covers(subscription, gitlab, event);
            let covers = tokio::time::timeout(tasks::time_to_read(deadline), covers).await;
            let coverage = covers.unwrap_or_else(|_| Err(tasks::out_of_time(self.clock.now())));
            (event.project.id, coverage)
        }
        .boxed()
    }

    /// Whether a project lies in the linked group, as far as known; else GitLab is asked, once.
    async fn covers(
        &self,
        subscription: &Subscription,
        gitlab: Option<&GitlabReader<'_>>,
        event: &AdmittedEvent,
    ) -> Result<Coverage, Disposition> {
        let project = &event.project;
        let store = |error: StoreError| disposition_of(&error, self.clock.now());
        if let Some(known) = self.store.coverage(subscription.id, project.id).await.map_err(store)? {
            return Ok(known);
        }
        let (known, certainty) = match gitlab {
            Some(gitlab) => match gitlab.covers(project).await {
                Ok(known) => (known, if known.is_some() { Certainty::Known } else { Certainty::Assumed }),
                Err(error) => match tasks::instead_of_read(error, event.held_for, self.clock.now()) {
                    Instead::HookOnly | Instead::Decided(Disposition::Drop { .. }) => {
                        (None, Certainty::Assumed)
                    }
                    Instead::Decided(disposition) => return Err(disposition),
                },
            },
            None => (None, Certainty::Known),
        };
        // Where GitLab says nothing, what the hook says has to suffice.
        let inside = known.unwrap_or_else(|| lies_under(&project.path, &subscription.group_path));
        let coverage = if inside { Coverage::Inside } else { Coverage::Outside };
        self.store.record_coverage(subscription.id, project.id, coverage, certainty).await.map_err(store)?;
        Ok(coverage)
    }
}
