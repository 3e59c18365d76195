//! Access tokens of OAuth credentials: asked for once per credential and process, and kept while they can be used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::error::{JiraError, read};
use super::limit::TimeLimit;
use super::measure::measure;
use crate::clock::Timestamp;
use crate::domain::{Api, ConnectionKind};

/// Tokens of more credentials than this are not kept: one process serves few sites at a time.
const MAX_CREDENTIALS: u64 = 100;

/// Access tokens got with client credentials, by client id. Shared by all clients of a process.
#[derive(Clone, Debug)]
pub struct AccessTokens(Cache<String, Arc<Tokens>>);

/// The tokens of one credential.
#[derive(Debug, Default)]
struct Tokens {
    kept: Mutex<Option<Arc<AccessToken>>>,
    /// Held while a token is asked for, so that many calls ask for one. Whoever finds a kept token does not wait for it, and
    /// no other credential does: an endpoint may hang for one of them.
    asking: tokio::sync::Mutex<()>,
}

/// A token.
#[derive(Debug)]
pub(super) struct AccessToken {
    token: SecretString,
    usable_until: Timestamp,
}

/// What a token is asked for with, and where.
#[derive(Clone, Copy)]
pub(super) struct ClientCredentials<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) api_url: &'a Url,
    pub(super) client_id: &'a str,
    pub(super) client_secret: &'a SecretString,
}

impl Default for AccessTokens {
    fn default() -> Self {
        // The least recently used makes room: by moka's other policy a new credential would not be kept beside busier ones.
        Self(Cache::builder().max_capacity(MAX_CREDENTIALS).eviction_policy(EvictionPolicy::lru()).build())
    }
}

impl AccessTokens {
    /// The token for a credential: a kept one, or a new one where none can be used any more, or none but the one that was
    /// `refused`.
    pub(super) async fn get(
        &self,
        credentials: ClientCredentials<'_>,
        refused: Option<&Arc<AccessToken>>,
        now: Timestamp,
        limit: TimeLimit,
    ) -> Result<Arc<AccessToken>, JiraError> {
        let tokens = self.0.get_with_by_ref(credentials.client_id, async { Arc::default() }).await;
        if let Some(kept) = tokens.usable(refused, now) {
            return Ok(kept);
        }
        let asking = async { Ok(tokens.asking.lock().await) };
        let _asking = limit.keep(asking).await?;
        // Whoever asked before may have got one.
        if let Some(kept) = tokens.usable(refused, now) {
            return Ok(kept);
        }
        let began = Instant::now();
        let answer = limit.keep(request_token(credentials)).await;
        measure(ConnectionKind::OauthCredentials, "token", began, &answer);
        let (token, expires_in) = answer?;
        Ok(tokens.keep(AccessToken { token, usable_until: usable_until(now, expires_in) }))
    }
}

impl Tokens {
    fn usable(&self, refused: Option<&Arc<AccessToken>>, now: Timestamp) -> Option<Arc<AccessToken>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_refused = |kept: &Arc<AccessToken>| refused.is_some_and(|refused| Arc::ptr_eq(refused, kept));
        kept.filter(|kept| kept.usable_until > now && !is_refused(kept))
    }

    fn keep(&self, token: AccessToken) -> Arc<AccessToken> {
        let token = Arc::new(token);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        token
    }
}

impl AccessToken {
    /// The header that authorizes a call.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.token.expose_secret())
    }
}

/// `POST /oauth/token` of Atlassian's gateway
/// (<https://developer.atlassian.com/cloud/jira/software/integrate-jsw-cloud-with-onpremises-tools/>).
async fn request_token(credentials: ClientCredentials<'_>) -> Result<(SecretString, Duration), JiraError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: SecretString,
        #[serde(default)]
        expires_in: u64,
    }
    let ClientCredentials { http, api_url, client_id, client_secret } = credentials;
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

/// The moment from which a token is not used any more, so that it does not expire on its way.
fn usable_until(now: Timestamp, expires_in: Duration) -> Timestamp {
    now.after(expires_in.saturating_sub(Duration::from_secs(60)))
}
