//! Jira's provider APIs through any connection. One client, three ways to address and to sign a call; what
//! is sent and what an answer leads to belong to `sync::apply`.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::answer::Answer;
pub use super::error::JiraError;
use super::error::read;
use super::limit::TimeLimit;
use super::measure::measure;
use super::tokens::{AccessTokens, ClientCredentials};
use crate::clock::{SharedClock, Timestamp};
use crate::domain::{Api, ConnectionKind};
use crate::jwt::{Request, symmetric};
use crate::outbound::TOTAL_TIMEOUT;

/// The path of an API on the site itself.
fn site_path(api: Api) -> String {
    let version = if api == Api::DevInfo { "0.10" } else { "0.1" };
    format!("/rest/{}/{version}", api.name())
}

/// The path of an API on Atlassian's API gateway, which numbers dev info otherwise.
fn gateway_path(api: Api, cloud_id: &str) -> String {
    format!("/jira/{}/0.1/cloud/{cloud_id}", api.name())
}

/// How calls are addressed and signed.
#[derive(Clone)]
pub enum Authentication {
    /// Connect: to the site, with a token signed for this one request.
    Connect {
        /// The app's key: who we are.
        app_key: String,
        /// What both sides sign with.
        shared_secret: SecretString,
    },
    /// OAuth credentials: to the gateway, with a Bearer token.
    OauthCredentials {
        /// The gateway.
        api_url: Url,
        /// The site.
        cloud_id: String,
        /// The client id.
        client_id: String,
        /// The client secret.
        client_secret: SecretString,
        /// Tokens got with credentials like this one.
        tokens: AccessTokens,
    },
    /// A Forge app: to the site's paths on the gateway, with a Bearer token that Forge brought.
    Forge {
        /// The gateway.
        api_url: Url,
        /// The site.
        cloud_id: String,
        /// The token.
        token: SecretString,
        /// From when on a refusal means something.
        settled_at: Timestamp,
    },
}

impl Authentication {
    /// The kind of connection that it is for.
    fn connection(&self) -> ConnectionKind {
        match self {
            Self::Connect { .. } => ConnectionKind::Connect,
            Self::OauthCredentials { .. } => ConnectionKind::OauthCredentials,
            Self::Forge { .. } => ConnectionKind::Forge,
        }
    }
}

/// A Jira site through one installation.
#[derive(Clone)]
pub struct JiraClient {
    http: reqwest::Client,
    clock: SharedClock,
    base_url: Url,
    authentication: Authentication,
    /// What a call may take as a whole.
    call_time: Duration,
}

impl fmt::Debug for JiraClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JiraClient")
            .field("base_url", &self.base_url.as_str())
            .finish_non_exhaustive()
    }
}

impl JiraClient {
    /// A client for the site at `base_url`, which the host guard has let through.
    #[must_use]
    pub fn new(
        http: reqwest::Client,
        clock: SharedClock,
        base_url: Url,
        authentication: Authentication,
    ) -> Self {
        Self { http, clock, base_url, authentication, call_time: TOTAL_TIMEOUT }
    }

    /// Stores entities: `POST /bulk`.
    pub async fn submit<B: Serialize + Sync>(&self, api: Api, body: &B) -> Result<Answer, JiraError> {
        let body = serde_json::to_vec(body).map_err(|_| JiraError::Unexpected(StatusCode::BAD_REQUEST))?;
        let call = ApiRequest { body: Some(body.into()), ..self.request(api, Method::POST, "/bulk") };
        let answer = self.call(call).await?;
        Ok(Answer::parse(&answer))
    }

    /// Removes an entity, as long as nothing newer than `number` is stored of it. Jira accepts that of one that is not there,
    /// too. `segments` name it below the API's path and are encoded here.
    pub async fn delete(&self, api: Api, segments: &[&str], number: Option<i64>) -> Result<(), JiraError> {
        let path = segments.iter().fold(String::new(), |mut path, segment| {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
            path
        });
        let query = number.map(|number| format!("_updateSequenceId={number}"));
        let call = self.request(api, Method::DELETE, &path);
        self.call(ApiRequest { query: query.as_deref(), ..call }).await.map(drop)
    }

    /// Removes everything that was sent with all of `properties`.
    pub async fn delete_by_properties(&self, api: Api, properties: &[(&str, &str)]) -> Result<(), JiraError> {
        let query = properties
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, SEGMENT)))
            .collect::<Vec<_>>()
            .join("&");
        let call = self.request(api, Method::DELETE, "/bulkByProperties");
        self.call(ApiRequest { query: Some(&query), ..call }).await.map(drop)
    }

    /// Whether the credential works: makes a call whose answer is not used.
    pub async fn check(&self) -> Result<(), JiraError> {
        let call = self.request(Api::DevInfo, Method::GET, "/existsByProperties");
        self.call(ApiRequest { query: Some("check=1"), ..call }).await.map(drop)
    }

    /// Whether Jira has a project with this key; `None` through a connection that can't ask.
    pub async fn has_project(&self, key: &str) -> Result<Option<bool>, JiraError> {
        let path = format!("/rest/api/3/project/{}", utf8_percent_encode(key, SEGMENT));
        let call = ApiRequest { what: "project", ..self.request(Api::DevInfo, Method::GET, &path) };
        let Some(answer) = self.platform_call(call).await else { return Ok(None) };
        match answer {
            Ok(_) => Ok(Some(true)),
            Err(JiraError::NotFound) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Atlassian's id of the site. Proves nothing: anybody may ask.
    pub async fn cloud_id(&self) -> Result<String, JiraError> {
        cloud_id(&self.http, &self.base_url).await
    }

    /// A request that is made now.
    fn request<'a>(&self, api: Api, method: Method, path: &'a str) -> ApiRequest<'a> {
        let (what, limit) = (api.name(), TimeLimit::after(self.call_time));
        ApiRequest { api, what, method, path, query: None, body: None, without_xsrf_check: false, limit }
    }

    /// A call of Jira's platform REST API, whose path is the same on the site and on the gateway; `None` through a connection
    /// that can't make one.
    async fn platform_call(&self, call: ApiRequest<'_>) -> Option<Result<Vec<u8>, JiraError>> {
        match &self.authentication {
            Authentication::Connect { .. } => Some(self.signed_call(call).await),
            Authentication::Forge { .. } => Some(self.forge_call(call).await),
            Authentication::OauthCredentials { .. } => None,
        }
    }

    async fn call(&self, call: ApiRequest<'_>) -> Result<Vec<u8>, JiraError> {
        match &self.authentication {
            Authentication::Connect { .. } => {
                let path = site_path(call.api) + call.path;
                self.signed_call(ApiRequest { path: &path, ..call }).await
            }
            Authentication::OauthCredentials { cloud_id, .. } => {
                let path = gateway_path(call.api, cloud_id) + call.path;
                self.bearer_call(ApiRequest { path: &path, ..call }).await
            }
            Authentication::Forge { .. } => {
                let path = site_path(call.api) + call.path;
                self.forge_call(ApiRequest { path: &path, ..call }).await
            }
        }
    }

    async fn signed_call(&self, call: ApiRequest<'_>) -> Result<Vec<u8>, JiraError> {
        let Authentication::Connect { app_key, shared_secret } = &self.authentication else {
            return Err(JiraError::Unexpected(StatusCode::BAD_REQUEST));
        };
        let request = Request { method: call.method.as_str(), path: call.path, query: call.query };
        let claims = symmetric::AppClaims::new(app_key, &request, self.clock.now());
        let token = symmetric::sign(&claims, shared_secret).map_err(|_| JiraError::Unauthorized)?;
        self.send(&self.base_url, call, format!("JWT {}", token.expose_secret())).await
    }

    async fn bearer_call(&self, call: ApiRequest<'_>) -> Result<Vec<u8>, JiraError> {
        let Authentication::OauthCredentials { api_url, client_id, client_secret, tokens, .. } =
            &self.authentication
        else {
            return Err(JiraError::Unexpected(StatusCode::BAD_REQUEST));
        };
        let credentials = ClientCredentials { http: &self.http, api_url, client_id, client_secret };
        let token = tokens.get(credentials, None, self.clock.now(), call.limit).await?;
        match self.send(api_url, call.clone(), token.authorization()).await {
            // The token may have been revoked before its time; a new one tells.
            Err(JiraError::Unauthorized) => {
                let token = tokens.get(credentials, Some(&token), self.clock.now(), call.limit).await?;
                self.send(api_url, call, token.authorization()).await
            }
            answer => answer,
        }
    }

    async fn forge_call(&self, call: ApiRequest<'_>) -> Result<Vec<u8>, JiraError> {
        let Authentication::Forge { api_url, cloud_id, token, settled_at } = &self.authentication else {
            return Err(JiraError::Unexpected(StatusCode::BAD_REQUEST));
        };
        let path = format!("/ex/jira/{cloud_id}{}", call.path);
        let call = ApiRequest { path: &path, ..call };
        match self.send(api_url, call, format!("Bearer {}", token.expose_secret())).await {
            Err(JiraError::Unauthorized | JiraError::Forbidden(_)) if self.clock.now() < *settled_at => {
                Err(JiraError::PermissionsPropagating)
            }
            answer => answer,
        }
    }

    async fn send(
        &self,
        base: &Url,
        call: ApiRequest<'_>,
        authorization: String,
    ) -> Result<Vec<u8>, JiraError> {
        let (began, what, limit) = (Instant::now(), call.what, call.limit);
        let answer = limit.keep(self.try_send(base, call, authorization)).await;
        measure(self.authentication.connection(), what, began, &answer);
        answer
    }

    async fn try_send(
        &self,
        base: &Url,
        call: ApiRequest<'_>,
        authorization: String,
    ) -> Result<Vec<u8>, JiraError> {
        let query = call.query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{}{query}", base.as_str().trim_end_matches('/'), call.path);
        let mut authorization =
            header::HeaderValue::from_str(&authorization).map_err(|_| JiraError::Unauthorized)?;
        authorization.set_sensitive(true);
        let mut request = self
            .http
            .request(call.method, url)
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json");
        if let Some(body) = call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        if call.without_xsrf_check {
            request = request.header("x-atlassian-token", "no-check");
        }
        let response = request.send().await.map_err(|error| JiraError::NoAnswer(error.without_url()))?;
        read(call.api, response).await
    }
}

/// A request as far as it is the same through every connection.
#[derive(Clone, Debug)]
struct ApiRequest<'a> {
    api: Api,
    /// What it counts as.
    what: &'static str,
    method: Method,
    /// Encoded.
    path: &'a str,
    /// Encoded, without its `?`.
    query: Option<&'a str>,
    body: Option<Bytes>,
    /// Jira checks some calls as if a browser made them, unless it is told that none does
    /// (<https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#special-request-headers>).
    without_xsrf_check: bool,
    /// It ends by then, with all that it takes.
    limit: TimeLimit,
}

/// Encodes a value as one segment of a path or one value of a query. What needs no encoding stays as the query-string
/// hash wants it.
const SEGMENT: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Asks a site for Atlassian's id of it: `GET /_edge/tenant_info`, without any credential.
pub async fn cloud_id(http: &reqwest::Client, base_url: &Url) -> Result<String, JiraError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TenantInfo {
        cloud_id: String,
    }
    let url = format!("{}/_edge/tenant_info", base_url.as_str().trim_end_matches('/'));
    let response = http.get(url).send().await.map_err(|error| JiraError::NoAnswer(error.without_url()))?;
    let body = read(Api::DevInfo, response).await?;
    let info: TenantInfo =
        serde_json::from_slice(&body).map_err(|_| JiraError::Unexpected(StatusCode::OK))?;
    let well_formed = (1..=255).contains(&info.cloud_id.len())
        && info.cloud_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if well_formed { Ok(info.cloud_id) } else { Err(JiraError::Unexpected(StatusCode::OK)) }
}

mod administrators;
#[cfg(test)]
pub(crate) mod scripted_server;
#[cfg(test)]
mod tests;
