//! Does steps of what takes longer than a request: hooks of a link's projects, and its history. How far a plan has come is
//! stored with the link, so a message that is delivered twice, or is left over, does no harm; what a step does belongs to
//! `shared::linking::steps` and `shared::history`.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use shared::clock::SharedClock;
use shared::config::{JiraAccess, Outbound, Variables, pace_limits};
use shared::domain::{HistorySlot, SubscriptionId};
use shared::envelope::EnvelopeError;
use shared::history::{History, PaceLimits};
use shared::linking::LinkError;
use shared::linking::hooks::LinkHooks;
use shared::linking::steps::StepEnd;
use shared::outbound::OutboundClientError;
use shared::queue::disposition::{Disposition, Message, dead_letter_unreadable, settle};
use shared::queue::worker::{Batch, Deadline};
use shared::queue::{Received, SharedQueue};
use shared::services::Services;
use shared::store::StoreError;
use shared::sync::read::{GitlabAccess, GitlabCache, ReplacedCommits};
use shared::sync::site_access::SiteAccess;
use shared::sync::step::{LinkStep, enqueue};
use ulid::Ulid;

/// How long a step waits when our own table or keys are unavailable.
const STORE_BACKOFF: Duration = Duration::from_secs(60);

/// How long a step waits at most for somebody else who is at work on the link, and who may finish before the lease ends.
const BUSY_BACKOFF: Duration = Duration::from_secs(3);

/// Steps of a batch that are done at the same time. Few, so that some are done early, also where the process does not live
/// long, and memory does not grow with the batch; enough to hide latency, as each reads several objects at once.
const STEPS_AT_ONCE: usize = 4;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How Jira is called.
    pub jira: JiraAccess,
    /// How GitLab may be called.
    pub outbound: Outbound,
    /// How often.
    pub limits: PaceLimits,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where hooks deliver to.
    pub webhook_url: String,
    /// Where steps come from, and go to.
    pub backfill_queue_url: String,
    /// Where steps go that are not tried again.
    pub backfill_dead_letter_queue_url: String,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let jira = JiraAccess::read(variables);
        let outbound = Outbound::read(variables);
        let limits = pace_limits(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let webhook_url = variables.required("WEBHOOK_URL");
        let backfill_queue_url = variables.required("BACKFILL_QUEUE_URL");
        let backfill_dead_letter_queue_url = variables.required("BACKFILL_DEAD_LETTER_QUEUE_URL");
        Some(Self {
            jira: jira?,
            outbound: outbound?,
            limits: limits?,
            table_name,
            kms_key_id,
            webhook_url,
            backfill_queue_url,
            backfill_dead_letter_queue_url,
        })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Backfill {
    /// Makes and repairs hooks.
    pub hooks: LinkHooks,
    /// Brings history to Jira.
    pub history: History,
    /// The queue of steps.
    pub queue: SharedQueue,
    /// Tells the time.
    pub clock: SharedClock,
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Backfill, OutboundClientError> {
    let dead_letters = Some(config.backfill_dead_letter_queue_url.as_str());
    let queue = services.backfill_queue(&config.backfill_queue_url, dead_letters);
    let (store, envelope) = (services.store(&config.table_name), services.envelope(&config.kms_key_id));
    let (http, guard, clock) =
        (services.gitlab_http(&config.outbound)?, config.outbound.guard.clone(), services.clock());
    let connections = services.connections(&config.jira, &guard, &http, envelope.clone());
    let sites = SiteAccess { store: store.clone(), connections, clock: clock.clone() };
    let gitlab = GitlabAccess {
        store: store.clone(),
        envelope: envelope.clone(),
        clock: clock.clone(),
        http: http.clone(),
        guard: guard.clone(),
        cache: GitlabCache::default(),
        // History lists what is on branches, so it never meets them.
        replaced_commits: ReplacedCommits::Keep,
    };
    let history = History {
        store: store.clone(),
        sites,
        gitlab,
        queue: queue.clone(),
        limits: config.limits,
        clock: clock.clone(),
    };
    let webhook_base_url = config.webhook_url.trim_end_matches('/').to_owned();
    let hooks = LinkHooks { store, envelope, gitlab: http, guard, clock: clock.clone(), webhook_base_url };
    Ok(Backfill { hooks, history, queue, clock })
}

impl Backfill {
    /// Does the steps of a batch, and acknowledges each when it is done; the others are received again.
    pub async fn handle(&self, batch: Batch) {
        let steps: Vec<_> =
            batch.messages.iter().map(|received| self.handle_one(received.clone(), &batch)).collect();
        let mut steps = stream::iter(steps).buffer_unordered(STEPS_AT_ONCE);
        while steps.next().await.is_some() {}
    }

    // Boxed, so that the compiler sees that it is `Send`.
    fn handle_one<'a>(&'a self, received: Received, batch: &'a Batch) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let message = match Message::<LinkStep>::read(&received) {
                Ok(message) => message,
                Err(reason) => {
                    let dead = dead_letter_unreadable(self.queue.as_ref(), received, reason).await;
                    return batch.acknowledge(dead.into_iter().collect());
                }
            };
            let disposition = match message.waits(self.clock.now()) {
                Some(until) => Disposition::Wait { until, reason: "It is not due yet.".to_owned() },
                None => self.step(&message, batch.deadline).await,
            };
            let decided = vec![(received, message, disposition)];
            batch.acknowledge(settle(self.queue.as_ref(), self.clock.as_ref(), decided).await);
        })
    }

    async fn step(&self, message: &Message<LinkStep>, deadline: Deadline) -> Disposition {
        let step = &message.body;
        let done = match step {
            LinkStep::Hooks { subscription, plan } => {
                return self.hooks_step(step, *subscription, *plan, deadline).await;
            }
            LinkStep::HistoryProjects { subscription, kind, plan } => {
                let slot = HistorySlot { link: *subscription, kind: *kind };
                self.history.list_projects(slot, *plan, deadline).await
            }
            LinkStep::HistoryOfProject { subscription, kind, plan, project } => {
                let slot = HistorySlot { link: *subscription, kind: *kind };
                let held_for = message.held_for(self.clock.now());
                self.history.project(slot, *plan, *project, held_for, deadline).await
            }
        };
        done.unwrap_or_else(|error| match error {
            StoreError::Unavailable(_) => {
                Disposition::Wait { until: self.clock.now().after(STORE_BACKOFF), reason: error.to_string() }
            }
            StoreError::Conflict | StoreError::Corrupt(_) => Disposition::Retry { reason: error.to_string() },
        })
    }

    async fn hooks_step(
        &self,
        step: &LinkStep,
        link: SubscriptionId,
        plan: Ulid,
        deadline: Deadline,
    ) -> Disposition {
        let now = self.clock.now();
        match self.hooks.step(link, plan, deadline).await {
            Ok(StepEnd::Next) => match enqueue(&self.queue, self.clock.now(), [step.clone()]).await {
                Ok(()) => Disposition::Done,
                // The step that is done is found done.
                Err(error) => Disposition::Retry { reason: error.to_string() },
            },
            Ok(StepEnd::Ended) => Disposition::Done,
            Ok(StepEnd::Superseded) => Disposition::Drop {
                reason: "The plan has ended, or the group is no longer linked.".to_owned(),
            },
            Ok(StepEnd::Wait(until)) => {
                Disposition::Wait { until, reason: "GitLab does not answer, or asks for a pause.".to_owned() }
            }
            Ok(StepEnd::Busy(until)) => Disposition::Wait {
                until: until.min(now.after(BUSY_BACKOFF)),
                reason: "Somebody else is at work on the link.".to_owned(),
            },
            Err(LinkError::UnlinkedMeanwhile) => {
                Disposition::Drop { reason: "The group is no longer linked.".to_owned() }
            }
            Err(
                error @ (LinkError::Store(StoreError::Unavailable(_))
                | LinkError::Secret(EnvelopeError::Unavailable(_))),
            ) => Disposition::Wait { until: now.after(STORE_BACKOFF), reason: error.to_string() },
            Err(error) => Disposition::Retry { reason: error.to_string() },
        }
    }
}
