//! Receives GitLab's deliveries: authenticates them, cuts them down to what Jira needs, and puts them on the events queue.
//! Calls neither GitLab nor Jira, so that it answers in milliseconds: GitLab disables hooks that fail, and never resends by
//! itself.

mod delivery;
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
use shared::gitlab::hooks::{HookError, HookEvent, parse};
use shared::gitlab::model::Project;
use shared::http::Error;
use shared::queue::disposition::Message;
use shared::queue::{MAX_BYTES, Outgoing, SharedQueue};
use shared::services::Services;
use shared::store::coverage::Coverage;
use shared::store::{Store, StoreError};
use shared::sync::auth::{AuthError, HookAuthenticator, OpenHook};
use shared::sync::message::{EventMessage, Payload};
use tokio::sync::Semaphore;

use crate::delivery::{GitlabHook, unknown_hook};
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

/// How long it is remembered which projects lie inside a link.
const COVERAGE_CACHE_TTL: Duration = Duration::from_secs(60);

/// How many projects that is remembered of.
const MAX_PROJECTS: u64 = 10_000;

/// How long repeats are noticed here: those that follow a time-out of GitLab's come within it.
const RECENT_CACHE_TTL: Duration = Duration::from_secs(600);

/// How many deliveries that is known of, at some hundred bytes each.
const MAX_RECENT: u64 = 50_000;

/// How long a lost delivery may take to be counted. GitLab waits ten seconds for an answer, and trying to reach the queue
/// has taken its share.
const MARK_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Deliveries that this process put on the queue. `sync` knows those of all processes.
    recent: Cache<(SubscriptionId, String), ()>,
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
        let recent = Cache::builder().max_capacity(MAX_RECENT).time_to_live(RECENT_CACHE_TTL).build();
        let (unverified, bodies) = (UnverifiedLimit::default(), Arc::new(Semaphore::new(MAX_BODIES)));
        Self { store, authenticator, queue, clock, coverage, recent, unverified, bodies }
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
const REPEATED: Answer = (StatusCode::OK, "Known already.");
const OUTSIDE: Answer = (StatusCode::OK, "The project is outside the linked group.");
const NO_KEYS: Answer = (StatusCode::OK, "No issue keys.");
const IGNORED: Answer = (StatusCode::OK, "Nothing to do for this kind of event.");
const INCOMPLETE: Answer = (StatusCode::OK, "The event does not say what it is about.");

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
            state.take_in(&hook, &body, &open, arrived_at).await?
        }
        Err(AuthError::Unknown) => return Err(unknown_hook()),
        Err(error) => {
            state.unverified.admit(hook.subscription).await?;
            tracing::warn!(%error, "taking a delivery in unverified");
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
        if let Some(key) = &hook.idempotency_key
            && self.recent.contains_key(&(hook.subscription, key.clone()))
        {
            return Ok(REPEATED);
        }
        let delivery = match parse(body) {
            Ok(delivery) => delivery,
            Err(HookError::Ignored(_)) => return Ok(IGNORED),
            Err(error @ HookError::Incomplete { .. }) => {
                tracing::info!(%error, "incomplete event");
                return Ok(INCOMPLETE);
            }
            Err(HookError::Malformed(error)) => {
                // The error's own text repeats what the body says.
                let place = format!(
                    "{:?} error in line {}, column {}",
                    error.classify(),
                    error.line(),
                    error.column()
                );
                return Err(
                    Error::new(StatusCode::BAD_REQUEST, "The body is not a GitLab event.").because(place)
                );
            }
        };
        if open.hook.project_id.is_some_and(|project| project != delivery.project.id) {
            return Err(Error::new(StatusCode::FORBIDDEN, "This hook speaks for another project."));
        }
        if self.coverage(hook.subscription, &delivery.project).await == Some(Coverage::Outside) {
            return Ok(OUTSIDE);
        }
        let keys = named_keys(&delivery.event);
        if !is_of_interest(&delivery.event, &keys, open.subscription.credential.is_some()) {
            return Ok(NO_KEYS);
        }
        let group = open.subscription.site.to_string();
        let (key, project) = (hook.idempotency_key.as_deref(), &delivery.project);
        let messages =
            EventMessage::split(hook.subscription, arrived_at, &group, key, project, delivery.event);
        if let Err(error) = self.queue.send(self.outgoing(&messages)?).await {
            self.mark_missed(hook.subscription, arrived_at).await;
            return Err(Error::unavailable(error));
        }
        note_accepted(hook, &messages, &keys);
        if let Some(key) = &hook.idempotency_key {
            self.recent.insert((hook.subscription, key.clone()), ()).await;
        }
        Ok(ACCEPTED)
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
            delivery: hook.idempotency_key.as_ref().map(|key| format!("{key}/0")),
            intake: Payload::Unverified(unverified),
        };
        // The site is not known now; the link stands in for it.
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

    /// Counts a delivery that is lost, since GitLab does not send it again by itself. What keeps the queue away may keep
    /// the table away, too; then only the log tells.
    async fn mark_missed(&self, subscription: SubscriptionId, arrived_at: Timestamp) {
        let marked = self.store.mark_missed(subscription, arrived_at);
        let error: Box<dyn std::error::Error> = match tokio::time::timeout(MARK_TIMEOUT, marked).await {
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
        delivery = hook.idempotency_key,
        issue.keys = keys.as_slice().iter().take(MAX_LOGGED_KEYS).cloned().collect::<Vec<_>>().join(" "),
        messages = messages.len(),
        "took a delivery in"
    );
}

/// The issues that an event names itself.
fn named_keys(event: &HookEvent) -> IssueKeys {
    let of_branch = |branch: &str| IssueKeys::extract([branch]);
    match event {
        HookEvent::Push(push) => {
            push.commits.iter().fold(of_branch(&push.branch), |keys, it| keys.union(&it.keys))
        }
        HookEvent::BranchDeleted { branch, .. } => of_branch(branch),
        HookEvent::MergeRequest { merge_request, removed_keys } => {
            merge_request.keys.clone().union(removed_keys)
        }
        HookEvent::FeatureFlag(flag) => flag.keys.clone(),
        HookEvent::Pipeline(_) | HookEvent::Deployment(_) => IssueKeys::default(),
    }
}

/// Whether an event can lead to anything. Pipelines and deployments get their keys from elsewhere; a push without keys may
/// be to the branch of a merge request that has some, which only the API tells.
fn is_of_interest(event: &HookEvent, named: &IssueKeys, has_token: bool) -> bool {
    match event {
        HookEvent::Push(_) => has_token || !named.is_empty(),
        HookEvent::MergeRequest { .. } | HookEvent::FeatureFlag(_) => !named.is_empty(),
        HookEvent::BranchDeleted { .. } | HookEvent::Pipeline(_) => true,
        HookEvent::Deployment(_) => has_token,
    }
}
