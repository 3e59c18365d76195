//! The key service of a deployed bundle: a symmetric key of AWS KMS, which never leaves it. KMS checks the context itself
//! and writes it into its audit log (<https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>). How
//! the client is made, with which timeouts and retries, is for whoever has it.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use zeroize::Zeroizing;

use super::context::EncryptionContext;
use super::key_service::{DataKey, KeyBytes, KeyService, KeyServiceError};
use crate::aws_error::cause;

/// What KMS says when the same call will not succeed later, unless somebody changes the key, its policy or our role
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors>, and the errors common to
/// all calls). Every other answer counts as an outage: work is held, not dead-lettered, and the code is in the error.
const REFUSALS: [&str; 11] = [
    "AccessDeniedException",
    "DisabledException",
    "IncorrectKeyException",
    "InvalidCiphertextException",
    "InvalidGrantIdException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "UnsupportedOperationException",
    "ValidationException",
];

/// A symmetric KMS key.
#[derive(Clone, Debug)]
pub struct Kms {
    client: Client,
    key_id: String,
}

impl Kms {
    /// The key with this id or ARN.
    #[must_use]
    pub fn new(client: Client, key_id: &str) -> Self {
        Self { client, key_id: key_id.to_owned() }
    }
}

#[async_trait]
impl KeyService for Kms {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<DataKey, KeyServiceError> {
        let made = self
            .client
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(encryption_context(context)))
            .send()
            .await
            .map_err(|error| failure(&error))?;
        let plaintext = key_bytes(made.plaintext)?;
        let wrapped = made.ciphertext_blob.ok_or_else(|| refused("no CiphertextBlob"))?.into_inner();
        Ok(DataKey { plaintext, wrapped })
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<KeyBytes, KeyServiceError> {
        // With the key's id, KMS refuses what another key has wrapped, ours or a stranger's.
        let opened = self
            .client
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped))
            .set_encryption_context(Some(encryption_context(context)))
            .send()
            .await
            .map_err(|error| failure(&error))?;
        key_bytes(opened.plaintext)
    }
}

fn encryption_context(context: &EncryptionContext) -> HashMap<String, String> {
    context.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The key in an answer. The SDK's copy is overwritten; the answer's own text, which it parsed, is out of reach.
fn key_bytes(plaintext: Option<Blob>) -> Result<KeyBytes, KeyServiceError> {
    // The only owner of a buffer gets that buffer, not a copy of it.
    let plaintext = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
    let mut key = KeyBytes::default();
    if plaintext.len() != key.len() {
        return Err(refused("Plaintext of another length"));
    }
    key.copy_from_slice(&plaintext);
    Ok(key)
}

/// What a call that gave no answer, or no key, means to the caller.
fn failure<E: ProvideErrorMetadata>(error: &SdkError<E>) -> KeyServiceError {
    match error.code() {
        Some(code) if REFUSALS.contains(&code) => refused(code),
        _ => KeyServiceError::Unavailable(cause(error).into_owned()),
    }
}

/// Callers learn only that there is no key; the log tells the operator a disabled key from a missing permission.
fn refused(code: &str) -> KeyServiceError {
    tracing::error!(kms.error = code, "KMS refused a data key");
    KeyServiceError::Refused
}

#[cfg(test)]
mod tests;
