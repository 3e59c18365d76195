//! From events to entities: reads from GitLab what the hooks leave open, each object once per batch. A link without a
//! token, or with one that GitLab refuses, gives what its hooks say.

mod deployment;
mod feature_flag;
mod merge_request;
mod pipeline;
mod push;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use shared::clock::Timestamp;
use shared::domain::{IssueKeys, SiteId};
use shared::gitlab::client::GitlabError;
use shared::gitlab::hooks::HookEvent;
use shared::gitlab::model::{Commit, Deployment, FeatureFlag, MergeRequest, Pipeline, Push};
use shared::queue::disposition::Disposition;
use shared::sync::entity::Entity;
use shared::sync::transform::Source;

use crate::batch::Event;
use crate::reader::{CacheKey, GitlabReader, MergeRequests, ReadError};

/// Objects read at the same time: enough to hide latency, few enough for GitLab's rate limits.
const CONCURRENCY: usize = 8;

/// What is to be read once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Branch(String),
    MergeRequest(u64),
    Pipeline(u64),
    Deployment(u64),
    FeatureFlag(u64),
}

impl Object {
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
pub(crate) struct Task<'a> {
    pub(crate) site: SiteId,
    pub(crate) source: &'a Source,
    pub(crate) reader: Option<&'a GitlabReader<'a>>,
    /// In the order they came in.
    pub(crate) events: Vec<&'a Event>,
}

/// What a task led to.
#[derive(Debug)]
pub(crate) struct Enriched {
    /// Positions of the messages it came from.
    pub(crate) indices: Vec<usize>,
    pub(crate) entities: Result<Vec<Candidate>, Disposition>,
}

/// An entity that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) entity: Entity,
    /// For a branch known from a hook alone: what tells whether the hook is late.
    pub(crate) push: Option<PushedHead>,
    /// For a branch that is gone: the head it had.
    pub(crate) deleted_head: Option<String>,
}

/// The push that a branch is known from.
#[derive(Clone, Debug)]
pub(crate) struct PushedHead {
    pub(crate) creates: bool,
    pub(crate) head: String,
}

impl From<Entity> for Candidate {
    fn from(entity: Entity) -> Self {
        Self { entity, push: None, deleted_head: None }
    }
}

/// Tasks for the events of one project, one per object.
pub(crate) fn tasks<'a>(
    site: SiteId,
    source: &'a Source,
    reader: Option<&'a GitlabReader<'a>>,
    events: &[&'a Event],
) -> Vec<Task<'a>> {
    let mut objects: BTreeMap<Object, Vec<&'a Event>> = BTreeMap::new();
    for event in events {
        objects.entry(Object::of(&event.event)).or_default().push(event);
    }
    objects
        .into_values()
        .map(|mut events| {
            events.sort_by_key(|event| event.received_at);
            Task { site, source, reader, events }
        })
        .collect()
}

/// Runs tasks side by side.
pub(crate) async fn run(tasks: Vec<Task<'_>>) -> Vec<Enriched> {
    stream::iter(tasks).map(run_one).buffer_unordered(CONCURRENCY).collect().await
}

// Boxed under a name: the compiler can't see that a closure's future over borrowed tasks is `Send`.
fn run_one(task: Task<'_>) -> BoxFuture<'_, Enriched> {
    async move { task.run().await }.boxed()
}

/// A read, or why there is none.
type Read<T> = Result<T, GitlabError>;

impl Task<'_> {
    async fn run(&self) -> Enriched {
        let indices = self.events.iter().map(|event| event.index).collect();
        let entities = match self.read().await {
            Ok(Some(candidates)) => {
                if let Some(reader) = self.reader {
                    reader.went_through().await;
                }
                Ok(candidates)
            }
            // A deployment's hook does not even say its number: without a read there is nothing to send.
            Err(ReadError::HookOnly) if self.is_deployment() => Err(Disposition::Fail {
                reason: "A deployment needs a token that GitLab accepts.".to_owned(),
            }),
            Ok(None) => Ok(self.as_hooks_say()),
            Err(ReadError::HookOnly) => Ok(self.as_hooks_say()),
            Err(ReadError::Decided(Disposition::Retry { .. }))
                if self.is_last_attempt() && !self.is_deployment() =>
            {
                Ok(self.as_hooks_say())
            }
            Err(ReadError::Decided(disposition)) => Err(disposition),
        };
        Enriched { indices, entities }
    }

    fn is_deployment(&self) -> bool {
        self.events.iter().any(|event| matches!(event.event, HookEvent::Deployment(_)))
    }

    fn is_last_attempt(&self) -> bool {
        self.events.iter().any(|event| event.last_attempt)
    }

    /// Reads the object; `None` when nobody may.
    async fn read(&self) -> Result<Option<Vec<Candidate>>, ReadError> {
        let (Some(reader), Some(last)) = (self.reader, self.events.last()) else {
            return Ok(None);
        };
        if let Some(trouble) = reader.resting() {
            return Err(trouble);
        }
        let read = match &last.event {
            HookEvent::Push(_) | HookEvent::BranchDeleted { .. } => self.read_branch(reader).await,
            HookEvent::MergeRequest { merge_request, .. } => {
                self.read_merge_request(reader, merge_request).await
            }
            HookEvent::Pipeline(pipeline) => self.read_pipeline(reader, pipeline).await,
            HookEvent::Deployment(deployment) => self.read_deployment(reader, deployment).await,
            HookEvent::FeatureFlag(flag) => self.read_feature_flag(reader, flag).await,
        };
        match read {
            Ok(candidates) => Ok(Some(candidates)),
            Err(GitlabError::NotFound) => Err(reader.trouble(self.not_found(reader).await).await),
            Err(error) => Err(reader.trouble(error).await),
        }
    }

    /// What a 404 means: the object is gone, or the token sees its whole project no more, which proves nothing.
    async fn not_found(&self, reader: &GitlabReader<'_>) -> GitlabError {
        match reader.client.project(self.source.project.id).await {
            Ok(_) => GitlabError::NotFound,
            Err(GitlabError::NotFound) => GitlabError::Forbidden,
            Err(error) => error,
        }
    }

    /// What the hooks say by themselves; of several versions of an entity the newest is chosen later.
    fn as_hooks_say(&self) -> Vec<Candidate> {
        self.events.iter().flat_map(|event| self.as_hook_says(event)).collect()
    }

    fn as_hook_says(&self, event: &Event) -> Vec<Candidate> {
        let known_at = event.received_at;
        match &event.event {
            HookEvent::Push(push) => self.pushed(push, known_at),
            HookEvent::BranchDeleted { branch, before } => {
                vec![self.deleted_branch(branch, before, known_at)]
            }
            HookEvent::MergeRequest { merge_request, .. } => self.merge_request(merge_request, known_at),
            HookEvent::Pipeline(pipeline) => {
                self.source.build(pipeline, known_at, true).into_iter().map(Candidate::from).collect()
            }
            HookEvent::Deployment(deployment) => {
                self.source.deployment(deployment, known_at, true).into_iter().map(Candidate::from).collect()
            }
            HookEvent::FeatureFlag(flag) => vec![self.source.feature_flag(flag, known_at).into()],
        }
    }

    /// The branch's own keys and those of its open merge requests.
    async fn branch_keys(&self, reader: &GitlabReader<'_>, branch: &str, head: &str) -> Read<IssueKeys> {
        let question = reader.question(self.source.project.id, format!("{head} {branch}"));
        let merge_requests = match reader.sync.lookups.of_branch.get(&question).await {
            Some(known) => known,
            None => {
                let read = reader.client.open_merge_requests(&self.source.project, branch).await?;
                let read = Arc::new(read);
                remember(&reader.sync.lookups.of_branch, question, &read).await;
                read
            }
        };
        let own = IssueKeys::extract([branch]);
        Ok(merge_requests
            .iter()
            .filter(|merge_request| merge_request.source_project_id == Some(self.source.project.id))
            .fold(own, |keys, merge_request| keys.union(&merge_request.keys)))
    }

    /// The merge requests that contain a commit.
    async fn merge_requests_of(&self, reader: &GitlabReader<'_>, sha: &str) -> Read<Arc<Vec<MergeRequest>>> {
        let question = reader.question(self.source.project.id, sha.to_owned());
        if let Some(known) = reader.sync.lookups.of_commit.get(&question).await {
            return Ok(known);
        }
        let read = match reader.client.merge_requests_of_commit(&self.source.project, sha).await {
            // The commit is not there any more; it belongs to nothing.
            Err(GitlabError::NotFound) => Vec::new(),
            read => read?,
        };
        let read = Arc::new(read);
        remember(&reader.sync.lookups.of_commit, question, &read).await;
        Ok(read)
    }

    /// A commit with its files, unless it has them already.
    async fn with_files(&self, reader: &GitlabReader<'_>, mut commit: Commit) -> Read<Commit> {
        if commit.files.is_empty() {
            match reader.client.add_files(&self.source.project, &mut commit).await {
                // A force push may have taken it away meanwhile.
                Ok(()) | Err(GitlabError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(commit)
    }
}

/// Only what was found is remembered: GitLab links commits, branches and merge requests a moment after it tells of them.
async fn remember(cache: &MergeRequests, question: CacheKey, found: &Arc<Vec<MergeRequest>>) {
    if !found.is_empty() {
        cache.insert(question, found.clone()).await;
    }
}
