//! Answers the page that links groups where it runs inside the Forge app: the same API as in a Connect app's frame. What the
//! API does belongs to `shared::page`, and the page itself is part of the Forge app.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::Value;
use shared::bundle::FORGE_PAGE;
use shared::config::{ForgeFunction, PageFunction, Variables};
use shared::http::{Error, ForgeAdmin, ForgeGate};
use shared::install::forge::Admission;
use shared::outbound::OutboundClientError;
use shared::page::{self, Host, PageApi};
use shared::services::Services;

/// A request of the page is a few hundred bytes; the longest holds a list of project keys.
const MAX_BODY: usize = 64 * 1024;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What authenticates Forge's calls.
    pub forge: ForgeFunction,
    /// What the page's API works with.
    pub page: PageFunction,
}

impl Config {
    /// Reads what [`ForgeFunction`] and [`PageFunction`] read.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let (forge, page) = (ForgeFunction::read(variables), PageFunction::read(variables));
        Some(Self { forge: forge?, page: page? })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct ForgePage {
    gate: ForgeGate,
    api: PageApi,
}

impl FromRef<ForgePage> for ForgeGate {
    fn from_ref(state: &ForgePage) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Router, OutboundClientError> {
    let state =
        ForgePage { gate: services.forge_gate(&config.forge)?, api: services.page_api(&config.page)? };
    let routes = Router::new().route(FORGE_PAGE.path, post(api)).layer(DefaultBodyLimit::max(MAX_BODY));
    Ok(routes.with_state(state))
}

/// Forge shows the page no answer but JSON
/// (<https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>).
async fn api(State(state): State<ForgePage>, call: Result<ForgeAdmin, Error>, body: Bytes) -> Response {
    match answer(&state, call, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => error.into_json(),
    }
}

async fn answer(state: &ForgePage, call: Result<ForgeAdmin, Error>, body: &[u8]) -> Result<Value, Error> {
    let call = call?;
    let request = page::request(body)?;
    match state.gate.admit(&call.invocation, call.system_token.as_ref()).await? {
        Admission::Open(site, installation) => {
            let account = Some(call.person.account_id.as_str());
            let who = state.api.administrator(*site, &installation, account, Host::Forge).await?;
            Ok(state.api.answer(&who, request).await?)
        }
        Admission::Outdated => Err(Error::new(
            StatusCode::CONFLICT,
            "This installation of the app was replaced or uninstalled: reload the page, or install the app again.",
        )),
    }
}
