//! A refusal of the page's API: what kind it is, for the page, and a sentence with the remedy, for the person.

use std::error::Error as StdError;

use ::http::StatusCode;
use serde::Serialize;

use crate::envelope::EnvelopeError;
use crate::queue::QueueError;
use crate::store::StoreError;

/// What a refusal means for what the page does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The request is not one that the page makes.
    InvalidRequest,
    /// Jira says that the person does not administer it.
    NotAdministrator,
    /// What the request names is not there, or not of this site.
    NotFound,
    /// Signing in to GitLab has to be done again.
    SignInEnded,
    /// The code is not the one that was shown.
    WrongCode,
    /// No OAuth application is known for this GitLab yet.
    ApplicationMissing,
    /// GitLab or Jira refuses, or what was given can't be.
    Refused,
    /// Something does not answer now.
    Unavailable,
}

impl Cause {
    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::NotAdministrator => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignInEnded | Self::ApplicationMissing => StatusCode::CONFLICT,
            Self::WrongCode | Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request of the page that was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct PageError {
    /// Its kind.
    pub cause: Cause,
    /// What is wrong and what to do about it.
    pub sentence: String,
    /// What happened, for the log.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl PageError {
    pub(super) fn new(cause: Cause, sentence: impl Into<String>) -> Self {
        // It may quote a server that nobody vouches for.
        let sentence: String = sentence.into();
        Self { cause, sentence: sentence.replace(char::is_control, " "), source: None }
    }

    pub(super) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn sign_in_ended() -> Self {
        Self::new(Cause::SignInEnded, "Signing in to GitLab has ended: sign in again.")
    }

    fn ours(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Cause::Unavailable, "The app can't read or write its own state now: try again in a minute.")
            .because(source)
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::ours(error)
    }
}

impl From<EnvelopeError> for PageError {
    fn from(error: EnvelopeError) -> Self {
        Self::ours(error)
    }
}

impl From<QueueError> for PageError {
    fn from(error: QueueError) -> Self {
        Self::ours(error)
    }
}
