//! `gitlab-jira serve`: the bundle in one process, until it is stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use shared::bundle::{BACKFILL_QUEUE, EVENTS_QUEUE};
use shared::clock::SharedClock;
use shared::queue::embedded::EmbeddedQueue;
use shared::queue::{Queue as _, QueueError};
use shared::telemetry::with_causes;
use tokio::net::TcpListener;

use crate::control;
use crate::listener::{self, Bounds};
use crate::local::Local;
use crate::metrics::{self, Metrics};
use crate::operate::{Command, Operator};
use crate::page;
use crate::settings::Settings;
use crate::terminal::say;

/// Where `serve` leaves the address of its admin listener.
const ADMIN_ADDRESS: &str = "admin-address";

/// Serves on `listen` and, for its owner only, on `admin_listen` and a socket in `directory`.
pub async fn serve(
    listen: SocketAddr,
    admin_listen: SocketAddr,
    directory: &Path,
    clock: SharedClock,
) -> anyhow::Result<()> {
    anyhow::ensure!(admin_listen.ip().is_loopback(), "--admin-listen takes a loopback address only");
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("{listen} can't be listened on"))?;
    let address = listener.local_addr()?;
    let settings = Settings::from_env(&format!("http://{address}"))?;
    let base_url = settings.lifecycle.identity.base_url.clone();
    if settings.allowed_jira_sites.is_empty() {
        tracing::warn!("ALLOWED_JIRA_SITES is empty: any Jira site may install the app");
    }
    let local = Local::open(settings.clone(), directory, clock).await?;
    settings.keep(directory)?;
    let socket = control::listen(directory)?;
    let admin = TcpListener::bind(admin_listen)
        .await
        .with_context(|| format!("{admin_listen} can't be listened on"))?;
    std::fs::write(directory.join(ADMIN_ADDRESS), admin.local_addr()?.to_string())?;
    let metrics = Metrics::default();
    metrics.collect();
    let tasks = local.start();
    let commands = tokio::spawn(control::answer(socket, local.operator.clone()));
    let admin_address = admin.local_addr()?;
    let queues = [(EVENTS_QUEUE, local.events.clone()), (BACKFILL_QUEUE, local.backfill.clone())];
    let scraped = Scraped { metrics, operator: local.operator.clone(), queues };
    let page = page::router(local.operator.clone(), format!("http://{admin_address}"));
    let admin_router = admin_router(scraped, page);
    let admin = tokio::spawn(async move { axum::serve(admin, admin_router).await });
    tracing::info!(address = %address, admin.address = %admin_address, base_url, "serving");
    say(format_args!("Serving {base_url} on http://{address}, status on http://{admin_address}/status"));
    listener::serve(listener, local.router()?, Bounds::default(), stop()).await;
    for task in tasks {
        task.abort();
    }
    commands.abort();
    admin.abort();
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = interrupt.await;
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

/// What the admin listener answers from.
#[derive(Clone)]
struct Scraped {
    metrics: Metrics,
    operator: Arc<Operator>,
    queues: [(&'static str, Arc<EmbeddedQueue>); 2],
}

fn admin_router(scraped: Scraped, page: Router) -> Router {
    let routes = Router::new().route("/status", get(status)).route("/metrics", get(scrape));
    routes.with_state(scraped).merge(page).layer(from_fn(only_by_loopback_address))
}

/// Against DNS rebinding: a page in a browser on this machine must not read it under another name.
pub async fn only_by_loopback_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_loopback_address(host) {
        return (StatusCode::FORBIDDEN, "Ask by a loopback address.").into_response();
    }
    next.run(request).await
}

async fn status(State(scraped): State<Scraped>) -> Response {
    match scraped.operator.run(Command::Status).await {
        Ok(status) => Json(status.json()).into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.sentence).into_response(),
    }
}

async fn scrape(State(scraped): State<Scraped>) -> Response {
    let queues = async {
        for (name, queue) in &scraped.queues {
            scraped.metrics.set_queue(name, queue.depth().await?, queue.oldest_age().await?);
        }
        Ok::<_, QueueError>(())
    };
    match queues.await {
        Ok(()) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], scraped.metrics.text()).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, with_causes(&error)).into_response(),
    }
}

/// Names are refused, even `localhost`: what they resolve to is not known here.
fn is_loopback_address(host: &str) -> bool {
    let name = host.parse::<SocketAddr>().map(|address| address.ip());
    name.or_else(|_| host.trim_matches(['[', ']']).parse()).is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback_address;

    #[test]
    fn only_literal_loopback_hosts_may_ask() {
        for host in ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(is_loopback_address(host), "{host}");
        }
        for host in ["localhost", "localhost:8080", "evil.example", "10.0.0.1:80", ""] {
            assert!(!is_loopback_address(host), "{host}");
        }
    }
}
