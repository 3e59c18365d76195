//! Receives Jira's `installed` event, and refuses sites that may not install. What it changes belongs to
//! `shared::install::connect`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use http::StatusCode;
use shared::bundle::INSTALLED;
use shared::config::{Lifecycle, Variables, allowed_jira_sites};
use shared::http::{Error, JiraLifecycle, LifecycleGate, Tenant};
use shared::install::connect::{ConnectInstallations, ConnectTenant};
use shared::outbound::{HostGuard, OutboundClientError, is_listed_site, site_address};
use shared::services::Services;

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What verifies callers.
    pub lifecycle: Lifecycle,
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Vec<String>,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let lifecycle = Lifecycle::read(variables);
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        let allowed_sites = allowed_jira_sites(variables);
        Some(Self { lifecycle: lifecycle?, table_name, kms_key_id, allowed_sites })
    }
}

/// What the function needs.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Verifies callers.
    pub gate: LifecycleGate,
    /// Keeps installations.
    pub installations: ConnectInstallations,
    /// Which hosts may be called.
    pub guard: HostGuard,
    /// Which sites may install, by host; empty means any.
    pub allowed_sites: Arc<[String]>,
}

impl FromRef<Installed> for LifecycleGate {
    fn from_ref(state: &Installed) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: Config) -> Result<Router, OutboundClientError> {
    let store = services.store(&config.table_name);
    Ok(router(Installed {
        gate: services.lifecycle_gate(&config.lifecycle, store.clone())?,
        installations: ConnectInstallations {
            store,
            envelope: services.envelope(&config.kms_key_id),
            clock: services.clock(),
        },
        guard: config.lifecycle.outbound.guard,
        allowed_sites: config.allowed_sites.into(),
    }))
}

/// Answers [`INSTALLED`].
pub fn router(state: Installed) -> Router {
    Router::new().route(INSTALLED.path, post(installed)).with_state(state)
}

async fn installed(State(state): State<Installed>, call: JiraLifecycle) -> Result<StatusCode, Error> {
    let (base_url, shared_secret) = state.check(&call.tenant)?;
    let tenant = ConnectTenant {
        client_key: call.tenant.client_key,
        base_url,
        shared_secret,
        display_url: call.tenant.display_url,
        issued_at: call.issued_at,
    };
    state.installations.install(tenant).await.map_err(Error::unavailable)?;
    Ok(StatusCode::OK)
}

impl Installed {
    /// The tenant's address and secret, if both can be used.
    fn check(&self, tenant: &Tenant) -> Result<(String, secrecy::SecretString), Error> {
        let unusable = |sentence| Error::new(StatusCode::UNPROCESSABLE_ENTITY, sentence);
        let base_url = tenant.base_url.as_deref().ok_or_else(|| unusable("baseUrl is missing."))?;
        let base_url = site_address(base_url, &self.guard)
            .ok_or_else(|| unusable("baseUrl is not an Atlassian site."))?;
        if !is_listed_site(&self.allowed_sites, &base_url) {
            return Err(unusable("This site may not install the app: add it to ALLOWED_JIRA_SITES."));
        }
        let secret = tenant.shared_secret.clone().filter(|secret| {
            use secrecy::ExposeSecret;
            !secret.expose_secret().is_empty()
        });
        Ok((base_url, secret.ok_or_else(|| unusable("sharedSecret is missing."))?))
    }
}
