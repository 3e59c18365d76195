//! GitLab as one link may read it: its token, its rests, and answers that hold for a moment. Decides what GitLab's
//! refusals mean for the work; what is read belongs to `enrich`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::future::Cache;
use shared::clock::Timestamp;
use shared::domain::{IssueKeys, Subscription};
use shared::envelope::EnvelopeError;
use shared::gitlab::client::{GitlabClient, GitlabError};
use shared::gitlab::model::MergeRequest;
use shared::queue::disposition::Disposition;
use shared::store::StoreError;
use shared::store::rests::{Rest, Resting};
use shared::sync::verify::gitlab_token_context;

use crate::EventSync;

/// How long lookups hold. Merge requests change seldom within it, and when they do, their own hook tells.
const MEMORY: Duration = Duration::from_secs(60);

/// Tiers of environments change about never, and a deployment's commits do not.
const LONG_MEMORY: Duration = Duration::from_secs(600);

/// What a person is told when GitLab refuses a token.
const TOKEN_REFUSED: &str = "GitLab refuses the stored token: link the group again with a new one.";

/// How many of each are kept.
const MAX_LOOKUPS: u64 = 2_000;

/// A question to GitLab: instance, project, and what it is about.
pub(crate) type Question = (Arc<str>, u64, String);

/// Merge requests by what they were asked for.
pub(crate) type MergeRequests = Cache<Question, Arc<Vec<MergeRequest>>>;

/// GitLab's answers that hold for a moment, shared by all batches of a process.
#[derive(Clone, Debug)]
pub struct Lookups {
    /// Open merge requests of a branch with a given head.
    pub(crate) of_branch: MergeRequests,
    /// Merge requests that contain a commit.
    pub(crate) of_commit: MergeRequests,
    /// Tiers of environments.
    pub(crate) tiers: Cache<Question, Option<String>>,
    /// Keys of the commits that a deployment brings.
    pub(crate) deployment_keys: Cache<Question, IssueKeys>,
    /// Addresses that users show to everybody.
    pub(crate) emails: Cache<Question, Option<String>>,
    /// Pages of projects that merge requests come from.
    pub(crate) pages: Cache<Question, Option<String>>,
}

impl Default for Lookups {
    fn default() -> Self {
        fn cache<V: Clone + Send + Sync + 'static>(memory: Duration) -> Cache<Question, V> {
            Cache::builder().max_capacity(MAX_LOOKUPS).time_to_live(memory).build()
        }
        Self {
            of_branch: cache(MEMORY),
            of_commit: cache(MEMORY),
            tiers: cache(LONG_MEMORY),
            deployment_keys: cache(LONG_MEMORY),
            emails: cache(LONG_MEMORY),
            pages: cache(LONG_MEMORY),
        }
    }
}

/// Why GitLab could not be read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The token will not do: what the hook says has to suffice.
    HookOnly,
    /// The work waits, tries again, or is over.
    Decided(Disposition),
}

/// GitLab through the token of one link.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) sync: &'a EventSync,
    pub(crate) client: GitlabClient,
    pub(crate) instance: Arc<str>,
    subscription: &'a Subscription,
    rest: Mutex<Option<Rest>>,
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
    ) -> Result<Option<Reader<'a>>, StoreError> {
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
        let rest = self.store.rest(&resting(subscription)).await?;
        Ok(Some(Reader {
            sync: self,
            client: GitlabClient::new(self.gitlab.clone(), base, token),
            instance: Arc::from(subscription.instance.as_str()),
            subscription,
            rest: Mutex::new(rest),
            down: Mutex::new(None),
            accepted: AtomicBool::new(false),
        }))
    }
}

impl Reader<'_> {
    /// Now, just before a read: the moment its answer is known to be true.
    pub(crate) fn now(&self) -> Timestamp {
        self.sync.clock.now()
    }

    pub(crate) fn question(&self, project: u64, about: String) -> Question {
        (Arc::clone(&self.instance), project, about)
    }

    /// Why nothing is to be read now, as what it means for the work.
    pub(crate) fn resting(&self) -> Option<Trouble> {
        if let Some(reason) = self.down.lock().ok().and_then(|down| down.clone()) {
            return Some(Trouble::Decided(Disposition::Retry { reason }));
        }
        let rest = self.rest.lock().ok()?.clone()?;
        (rest.until > self.now())
            .then_some(Trouble::Decided(Disposition::Wait { until: rest.until, reason: rest.reason }))
    }

    /// What a refusal of GitLab means.
    pub(crate) async fn trouble(&self, error: GitlabError) -> Trouble {
        match error {
            GitlabError::Unauthorized => self.attend(TOKEN_REFUSED).await,
            GitlabError::Forbidden => {
                self.attend(
                    "The stored token may not read everything: give it read_api and the Developer role.",
                )
                .await
            }
            GitlabError::NotFound => {
                Trouble::Decided(Disposition::Drop { reason: "GitLab does not have it any more.".to_owned() })
            }
            GitlabError::RateLimited { retry_after } => self.begin_rest(retry_after).await,
            error @ GitlabError::Unavailable(_) => {
                let reason = error.to_string();
                if let Ok(mut down) = self.down.lock() {
                    *down = Some(reason.clone());
                }
                Trouble::Decided(Disposition::Retry { reason })
            }
            error @ (GitlabError::Rejected(_) | GitlabError::Unexpected(_)) => {
                Trouble::Decided(Disposition::Retry { reason: error.to_string() })
            }
        }
    }

    /// GitLab answered: the token is accepted again. That it may read this says nothing of what it may not read.
    pub(crate) async fn went_through(&self) {
        let noted = self.subscription.attention.as_deref() == Some(TOKEN_REFUSED);
        if noted && !self.accepted.swap(true, Ordering::Relaxed) {
            let note = |subscription: &mut Subscription| subscription.attention = None;
            if let Err(error) = self.sync.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs no attention");
            }
        }
    }

    async fn attend(&self, sentence: &'static str) -> Trouble {
        if self.subscription.attention.as_deref() != Some(sentence) {
            let note = |subscription: &mut Subscription| subscription.attention = Some(sentence.to_owned());
            if let Err(error) = self.sync.store.update_subscription(self.subscription.id, note).await {
                tracing::warn!(%error, "could not note that a link needs attention");
            }
        }
        Trouble::HookOnly
    }

    async fn begin_rest(&self, retry_after: Duration) -> Trouble {
        let now = self.now();
        let until = now.after(retry_after);
        let rest = Rest { until, row: 1, since: now, reason: "GitLab's rate limit is reached.".to_owned() };
        if let Err(error) = self.sync.store.begin_rest(&resting(self.subscription), &rest).await {
            tracing::warn!(%error, "could not note a rest");
        }
        let reason = rest.reason.clone();
        if let Ok(mut current) = self.rest.lock() {
            *current = Some(rest);
        }
        Trouble::Decided(Disposition::Wait { until, reason })
    }
}

fn resting(subscription: &Subscription) -> Resting {
    Resting::Gitlab(subscription.instance.clone(), subscription.id.to_string())
}
