//! Receives Jira's `uninstalled` event. The site and its links stay for another connection, or for the same one installed
//! again; Jira itself deletes what was sent through this one. What it changes belongs to `shared::install::connect`.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use http::StatusCode;
use shared::bundle::UNINSTALLED;
use shared::config::{Lifecycle, Variables};
use shared::http::{Error, JiraLifecycle, LifecycleGate};
use shared::install::connect::ConnectInstallations;
use shared::outbound::OutboundClientError;
use shared::services::Services;
use shared::store::Store;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What verifies callers.
    pub lifecycle: Lifecycle,
    /// The table.
    pub table_name: String,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let lifecycle = Lifecycle::read(variables);
        let table_name = variables.required("TABLE_NAME");
        Some(Self { lifecycle: lifecycle?, table_name })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Uninstalled {
    /// Verifies callers.
    pub gate: LifecycleGate,
    /// Keeps sites.
    pub store: Store,
}

impl FromRef<Uninstalled> for LifecycleGate {
    fn from_ref(state: &Uninstalled) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Router, OutboundClientError> {
    let store = services.store(&config.table_name);
    let gate = services.lifecycle_gate(&config.lifecycle, store.clone())?;
    Ok(router(Uninstalled { gate, store }))
}

/// Answers [`UNINSTALLED`].
pub fn router(state: Uninstalled) -> Router {
    Router::new().route(UNINSTALLED.path, post(uninstalled)).with_state(state)
}

async fn uninstalled(State(state): State<Uninstalled>, call: JiraLifecycle) -> Result<StatusCode, Error> {
    let uninstalled = ConnectInstallations::uninstall(&state.store, &call.tenant.client_key, call.issued_at);
    uninstalled.await.map_err(Error::unavailable)?;
    Ok(StatusCode::OK)
}
