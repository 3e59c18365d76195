//! Authenticating deliveries: finds the hook that a delivery says it comes from, opens that hook's secrets and checks the
//! delivery's credentials against them. Used when a delivery arrives, and later for those that arrived while the secrets
//! could not be read. How signatures are computed belongs to `gitlab::signature`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use secrecy::SecretString;

use super::message::UnverifiedDelivery;
use crate::clock::Timestamp;
use crate::domain::{Hook, Subscription, SubscriptionId};
use crate::envelope::{Context, Envelope, EnvelopeError};
use crate::gitlab::signature::{SignatureError, SignedHeaders, verify_signature, verify_token_digest};
use crate::store::{Store, StoreError};

/// How long hooks are cached, those that do not exist included: strangers must not cause a read each.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// How long after a hook was read again for a delivery that does not match, because its secrets may be new, it is not read
/// again for another: strangers must not cause a read each here either.
const REREAD_AFTER: Duration = Duration::from_secs(1);

/// How many hooks are cached, at about a kilobyte each.
const MAX_HOOKS: u64 = 10_000;

/// A delivery is not authentic, or can't be checked now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// There is no such subscription or project hook.
    #[error("there is no such hook")]
    Unknown,
    /// Its token or signature is not the hook's.
    #[error(transparent)]
    Refused(#[from] SignatureError),
    /// The table can't be read now.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The secrets can't be opened now.
    #[error(transparent)]
    Secrets(Arc<EnvelopeError>),
}

/// A hook with its secrets opened.
#[derive(Debug)]
pub struct OpenHook {
    /// The link it belongs to.
    pub subscription: Subscription,
    /// The hook.
    pub hook: Hook,
    /// The newest first.
    secrets: Vec<OpenSecrets>,
    /// When it was read again for a delivery that did not match, if it was.
    read_again_at: Option<Instant>,
}

#[derive(Debug)]
struct OpenSecrets {
    token: SecretString,
    signing_token: SecretString,
    /// Until when they are accepted, if they were replaced.
    until: Option<Timestamp>,
}

/// Authenticates deliveries.
#[derive(Clone, Debug)]
pub struct HookAuthenticator {
    store: Store,
    envelope: Arc<Envelope>,
    hooks: Cache<(SubscriptionId, Option<u64>), Option<Arc<OpenHook>>>,
}

impl HookAuthenticator {
    /// An authenticator with an empty cache.
    #[must_use]
    pub fn new(store: Store, envelope: Arc<Envelope>) -> Self {
        let hooks = Cache::builder().max_capacity(MAX_HOOKS).time_to_live(CACHE_TTL).build();
        Self { store, envelope, hooks }
    }

    /// Checks that the delivery described by `credentials` was made by the hook of `subscription` (and of
    /// `credentials.hook_project`, if it is a project's). `arrived_at` is when it came in.
    pub async fn authenticate(
        &self,
        subscription: SubscriptionId,
        credentials: &WebhookCredentials<'_>,
        arrived_at: Timestamp,
    ) -> Result<Arc<OpenHook>, AuthError> {
        let hook = self.hook(subscription, credentials.hook_project).await?;
        self.verify(&hook, credentials, arrived_at).await?;
        Ok(hook)
    }

    /// The hook of `subscription`, or of one of its projects: all that can be known of a delivery before its body is read.
    pub async fn hook(
        &self,
        subscription: SubscriptionId,
        project: Option<u64>,
    ) -> Result<Arc<OpenHook>, AuthError> {
        self.hooks
            .try_get_with((subscription, project), self.open(subscription, project, None))
            .await
            .map_err(|error| AuthError::clone(&error))?
            .ok_or(AuthError::Unknown)
    }

    /// Checks that the delivery described by `credentials` was made by `hook`.
    pub async fn verify(
        &self,
        hook: &OpenHook,
        credentials: &WebhookCredentials<'_>,
        arrived_at: Timestamp,
    ) -> Result<(), SignatureError> {
        let verified = match hook.check(credentials, arrived_at) {
            Err(error) => self.check_again(hook, credentials, arrived_at).await.ok_or(error),
            verified => verified,
        };
        if verified.is_ok() && credentials.signature.is_some() && !hook.hook.signed {
            self.demand_signature(hook.subscription.id, credentials.hook_project).await;
        }
        verified
    }

    /// Checks against the hook as it is now, if what is cached of it may be out of date; `None`: not authentic either.
    async fn check_again(
        &self,
        hook: &OpenHook,
        credentials: &WebhookCredentials<'_>,
        arrived_at: Timestamp,
    ) -> Option<()> {
        if hook.read_again_at.is_some_and(|at| at.elapsed() < REREAD_AFTER) {
            return None;
        }
        let key = (hook.subscription.id, credentials.hook_project);
        let cached = self.hooks.get(&key).await.flatten();
        let now = match cached.filter(|cached| cached.read_again_at > hook.read_again_at) {
            // For another delivery.
            Some(cached) => cached,
            None => {
                let now = self.open(key.0, key.1, Some(Instant::now())).await.ok()?;
                self.hooks.insert(key, now.clone()).await;
                now?
            }
        };
        now.check(credentials, arrived_at).ok()
    }

    async fn demand_signature(&self, subscription: SubscriptionId, project: Option<u64>) {
        self.hooks.invalidate(&(subscription, project)).await;
        // The next valid signature tries again.
        if let Err(error) = self.store.demand_signature(subscription, project).await {
            tracing::warn!(subscription.id = %subscription, %error, "could not note that a hook signs");
        }
    }

    async fn open(
        &self,
        id: SubscriptionId,
        project: Option<u64>,
        read_again_at: Option<Instant>,
    ) -> Result<Option<Arc<OpenHook>>, AuthError> {
        let store = |error| AuthError::Store(Arc::new(error));
        let Some(subscription) = self.store.subscription(id).await.map_err(store)? else {
            return Ok(None);
        };
        let hook = match project {
            Some(project) => self.store.project_hook(id, project).await.map_err(store)?,
            None => Some(subscription.hook.clone()),
        };
        let Some(hook) = hook else { return Ok(None) };
        let context = Context::hook(subscription.site, subscription.id, project);
        let secrets = |error| AuthError::Secrets(Arc::new(error));
        let open = async |token, signing_token, until| {
            Ok::<_, AuthError>(OpenSecrets {
                token: self.envelope.open(token, &context).await.map_err(secrets)?,
                signing_token: self.envelope.open(signing_token, &context).await.map_err(secrets)?,
                until,
            })
        };
        let mut opened = vec![open(&hook.token, &hook.signing_token, None).await?];
        for previous in hook.previous.iter().rev() {
            opened.push(open(&previous.token, &previous.signing_token, previous.until).await?);
        }
        Ok(Some(Arc::new(OpenHook { subscription, hook, secrets: opened, read_again_at })))
    }
}

impl OpenHook {
    /// Checks a delivery's credentials against each of the hook's secrets that is accepted at `arrived_at`.
    fn check(
        &self,
        credentials: &WebhookCredentials<'_>,
        arrived_at: Timestamp,
    ) -> Result<(), SignatureError> {
        let accepted =
            self.secrets.iter().filter(|secrets| secrets.until.is_none_or(|until| until > arrived_at));
        let mut error = SignatureError::Signature;
        for (number, secrets) in accepted.enumerate() {
            let verified = match &credentials.signature {
                Some(headers) => {
                    verify_signature(headers, credentials.body, &secrets.signing_token, arrived_at)
                }
                // A hook that signs has no other way in: its token alone is not enough.
                None if self.hook.signed => return Err(SignatureError::Signature),
                None => verify_token_digest(&credentials.token_digest, &secrets.token),
            };
            match verified {
                Ok(()) => return Ok(()),
                // Of several errors the newest secret's says most, except for a right signature that is only late.
                Err(refused) if number == 0 || refused == SignatureError::Stale => error = refused,
                Err(_) => {}
            }
        }
        Err(error)
    }
}

/// What authenticates a delivery, with the body that it covers.
#[derive(Debug)]
pub struct WebhookCredentials<'a> {
    /// The project whose hook it says it comes from; none for a group's hook.
    pub hook_project: Option<u64>,
    /// The digest of `X-Gitlab-Token`.
    pub token_digest: String,
    /// The signature's headers, if there are any.
    pub signature: Option<SignedHeaders<'a>>,
    /// The raw body.
    pub body: &'a [u8],
}

impl WebhookCredentials<'_> {
    /// The delivery as it can be queued; `None` when its body is not UTF-8, which GitLab's always is.
    #[must_use]
    pub fn to_unverified(&self) -> Option<UnverifiedDelivery> {
        Some(UnverifiedDelivery {
            hook_project: self.hook_project,
            token_digest: self.token_digest.clone(),
            signature: self.signature.as_ref().map(|headers| {
                (headers.id.to_owned(), headers.timestamp.to_owned(), headers.signature.to_owned())
            }),
            body: std::str::from_utf8(self.body).ok()?.to_owned(),
        })
    }
}

impl UnverifiedDelivery {
    /// Its credentials.
    #[must_use]
    pub fn credentials(&self) -> WebhookCredentials<'_> {
        WebhookCredentials {
            hook_project: self.hook_project,
            token_digest: self.token_digest.clone(),
            signature: self.signature.as_ref().map(|(id, timestamp, signature)| SignedHeaders {
                id,
                timestamp,
                signature,
            }),
            body: self.body.as_bytes(),
        }
    }
}
