//! The reads that a batch's events are worth: one per object, whatever the number of its events; and what is sent when
//! GitLab can't be read.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::gitlab::hooks::HookEvent;
use shared::queue::disposition::Disposition;
use shared::sync::apply::{Origin, PendingEntity};
use shared::sync::read::{Object, ProjectReader, ReadError, hook};
use shared::sync::transform::Source;

use crate::admit::AdmittedEvent;

/// Objects read at the same time: enough to hide latency, few enough for GitLab's rate limits.
const CONCURRENCY: usize = 8;

/// What events are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ObjectId {
    Branch(String),
    MergeRequest(u64),
    Pipeline(u64),
    Deployment(u64),
    FeatureFlag(u64),
}

impl ObjectId {
    fn of(event: &HookEvent) -> Self {
        match event {
            HookEvent::Push(push) => Self::Branch(push.branch.clone()),
            HookEvent::BranchDeleted { branch, .. } => Self::Branch(branch.clone()),
            HookEvent::MergeRequest { merge_request, .. } => Self::MergeRequest(merge_request.iid),
            HookEvent::Pipeline(pipeline) => Self::Pipeline(pipeline.id),
            HookEvent::Deployment(deployment) => Self::Deployment(deployment.id),
            HookEvent::FeatureFlag(flag) => Self::FeatureFlag(flag.id),
        }
    }
}

/// All events of a batch about one object of one project.
#[derive(Debug)]
pub(crate) struct ReadTask<'a> {
    source: &'a Source,
    reader: Option<ProjectReader<'a>>,
    /// In the order in which they came in.
    events: Vec<&'a AdmittedEvent>,
}

/// What a task led to: versions of entities, or what becomes of its messages instead.
pub(crate) enum ReadResult {
    Entities(Vec<PendingEntity>),
    Instead(Vec<(usize, Disposition)>),
}

/// Tasks for the events of one project, one per object. `reader` is none where the link has no token.
pub(crate) fn tasks<'a>(
    source: &'a Source,
    reader: Option<ProjectReader<'a>>,
    events: &[&'a AdmittedEvent],
) -> Vec<ReadTask<'a>> {
    let mut objects: BTreeMap<ObjectId, Vec<&'a AdmittedEvent>> = BTreeMap::new();
    for event in events {
        objects.entry(ObjectId::of(&event.event)).or_default().push(event);
    }
    objects
        .into_values()
        .map(|mut events| {
            events.sort_by_key(|event| event.received_at);
            ReadTask { source, reader, events }
        })
        .collect()
}

/// Runs tasks side by side.
pub(crate) async fn run(tasks: Vec<ReadTask<'_>>) -> Vec<ReadResult> {
    stream::iter(tasks).map(run_one).buffer_unordered(CONCURRENCY).collect().await
}

// Boxed under a name: the compiler can't see that a closure's future over borrowed tasks is `Send`.
fn run_one(task: ReadTask<'_>) -> BoxFuture<'_, ReadResult> {
    async move { task.run().await }.boxed()
}

impl ReadTask<'_> {
    async fn run(&self) -> ReadResult {
        match self.entities().await {
            Ok(mut entities) => {
                let origins: Vec<Origin> = self
                    .events
                    .iter()
                    .map(|event| Origin { index: event.index, trace: event.trace })
                    .collect();
                for entity in &mut entities {
                    entity.origins.clone_from(&origins);
                }
                ReadResult::Entities(entities)
            }
            Err(disposition) => ReadResult::Instead(
                self.events.iter().map(|event| (event.index, disposition.clone())).collect(),
            ),
        }
    }

    async fn entities(&self) -> Result<Vec<PendingEntity>, Disposition> {
        let (Some(reader), Some(object)) = (&self.reader, self.object()) else {
            return Ok(self.hooks_alone());
        };
        match reader.read(&object).await {
            Ok(entities) => Ok(entities),
            // A deployment's hook does not even say its number: without a read there is nothing to send.
            Err(ReadError::HookOnly) if self.is_deployment() => Err(Disposition::Fail {
                reason: "A deployment needs a token that GitLab accepts.".to_owned(),
            }),
            Err(ReadError::HookOnly) => Ok(self.hooks_alone()),
            Err(ReadError::Decided(Disposition::Retry { .. }))
                if self.is_last_attempt() && !self.is_deployment() =>
            {
                Ok(self.hooks_alone())
            }
            Err(ReadError::Decided(disposition)) => Err(disposition),
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

    fn branch<'a>(&'a self, name: &'a str) -> Object<'a> {
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

    fn is_deployment(&self) -> bool {
        self.events.iter().any(|event| matches!(event.event, HookEvent::Deployment(_)))
    }

    fn is_last_attempt(&self) -> bool {
        self.events.iter().any(|event| event.is_last_attempt)
    }

    /// What the hooks say by themselves; of several versions of an entity the newest is chosen later.
    fn hooks_alone(&self) -> Vec<PendingEntity> {
        self.events
            .iter()
            .flat_map(|event| hook::entities(self.source, &event.event, event.received_at))
            .collect()
    }
}
