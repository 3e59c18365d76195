//! Access tokens of OAuth credentials: asked for once per credential and process, and kept while they can be used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use super::error::{JiraError, read};
use super::measure::measure;
use crate::clock::Timestamp;
use crate::domain::{Api, ConnectionKind};

/// Tokens of more credentials than this are not kept: one process serves few sites at a time.
const MAX_TOKENS: usize = 100;

/// Access tokens got with client credentials, by client id. Shared by all clients of a process.
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

/// The moment from which a token is not used any more, so that it does not expire on its way.
fn usable_until(now: Timestamp, expires_in: Duration) -> Timestamp {
    now.after(expires_in.saturating_sub(Duration::from_secs(60)))
}
