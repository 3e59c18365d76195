//! Sends a person who wants a branch for a Jira issue to GitLab. The person's token stays here: GitLab gets the issue and
//! the app's key, nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, OriginalUri, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use shared::bundle::BRANCHES_ROUTE;
use shared::config::{Variables, gitlab_url};
use shared::http::{Error, JiraUser, TenantGate};
use shared::services::Services;
use url::Url;

/// What may go on to GitLab.
const PASSED_ON: [&str; 3] = ["issue_key", "issue_summary", "addonkey"];

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Where a site without links is sent.
    pub gitlab_url: Url,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        Some(Self { table_name, kms_key_id, gitlab_url: gitlab_url(variables)? })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct CreateBranch {
    /// Verifies callers.
    pub gate: TenantGate,
    /// Where a site without links is sent.
    pub gitlab_url: Arc<Url>,
}

impl FromRef<CreateBranch> for TenantGate {
    fn from_ref(state: &CreateBranch) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
pub fn build(services: &Services, config: Config) -> Router {
    let gate = services.tenant_gate(&config.table_name, &config.kms_key_id);
    router(CreateBranch { gate, gitlab_url: Arc::new(config.gitlab_url) })
}

/// Answers [`BRANCHES_ROUTE`].
pub fn router(state: CreateBranch) -> Router {
    Router::new().route(BRANCHES_ROUTE.path, get(route)).with_state(state)
}

async fn route(
    State(state): State<CreateBranch>,
    user: JiraUser,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Error> {
    let links = state.gate.store.subscriptions(user.site.id).await.map_err(Error::unavailable)?;
    // A site keeps instances that it has no links to any more; their ids hang on it.
    let is_linked = |instance: &&String| links.iter().any(|link| link.instance == **instance);
    let instance =
        user.site.instances.iter().find(is_linked).map_or(state.gitlab_url.as_str(), String::as_str);
    let page = format!("{}/-/jira_connect/branches/new", instance.trim_end_matches('/'));
    let mut page =
        Url::parse(&page).map_err(|error| Error::status(StatusCode::INTERNAL_SERVER_ERROR).because(error))?;
    let query = uri.query().unwrap_or_default();
    let passed_on =
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| PASSED_ON.contains(&name.as_ref()));
    page.query_pairs_mut().extend_pairs(passed_on);
    let location = HeaderValue::from_str(page.as_str())
        .map_err(|error| Error::status(StatusCode::INTERNAL_SERVER_ERROR).because(error))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}
