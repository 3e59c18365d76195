//! The port to whatever holds the master key. [`KeyFile`](super::KeyFile) is the local one, KMS the deployed one.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;
use zeroize::Zeroizing;

use super::context::EncryptionContext;

/// An AES-256 key in memory that is overwritten when it is dropped.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// A fresh data key: once in the clear, to be used and forgotten, and once wrapped, to be stored.
pub struct DataKey {
    /// The key itself.
    pub plaintext: KeyBytes,
    /// What [`KeyService::unwrap_data_key`] takes.
    pub wrapped: Vec<u8>,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// Why a key service gave no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyServiceError {
    /// It can't be reached or is overloaded; the same call may succeed later. Holds the cause, which names no secret.
    #[error("the key service is unavailable: {0}")]
    Unavailable(String),
    /// It will not: another context, altered bytes, a disabled or deleted key, or a missing permission.
    #[error("the key service refused")]
    Refused,
}

/// Makes and unwraps data keys under a master key that never leaves it. The contract suite of this module says what
/// every implementation must do.
#[async_trait]
pub trait KeyService: fmt::Debug + Send + Sync {
    /// A new random data key, bound to `context`.
    ///
    /// # Errors
    ///
    /// [`KeyServiceError`].
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<DataKey, KeyServiceError>;

    /// The key inside `wrapped`, if it was made by this service for exactly `context`.
    ///
    /// # Errors
    ///
    /// [`KeyServiceError`].
    async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<KeyBytes, KeyServiceError>;
}
