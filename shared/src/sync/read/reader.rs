//! GitLab as one link may read it: its token, its backoff, and what GitLab's errors mean for the work. What is read
//! belongs to [`ProjectReader`](super::ProjectReader).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::cache::{CacheKey, GitlabCache};
use super::replaced_commits::ReplacedCommits;
use crate::clock::{SharedClock, Timestamp};
use crate::domain::{HoldReason, IssueKeys, LinkAttention, Rotation, Subscription, lies_under};
use crate::envelope::{Context, Envelope, EnvelopeError};
use crate::gitlab::client::{GitlabClient, GitlabError, GitlabHttp, Group, Page};
use crate::gitlab::model::Project;
use crate::outbound::HostGuard;
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::ignored_deliveries::{IgnoreReason, IgnoredDelivery};
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
    /// What becomes of commits that a force push replaced.
    pub replaced_commits: ReplacedCommits,
}

/// The first pause after GitLab did not answer or asked for less; each further one is twice as long.
const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest pause while GitLab does not answer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(900);

/// How long work waits for a token that is being rotated.
const ROTATION_BACKOFF: Duration = Duration::from_secs(30);

/// Why GitLab was not read.
#[derive(Debug)]
pub enum ReadError {
    /// GitLab does not let the token read it: only what the hook says can be sent.
    HookOnly,
    /// GitLab does not have it any more.
    Gone,
    /// GitLab's rate limit is reached; the work waits.
    RateLimited {
        /// Until when nothing is read.
        until: Timestamp,
    },
    /// GitLab can't be read at all.
    Unavailable {
        /// Until when nothing is read.
        until: Timestamp,
    },
    /// The token was replaced after the link was read, or is being replaced: with the new one it is read again.
    TokenReplaced {
        /// When there is one.
        until: Timestamp,
    },
    /// This one object can't be read.
    Failed {
        /// What GitLab says.
        reason: String,
        /// Whether it is a server error, which may pass by itself.
        may_pass: bool,
    },
}

/// GitLab, read with the token of one link.
#[derive(Debug)]
pub struct GitlabReader<'a> {
    pub(super) access: &'a GitlabAccess,
    pub(super) client: GitlabClient,
    instance: Arc<str>,
    subscription: &'a Subscription,
    backoff: Mutex<Option<Backoff>>,
    /// Whether this reader has noted that the token is accepted.
    accepted: AtomicBool,
    /// The linked group, once it was read.
    group: OnceCell<Group>,
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
            accepted: AtomicBool::new(false),
            group: OnceCell::new(),
        }))
    }
}

/// A page of a group's projects.
pub type GroupListing = Page<Project>;

impl GitlabReader<'_> {
    /// How many requests were made so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.client.requests()
    }

    /// A page of the linked group's projects, those of its subgroups included.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Gone`] when the token does not see the group.
    pub async fn group_projects(&self, page: u32) -> Result<GroupListing, ReadError> {
        if let Some(error) = self.backing_off() {
            return Err(error);
        }
        match self.client.group_projects(self.subscription.group_id, page).await {
            Ok(listed) => Ok(listed),
            Err(error) => Err(self.read_error(error).await),
        }
    }

    /// Now, just before a read: the moment its answer is known to be true.
    pub(super) fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    /// Names the link in caches.
    pub(super) fn link(&self) -> String {
        self.subscription.id.to_string()
    }

    pub(super) fn cache_key(&self, project: u64, about: String) -> CacheKey {
        (Arc::clone(&self.instance), project, about)
    }

    /// Why nothing is read now.
    pub(super) fn backing_off(&self) -> Option<ReadError> {
        let backoff = self.known_backoff()?;
        (backoff.until > self.now()).then(|| as_error(&backoff))
    }

    fn known_backoff(&self) -> Option<Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a project lies in the linked group now, whatever their paths were when it was linked; `None` when the token
    /// sees no such project, which proves nothing: a token of less than a group's owner may not see all of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn covers(&self, project: &Project) -> Result<Option<bool>, ReadError> {
        if let Some(error) = self.backing_off() {
            return Err(error);
        }
        let group = self.group.get_or_try_init(|| self.read_group()).await?;
        match self.is_inside(project, group).await {
            Ok(inside) => Ok(Some(inside)),
            Err(GitlabError::NotFound) => Ok(None),
            Err(error) => Err(self.read_error(error).await),
        }
    }

    /// Reads the linked group. Of those that wait for it each would try by itself after one that failed: on a GitLab that
    /// hangs one after another, unless each looks whether the one before has begun a backoff.
    async fn read_group(&self) -> Result<Group, ReadError> {
        if let Some(error) = self.backing_off() {
            return Err(error);
        }
        match self.client.group(&self.subscription.group_id.to_string()).await {
            Ok(group) => Ok(group),
            // The link's hook has been authenticated, so the group exists: it is the token that does not see it.
            Err(GitlabError::NotFound) => Err(self.read_error(GitlabError::Forbidden).await),
            Err(error) => Err(self.read_error(error).await),
        }
    }

    async fn is_inside(&self, project: &Project, group: &Group) -> Result<bool, GitlabError> {
        match self.client.project(project.id).await {
            Ok(project) => Ok(lies_under(&project.path, &group.full_path)),
            // The hook lies if another project is where it says that its own is.
            Err(GitlabError::NotFound) => match self.client.project_at(&project.path).await {
                Ok(other) if other.id != project.id => Ok(false),
                Ok(_) => Err(GitlabError::NotFound),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// What an error of GitLab means for the work.
    pub(super) async fn read_error(&self, error: GitlabError) -> ReadError {
        match error {
            GitlabError::Unauthorized => match self.has_other_token().await {
                Some(until) => ReadError::TokenReplaced { until },
                None => self.note_attention(LinkAttention::TokenRefused).await,
            },
            GitlabError::Forbidden => self.note_attention(LinkAttention::TokenInsufficient).await,
            GitlabError::NotFound => ReadError::Gone,
            GitlabError::RateLimited { retry_after } => {
                self.back_off(Some(retry_after), HoldReason::GitlabRateLimited).await
            }
            GitlabError::Unavailable(_) => self.back_off(None, HoldReason::GitlabUnavailable).await,
            error @ GitlabError::Failed(_) => {
                ReadError::Failed { reason: format!("{error}."), may_pass: true }
            }
            error @ (GitlabError::Rejected(_) | GitlabError::Unexpected(_)) => {
                ReadError::Failed { reason: format!("{error}."), may_pass: false }
            }
        }
    }

    /// GitLab answered: it is back, and the token is accepted again. That it may read this says nothing of what it may not
    /// read.
    pub(super) async fn succeeded(&self) {
        let ended = self.backoff.lock().unwrap_or_else(PoisonError::into_inner).take();
        if ended.is_some()
            && let Err(error) = self.access.store.end_backoff(&scope(self.subscription)).await
        {
            tracing::warn!(%error, "could not note that a backoff ended");
        }
        let noted = self.subscription.attention == Some(LinkAttention::TokenRefused);
        if noted && !self.accepted.swap(true, Ordering::Relaxed) {
            let note = |subscription: &mut Subscription| subscription.attention = None;
            if let Err(error) = self.access.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs no attention");
            }
        }
    }

    /// Something in front of GitLab answers 404 to paths with an encoded slash, which proves nothing of what they name.
    pub(super) async fn note_slashes(&self) {
        self.note_attention(LinkAttention::SlashesRefused).await;
    }

    /// Remembers that something was not looked through to its end, for whoever looks for the rest.
    pub(super) async fn note_ignored(&self, label: String, keys: &IssueKeys, answer: IgnoreReason) {
        let (at, issue_keys) = (self.now(), keys.as_slice().to_vec());
        let ignored = IgnoredDelivery { at, delivery: None, label, issue_keys, answer };
        if let Err(error) = self.access.store.record_ignored(self.subscription.id, &[ignored]).await {
            tracing::warn!(%error, "could not remember that something was left out");
        }
    }

    /// Since or until when the link has another token, whose making has revoked this one.
    async fn has_other_token(&self) -> Option<Timestamp> {
        let stored = self.access.store.subscription(self.subscription.id).await.ok()??.credential?;
        if self.subscription.credential.as_ref().is_none_or(|ours| ours.token != stored.token) {
            return Some(self.now());
        }
        let is_under_way = matches!(stored.rotation, Some(Rotation::Begun(_)));
        is_under_way.then(|| self.now().after(ROTATION_BACKOFF))
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

    /// Begins a pause, as long as GitLab `asked` for, but longer with every one in a row.
    async fn back_off(&self, asked: Option<Duration>, reason: HoldReason) -> ReadError {
        let (now, last) = (self.now(), self.known_backoff());
        // Reads run side by side: the first that fails begins the pause for all of them.
        if let Some(last) = last.as_ref().filter(|last| last.until > now) {
            return as_error(last);
        }
        let (failures, since) = last.map_or((0, now), |last| (last.consecutive_failures, last.since));
        let growing = SHORTEST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
        let until = now.after(asked.unwrap_or_default().max(growing));
        let backoff = Backoff { until, consecutive_failures: failures + 1, since, reason };
        *self.backoff.lock().unwrap_or_else(PoisonError::into_inner) = Some(backoff.clone());
        if let Err(error) = self.access.store.begin_backoff(&scope(self.subscription), &backoff).await {
            tracing::warn!(%error, "could not note a backoff");
        }
        as_error(&backoff)
    }
}

fn as_error(backoff: &Backoff) -> ReadError {
    let until = backoff.until;
    match backoff.reason {
        HoldReason::GitlabUnavailable => ReadError::Unavailable { until },
        _ => ReadError::RateLimited { until },
    }
}

fn scope(subscription: &Subscription) -> BackoffScope {
    BackoffScope::Gitlab(subscription.instance.clone(), subscription.id.to_string())
}
