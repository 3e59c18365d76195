//! Tells a GitLab for Jira page which OAuth application of this GitLab to sign in with. Public, as GitLab's own is; pages
//! of one other origin, the proxy's, may read it from a browser.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::json;
use shared::bundle::OAUTH_APPLICATION_ID;
use shared::config::Variables;

/// What the function needs.
#[derive(Clone, Debug)]
pub struct OauthApplicationId {
    /// The id, unless none is configured.
    pub application_id: Option<String>,
    /// The origin that may read it, byte for byte.
    pub allowed_origin: Option<String>,
}

impl OauthApplicationId {
    /// Reads `OAUTH_APPLICATION_ID` and `PROXY_URL`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let application_id = variables.optional("OAUTH_APPLICATION_ID");
        let proxy = match variables.optional("PROXY_URL") {
            Some(_) => Some(variables.url("PROXY_URL", "")?),
            None => None,
        };
        Some(Self { application_id, allowed_origin: proxy.map(|url| url.origin().ascii_serialization()) })
    }
}

/// Answers [`OAUTH_APPLICATION_ID`].
pub fn router(state: OauthApplicationId) -> Router {
    Router::new().route(OAUTH_APPLICATION_ID.path, get(read).options(preflight)).with_state(state)
}

async fn read(State(state): State<OauthApplicationId>, headers: HeaderMap) -> Response {
    let answer = match &state.application_id {
        Some(id) => Json(json!({"application_id": id})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    };
    state.allow(&headers, answer)
}

async fn preflight(State(state): State<OauthApplicationId>, headers: HeaderMap) -> Response {
    state.allow(&headers, StatusCode::OK.into_response())
}

impl OauthApplicationId {
    fn allow(&self, headers: &HeaderMap, mut answer: Response) -> Response {
        answer.headers_mut().insert(header::VARY, header::HeaderValue::from_static("Origin"));
        let origin = headers.get(header::ORIGIN);
        if let (Some(origin), Some(allowed)) = (origin, &self.allowed_origin)
            && origin.as_bytes() == allowed.as_bytes()
        {
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let methods = header::HeaderValue::from_static("GET, OPTIONS");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, header::HeaderValue::from_static("*"));
        }
        answer
    }
}
