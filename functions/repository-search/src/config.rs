//! The function's environment variables, and what it is made of.

use axum::Router;
use shared::config::{Outbound, Variables};
use shared::outbound::OutboundClientError;
use shared::services::Services;

use crate::{Gitlab, RepositorySearch, router};

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table.
    pub table_name: String,
    /// The key of secrets.
    pub kms_key_id: String,
    /// How GitLab may be called.
    pub outbound: Outbound,
}

impl Config {
    /// Reads it from environment variables.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let (table_name, kms_key_id) = (variables.required("TABLE_NAME"), variables.required("KMS_KEY_ID"));
        Some(Self { table_name, kms_key_id, outbound: Outbound::read(variables)? })
    }
}

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Router, OutboundClientError> {
    let gate = services.tenant_gate(&config.table_name, &config.kms_key_id);
    let gitlab = Gitlab {
        store: gate.store.clone(),
        envelope: gate.envelope.clone(),
        clock: services.clock(),
        http: services.gitlab_http(&config.outbound)?,
        guard: config.outbound.guard.clone(),
    };
    Ok(router(RepositorySearch { gate, gitlab }))
}
