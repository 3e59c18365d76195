//! Serves the page that links groups: the document in Jira's frame of a Connect app, the page's files, its API, and the
//! window in which a person signs in to GitLab. What the API does belongs to `shared::page`.

mod documents;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde::Deserialize;
use shared::bundle::{CONNECT_BASE, OAUTH_CALLBACKS, SUBSCRIPTIONS, SUBSCRIPTIONS_API, SUBSCRIPTIONS_ASSETS};
pub use shared::config::PageFunction as Config;
use shared::http::{Error, JiraFrame, JiraScript, TenantGate};
use shared::outbound::OutboundClientError;
use shared::page::{self, Host, PageApi, Returned};
use shared::services::Services;

/// A request of the page is a few hundred bytes; the longest holds a list of project keys.
const MAX_BODY: usize = 64 * 1024;

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Subscriptions {
    gate: TenantGate,
    api: PageApi,
    /// Where the page's files are.
    assets: Arc<str>,
    /// Atlassian's script for pages in Jira's frame.
    connect_js: Arc<str>,
}

impl FromRef<Subscriptions> for TenantGate {
    fn from_ref(state: &Subscriptions) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Router, OutboundClientError> {
    let folder = format!("{}{CONNECT_BASE}/subscriptions/assets", config.identity.path_prefix());
    Ok(router(Subscriptions {
        gate: services.tenant_gate(&config.table_name, &config.kms_key_id),
        api: services.page_api(config)?,
        assets: format!("{folder}/{}", page::version()).into(),
        connect_js: config.connect_js_url.as_str().into(),
    }))
}

/// Answers [`SUBSCRIPTIONS`], [`SUBSCRIPTIONS_ASSETS`], [`SUBSCRIPTIONS_API`] and [`OAUTH_CALLBACKS`].
pub fn router(state: Subscriptions) -> Router {
    Router::new()
        .route(SUBSCRIPTIONS.path, get(frame))
        .route(SUBSCRIPTIONS_ASSETS.path, get(asset))
        .route(SUBSCRIPTIONS_API.path, post(api))
        .route(OAUTH_CALLBACKS.path, get(callback))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

/// The document. Whether the person is an administrator is asked with each call of its script.
async fn frame(State(state): State<Subscriptions>, JiraFrame(user): JiraFrame) -> Response {
    let document = page::page("connect", &state.assets, &[&state.connect_js]);
    documents::framed(document, &user, &state.connect_js)
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Result<Response, Error> {
    documents::asset(&version, &name).ok_or_else(|| Error::status(StatusCode::NOT_FOUND))
}

async fn api(State(state): State<Subscriptions>, caller: Result<JiraScript, Error>, body: Bytes) -> Response {
    match answer(&state, caller, &body).await {
        Ok(answer) => ([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response(),
        Err(error) => error.into_json(),
    }
}

async fn answer(
    state: &Subscriptions,
    caller: Result<JiraScript, Error>,
    body: &[u8],
) -> Result<serde_json::Value, Error> {
    let JiraScript(user) = caller?;
    let request = page::request(body)?;
    let (site, account) = (user.site, user.account_id.as_deref());
    let who = state.api.administrator(site, &user.installation, account, Host::Connect).await?;
    Ok(state.api.answer(&who, request).await?)
}

/// What GitLab adds to the redirect URI (RFC 6749, 4.1.2).
#[derive(Debug, Deserialize)]
struct CallbackQuery {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

async fn callback(
    State(state): State<Subscriptions>,
    Query(query): Query<CallbackQuery>,
) -> Result<Response, Error> {
    let CallbackQuery { state: returned, code, error } = query;
    let callback = state.api.callback(Returned { state: returned, code, error }).await?;
    Ok(documents::alone(page::callback_page(&state.assets, &callback)))
}
