//! Reading from GitLab what a hook or a listing leaves open, one object at a time, as entities that may be sent. Nothing here
//! knows of queues or events: a batch of events and a page of history read the same way. What a hook says by itself is in
//! [`hook`], for links without a token.

mod branch;
mod cache;
mod deployment;
mod feature_flag;
pub mod hook;
mod merge_request;
mod pipeline;
mod reader;

use std::sync::Arc;

pub use cache::GitlabCache;
pub use reader::{GitlabAccess, GitlabReader, ReadError};

use self::cache::{CacheKey, MergeRequests};
use super::apply::PendingEntity;
use super::transform::Source;
use crate::domain::{IssueKeys, SiteId};
use crate::gitlab::client::GitlabError;
use crate::gitlab::model::{Commit, Deployment, FeatureFlag, MergeRequest, Pipeline, Push};

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
    /// A merge request.
    MergeRequest(&'a MergeRequest),
    /// A pipeline.
    Pipeline(&'a Pipeline),
    /// A deployment.
    Deployment(&'a Deployment),
    /// A feature flag.
    FeatureFlag(&'a FeatureFlag),
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

    /// The branch's own keys and those of its open merge requests.
    async fn branch_keys(&self, branch: &str, head: &str) -> Read<IssueKeys> {
        let cache = &self.reader.access.cache.of_branch;
        let key = self.reader.cache_key(self.source.project.id, format!("{head} {branch}"));
        let merge_requests = match cache.get(&key).await {
            Some(known) => known,
            None => {
                let read = self.reader.client.open_merge_requests(&self.source.project, branch).await?;
                let read = Arc::new(read);
                remember(cache, key, &read).await;
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
    async fn merge_requests_of(&self, sha: &str) -> Read<Arc<Vec<MergeRequest>>> {
        let cache = &self.reader.access.cache.of_commit;
        let key = self.reader.cache_key(self.source.project.id, sha.to_owned());
        if let Some(known) = cache.get(&key).await {
            return Ok(known);
        }
        let read = match self.reader.client.merge_requests_of_commit(&self.source.project, sha).await {
            // The commit is gone; no merge request contains it.
            Err(GitlabError::NotFound) => Vec::new(),
            read => read?,
        };
        let read = Arc::new(read);
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
async fn remember(cache: &MergeRequests, key: CacheKey, found: &Arc<Vec<MergeRequest>>) {
    if !found.is_empty() {
        cache.insert(key, found.clone()).await;
    }
}
