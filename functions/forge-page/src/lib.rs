//! Answers the app's page in Jira: what state the site is in, which connections it has, which groups are linked, and what to type
//! next. The page itself is part of the Forge app.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{FromRef, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use shared::bundle::FORGE_PAGE;
pub use shared::config::ForgeFunction as Config;
use shared::domain::{Connection, Installation, Site};
use shared::health;
use shared::http::{Error, ForgeAdmin, ForgeGate};
use shared::install::forge::Admission;
use shared::outbound::OutboundClientError;
use shared::services::Services;
use shared::store::StoreError;

/// What ends the name of this function in a stack; what comes before it is the stack's name.
const NAME_SUFFIX: &str = "-forge-page";

/// What the function needs.
#[derive(Clone, Debug)]
pub struct ForgePage {
    /// Lets callers in.
    pub gate: ForgeGate,
    /// What tells `gitlab-jira` which bundle this is: ` --stack NAME` or ` --data-dir DIR`; empty if that is not known.
    pub on: Arc<str>,
}

impl FromRef<ForgePage> for ForgeGate {
    fn from_ref(state: &ForgePage) -> Self {
        state.gate.clone()
    }
}

/// The function as `services` and its configuration make it. `target` is as [`ForgePage::on`].
///
/// # Errors
/// When no HTTP client can be made.
pub fn build(services: &Services, config: &Config, target: &str) -> Result<Router, OutboundClientError> {
    Ok(router(ForgePage { gate: services.forge_gate(config)?, on: target.into() }))
}

/// Answers [`FORGE_PAGE`].
pub fn router(state: ForgePage) -> Router {
    Router::new().route(FORGE_PAGE.path, post(page)).with_state(state)
}

/// What commands on the stack are given, that has a function of this name.
#[must_use]
pub fn on_stack(function_name: &str) -> String {
    let stack = function_name.strip_suffix(NAME_SUFFIX);
    stack.map_or_else(String::new, |stack| format!(" --stack {stack}"))
}

/// What commands on a data directory are given.
#[must_use]
pub fn on_directory(directory: &Path) -> String {
    format!(" --data-dir {}", quoted(&directory.to_string_lossy()))
}

/// Forge shows the page no answer but JSON
/// (<https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>).
async fn page(State(page): State<ForgePage>, call: Result<ForgeAdmin, Error>) -> Response {
    match answer(&page, call).await {
        Ok(overview) => Json(overview).into_response(),
        Err(error) => error.into_json(),
    }
}

async fn answer(page: &ForgePage, call: Result<ForgeAdmin, Error>) -> Result<Value, Error> {
    let call = call?;
    match page.gate.admit(&call.invocation, call.system_token.as_ref()).await? {
        Admission::Open(site, installation) => {
            overview(page, &site, &installation).await.map_err(Error::unavailable)
        }
        Admission::Outdated => Err(Error::new(
            StatusCode::CONFLICT,
            "This installation of the app was replaced or uninstalled: reload the page, or install the app again.",
        )),
    }
}

async fn overview(page: &ForgePage, site: &Site, here: &Installation) -> Result<Value, StoreError> {
    let store = &page.gate.installations.store;
    let connections = store.installations(site.id).await?;
    let connections: Vec<Value> = connections
        .iter()
        .map(|connection| {
            let token_until = match &connection.connection {
                Connection::Forge { token: Some(token), .. } => Some(token.usable_until.iso8601()),
                _ => None,
            };
            json!({
                "kind": connection.connection.kind().name(), "writes": site.writer == Some(connection.id), "here": connection.id == here.id,
                "installedAt": connection.installed_at.iso8601(), "tokenUsableUntil": token_until,
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
                "attention": health::link_remedies(&health::link_troubles(link, None, store.now())),
            })
        })
        .collect();
    let condition = site.state.condition;
    Ok(json!({
        "site": {
            "id": site.id, "host": site.host(), "condition": condition, "since": site.state.since.iso8601(),
            "remedy": health::site_remedy(condition),
            "needsResyncSince": site.needs_resync_since.map(|since| since.iso8601()),
        },
        "connections": connections,
        "links": links,
        "commands": commands(&page.on, site, here),
    }))
}

/// What to type to go on, whole but for what only the person knows.
fn commands(on: &str, site: &Site, here: &Installation) -> Vec<Value> {
    let host = site.host();
    let command =
        |title: &str, command: &str| json!({ "title": title, "command": format!("gitlab-jira {command}") });
    let link = format!("group link{on} --site {host} --group my-group --gitlab-token-stdin < token.txt");
    let mut commands = vec![command("Link a group", &link)];
    if site.writer != Some(here.id) {
        let switch = format!("site switch{on} --site {host} --to forge");
        commands.push(command("Let this app write", &switch));
    }
    commands.push(command("Ask why something is not on an issue", &format!("explain{on} ABC-123")));
    commands.push(command("See queues, sites and links", &format!("status{on}")));
    commands.push(command("Find out what is wrong", &format!("doctor{on}")));
    commands
}

/// `text` as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_which_bundle_they_are_for() {
        assert_eq!(on_stack("my-stack-forge-page"), " --stack my-stack");
        assert_eq!(on_stack("something-else"), "");
        assert_eq!(on_directory(Path::new("/var/lib/gitlab-jira")), " --data-dir /var/lib/gitlab-jira");
        assert_eq!(on_directory(Path::new("/home/o'neil/x y")), r" --data-dir '/home/o'\''neil/x y'");
    }
}
