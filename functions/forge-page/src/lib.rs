//! Answers the app's page in Jira: what state the site is in, which doors it has, which groups are linked, and what to type
//! next. The page itself is part of the Forge app.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use shared::bundle::FORGE_PAGE;
pub use shared::config::ForgeFunction as Config;
use shared::domain::{Door, Installation, Site};
use shared::http::{Error, ForgeAdmin, ForgeGate};
use shared::jira::forge::Admission;
use shared::store::StoreError;

/// Answers [`FORGE_PAGE`].
pub fn router(gate: ForgeGate) -> Router {
    Router::new().route(FORGE_PAGE.path, post(page)).with_state(gate)
}

async fn page(State(gate): State<ForgeGate>, call: ForgeAdmin) -> Result<Json<Value>, Error> {
    match gate.admit(&call.invocation, call.system_token.as_ref()).await? {
        Admission::Open(site, installation) => {
            overview(&gate, &site, &installation).await.map(Json).map_err(Error::unavailable)
        }
        Admission::Outdated => Err(Error::new(
            StatusCode::CONFLICT,
            "This installation of the app was replaced or uninstalled: reload the page, or install the app again.",
        )),
    }
}

async fn overview(gate: &ForgeGate, site: &Site, here: &Installation) -> Result<Value, StoreError> {
    let store = &gate.installations.store;
    let doors = store.installations(site.id).await?;
    let doors: Vec<Value> = doors
        .iter()
        .map(|door| {
            let token_until = match &door.door {
                Door::Forge { token: Some(token), .. } => Some(token.usable_until.iso8601()),
                _ => None,
            };
            json!({
                "kind": door.door.kind().name(), "writes": site.writer == Some(door.id), "here": door.id == here.id,
                "installedAt": door.installed_at.iso8601(), "tokenUsableUntil": token_until,
            })
        })
        .collect();
    let links: Vec<Value> = store
        .subscriptions(site.id)
        .await?
        .iter()
        .map(|link| {
            json!({
                "id": link.id, "group": link.group_path, "gitlab": link.instance, "state": link.state,
                "attention": link.attention,
            })
        })
        .collect();
    let condition = site.state.condition;
    Ok(json!({
        "site": {
            "id": site.id, "host": site.host(), "condition": condition, "since": site.state.since.iso8601(),
            "remedy": condition.remedy(),
            "needsResyncSince": site.needs_resync_since.map(|since| since.iso8601()),
        },
        "doors": doors,
        "links": links,
        "commands": commands(site, here),
    }))
}

/// What to type to go on, whole but for what only the reader knows.
fn commands(site: &Site, here: &Installation) -> Vec<Value> {
    let host = site.host();
    let command = |title: &str, command: String| json!({ "title": title, "command": command });
    let mut commands = vec![command(
        "Link a group",
        format!("bridge group link --site {host} --group my-group --gitlab-token-stdin < token.txt"),
    )];
    if site.writer != Some(here.id) {
        commands.push(command("Let this app write", format!("bridge site switch --site {host} --to forge")));
    }
    commands.push(command("Ask why something is not on an issue", "bridge explain ABC-123".to_owned()));
    commands.push(command("See queues, sites and links", "bridge status".to_owned()));
    commands
}
