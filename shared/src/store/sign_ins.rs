//! Sign-ins to GitLab. They end by themselves, and every step of one happens once: whoever is second finds that it changed.

use std::time::Duration;

use super::{Key, Store, StoreError, Stored, When};
use crate::domain::{SignIn, SignInId};

/// How long a person may take at GitLab.
pub const SIGN_IN_TIME: Duration = Duration::from_secs(600);

/// How long a person's token is kept: what GitLab's own OAuth tokens live
/// (<https://docs.gitlab.com/api/oauth2/#authorization-code-with-proof-key-for-code-exchange-pkce>).
pub const TOKEN_TIME: Duration = Duration::from_secs(2 * 3600);

impl Store {
    /// A sign-in that has not ended.
    pub async fn sign_in(&self, id: SignInId) -> Result<Option<Stored<SignIn>>, StoreError> {
        self.get(&key(id)).await
    }

    /// Stores a new sign-in.
    pub async fn begin_sign_in(&self, sign_in: &SignIn, lifetime: Duration) -> Result<(), StoreError> {
        self.put(&key(sign_in.id), sign_in, When::Absent, Some(lifetime)).await
    }

    /// Stores the next stage of a sign-in.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it changed since it was read.
    pub async fn advance_sign_in(
        &self,
        read: &Stored<SignIn>,
        next: &SignIn,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.put(&key(next.id), next, When::Unchanged(read.revision), Some(lifetime)).await
    }

    /// Forgets a sign-in.
    pub async fn end_sign_in(&self, id: SignInId) -> Result<(), StoreError> {
        self.delete_many(&[key(id)]).await
    }
}

fn key(id: SignInId) -> Key {
    Key::new(format!("SIGNIN#{id}"), "SIGNIN")
}
