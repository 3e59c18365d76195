//! The reads that a batch's events are worth: one per object, whatever the number of its events; and what is sent when
//! GitLab can't be read.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::clock::Timestamp;
use shared::domain::HoldReason;
use shared::gitlab::hooks::HookEvent;
use shared::queue::disposition::Disposition;
use shared::queue::worker::Deadline;
use shared::sync::apply::{Origin, PendingEntity};
use shared::sync::read::{Object, ProjectBatch, ProjectReader, ReadError, hook};
use shared::sync::transform::Source;

use crate::admit::AdmittedEvent;

/// Objects read at the same time: enough to hide latency, few enough for GitLab's rate limits.
pub(crate) const CONCURRENCY: usize = 8;

/// How long what GitLab can't tell is waited for, where the hook says enough to be of use by itself. Outages seldom last
/// longer.
const HOOK_ONLY_AFTER: Duration = Duration::from_secs(3600);

/// How long an object waits while GitLab fails to read it: first, and at most. In between as long as it has waited already.
const FAILED_FIRST: Duration = Duration::from_secs(5);
const FAILED_AT_MOST: Duration = Duration::from_secs(900);

/// Reserved before the deadline for what follows reading: Jira's answer to a first call, and a second one.
const APPLYING_TIME: Duration = Duration::from_secs(65);

/// What events are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ObjectId {
    Branch(String),
    MergeRequest(u64),
    Pipeline(u64),
    Deployment(u64),
    FeatureFlag(String),
}

impl ObjectId {
    fn of(event: &HookEvent) -> Self {
        match event {
            HookEvent::Push(push) => Self::Branch(push.branch.clone()),
            HookEvent::BranchDeleted { branch, .. } => Self::Branch(branch.clone()),
            HookEvent::MergeRequest { merge_request, .. } => Self::MergeRequest(merge_request.iid),
            HookEvent::Pipeline(pipeline) => Self::Pipeline(pipeline.id),
            HookEvent::Deployment(deployment) => Self::Deployment(deployment.id),
            HookEvent::FeatureFlag(flag) => Self::FeatureFlag(flag.name.clone()),
        }
    }
}

/// All events of a batch about one object of one project.
#[derive(Debug)]
pub(crate) struct ReadTask<'a> {
    source: &'a Source,
    reader: Option<ProjectReader<'a>>,
    now: Timestamp,
    /// In the order in which they came in.
    events: Vec<&'a AdmittedEvent>,
}

/// What a task led to: versions of entities, or what becomes of its messages instead.
pub(crate) enum ReadResult<'a> {
    Entities(ReadEntities<'a>),
    Instead(Vec<(usize, Disposition)>),
}

/// Versions of entities, and the events that led to them.
pub(crate) struct ReadEntities<'a> {
    pub(crate) entities: Vec<PendingEntity>,
    pub(crate) events: Vec<&'a AdmittedEvent>,
    /// Whether GitLab was not read, and could tell more.
    pub(crate) is_unread: bool,
}

impl<'a> ReadEntities<'a> {
    /// The events, where no entity has keys.
    pub(crate) fn keyless(&self) -> impl Iterator<Item = &'a AdmittedEvent> {
        let is_keyless = self.entities.iter().all(|it| it.entity.associations.is_empty());
        self.events.iter().copied().filter(move |_| is_keyless)
    }
}

/// What is known of a task's object.
struct Known {
    entities: Vec<PendingEntity>,
    /// Whether GitLab was not read, and could tell more.
    is_unread: bool,
}

/// Tasks for the events of one project, one per object. `reader` is none where the link has no token.
pub(crate) fn tasks<'a>(
    source: &'a Source,
    reader: Option<ProjectReader<'a>>,
    events: &[&'a AdmittedEvent],
    now: Timestamp,
) -> Vec<ReadTask<'a>> {
    let mut objects: BTreeMap<ObjectId, Vec<&'a AdmittedEvent>> = BTreeMap::new();
    for event in events {
        objects.entry(ObjectId::of(&event.event)).or_default().push(event);
    }
    objects
        .into_values()
        .map(|mut events| {
            events.sort_by_key(|event| event.received_at);
            ReadTask { source, reader, now, events }
        })
        .collect()
}

/// What happens when an object could not be read.
pub(crate) enum Instead {
    /// What the hooks say is sent.
    HookOnly,
    /// What becomes of its messages.
    Decided(Disposition),
}

/// What happens when an object could not be read `now` whose events have been held for so long.
pub(crate) fn instead_of_read(error: ReadError, held_for: Duration, now: Timestamp) -> Instead {
    let is_late = held_for > HOOK_ONLY_AFTER;
    let wait = |until, reason| Instead::Decided(Disposition::Wait { until, reason });
    match error {
        ReadError::HookOnly => Instead::HookOnly,
        ReadError::Unavailable { .. } | ReadError::Failed { .. } if is_late => Instead::HookOnly,
        ReadError::Gone => {
            Instead::Decided(Disposition::Drop { reason: "GitLab does not have it any more.".to_owned() })
        }
        ReadError::TokenReplaced { until } => wait(until, HoldReason::LinkChanging.to_string()),
        ReadError::RateLimited { until } => wait(until, HoldReason::GitlabRateLimited.to_string()),
        ReadError::Unavailable { until } => wait(until, HoldReason::GitlabUnavailable.to_string()),
        ReadError::Failed { reason, .. } => {
            wait(now.after(held_for.clamp(FAILED_FIRST, FAILED_AT_MOST)), reason)
        }
    }
}

/// What the tasks of each project need, read together as far as there is time; in their order.
pub(crate) async fn read_together<'a>(
    projects: impl Iterator<Item = Vec<ReadTask<'a>>>,
    deadline: Deadline,
) -> Vec<ProjectBatch> {
    let batches: Vec<_> = projects.map(|tasks| read_project(tasks, deadline)).collect();
    stream::iter(batches).buffered(CONCURRENCY).collect().await
}

// Boxed, so that the compiler sees that it is `Send`.
fn read_project(tasks: Vec<ReadTask<'_>>, deadline: Deadline) -> BoxFuture<'_, ProjectBatch> {
    async move {
        let objects: Vec<_> = tasks.iter().filter_map(ReadTask::object).collect();
        let Some(reader) = tasks.iter().find_map(|task| task.reader) else { return ProjectBatch::default() };
        // The tasks themselves say what becomes of their messages when there is no time.
        let read = tokio::time::timeout(time_to_read(deadline), reader.read_together(&objects)).await;
        read.unwrap_or_default()
    }
    .boxed()
}

/// The time until which GitLab is read.
pub(crate) fn time_to_read(deadline: Deadline) -> Duration {
    deadline.left().saturating_sub(APPLYING_TIME)
}

/// What becomes of messages that there was no time to read for.
pub(crate) fn out_of_time(now: Timestamp) -> Disposition {
    Disposition::Wait { until: now, reason: HoldReason::OutOfTime.to_string() }
}

/// Runs tasks side by side, as far as there is time.
pub(crate) async fn run(tasks: Vec<ReadTask<'_>>, deadline: Deadline) -> Vec<ReadResult<'_>> {
    let tasks: Vec<_> = tasks.into_iter().map(|task| run_one(task, deadline)).collect();
    stream::iter(tasks).buffer_unordered(CONCURRENCY).collect().await
}

// Boxed, so that the compiler sees that it is `Send`.
fn run_one(task: ReadTask<'_>, deadline: Deadline) -> BoxFuture<'_, ReadResult<'_>> {
    async move {
        match tokio::time::timeout(time_to_read(deadline), task.entities()).await {
            Ok(read) => task.result(read),
            Err(_) => task.result(Err(out_of_time(task.now))),
        }
    }
    .boxed()
}

impl<'a> ReadTask<'a> {
    fn result(&self, read: Result<Known, Disposition>) -> ReadResult<'a> {
        match read {
            Ok(Known { mut entities, is_unread }) => {
                let origins: Vec<Origin> = self
                    .events
                    .iter()
                    .map(|event| Origin { index: event.index, trace: event.trace, held_for: event.held_for })
                    .collect();
                for entity in &mut entities {
                    entity.origins.clone_from(&origins);
                }
                ReadResult::Entities(ReadEntities { entities, events: self.events.clone(), is_unread })
            }
            Err(disposition) => ReadResult::Instead(
                self.events.iter().map(|event| (event.index, disposition.clone())).collect(),
            ),
        }
    }

    async fn entities(&self) -> Result<Known, Disposition> {
        let (Some(reader), Some(object)) = (&self.reader, self.object()) else {
            return Ok(self.hooks_alone());
        };
        let error = match reader.read(&object).await {
            Ok(entities) => return Ok(Known { entities, is_unread: false }),
            Err(error) => error,
        };
        let too_little = self.says_too_little();
        let held_for = match self.held_for() {
            held_for if too_little.is_some() && may_pass(&error) => held_for.min(HOOK_ONLY_AFTER),
            held_for => held_for,
        };
        match (instead_of_read(error, held_for, self.now), too_little) {
            (Instead::HookOnly, Some(reason)) => Err(Disposition::Fail { reason }),
            (Instead::HookOnly, None) => Ok(self.hooks_alone()),
            (Instead::Decided(disposition), _) => Err(disposition),
        }
    }

    /// What the newest event is about, with what the others add.
    fn object(&self) -> Option<Object<'_>> {
        Some(match &self.events.last()?.event {
            HookEvent::Push(push) => self.branch(&push.branch),
            HookEvent::BranchDeleted { branch, .. } => self.branch(branch),
            HookEvent::MergeRequest { merge_request, .. } => Object::MergeRequest(merge_request),
            HookEvent::Pipeline(pipeline) => Object::Pipeline(pipeline),
            HookEvent::Deployment(deployment) => Object::Deployment(deployment),
            HookEvent::FeatureFlag(flag) => Object::FeatureFlag(flag),
        })
    }

    fn branch<'b>(&'b self, name: &'b str) -> Object<'b> {
        let pushes = self.events.iter().filter_map(|event| match &event.event {
            HookEvent::Push(push) => Some(push),
            _ => None,
        });
        let deleted_head = self.events.iter().rev().find_map(|event| match &event.event {
            HookEvent::BranchDeleted { before, .. } => Some(before.as_str()),
            _ => None,
        });
        Object::Branch { name, pushes: pushes.collect(), deleted_head }
    }

    /// Why the hooks are of no use by themselves, if so. A deployment's does not even say its number.
    fn says_too_little(&self) -> Option<String> {
        let reasons = self.events.iter().map(|event| match (&event.event, &event.missing) {
            (HookEvent::Deployment(_), _) => {
                Some("A deployment needs a token with which GitLab lets it be read.".to_owned())
            }
            (_, Some(missing)) => Some(format!("GitLab does not let it be read, and {missing}.")),
            _ => None,
        });
        reasons.collect::<Option<Vec<_>>>()?.pop()
    }

    fn held_for(&self) -> Duration {
        self.events.iter().map(|event| event.held_for).max().unwrap_or_default()
    }

    /// What the hooks say by themselves; of several versions of an entity the newest is chosen later.
    fn hooks_alone(&self) -> Known {
        let of_hook = |event: &&'a AdmittedEvent| {
            hook::entities(self.source, &event.event, event.delivery.as_deref(), event.received_at)
        };
        let entities = self.events.iter().filter(|event| event.missing.is_none()).flat_map(of_hook);
        // What could be read at other times may have keys that the hook does not know of.
        let may_have_keys = |pending: &PendingEntity| {
            self.reader.is_some() && pending.entity.associations.is_empty() && !pending.is_deletion()
        };
        let leaves_out = |event: &&AdmittedEvent| match &event.event {
            HookEvent::Push(push) => !push.carries_all(),
            _ => false,
        };
        let is_unread = self.reader.is_some() || self.events.iter().any(leaves_out);
        Known { entities: entities.filter(|pending| !may_have_keys(pending)).collect(), is_unread }
    }
}

/// Whether an object may be read later by all that is known.
fn may_pass(error: &ReadError) -> bool {
    !matches!(error, ReadError::Failed { may_pass: false, .. })
}
