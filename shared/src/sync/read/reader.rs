//! GitLab as one link may read it: its token, its backoff, and what GitLab's errors mean for the work. What is read belongs to
//! [`ProjectReader`](super::ProjectReader).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cache::{CacheKey, GitlabCache};
use crate::clock::{SharedClock, Timestamp};
use crate::domain::{HoldReason, LinkAttention, Subscription, lies_under};
use crate::envelope::{Context, Envelope, EnvelopeError};
use crate::gitlab::client::{GitlabClient, GitlabError, GitlabHttp};
use crate::outbound::HostGuard;
use crate::queue::disposition::Disposition;
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::{Store, StoreError};

/// What reading GitLab needs, beside a link.
#[derive(Clone, Debug)]
pub struct GitlabAccess {
    /// Backoffs, and what is noted on links.
    pub store: Store,
    /// Opens tokens.
    pub envelope: Arc<Envelope>,
    /// Tells the time.
    pub clock: SharedClock,
    /// The HTTP clients for GitLab.
    pub http: GitlabHttp,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Answers that hold for a moment.
    pub cache: GitlabCache,
}

/// Why GitLab was not read.
#[derive(Debug)]
pub enum ReadError {
    /// GitLab does not let the token read it: what the hook says has to do.
    HookOnly,
    /// What becomes of the work instead.
    Decided(Disposition),
}

/// GitLab, read with the token of one link.
#[derive(Debug)]
pub struct GitlabReader<'a> {
    pub(super) access: &'a GitlabAccess,
    pub(super) client: GitlabClient,
    instance: Arc<str>,
    subscription: &'a Subscription,
    backoff: Mutex<Option<Backoff>>,
    /// Why GitLab was unavailable: what is left to read does not wait for more time-outs.
    down: Mutex<Option<String>>,
    /// Whether this reader has noted that the token is accepted.
    accepted: AtomicBool,
}

impl GitlabAccess {
    /// A reader for a link; `None` when it has no token.
    ///
    /// # Errors
    /// When the table or the key service is unavailable.
    pub async fn reader<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> Result<Option<GitlabReader<'a>>, StoreError> {
        let Some(credential) = &subscription.credential else {
            return Ok(None);
        };
        let context = Context::gitlab_token(subscription.site, subscription.id);
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
        let backoff = self.store.backoff(&scope(subscription)).await?;
        Ok(Some(GitlabReader {
            access: self,
            client: GitlabClient::new(self.http.clone(), base, token),
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
    pub(super) fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    pub(super) fn cache_key(&self, project: u64, about: String) -> CacheKey {
        (Arc::clone(&self.instance), project, about)
    }

    /// Why nothing is read now, as what it means for the work.
    pub(super) fn backing_off(&self) -> Option<ReadError> {
        if let Some(reason) = self.down.lock().ok().and_then(|down| down.clone()) {
            return Some(ReadError::Decided(Disposition::Retry { reason }));
        }
        let backoff = self.backoff.lock().ok()?.clone()?;
        (backoff.until > self.now()).then_some(ReadError::Decided(Disposition::Wait {
            until: backoff.until,
            reason: backoff.reason.to_string(),
        }))
    }

    /// Whether a project lies in the linked group now, whatever their paths were when it was linked.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn covers(&self, project: u64) -> Result<bool, ReadError> {
        if let Some(error) = self.backing_off() {
            return Err(error);
        }
        match self.is_inside(project).await {
            Ok(inside) => Ok(inside),
            Err(GitlabError::NotFound) => Ok(false),
            Err(error) => Err(self.read_error(error).await),
        }
    }

    async fn is_inside(&self, project: u64) -> Result<bool, GitlabError> {
        let group = match self.client.group(&self.subscription.group_id.to_string()).await {
            // The link's hook has been authenticated, so the group exists: it is the token that does not see it.
            Err(GitlabError::NotFound) => return Err(GitlabError::Forbidden),
            group => group?,
        };
        let project = self.client.project(project).await?;
        Ok(lies_under(&project.path, &group.full_path))
    }

    /// What an error of GitLab means for the work.
    pub(super) async fn read_error(&self, error: GitlabError) -> ReadError {
        match error {
            GitlabError::Unauthorized => self.note_attention(LinkAttention::TokenRefused).await,
            GitlabError::Forbidden => self.note_attention(LinkAttention::TokenInsufficient).await,
            GitlabError::NotFound => ReadError::Decided(Disposition::Drop {
                reason: "GitLab does not have it any more.".to_owned(),
            }),
            GitlabError::RateLimited { retry_after } => self.back_off(retry_after).await,
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
    pub(super) async fn succeeded(&self) {
        let noted = self.subscription.attention == Some(LinkAttention::TokenRefused);
        if noted && !self.accepted.swap(true, Ordering::Relaxed) {
            let note = |subscription: &mut Subscription| subscription.attention = None;
            if let Err(error) = self.access.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs no attention");
            }
        }
    }

    async fn note_attention(&self, attention: LinkAttention) -> ReadError {
        if self.subscription.attention.as_ref() != Some(&attention) {
            let note = |subscription: &mut Subscription| subscription.attention = Some(attention.clone());
            if let Err(error) = self.access.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs attention");
            }
        }
        ReadError::HookOnly
    }

    async fn back_off(&self, retry_after: Duration) -> ReadError {
        let now = self.now();
        let until = now.after(retry_after);
        let backoff =
            Backoff { until, consecutive_failures: 1, since: now, reason: HoldReason::GitlabRateLimited };
        if let Err(error) = self.access.store.begin_backoff(&scope(self.subscription), &backoff).await {
            tracing::warn!(%error, "could not note a backoff");
        }
        let reason = backoff.reason.to_string();
        if let Ok(mut current) = self.backoff.lock() {
            *current = Some(backoff);
        }
        ReadError::Decided(Disposition::Wait { until, reason })
    }
}

fn scope(subscription: &Subscription) -> BackoffScope {
    BackoffScope::Gitlab(subscription.instance.clone(), subscription.id.to_string())
}
