//! From an installation to a client: opens the sealed credential, and says how the connection authenticates its calls.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::client::{Authentication, JiraClient};
pub use super::tokens::AccessTokens;
use crate::clock::SharedClock;
use crate::domain::{Connection, Installation, Site};
use crate::envelope::{Context, Envelope, EnvelopeError, Purpose};
use crate::outbound::{GuardError, HostGuard};

/// How long after an install the permissions of a Forge app need to reach all of Jira
/// (<https://developer.atlassian.com/platform/forge/remote/essentials/>).
const PROPAGATION_TIME: Duration = Duration::from_secs(600);

/// Opens connections.
#[derive(Clone, Debug)]
pub struct Connections {
    /// The client that calls Jira: no redirects.
    pub http: reqwest::Client,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Opens credentials.
    pub envelope: Arc<Envelope>,
    /// Tells the time.
    pub clock: SharedClock,
    /// The Connect app's key.
    pub app_key: String,
    /// Atlassian's API gateway.
    pub api_url: Url,
    /// Tokens of client credentials.
    pub tokens: AccessTokens,
}

/// A connection can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The credential can't be opened.
    #[error("the site's credential can't be opened")]
    Secret(#[from] EnvelopeError),
    /// The site's address must not be called.
    #[error("the site's address is not allowed: {0}")]
    Address(#[from] GuardError),
    /// The site's id is not known yet, and this connection needs it.
    #[error("the site's cloud id is not known")]
    CloudId,
    /// Forge has delivered no token that can still be used.
    #[error("Forge has not delivered a new token")]
    AwaitingToken,
}

impl Connections {
    /// A client that speaks to `site` through `installation`.
    pub async fn open(
        &self,
        site: &Site,
        installation: &Installation,
    ) -> Result<JiraClient, ConnectionError> {
        let authentication = match &installation.connection {
            Connection::Connect { shared_secret, .. } => Authentication::Connect {
                app_key: self.app_key.clone(),
                shared_secret: self
                    .envelope
                    .open(
                        shared_secret,
                        &Context::installation(site.id, installation.id, Purpose::SharedSecret),
                    )
                    .await?,
            },
            Connection::OauthCredentials { client_id, client_secret } => {
                let context = Context::installation(site.id, installation.id, Purpose::ClientSecret);
                let client_secret = self.envelope.open(client_secret, &context).await?;
                let cloud_id = site.cloud_id.clone().ok_or(ConnectionError::CloudId)?;
                self.client_credentials(cloud_id, client_id.clone(), client_secret)
            }
            Connection::Forge { token, .. } => {
                let now = self.clock.now();
                let usable = token.as_ref().filter(|token| token.usable_until > now);
                let sealed = usable.ok_or(ConnectionError::AwaitingToken)?;
                let context = Context::installation(site.id, installation.id, Purpose::SystemToken);
                Authentication::Forge {
                    api_url: self.api_url.clone(),
                    cloud_id: site.cloud_id.clone().ok_or(ConnectionError::CloudId)?,
                    token: self.envelope.open(&sealed.token, &context).await?,
                    settled_at: installation.installed_at.after(PROPAGATION_TIME),
                }
            }
        };
        // Only a Connect app calls the site itself; the others' gateway is configuration.
        let base_url = match &authentication {
            Authentication::Connect { .. } => self.guard.check(&site.base_url)?,
            Authentication::OauthCredentials { .. } | Authentication::Forge { .. } => self.api_url.clone(),
        };
        Ok(JiraClient::new(self.http.clone(), self.clock.clone(), base_url, authentication))
    }

    /// The access of a credential that is not stored yet.
    #[must_use]
    pub fn client_credentials(
        &self,
        cloud_id: String,
        client_id: String,
        client_secret: SecretString,
    ) -> Authentication {
        let (api_url, tokens) = (self.api_url.clone(), self.tokens.clone());
        Authentication::OauthCredentials { api_url, cloud_id, client_id, client_secret, tokens }
    }
}
