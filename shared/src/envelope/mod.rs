//! Secrets at rest: how a shared secret, a token or a hook's secret becomes bytes that may be stored.
//!
//! Envelope encryption as AWS describes it
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/kms-cryptography.html>): each secret is encrypted with
//! AES-256-GCM under a data key, and the data key is stored beside it, wrapped by a [`KeyService`]. A data key is a site's,
//! for one purpose, so that whoever opens many secrets of a site asks the key service once. What a secret belongs to, its
//! [`Context`], is authenticated: its site and purpose with the data key, these and its record with the secret. So a stored
//! value that is moved to another record is refused. Where sealed values are stored is `store`'s business; what they mean is
//! their owner's.

mod cipher;
mod context;
#[cfg(test)]
pub(crate) mod contract;
mod key_file;
mod key_service;
mod kms;
mod sealed;
mod vault;

pub use context::{Context, EncryptionContext, Purpose};
pub use key_file::{KeyFile, KeyFileError};
pub use key_service::{DataKey, KeyBytes, KeyService, KeyServiceError};
pub use kms::Kms;
pub use sealed::Sealed;
pub use vault::{Envelope, EnvelopeError};
