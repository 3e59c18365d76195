//! Forge's invocation tokens, which come with every call of a Forge app to its remote, RS256 only
//! (<https://developer.atlassian.com/platform/forge/remote/essentials/#the-forge-invocation-token-fit>). Which site and
//! whose call it is comes from here and nowhere else; what a call may do belongs to `http`.

use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::TokenError;
use super::key_id::KeyId;
use super::key_set::KeySet;
use super::keystore::KeyError;
use super::unverified::{Unverified, numeric_date, one_or_many};
use crate::clock::{SharedClock, Timestamp};

/// Who makes invocation tokens.
const ISSUER: &str = "forge/invocation-token";

/// The one environment whose installations count. A developer's own are installed beside it on the same site, with the
/// same app id, and must not take its place.
const ENVIRONMENT: &str = "PRODUCTION";

/// The type of the module of the app's page.
const ADMIN_PAGE: &str = "jira:adminPage";

/// How far clocks may differ. These tokens live for 25 seconds.
const LEEWAY: Duration = Duration::from_secs(5);

/// Ids are ARIs of some hundred bytes.
const MAX_ID: usize = 512;

/// Why an invocation was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvocationError {
    /// The token is not good for this app. One answer for all reasons: 401, empty.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// Made for another environment of the app.
    #[error("the token is of the environment {0}, and only PRODUCTION counts")]
    Environment(String),
    /// The token could not be verified, because the keys could not be fetched. Holds the cause.
    #[error("the key set is unavailable: {0}")]
    KeySetUnavailable(String),
}

/// An invocation token was verified, and this is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// Forge's id of the installation.
    pub installation_id: String,
    /// Atlassian's id of the site.
    pub cloud_id: String,
    /// Where the site's REST API is, as Forge says.
    pub api_base_url: String,
    /// The version of the app that is installed, if Forge says.
    pub app_version: Option<String>,
    /// The person on the app's page in Jira; `None` when Forge calls by itself.
    pub person: Option<Person>,
    /// When the token was made.
    pub issued_at: Timestamp,
}

#[cfg(test)]
impl Invocation {
    /// A call that Forge makes by itself.
    pub(crate) fn for_test(
        installation: &str,
        cloud: &str,
        api_base_url: &str,
        issued_at: Timestamp,
    ) -> Self {
        Self {
            installation_id: installation.to_owned(),
            cloud_id: cloud.to_owned(),
            api_base_url: api_base_url.to_owned(),
            app_version: None,
            person: None,
            issued_at,
        }
    }
}

/// Somebody on the app's admin page, which Jira opens for administrators only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The Atlassian account.
    pub account_id: String,
    /// Where the person sees the site, if Forge says.
    pub site_url: Option<String>,
    /// Whether the page is the app's admin page.
    pub is_on_admin_page: bool,
}

/// Verifies invocation tokens of one app.
#[derive(Clone, Debug)]
pub struct InvocationVerifier {
    keys: KeySet,
    app_id: String,
    clock: SharedClock,
}

/// The claims as Forge writes them.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    aud: Vec<String>,
    #[serde(default, deserialize_with = "numeric_date")]
    iat: Option<i64>,
    #[serde(default, deserialize_with = "numeric_date")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "numeric_date")]
    exp: Option<i64>,
    app: App,
    #[serde(default)]
    context: Option<Context>,
    principal: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    installation_id: String,
    api_base_url: String,
    app_version: Option<String>,
    #[serde(default)]
    installation: Option<Installation>,
    environment: Environment,
    #[serde(default)]
    module: Option<Module>,
}

#[derive(Debug, Default, Deserialize)]
struct Installation {
    #[serde(default)]
    contexts: Vec<InstallationContext>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstallationContext {
    cloud_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    r#type: String,
}

#[derive(Debug, Deserialize)]
struct Module {
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    cloud_id: Option<String>,
    site_url: Option<String>,
}

impl InvocationVerifier {
    /// A verifier for the app with this id, an ARI as `forge register` prints it.
    #[must_use]
    pub fn new(keys: KeySet, app_id: String, clock: SharedClock) -> Self {
        Self { keys, app_id, clock }
    }

    /// Verifies that `token` was made by Forge, for this app in production, and is in its time. What anybody could check
    /// is checked first, so that a stranger's token costs no fetch and no RSA.
    ///
    /// # Errors
    /// [`InvocationError`].
    pub async fn verify(&self, token: &str) -> Result<Invocation, InvocationError> {
        let token = Unverified::<Claims>::parse_as(token)?;
        let kid = self.check(&token)?;
        let key = self.keys.key(&kid).await.map_err(|error| match error {
            KeyError::Unknown => InvocationError::Refused(TokenError::UnknownKey),
            KeyError::Unavailable(cause) => InvocationError::KeySetUnavailable(cause),
        })?;
        key.verify_rs256(&token)?;
        token.claims.read()
    }

    fn check(&self, token: &Unverified<'_, Claims>) -> Result<KeyId, TokenError> {
        if token.claimed_algorithm() != "RS256" {
            return Err(TokenError::Algorithm);
        }
        let kid = KeyId::parse(token.claimed_key_id().ok_or(TokenError::KeyId)?)?;
        let (claims, now) = (&token.claims, self.clock.now());
        if claims.iss.as_deref() != Some(ISSUER) {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.contains(&self.app_id) {
            return Err(TokenError::Audience);
        }
        let is_early = claims.nbf.is_some_and(|nbf| now.after(LEEWAY).seconds() < nbf);
        if is_early || claims.exp.is_none_or(|exp| now.before(LEEWAY).seconds() >= exp) {
            return Err(TokenError::Expired);
        }
        Ok(kid)
    }
}

impl Claims {
    fn read(self) -> Result<Invocation, InvocationError> {
        let malformed = InvocationError::Refused(TokenError::Malformed);
        if !self.app.environment.r#type.eq_ignore_ascii_case(ENVIRONMENT) {
            let environment = self.app.environment.r#type.chars().take(32).collect();
            return Err(InvocationError::Environment(environment));
        }
        let (of_context, site_url) =
            self.context.map_or((None, None), |context| (context.cloud_id, context.site_url));
        let of_installation = self.app.installation.unwrap_or_default().contexts;
        let mut cloud_ids = of_installation.into_iter().filter_map(|context| context.cloud_id);
        // A call of a trigger may have no context; the address of the site's API names the site, too.
        let of_address = || self.app.api_base_url.rsplit_once("/ex/jira/").map(|(_, id)| id.to_owned());
        let cloud_id = of_context.or_else(|| cloud_ids.next()).or_else(of_address);
        let cloud_id = cloud_id.filter(|id| is_cloud_id(id)).ok_or_else(|| malformed.clone())?;
        let installation_id = self.app.installation_id;
        if installation_id.is_empty() || installation_id.len() > MAX_ID {
            return Err(malformed);
        }
        let is_on_admin_page = self.app.module.is_some_and(|module| module.r#type == ADMIN_PAGE);
        Ok(Invocation {
            installation_id,
            cloud_id,
            api_base_url: self.app.api_base_url,
            app_version: self.app.app_version,
            person: self.principal.map(|account_id| Person { account_id, site_url, is_on_admin_page }),
            issued_at: Timestamp(self.iat.ok_or(malformed)?.saturating_mul(1000)),
        })
    }
}

/// Atlassian's ids of sites are UUIDs.
fn is_cloud_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;
