//! Reading from GitLab what a hook or a listing leaves open, as entities that may be sent. Nothing here knows of queues or
//! events: a batch of events and a page of history read the same way. What many objects of a project need is read together
//! (`batch`), and what is missing then by itself. What a hook says by itself is in [`hook`], for links without a token.
//!
//! A hook is trusted for what can't have changed since, and read again for what may have, or what it does not say:
//!
//! | hook | trusted for | read, and why |
//! | --- | --- | --- |
//! | push | which commits have keys, if it lists all of them; that few enough files change | the commits: addresses may be `[REDACTED]`, and parents are not said; their files: it has no lines; the branch's head: later pushes may be there already |
//! | branch deleted | the head it had | whether the branch is there again |
//! | merge request | which one it is, the page of a fork, that it is open so that its branch is worth reading | the rest: it has neither author nor address nor notes, and may be late |
//! | pipeline | ref of a tag, page, number, keys of the commit's message | status and date: only the end has one; tests; merge requests' descriptions |
//! | deployment | the environment's tier | its number, ref and commit: it has none of them |
//! | feature flag | its name | strategies |
//! | tag | nothing of it is sent | |
//!
//! So every entity that is sent of a link with a token carries the moment just before its read as its number. Commits and
//! their files never change, so how they are read plays no part in order.

mod batch;
mod branch;
mod cache;
mod deleted_branches;
mod deployment;
mod feature_flag;
pub mod history;
pub mod hook;
mod keyless;
mod merge_request;
mod pipeline;
mod reader;
mod replaced_commits;

use std::sync::Arc;

pub use batch::ProjectBatch;
pub use cache::GitlabCache;
pub use reader::{GitlabAccess, GitlabReader, GroupListing, ReadError};
pub use replaced_commits::ReplacedCommits;

use self::cache::{CacheKey, Listed, MergeRequests};
use super::apply::PendingEntity;
use super::transform::Source;
use crate::clock::Timestamp;
use crate::domain::{IssueKeys, Project, SiteId};
use crate::gitlab::client::GitlabError;
use crate::gitlab::model::{Branch, Commit, Deployment, FeatureFlag, MergeRequest, Pipeline, Push};

/// An answer of GitLab.
type Read<T> = Result<T, GitlabError>;

/// What is to be read, as far as it is known from a hook or a listing.
#[derive(Debug)]
pub enum Object<'a> {
    /// A branch as it is now, and the commits that were pushed to it.
    Branch {
        /// Its name.
        name: &'a str,
        /// Pushes to it, oldest first.
        pushes: Vec<&'a Push>,
        /// The head it had, if it was said to be deleted.
        deleted_head: Option<&'a str>,
    },
    /// A commit, as it was listed.
    Commit(&'a Commit),
    /// A merge request.
    MergeRequest(&'a MergeRequest),
    /// A pipeline.
    Pipeline(&'a Pipeline),
    /// A deployment.
    Deployment(&'a Deployment),
    /// A feature flag.
    FeatureFlag(&'a FeatureFlag),
}

impl Object<'_> {
    /// What it is, as people know it: `acme/payments/api!7`.
    #[must_use]
    pub fn label(&self, project: &Project) -> String {
        let path = &project.path;
        match self {
            Self::Branch { name, .. } => format!("{path}:{name}"),
            Self::Commit(commit) => format!("{path}@{}", commit.sha.get(..8).unwrap_or(&commit.sha)),
            Self::MergeRequest(merge_request) => merge_request.reference.clone(),
            Self::Pipeline(pipeline) => format!("{path} pipeline {}", pipeline.iid.unwrap_or(pipeline.id)),
            Self::Deployment(deployment) => {
                let environment = &deployment.environment.name;
                format!("{path} deployment {} to {environment}", deployment.iid.unwrap_or(deployment.id))
            }
            Self::FeatureFlag(flag) => format!("{path} flag {}", flag.name),
        }
    }

    /// When it was changed last, as far as it is known without reading it.
    #[must_use]
    pub fn changed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Branch { .. } => None,
            Self::Commit(commit) => commit.committed_at,
            Self::MergeRequest(merge_request) => merge_request.updated_at,
            Self::Pipeline(pipeline) => pipeline.updated_at,
            Self::Deployment(deployment) => deployment.updated_at,
            Self::FeatureFlag(flag) => flag.updated_at,
        }
    }
}

/// Reads objects of one project.
#[derive(Clone, Copy, Debug)]
pub struct ProjectReader<'a> {
    /// GitLab, with the link's token.
    pub reader: &'a GitlabReader<'a>,
    /// The project.
    pub source: &'a Source,
    /// The site that the project is linked to.
    pub site: SiteId,
    /// What was read for all objects of a batch.
    pub batch: &'a ProjectBatch,
}

impl ProjectReader<'_> {
    /// Reads an object.
    ///
    /// # Errors
    /// [`ReadError`]: what GitLab's error means for the work.
    pub async fn read(&self, object: &Object<'_>) -> Result<Vec<PendingEntity>, ReadError> {
        if let Some(error) = self.reader.backing_off() {
            return Err(error);
        }
        let read = match object {
            Object::Branch { name, pushes, deleted_head } => self.branch(name, pushes, *deleted_head).await,
            Object::Commit(known) => self.listed_commit(known).await,
            Object::MergeRequest(known) => self.merge_request(known).await,
            Object::Pipeline(known) => self.pipeline(known).await,
            Object::Deployment(known) => self.deployment(known).await,
            Object::FeatureFlag(known) => self.feature_flag(known).await,
        };
        match read {
            Ok(entities) => {
                self.reader.succeeded().await;
                Ok(entities)
            }
            // A flag is read by its name: it was renamed or deleted since, and its hook is the last that is known of it.
            Err(GitlabError::NotFound) if matches!(object, Object::FeatureFlag(_)) => {
                Err(ReadError::HookOnly)
            }
            Err(GitlabError::NotFound) => Err(self.reader.read_error(self.not_found().await).await),
            Err(error) => Err(self.reader.read_error(error).await),
        }
    }

    /// What a 404 means: the object is gone, or the token no longer sees its whole project, which proves nothing.
    async fn not_found(&self) -> GitlabError {
        match self.reader.client.project(self.source.project.id).await {
            Ok(_) => GitlabError::NotFound,
            Err(GitlabError::NotFound) => GitlabError::Forbidden,
            Err(error) => error,
        }
    }

    /// A branch, and the moment just before it was read; no branch if it is not there.
    async fn branch_head(&self, name: &str) -> Read<(Timestamp, Option<Branch>)> {
        if let Some(known) = self.batch.branches.get(name) {
            return Ok(known.clone());
        }
        let (project, known_at) = (&self.source.project, self.reader.now());
        let branch = match self.reader.client.branch(project, name).await {
            Ok(branch) => Some(branch),
            Err(GitlabError::NotFound) => match self.not_found().await {
                GitlabError::NotFound if name.contains('/') => self.listed_branch(name).await?,
                GitlabError::NotFound => None,
                error => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if let Some(branch) = &branch {
            self.keep(&branch.head).await;
        }
        Ok((known_at, branch))
    }

    /// A branch whose own path, with its slash, is answered 404. A proxy may have answered; a listing has no slash.
    async fn listed_branch(&self, name: &str) -> Read<Option<Branch>> {
        let (found, is_all) = self.reader.client.branches(&self.source.project, &[name]).await?;
        let branch = found.into_iter().next();
        if branch.is_some() {
            self.reader.note_slashes().await;
        }
        // Where the listing is longer than a page, GitLab is too old to look for a name, and the 404 is all there is.
        if branch.is_none() && !is_all {
            tracing::info!("a branch with a slash is not on the first page of branches; it counts as gone");
        }
        Ok(branch)
    }

    /// Remembers a commit, which never changes.
    async fn keep(&self, commit: &Commit) {
        let key = self.reader.cache_key(self.source.project.id, commit.sha.clone());
        self.reader.access.cache.commits.insert(key, commit.clone()).await;
    }

    async fn known_commit(&self, sha: &str) -> Option<Commit> {
        let key = self.reader.cache_key(self.source.project.id, sha.to_owned());
        self.reader.access.cache.commits.get(&key).await
    }

    /// A commit by its SHA.
    async fn commit(&self, sha: &str) -> Read<Commit> {
        if let Some(known) = self.known_commit(sha).await {
            return Ok(known);
        }
        let commit = self.reader.client.commit(&self.source.project, sha).await?;
        self.keep(&commit).await;
        Ok(commit)
    }

    async fn knows_files(&self, sha: &str) -> bool {
        let key = self.reader.cache_key(self.source.project.id, sha.to_owned());
        self.reader.access.cache.files.contains_key(&key)
    }

    /// The branch's own keys and those of its open merge requests.
    async fn branch_keys(&self, branch: &str, head: &str) -> Read<Listed<IssueKeys>> {
        let own = IssueKeys::extract([branch]);
        let open = self.open_merge_requests(branch, head).await?;
        let here = open.items.iter().filter(|it| it.source_project_id == Some(self.source.project.id));
        let keys = here.fold(own, |keys, merge_request| keys.union(&merge_request.keys));
        Ok(Listed { items: keys, is_all: open.is_all })
    }

    /// The open merge requests from a branch with a given head.
    async fn open_merge_requests(&self, branch: &str, head: &str) -> Read<Listed<Arc<Vec<MergeRequest>>>> {
        if let Some(all) = self.batch.of_branches.get(branch) {
            let open = all.iter().map(|it| &it.merge_request).filter(|it| it.state == "opened");
            return Ok(Listed { items: Arc::new(open.cloned().collect()), is_all: true });
        }
        let cache = &self.reader.access.cache.of_branch;
        let key = self.reader.cache_key(self.source.project.id, format!("{head} {branch}"));
        if let Some(known) = cache.get(&key).await {
            return Ok(known);
        }
        let (read, is_all) = match self.reader.client.open_merge_requests(&self.source.project, branch).await
        {
            // A list is never unknown while its project is known.
            Err(GitlabError::NotFound) if branch.contains('/') => match self.not_found().await {
                GitlabError::NotFound => {
                    self.reader.note_slashes().await;
                    (Vec::new(), false)
                }
                error => return Err(error),
            },
            // A page is more than any branch has; what a further one names stays unknown.
            read => {
                let page = read?;
                (page.items, page.next.is_none())
            }
        };
        let read = Listed { items: Arc::new(read), is_all };
        remember(cache, key, &read).await;
        Ok(read)
    }

    /// A commit with its files, unless it has them already.
    async fn with_files(&self, mut commit: Commit) -> Read<Commit> {
        if !commit.files.is_empty() {
            return Ok(commit);
        }
        let cache = &self.reader.access.cache.files;
        let key = self.reader.cache_key(self.source.project.id, commit.sha.clone());
        if let Some((count, files)) = cache.get(&key).await {
            (commit.file_count, commit.files) = (count, files);
            return Ok(commit);
        }
        match self.reader.client.add_files(&self.source.project, &mut commit).await {
            Ok(()) => cache.insert(key, (commit.file_count, commit.files.clone())).await,
            // A force push may have replaced it meanwhile.
            Err(GitlabError::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(commit)
    }
}

/// Only what was found is kept: GitLab links commits, branches and merge requests a moment after it sends their hooks.
async fn remember(cache: &MergeRequests, key: CacheKey, found: &Listed<Arc<Vec<MergeRequest>>>) {
    if !found.items.is_empty() {
        cache.insert(key, found.clone()).await;
    }
}
