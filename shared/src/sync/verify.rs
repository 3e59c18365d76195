//! Whether a delivery is believed: finds the hook it says it comes from, opens that hook's secrets and checks what it
//! brought. Used when a delivery comes in, and later for those that came in while secrets could not be read.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use secrecy::SecretString;

use super::message::Unverified;
use crate::clock::Timestamp;
use crate::domain::{Hook, Subscription, SubscriptionId};
use crate::envelope::{Context, Envelope, EnvelopeError, Purpose};
use crate::gitlab::signature::{SignatureError, SignedHeaders, verify_signature, verify_token_digest};
use crate::store::{Store, StoreError};

/// How long hooks are remembered, those that do not exist included: strangers must not cause a read each.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// How many hooks are remembered.
const MAX_HOOKS: u64 = 10_000;

/// A delivery is not believed, or can't be checked now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VerifyError {
    /// There is no such subscription or project hook.
    #[error("there is no such hook")]
    Unknown,
    /// It does not prove that it comes from the hook.
    #[error(transparent)]
    Refused(#[from] SignatureError),
    /// The table can't be read now.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The secrets can't be opened now.
    #[error(transparent)]
    Secrets(Arc<EnvelopeError>),
}

/// A hook with its secrets open.
#[derive(Debug)]
pub struct OpenHook {
    /// The link it belongs to.
    pub subscription: Subscription,
    /// The hook.
    pub hook: Hook,
    token: SecretString,
    signing_token: SecretString,
}

/// Verifies deliveries.
#[derive(Clone, Debug)]
pub struct HookVerifier {
    store: Store,
    envelope: Arc<Envelope>,
    hooks: Cache<(SubscriptionId, Option<u64>), Option<Arc<OpenHook>>>,
}

impl HookVerifier {
    /// A verifier with an empty memory.
    #[must_use]
    pub fn new(store: Store, envelope: Arc<Envelope>) -> Self {
        let hooks = Cache::builder().max_capacity(MAX_HOOKS).time_to_live(CACHE_TTL).build();
        Self { store, envelope, hooks }
    }

    /// Checks that the delivery described by `proof` was made by the hook of `subscription` (and of `proof.hook_project`, if it
    /// is a project's). `arrived_at` is when it came in.
    pub async fn verify(
        &self,
        subscription: SubscriptionId,
        proof: &Proof<'_>,
        arrived_at: Timestamp,
    ) -> Result<Arc<OpenHook>, VerifyError> {
        let id = (subscription, proof.hook_project);
        let hook = self
            .hooks
            .try_get_with(id, self.open(subscription, proof.hook_project))
            .await
            .map_err(|error| VerifyError::clone(&error))?
            .ok_or(VerifyError::Unknown)?;
        match &proof.signature {
            Some(headers) => {
                verify_signature(headers, proof.body, &hook.signing_token, arrived_at)?;
                if !hook.hook.signed {
                    self.demand_signature(subscription, proof.hook_project).await;
                }
            }
            // A hook that signs has no other way in: whoever got hold of its token alone stays outside.
            None if hook.hook.signed => return Err(SignatureError::Signature.into()),
            None => verify_token_digest(&proof.token_digest, &hook.token)?,
        }
        Ok(hook)
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
    ) -> Result<Option<Arc<OpenHook>>, VerifyError> {
        let store = |error| VerifyError::Store(Arc::new(error));
        let Some(subscription) = self.store.subscription(id).await.map_err(store)? else {
            return Ok(None);
        };
        let hook = match project {
            Some(project) => self.store.project_hook(id, project).await.map_err(store)?,
            None => Some(subscription.hook.clone()),
        };
        let Some(hook) = hook else { return Ok(None) };
        let context = hook_context(&subscription, project);
        let secrets = |error| VerifyError::Secrets(Arc::new(error));
        let token = self.envelope.open(&hook.token, &context).await.map_err(secrets)?;
        let signing_token = self.envelope.open(&hook.signing_token, &context).await.map_err(secrets)?;
        Ok(Some(Arc::new(OpenHook { subscription, hook, token, signing_token })))
    }
}

/// What a delivery brings to be believed.
#[derive(Debug)]
pub struct Proof<'a> {
    /// The project whose hook it says it is.
    pub hook_project: Option<u64>,
    /// What stands for `X-Gitlab-Token`.
    pub token_digest: String,
    /// The signature's headers, if there are any.
    pub signature: Option<SignedHeaders<'a>>,
    /// The raw body.
    pub body: &'a [u8],
}

impl Proof<'_> {
    /// The delivery as it can lie on a queue; `None` when its body is not text, which no real one is.
    #[must_use]
    pub fn to_unverified(&self) -> Option<Unverified> {
        Some(Unverified {
            hook_project: self.hook_project,
            token_digest: self.token_digest.clone(),
            signature: self.signature.as_ref().map(|headers| {
                (headers.id.to_owned(), headers.timestamp.to_owned(), headers.signature.to_owned())
            }),
            body: std::str::from_utf8(self.body).ok()?.to_owned(),
        })
    }
}

impl Unverified {
    /// What it brings to be believed.
    #[must_use]
    pub fn proof(&self) -> Proof<'_> {
        Proof {
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

/// What the secrets of a hook are sealed with.
#[must_use]
pub fn hook_context(subscription: &Subscription, project: Option<u64>) -> Context {
    let record = project
        .map_or_else(|| subscription.id.to_string(), |project| format!("{}#{project}", subscription.id));
    Context::new(subscription.site.to_string(), Purpose::HookSecret, record)
}

/// What the GitLab token of a link is sealed with.
#[must_use]
pub fn gitlab_token_context(subscription: &Subscription) -> Context {
    Context::new(subscription.site.to_string(), Purpose::GitlabToken, subscription.id.to_string())
}
