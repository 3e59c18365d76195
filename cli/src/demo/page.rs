//! The page of the demo: the way to the app's own page, each issue's development panel from what Jira's stand-in
//! stored, and the story's timeline beside them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, Redirect};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use standins::jira::SiteHandle;

use super::app::App;
use super::bind;
use super::story::ISSUES;
use super::timeline::Timeline;
use super::world::World;

/// The app's page, once its connection is open.
pub type OpenedApp = Arc<OnceLock<App>>;

/// Serves the page on `listen`, or on another port when that one is taken.
pub async fn serve(
    world: &World,
    timeline: &Timeline,
    app: OpenedApp,
    listen: SocketAddr,
) -> anyhow::Result<SocketAddr> {
    let listener = bind(listen).await?;
    let address = listener.local_addr()?;
    let router = router(world.site.clone(), timeline.clone()).route("/app", get(open).with_state(app));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the page is not served any more");
        }
    });
    Ok(address)
}

fn router(site: SiteHandle, timeline: Timeline) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route(
            "/page.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css")], include_str!("page.css")) }),
        )
        .route(
            "/page.js",
            get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], include_str!("page.js")) }),
        )
        .route("/state", get(state))
        .with_state((site, timeline))
}

/// Redirects to the app's page, with a new address for each request.
async fn open(State(app): State<OpenedApp>) -> Result<Redirect, (StatusCode, &'static str)> {
    let address = app.get().and_then(|app| app.address().ok());
    let address = address
        .ok_or((StatusCode::SERVICE_UNAVAILABLE, "The app is not installed yet: reload in a second."))?;
    Ok(Redirect::to(&address))
}

async fn state(State((site, timeline)): State<(SiteHandle, Timeline)>) -> Json<Value> {
    let there = site.issues();
    let issues: Vec<Value> = ISSUES
        .iter()
        .filter(|(key, _)| there.iter().any(|issue| issue.key == *key))
        .map(|(key, title)| json!({"title": title, "panel": site.issue(key)}))
        .collect();
    Json(json!({"issues": issues, "told": timeline.told()}))
}
