//! Callers that are Forge: the app itself, calling because something happened or because an hour is over, or an
//! administrator on the app's page in Jira. Follows
//! <https://developer.atlassian.com/platform/forge/remote/essentials/#the-forge-invocation-token-fit>. Which site calls
//! is in the token only; nothing in these calls' bodies is needed, so none is read.

use ::http::{HeaderMap, StatusCode, header};
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use secrecy::SecretString;

use super::Error;
use super::lifecycle::token_of;
use super::measured::CameThrough;
use crate::domain::ConnectionKind;
use crate::install::forge::{Admission, ForgeError, ForgeInstallations};
use crate::jwt::invocation::{Invocation, InvocationError, InvocationVerifier, Person};

/// The header that a system token comes in, where the manifest's endpoint asks for one.
const SYSTEM_TOKEN: &str = "x-forge-oauth-system";

/// Verifies calls of Forge, and keeps the tokens that they bring.
#[derive(Clone, Debug)]
pub struct ForgeGate {
    /// Verifies tokens; `None` without `FORGE_APP_ID`: every call then gets 404.
    pub verifier: Option<InvocationVerifier>,
    /// Stores installations and their tokens.
    pub installations: ForgeInstallations,
}

/// A call that Forge makes by itself: a lifecycle event, or its schedule.
#[derive(Debug)]
pub struct ForgeCall {
    /// What the token says.
    pub invocation: Invocation,
    /// The app's token for Jira, if the call brings one.
    pub system_token: Option<SecretString>,
}

/// A call that an administrator of the site makes on the app's page in Jira.
#[derive(Debug)]
pub struct ForgeAdmin {
    /// The administrator.
    pub person: Person,
    /// What the token says.
    pub invocation: Invocation,
    /// The app's token for Jira, if the call brings one.
    pub system_token: Option<SecretString>,
}

impl<S> FromRequestParts<S> for ForgeCall
where
    S: Send + Sync,
    ForgeGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let call = ForgeGate::from_ref(state).verify(&parts.headers).await?;
        // What a browser has a token for must not end an installation.
        if call.invocation.person.is_some() {
            return Err(unauthorized().because("a person's token on an endpoint of the app's own"));
        }
        CameThrough::of(&parts.extensions).note(ConnectionKind::Forge);
        Ok(call)
    }
}

impl<S> FromRequestParts<S> for ForgeAdmin
where
    S: Send + Sync,
    ForgeGate: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let ForgeCall { invocation, system_token } =
            ForgeGate::from_ref(state).verify(&parts.headers).await?;
        let person = invocation.person.clone().filter(|person| person.is_on_admin_page);
        let person = person.ok_or_else(|| unauthorized().because("not a token of the app's admin page"))?;
        CameThrough::of(&parts.extensions).note(ConnectionKind::Forge);
        Ok(Self { person, invocation, system_token })
    }
}

impl ForgeGate {
    async fn verify(&self, headers: &HeaderMap) -> Result<ForgeCall, Error> {
        let Some(verifier) = &self.verifier else {
            return Err(Error::new(
                StatusCode::NOT_FOUND,
                "No Forge app is set up here: set FORGE_APP_ID to its id.",
            ));
        };
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| token_of("Bearer", value))
            .ok_or_else(unauthorized)?;
        let invocation = verifier.verify(token).await.map_err(|error| match error {
            InvocationError::Refused(_) | InvocationError::Environment(_) => unauthorized().because(error),
            InvocationError::KeySetUnavailable(_) => Error::unavailable(error),
        })?;
        let system_token = headers.get(SYSTEM_TOKEN).and_then(|token| token.to_str().ok());
        let system_token = system_token.filter(|token| !token.is_empty()).map(SecretString::from);
        Ok(ForgeCall { invocation, system_token })
    }

    /// Admits the installation of a call that Forge makes by itself, with the token that such a call must bring.
    ///
    /// # Errors
    /// The error that Forge gets.
    pub async fn keep_token(&self, call: &ForgeCall) -> Result<Admission, Error> {
        let token = call.system_token.as_ref().ok_or_else(|| {
            Error::new(
                StatusCode::BAD_REQUEST,
                "The call brings no system token: the manifest's endpoint must enable appSystemToken.",
            )
        })?;
        self.admit(&call.invocation, Some(token)).await
    }

    /// Admits the installation that a call came from, and keeps the token that it brought.
    ///
    /// # Errors
    /// The error that the caller gets.
    pub async fn admit(
        &self,
        invocation: &Invocation,
        system_token: Option<&SecretString>,
    ) -> Result<Admission, Error> {
        self.installations.admit(invocation, system_token).await.map_err(refusal)
    }

    /// Closes the connection that a call came from.
    ///
    /// # Errors
    /// The error that Forge gets.
    pub async fn close(&self, call: &ForgeCall) -> Result<(), Error> {
        self.installations.close(&call.invocation).await.map(drop).map_err(refusal)
    }
}

fn refusal(error: ForgeError) -> Error {
    let (status, text) = match &error {
        ForgeError::ApiUrl(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "apiBaseUrl is not below ATLASSIAN_API_URL.")
        }
        ForgeError::NotAllowed(_) => {
            (StatusCode::FORBIDDEN, "This site may not install the app: add it to ALLOWED_JIRA_SITES.")
        }
        ForgeError::OtherSite(_) => (StatusCode::FORBIDDEN, "The installation belongs to another site."),
        ForgeError::NoAddress | ForgeError::Store(_) | ForgeError::Envelope(_) => {
            return Error::unavailable(error);
        }
    };
    Error::new(status, text).because(error)
}

/// Forge reads it as: the invocation token is not valid.
fn unauthorized() -> Error {
    Error::status(StatusCode::UNAUTHORIZED)
}
