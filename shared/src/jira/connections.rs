//! From an installation to a client: opens the sealed credential and knows how that connection signs its calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use super::client::{Authentication, JiraClient, JiraError, read, usable_until};
use super::measure::measure;
use crate::clock::{SharedClock, Timestamp};
use crate::domain::Api;
use crate::domain::{Connection, ConnectionKind, Installation, Site};
use crate::envelope::{Context, Envelope, EnvelopeError, Purpose};
use crate::outbound::{GuardError, HostGuard};

/// Tokens of more credentials than this are not kept: one process serves few sites at a time.
const MAX_TOKENS: usize = 100;

/// How long after an install the permissions of a Forge app need to reach all of Jira
/// (<https://developer.atlassian.com/platform/forge/remote/essentials/>).
const PROPAGATION_TIME: Duration = Duration::from_secs(600);

/// Authentication tokens got with client credentials, by client id. Shared by all clients of a process.
#[derive(Clone, Debug, Default)]
pub struct AccessTokens(Arc<Mutex<Vec<AccessToken>>>);

#[derive(Debug)]
struct AccessToken {
    client_id: String,
    token: SecretString,
    usable_until: Timestamp,
}

impl AccessTokens {
    /// The token for a credential: a kept one, or a new one where `fresh` asks for it or none can be used any more.
    /// Holding the lock during the request keeps many calls from asking for many tokens.
    pub(super) async fn get(
        &self,
        http: &reqwest::Client,
        api_url: &Url,
        client_id: &str,
        client_secret: &SecretString,
        now: Timestamp,
        fresh: bool,
    ) -> Result<SecretString, JiraError> {
        let mut tokens = self.0.lock().await;
        if !fresh
            && let Some(kept) =
                tokens.iter().find(|kept| kept.client_id == client_id && kept.usable_until > now)
        {
            return Ok(kept.token.clone());
        }
        let began = Instant::now();
        let answer = request_token(http, api_url, client_id, client_secret).await;
        measure(ConnectionKind::OauthCredentials, "token", began, &answer);
        let (token, expires_in) = answer?;
        tokens.retain(|kept| kept.client_id != client_id && kept.usable_until > now);
        tokens.truncate(MAX_TOKENS - 1);
        tokens.push(AccessToken {
            client_id: client_id.to_owned(),
            token: token.clone(),
            usable_until: usable_until(now, expires_in),
        });
        Ok(token)
    }
}

/// `POST /oauth/token` of Atlassian's gateway
/// (<https://developer.atlassian.com/cloud/jira/software/integrate-jsw-cloud-with-onpremises-tools/>).
async fn request_token(
    http: &reqwest::Client,
    api_url: &Url,
    client_id: &str,
    client_secret: &SecretString,
) -> Result<(SecretString, Duration), JiraError> {
    use secrecy::ExposeSecret;
    #[derive(Deserialize)]
    struct Answer {
        access_token: SecretString,
        #[serde(default)]
        expires_in: u64,
    }
    let url = format!("{}/oauth/token", api_url.as_str().trim_end_matches('/'));
    let body = json!({
        "audience": "api.atlassian.com", "grant_type": "client_credentials",
        "client_id": client_id, "client_secret": client_secret.expose_secret(),
    });
    let response =
        http.post(url).json(&body).send().await.map_err(|error| JiraError::NoAnswer(error.without_url()))?;
    let answer = match read(Api::DevInfo, response).await {
        // To a credential that it does not know any more Atlassian answers 401 or 403, and OAuth itself asks for a 400
        // (<https://www.rfc-editor.org/rfc/rfc6749#section-5.2>). None of them is about the data of a call.
        Err(JiraError::Forbidden(_) | JiraError::BadRequest(_)) => Err(JiraError::Unauthorized),
        answer => answer,
    }?;
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|_| JiraError::Unexpected(http::StatusCode::OK))?;
    Ok((answer.access_token, Duration::from_secs(answer.expires_in)))
}

/// What it takes to open any connection.
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
    /// Forge has brought no token that can still be used.
    #[error("Forge has not brought a new token")]
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
