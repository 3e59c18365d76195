//! Answers of GitLab that hold for a moment, shared by all batches of a process.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::batch::GraphqlSupport;
use crate::domain::IssueKeys;
use crate::gitlab::model::{ChangedFile, Commit, MergeRequest};

/// How long lookups are cached. Merge requests change seldom within it, and when they do, their own hook reports it.
const CACHE_TTL: Duration = Duration::from_secs(60);

/// Tiers of environments change about never, and a deployment's commits do not.
const LONG_CACHE_TTL: Duration = Duration::from_secs(600);

/// How many lookups of each kind are cached.
const MAX_LOOKUPS: u64 = 2_000;

/// A cache key: instance, project, and what is looked up.
pub(super) type CacheKey = (Arc<str>, u64, String);

/// What was asked for, as far as it was found.
#[derive(Clone, Debug)]
pub(super) struct Listed<T> {
    pub(super) items: T,
    /// Whether there is no more. Else what is not among them proves nothing.
    pub(super) is_all: bool,
}

/// Merge requests by what they were asked for.
pub(super) type MergeRequests = Cache<CacheKey, Listed<Arc<Vec<MergeRequest>>>>;

/// GitLab's answers that hold for a moment, shared by all batches of a process.
#[derive(Clone, Debug)]
pub struct GitlabCache {
    /// Open merge requests of a branch with a given head.
    pub(super) of_branch: MergeRequests,
    /// Merge requests that contain a commit.
    pub(super) of_commit: MergeRequests,
    /// Commits, which never change.
    pub(super) commits: Cache<CacheKey, Commit>,
    /// What a link's token can be answered by GraphQL.
    pub(super) graphql: Cache<CacheKey, GraphqlSupport>,
    /// How many files a commit changes, and some of them. A commit is read with its push, its branch and its merge request.
    pub(super) files: Cache<CacheKey, (Option<u32>, Vec<ChangedFile>)>,
    /// Tiers of environments.
    pub(super) tiers: Cache<CacheKey, Option<String>>,
    /// Keys of the commits that a deployment brings.
    pub(super) deployment_keys: Cache<CacheKey, IssueKeys>,
    /// Addresses that users show to everybody.
    pub(super) emails: Cache<CacheKey, Option<String>>,
    /// Pages of projects that merge requests come from.
    pub(super) pages: Cache<CacheKey, Option<String>>,
}

impl Default for GitlabCache {
    fn default() -> Self {
        fn cache<V: Clone + Send + Sync + 'static>(memory: Duration) -> Cache<CacheKey, V> {
            Cache::builder().max_capacity(MAX_LOOKUPS).time_to_live(memory).build()
        }
        Self {
            of_branch: cache(CACHE_TTL),
            of_commit: cache(CACHE_TTL),
            commits: cache(LONG_CACHE_TTL),
            graphql: cache(LONG_CACHE_TTL),
            files: cache(LONG_CACHE_TTL),
            tiers: cache(LONG_CACHE_TTL),
            deployment_keys: cache(LONG_CACHE_TTL),
            emails: cache(LONG_CACHE_TTL),
            pages: cache(LONG_CACHE_TTL),
        }
    }
}
