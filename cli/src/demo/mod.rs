//! `gitlab-jira demo`: a story against stand-ins of Jira and GitLab. Everything between them is the real bundle, reached over
//! HTTP as in production.

mod app;
mod check;
mod page;
mod story;
mod timeline;
mod visit;
pub mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use shared::clock::SystemClock;
use shared::domain::ConnectionKind;
use standins::gitlab::Version;
use tokio::net::TcpListener;

use timeline::Timeline;
use world::World;

use crate::terminal::say;

/// Plays the story through one of the connections and tells it; with `once`, ends after it and fails unless everything
/// arrived.
pub async fn run(once: bool, connection: ConnectionKind, listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await?;
    let timeline = Timeline::default();
    let app = page::OpenedApp::default();
    let page =
        if once { None } else { Some(page::serve(&world, &timeline, Arc::clone(&app), listen).await?) };
    let mobile = visit::prepare(&world).await;
    say(format_args!("Jira     {}   (a stand-in that checks what Jira checks)", world.site.base_url()));
    say(format_args!("GitLab   {}   (a stand-in, version 19.1)", world.gitlab.url()));
    say(format_args!("gitlab-jira   {}", world.base_url()));
    if let Some(address) = page {
        say(format_args!("Look at  http://{address}/"));
        say(format_args!(
            "Link     http://{address}/app   (the app's page in Jira: link {} there)",
            visit::GROUP
        ));
    }
    say("");
    let ending = story::play(&world, connection, &timeline, &app).await?;
    let missing = check::missing(&world, &ending, &timeline.told()).await?;
    say("");
    let mut issues = world.site.issues();
    issues.sort_by_key(|issue| (issue.key.len(), issue.key.clone()));
    for issue in issues {
        say(check::summary(&world.site.issue(&issue.key)));
    }
    if !missing.is_empty() {
        say("\nNot everything arrived:");
        for sentence in &missing {
            say(format_args!("  - {sentence}"));
        }
        return Ok(ExitCode::FAILURE);
    }
    timeline.complete();
    say("\nEverything that was expected is on its issue.");
    if let Some(address) = page {
        say(format_args!("The page http://{address}/ stays until you press Ctrl-C."));
        say(format_args!("Link {} yourself on http://{address}/app: it arrives here.", visit::GROUP));
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => interrupt.context("the interrupt can't be waited for")?,
            answered = visit::answer(&world, &timeline, &mobile) => match answered? {},
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Binds a loopback port: any, if the wanted one is taken.
async fn bind(wanted: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((wanted.ip(), 0)).await.context("no port can be listened on"),
    }
}
