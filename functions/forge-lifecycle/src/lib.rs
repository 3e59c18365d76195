//! Takes Forge's lifecycle calls about the app on a site: installed, upgraded, about to be uninstalled. Forge repeats a call
//! that failed up to four times, and sends some twice; all of them may come in any order.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use shared::bundle::{FORGE_LIFECYCLE, FORGE_UNINSTALL};
pub use shared::config::ForgeFunction as Config;
use shared::http::{Error, ForgeCall, ForgeGate};
use shared::outbound::OutboundClientError;
use shared::services::Services;

/// The function as `services` and its configuration make it.
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config) -> Result<Router, OutboundClientError> {
    Ok(router(services.forge_gate(config)?))
}

/// Answers [`FORGE_LIFECYCLE`] and [`FORGE_UNINSTALL`].
pub fn router(gate: ForgeGate) -> Router {
    Router::new()
        .route(FORGE_LIFECYCLE.path, post(installed))
        .route(FORGE_UNINSTALL.path, post(uninstall))
        .with_state(gate)
}

/// An install and an upgrade mean the same: the app is there, and brings a token.
async fn installed(State(gate): State<ForgeGate>, call: ForgeCall) -> Result<Json<Value>, Error> {
    gate.keep_token(&call).await?;
    Ok(done())
}

/// Only this connection closes. Others of the site, and its links, stay.
async fn uninstall(State(gate): State<ForgeGate>, call: ForgeCall) -> Result<Json<Value>, Error> {
    gate.close(&call).await?;
    Ok(done())
}

/// Forge wants JSON.
fn done() -> Json<Value> {
    Json(json!({}))
}
