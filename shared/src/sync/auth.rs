//! Authenticating deliveries: finds the hook that a delivery says it comes from, opens that hook's secrets and checks the
//! delivery's credentials against them. Used when a delivery arrives, and later for those that arrived while the secrets
//! could not be read. How signatures are computed belongs to `gitlab::signature`.

use std::sync::Arc;
use std::time::Duration;

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
    token: SecretString,
    signing_token: SecretString,
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
            .try_get_with((subscription, project), self.open(subscription, project))
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
        match &credentials.signature {
            Some(headers) => {
                verify_signature(headers, credentials.body, &hook.signing_token, arrived_at)?;
                if !hook.hook.signed {
                    self.demand_signature(hook.subscription.id, credentials.hook_project).await;
                }
                Ok(())
            }
            // A hook that signs has no other way in: whoever got hold of its token alone stays outside.
            None if hook.hook.signed => Err(SignatureError::Signature),
            None => verify_token_digest(&credentials.token_digest, &hook.token),
        }
    }

    async fn demand_signature(&self, subscription: SubscriptionId, project: Option<u64>) {
        self.hooks.invalidate(&(subscription, project)).await;
        // The next valid signature tells again.
        if let Err(error) = self.store.demand_signature(subscription, project).await {
            tracing::warn!(subscription.id = %subscription, %error, "could not note that a hook signs");
        }
    }

    async fn open(
        &self,
        id: SubscriptionId,
        project: Option<u64>,
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
        let token = self.envelope.open(&hook.token, &context).await.map_err(secrets)?;
        let signing_token = self.envelope.open(&hook.signing_token, &context).await.map_err(secrets)?;
        Ok(Some(Arc::new(OpenHook { subscription, hook, token, signing_token })))
    }
}

/// What a delivery proves itself by, with what it proves.
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
