//! Takes Jira's `uninstalled` event: closes that connection. The site and its links stay, so that another connection, or the same one
//! installed again, goes on with them; Jira itself deletes what was sent through this one.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use http::StatusCode;
use shared::bundle::UNINSTALLED;
use shared::clock::SharedClock;
use shared::config::{Lifecycle, Variables};
use shared::domain::{Installation, Site};
use shared::http::{Error, JiraLifecycle, LifecycleGate};
use shared::store::Store;

/// What the function is told by variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// What verifies callers.
    pub lifecycle: Lifecycle,
    /// The table.
    pub table_name: String,
}

impl Config {
    /// Reads them.
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
    /// Tells the time.
    pub clock: SharedClock,
}

impl FromRef<Uninstalled> for LifecycleGate {
    fn from_ref(state: &Uninstalled) -> Self {
        state.gate.clone()
    }
}

/// Answers [`UNINSTALLED`].
pub fn router(state: Uninstalled) -> Router {
    Router::new().route(UNINSTALLED.path, post(uninstalled)).with_state(state)
}

async fn uninstalled(State(state): State<Uninstalled>, call: JiraLifecycle) -> Result<StatusCode, Error> {
    let found =
        state.store.installation_by_client_key(&call.tenant.client_key).await.map_err(Error::unavailable)?;
    match found {
        // Jira sends uninstalls and installs side by side; one that was made before the last install is over.
        Some((site, installation))
            if call.issued_at.is_none_or(|issued_at| is_later(issued_at, &installation)) =>
        {
            state.close(&site, &installation).await?;
        }
        Some((site, _)) => tracing::info!(site.id = %site.id, "ignored an uninstall older than the install"),
        None => tracing::info!("ignored an uninstall of an unknown installation"),
    }
    Ok(StatusCode::OK)
}

/// Tokens tell whole seconds.
fn is_later(issued_at: shared::clock::Timestamp, installation: &Installation) -> bool {
    issued_at.seconds() >= installation.installed_at.seconds()
}

impl Uninstalled {
    async fn close(&self, site: &Site, installation: &Installation) -> Result<(), Error> {
        self.store.lose_writer(installation).await.map_err(Error::unavailable)?;
        self.store.delete_installation(installation).await.map_err(Error::unavailable)?;
        tracing::info!(site.id = %site.id, site.host = site.host(), "uninstalled");
        Ok(())
    }
}
