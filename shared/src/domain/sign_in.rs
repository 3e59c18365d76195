//! A person's signing in to GitLab, between the page that asks for it and the token that it yields.

use serde::{Deserialize, Serialize};

use super::{SignInId, SiteId};
use crate::envelope::Sealed;

/// A sign-in. Good for one site and one Atlassian account, whoever else gets to know its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignIn {
    /// Our id; part of OAuth's `state`.
    pub id: SignInId,
    /// The Jira site.
    pub site: SiteId,
    /// The Atlassian account that began it.
    pub account: String,
    /// Base URL of the GitLab instance, without a trailing slash.
    pub instance: String,
    /// The origin of the page that waits for it in the window that opened GitLab's, if it is one of ours.
    #[serde(default)]
    pub opener: Option<String>,
    /// How far it has come.
    #[serde(flatten)]
    pub stage: SignInStage,
}

/// How far a sign-in has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum SignInStage {
    /// The person is at GitLab.
    Begun {
        /// The id of GitLab's OAuth application.
        application_id: String,
        /// SHA-256 of the secret half of OAuth's `state`.
        state: String,
        /// PKCE's code verifier.
        verifier: Sealed,
    },
    /// GitLab issued a token; that it was this administrator who authorized is not proved yet.
    Authorized {
        /// GitLab's user name of the person.
        username: String,
        /// The token.
        token: Sealed,
        /// The id of GitLab's OAuth application.
        application_id: String,
        /// SHA-256 of the code that the page has to bring.
        code: String,
        /// How many wrong codes were brought.
        wrong_codes: u32,
    },
    /// The token may be used.
    Confirmed {
        /// GitLab's user name of the person.
        username: String,
        /// The token.
        token: Sealed,
        /// Where it came from.
        source: TokenSource,
    },
}

/// Where the token of a sign-in came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum TokenSource {
    /// From GitLab's OAuth application with this id: it ends after two hours and is revoked before.
    Oauth {
        /// The application.
        application_id: String,
    },
    /// A person pasted it.
    Pasted,
}
