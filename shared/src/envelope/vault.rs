//! Sealing and opening, with the caches that keep the key service from being asked each time.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::cipher::Cipher;
use super::context::{Context, EncryptionContext};
use super::key_service::{KeyService, KeyServiceError};
use super::sealed::{MAX_SECRET_BYTES, Sealed, Version};

/// Data keys that are remembered, for opening and for sealing each. A batch touches a few sites; a process that
/// serves more asks the key service more often.
const MAX_KEYS: u64 = 1000;

/// A disabled master key or a withdrawn permission takes effect within this time: what a remembered data key opens or
/// seals goes on until then.
const MAX_KEY_AGE: Duration = Duration::from_secs(300);

/// Secrets sealed under one data key; the next one gets a new key. Enough for a group with thousands of project hooks, and
/// far below the 2^32 texts up to which random nonces are safe (NIST SP 800-38D, 8.3). No other process seals under it.
const MAX_KEY_USES: u32 = 10_000;

/// Why a secret was not sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The key service can't be reached; the same call may succeed later. Holds the cause.
    #[error("the key service is unavailable: {0}")]
    Unavailable(String),
    /// Sealed for another context or altered since, or the key service refuses us.
    #[error("the sealed secret was refused")]
    Refused,
    /// Too long to be a secret: over 16 KiB.
    #[error("a secret of more than 16 KiB is not sealed")]
    TooLong,
}

impl From<&KeyServiceError> for EnvelopeError {
    fn from(error: &KeyServiceError) -> Self {
        match error {
            KeyServiceError::Unavailable(cause) => Self::Unavailable(cause.clone()),
            KeyServiceError::Refused => Self::Refused,
        }
    }
}

/// Seals secrets for storage and opens them again.
///
/// Data keys are remembered for at most five minutes, at most a thousand of them, and only together with their encryption
/// context, so a remembered key is as strict about it as the key service is. What a process seals for one site and purpose
/// within that time shares a data key, and whoever opens all of it unwraps one.
pub struct Envelope {
    service: Arc<dyn KeyService>,
    sealing: Cache<SealingId, Arc<SealingKey>>,
    opening: Cache<OpeningId, Arc<Cipher>>,
    /// How often the master key has changed: older data keys are not used for sealing any more.
    generation: AtomicU64,
    last_seal: Mutex<Option<Instant>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct SealingId {
    generation: u64,
    context: EncryptionContext,
}

struct SealingKey {
    cipher: Cipher,
    wrapped: Vec<u8>,
    uses: AtomicU32,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct OpeningId {
    wrapped: Vec<u8>,
    context: EncryptionContext,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Envelope {
    /// An envelope whose data keys `service` wraps.
    #[must_use]
    pub fn new(service: Arc<dyn KeyService>) -> Self {
        Self::remembering(service, MAX_KEY_AGE)
    }

    fn remembering(service: Arc<dyn KeyService>, max_key_age: Duration) -> Self {
        let sealing = Cache::builder().max_capacity(MAX_KEYS).time_to_live(max_key_age).build();
        let opening = Cache::builder().max_capacity(MAX_KEYS).time_to_live(max_key_age).build();
        Self { service, sealing, opening, generation: AtomicU64::new(0), last_seal: Mutex::new(None) }
    }

    /// Encrypts `secret` for storage in the place that `context` describes.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`].
    pub async fn seal(&self, secret: &SecretString, context: &Context) -> Result<Sealed, EnvelopeError> {
        let secret = secret.expose_secret().as_bytes();
        if secret.len() > MAX_SECRET_BYTES {
            return Err(EnvelopeError::TooLong);
        }
        // Before the data key is chosen: whoever changes the master key learns of every secret that has an old one.
        *self.last_seal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let key = self.sealing_key(context.encryption_context()).await?;
        let version = Version::SharedKey;
        let encrypted = key.cipher.encrypt(secret, &additional_data(version, context));
        Ok(Sealed { version, wrapped: key.wrapped.clone(), encrypted })
    }

    /// Seals with new data keys from now on, because the master key was changed. Answers when the last secret was
    /// sealed, which may be on its way to the table yet.
    pub fn change_keys(&self) -> Option<Instant> {
        self.generation.fetch_add(1, Ordering::SeqCst);
        *self.last_seal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decrypts `sealed`, which was found in the place that `context` describes.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]; a secret from any other place is refused.
    pub async fn open(&self, sealed: &Sealed, context: &Context) -> Result<SecretString, EnvelopeError> {
        let cipher = self.opening_key(sealed, context).await?;
        let secret = cipher
            .decrypt(&sealed.encrypted, &additional_data(sealed.version, context))
            .map_err(|_| EnvelopeError::Refused)?;
        let text = std::str::from_utf8(&secret).map_err(|_| EnvelopeError::Refused)?;
        Ok(SecretString::from(text))
    }

    /// The remembered key of this context, or a new one when it was used up.
    async fn sealing_key(&self, context: EncryptionContext) -> Result<Arc<SealingKey>, EnvelopeError> {
        let generation = self.generation.load(Ordering::SeqCst);
        let id = SealingId { generation, context };
        loop {
            let made = self.sealing.try_get_with_by_ref(&id, self.make_key(&id.context)).await;
            let key = made.map_err(|error| EnvelopeError::from(&*error))?;
            if key.uses.fetch_add(1, Ordering::Relaxed) < MAX_KEY_USES {
                return Ok(key);
            }
            self.sealing.invalidate(&id).await;
        }
    }

    async fn make_key(&self, context: &EncryptionContext) -> Result<Arc<SealingKey>, KeyServiceError> {
        let key = self.service.generate_data_key(context).await?;
        let cipher = Cipher::new(&key.plaintext);
        Ok(Arc::new(SealingKey { cipher, wrapped: key.wrapped, uses: AtomicU32::new(0) }))
    }

    async fn opening_key(&self, sealed: &Sealed, context: &Context) -> Result<Arc<Cipher>, EnvelopeError> {
        let context = match sealed.version {
            Version::OwnKey => context.encryption_context_of_record(),
            Version::SharedKey => context.encryption_context(),
        };
        let id = OpeningId { wrapped: sealed.wrapped.clone(), context };
        let unwrapped = async {
            let key = self.service.unwrap_data_key(&id.wrapped, &id.context).await?;
            Ok(Arc::new(Cipher::new(&key)))
        };
        let cipher = self.opening.try_get_with_by_ref(&id, unwrapped).await;
        cipher.map_err(|error: Arc<KeyServiceError>| EnvelopeError::from(&*error))
    }
}

fn additional_data(version: Version, context: &Context) -> Vec<u8> {
    [b"secret ".as_slice(), &[version as u8], &context.canonical()].concat()
}

#[cfg(test)]
mod tests;
