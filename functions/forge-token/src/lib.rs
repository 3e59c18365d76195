//! Takes the token that Forge delivers every hour: the only way to get one. Calls may be repeated and delivered twice; the
//! newest token wins.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use shared::bundle::FORGE_TOKEN;
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

/// Answers [`FORGE_TOKEN`].
pub fn router(gate: ForgeGate) -> Router {
    Router::new().route(FORGE_TOKEN.path, post(token)).with_state(gate)
}

async fn token(State(gate): State<ForgeGate>, call: ForgeCall) -> Result<Json<Value>, Error> {
    gate.keep_token(&call).await?;
    Ok(Json(json!({})))
}
