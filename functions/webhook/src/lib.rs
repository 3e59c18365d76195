//! Receives GitLab's deliveries: authenticates them, cuts them down to what Jira needs, and puts them on the events queue.
//! Calls neither GitLab nor Jira, so that it answers in milliseconds: GitLab disables hooks that fail, and never resends by
//! itself.

mod delivery;
mod interest;
mod last_events;
mod notes;
mod unverified;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::routing::post;
use http::StatusCode;
use moka::future::Cache;
use shared::bundle::WEBHOOK;
use shared::clock::{SharedClock, Timestamp};
use shared::config::Variables;
use shared::domain::{IssueKeys, SubscriptionId};
use shared::gitlab::hooks::{HookError, ParsedHook, parse};
use shared::gitlab::model::Project;
use shared::http::Error;
use shared::queue::disposition::Message;
use shared::queue::{MAX_BYTES, Outgoing, SharedQueue};
use shared::services::Services;
use shared::store::coverage::Coverage;
use shared::store::ignored_deliveries::{IgnoreReason, IgnoredDelivery};
use shared::store::{Store, StoreError};
use shared::sync::auth::{AuthError, HookAuthenticator, OpenHook};
use shared::sync::message::{EventMessage, Payload};
use tokio::sync::Semaphore;

use crate::delivery::{GitlabHook, unknown_hook};
use crate::last_events::LastEvents;
use crate::notes::Notes;
use crate::unverified::UnverifiedLimit;

/// A Lambda's request can't be larger than this
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); locally the same holds.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// Bodies that are read at the same time. Only those of hooks that exist are read, but whoever knows of one may send many.
const MAX_BODIES: usize = 64;

/// How long a delivery waits until its body may be read: half of what GitLab waits for an answer.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message of an unverified delivery. What is left is for its group, and for what is noted on a message that
/// waits or is dead-lettered.
const MAX_UNVERIFIED: usize = MAX_BYTES - 16 * 1024;

/// How long coverage is cached.
const COVERAGE_CACHE_TTL: Duration = Duration::from_secs(60);

/// How many projects are cached.
const MAX_PROJECTS: u64 = 10_000;

/// How long the table may take for what a delivery can do without: GitLab waits ten seconds for an answer, and disables hooks
/// that get none.
const NOTE_TIMEOUT: Duration = Duration::from_secs(2);

/// Issue keys in a line of the log: those of nearly every delivery.
const MAX_LOGGED_KEYS: usize = 20;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where events go.
    pub events_queue_url: String,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        Some(Self {
            table_name: variables.required("TABLE_NAME"),
            kms_key_id: variables.required("KMS_KEY_ID"),
            events_queue_url: variables.required("EVENTS_QUEUE_URL"),
        })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Webhook {
    store: Store,
    authenticator: HookAuthenticator,
    queue: SharedQueue,
    clock: SharedClock,
    coverage: Cache<(SubscriptionId, u64), Option<Coverage>>,
    notes: Notes,
    last_events: LastEvents,
    unverified: UnverifiedLimit,
    bodies: Arc<Semaphore>,
}

impl Webhook {
    /// A function that puts events on `queue`.
    #[must_use]
    pub fn new(
        store: Store,
        authenticator: HookAuthenticator,
        queue: SharedQueue,
        clock: SharedClock,
    ) -> Self {
        let coverage = Cache::builder().max_capacity(MAX_PROJECTS).time_to_live(COVERAGE_CACHE_TTL).build();
        let notes = Notes::new(store.clone(), Arc::clone(&clock));
        let last_events = LastEvents::new(store.clone());
        let (unverified, bodies) = (UnverifiedLimit::default(), Arc::new(Semaphore::new(MAX_BODIES)));
        Self { store, authenticator, queue, clock, coverage, notes, last_events, unverified, bodies }
    }
}

/// The function as `services` and its configuration make it.
pub fn build(services: &Services, config: &Config) -> Router {
    let store = services.store(&config.table_name);
    let authenticator = HookAuthenticator::new(store.clone(), services.envelope(&config.kms_key_id));
    let queue = services.events_queue(&config.events_queue_url, None);
    router(Webhook::new(store, authenticator, queue, services.clock()))
}

/// Answers [`WEBHOOK`].
pub fn router(state: Webhook) -> Router {
    Router::new()
        .route(WEBHOOK.path, post(webhook))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(state))
}

/// What became of a delivery, for GitLab's list of recent events.
type Answer = (StatusCode, &'static str);

const ACCEPTED: Answer = (StatusCode::OK, "Accepted.");
const OUTSIDE: Answer = (StatusCode::OK, "The project is outside the linked group.");
const NO_KEYS: Answer = (StatusCode::OK, "No issue keys.");
const IGNORED: Answer = (StatusCode::OK, "Nothing to do for this kind of event.");
const INCOMPLETE: Answer = (StatusCode::OK, "The event does not say what it is about.");
// Not an error either: GitLab disables hooks that are answered 4xx, and this one has proved to be ours.
const OTHER_PROJECT: Answer = (StatusCode::OK, "This hook speaks for another project.");
const NOT_UNDERSTOOD: Answer = (StatusCode::OK, "The body is not a GitLab event.");
const TOKEN_MISSING: Answer = (StatusCode::OK, "The link has no token to read this with.");

fn answer_to_gitlab(answer: IgnoreReason) -> Answer {
    match answer {
        IgnoreReason::NoIssueKeys => NO_KEYS,
        IgnoreReason::Outside => OUTSIDE,
        IgnoreReason::NotUnderstood => INCOMPLETE,
        IgnoreReason::OtherProject => OTHER_PROJECT,
        IgnoreReason::TokenMissing => TOKEN_MISSING,
        // Known only when it is read.
        IgnoreReason::NotRead
        | IgnoreReason::CommitsLeftOut
        | IgnoreReason::MergeRequestsLeftOut
        | IgnoreReason::DeploymentsLeftOut => ACCEPTED,
    }
}

async fn webhook(
    State(state): State<Arc<Webhook>>,
    hook: GitlabHook,
    request: Request,
) -> Result<Answer, Error> {
    let arrived_at = state.clock.now();
    let answer = match state.authenticator.hook(hook.subscription, hook.project).await {
        Ok(open) => {
            let body = state.read(request).await?;
            let verified = state.authenticator.verify(&open, &hook.credentials(&body), arrived_at).await;
            verified.map_err(|reason| {
                let sentence = "The secret token or signature is not the one of this hook.";
                Error::new(StatusCode::UNAUTHORIZED, sentence).because(reason)
            })?;
            // Beside the queue, so that GitLab waits no longer for it.
            let noted = state.last_events.note(hook.subscription, arrived_at);
            let (taken, ()) = tokio::join!(state.take_in(&hook, &body, &open, arrived_at), noted);
            taken?
        }
        Err(AuthError::Unknown) => return Err(unknown_hook()),
        Err(error) => {
            state.unverified.admit(hook.subscription).await?;
            tracing::warn!(%error, "queueing a delivery unverified");
            let body = state.read(request).await?;
            state.take_in_unverified(&hook, &body, arrived_at).await?
        }
    };
    tracing::info!(subscription.id = %hook.subscription, outcome = answer.1, "webhook");
    Ok(answer)
}

impl Webhook {
    async fn read(&self, request: Request) -> Result<Bytes, Error> {
        let place = tokio::time::timeout(BODY_TIMEOUT, self.bodies.acquire()).await;
        let _place = place.map_err(|error| Error::unavailable(error).retry_after(BODY_TIMEOUT))?;
        Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Error::new(rejection.status(), "The body is larger than 6 MB; the event is skipped.")
            }
            status => Error::new(status, "The body can't be read.").because(rejection),
        })
    }

    async fn take_in(
        &self,
        hook: &GitlabHook,
        body: &[u8],
        open: &OpenHook,
        arrived_at: Timestamp,
    ) -> Result<Answer, Error> {
        let delivery = match parse(body) {
            Ok(delivery) => delivery,
            Err(HookError::Ignored(_)) => return Ok(IGNORED),
            Err(error @ HookError::Incomplete { .. }) => {
                self.note_not_understood(hook, arrived_at, error.to_string()).await;
                return Ok(INCOMPLETE);
            }
            // GitLab disables hooks that are answered 4xx, and this one has proved to be ours.
            Err(HookError::Malformed(error)) => {
                // The error's own text repeats what the body says.
                let (line, column) = (error.line(), error.column());
                let label = format!("{:?} error in line {line}, column {column}", error.classify());
                self.note_not_understood(hook, arrived_at, label).await;
                return Ok(NOT_UNDERSTOOD);
            }
        };
        if open.hook.project_id.is_some_and(|project| project != delivery.project.id) {
            let (label, keys) = (delivery.event.label(&delivery.project), delivery.event.named_keys());
            self.note_ignored(hook, arrived_at, IgnoreReason::OtherProject, label, &keys).await;
            return Ok(OTHER_PROJECT);
        }
        let has_token = open.subscription.credential.is_some();
        if let Some(missing) = delivery.missing.clone().filter(|_| !has_token) {
            self.note_not_understood(hook, arrived_at, missing).await;
            return Ok(INCOMPLETE);
        }
        let keys = delivery.event.named_keys();
        let coverage = self.coverage(hook.subscription, &delivery.project).await;
        let nothing = (coverage == Some(Coverage::Outside))
            .then_some(IgnoreReason::Outside)
            .or_else(|| interest::leads_to_nothing(&delivery, &keys, has_token));
        let label = |delivery: &ParsedHook| delivery.event.label(&delivery.project);
        if let Some(answer) = nothing {
            self.note_ignored(hook, arrived_at, answer, label(&delivery), &keys).await;
            return Ok(answer_to_gitlab(answer));
        }
        let left_out = interest::leaves_out(&delivery.event, has_token).map(|it| (it, label(&delivery)));
        let received_at = self.received_at(hook, open, arrived_at).await;
        let messages = EventMessage::split(hook.subscription, received_at, hook.delivery_id(), delivery);
        if let Err(error) = self.queue.send(self.outgoing(&messages)?).await {
            self.mark_missed(hook.subscription, arrived_at).await;
            return Err(Error::unavailable(error));
        }
        note_accepted(hook, &messages, &keys);
        if let Some((answer, label)) = left_out {
            self.note_ignored(hook, arrived_at, answer, label, &keys).await;
        }
        Ok(ACCEPTED)
    }

    /// Remembers and counts a delivery that is not understood.
    async fn note_not_understood(&self, hook: &GitlabHook, at: Timestamp, label: String) {
        self.note_ignored(hook, at, IgnoreReason::NotUnderstood, label, &IssueKeys::default()).await;
        let counted = self.store.mark_not_understood(hook.subscription, at);
        if !matches!(tokio::time::timeout(NOTE_TIMEOUT, counted).await, Ok(Ok(()))) {
            tracing::warn!(subscription.id = %hook.subscription, "a delivery that is not understood is not counted");
        }
    }

    /// Remembers an ignored delivery, for `explain`.
    async fn note_ignored(
        &self,
        hook: &GitlabHook,
        at: Timestamp,
        answer: IgnoreReason,
        label: String,
        keys: &IssueKeys,
    ) {
        let issue_keys = keys.as_slice().iter().take(MAX_LOGGED_KEYS).cloned().collect();
        let delivery = hook.delivery_id().map(str::to_owned);
        let ignored = IgnoredDelivery { at, delivery, label, issue_keys, answer };
        self.notes.take(hook.subscription, ignored).await;
    }

    /// When the delivery first came in. Where GitLab is read, the time of the read counts instead.
    async fn received_at(&self, hook: &GitlabHook, open: &OpenHook, arrived_at: Timestamp) -> Timestamp {
        let Some(id) = hook.delivery_id().filter(|_| open.subscription.credential.is_none()) else {
            return arrived_at;
        };
        let first = self.store.first_received(hook.subscription, id, arrived_at);
        tokio::time::timeout(NOTE_TIMEOUT, first).await.ok().and_then(Result::ok).unwrap_or_else(|| {
            tracing::warn!(subscription.id = %hook.subscription, "when a delivery first came in is not known");
            arrived_at
        })
    }

    async fn take_in_unverified(
        &self,
        hook: &GitlabHook,
        body: &[u8],
        arrived_at: Timestamp,
    ) -> Result<Answer, Error> {
        let unverified = hook.credentials(body).to_unverified();
        let unverified = unverified.ok_or_else(|| Error::unavailable("the body is not UTF-8"))?;
        let body = EventMessage {
            subscription: hook.subscription,
            received_at: arrived_at,
            delivery: hook.delivery_id().map(|id| format!("{id}/0")),
            payload: Payload::Unverified(unverified),
        };
        let messages = [Message::new(hook.subscription.to_string(), arrived_at, body)];
        let outgoing = self.outgoing(&messages)?;
        // As JSON a body may take six times its size.
        if outgoing.iter().any(|message| message.body.len() > MAX_UNVERIFIED) {
            return Err(Error::unavailable("too large to be taken in unverified"));
        }
        self.queue.send(outgoing).await.map_err(Error::unavailable)?;
        note_accepted(hook, &messages, &IssueKeys::default());
        Ok(ACCEPTED)
    }

    fn outgoing(&self, messages: &[Message<EventMessage>]) -> Result<Vec<Outgoing>, Error> {
        let now = self.clock.now();
        let outgoing: Result<_, _> = messages.iter().map(|message| message.outgoing(now)).collect();
        outgoing.map_err(|error| Error::status(StatusCode::INTERNAL_SERVER_ERROR).because(error))
    }

    /// Counts a delivery that is lost, since GitLab does not send it again by itself. What makes the queue unavailable
    /// may affect the table, too; then only the log says so.
    async fn mark_missed(&self, subscription: SubscriptionId, arrived_at: Timestamp) {
        let marked = self.store.mark_missed(subscription, arrived_at);
        let error: Box<dyn std::error::Error> = match tokio::time::timeout(NOTE_TIMEOUT, marked).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        };
        tracing::error!(subscription.id = %subscription, %error, "a lost delivery could not be counted");
    }

    /// What is known of a project; what can't be read now counts as not known.
    async fn coverage(&self, subscription: SubscriptionId, project: &Project) -> Option<Coverage> {
        let read = self.store.coverage(subscription, project.id);
        let cached: Result<_, Arc<StoreError>> =
            self.coverage.try_get_with((subscription, project.id), read).await;
        cached.ok().flatten()
    }
}

/// Notes under which trace id a delivery goes on, beside what GitLab's page of the hook and an issue call it.
fn note_accepted(hook: &GitlabHook, messages: &[Message<EventMessage>], keys: &IssueKeys) {
    tracing::info!(
        trace.id = messages.first().map(|message| tracing::field::display(message.id)),
        subscription.id = %hook.subscription,
        delivery = hook.delivery_id(),
        issue.keys = keys.as_slice().iter().take(MAX_LOGGED_KEYS).cloned().collect::<Vec<_>>().join(" "),
        messages = messages.len(),
        "accepted a delivery"
    );
}
