//! GitLab as one link may read it: its token, its rests, and answers that hold for a moment. Decides what GitLab's
//! refusals mean for the work; what is read belongs to `enrich`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::future::Cache;
use shared::clock::Timestamp;
use shared::domain::{IssueKeys, LinkAttention, Subscription};
use shared::envelope::EnvelopeError;
use shared::gitlab::client::{GitlabClient, GitlabError};
use shared::gitlab::model::MergeRequest;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::backoffs::{Backoff, BackoffScope};
use shared::sync::verify::gitlab_token_context;

use crate::EventSync;

/// How long lookups hold. Merge requests change seldom within it, and when they do, their own hook tells.
const CACHE_TTL: Duration = Duration::from_secs(60);

/// Tiers of environments change about never, and a deployment's commits do not.
const LONG_CACHE_TTL: Duration = Duration::from_secs(600);

/// How many of each are kept.
const MAX_LOOKUPS: u64 = 2_000;

/// A question to GitLab: instance, project, and what it is about.
pub(crate) type CacheKey = (Arc<str>, u64, String);

/// Merge requests by what they were asked for.
pub(crate) type MergeRequests = Cache<CacheKey, Arc<Vec<MergeRequest>>>;

/// GitLab's answers that hold for a moment, shared by all batches of a process.
#[derive(Clone, Debug)]
pub struct GitlabCache {
    /// Open merge requests of a branch with a given head.
    pub(crate) of_branch: MergeRequests,
    /// Merge requests that contain a commit.
    pub(crate) of_commit: MergeRequests,
    /// Tiers of environments.
    pub(crate) tiers: Cache<CacheKey, Option<String>>,
    /// Keys of the commits that a deployment brings.
    pub(crate) deployment_keys: Cache<CacheKey, IssueKeys>,
    /// Addresses that users show to everybody.
    pub(crate) emails: Cache<CacheKey, Option<String>>,
    /// Pages of projects that merge requests come from.
    pub(crate) pages: Cache<CacheKey, Option<String>>,
}

impl Default for GitlabCache {
    fn default() -> Self {
        fn cache<V: Clone + Send + Sync + 'static>(memory: Duration) -> Cache<CacheKey, V> {
            Cache::builder().max_capacity(MAX_LOOKUPS).time_to_live(memory).build()
        }
        Self {
            of_branch: cache(CACHE_TTL),
            of_commit: cache(CACHE_TTL),
            tiers: cache(LONG_CACHE_TTL),
            deployment_keys: cache(LONG_CACHE_TTL),
            emails: cache(LONG_CACHE_TTL),
            pages: cache(LONG_CACHE_TTL),
        }
    }
}

/// Why GitLab could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The token will not do: what the hook says has to suffice.
    HookOnly,
    /// The work waits, tries again, or is over.
    Decided(Disposition),
}

/// GitLab through the token of one link.
#[derive(Debug)]
pub(crate) struct GitlabReader<'a> {
    pub(crate) sync: &'a EventSync,
    pub(crate) client: GitlabClient,
    pub(crate) instance: Arc<str>,
    subscription: &'a Subscription,
    backoff: Mutex<Option<Backoff>>,
    /// Why GitLab could not be reached in this batch: what is left of it does not wait for more time-outs.
    down: Mutex<Option<String>>,
    /// Whether it was noted in this batch that the token is accepted.
    accepted: AtomicBool,
}

impl EventSync {
    /// A reader for a link; `None` when it has no token.
    pub(crate) async fn reader<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> Result<Option<GitlabReader<'a>>, StoreError> {
        let Some(credential) = &subscription.credential else {
            return Ok(None);
        };
        let context = gitlab_token_context(subscription);
        let token = match self.envelope.open(&credential.token, &context).await {
            Ok(token) => token,
            Err(error @ EnvelopeError::Unavailable(_)) => {
                return Err(StoreError::Unavailable(Box::new(error)));
            }
            // One link's unreadable secret must not hold up the others.
            Err(error) => {
                tracing::warn!(subscription.id = %subscription.id, %error, "a stored token can't be opened");
                return Ok(None);
            }
        };
        let Ok(base) = self.guard.check(&subscription.instance) else {
            return Ok(None);
        };
        let backoff = self.store.backoff(&resting(subscription)).await?;
        Ok(Some(GitlabReader {
            sync: self,
            client: GitlabClient::new(self.gitlab.clone(), base, token),
            instance: Arc::from(subscription.instance.as_str()),
            subscription,
            backoff: Mutex::new(backoff),
            down: Mutex::new(None),
            accepted: AtomicBool::new(false),
        }))
    }
}

impl GitlabReader<'_> {
    /// Now, just before a read: the moment its answer is known to be true.
    pub(crate) fn now(&self) -> Timestamp {
        self.sync.clock.now()
    }

    pub(crate) fn question(&self, project: u64, about: String) -> CacheKey {
        (Arc::clone(&self.instance), project, about)
    }

    /// Why nothing is to be read now, as what it means for the work.
    pub(crate) fn resting(&self) -> Option<ReadError> {
        if let Some(reason) = self.down.lock().ok().and_then(|down| down.clone()) {
            return Some(ReadError::Decided(Disposition::Retry { reason }));
        }
        let backoff = self.backoff.lock().ok()?.clone()?;
        (backoff.until > self.now())
            .then_some(ReadError::Decided(Disposition::Wait { until: backoff.until, reason: backoff.reason }))
    }

    /// What a refusal of GitLab means.
    pub(crate) async fn trouble(&self, error: GitlabError) -> ReadError {
        match error {
            GitlabError::Unauthorized => self.attend(LinkAttention::TokenRefused).await,
            GitlabError::Forbidden => self.attend(LinkAttention::TokenInsufficient).await,
            GitlabError::NotFound => ReadError::Decided(Disposition::Drop {
                reason: "GitLab does not have it any more.".to_owned(),
            }),
            GitlabError::RateLimited { retry_after } => self.begin_backoff(retry_after).await,
            error @ GitlabError::Unavailable(_) => {
                let reason = error.to_string();
                if let Ok(mut down) = self.down.lock() {
                    *down = Some(reason.clone());
                }
                ReadError::Decided(Disposition::Retry { reason })
            }
            error @ (GitlabError::Rejected(_) | GitlabError::Unexpected(_)) => {
                ReadError::Decided(Disposition::Retry { reason: error.to_string() })
            }
        }
    }

    /// GitLab answered: the token is accepted again. That it may read this says nothing of what it may not read.
    pub(crate) async fn went_through(&self) {
        let noted = self.subscription.attention == Some(LinkAttention::TokenRefused);
        if noted && !self.accepted.swap(true, Ordering::Relaxed) {
            let note = |subscription: &mut Subscription| subscription.attention = None;
            if let Err(error) = self.sync.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs no attention");
            }
        }
    }

    async fn attend(&self, attention: LinkAttention) -> ReadError {
        if self.subscription.attention.as_ref() != Some(&attention) {
            let note = |subscription: &mut Subscription| subscription.attention = Some(attention.clone());
            if let Err(error) = self.sync.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs attention");
            }
        }
        ReadError::HookOnly
    }

    async fn begin_backoff(&self, retry_after: Duration) -> ReadError {
        let now = self.now();
        let until = now.after(retry_after);
        let backoff = Backoff {
            until,
            consecutive_failures: 1,
            since: now,
            reason: "GitLab's rate limit is reached.".to_owned(),
        };
        if let Err(error) = self.sync.store.begin_backoff(&resting(self.subscription), &backoff).await {
            tracing::warn!(%error, "could not note a rest");
        }
        let reason = backoff.reason.clone();
        if let Ok(mut current) = self.backoff.lock() {
            *current = Some(backoff);
        }
        ReadError::Decided(Disposition::Wait { until, reason })
    }
}

fn resting(subscription: &Subscription) -> BackoffScope {
    BackoffScope::Gitlab(subscription.instance.clone(), subscription.id.to_string())
}
